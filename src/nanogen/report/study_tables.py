"""The tables of a study in the paper's layout, with published numbers beside the measured ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from nanogen.config import PublicRun, Run, Study, load_run, metrics, stages, variants
from nanogen.config.metrics import TAGS
from nanogen.config.schema import Task
from nanogen.errors import UserError
from nanogen.report import noise, paper_tables, prompt_notes
from nanogen.report.columns import columns
from nanogen.report.results import Results
from nanogen.report.rows import Row
from nanogen.report.sample_sets import head, sample_sets
from nanogen.report.table import Table

IDENTITY = ("method", "family")
PUBLIC_NOTE = (
    "Public models: trained by others on other data, sampled by their own pipelines with default "
    "settings; scored by the same rules, not ranked."
)
PUBLISHED_NOTE = (
    "Published: the paper's number for the method at full scale, for reference; not comparable."
)


def _published(name: str, run: Run | PublicRun, steps: int | None) -> Row:
    """The paper's numbers for a run's method."""
    row = paper_tables.of_run(name, run, steps)
    return {f"published_{score.key}": row.get(score.key) for score in _of_the_paper(run.task)}


def _of_the_paper(task: Task) -> list[metrics.Score]:
    return metrics.main_scores(task, published=True)


def _published_keys(task: Task) -> list[str]:
    return [f"published_{score.key}" for score in _of_the_paper(task)]


def _trained_guidance_note(results: Results) -> list[str]:
    trained = [run.title for run in results.runs("imagenet") if variants.guidance_is_trained(run)]
    names = ", ".join(trained)
    return [
        f"Scale of {names}: that of the guidance in its training target; sampling adds no guidance."
    ] * bool(trained)


def _guidance_scale(run: Run) -> float:
    """The guidance scale; for guidance in the training target, the equivalent scale."""
    trained = variants.guidance_is_trained(run)
    return run.objective.meanflow.scale if trained else run.sampling.guidance_scale


def _scores(results: Results, run: Run | PublicRun, variant: str) -> Row:
    """All numbers in a sample set's metric files, and the hash of the task's first printed metric."""
    names = stages.metrics_of(results.study, run.task)
    found = [results.metric(run.task, run.method, variant, name) for name in names]
    values = {key: metric.value(key) for metric in found for key in metric.values}
    return {**values, "hash": found[0].hash}


def _columns(study: Study, task: Task, rows: Sequence[Row]) -> list[str]:
    """The scores that a table prints: those of the task that at least one row has."""
    keys = metrics.columns(task, load_run(study, study.methods[0], task).evaluation)
    return [key for key in keys if any(key in row for row in rows)]


def _further(rows: Sequence[Row], shown: Sequence[str]) -> tuple[str, ...]:
    """The keys that only the CSV has, ending with the hash."""
    keys = dict.fromkeys(key for row in rows for key in row if key not in (*shown, *IDENTITY, "hash"))
    return (*keys, "hash")


def with_guidance(study: Study, inputs: Iterable[Path] = ()) -> Table:
    """Table 2: ImageNet with guidance, and the FID of the untrained model for comparison."""
    results = Results(study, inputs)
    rows: list[Row] = []
    for run, variant, steps in sample_sets(results, "imagenet", variants.GUIDED):
        untrained = results.metric("imagenet", run.method, variants.UNTRAINED, "fid")
        rows.append(
            {
                **head(run, steps),
                "guidance_scale": _guidance_scale(run),
                **_scores(results, run, variant),
                "fid_untrained": untrained.value("fid"),
                **_published("table2", run, steps),
            }
        )
    measured = [*_columns(results.study, "imagenet", rows), "fid_untrained"]
    keys = ["name", "guidance_scale", *measured, *_published_keys("imagenet")]
    return Table(
        name="table2",
        caption=f"Class-conditional generation with guidance, study {results.study.study}.",
        columns=columns(keys),
        rows=rows,
        notes=[
            "FID untrained: the same network before its training, without guidance.",
            *_trained_guidance_note(results),
            *results.provenance(),
            PUBLISHED_NOTE,
        ],
        identity=IDENTITY,
        more=_further(rows, keys),
    )


def without_guidance(study: Study, inputs: Iterable[Path] = ()) -> Table:
    """Table 4: ImageNet without guidance."""
    results = Results(study, inputs)
    rows: list[Row] = [
        {
            **head(run, steps),
            **_scores(results, run, variant),
            **_published("table4", run, steps),
        }
        for run, variant, steps in sample_sets(results, "imagenet", variants.UNGUIDED)
    ]
    keys = ["name", *_columns(results.study, "imagenet", rows), *_published_keys("imagenet")]
    return Table(
        name="table4",
        caption=f"Class-conditional generation without guidance, study {results.study.study}.",
        columns=columns(keys),
        rows=rows,
        notes=[*results.provenance(), PUBLISHED_NOTE],
        identity=IDENTITY,
        more=_further(rows, keys),
    )


def _size(results: Results, run: Run | PublicRun) -> Row:
    """Cells on the length of the training and the size of the model; unknown for public models."""
    if isinstance(run, PublicRun):
        return {"iterations": None, "params": run.parameters and int(run.parameters)}
    quality = results.card("t2i", run.method).get("quality", {})
    if "parameters" not in quality:
        raise UserError(
            f"{results.paths.trained(run.method, 't2i')} lacks quality.parameters; "
            "delete it and train again"
        )
    return {"iterations": run.training.steps, "params": int(quality["parameters"])}


def _text_to_image_row(results: Results, run: Run | PublicRun, variant: str, steps: int | None) -> Row:
    return {
        **head(run, steps),
        **_size(results, run),
        **_scores(results, run, variant),
        **prompt_notes.cells(results.study),
        **_published("table3", run, steps),
    }


def _chance_note(rows: list[Row], tags: list[str]) -> str:
    """A note on the chance level per tag, as a range if it differs between methods."""
    parts = []
    for tag in tags:
        values = [v for row in rows if isinstance(v := row.get(f"chance_{tag}"), float)]
        if values:
            low, high = f"{min(values):.3f}", f"{max(values):.3f}"
            parts.append(f"{TAGS[tag]} {low}" + ("" if low == high else f" to {high}"))
    by_tag = f"; by tag: {', '.join(parts)}." if parts else "."
    return "GenEval chance: the same images, judged by other images' prompts" + by_tag


def _answer_chance_note(rows: list[Row]) -> list[str]:
    """A note on the chance level of scores by answered questions, as a range over the methods."""
    parts = []
    for score in metrics.main_scores("t2i"):
        values = [v for row in rows if isinstance(v := row.get(f"chance_{score.key}"), float)]
        if values:
            parts.append(f"{score.heading} {min(values):.3f} to {max(values):.3f}")
    told = "Chance, the same images judged by other images' prompts"
    return [f"{told}: {', '.join(parts)}."] * bool(parts)


def text_to_image(study: Study, inputs: Iterable[Path] = ()) -> Table:
    """Table 3: text-to-image metrics and chance levels of public models, then of the study's own."""
    results = Results(study, inputs)
    public: list[tuple[Run | PublicRun, str, int | None]] = [
        (run, variants.GUIDED, run.sampling.steps) for run in results.public()
    ]
    found = [*public, *sample_sets(results, "t2i", variants.GUIDED)]
    rows = [_text_to_image_row(results, *sample_set) for sample_set in found]
    tags = [tag for tag in TAGS if any(tag in row for row in rows)]
    scores = _columns(results.study, "t2i", rows)
    shown = ["name", "iterations", "params", *scores, *_published_keys("t2i")]
    return Table(
        name="table3",
        caption=f"Text-to-image generation, study {results.study.study}"
        f"{prompt_notes.in_caption(results.study)}.",
        columns=columns(shown),
        rows=rows,
        notes=[
            *filter(None, [noise.sentence(rows)]),
            _chance_note(rows, tags),
            *_answer_chance_note(rows),
            *prompt_notes.notes(results.study),
            *[PUBLIC_NOTE] * bool(public),
            *results.provenance(),
            PUBLISHED_NOTE,
        ],
        identity=IDENTITY,
        more=_further(rows, shown),
        banner=noise.AT_CHANCE if noise.is_at_chance(rows) else "",
    )


