"""The overview: images by every method on both tasks, for the same classes and the same prompts.

Images are not cherry-picked: the first image of each class or prompt is shown. Classes are spread evenly
over all classes; prompts are spread over GenEval's tags and, within a tag, over its shorter prompts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from nanogen.config import PublicRun, Run, Study, stages, variants
from nanogen.config.paths import Paths
from nanogen.config.study_schema import FigureStyle
from nanogen.data import hdf5
from nanogen.data.wordnet import spoken
from nanogen.errors import UserError
from nanogen.files import check_label, read_json
from nanogen.prompts.files import GENEVAL, of_benchmark, spread
from nanogen.report import paper_tables, sample_grids
from nanogen.report.image_panels import COLUMNS, Panel, Row, draw
from nanogen.report.results import Results
from nanogen.report.sample_sets import head

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "overview"
TITLES = {"imagenet": "Class-conditional generation", "t2i": "Text-to-image generation"}
UNITS = {"imagenet": "class", "t2i": "prompt"}


def figure(study: Study, inputs: Sequence[Path], style: FigureStyle) -> tuple[Figure, list[str]]:
    """The figure and, for the terminal, a description of its columns."""
    found = panels(study, inputs)
    said = [f"{panel.title}: {'; '.join(panel.columns.values())}" for panel in found]
    return draw(found, style), said


def shown(study: Study, task: str) -> Iterator[tuple[Run | PublicRun, str]]:
    """Run and sample set of each row: those with guidance or, in a reproduction, those of Table 1."""
    results = Results(study)
    for public in results.public() if task == "t2i" else ():
        yield public, variants.GUIDED
    for run in results.runs(task):
        if study.report.reproduction:
            yield run, paper_tables.reproduced_variant(run)
        else:
            yield from ((run, variant) for variant in variants.with_steps(run, variants.GUIDED))


def panels(study: Study, inputs: Sequence[Path] = ()) -> list[Panel]:
    """A panel for each of the study's tasks.

    Args:
        inputs: ``.../<task>/<method>/<sample set>/samples.h5``, the prompts (JSON) and the validation
            images, which name the classes; files that are not given are read from their default paths.

    Raises UserError if a file is missing or was made by another configuration, or if the sets have no
    class or prompt in common.
    """
    return [_panel(study, task, inputs) for task in study.tasks]


def _panel(study: Study, task: str, inputs: Sequence[Path]) -> Panel:
    sets = {}
    for run, variant in shown(study, task):
        usual = Path(Paths(study).samples(run.method, task, variant))
        path = next((p for p in inputs if p.parts[-4:] == usual.parts[-4:]), usual)
        sets[path] = run, variant
    present = [
        _labels(path, stages.sample(study, run.method, task, variant)["hash"])
        for path, (run, variant) in sets.items()
    ]
    shared = sorted(set.intersection(*map(set, present)))
    if not shared:
        raise UserError(f"{', '.join(map(str, sets))} share no class or prompt; make them again")
    chosen = _classes(study, inputs, shared) if task == "imagenet" else _prompts(study, inputs, shared)
    rows = [
        Row(_name(run, variant), run.family, _images(path, found, chosen))
        for (path, (run, variant)), found in zip(sets.items(), present, strict=True)
    ]
    drawn = "as in Table 1" if study.report.reproduction else "with guidance"
    return Panel(TITLES[task], f"{drawn}, the first image of each {UNITS[task]}", chosen, rows)


def _name(run: Run | PublicRun, variant: str) -> str:
    steps = variants.with_steps(run, variants.guidance_of(variant))[variant]
    return str(head(run, steps)["name"])


def _labels(path: Path, hash_: str) -> dict[int, int]:
    """Class or prompt of a sample set -> index of its first image."""
    with hdf5.opened(path, *sample_grids.SAMPLES, hash_) as file:
        labels, first = np.unique(file["labels"][:], return_index=True)
    return dict(zip(labels.tolist(), first.tolist(), strict=True))


def _images(path: Path, first: Mapping[int, int], chosen: Mapping[int, str]) -> dict[int, np.ndarray]:
    with hdf5.opened(path, *sample_grids.SAMPLES) as file:
        images = hdf5.memmap(file, "images")
        return {label: np.array(images[first[label]]) for label in chosen}


def _classes(study: Study, inputs: Sequence[Path], there: Sequence[int]) -> dict[int, str]:
    """Classes spread evenly over all, and their names (the first of several synonyms)."""
    usual = Path(Paths(study).data("imagenet", "val"))
    path = next((p for p in inputs if p.name == usual.name), usual)
    with hdf5.opened(path, *sample_grids.IMAGES) as file:
        names = json.loads(file.attrs.get("classes", "[]"))
    chosen = [there[i] for i in spread(len(there), COLUMNS)]
    known = {label: spoken(name).partition(",")[0] for label, name in enumerate(names)}
    return {label: known.get(label, f"class {label}") for label in chosen}


def _prompts(study: Study, inputs: Sequence[Path], there: Sequence[int]) -> dict[int, str]:
    """Prompts of different tags, grouped by tag."""
    path = next((p for p in inputs if p.suffix == ".json"), Path(Paths(study).prompts))
    content = read_json(path)
    check_label(content, path, *sample_grids.PROMPTS, None)
    prompts: list[dict[str, Any]] = content["prompts"]
    by_tag: dict[str, list[int]] = {}
    for i in sorted(set(there) & set(of_benchmark(prompts, GENEVAL))):
        by_tag.setdefault(prompts[i].get("tag", ""), []).append(i)
    each = -(-COLUMNS // max(1, len(by_tag)))
    spreads = [
        _shorter(found, prompts, each, (number + 0.5) / len(by_tag))
        for number, found in enumerate(by_tag.values())
    ]
    turns = [i for turn in zip_longest(*spreads) for i in turn if i is not None]
    wanted = set(turns[:COLUMNS])
    return {i: prompts[i]["prompt"] for found in spreads for i in found if i in wanted}


def _shorter(
    found: Sequence[int], prompts: Sequence[Mapping[str, Any]], wanted: int, at: float
) -> list[int]:
    """Some of a tag's prompts, spread over the shorter ones, so that they fit as headings.

    Args:
        at: position in each part of the spread, in (0, 1); differs by tag, because lists may be alike.
    """
    longest = median(len(prompts[i]["prompt"]) for i in found)
    short = [i for i in found if len(prompts[i]["prompt"]) <= longest]
    short = short if len(short) >= wanted else list(found)
    places = (int((part + at) / wanted * len(short)) for part in range(wanted))
    return list(dict.fromkeys(short[place] for place in places))
