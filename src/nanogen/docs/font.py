"""The font of the equations, inside a style sheet: not every system has one that can draw them."""

from __future__ import annotations

import base64
import logging
from io import BytesIO
from pathlib import Path

# What equations are made of: letters upright, italic, Greek, script and double-struck, and operators.
RANGES = (
    *((0x20, 0x7E), (0xA0, 0xFF), (0x302, 0x305), (0x370, 0x3FF), (0x2010, 0x2044), (0x2100, 0x214F)),
    *((0x2190, 0x21FF), (0x2200, 0x22FF), (0x2308, 0x230B), (0x27E6, 0x27EF), (0x1D434, 0x1D467)),
    *((0x1D49C, 0x1D4CF), (0x1D538, 0x1D56B), (0x1D6E2, 0x1D71B)),
)
STYLE = """/* STIX Two Math, The STIX Fonts Project Authors, SIL Open Font License 1.1 */
@font-face {{ font-family: "Equations"; src: url("data:font/woff;base64,{font}"); }}
math {{ font-family: "Equations", math; }}
"""


def style_sheet() -> str:
    """A style sheet with the parts of STIX Two Math (SIL Open Font License) that equations use.

    The font stands in the sheet itself, since browsers keep a page that was opened from disk from
    fonts in other files. It comes with the package ziamath.
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
