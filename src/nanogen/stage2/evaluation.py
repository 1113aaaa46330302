"""Evaluation during training: the sampler and metrics of the final evaluation, on the averaged weights.

The averaged weights are loaded into a separate network, and random numbers come from separate
generators. The training is therefore the same with and without evaluation.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from nanogen.backbones.embeddings import Condition
from nanogen.config.sample_stage import OnlineStage
from nanogen.config.train_stage import TrainStage
from nanogen.errors import UserError
from nanogen.files import explained
from nanogen.training import checkpoint
from nanogen.training.processes import Processes

log = logging.getLogger(__name__)
Weights = Mapping[str, Tensor]  # the averaged weights, by parameter name
Listener = Callable[[int, dict[str, float], np.ndarray], None]  # step, numbers, images (N, H, W, 3)


@dataclass(frozen=True)
class Inputs:
    """Files that the evaluation reads; the task and the tokenizer decide which ones are needed.

    Attributes:
        networks: folders of the tokenizer and of the metrics' networks, by model name.
        reference: moments of the real images (format reference), for class-conditional generation.
        prompts: the prompts (format prompts), for text-to-image generation.
        text: the text features of the prompts (format text), for text-to-image generation.
    """

    networks: Mapping[str, Path]
    reference: Path | None = None
    prompts: Path | None = None
    text: Path | None = None

    def folder(self, name: str) -> Path:
        """Return the folder given for a network; raises UserError if there is none."""
        if name not in self.networks:
            raise UserError(f"the evaluation while training needs {name}: give --network {name}=DIR")
        return self.networks[name]

    def file(self, part: str) -> Path:
        """Return the file given for ``part``; raises UserError if there is none."""
        path = getattr(self, part)
        if path is None:
            option = {"text": "prompt-text"}.get(part, part)
            raise UserError(f"the evaluation while training needs --{option} FILE")
        return path


class Online:
    """Evaluate the averaged weights at a fixed interval and after the last step.

    Every process has an instance and draws its share of the images. The main process computes the
    metrics and writes a JSON line for each evaluation.

    Attributes:
        listen: called after every evaluation on the main process.

    Raises:
        UserError: a file or a network is missing or belongs to another configuration.
    """

    def __init__(self, stage: OnlineStage, train: TrainStage, inputs: Inputs, group: Processes):
        if stage.train.hash != train.hash:
            raise UserError(
                f"the evaluation belongs to the training {stage.train.hash}, not to {train.hash}; "
                "give the configuration that belongs to this run"
            )
        self.every, self.steps = stage.every, train.training.steps
        if self.every < 1:
            raise UserError("training.evaluate_every is 0: set it, or leave --online out")
        self.name, self.group = f"{stage.method} on {stage.task}", group
        self.listen: Listener = lambda step, values, images: None
        with _apart(group.device):
            self.images = Images(stage, inputs, group)
            self.metric = METRICS[stage.task](stage, inputs) if group.main else None

    def due(self, step: int) -> bool:
        """Whether to evaluate after ``step`` steps."""
        return step > 0 and (step % self.every == 0 or step == self.steps)

    def begin(self, file: Path, step: int, weights: Weights) -> None:
        """Continue the log in ``file`` after ``step``.

        If training was stopped before the evaluation of ``step`` was written, evaluate now.
        """
        self.file = file
        missing = False
        if self.group.main:
            checkpoint.truncate_log(file, step)
            missing = self.due(step) and step not in _logged(file)
        if self.group.any(missing):
            self(step, weights)

    def __call__(self, step: int, weights: Weights) -> dict[str, float]:
        """Draw images, compute the metrics and log them.

        Returns the metrics on the main process, and an empty dictionary on the others.
        """
        with _apart(self.group.device):
            images = self.images(weights)
            values = self.metric(images, self.images.labels) if self.metric else {}
        if self.metric:
            self._write(step, values)
            self.listen(step, values, images)
        self.group.barrier()
        return values

    def _write(self, step: int, values: dict[str, float]) -> None:
        with explained(self.file), open(self.file, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        first, value = next(iter(values.items()))
        log.info("%s: step %d/%d, %s %.4g", self.name, step, self.steps, first, value)


@contextmanager
def _apart(device: torch.device) -> Iterator[None]:
    """Leave the state of torch's global random generators unchanged."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield


def _logged(file: Path) -> set[int]:
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return {json.loads(line)["step"] for line in lines}


