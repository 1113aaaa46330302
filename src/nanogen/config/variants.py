"""The sample sets of a run, by name.

``cfg`` is drawn with guidance, ``nocfg`` without, ``untrained`` from the initial weights. A method that
is sampled with several numbers of steps has one set for each: ``cfg`` with ``sampling.steps``, and
``cfg-nfe2`` with two steps if ``sampling.more_steps`` lists them. All sets come from one training,
except for a method whose guidance is part of its training (MeanFlow): its ``nocfg`` has weights of its
own.

If the study sweeps the guidance, ``sweep-1.5`` is a small set at that scale, and ``best`` is a complete
set at the scale whose small set has the lowest FID, which is known only when those are measured.

``at-500`` is drawn from the average of the weights after 500 steps, if the training keeps it. It has a
few images with the same noise as those of ``cfg``, which are shown but not scored.
"""

from __future__ import annotations

from nanogen.config.schema import PublicRun, Run
from nanogen.config.study_schema import Sweep
from nanogen.errors import UserError

GUIDED, UNGUIDED, UNTRAINED = "cfg", "nocfg", "untrained"
SWEEP, BEST, AT = "sweep-", "best", "at-"
PATTERN = f"({GUIDED}|{UNGUIDED})(-nfe[0-9]+)?|{UNTRAINED}|{SWEEP}[0-9]+([.][0-9]+)?|{BEST}|{AT}[0-9]+"
SHOWN = 8  # images of a set that is shown but not scored
OWN_WEIGHTS = f"-{UNGUIDED}"  # suffix of the folder ``model`` for such weights


def with_steps(run: Run | PublicRun, guidance: str) -> dict[str, int | None]:
    """The run's sample sets with this guidance and their numbers of steps, in the order of the tables.

    A public model has one, ``cfg``; its steps are None if its pipeline's default is used.
    """
    if isinstance(run, PublicRun):
        return {GUIDED: run.sampling.steps} if guidance == GUIDED else {}
    if guidance == UNGUIDED and not run.evaluation.unguided:
        return {}
    several = guidance in (GUIDED, UNGUIDED)
    more = {f"{guidance}-nfe{n}": n for n in run.sampling.more_steps} if several else {}
    return {guidance: run.sampling.steps, **more}


def steps_of(run: Run, variant: str) -> int:
    """The number of steps of a sample set; raises UserError if the run has no set of this name."""
    known = with_steps(run, guidance_of(variant))
    if variant not in known:
        raise UserError(
            f"{run.method} on {run.task} has no sample set {variant!r}; sampling.steps and "
            f"sampling.more_steps give {', '.join(known)}"
        )
    steps = known[variant]
    assert steps is not None  # only a public model's can be
    return steps


def guidance_of(variant: str) -> str:
    """The sample set's name without its number of steps: ``cfg``, ``nocfg``, ``untrained`` and so on."""
    return variant.partition("-nfe")[0]


def scale_of(run: Run, variant: str) -> float | None:
    """The guidance scale of a sample set; None for ``best``, whose scale is chosen as the study runs."""
    guidance = guidance_of(variant)
    if guidance.startswith(SWEEP):
        return float(guidance.removeprefix(SWEEP))
    guided = guidance == GUIDED or guidance.startswith(AT)
    return run.sampling.guidance_scale if guided else {BEST: None}.get(guidance, 1.0)


def kept(run: Run) -> dict[str, int]:
    """Sample set -> step, for each average of the weights that a training keeps."""
    steps = sorted({max(1, round(share * run.training.steps)) for share in run.training.snapshots})
    return {f"{AT}{step}": step for step in steps}


def kept_step(run: Run, variant: str) -> int | None:
    """The step whose average a sample set is drawn from; None for a set of the trained model.

    Raises UserError for a step that the training does not keep, or if there are no prompts to show.
    """
    if not variant.startswith(AT):
        return None
    known = kept(run) if run.task == "t2i" else {}
    if variant not in known:
        raise UserError(
            f"{run.method} on {run.task} has no sample set {variant!r}; training.snapshots gives "
            f"{', '.join(known) or 'none (and prompts are shown only)'}"
        )
    return known[variant]


def swept(sweep: Sweep) -> dict[str, float]:
    """Sample set -> guidance scale, for the small sets of a sweep."""
    return {f"{SWEEP}{scale:g}": scale for scale in sweep.scales}


def is_swept(run: Run, sweep: Sweep | None) -> bool:
    """Whether the guidance scale of a run is swept: on ImageNet, unless it is part of the training."""
    return sweep is not None and run.task == "imagenet" and not guidance_is_trained(run)


def guidance_is_trained(run: Run) -> bool:
    return run.objective.kind == "meanflow" and run.objective.meanflow.guided


def weights_of(run: Run, variant: str) -> str:
    """The training that a sample set is drawn from: empty for the method's own, or ``-nocfg``."""
    own = guidance_is_trained(run) and guidance_of(variant) == UNGUIDED
    return OWN_WEIGHTS if own else ""


def trainings(run: Run) -> list[str]:
    """Every training that the run's tables read, as ``weights_of`` names them."""
    both = run.task == "imagenet" and run.evaluation.unguided
    wanted = (GUIDED, UNGUIDED) if both else (GUIDED,)
    return list(dict.fromkeys(weights_of(run, variant) for variant in wanted))
