"""Build leaderboard entries from a study's finished metric files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nanogen.config import PublicRun, Run, Study, stages, variants
from nanogen.config.paths import Paths
from nanogen.data import hdf5
from nanogen.errors import UserError, nearest
from nanogen.leaderboard import entry
from nanogen.leaderboard.entry import Entry, Guidance, Measured, Method, Missing, Scores
from nanogen.provenance.chain import chain
from nanogen.records import record
from nanogen.report.results import Metric, Results
from nanogen.report.sample_sets import SampleSet, head, shown_sets

GUIDANCE: dict[str, Guidance] = {variants.GUIDED: "with", variants.UNGUIDED: "without"}


def rows(study: Study, methods: Sequence[str] = ()) -> dict[str, list[SampleSet]]:
    """Return the sample sets of every entry that a study can submit, by method name in the tables.

    Args:
        methods: only these, by their names in the configuration or in the tables; empty: all.

    Raises UserError for a method that the study does not have.
    """
    found: dict[str, list[SampleSet]] = {}
    for of in shown_sets(Results(study)):
        found.setdefault(of.row, []).append(of)
    known = {*found, *study.methods, *study.public}
    for method in methods:
        if method not in known:
            raise UserError(f"study {study.study} has no method {method!r}{nearest(method, known)}")
    if not methods:
        return found
    return {n: sets for n, sets in found.items() if n in methods or sets[0].run.method in methods}


def submit(study: Study, methods: Sequence[str] = ()) -> list[Entry]:
    """Return an entry for each method, from the metric files that exist.

    Raises UserError if a method has none, or if one has another configuration or contains NaN.
    """
    results = Results(study)
    return [_entry(results, name, sets) for name, sets in rows(study, methods).items()]


def _entry(results: Results, name: str, sets: list[SampleSet]) -> Entry:
    scores, missing = [], []
    for of in sets:
        measured, gaps = _measured(results, of)
        missing += gaps
        if measured:
            scores.append(_scores(results, of, measured))
    study = results.study
    if not scores:
        raise UserError(
            f"study {study.study} has no finished metric file of {name}; make them with "
            f"`snakemake table2 table3 table4 --config study={study.study}`"
        )
    about = Method(name=name, family=sets[0].run.family, title=_title(sets[0]))
    return entry.make(study.study, about, scores, missing, _provenance(results, sets))


def _title(of: SampleSet) -> str:
    """Return the printed name; for a few-step method, it includes the number of sampling steps."""
    run = of.run
    steps = None if isinstance(run, PublicRun) else variants.steps_of(run, of.variant)
    return str(head(run, steps)["name"])


def _key(of: SampleSet) -> tuple[str, Guidance]:
    return of.run.task, GUIDANCE[variants.guidance_of(of.variant)]


def _measured(results: Results, of: SampleSet) -> tuple[dict[str, Measured], list[Missing]]:
    """Return the metrics of a sample set, and those whose file does not exist."""
    found, missing = {}, []
    task, guidance = _key(of)
    for name in stages.metrics_of(results.study, of.run.task):
        path = Path(results.paths.metric(of.run.method, task, of.variant, name))
        if path.exists():
            metric = results.metric(task, of.run.method, of.variant, name)
            found[name] = _of_file(metric, Path(results.paths.root))
        else:
            gap = {"task": task, "guidance": guidance, "metric": name}
            missing.append(Missing(**gap, reason=f"{path} does not exist"))
    return found, missing


def _of_file(metric: Metric, root: Path) -> Measured:
    return Measured(
        values={name: metric.value(name) for name in metric.values},
        protocol=metric.protocol,
        hash=metric.hash,
        file=metric.path.relative_to(root).as_posix(),
        sha256=str(record.checksums(metric.path)[metric.path.name]),
    )


def _scores(results: Results, of: SampleSet, measured: dict[str, Measured]) -> Scores:
    task, guidance = _key(of)
    file = Path(results.paths.samples(of.run.method, task, of.variant))
    return Scores(task=task, guidance=guidance, samples=_images(file, of.run), metrics=measured)


def images_in(file: Path) -> int | None:
    """Return the number of images in a sample file; None if it does not exist."""
    if not file.exists():
        return None
    with hdf5.opened(file, "samples", 1) as samples:
        return len(samples["images"])


def _images(file: Path, run: Run | PublicRun) -> int | None:
    """Return the number of images, from the sample file or, for ImageNet, from the configuration."""
    if (found := images_in(file)) is not None:
        return found
    return run.evaluation.images if run.task == "imagenet" else None


def _provenance(results: Results, sets: list[SampleSet]) -> entry.Provenance:
    """Collect what all steps behind the sample sets' scores were run with."""
    study = results.study
    files: dict[Path, None] = {}  # an ordered set
    for of in sets:
        links = chain(study, of.run, of.variant, *stages.metrics_of(study, of.run.task))
        files |= dict.fromkeys(link.path for link in links if link.path)
    notes = {path: record.read(path) for path in files if path.exists()}
    known = [note for note in notes.values() if note]
    versions = {f"{name} {number}" for note in known for name, number in note["versions"].items()}
    return entry.Provenance(
        seed=study.seed,
        commits=sorted({note["commit"] for note in known if note["commit"]}),
        versions=sorted(versions),
        devices=sorted({note["device"] for note in known}),
        unrecorded=[_inside(path, study) for path in files if not notes.get(path)],
    )


def _inside(path: Path, study: Study) -> str:
    """Return a path as entries contain it: relative to the study's results, or else its name."""
    root = Path(Paths(study).root)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
