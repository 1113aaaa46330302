"""Equations as MathML, made when the site is built: a browser draws them without any script."""

from __future__ import annotations

from typing import Any

from docutils import nodes

from nanogen.errors import UserError


def mathml(tex: str, block: bool) -> str:
    """One equation; raises UserError for TeX that is not understood."""
    from latex2mathml.converter import convert

    try:
        drawn = convert(tex, display="block" if block else "inline")
    except Exception as error:  # its errors have no common class
        raise UserError(f"the equation {tex!r} cannot be drawn: {type(error).__name__}") from error
    if "\\" in drawn:  # a command that it does not know is left as it is
        raise UserError(f"the equation {tex!r} cannot be drawn: it has a command that is not known")
    return drawn


def _inline(writer: Any, node: nodes.math) -> None:
    writer.body.append(mathml(node.astext(), block=False))
    raise nodes.SkipNode


def _block(writer: Any, node: nodes.math_block) -> None:
    writer.body.append(f'<div class="equation">{mathml(node.astext(), block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Tell Sphinx of the renderer ``mathml``."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
