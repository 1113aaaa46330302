"""Equations as MathML, converted when the site is built, so browsers show them without scripts."""

from __future__ import annotations

import base64
import logging
from io import BytesIO
from pathlib import Path
from typing import Any

from docutils import nodes

from nanogen.errors import UserError

# Characters of equations: upright, italic, Greek, script and double-struck letters, and operators.
RANGES = (
    *((0x20, 0x7E), (0xA0, 0xFF), (0x302, 0x305), (0x370, 0x3FF), (0x2010, 0x2044), (0x2100, 0x214F)),
    *((0x2190, 0x21FF), (0x2200, 0x22FF), (0x2308, 0x230B), (0x27E6, 0x27EF), (0x1D434, 0x1D467)),
    *((0x1D49C, 0x1D4CF), (0x1D538, 0x1D56B), (0x1D6E2, 0x1D71B)),
)
STYLE = """/* STIX Two Math, The STIX Fonts Project Authors, SIL Open Font License 1.1 */
@font-face {{ font-family: "Equations"; src: url("data:font/woff;base64,{font}"); }}
math {{ font-family: "Equations", math; }}
"""


def mathml(tex: str, block: bool) -> str:
    """Convert an equation from TeX to MathML; raises UserError for unknown TeX."""
    from latex2mathml.converter import convert

    try:
        drawn = convert(tex, display="block" if block else "inline")
    except Exception as error:  # its errors have no common base class
        raise UserError(f"the equation {tex!r} cannot be drawn: {type(error).__name__}") from error
    if "\\" in drawn:  # an unknown command is left unchanged
        raise UserError(f"the equation {tex!r} cannot be drawn: it has a command that is not known")
    return drawn


def _inline(writer: Any, node: nodes.math) -> None:
    writer.body.append(mathml(node.astext(), block=False))
    raise nodes.SkipNode


def _block(writer: Any, node: nodes.math_block) -> None:
    writer.body.append(f'<div class="equation">{mathml(node.astext(), block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Register the renderer ``mathml`` with Sphinx."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def style_sheet() -> str:
    """Return a style sheet with the subset of STIX Two Math (SIL Open Font License) for equations.

    The font is embedded in the sheet, because browsers do not load fonts from other files for a page
    that was opened from disk. It is part of the package ziamath.
    """
    import ziamath
    from fontTools import subset

    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it lists every glyph
    options = subset.Options(flavor="woff", layout_features=["ssty"])
    path = Path(ziamath.__file__).parent / "fonts" / "STIXTwoMath-Regular.ttf"
    font = subset.load_font(path, options)
    chosen = subset.Subsetter(options)
    chosen.populate(unicodes=[c for first, last in RANGES for c in range(first, last + 1)])
    chosen.subset(font)
    made = BytesIO()
    subset.save_font(font, made, options)
    return STYLE.format(font=base64.b64encode(made.getvalue()).decode())
