"""End-to-end tuning of a VAE: its gradients, latent statistics, resuming, and saved files."""

from __future__ import annotations

import json
import os
import signal
from itertools import product

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file
from torch.nn import functional as F

from nanogen.backbones import build
from nanogen.backbones.embeddings import Condition
from nanogen.cli import main
from nanogen.config import load_study, plan, stages
from nanogen.config.model_schema import Model
from nanogen.config.model_stage import ModelStage
from nanogen.config.section import read
from nanogen.config.tokenizer_schema import EndToEnd
from nanogen.config.train_stage import BackboneStage
from nanogen.config.validation import merged
from nanogen.data.image_import import write_images
from nanogen.data.images import ImageFile
from nanogen.data.pixels import to_signed
from nanogen.errors import UserError
from nanogen.files import write_json
from nanogen.models.card import read_card
from nanogen.objectives.batch import Batch
from nanogen.stage1.end_to_end import Backbone, JointLoss, LatentNorm
from nanogen.stage1.joint_batches import JointBatches
from nanogen.stage1.joint_learner import JointLearner
from nanogen.stage1.latent_report import alignment
from nanogen.stage1.loop import train_tokenizer
from nanogen.stage1.terms import Reconstructed
from nanogen.stage1.vae import Coder
from nanogen.stage1.vae import build as build_vae
from nanogen.tokenizers import load_tokenizer
from nanogen.tokenizers.latent_layouts import layout_of
from nanogen.training.execution import Saving
from nanogen.training.processes import Processes
from nanogen.training.stopping import Interrupted

ALONE = Processes(0, 1, torch.device("cpu"))
MODEL = Model(
    name="tuned",
    kind="vae",
    model_class="AutoencoderKL",
    latent=(4, 4, 4),
    architecture={"block_out_channels": [4, 4], "norm_num_groups": 1},
)
JOINT = {
    "seed": 1,
    "method": "tuned",
    "task": "imagenet",
    "latent": [4, 4, 4],
    "text_width": None,
    "conditioner": {"kind": "label", "classes": 3, "tokens": 2},
    "backbone": {
        "kind": "ddt",
        "encoder_width": 16,
        "encoder_depth": 2,
        "encoder_heads": 2,
        "decoder_width": 16,
        "decoder_depth": 1,
        "decoder_heads": 2,
        "repa_depth": 1,
        "repa_width": 5,
        "repa_head": "mlp",
    },
    "objective": {
        "kind": "flow-matching",
        "shift_base": 64,
        "t_eps": 0.05,
        "time_mu": 0.0,
        "time_sigma": 1.0,
        "prediction": "v",
    },
    "training": {"condition_dropout": 0.0},
}


class Step:
    """One joint step of small networks on one batch of random images."""

    def __init__(self, vae_coefficient: float = 1.5):
        torch.manual_seed(0)
        self.layout = layout_of("AutoencoderKL")
        self.vae = Coder(build_vae(MODEL, 8), self.layout)
        network = build(BackboneStage.from_json(JOINT))
        for parameter in network.parameters():  # zero weights would give zero gradients
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.05)
        self.backbone = Backbone(LatentNorm(4, 0.1), network, network.conditioner)
        keys = {"head": "cosine-mlp", "coefficient": 0.5, "vae_coefficient": vae_coefficient}
        self.loss = JointLoss.of(read(EndToEnd, keys), BackboneStage.from_json(JOINT))
        self.images = torch.randint(256, (6, 8, 8, 3), dtype=torch.uint8)
        self.noise = torch.randn(6, 4, 4, 4)
        self.batch = Batch(
            x=torch.empty(0),
            noise=torch.randn(6, 4, 4, 4),
            normal=torch.randn(6),
            uniform=torch.rand(6),
            other_normal=torch.randn(6),
            condition=Condition(labels=torch.randint(3, (6,))),
            step=0,
            patches=torch.randn(6, 5, 4, 4),
        )

    def encoded(self) -> tuple[Reconstructed, torch.Tensor]:
        target = to_signed(self.images)
        made = Reconstructed(self.images, target, *self.vae(target, self.noise))
        return made, made.mean + (0.5 * made.log_variance).exp() * self.noise

    def backward(self, weight: float) -> dict[str, torch.Tensor]:
        """Compute gradients; the VAE's own loss is ``weight`` times the L1 of the reconstruction."""
        made, latents = self.encoded()
        own = {"loss": weight * F.l1_loss(made.output, made.target)}
        losses, _ = self.loss.backward(latents, self.backbone, self.batch, lambda: (own, None))
        return losses


