"""Samples: each image has its own noise on any process; guidance applies only where requested."""

from __future__ import annotations

import math
import subprocess
import sys

import h5py
import numpy as np
import pytest
import torch

from nanogen.backbones import Condition, build, save
from nanogen.config import stages
from nanogen.config.sample_stage import SampleStage
from nanogen.config.train_stage import TrainStage
from nanogen.files import label, write_json
from nanogen.identity import seed_for
from nanogen.sampling.generate import Generator, generate, labels_of, noise_of
from nanogen.sampling.solvers import Guidance, integrate, solver, time_grid
from nanogen.tokenizers.pixels import Pixels
from nanogen.training.processes import Processes

ALONE = Processes(0, 1, torch.device("cpu"))


def randomised(train: dict) -> torch.nn.Module:
    """The stage's network with random weights added, so that zero-initialised layers have an effect."""
    torch.manual_seed(5)
    model = build(TrainStage.from_json(train))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture(scope="module")
def sample(tiny) -> dict:
    return stages.sample(tiny(evaluation={"images": 23}), "jit", "imagenet", "cfg")


def images(stage: dict, folder, batch_size: int, group: Processes = ALONE) -> np.ndarray:
    """The sample set drawn in batches of this size, uint8 (N, H, W, 3)."""
    generator = Generator(
        SampleStage.from_json(stage), randomised(stage["train"]), Pixels(32), group.device
    )
    path = folder / f"samples-{batch_size}.h5"
    conditions = lambda labels: Condition(labels=torch.from_numpy(labels))  # noqa: E731
    generate(
        SampleStage.from_json(stage),
        generator,
        labels_of(SampleStage.from_json(stage), None),
        conditions,
        batch_size,
        group,
        path,
    )
    with h5py.File(path) as file:
        return file["images"][:]


def test_the_same_images_in_batches_of_any_size(sample, tmp_path):
    expected = images(sample, tmp_path, 23)
    assert expected.shape == (23, 32, 32, 3)
    assert expected.std() > 10  # not a plain grey
    assert len(np.unique(expected.reshape(23, -1), axis=0)) == 23
    for size in (1, 5, 16):
        drawn = images(sample, tmp_path, size)
        difference = np.abs(drawn.astype(int) - expected.astype(int))
        assert difference.max() <= 1
        assert (difference > 0).mean() < 1e-3


def test_a_sample_file_says_what_each_image_is(sample, tmp_path):
    images(sample, tmp_path, 10)
    with h5py.File(tmp_path / "samples-10.h5") as file:
        assert file.attrs["hash"] == sample["hash"]
        assert (file.attrs["method"], file.attrs["variant"]) == ("jit", "cfg")
        assert file["labels"][:].tolist() == [i % 20 for i in range(23)]
        assert file["seeds"][7] == seed_for(2026, "sample", 7)
        assert set(file["guidance"][:].tolist()) == {sample["sampling"]["guidance_scale"]}


