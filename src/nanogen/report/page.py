"""A study's report: its tables and figures on one HTML page, the main ones first.

It embeds its images, has no script and loads nothing, so it can be sent as one file.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from nanogen import __version__
from nanogen.config import Study
from nanogen.config.paths import Paths
from nanogen.files import explained
from nanogen.report import first_look
from nanogen.report.artefacts import FIGURES
from nanogen.report.bundle import name_in
from nanogen.report.explorer.entries import measured_note
from nanogen.report.html_table import STYLE, section
from nanogen.report.render import spoken

# Folded sections below the main results: folder of their files -> title.
FOLDED = {
    "tables": "More tables",
    "figures": "More figures",
    "figures/samples": "Samples of every method",
    "tables/published": "The paper's own tables",
    "figures/published": "The paper's own figures",
}
UNSELECTED = (
    "Samples as they were scored, without selection: by class, with a real image of the class in the "
    "first column, or by prompt."
)
OWN_STYLE = """
body { margin: 0 auto; max-width: 1100px; padding: 16px clamp(16px, 3vw, 32px) 48px; }
header h1 { font-size: 1.7rem; }
header p, figcaption { max-width: 44em; }
h2 { font-size: 1.15rem; line-height: 1.3; margin: 0 0 12px; }
nav { display: flex; flex-wrap: wrap; gap: 8px; }
nav a { padding: 5px 12px; border: 1px solid; border-radius: 16px; text-decoration: none; }
section { margin: 36px 0; }
img { display: block; max-width: max(100%, 640px); height: auto; }
main > details > summary { padding: 12px 0; font-weight: 600; border-top: 1px solid; }
"""


def page(study: Study, inputs: Sequence[Path]) -> str:
    """The report as HTML.

    Args:
        inputs: the study's tables (HTML) and images (PNG), in the order in which they are shown.

    Raises UserError if a file cannot be read or is outside the study's folder.
    """
    root = Path(Paths(study).root)
    folders = {path: Path(name_in(root, path)).parent.as_posix() for path in inputs}
    own = {path.stem: path for path, folder in folders.items() if folder in ("tables", "figures")}
    main = [own[name] for name in (*first_look.TABLES, *first_look.FIGURES) if name in own]
    title = f"Study {study.study}"
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta http-equiv="Content-Security-Policy" '
            "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">",
            f"<title>{escape(title)}</title><style>{STYLE}{OWN_STYLE}</style></head><body>",
            f"<header><h1>{escape(title)}</h1>",
            f"<p>{escape(measured_note(study))} Wide tables and images scroll sideways.</p>",
            "<nav>",
            *(f'<a href="#{path.stem}">{spoken(path.stem)}</a>' for path in main),
            '<a href="explorer.html">Explorer</a></nav></header>',
            "<main>",
            *(f'<div id="{path.stem}">{_part(path)}</div>' for path in main),
            *_folded({path: folder for path, folder in folders.items() if path not in main}),
            f"</main><footer><p>Made by nanogen {__version__}.</p></footer></body></html>",
            "",
        ]
    )


def _folded(folders: Mapping[Path, str]) -> Iterator[str]:
    for shown, title in FOLDED.items():
        if parts := [_part(path) for path, folder in folders.items() if folder == shown]:
            said = f"<p>{UNSELECTED}</p>" if shown == "figures/samples" else ""
            yield f"<details><summary>{escape(title)} ({len(parts)})</summary>{said}"
            yield from parts
            yield "</details>"


def _part(path: Path) -> str:
    """Return the table or image in a file as HTML."""
    with explained(path, "read"):
        content = path.read_bytes()
    shown = section(content.decode()) if path.suffix == ".html" else _picture(path.stem, content)
    return f"<section>{shown}</section>"


def _picture(name: str, png: bytes) -> str:
    """Return an image that can be scrolled; grids of samples contain their title."""
    title = f"{spoken(name)}: {FIGURES[name].title}" if name in FIGURES else ""
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    heading = f"<h2>{escape(title)}</h2>" if title else ""
    image = f'<img src="{source}" alt="{escape(title or name)}">'
    return f'{heading}<div class="scroll" tabindex="0">{image}</div>'
