"""Generate sample sets, with noise that depends only on the index of an image.

The noise of image i comes from a generator with the seed seed_for(seed, "sample", i); with REG, that of
its class token from seed_for(seed, "sample", i, "cls"). Batches are cut by index, so a set is the same
for any number of processes. Another batch size only changes the rounding of floating-point sums.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from nanogen.backbones import InContextEncoder
from nanogen.backbones.compilation import compile_blocks
from nanogen.backbones.embeddings import Condition
from nanogen.config.sample_stage import Sampler, SetStage, TrainedSetStage
from nanogen.data import hdf5
from nanogen.files import label
from nanogen.identity import seed_for
from nanogen.objectives import PREDICTIONS, shift_factor
from nanogen.sampling.solvers import Guidance, average_steps, integrate, solver, time_grid
from nanogen.training.processes import Processes

log = logging.getLogger(__name__)


def labels_of(stage: SetStage, prompts: Sequence[Mapping[str, Any]] | None) -> np.ndarray:
    """Return the class of every image (i mod number of classes), or the index of its prompt, int64 (N,).

    A prompt has the stage's number of images per prompt unless it has its own key ``images``. Images are
    in the order of the prompts, so appended prompts do not change the images of the others.
    """
    if prompts is None:
        assert isinstance(stage, TrainedSetStage)  # public models draw from prompts
        classes = stage.train.conditioner.classes
        assert classes is not None
        return np.arange(stage.images) % classes
    images = [prompt.get("images", stage.images_per_prompt) for prompt in prompts]
    return np.repeat(np.arange(len(prompts)), images)


def noise_of(seed: int, indices: np.ndarray, shape: tuple[int, ...], *of: str) -> Tensor:
    """Draw standard normal noise (B, *shape) from one generator per image.

    ``of`` is the name of the noise if it is not the image's own, for example ``cls``.
    """
    drawn = []
    for index in indices.tolist():
        generator = torch.Generator().manual_seed(seed_for(seed, "sample", index, *of))
        drawn.append(torch.randn(shape, generator=generator))
    return torch.stack(drawn)


def _by_velocity(sampler: Sampler) -> Solver:
    sampling, objective = sampler.sampling, sampler.train.objective
    guidance = Guidance(
        sampling.guidance_scale,
        sampling.guidance_interval,
        sampling.internal_guidance,
        sampling.internal_interval,
        sampling.internal_unconditional,
    )
    to_velocity, step = PREDICTIONS[objective.prediction], solver(sampling.solver)

    def solve(
        model: nn.Module,
        noise: Tensor,
        condition: Condition,
        grid: list[float],
        cls_noise: Tensor | None = None,
    ) -> Tensor:
        t_eps = objective.t_eps
        return integrate(model, to_velocity, noise, condition, grid, guidance, t_eps, cls_noise, step)

    return solve


def _by_average(sampler: Sampler) -> Solver:
    objective = sampler.train.objective
    return partial(average_steps, to_velocity=PREDICTIONS[objective.prediction], t_eps=objective.t_eps)


# By the kind of objective: (model, noise, condition, grid, [noise of the class token]) -> latents.
Solver = Callable[..., Tensor]
SOLVERS: dict[str, Callable[[Sampler], Solver]] = {
    "flow-matching": _by_velocity,
    "meanflow": _by_average,
}


class Drawing(Protocol):
    """A generator of images: its guidance scale, the seed of each image, and the images of a batch."""

    guidance: float

    def seed_of(self, index: int) -> int: ...

    def __call__(self, indices: np.ndarray, conditions: Any) -> np.ndarray: ...


class Generator:
    """A trained model with its sampler and tokenizer, which generates images from conditions.

    On a GPU, the model's blocks are compiled if they were for its training.
    """

    def __init__(self, sampler: Sampler, model: InContextEncoder, tokenizer: Any, device: torch.device):
        sampling, train = sampler.sampling, sampler.train
        self.model, self.tokenizer = model.to(device).eval(), tokenizer.to(device)
        if train.training.compile and device.type == "cuda":
            compile_blocks(self.model)
        self.device, self.seed = device, sampler.seed
        self.guidance = sampling.guidance_scale
        self.shape = train.latent
        shift = shift_factor(int(np.prod(self.shape)), sampling.shift_base)
        self.grid = time_grid(sampling.steps, shift)
        self.solve = SOLVERS[train.objective.kind](sampler)
        self.cls_width = train.heads.cls_width
        self.autocast = train.training.precision == "bf16"
        self.pixels = sampling.pixels

    def __call__(self, indices: np.ndarray, condition: Condition) -> np.ndarray:
        """Generate the images with the indices (B,), uint8 (B, H, W, 3)."""
        noise = noise_of(self.seed, indices, self.shape).to(self.device)
        condition = condition.to(self.device)
        cls_noise = self._cls_noise(indices)
        with torch.no_grad():
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
                latents = self.solve(self.model, noise, condition, self.grid, *cls_noise)
            return self.tokenizer.decode_uint8(latents.float(), self.pixels).cpu().numpy()

    def seed_of(self, index: int) -> int:
        """Return the seed of one image's noise."""
        return seed_for(self.seed, "sample", index)

    def _cls_noise(self, indices: np.ndarray) -> list[Tensor]:
        """Return the noise of the class token, if the model generates one (REG)."""
        if self.cls_width is None:
            return []
        return [noise_of(self.seed, indices, (self.cls_width,), "cls").to(self.device)]


