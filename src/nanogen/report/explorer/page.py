"""The explorer page: template, style, scripts, chart library and data in one file."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from nanogen import __version__
from nanogen.config import Study
from nanogen.config.paths import Paths
from nanogen.files import write_text
from nanogen.report import sample_sets
from nanogen.report.explorer import provenance, thumbnails
from nanogen.report.explorer.entries import Content, measured_source, published_source
from nanogen.report.results import Results
from nanogen.report.style import FAMILIES, Look
from nanogen.statistics.bootstrap import FEWEST

# Joined in this order into one module; the last script starts the page.
SCRIPTS = ("statistics.js", "chart.js", "leaderboard.js", "details.js", "controls.js", "main.js")
# Markers of the figures -> names of these shapes in the chart library.
SHAPES = {"o": "circle", "s": "square", "^": "triangle-up", "D": "diamond", "P": "cross"}
PUBLIC = Look("Public models", "#6B6B6B", "P")
SAMPLES = 6  # images shown per sample set


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath("template", name).read_text(encoding="utf-8")


@cache
def library() -> str:
    """Return Vega with vega-embed (``window.vegaEmbed``) as one script, 0.9 MB; nothing is fetched."""
    import vl_convert

    script = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return script.replace("</script", "<\\/script")


def content(study: Study | None = None, inputs: Sequence[Path] = (), samples: int = SAMPLES) -> Content:
    """All data of the page: the paper's numbers and, if a study is given, those of the study.

    Args:
        inputs: tables (CSV) and metric files of the study; others are read from their default paths.
        samples: number of images per sample set; 0 for none.

    Raises UserError if a table or metric file is missing or belongs to another configuration.
    """
    sources = [published_source()]
    if study and not study.report.reproduction:
        measured = _measured(study, inputs, samples)
        # the page opens with the first source: the study, unless its scores are at chance
        sources.insert(1 if measured["warning"] else 0, measured)
    looks = {**FAMILIES, "public": PUBLIC}
    return {
        "program": f"nanogen {__version__}",
        "fewest": FEWEST,
        "families": [
            {"key": key, "title": look.title, "colour": look.colour, "shape": SHAPES[look.marker]}
            for key, look in looks.items()
        ],
        "sources": sources,
    }


def _measured(study: Study, inputs: Sequence[Path], samples: int) -> Content:
    source = measured_source(study, inputs)
    results = Results(study, [path for path in inputs if path.suffix == ".json"])
    rows: dict[str, dict[str, Any]] = {row["method"]: row for row in source["rows"]}
    for found in sample_sets.shown_sets(results):
        row = rows.get(found.row)
        if row is None:
            continue  # a table among the inputs may contain fewer methods
        row.setdefault("provenance", {})[found.part] = provenance.of_set(results, found)
        row.setdefault("samples", {})[found.part] = thumbnails.of_set(Paths(study), found, samples)
    return source


def embedded(value: Any) -> str:
    """Return JSON for a script element; without ``<`` it cannot contain an end tag or a comment."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def build(shown: Content) -> str:
    """The page as HTML."""
    title = " and ".join(source["title"] for source in shown["sources"])
    return Template(_asset("page.html")).substitute(
        title=html.escape(f"DiffusionBench explorer: {title}"),
        licences=_asset("licences.txt"),
        style=_asset("explorer.css"),
        data=embedded(shown),
        library=library(),
        program="\n".join(_asset(name) for name in SCRIPTS),
    )


def write(shown: Content, path: Path) -> None:
    """Write the page, whole or not at all."""
    write_text(path, build(shown))
