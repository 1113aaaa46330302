"""Added loss terms, other backbones and heads: each one trains and affects the samples."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from trainings import train_in

from nanogen.backbones import Condition, Output, build, load
from nanogen.backbones.encoder import GridConvolution
from nanogen.config import load_run, stages
from nanogen.config.model_schema import Model
from nanogen.config.sample_stage import SampleStage
from nanogen.config.section import read
from nanogen.config.train_stage import TrainStage
from nanogen.config.validation import merged
from nanogen.data import hdf5
from nanogen.data.images import ImageFile
from nanogen.data.pixels import to_signed, to_uint8
from nanogen.errors import UserError
from nanogen.files import label, write_json
from nanogen.models.network_files import save_network
from nanogen.models.perceptual import SMALL_INCEPTION, load_perceptual
from nanogen.models.small_inception import SmallInception
from nanogen.objectives import PREDICTIONS, objective_of, term_networks
from nanogen.objectives.batch import Batch
from nanogen.objectives.repa import spatially_normalised
from nanogen.sampling.generate import Generator, labels_of
from nanogen.sampling.solvers import Guidance, integrate
from nanogen.stage2.batches import Batches
from nanogen.stage2.dataset import TrainingData

LONGER = {"steps": 40, "optimizer": {"learning_rate": 4e-3, "decay_start": 40, "decay_end": 40}}


def run(stage: dict, source: TrainingData, folder: Path, networks: dict | None = None) -> list[dict]:
    """Train in ``folder`` and return the lines of the curve."""
    model = train_in(folder, stage, source, every=100, networks=networks)
    return [json.loads(line) for line in (model / "train.jsonl").read_text().splitlines()]


def cache(path: Path, format_: str, hash_: str, **arrays: np.ndarray) -> Path:
    """Write a cache of these values as the encoding commands do."""
    header = label(format_, 1, hash_, tokenizer="t", tokenizer_hash="h", encoder="dinov2-b")
    with hdf5.create(path, header) as file:
        for name, values in arrays.items():
            file[name] = values.astype(np.int64 if name == "labels" else np.float16)
    return path


@pytest.fixture(scope="module")
def images(tiny_images) -> ImageFile:
    return ImageFile(tiny_images)


def average(images: ImageFile, cells: int) -> np.ndarray:
    """Mean colours of cells x cells parts of every image, (N, 3, cells, cells)."""
    pixels = torch.from_numpy(np.array(images.images)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return torch.nn.functional.adaptive_avg_pool2d(pixels, cells).numpy()


def mixed(values: np.ndarray, width: int) -> np.ndarray:
    """Mix the channels of (N, C, ...) linearly into ``width`` channels of unit size."""
    mixture = np.random.default_rng(2).standard_normal((width, values.shape[1]))
    return np.einsum("wc,nc...->nw...", mixture, values)


# ------------------------------------------------------------------------------------- REG


@pytest.fixture(scope="module")
def reg(tiny, images, tmp_path_factory) -> tuple[dict, TrainingData, Path]:
    """The stage, the data and the folder of a finished training with REG."""
    folder = tmp_path_factory.mktemp("reg")
    stage = stages.train(tiny(training=LONGER), "dinov2-b-reg", "imagenet")
    expects, labels = stage["expects"], images.labels
    latents = mixed(average(images, 4), 48)
    latents = cache(folder / "l.h5", "latents", expects["latents"], latents=latents, labels=labels)
    cls = mixed(average(images, 1)[:, :, 0, 0], 48)
    cls = cache(folder / "c.h5", "vision", expects["cls"], cls=cls, labels=labels)
    source = TrainingData(TrainStage.from_json(stage), latents, None, None, cls=cls)
    curve = run(stage, source, folder)
    write_json(folder / "curve.json", curve)
    return stage, source, folder


def test_reg_logs_its_loss_by_name_and_both_losses_fall(reg):
    curve = json.loads((reg[2] / "curve.json").read_text())
    for line in curve:
        assert line["loss"] == pytest.approx(line["velocity"] + 0.03 * line["reg"], rel=1e-4)
    for name in ("velocity", "reg"):
        first, last = (sum(line[name] for line in part) for part in (curve[:3], curve[-3:]))
        assert last < 0.9 * first, name


def test_reg_leaves_the_other_draws_as_they_were(reg):
    stage, source, _ = reg
    plain = {**stage, "backbone": {**stage["backbone"], "cls_width": None}}
    with_cls, without = (
        Batches(source, TrainStage.from_json(stage)).at(3),
        Batches(source, TrainStage.from_json(plain)).at(3),
    )
    for name in ("x", "noise", "normal", "uniform"):
        assert torch.equal(getattr(with_cls, name), getattr(without, name)), name
    assert with_cls.cls_noise.shape == with_cls.cls.shape == (16, 48)
    assert without.cls_noise is None


class Colours:
    """A decoder that shows three channels of the latent."""

    def to(self, device):
        return self

    def decode_uint8(self, latents, pixels):
        return to_uint8(latents[:, :3] / 4)


def test_reg_samples_from_noise_of_both(tiny, reg):
    sample = stages.sample(tiny(training=LONGER), "dinov2-b-reg", "imagenet", "cfg")
    model = load(reg[2] / "model")
    drawn = Generator(SampleStage.from_json(sample), model, Colours(), torch.device("cpu"))
    indices = np.arange(6)
    condition = Condition(
        labels=torch.from_numpy(labels_of(SampleStage.from_json(sample), None)[indices])
    )
    whole = drawn(indices, condition)
    assert whole.shape == (6, 4, 4, 3)
    assert np.array_equal(drawn(indices[:2], Condition(labels=condition.labels[:2])), whole[:2])
    assert whole.std() > 5
    x = torch.randn(6, 48, 4, 4, generator=torch.Generator().manual_seed(1))
    drawn = [
        integrate(model, PREDICTIONS["v"], x, condition, [1.0, 0.5, 0.0], Guidance(), cls_noise=cls)
        for cls in (torch.zeros(6, 48), torch.ones(6, 48))
    ]
    assert (drawn[0] - drawn[1]).abs().max() > 1e-3


class Constant(torch.nn.Module):
    """Velocity 3 (null class 1) and cls velocity 10 (null 4); the shallower head gives 2 and 6."""

    class conditioner:
        @staticmethod
        def null(condition):
            return Condition(labels=torch.ones_like(condition.labels))

    def forward(self, x, t, condition, cls=None):
        null = condition.labels.bool()
        image = lambda a, b: torch.where(null, b, a).view(-1, 1, 1, 1).expand_as(x)  # noqa: E731
        vector = lambda a, b: torch.where(null, b, a).view(-1, 1).expand_as(cls)  # noqa: E731
        base = Output(image(2.0, 2.0), vector(6.0, 6.0))
        self.seen = cls
        return Output(image(3.0, 1.0), vector(10.0, 4.0), base=base)


@pytest.mark.parametrize(
    ("guidance", "image", "cls"),
    [
        (Guidance(), 3.0, 10.0),
        (Guidance(2.0), 5.0, 16.0),  # 1 + 2 (3 - 1), 4 + 2 (10 - 4)
        (Guidance(1.0, internal=3.0), 5.0, 18.0),  # 2 + 3 (3 - 2), 6 + 3 (10 - 6)
        (Guidance(2.0, internal=3.0), 11.0, 36.0),  # -1 + 2 (5 + 1), 0 + 2 (18 - 0)
        (Guidance(2.0, internal=3.0, internal_interval=(0.6, 1.0)), 8.0, 36.0),  # (11 + 5) / 2
        (Guidance(2.0, internal=3.0, internal_unconditional=1.0), 9.0, 32.0),  # 1 + 2 (5 - 1), ...
        (Guidance(2.0, internal=1.0, internal_unconditional=3.0), 7.0, 20.0),  # -1 + 2 (3 + 1), ...
    ],
)
def test_guidance_moves_image_and_cls_by_hand(guidance, image, cls):
    identity = lambda output, x, t, t_eps: output  # noqa: E731
    condition = Condition(labels=torch.zeros(2, dtype=torch.int64))
    model, start = Constant(), (torch.zeros(2, 1, 1, 1), torch.zeros(2, 5))
    grid = [1.0, 0.5, 0.0]
    result = integrate(model, identity, start[0], condition, grid, guidance, cls_noise=start[1])
    torch.testing.assert_close(result, torch.full_like(result, -image))
    torch.testing.assert_close(model.seen[:2], torch.full((2, 5), -0.5 * cls))  # at the second step


# ----------------------------------------------------------------------- REPA, internal guidance


@pytest.mark.parametrize(
    "keys",
    [
        {"head": "mse-linear"},
        {"head": "cosine-mlp"},
        {"head": "cosine-conv", "spatial_norm": 0.6},
    ],
    ids=["linear", "mlp", "irepa"],
)
def test_repa_learns_the_features(tiny, images, tiny_images, tmp_path, keys):
    term = {"coefficient": 0.5, "encoder": "dinov2-b", "depth": 1, **keys}
    keys = {"objective": {"terms": {"repa": term}}}
    fewer = {"steps": 16, "optimizer": {"learning_rate": 4e-3, "decay_start": 16, "decay_end": 16}}
    study = tiny(training=fewer, overrides={"methods": {"jit": keys}})
    stage = stages.train(study, "jit", "imagenet")
    patches = mixed(average(images, 2), 48)  # on a coarser grid than the tokens'
    hash_ = stage["expects"]["patches"]
    path = cache(tmp_path / "p.h5", "vision", hash_, patches=patches, labels=images.labels)
    source = TrainingData(TrainStage.from_json(stage), None, tiny_images, None, patches=path)
    curve = run(stage, source, tmp_path)
    assert curve[-1]["repa"] < curve[0]["repa"] - 0.2 * abs(curve[0]["repa"])
    assert set(source.features(np.arange(3))) == {"patches"}
    assert source.features(np.arange(3))["patches"].shape == (3, 48, 4, 4)


def test_spatial_normalisation_by_hand():
    patches = torch.tensor([[[1.0, 5.0], [3.0, 5.0]]])  # two patches, two channels
    found = spatially_normalised(patches, 0.5)
    # means 2 and 5, deviations sqrt(2) and 0
    assert found[0, :, 0].tolist() == pytest.approx([0.0, 2 / 2**0.5], rel=1e-5)
    assert torch.isfinite(found).all()


def test_the_convolution_reads_a_cells_neighbours_on_the_grid():
    head = GridConvolution(4, 6, (3, 4))
    tokens = torch.randn(2, 12, 4)
    moved = tokens.clone()
    moved[:, 5] += 1  # row 1, column 1
    changed = (head(tokens) - head(moved)).abs().sum((0, 2)) > 1e-6
    assert changed.nonzero().flatten().tolist() == [0, 1, 2, 4, 5, 6, 8, 9, 10]


def test_internal_guidance_trains_its_head_and_moves_samples(tiny, tiny_images, tmp_path):
    keys = {
        "objective": {"terms": {"internal-guidance": {"coefficient": 1, "depth": 1}}},
        "sampling": {"internal_guidance": 1.5},
    }
    study = tiny(training=LONGER, overrides={"methods": {"jit": keys}})
    stage = stages.train(study, "jit", "imagenet")
    curve = run(stage, TrainingData(TrainStage.from_json(stage), None, tiny_images, None), tmp_path)
    assert curve[-1]["internal-guidance"] < 0.9 * curve[0]["internal-guidance"]
    sample, drawn = stages.sample(study, "jit", "imagenet", "nocfg"), []
    model = load(tmp_path / "model")
    for scale in (1.5, 1.0):
        sampling = {**sample["sampling"], "internal_guidance": scale}
        generator = Generator(
            SampleStage.from_json({**sample, "sampling": sampling}),
            model,
            Decoded(),
            torch.device("cpu"),
        )
        drawn.append(generator(np.arange(2), Condition(labels=torch.tensor([0, 1]))))
    assert not np.array_equal(*drawn)


class Decoded:
    """Returns the pixels unchanged."""

    def to(self, device):
        return self

    def decode_uint8(self, latents, pixels):
        return to_uint8(latents)


# --------------------------------------------------------------------------------- perceptual


def card(folder: Path, stage: dict, name: str) -> None:
    write_json(folder / "nanogen.json", label("model", 1, stage["expects"][name], name=name))


@pytest.fixture
def frozen(tiny, tmp_path) -> tuple[dict, dict[str, Path]]:
    """PixelGen's stage, and folders with randomly initialised networks of its classes."""
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    stage = stages.train(tiny(), "pixelgen", "imagenet")
    folders = {name: tmp_path / name for name in ("inception", "dinov2-b")}
    torch.manual_seed(3)
    folders["inception"].mkdir()
    arguments = {"classes": 5, "stem": 8, "width": 8}
    named = {"_class_name": SMALL_INCEPTION, "arguments": arguments}
    save_network(SmallInception(**arguments), named, folders["inception"])
    keys = {"hidden_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2, "patch_size": 8}
    config = Dinov2WithRegistersConfig(image_size=32, num_register_tokens=4, **keys)
    network = Dinov2WithRegistersModel(config).eval()
    with torch.no_grad():
        for parameter in network.layernorm.parameters():
            parameter.add_(torch.randn_like(parameter))  # makes the norm's scale and shift count
    network.save_pretrained(folders["dinov2-b"])
    for name, folder in folders.items():
        card(folder, stage, name)
    return stage, folders


def shaken(stage: TrainStage) -> torch.nn.Module:
    """A network whose output is not zero."""
    model = build(stage)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def test_perceptual_terms_reach_the_network_only_below_their_time(frozen, tiny_images):
    stage, folders = frozen
    source = TrainingData(TrainStage.from_json(stage), None, tiny_images, None)
    objective = objective_of(
        TrainStage.from_json(stage), term_networks(TrainStage.from_json(stage), folders)
    )
    model = shaken(TrainStage.from_json(stage))
    batch = Batches(source, TrainStage.from_json(stage)).at(0)
    for name, (_, term) in objective.terms.items():
        for time, reached in ((0.69, True), (0.7, False)):
            t = torch.full((16,), time)
            predicted = objective.base.predicted_at(model, batch, t, batch.condition)
            value = term(predicted)
            gradients = torch.autograd.grad(value, [model.final.linear.weight])
            assert bool(value > 0) == reached, name
            assert bool(gradients[0].any()) == reached, name


def test_samples_with_much_noise_are_left_out_without_a_change(frozen, tiny_images):
    """The loss equals the mean over all samples in which those with much noise count as zero."""
    stage, folders = frozen
    typed = TrainStage.from_json(stage)
    objective = objective_of(typed, term_networks(typed, folders))
    batch = Batches(TrainingData(typed, None, tiny_images, None), typed).at(0)
    model, times = shaken(typed), torch.linspace(0.97, 0.03, 16)
    trained = [p for p in model.parameters() if p.requires_grad]
    for name, (_, term) in objective.terms.items():
        found, expected = (
            objective.base.predicted_at(model, batch, times, batch.condition) for _ in range(2)
        )
        every = term.distance(expected.clean, batch.x)
        losses = term(found), torch.where(expected.t < 0.7, every, 0.0).mean()
        torch.testing.assert_close(*losses, msg=name)
        gradients = (torch.autograd.grad(loss, trained, allow_unused=True) for loss in losses)
        for one, other in zip(*gradients, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7, msg=name)


def test_pixelgen_trains_with_both_terms(frozen, tiny_images, tmp_path):
    stage, folders = frozen
    source = TrainingData(TrainStage.from_json(stage), None, tiny_images, None)
    curve = run(stage, source, tmp_path, term_networks(TrainStage.from_json(stage), folders))
    for line in curve:
        total = line["velocity"] + 0.1 * line["lpips"] + 0.01 * line["features"]
        assert line["loss"] == pytest.approx(total, rel=1e-4)


def test_a_distance_of_images_is_zero_only_for_the_same(frozen, images):
    stage, folders = frozen
    distance = load_perceptual(folders["inception"], read(Model, stage["networks"]["lpips"]))
    some = to_signed(torch.from_numpy(np.array(images.images[:4])))
    assert not distance(some, some).any()
    noisy = [distance(some + s * torch.ones_like(some).cumsum(3).sin(), some) for s in (0.1, 0.5)]
    assert (noisy[1] > noisy[0]).all()
    assert (noisy[0] > 0).all()


def test_lpips_without_its_package_says_which(tmp_path):
    model = Model(name="lpips", kind="perceptual", model_class="lpips:vgg")
    try:
        import lpips  # noqa: F401
    except ImportError:
        with pytest.raises(UserError, match="needs the package lpips"):
            load_perceptual(tmp_path, model)
    else:
        with pytest.raises(UserError, match="VGG16"):
            load_perceptual(tmp_path, model)


def test_a_term_without_its_network_is_refused(frozen):
    stage, folders = frozen
    with pytest.raises(UserError, match="give --network dinov2-b=DIR"):
        term_networks(TrainStage.from_json(stage), {"inception": folders["inception"]})


# --------------------------------------------------------------------------------- features


def test_cached_features_are_the_encoders_without_the_last_norms_scale_and_shift(
    tiny, frozen, images, tiny_images, tmp_path
):
    from transformers import Dinov2WithRegistersModel

    from nanogen.cli import main

    study, folder = tiny(), frozen[1]["dinov2-b"]
    library = Dinov2WithRegistersModel.from_pretrained(folder).eval()
    library.layernorm = torch.nn.LayerNorm(library.config.hidden_size, elementwise_affine=False)
    model = stages.vision(study, "imagenet", "dinov2-b", "cls")["model"]
    mean, std = (torch.tensor(model[k]).view(3, 1, 1) for k in ("image_mean", "image_std"))
    pixels = torch.from_numpy(images.images[:7].copy()).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        expected = library((pixels - mean) / std)
    for part in ("cls", "patches"):
        stage = stages.vision(study, "imagenet", "dinov2-b", part)
        write_json(tmp_path / "stage.json", stage)
        path = tmp_path / f"{part}.h5"
        options = {"config": tmp_path / "stage.json", "data": tiny_images, "encoder": folder}
        arguments = [a for k, v in {**options, "output": path}.items() for a in (f"--{k}", str(v))]
        assert main(["encode-features", *arguments]) == 0
        with hdf5.opened(path, "vision", 1, stage["hash"]) as file:
            found = torch.from_numpy(file[part][:7]).float()
            assert file["labels"][:].tolist() == images.labels.tolist()
        tokens = expected.last_hidden_state
        if part == "cls":
            torch.testing.assert_close(found, expected.pooler_output, atol=5e-3, rtol=1e-3)
        else:
            grid = tokens[:, 5:].transpose(1, 2).unflatten(2, (4, 4))
            torch.testing.assert_close(found, grid, atol=5e-3, rtol=1e-3)


def test_features_of_other_images_are_refused(tiny, images, tmp_path):
    stage = stages.train(tiny(), "dinov2-b-reg", "imagenet")
    expects, labels = stage["expects"], images.labels
    latents = np.zeros((100, 48, 4, 4))
    latents = cache(tmp_path / "l.h5", "latents", expects["latents"], latents=latents, labels=labels)
    cls = cache(
        tmp_path / "c.h5", "vision", expects["cls"], cls=np.zeros((100, 48)), labels=labels[::-1]
    )
    with pytest.raises(UserError, match="holds features of other images"):
        TrainingData(TrainStage.from_json(stage), latents, None, None, cls=cls)
    with pytest.raises(UserError, match="this run needs --cls FILE"):
        TrainingData(TrainStage.from_json(stage), latents, None, None)


# --------------------------------------------------------------------- backbones and heads


@pytest.mark.slow
@pytest.mark.parametrize(
    "backbone",
    [{"kind": "lightning"}, {"head": "neural-field"}, {"kind": "lightning", "head": "neural-field"}],
)
def test_another_backbone_or_head_trains_and_is_loaded_again(tiny, tiny_images, tmp_path, backbone):
    study = tiny(training=LONGER, backbone=backbone)
    stage = stages.train(study, "jit", "imagenet")
    x, t = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)), torch.rand(2)
    condition = Condition(labels=torch.tensor([3, 20]))
    with torch.no_grad():
        assert not build(TrainStage.from_json(stage))(x, t, condition).image.any()
    curve = run(stage, TrainingData(TrainStage.from_json(stage), None, tiny_images, None), tmp_path)
    assert curve[-1]["loss"] < 0.8 * curve[0]["loss"]
    one, two = load(tmp_path / "model"), load(tmp_path / "model")
    assert type(one).__name__ == {"lightning": "LightningDiT"}.get(backbone.get("kind"), "DDT")
    with torch.no_grad():
        images = one(x, t, condition).image
        assert images.abs().max() > 0.01
        assert torch.equal(two(x, t, condition).image, images)