def gradients(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad for name, p in module.named_parameters() if p.grad is not None}


def test_the_diffusion_loss_does_not_reach_the_vae():
    """Without REPA and its own losses the VAE has no gradient, while the backbone learns to denoise."""
    step = Step(vae_coefficient=0.0)
    step.backward(0.0)
    assert all(not gradient.any() for gradient in gradients(step.vae).values())
    assert any(gradient.any() for gradient in gradients(step.backbone.network.decoder).values())


def test_repa_reaches_every_weight_of_the_vaes_encoder_and_none_of_its_decoder():
    step = Step()
    step.backward(0.0)
    encoder = gradients(step.vae.network.encoder)
    assert set(encoder) == {name for name, _ in step.vae.network.encoder.named_parameters()}
    assert all(gradient.any() for gradient in encoder.values())
    assert all(not gradient.any() for gradient in gradients(step.vae.network.decoder).values())


def test_one_pass_gives_the_gradients_of_both_sums():
    """They equal those of two full backward passes: own loss + 1.5 REPA for the VAE, flow matching +
    0.5 REPA for the backbone."""
    step, plain = Step(), Step()
    losses = step.backward(1.0)
    made, latents = plain.encoded()
    whole = Batch(**{**vars(plain.batch), "x": plain.backbone.norm(latents)})
    network = plain.backbone.network
    predicted = plain.loss.objective.predicted(network, whole, plain.backbone.conditioner)
    repa = plain.loss.repa(predicted)
    assert losses["repa"].item() == pytest.approx(repa.item(), rel=1e-5)
    own = 1.5 * repa + F.l1_loss(made.output, made.target)
    own.backward(inputs=list(plain.vae.parameters()), retain_graph=True)
    trained = [p for p in network.parameters() if p.requires_grad]
    (plain.loss.objective.error(predicted) + 0.5 * repa).backward(inputs=trained)
    for mine, theirs in ((step.vae, plain.vae), (step.backbone.network, network)):
        found = gradients(mine)
        for name, wanted in gradients(theirs).items():
            torch.testing.assert_close(found[name], wanted, rtol=1e-3, atol=1e-6)