class Images:
    """Draw the images of an evaluation: a subset of the study's sample set, from the same noise.

    Attributes:
        indices: indices of the images in the sample set, int64 (N,).
        labels: classes, or indices of the prompts, int64 (N,).
    """

    def __init__(self, stage: OnlineStage, inputs: Inputs, group: Processes):
        from nanogen.backbones import build
        from nanogen.sampling.generate import Generator
        from nanogen.sampling.inputs import tokenizer_of

        name = stage.tokenizer
        tokenizer = tokenizer_of(stage, None if name == "pixels" else inputs.folder(name))
        self.group, self.batch_size = group, stage.batch_size
        self.model = build(stage.train)
        self.generator = Generator(stage, self.model, tokenizer, group.device)
        self.conditions: Callable[[np.ndarray], Condition]
        if stage.task == "imagenet":
            self._of_classes(stage, inputs)
        else:
            self._of_prompts(stage, inputs)

    def _of_classes(self, stage: OnlineStage, inputs: Inputs) -> None:
        """Choose the first images; if they are fewer than classes, spread them evenly over classes."""
        from nanogen.sampling.inputs import class_conditions, text_conditions

        count, classes = stage.images, stage.train.conditioner.classes
        assert classes is not None
        self.indices = np.arange(count) * max(classes, count) // count
        self.labels = self.indices % classes
        by_text = stage.train.conditioner.kind == "text"
        self.conditions = text_conditions(stage, inputs.file("text")) if by_text else class_conditions

    def _of_prompts(self, stage: OnlineStage, inputs: Inputs) -> None:
        """Choose all images of GenEval's prompts."""
        from nanogen.prompts.files import GENEVAL, of_benchmark
        from nanogen.sampling.generate import labels_of
        from nanogen.sampling.inputs import prompts_of, text_conditions

        prompts = prompts_of(stage, inputs.file("prompts"))
        labels = labels_of(stage, prompts)
        self.indices = np.flatnonzero(np.isin(labels, of_benchmark(prompts, GENEVAL)))
        self.labels = labels[self.indices]
        self.conditions = text_conditions(stage, inputs.file("text"))

    def __call__(self, weights: Weights) -> np.ndarray:
        """Return images, uint8 (N, H, W, 3), on the main process, and an empty array on the others."""
        from nanogen.sampling.generate import batches

        self.model.load_state_dict(weights)
        drawn = []
        for rows in batches(len(self.indices), self.batch_size, self.group):
            images = self.generator(self.indices[rows], self.conditions(self.labels[rows]))
            drawn.append((int(rows[0]), images))
        parts = [part for held in self.group.gathered(drawn) for part in held]
        if not parts:
            return np.empty(0, np.uint8)
        return np.concatenate([images for _, images in sorted(parts, key=lambda part: part[0])])


# ------------------------------------------------------------------------------------- metrics


class Metric(Protocol):
    """A metric, whose networks are loaded once.

    A call maps images and labels to named numbers, the main one first.
    """

    def __init__(self, stage: OnlineStage, inputs: Inputs): ...

    def __call__(self, images: np.ndarray, labels: np.ndarray) -> dict[str, float]: ...


class Fid:
    """FID as in the final evaluation: the first extractor, against the study's reference file."""

    def __init__(self, stage: OnlineStage, inputs: Inputs):
        from nanogen.data import hdf5
        from nanogen.metrics.extractors import load_extractor
        from nanogen.metrics.feature_files import REFERENCE
        from nanogen.metrics.frechet import few_images
        from nanogen.models.card import expect_model

        model = stage.networks["extractor"]
        folder = inputs.folder(model.name)
        expect_model(folder, stage.expects["extractor"])
        with hdf5.opened(inputs.file("reference"), *REFERENCE, stage.expects["reference"]) as file:
            moments = file[model.name]
            self.real = (moments["mu"][:], moments["sigma"][:])
        self.extractor = load_extractor(folder, model)
        few = few_images(stage.images, self.extractor.width)
        if few:  # warn once, not at every evaluation
            log.warning("FID while training: %s", few)

    def __call__(self, images: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        from nanogen.metrics.frechet import frechet_distance, moments_of

        moments = moments_of(self.extractor.in_network_batches(images).features)
        return {"fid": frechet_distance(moments.mean, moments.covariance, *self.real)}


class GenEval:
    """GenEval as in the final evaluation: the study's detector, on all of GenEval's prompts."""

    def __init__(self, stage: OnlineStage, inputs: Inputs):
        from nanogen.metrics.detector import load_detector
        from nanogen.metrics.geneval import check_classes
        from nanogen.models.card import expect_model
        from nanogen.prompts.files import GENEVAL, of_benchmark
        from nanogen.sampling.inputs import prompts_of

        folders = {}
        for role in ("detector", "color_classifier"):
            if role in stage.networks:
                folders[role] = inputs.folder(stage.networks[role].name)
                expect_model(folders[role], stage.expects[role])
        colors = folders.get("color_classifier")
        color_classifier = (colors, stage.networks["color_classifier"]) if colors else None
        self.detector = load_detector(folders["detector"], stage.networks["detector"], color_classifier)
        self.headline = stage.headline
        every = prompts_of(stage, inputs.file("prompts"))
        self.chosen = np.array(of_benchmark(every, GENEVAL))
        self.prompts = [every[i] for i in self.chosen]
        check_classes(self.prompts, self.detector.classes)

    def __call__(self, images: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        from nanogen.metrics.scores import geneval

        of_image = np.searchsorted(self.chosen, labels).tolist()  # chosen is sorted
        found = self.detector(images)
        values, _ = geneval(self.prompts, of_image, found, self.detector.protocol, self.headline)
        return values


METRICS: dict[str, type[Metric]] = {"imagenet": Fid, "t2i": GenEval}
