"""Tokenizers of the smoke study, trained by the command that the graph calls.

The tests cover the adversary, kills and resumes, several processes, and refused configurations.
"""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from forked import Forks
from safetensors.torch import load_file

from nanogen.cli import main
from nanogen.config import load_study, stages
from nanogen.config.model_stage import ModelStage
from nanogen.data.image_import import write_images
from nanogen.data.images import ImageFile
from nanogen.data.pixels import to_signed, to_uint8
from nanogen.errors import UserError
from nanogen.files import write_json
from nanogen.models.card import read_card
from nanogen.stage1.assembly import network_folders
from nanogen.stage1.batches import Batches
from nanogen.stage1.learner import OnDevice, TokenizerLearner
from nanogen.stage1.selection import rows_of_classes
from nanogen.tokenizers import load_tokenizer
from nanogen.tokenizers.pixels import Pixels
from nanogen.training import checkpoint
from nanogen.training.processes import Processes

ALONE = Processes(0, 1, torch.device("cpu"))
ADVERSARIAL = {"adversarial", "adaptive_weight", "discriminator", "accuracy_real", "accuracy_fake"}
EVERY = 5  # steps between checkpoints; a line of the curve has two, so some are saved between lines

# A process that is killed without a warning before it learns from the batch of step ``at``.
KILLED = """
import os, signal, sys
from nanogen.cli import main
from nanogen.stage1 import learner

class Killed(learner.TokenizerLearner):
    def step(self, step, batch):
        if step == {at}:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(step, batch)

learner.TokenizerLearner = Killed
main(sys.argv[1:])
"""


class Smoke:
    """The smoke study's images and the small networks that its tokenizers need."""

    def __init__(self, folder: Path):
        torch.set_num_threads(1)
        self.folder, self.study = folder, load_study("smoke")
        for task, split in product(("imagenet", "t2i", "pretraining"), ("train", "val")):
            write_images(stages.data(self.study, task, split), self.data(split, task))
        self.networks = {name: folder / name for name in ("dinov2-b", "inception")}
        for name, output in self.networks.items():
            stage = stages.model(self.study, name)
            config, task = self._config(stage, output), stage["model"]["data"]
            images = [f"--{split}={self.data(split, task)}" for split in ("train", "val")]
            assert main(["build-model", f"--config={config}", f"--output={output}", *images]) == 0

    def data(self, split: str, task: str = "t2i") -> Path:
        return self.folder / f"{task}-{split}.h5"

    def images(self):
        return ImageFile(self.data("train")).images

    def stage(self, name: str, **keys) -> dict:
        """The `model` stage of a tokenizer, with ``keys`` merged over the smoke study's."""
        return stages.model(load_study("smoke", {"models": {name: keys}}), name)

    def arguments(self, stage: dict, folder: Path, **networks: Path) -> list[str]:
        """The command line that trains the tokenizer in ``folder``."""
        folder.mkdir(exist_ok=True)
        named = {**self.networks, **networks}
        return [
            "train-tokenizer",
            f"--config={self._config(stage, folder / 'stage')}",
            *(f"--{split}={self.data(split, stage['model']['data'])}" for split in ("train", "val")),
            *(f"--network={name}={path}" for name, path in named.items()),
            f"--state={folder / 'state'}",
            f"--output={folder / 'model'}",
            f"--checkpoint-every={EVERY}",
            "--log-every=2",
        ]

    @staticmethod
    def _config(stage: dict, output: Path) -> Path:
        path = output.with_suffix(".json")
        write_json(path, stage)
        return path

    def learner(self, stage: dict, train=None) -> TokenizerLearner:
        typed = ModelStage.from_json(stage)
        folders = network_folders(typed, self.networks)
        return TokenizerLearner(typed, train or ImageFile(self.data("train")), folders, ALONE)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory) -> Smoke:
    return Smoke(tmp_path_factory.mktemp("smoke"))


@pytest.fixture(scope="module")
def stage(smoke) -> dict:
    return smoke.stage("rae-dinov2-b")