@pytest.fixture
def shared(tmp_path):
    """DistributedDataParallel, in a process group of this process alone."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'group'}", rank=0, world_size=1
    )
    yield torch.nn.parallel.DistributedDataParallel
    torch.distributed.destroy_process_group()


def test_networks_that_processes_share_get_the_same_gradients(shared):
    """DistributedDataParallel fails if a gradient is missing or arrives twice."""
    alone, step = Step(), Step()
    alone.backward(1.0)
    networks = step.vae, step.backbone.network
    step.vae = shared(networks[0])
    step.backbone = step.backbone._replace(network=shared(networks[1]))
    for _ in range(2):
        for network in networks:
            network.zero_grad()
        step.backward(1.0)
    for mine, theirs in zip(networks, (alone.vae, alone.backbone.network), strict=True):
        found = gradients(mine)
        for name, wanted in gradients(theirs).items():
            torch.testing.assert_close(found[name], wanted)


def test_the_norm_makes_unit_latents_and_its_moments_become_those_of_the_data():
    scale, shift = torch.tensor([0.1, 1.0, 5.0, 20.0]), torch.tensor([3.0, 0.0, -1.0, 0.5])
    norm = LatentNorm(4, 0.1)
    generator = torch.Generator().manual_seed(0)
    for _ in range(100):
        draws = torch.randn(32, 4, 8, 8, generator=generator)
        latents = draws * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)
        norm.follow(latents, ALONE)
    normalised = norm(latents)
    torch.testing.assert_close(normalised.mean((0, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0)
    assert (normalised.std((0, 2, 3)) - 1).abs().max() < 0.01
    assert ((norm.mean - shift) / scale).abs().max() < 0.05
    assert (norm.var.sqrt() / scale - 1).abs().max() < 0.05


# ------------------------------------------------------------------ a whole tuning, on a tiny study

ENCODER = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
SIZES = {"train_images": 96, "val_images": 32}
STEPS = {"batch_size": 8, "checkpoint_every": 4, "log_every": 2}
BRIEF = {**STEPS, "epochs": 0.5, "terms": {"perceptual": 0}, "adversarial": None}
TINY = {
    "dinov2-b": {"architecture": ENCODER, "training": {"steps": 4, "batch_size": 8}, "width": 16},
    "va-vae": {"architecture": {"block_out_channels": [4, 4, 4, 4]}, "stage1": BRIEF},
    "e2e-va-vae": {
        "stage1": {
            **STEPS,
            "epochs": 1.0,
            "terms": {"perceptual": 0},
            "adversarial": {"disc_start": 0.2, "gan_start": 0.4, "layers": [1]},
        },
        "end_to_end": {
            "depth": 1,
            "backbone": {"encoder_width": 16, "encoder_depth": 2, "decoder_width": 16},
        },
    },
}


class Workspace:
    """A tiny study's images, encoder and VAE, and the tuning of that VAE."""

    def __init__(self, folder):
        self.folder, self.study = folder, load_study("nano", {"data": SIZES, "models": TINY})
        for task, split in product(("imagenet", "t2i", "pretraining"), ("train", "val")):
            write_images(stages.data(self.study, task, split), folder / f"{task}-{split}.h5")
        self.run("build-model", "dinov2-b")
        self.run("train-tokenizer", "va-vae", f"--state={folder / 'state'}")
        self.stage = ModelStage.from_json(stages.model(self.study, "e2e-va-vae"))

    def run(self, command: str, name: str, *options: str, expected: int = 0):
        config, stage = self.folder / "stage.json", stages.model(self.study, name)
        write_json(config, stage)
        images = self.folder / stage["model"]["data"]
        files = [f"--{split}={images}-{split}.h5" for split in ("train", "val")]
        given = [command, f"--config={config}", f"--output={self.folder / name}", *files, *options]
        assert main(given) == expected
        return self.folder / name

    def networks(self) -> list[str]:
        return [f"--network={name}={self.folder / name}" for name in ("dinov2-b", "va-vae")]

    def images(self, split: str) -> ImageFile:
        return ImageFile(self.folder / f"imagenet-{split}.h5")

    def learner(self, **given) -> JointLearner:
        roles = {"start": "va-vae", "encoder": "dinov2-b", "discriminator": "dinov2-b"}
        folders = {role: self.folder / name for role, name in roles.items()} | given
        return JointLearner(self.stage, self.images("train"), folders, ALONE)

    def tune(self, folder, stop_at: int = -1):
        """Tune in ``folder``; SIGTERM arrives while the batch of step ``stop_at`` is read."""
        learner, file = self.learner(), self.images("train")
        batches = Stopping(file.images, file.labels, self.stage, learner.trainee.noise, ALONE)
        batches.stop_at = stop_at
        val, state = self.images("val"), folder / "state"
        state.mkdir(parents=True, exist_ok=True)
        train_tokenizer(
            self.stage,
            learner,
            batches,
            val,
            state=state,
            output=folder / "model",
            group=ALONE,
            saving=Saving(checkpoint_every=4, log_every=2),
        )
        return folder / "model"


class Stopping(JointBatches):
    stop_at = -1

    def at(self, step, *where):
        if step == self.stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().at(step, *where)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    torch.set_num_threads(1)
    return Workspace(tmp_path_factory.mktemp("tuning"))


@pytest.fixture(scope="module")
def tuned(workspace):
    state = workspace.folder / "tuning"
    options = ("--checkpoint-every=4", "--log-every=2", f"--state={state}")
    return workspace.run("tune-tokenizer", "e2e-va-vae", *workspace.networks(), *options)


def weights(folder):
    return load_file(folder / "diffusion_pytorch_model.safetensors")


def curve(folder):
    lines = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if "second" not in k} for line in lines]