def test_a_neural_field_reads_every_pixel_of_its_own_patch():
    from nanogen.backbones.neural_field import NeuralField

    torch.manual_seed(1)
    field = NeuralField(16, 3, 4)
    torch.nn.init.normal_(field.out.weight)  # it starts at zero
    tokens, cells = torch.randn(2, 5, 16), torch.randn(2, 5, 48)
    with torch.no_grad():
        before = field(tokens, cells)
        cells[1, 2, 7] += 1  # channel 0, pixel 7
        changed = (field(tokens, cells) != before).nonzero().tolist()
    assert before.shape == (2, 5, 48)
    assert {(b, n, value // 3) for b, n, value in changed} == {(1, 2, 7)}  # (p, p, C)


# --------------------------------------------------------------------- what a step waits for

META = torch.device("meta")  # its tensors have shapes but no values, so reading a value fails


def random_batch(stage: TrainStage) -> Batch:
    """Four random samples, with everything that the stage's conditioner and terms read."""
    normal, heads = torch.randn(4), stage.heads
    if stage.text_width is None:
        condition = Condition(labels=torch.arange(4))
    else:
        mask = torch.arange(5) < torch.tensor([[5], [0], [2], [3]])
        condition = Condition(tokens=torch.randn(4, 5, stage.text_width), mask=mask)
    x, noise = torch.randn(2, 4, *stage.latent)
    batch = Batch(x, noise, normal, torch.rand(4), normal + 1, condition, 0)
    if heads.cls_width:
        batch = replace(batch, cls=torch.randn(4, heads.cls_width))
        batch = replace(batch, cls_noise=torch.randn(4, heads.cls_width))
    if heads.repa_width:
        _, rows, columns = stage.latent
        grid = rows // stage.backbone.patch, columns // stage.backbone.patch
        batch = replace(batch, patches=torch.randn(4, heads.repa_width, *grid))
    return batch


def learn_on_meta(stage: TrainStage, networks: dict | None = None) -> None:
    model = build(stage).to(META)
    losses = objective_of(stage, networks)(model, random_batch(stage).to(META), model.conditioner)
    losses["loss"].backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize(
    ("method", "task"),
    [
        ("jit", "imagenet"),
        ("sd-vae-mse", "t2i"),
        ("dinov2-b-reg", "imagenet"),
        ("e2e-va-vae-repa", "imagenet"),
        (
            "meanflow",
            "imagenet",
        ),  # a step of flow matching; the derivative needs autocast, which META lacks
    ],
)
def test_a_step_does_not_wait_for_the_device(tiny, method, task):
    """A GPU runs asynchronously, so the host would have to wait to read one of its values."""
    learn_on_meta(TrainStage.from_json(stages.train(tiny(), method, task)))


def test_pixelgens_step_does_not_wait_for_the_device(frozen):
    stage, folders = frozen
    typed = TrainStage.from_json(stage)
    learn_on_meta(typed, term_networks(typed, folders, META))


# --------------------------------------------------------------------- wrong combinations

REG = {"reg": {"coefficient": 0.03, "encoder": "dinov2-b"}}
WRONG = [
    (
        "sd-vae-mse",
        {"objective": {"kind": "meanflow", "terms": REG}},
        "meanflow has no added terms.*reg",
    ),
    (
        "sd-vae-mse",
        {"objective": {"terms": {"lpips": {"coefficient": 0.1, "encoder": "inception"}}}},
        "lpips compares images, but sd-vae-mse makes latents",
    ),
    (
        "dinov2-b",
        {"objective": {"terms": {"repa": {"coefficient": 1, "encoder": "dinov2-b", "depth": 9}}}},
        r"terms.repa.depth 9 must be one of the encoder's blocks, 1 to 2",
    ),
    (
        "jit",
        {"objective": {"terms": {"internal-guidance": {"coefficient": 1}}}},
        r"internal-guidance.depth None must be one of",
    ),
    ("jit", {"objective": {"terms": {"reg": {"coefficient": 1}}}}, "reg.encoder must name a frozen"),
    ("jit", {"objective": {"terms": {"lpisp": {"coefficient": 1}}}}, "did you mean 'lpips'"),
    ("jit", {"sampling": {"internal_guidance": 2.0}}, "needs the head"),
    ("jit", {"sampling": {"internal_unconditional": 2.0}}, "needs the head"),
    ("jit", {"sampling": {"internal_interval": [0.5, 0.2]}}, "internal_interval .0.5, 0.2. must lie"),
    (
        "jit",
        {
            "objective": {
                "terms": merged(REG, {"repa": {"coefficient": 1, "encoder": "dinov3-b", "depth": 1}})
            }
        },
        "the same encoder",
    ),
    (
        "jit",
        {
            "objective": {
                "terms": merged(
                    REG,
                    {
                        "repa": {
                            "coefficient": 1,
                            "encoder": "dinov2-b",
                            "depth": 1,
                            "head": "cosine-conv",
                        }
                    },
                )
            }
        },
        "not a cell of a grid",
    ),
]


@pytest.mark.parametrize(("method", "keys", "sentence"), WRONG)
def test_a_combination_that_means_nothing_is_refused(tiny, method, keys, sentence):
    with pytest.raises(UserError, match=sentence):
        load_run(tiny(overrides={"methods": {method: keys}}), method, "imagenet")


def test_a_method_without_terms_keeps_its_arguments(tiny):
    """A backbone key that no term needs would change the hash of every run."""
    backbone = stages.train(tiny(), "jit", "imagenet")["backbone"]
    assert not {"cls_width", "repa_depth", "guidance_depth"} & backbone.keys()