def command(folder, sample: dict, processes: int) -> h5py.File:
    """The samples that `nanogen launch ... sample` draws with this many processes."""
    write_json(folder / "sample.json", sample)
    output = folder / f"by-{processes}.h5"
    started = [sys.executable, "-m", "nanogen", "launch", "--processes", str(processes), "--"]
    options = ["--config", folder / "sample.json", "--model", folder / "model", "--output", output]
    done = subprocess.run(
        [*started, "sample", *map(str, options), "--batch-size", "5"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return h5py.File(output)


@pytest.mark.slow
def test_one_and_two_processes_draw_exactly_the_same(sample, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    model = randomised(sample["train"])
    save(folder, model, model.state_dict())
    write_json(folder / "nanogen.json", label("model", 1, sample["expects"]["model"], name="jit"))
    with command(tmp_path, sample, 1) as one, command(tmp_path, sample, 2) as two:
        for name in ("images", "labels", "seeds", "guidance"):
            assert np.array_equal(one[name][:], two[name][:]), name
    assert not list(tmp_path.glob(".*"))  # no partial files are left


def test_every_class_and_prompt_gets_its_share(tiny):
    imagenet = stages.sample(tiny(evaluation={"images": 40}), "jit", "imagenet", "cfg")
    assert np.bincount(labels_of(SampleStage.from_json(imagenet), None)).tolist() == [2] * 20
    t2i = stages.sample(tiny(), "jit", "t2i", "cfg")
    prompts = [{"prompt": "a circle"}] * 9 + [{"prompt": "a square", "images": 1}]
    assert np.bincount(labels_of(SampleStage.from_json(t2i), prompts)).tolist() == [4] * 9 + [1]


def test_noise_belongs_to_the_index():
    noise = noise_of(3, np.arange(6), (3, 4, 4))
    assert len(torch.unique(noise.flatten(1), dim=0)) == 6
    assert torch.equal(noise_of(3, np.array([4, 1]), (3, 4, 4)), noise[[4, 1]])
    assert not torch.equal(noise_of(4, np.arange(6), (3, 4, 4)), noise)
    many = noise_of(3, np.arange(500), (3, 4, 4))
    assert float(many.mean()) == pytest.approx(0, abs=0.03)
    assert float(many.std()) == pytest.approx(1, abs=0.03)


def test_methods_with_latents_of_one_shape_start_from_the_same_noise(tiny, tmp_path):
    """Differences between two methods' images are then due to the methods, not to the noise."""

    class Still(torch.nn.Module):
        """Velocity zero everywhere: the sampler returns its noise."""

        conditioner = build(TrainStage.from_json(stages.train(tiny(), "jit", "imagenet"))).conditioner

        def forward(self, x, t, condition):
            return type("Output", (), {"image": torch.zeros_like(x)})

    drawn = []
    for method in ("jit", "pixelgen"):
        stage = stages.sample(tiny(), "jit", "imagenet", "nocfg")
        stage["train"]["objective"]["prediction"] = "v"
        stage = {**stage, "method": method}
        generator = Generator(SampleStage.from_json(stage), Still(), Pixels(32), torch.device("cpu"))
        labels = torch.zeros(4, dtype=torch.int64)
        drawn.append(generator(np.arange(4), Condition(labels=labels)))
    assert np.array_equal(drawn[0], drawn[1])
    assert len(np.unique(drawn[0].reshape(4, -1), axis=0)) == 4


# ------------------------------------------------------------------- guidance and the sampler


def passes(scale: float, interval: tuple[float, float], grid: list[float], tiny) -> list[int]:
    """Return the batch size of every forward pass while sampling 3 images."""
    model = randomised(stages.train(tiny(), "jit", "imagenet"))
    rows: list[int] = []
    model.register_forward_hook(lambda module, arguments, output: rows.append(len(arguments[0])))
    noise = noise_of(1, np.arange(3), (3, 32, 32))
    condition = Condition(labels=torch.tensor([0, 1, 2]))
    identity = lambda output, x, t, t_eps: output  # noqa: E731
    integrate(model, identity, noise, condition, grid, Guidance(scale, interval))
    return rows


def test_guidance_of_one_needs_no_unconditional_pass(tiny):
    assert passes(1.0, (0.0, 1.0), time_grid(6, 1.0), tiny) == [3] * 6


def test_outside_the_interval_there_is_no_unconditional_pass(tiny):
    grid = [1.0, 0.9, 0.6, 0.3, 0.1, 0.0]
    assert passes(2.0, (0.0, 0.9), grid, tiny) == [3, 6, 6, 6, 6]  # closed at 0.9
    assert passes(2.0, (0.3, 0.6), grid, tiny) == [3, 3, 6, 6, 3]


@torch.no_grad()
def test_guidance_of_texts_costs_no_tokens_for_the_null_prompt(tiny):
    """The null prompt has no tokens, so its pass is shorter; the velocities are those of masked ones."""
    model = randomised(stages.train(tiny(), "jit", "t2i"))
    rows: list[int] = []
    hook = lambda module, given: rows.append(given[0].flatten(0, -2).shape[0])  # noqa: E731
    model.encoder[0].mlp.register_forward_pre_hook(hook)
    width = model.config["text_width"]
    tokens = torch.randn(3, 5, width, generator=torch.Generator().manual_seed(1))
    mask = torch.arange(5) < torch.tensor([[5], [2], [3]])
    condition = Condition(tokens=tokens, mask=mask)
    noise = noise_of(1, np.arange(3), (3, 32, 32))
    identity = lambda output, x, t, t_eps: output  # noqa: E731
    found = integrate(model, identity, noise, condition, [1.0, 0.0], Guidance(3.0))
    assert rows[0] - rows[1] == 5 + 2 + 3
    times, masked = torch.ones(3), Condition(tokens=tokens, mask=torch.zeros_like(mask))
    told, null = (model(noise, times, c).image for c in (condition, masked))
    torch.testing.assert_close(found, noise - (null + 3 * (told - null)), rtol=1e-4, atol=1e-4)


def test_the_papers_interval_skips_the_passes_it_says():
    guidance = Guidance(2.0, (0.0, 0.9))
    for shift, skipped in ((48**0.5, 22), (4.0, 16), (1.0, 5)):  # of 50 steps
        grid = time_grid(50, shift)[:-1]
        assert sum(not guidance.active(t) for t in grid) == skipped


class Affine(torch.nn.Module):
    """A constant velocity of 3 for class 0 and 1 for the null class."""

    class conditioner:
        @staticmethod
        def null(condition):
            return Condition(labels=torch.ones_like(condition.labels))

    def forward(self, x, t, condition):
        value = torch.where(condition.labels == 0, 3.0, 1.0).view(-1, 1, 1, 1)
        return type("Output", (), {"image": value.expand_as(x)})


@pytest.mark.parametrize(
    ("guidance", "velocity"),
    [
        (Guidance(), 3.0),
        (Guidance(2.0, (0.0, 1.0)), 5.0),  # 1 + 2 (3 - 1)
        (Guidance(2.0, (0.0, 0.5)), 4.0),  # for half of the path
    ],
)
def test_guided_euler_by_hand(guidance, velocity):
    x = torch.zeros(2, 1, 1, 1)
    identity = lambda output, x, t, t_eps: output  # noqa: E731
    condition = Condition(labels=torch.zeros(2, dtype=torch.int64))
    result = integrate(Affine(), identity, x, condition, [1.0, 0.75, 0.5, 0.25, 0.0], guidance)
    torch.testing.assert_close(result, torch.full_like(x, -velocity))


class Growing(Affine):
    """Velocity x: from 1 at t = 1 the exact solution falls to 1/e at t = 0."""

    def forward(self, x, t, condition):
        return type("Output", (), {"image": x})


@pytest.mark.parametrize(("name", "order"), [("euler", 1), ("heun", 2)])
def test_a_solver_converges_by_its_order(name, order):
    def error(steps: int) -> float:
        condition = Condition(labels=torch.zeros(1, dtype=torch.int64))
        identity = lambda output, x, t, t_eps: output  # noqa: E731
        noise, grid = torch.ones(1, 1, 1, 1), time_grid(steps, 1.0)
        end = integrate(Growing(), identity, noise, condition, grid, Guidance(), step=solver(name))
        return abs(end.item() - math.exp(-1))

    assert error(20) / error(40) == pytest.approx(2**order, rel=0.15)


def test_the_grid_goes_from_noise_to_data():
    assert time_grid(4, 1.0) == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert time_grid(2, 4.0) == pytest.approx([1.0, 0.8, 0.0])


def test_a_perfect_network_is_integrated_to_the_data():
    """x-prediction of the true image ends exactly on it, for any noise and time grid."""
    from nanogen.objectives import PREDICTIONS

    target = torch.linspace(-1, 1, 12).view(1, 3, 2, 2)

    class Knowing(Affine):
        def forward(self, x, t, condition):
            return type("Output", (), {"image": target.expand_as(x)})

    noise = noise_of(1, np.arange(4), (3, 2, 2))
    condition = Condition(labels=torch.zeros(4, dtype=torch.int64))
    result = integrate(Knowing(), PREDICTIONS["x"], noise, condition, time_grid(10, 1.7), Guidance())
    torch.testing.assert_close(result, target.expand_as(result), atol=1e-5, rtol=0)