def test_a_tuned_vae_is_an_ordinary_one_of_diffusers(workspace, tuned):
    network = AutoencoderKL.from_pretrained(tuned).eval()
    file = workspace.images("val")
    images = torch.from_numpy(np.array(file.images[:8]))
    with torch.no_grad():
        posterior = network.encode(to_signed(images)).latent_dist
        mean, std = (torch.tensor(network.config[f"latents_{k}"]) for k in ("mean", "std"))
        latents = (posterior.mode() - mean.view(1, -1, 1, 1)) / std.view(1, -1, 1, 1)
        output = network.decode(posterior.mode()).sample
    tokenizer = load_tokenizer(tuned)
    torch.testing.assert_close(tokenizer.encode(images), latents, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(tokenizer.decode(latents), output, rtol=1e-4, atol=1e-4)
    before = weights(workspace.folder / "va-vae")
    assert any(not torch.equal(before[name], value) for name, value in weights(tuned).items())


def test_its_normalisation_is_the_moments_of_its_latents(workspace, tuned):
    images = torch.from_numpy(np.array(workspace.images("train").images))
    latents = load_tokenizer(tuned).encode(images)
    assert latents.mean((0, 2, 3)).abs().max() < 1e-3
    assert (latents.std((0, 2, 3)) - 1).abs().max() < 1e-3


def test_an_encoder_given_by_path_gives_the_same_features(workspace, tmp_path):
    """The folder is as a hub has it, without what this program adds."""
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((workspace.folder / "dinov2-b" / name).read_bytes())
    images = torch.from_numpy(np.array(workspace.images("val").images))
    own, given = workspace.learner().encoder, workspace.learner(encoder=tmp_path).encoder
    assert torch.equal(given(images), own(images))


def test_curve_and_card_tell_what_the_tuning_did(workspace, tuned):
    lines = curve(tuned)
    assert [line["step"] for line in lines] == [2, 4, 6, 8, 10, 12]
    assert {"loss", "l1", "velocity", "repa", "grad_norm", "backbone_grad_norm"} <= set(lines[0])
    assert {"adversarial", "accuracy_real", "accuracy_fake"} <= set(lines[-1])
    quality = read_card(tuned)["quality"]
    for key in ("mean", "std", "std_min", "std_max", "alignment"):
        assert quality[key] != quality[f"before_{key}"]
    assert {"psnr", "latent_std"} <= set(quality)


def test_stopped_by_a_signal_and_continued_is_the_same_to_the_bit(workspace, tuned, tmp_path):
    with pytest.raises(Interrupted, match=r"stopped after step .* of 12"):
        workspace.tune(tmp_path, stop_at=4)
    assert list((tmp_path / "state").glob("step-*.safetensors"))
    again = workspace.tune(tmp_path)
    found, wanted = weights(again), weights(tuned)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert curve(again) == curve(tuned)


def test_alignment_is_one_for_a_linear_image_of_the_features_and_none_for_noise():
    images = np.random.default_rng(0).integers(256, size=(60, 8, 8, 3), dtype=np.uint8)

    def features(x):
        return to_signed(x)[:, :, ::4, ::4]

    def latents(x):  # a finer grid, rotated and scaled
        return 3 * F.interpolate(features(x), scale_factor=2).flip(1) + 1

    def noise(x):
        return torch.randn(len(x), 4, 4, 4, generator=torch.Generator().manual_seed(int(x.sum())))

    assert alignment(latents, features, images[:40], images[40:]) > 0.99
    assert abs(alignment(noise, features, images[:40], images[40:])) < 0.2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start": "e2e-va-vae"}, "is tuned from another, not from itself"),
        ({"start": "flux1-vae"}, "start flux1-vae is a AutoencoderKL of latents .*; tuning changes"),
        ({"depth": 9}, "depth 9 must be one of the encoder's blocks, 1 to 2"),
        ({"encoder": "va-vae"}, "encoder va-vae is not a vision encoder"),
        ({"objective": {"kind": "meanflow"}}, "by flow matching and REPA alone"),
        ({"backbone": {"patch": 3}}, "backbone.patch 3 does not divide the latent 4x4"),
    ],
)
def test_a_tuning_that_cannot_be_is_refused_while_planning(change, message):
    models = merged(TINY, {"e2e-va-vae": {"end_to_end": change}})
    with pytest.raises(UserError, match=message):
        stages.model(load_study("nano", {"data": SIZES, "models": models}), "e2e-va-vae")


def test_another_vae_than_the_one_it_starts_from_is_refused(workspace, capsys):
    given = [f"--network=va-vae={workspace.folder / 'dinov2-b'}", *workspace.networks()[:1]]
    options = (*given, f"--state={workspace.folder / 'refused'}")
    workspace.run("tune-tokenizer", "e2e-va-vae", *options, expected=2)
    assert "carries hash" in capsys.readouterr().err


def test_every_e2e_vae_of_the_paper_can_be_tuned_here():
    """By default the released VAEs are fetched. Building one needs the VAE that it starts from."""
    starts = {
        "e2e-va-vae": "va-vae",
        "e2e-flux1-vae": "flux1-vae",
        "e2e-sd3.5-vae": "sd3.5-vae",
        "e2e-qwen-image-vae": "qwen-image-vae",
    }
    fetched = load_study("paper", {"methods": list(starts)})
    assert "va-vae" not in plan.models_of(fetched)
    built = load_study(
        "paper", {"methods": list(starts), "models": {name: {"source": "build"} for name in starts}}
    )
    names = plan.models_of(built)
    for name, start in starts.items():
        assert names.index(start) < names.index(name)
        stage = stages.model(built, name)
        assert stage["expects"]["start"] == stages.model(built, start)["hash"]
        assert stage["joint"]["backbone"]["encoder_width"] == 1152