@pytest.fixture(scope="module")
def undisturbed(smoke, stage, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert main(smoke.arguments(stage, folder)) == 0
    assert not (folder / "state").exists()
    return folder / "model"


def curve(model: Path) -> list[dict]:
    """The lines of the training curve, without measured times."""
    lines = [json.loads(line) for line in (model / "train.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if "second" not in k} for line in lines]


def same(one: Path, two: Path) -> bool:
    file = Path("decoder/model.safetensors")
    return (one / file).read_bytes() == (two / file).read_bytes() and curve(one) == curve(two)


@pytest.mark.slow
def test_the_log_shows_every_term_from_where_it_is_used(stage, undisturbed):
    lines = {line["step"]: line for line in curve(undisturbed)}
    assert list(lines) == list(range(2, 21, 2))
    always = {"step", "loss", "l1", "mse", "grad_norm", "learning_rate"}
    assert set(lines[2]) == always  # perceptual starts after step 4, discriminator 8, its use 11
    assert set(lines[8]) == always | {"perceptual"}
    assert set(lines[10]) == set(lines[8]) | ADVERSARIAL - {"adversarial", "adaptive_weight"}
    for step in (12, 20):
        assert set(lines[step]) == set(lines[8]) | ADVERSARIAL
        assert all(0 <= lines[step][f"accuracy_{of}"] <= 1 for of in ("real", "fake"))
        assert lines[step]["adaptive_weight"] > 0
    card = read_card(undisturbed)
    assert card["hash"] == stage["hash"]
    assert {"psnr", "latent_std"} <= set(card["quality"])
    assert load_tokenizer(undisturbed).latent_shape == (48, 4, 4)


@pytest.mark.slow
def test_the_adversarial_gradient_reaches_the_decoders_last_layer(smoke, stage):
    learner = smoke.learner(stage)
    step = learner.phases.gan_start + 1
    batch = Batches(smoke.images(), ModelStage.from_json(stage), learner.trainee.noise, ALONE).at(step)
    made = learner.trainee.reconstructed(learner.network, batch)
    losses, judged = learner.loss(made, step, batch.augment, learner.trainee.last)
    assert judged is not None
    gradients = torch.autograd.grad(losses["adversarial"], learner.trainee.last, retain_graph=True)
    assert float(gradients[0].norm()) > 0
    # balanced: the weighted gradient has 0.75 times the norm of that of the other terms
    rest = losses["loss"] - losses["adaptive_weight"] * losses["adversarial"]
    other = torch.autograd.grad(rest, learner.trainee.last, retain_graph=True)[0].norm()
    weighted = losses["adaptive_weight"] * gradients[0].norm()
    assert float(weighted / other) == pytest.approx(0.75, rel=1e-3)
    losses["loss"].backward()
    assert all(p.grad is None for p in learner.loss.adversary.heads.parameters())


def test_the_discriminator_learns_and_the_frozen_features_do_not(smoke, stage):
    learner = smoke.learner(stage)
    adversary = learner.loss.adversary
    frozen = {k: v.clone() for k, v in adversary.features.state_dict().items()}
    before = {k: v.clone() for k, v in adversary.heads.state_dict().items()}
    step = learner.phases.disc_start + 1
    batch = Batches(smoke.images(), ModelStage.from_json(stage), learner.trainee.noise, ALONE).at(step)
    learner.step(step, batch)
    assert all(torch.equal(frozen[k], v) for k, v in adversary.features.state_dict().items())
    after = adversary.heads.state_dict()
    assert not torch.equal(before["heads.0.logit.bias"], after["heads.0.logit.bias"])


def test_the_discriminator_learns_from_images_of_the_decoder_after_its_step(smoke):
    """They have no noise, are rounded to 8 bits, and come before the originals."""
    plain = {"color": 0, "translation": 0, "cutout": 0}
    stage = smoke.stage("rae-dinov2-b", stage1={"adversarial": {"augmentation": plain}})
    learner = smoke.learner(stage)
    seen: list[torch.Tensor] = []
    features = learner.loss.adversary.features
    features.register_forward_pre_hook(lambda _module, images: seen.append(images[0]))
    step = learner.phases.disc_start + 1  # the decoder does not yet learn from it
    batch = Batches(smoke.images(), ModelStage.from_json(stage), learner.trainee.noise, ALONE).at(step)
    learner.step(step, batch)
    fake, real = seen
    assert torch.equal(real, to_signed(batch.images))
    with torch.no_grad():
        images = 2 * learner.network(learner.trainee.encoder(batch.images)) - 1
    assert torch.equal(fake, to_signed(to_uint8(images)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "at",
    [
        pytest.param(6, id="before", marks=pytest.mark.slow),
        pytest.param(17, id="inside the adversarial phase"),
    ],
)
def test_killed_and_continued_is_the_same_to_the_bit(smoke, stage, undisturbed, tmp_path, at):
    arguments = smoke.arguments(stage, tmp_path)
    code = KILLED.format(at=at)
    killed = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr
    assert not (tmp_path / "model").exists()
    newest = checkpoint.found(tmp_path / "state")[-1]
    assert newest.name == f"step-{(at - 1) // EVERY * EVERY:09d}.safetensors"
    names = {name.split("/")[0] for name in load_file(newest)}
    assert names == {"tokenizer", "discriminator"}
    assert main(arguments) == 0
    assert same(tmp_path / "model", undisturbed)


@pytest.mark.slow
def test_out_of_time_it_saves_and_continues_to_the_same_bit(smoke, stage, undisturbed, tmp_path, capsys):
    words = smoke.arguments(stage, tmp_path)
    assert main([*words, "--deadline=0"]) == 75
    assert "out of time: stopped after step 2 of 20" in capsys.readouterr().err
    assert main(words) == 0
    assert same(tmp_path / "model", undisturbed)


@pytest.mark.slow
def test_two_processes_learn_what_one_does(smoke, stage, tmp_path):
    """Uses float64: convolutions of 8 images round differently from those of 16.

    Each of Adam's steps makes the difference about three times as large.
    """
    models = []
    with Forks() as forks:
        for processes in (1, 2):
            folder = tmp_path / str(processes)
            words = ["in_processes:in_double", *smoke.arguments(stage, folder)]
            log = tmp_path / f"{processes}.log"
            codes = forks.run(words, log, processes)
            assert codes == [0] * processes, log.read_text()
            models.append(folder / "model")
    one, two = map(curve, models)
    assert any("discriminator" in line for line in one)
    for ours, theirs in zip(two, one, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-5)
    latents = torch.randn(64, 48, 4, 4, generator=torch.Generator().manual_seed(0))
    made = [load_tokenizer(model).decode(latents) for model in models]
    assert (made[0] - made[1]).abs().max() < 1e-5  # of pixels in [-1, 1]


@pytest.mark.slow
def test_an_autoencoder_learns_from_the_same_losses(smoke, tmp_path):
    stage = smoke.stage("sd-vae-mse")
    assert main(smoke.arguments(stage, tmp_path)) == 0
    last = curve(tmp_path / "model")[-1]
    assert {"l1", "mse", "kl", "perceptual"} | ADVERSARIAL <= set(last)
    assert all(key in ("discriminator", "adversarial") or value >= 0 for key, value in last.items())
    assert load_tokenizer(tmp_path / "model").latent_shape == (4, 8, 8)


def test_what_an_image_does_not_reach_is_not_trained(smoke):
    """Processes would wait for gradients of the temporal convolutions, which one frame never reaches."""
    learner = smoke.learner(smoke.stage("qwen-image-vae"))
    names = {name for name, p in learner.network.named_parameters() if not p.requires_grad}
    assert names
    assert all("time_conv" in name for name in names)


def test_a_loss_that_is_not_a_number_ends_with_its_step_and_keeps_the_checkpoint(
    smoke, tmp_path, capsys
):
    keys = {"optimizer": {"learning_rate": 1e30, "warmup_epochs": 0}}
    stage = smoke.stage("rae-dinov2-b", stage1=keys)
    assert main(smoke.arguments(stage, tmp_path)) == 2
    said = capsys.readouterr().err
    assert "rae-dinov2-b: the" in said
    assert "at step 2; the last checkpoint is kept" in said
    assert "stage1.optimizer.learning_rate in config/models/rae-dinov2-b.yaml" in said
    assert "Traceback" not in said
    assert not (tmp_path / "model").exists()


def test_an_encoder_without_the_asked_grid_is_refused(smoke, tmp_path, capsys):
    stage = smoke.stage("rae-dinov2-b", latent=[48, 8, 8])
    assert main(smoke.arguments(stage, tmp_path)) == 2
    said = capsys.readouterr().err
    assert "'latent' is (48, 8, 8), but the features of" in said
    assert "are (48, 4, 4)" in said


def test_layers_that_the_discriminators_encoder_lacks_are_refused(smoke):
    stage = smoke.stage("rae-dinov2-b", stage1={"adversarial": {"layers": [2, 9]}})
    with pytest.raises(UserError, match=r"layers \[2, 9\]: its encoder has blocks 1 to 4"):
        smoke.learner(stage)


def test_a_network_of_another_configuration_is_refused(smoke, stage, tmp_path, capsys):
    other = smoke.arguments(stage, tmp_path, inception=smoke.networks["dinov2-b"])
    assert main(other) == 2
    assert "another configuration" in capsys.readouterr().err
    without = [a for a in smoke.arguments(stage, tmp_path) if "inception" not in a]
    assert main(without) == 2
    assert "needs inception as its perceptual: give --network inception=DIR" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("architecture", "said"),
    [
        ({"num_attention_heads": 3}, "hidden_size 128 is not a multiple of architecture.num_attention"),
        ({"hidden_size": "wide"}, "(architecture): 'hidden_size' = 'wide': Input should be a valid int"),
        ({"hidden_sise": 64}, "(architecture): unknown key 'hidden_sise'; did you mean 'hidden_size'?"),
    ],
)
def test_a_mistake_in_the_architecture_is_a_sentence(smoke, tmp_path, capsys, architecture, said):
    stage = smoke.stage("rae-dinov2-b", architecture=architecture)
    assert main(smoke.arguments(stage, tmp_path)) == 2
    error = capsys.readouterr().err
    assert f"config/models/rae-dinov2-b.yaml{'' if 'multiple' in said else ' '}" in error
    assert said in error


# ------------------------------------------------------------------------------ few of many images


def bright(*counts: int) -> SimpleNamespace:
    """Images in the order of their classes, ``counts`` of each; the last class is the brightest."""
    labels = np.repeat(np.arange(len(counts)), counts)
    levels = np.linspace(0, 255, len(counts)).astype(np.uint8)[labels]
    images = np.broadcast_to(levels[:, None, None, None], (len(labels), 32, 32, 3))
    return SimpleNamespace(images=images, labels=labels)


@pytest.mark.parametrize(
    ("labels", "most", "rows"),
    [
        ([0, 0, 0, 1, 1, 1, 2, 2, 2], 6, [0, 1, 3, 4, 6, 7]),
        ([0, 0, 0, 0, 1, 1], 4, [0, 1, 4, 5]),
        ([0, 0, 0, 0, 0, 1], 4, [0, 1, 2, 5]),
        ([0, 1, 2, 0, 1, 2, 0, 1, 2], 4, [0, 1, 2, 3]),
        ([1, 0, 0, 0, 0, 1], 4, [0, 1, 2, 3]),
        ([0, 0, 0, 0], 3, [0, 1, 2]),
        ([0, 1], 3, [0, 1]),
        ([], 3, []),
    ],
)
def test_a_few_images_are_the_first_ones_or_some_of_every_class(labels, most, rows):
    assert rows_of_classes(np.array(labels, np.int64), most).tolist() == rows


def test_an_autoencoders_latents_are_of_unit_size_for_all_classes_of_ordered_data(smoke, tmp_path):
    train = bright(2000, 2000)
    trainee = smoke.learner(smoke.stage("sd-vae-mse"), train).trainee
    trainee.measure()
    latents = trainee.save(tmp_path / "model").encode(torch.from_numpy(train.images[::500].copy()))
    assert float(latents.std()) == pytest.approx(1, rel=0.01)


def test_the_quality_is_that_of_as_many_images_of_every_class(smoke, stage):
    tokenizer = OnDevice(Pixels(32), ALONE.device)
    quality = smoke.learner(stage).quality(tokenizer, bright(3000, 1000))
    assert quality["latent_std"] == pytest.approx(1, rel=1e-6)  # the mean latent is 0


class Counted:
    """Images that count the rows that are read."""

    def __init__(self, images):
        self.images, self.shape, self.rows = images, images.shape, 0

    def __len__(self):
        return len(self.images)

    def __getitem__(self, rows):
        read = self.images[rows]
        self.rows += len(read)
        return read


def test_an_encoders_statistics_are_measured_once_at_the_end(smoke, stage):
    """A training that is stopped and continued would otherwise measure them again."""
    file = ImageFile(smoke.data("train"))
    train = SimpleNamespace(images=Counted(file.images), labels=file.labels)
    learner = smoke.learner(stage, train)
    assert train.images.rows == 0
    learner.finish()
    assert train.images.rows == len(file)