def batches(count: int, size: int, group: Processes) -> Iterator[np.ndarray]:
    """Yield the index ranges of this process, cut at multiples of ``size``."""
    for number, start in enumerate(range(0, count, size)):
        if number % group.world == group.rank:
            yield np.arange(start, min(start + size, count))


def generate(
    stage: SetStage,
    generator: Drawing,
    labels: np.ndarray,
    conditions: Callable[[np.ndarray], Any],
    batch_size: int,
    group: Processes,
    output: Path,
) -> None:
    """Generate every image of a set and write ``output`` (format ``samples``, docs/formats.md).

    Args:
        stage: the stage of the sample set.
        generator: generates the images of a batch.
        labels: classes or indices of prompts, int64 (N,) (`labels_of`).
        conditions: labels (B,) -> the input of the generator for these images.
        batch_size: images per batch.
        group: the processes that share the work.
        output: the HDF5 file, which the main process writes.
    """
    name = f"{stage.method} on {stage.task}, {stage.variant}"
    drawn: list[tuple[np.ndarray, np.ndarray]] = []
    with tqdm(total=len(labels), desc=name, unit="image", disable=not sys.stderr.isatty()) as bar:
        for indices in batches(len(labels), batch_size, group):
            drawn.append((indices, generator(indices, conditions(labels[indices]))))
            bar.update(len(indices) * group.world)
    parts = [drawn] if group.world == 1 else _gathered(drawn, group, output)
    if group.main:
        _write(stage, generator, labels, [item for part in parts for item in part], output)
        log.info("%s: %d images", name, len(labels))
    group.barrier()


def _gathered(drawn: list, group: Processes, output: Path) -> list[list]:
    """Collect the images of all processes on the main one, through files next to the output."""
    arrays: dict[str, Any] = {str(i): part for pair in enumerate(drawn) for i, part in _pair(*pair)}
    with group.folder_beside(output) as folder:
        np.savez(folder / f"{group.rank}.npz", **arrays)
        group.barrier()
        return [_part(folder / f"{rank}.npz") for rank in range(group.world)] if group.main else []


def _part(file: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    with np.load(file) as held:
        count = len(held.files) // 2
        return [(held[f"indices{i}"], held[f"images{i}"]) for i in range(count)]


def _pair(number: int, pair: tuple[np.ndarray, np.ndarray]) -> list[tuple[str, np.ndarray]]:
    return [(f"indices{number}", pair[0]), (f"images{number}", pair[1])]


def _write(stage: SetStage, generator: Drawing, labels: np.ndarray, drawn: list, output: Path) -> None:
    header = label("samples", 1, stage.hash, method=stage.method, task=stage.task, variant=stage.variant)
    with hdf5.create(output, header) as file:
        images = file.create_dataset("images", (len(labels), *drawn[0][1].shape[1:]), np.uint8)
        for indices, part in drawn:  # indices of a batch are consecutive
            images[indices[0] : indices[-1] + 1] = part
        file["labels"] = labels.astype(np.int64)
        file["seeds"] = np.array([generator.seed_of(i) for i in range(len(labels))])
        file["guidance"] = np.full(len(labels), generator.guidance, np.float32)


class Subset:
    """The images ``chosen`` (K,) of a set, as images 0 ... K - 1."""

    def __init__(self, drawing: Drawing, chosen: np.ndarray):
        self.drawing, self.chosen, self.guidance = drawing, chosen, drawing.guidance

    def seed_of(self, index: int) -> int:
        """Return the seed of one image's noise."""
        return self.drawing.seed_of(int(self.chosen[index]))

    def __call__(self, indices: np.ndarray, conditions: Any) -> np.ndarray:
        return self.drawing(self.chosen[indices], conditions)
