"""The total cost of a study, from its configuration: downloads, disk, and GPU or CPU time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from nanogen.backbones import parameter_count
from nanogen.config import cost, load_model, own_models, stages, variants
from nanogen.config.cache_choice import Choice
from nanogen.config.disk import disk_of
from nanogen.config.load import once, trained_run
from nanogen.config.sample_sizes import images_each, sample_bytes, sets_of
from nanogen.config.schema import Run, Task
from nanogen.config.study_schema import Study
from nanogen.config.train_stage import TrainStage
from nanogen.config.used_networks import models_of
from nanogen.stage1.sizes import sizes
from nanogen.text import human

FLOAT32 = 4  # bytes
# Measured with the nano study on two CPU cores: training operations of a backbone per second, and the
# seconds of processor time of a tokenizer's training step, a small network's, and a scored sample set.
CPU_RATE = 50e9
CPU_TOKENIZER_STEP, CPU_NETWORK_STEP, CPU_SAMPLE_SET = 0.07, 0.06, 9.0
# Estimated operations per image of a tokenizer's perceptual and adversarial losses.
STAGE1_LOSSES = 0.35e12


class SampleSets(NamedTuple):
    """The sample sets of a run: their number, all their images, and the operations to draw and score."""

    run: Run
    sets: int
    images: int
    operations: float


def sample_sets(study: Study) -> Iterator[SampleSets]:
    """The sample sets of every run of the study, except those of untrained weights."""
    for method in study.trainings:
        for task in study.tasks:
            run, stage = trained_run(study, method, task), train_stage(study, method, task)
            each, sets, operations = images_each(study, run), sets_of(run), 0.0
            for variant, steps in sets.items():
                keys = run.sampling.model_copy(update={"steps": steps})
                guided = variants.guidance_of(variant) == variants.GUIDED
                drawn = cost.sampling_flops(stage, keys, guided)
                operations += each * (drawn + cost.DECODING + cost.EXTRACTION)
            yield SampleSets(run, len(sets), len(sets) * each, operations)


@once
def train_stage(study: Study, method: str, task: Task) -> TrainStage:
    return TrainStage.from_json(stages.train(study, method, task))


def own_runs(study: Study) -> list[tuple[str, Task]]:
    """(method, task) of every training that the study runs itself."""
    return [(m, t) for m in study.trainings for t in study.tasks if own_models.is_own(study, m, t)]


@dataclass(frozen=True)
class Hours:
    """Hours on one GPU, by purpose."""

    trainings: float
    encoding: float
    tokenizers: float
    samples: float

    @property
    def total(self) -> float:
        return self.trainings + self.encoding + self.tokenizers + self.samples


def gpu_hours(study: Study, choice: Choice, tflops: float, utilisation: float, forward: float) -> Hours:
    """Return the hours that a study takes on one GPU.

    Args:
        choice: the caches that the study writes.
        tflops: peak of the GPU.
        utilisation: fraction of the peak that training reaches.
        forward: fraction of the peak that forward passes reach without training.
    """
    trained = (train_stage(study, *run) for run in own_runs(study))
    return Hours(
        sum(cost.gpu_hours(stage, tflops, utilisation) for stage in trained),
        cost.hours(_encoding(study, choice), tflops, forward),
        cost.hours(_tokenizers(study), tflops, utilisation),
        cost.hours(sum(sets.operations for sets in sample_sets(study)), tflops, forward),
    )


def _encoding(study: Study, choice: Choice) -> float:
    """Operations to encode each cache once, and to encode in every step of the other trainings."""
    operations = 0.0
    for cache in choice.written():
        run = trained_run(study, study.methods[0], cache.task)
        kind = load_model(study, cache.network).kind
        operations += run.data.train_images * cost.encoding_flops(kind, run.data.resolution)
    left = {(cache.task, cache.network) for cache in choice.encoded()}
    for method, task in own_runs(study):
        run = trained_run(study, method, task)
        seen = run.training.steps * run.training.batch_size
        for network in {run.tokenizer, run.conditioner.model}:
            if (task, network) in left:
                kind = load_model(study, str(network)).kind
                operations += seen * cost.encoding_flops(kind, run.data.resolution)
    return operations


def _tokenizers(study: Study) -> float:
    operations = 0.0
    for size in sizes(study):
        model = load_model(study, size.name)
        assert model.stage1 is not None
        tokens = prod(model.latent[1:]) if model.latent else 0
        forward = 2.0 * size.trained * tokens if size.trained else cost.AUTOENCODER + cost.DECODING
        each = 3 * forward + STAGE1_LOSSES
        operations += size.phases.steps * model.stage1.batch_size * each
    return operations


def cpu_minutes(study: Study) -> float:
    """Minutes of processor time at the rates of the nano study, for networks of its size only."""
    seconds = 0.0
    for run in own_runs(study):
        stage = train_stage(study, *run)
        seen = stage.training.steps * stage.training.batch_size
        seconds += seen * cost.training_flops(stage) / CPU_RATE
    for name in models_of(study):
        model = load_model(study, name)
        if model.source == "build" and model.training:
            seconds += model.training.steps * CPU_NETWORK_STEP
    seconds += sum(size.phases.steps for size in sizes(study)) * CPU_TOKENIZER_STEP
    seconds += sum(sets.sets + 1 for sets in sample_sets(study)) * CPU_SAMPLE_SET
    return seconds / 60


def made_bytes(study: Study) -> int:
    """Bytes of trained models and sample sets."""
    models = 0
    for method, task in own_runs(study):
        stage = train_stage(study, method, task)
        count = len(variants.trainings(trained_run(study, method, task)))
        models += count * parameter_count(stage) * FLOAT32
    return models + sample_bytes(study)


def totals(study: Study, choice: Choice, tflops: float, utilisation: float, forward: float) -> list[str]:
    """Return the last lines of a plan: download, disk and compute in total."""
    disk, made = disk_of(study, choice), made_bytes(study)
    lines = [
        "In all:",
        f"  download: {disk.download if disk.fetched or disk.unknown else 'nothing'}",
        f"  disk: {human(disk.total + made)}: {human(disk.total)} of downloads, data and caches, "
        f"{human(made)} of models and samples",
    ]
    if not study.for_gpus:
        return [*lines, f"  CPU minutes: about {_short(cpu_minutes(study))}"]
    hours = gpu_hours(study, choice, tflops, utilisation, forward)
    parts = {
        "trainings of backbones": hours.trainings,
        "of tokenizers": hours.tokenizers,
        "encoding": hours.encoding,
        "samples and features": hours.samples,
    }
    said = ", ".join(f"{_short(value)} {what}" for what, value in parts.items() if value)
    return [*lines, f"  GPU hours: {_short(hours.total)}: {said}"]


def _short(number: float) -> str:
    return f"{number:.0f}" if number >= 10 else f"{number:.2g}"
