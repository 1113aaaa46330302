"""Number of images in the sample sets of runs, and the size of all sets in bytes."""

from __future__ import annotations

from nanogen.config import variants
from nanogen.config.load import trained_run
from nanogen.config.schema import Run
from nanogen.config.study_schema import Study


def sets_of(run: Run) -> dict[str, int]:
    """Return the number of steps of each sample set that tables score."""
    shown = (variants.GUIDED, variants.UNGUIDED) if run.task == "imagenet" else (variants.GUIDED,)
    found: dict[str, int] = {}
    for guidance in shown:
        found |= {v: variants.steps_of(run, v) for v in variants.with_steps(run, guidance)}
    return found


def images_each(study: Study, run: Run) -> int:
    """Number of images in each of a run's sample sets; prompts of unknown number are not counted."""
    if run.task == "imagenet":
        return run.evaluation.images
    from nanogen.config.prompt_counts import images_per_set  # reads prompts with numpy

    return images_per_set(study)


def sample_bytes(study: Study) -> int:
    """Bytes of the study's sample sets, those of initial weights included."""
    total = 0
    for method in study.trainings:
        for task in study.tasks:
            run = trained_run(study, method, task)
            images = len(sets_of(run)) * images_each(study, run)
            images += run.evaluation.untrained_images if task == "imagenet" else 0
            total += images * 3 * run.data.resolution**2
    return total
