"""The look of all figures: one typeface, one set of sizes, a marker and a colour per family."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nanogen.config.study_schema import FigureStyle
from nanogen.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Look(NamedTuple):
    """A family's marker; shapes differ as well as colours, so that families differ without colour."""

    title: str
    colour: str
    marker: str


# Okabe and Ito's colours, which readers with any colour vision can distinguish.
FAMILIES = {
    "rae": Look("RAE latents", "#0072B2", "o"),
    "vae": Look("VAE latents", "#D55E00", "s"),
    "pixel": Look("Pixel space", "#009E73", "^"),
    "few-step": Look("One-/few-step", "#CC79A7", "D"),
}
INK = "#222222"
FAINT = "#9A9A9A"
PNG_DPI = 200
# No metadata that changes from run to run: equal numbers give identical files.
_METADATA = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


# Inches, for figures with more content; the tokenizers' figure shows as many rows of images as fit.
_HEIGHTS = {"figure4": 3.4, "correlations": 5.2, "tokenizers": 3.2}


def default(name: str) -> FigureStyle:
    """The default style of a figure, for studies that do not set one."""
    return FigureStyle(height=_HEIGHTS.get(name, FigureStyle().height))


@contextmanager
def applied(style: FigureStyle) -> Iterator[None]:
    """Apply the style to figures drawn in this block; sizes follow ``style.font_size`` (points)."""
    import matplotlib

    matplotlib.use("Agg")
    size = style.font_size
    settings = {
        "font.family": "DejaVu Sans",
        "font.size": size,
        "axes.titlesize": size,
        "axes.labelsize": size,
        "xtick.labelsize": size * 0.85,
        "ytick.labelsize": size * 0.85,
        "legend.fontsize": size * 0.9,
        "axes.linewidth": 0.6,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.major.size": 2.5,
        "ytick.major.size": 2.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.unicode_minus": True,
        "text.parse_math": False,  # a dollar sign in a name is literal
        "legend.frameon": False,
        "pdf.fonttype": 42,
        "svg.fonttype": "path",
        "svg.hashsalt": "nanogen",
        "figure.dpi": 72,
        "savefig.dpi": PNG_DPI,
    }
    with matplotlib.rc_context(settings):  # type: ignore[arg-type]  # its stub lists every key as a type
        yield


def save(figure: Figure, prefix: str) -> list[Path]:
    """Write PREFIX.pdf, PREFIX.png (200 dots per inch) and PREFIX.svg, each whole or not at all."""
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it reports every glyph it embeds
    paths = []
    for suffix in ("pdf", "png", "svg"):
        path = Path(f"{prefix}.{suffix}")
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format=suffix, metadata=_METADATA[suffix])
        paths.append(path)
    return paths