def _measured_reproduction(results: Results, run: Run, space: str) -> Row:
    """The study's own row, which follows the published ones."""
    variant = paper_tables.reproduced_variant(run)
    fid, score = (results.metric("imagenet", run.method, variant, name) for name in ("fid", "is"))
    quality = results.card("imagenet", run.method).get("quality", {})
    seen = run.training.steps * run.training.batch_size
    return {
        "method": run.method,
        "name": run.title,
        "source": results.study.study,
        "space": space,
        "epochs": round(seen / run.data.train_images, 1),
        "params": int(quality["parameters"]),
        "prediction": run.objective.prediction,
        "nfe": run.sampling.steps,
        "guidance": "yes" if variant == "cfg" else "no",
        "fid": fid.value("fid"),
        "is": score.value("is"),
        "hash": fid.hash,
    }


def reproduction(study: Study, inputs: Iterable[Path] = ()) -> Table:
    """Table 1: each method at its own size, as reported, as reproduced by the paper, and as measured."""
    results = Results(study, inputs)
    if not study.report.reproduction:
        raise UserError(
            f"study {study.study} does not measure table1, whose methods differ in size and schedule; "
            "use --published, or a study with report.reproduction such as config/studies/table1.yaml"
        )
    rows: list[Row] = []
    for run in results.runs("imagenet"):
        given = paper_tables.reproduction(run)
        rows += [*given, _measured_reproduction(results, run, str(given[0]["space"]))]
    keys = ["name", "source", "epochs", "params", "prediction", "nfe", "guidance", "fid", "is"]
    return Table(
        name="table1",
        caption="Known methods, each at its own size and schedule: as their authors report them, as the "
        f"paper reproduces them, and as study {results.study.study} measures them.",
        columns=columns(keys),
        rows=rows,
        grouped_by="space",
        notes=[*results.provenance(), PUBLISHED_NOTE],
        identity=("method", "space"),
        more=("hash",),
    )
