"""The model card: README.md of a published model, with front matter that the hub reads."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nanogen import __version__
from nanogen.config import metrics
from nanogen.config.model_schema import Model
from nanogen.errors import UserError
from nanogen.publication.package import MADE_HERE, Package
from nanogen.report.columns import Column, column, printed
from nanogen.report.noise import interval
from nanogen.text import one_line

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

TAGS = {
    "imagenet": ["class-conditional-image-generation"],
    "t2i": ["text-to-image"],
}
DRAWN = "drawn-scenes"  # name of the data set
CHANCES = {score.chance for metric in metrics.METRICS for score in metric.scores}


@dataclass(frozen=True)
class Line:
    """One score in the card's table and front matter.

    Attributes:
        images: how the images were sampled: the method, with or without guidance.
        ends: of the 95 % interval; None if it has none.
    """

    images: str
    column: Column
    value: float
    ends: tuple[float, float] | None
    chance: float | None
    protocol: str


def model_card(package: Package, repository: str, licence: str | None) -> str:
    """Return the card's text. ``licence`` is an identifier of the hub, such as ``apache-2.0``.

    Raises UserError if no licence is given and the model depends on other people's data or networks.
    """
    from huggingface_hub import ModelCardData

    lines = list(_lines(package))
    data = ModelCardData(
        license=_licence(package, licence),
        library_name="nanogen",
        pipeline_tag="text-to-image" if package.run.task == "t2i" else None,
        tags=["nanogen", "diffusion", package.run.method, *TAGS[package.run.task]],
        datasets=_datasets(package) or None,
        metrics=list(dict.fromkeys(line.column.key for line in lines)),
        model_name=repository.rpartition("/")[2],
        eval_results=[_result(package, line) for line in lines],
    )
    sections = (_about(package), _use(package, repository), _scores(lines), _made(package))
    return f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(sections) + "\n"


def _is_drawn(package: Package) -> bool:
    """Whether the training images are drawn scenes, for either task."""
    return package.run.data.source == "scenes"


def _datasets(package: Package) -> list[str]:
    """Repositories on the hub that the images come from."""
    data = package.run.data
    own = _is_drawn(package) or data.root is not None
    return [] if own else [name.partition("@")[0] for name in data.hub]


def _licence(package: Package, given: str | None) -> str:
    others = [name for network in package.networks for name in network.origins]
    others += [] if _is_drawn(package) else [f"data {package.run.data.name}"]
    if given or not others:
        return given or "apache-2.0"
    raise UserError(
        f"name the model's licence with --license, for example --license cc-by-nc-4.0; it must suit "
        f"those of {', '.join(others)} (`nanogen plan --study {package.study.study}` lists them)"
    )


# --------------------------------------------------------------------------- scores


def _lines(package: Package) -> Iterator[Line]:
    for title, scores in package.measured:
        images = f"{title}, {scores.guidance} guidance"
        for measured in scores.metrics.values():
            for key, value in measured.values.items():
                shown = column(key)
                if shown is not None and key not in CHANCES:
                    ends = interval(key, dict(measured.values))
                    chance = measured.values.get(shown.chance)
                    yield Line(images, shown, value, ends, chance, measured.protocol)


def _result(package: Package, line: Line) -> EvalResult:
    from huggingface_hub import EvalResult

    data = package.run.data
    low, high = line.ends or (None, None)
    about = {"images": line.images, "low": low, "high": high, "chance": line.chance}
    return EvalResult(
        task_type=TAGS[package.run.task][0],
        dataset_type=next(iter(_datasets(package)), DRAWN if _is_drawn(package) else data.name),
        dataset_name=DRAWN if _is_drawn(package) else data.name,
        metric_type=line.column.key,
        metric_name=f"{line.column.title.removesuffix(line.column.arrow)}, {line.images}",
        metric_value=line.value,
        metric_args={k: v for k, v in {**about, "protocol": line.protocol}.items() if v is not None},
    )


def _scores(lines: list[Line]) -> str:
    rows = [
        (
            line.images,
            line.column.title,
            printed(line.column, line.value),
            "–".join(printed(line.column, end) for end in line.ends or ()),
            "" if line.chance is None else printed(line.column, line.chance),
        )
        for line in lines
    ]
    protocols: dict[str, list[str]] = {}
    for line in lines:
        protocols.setdefault(line.protocol, []).append(line.column.title)
    told = [f"- {', '.join(dict.fromkeys(of))}: {text}" for text, of in protocols.items()]
    head = ("Images", "Score", "Value", "95 % interval", "Chance")
    return "\n".join(["## Scores", "", *_table(head, rows), "", "How they were measured:", "", *told])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    marks = [":---" if not place else "---:" for place, _ in enumerate(head)]
    cells = [[one_line(cell).replace("|", "\\|") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in (head, marks, *cells)]


# --------------------------------------------------------------------------- text


def _about(package: Package) -> str:
    run, training = package.run, package.stage.training
    what = "text-to-image" if run.task == "t2i" else "class-conditional"
    shown = f"{what}, on drawn scenes" if _is_drawn(package) else what
    if imported := package.card.get("imported"):
        came = f"It was imported from the checkpoint `{imported['file']}`."
    else:
        came = f"It was trained for {training.steps:,} steps of {training.batch_size:,} images."
    return (
        f"# {one_line(run.title)}, {shown}\n\n"
        f"A {what} diffusion transformer with {package.card['quality']['parameters']:,} parameters that "
        f"generates images of {run.data.resolution}×{run.data.resolution} pixels. {came}"
    )


def _use(package: Package, repository: str) -> str:
    folder = repository.rpartition("/")[2]
    commands = [f"hf download {repository} --local-dir {folder}"]
    for network in package.networks:
        if network.folder is None:
            commands += _fetching(network.model, f"{folder}/{network.model.name}", package)
    asked = f"--prompt 'a {'red circle' if _is_drawn(package) else 'photo of a dog'}'"
    if package.run.task == "imagenet":
        asked = f"--class {shlex.quote((package.classes or ['0'])[0].split(', ')[0])}"
    commands.append(f"nanogen sample --model {folder} {asked} --output images.png")
    return "\n".join(["## Draw images", "", "```", *commands, "```"])


def _fetching(model: Model, folder: str, package: Package) -> list[str]:
    """Commands that download a network published by others into the model's folder."""
    hub = model.hub
    if hub is None:
        return [f"# put the network {model.name} at {folder}: {model.model_class}"]
    fetch = f"hf download {hub.repo} --revision {hub.revision}"
    if model.released:
        decoder, statistics = model.released.decoder, model.released.statistics
        return [
            f"{fetch} {decoder} {statistics} --local-dir {folder}.files",
            f"nanogen import-rae --decoder {folder}.files/{decoder} --statistics "
            f"{folder}.files/{statistics} --study {package.study.study} --tokenizer {model.name} "
            f"--out {folder}",
        ]
    if hub.subfolder:
        return [
            f"{fetch} --include '{hub.subfolder}/*' --local-dir {folder}.files",
            f"mv {folder}.files/{hub.subfolder} {folder}",
        ]
    return [f"{fetch} --local-dir {folder}"]


def _made(package: Package) -> str:
    """Where the weights come from."""
    provenance, run = package.provenance, package.run
    inside = [n.model.name for n in package.networks if n.model.source in MADE_HERE]
    facts = {
        "Study": f"{package.study.study}, method {run.method}, task {run.task}",
        "Seed": str(package.stage.seed),
        "Configuration": f"{package.stage.hash} (`stage.json`)",
        "Networks inside": ", ".join(inside),
        "Commit": ", ".join(provenance.commits),
        "Devices": ", ".join(provenance.devices),
        "Written by": f"NanoGen {__version__}",
    }
    rows = [(name, text) for name, text in facts.items() if text]
    return "\n".join(["## Where it comes from", "", *_table(("", ""), rows)])
