"""A table as text: Markdown and LaTeX, rounded for print."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from itertools import groupby

from nanogen.report.columns import cell
from nanogen.report.table import Mark, Table, marks
from nanogen.text import one_line

LEGEND = "**Best** and <u>second best</u> of a column are marked."
NOISE = "In brackets: the 95 % interval; a value at chance, or within noise of the next, is not marked."
_TEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "✓": r"$\checkmark$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "²": r"$^2$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "…": r"\ldots{}",
    "–": "--",
    "−": "$-$",
    "|": r"\textbar{}",
    "<": "$<$",
    ">": "$>$",
}


def _tex_character(character: str) -> str:
    """Return a character for pdfLaTeX: accented Latin letters stay, others become their code point."""
    if character in _TEX or character.isascii():
        return _TEX.get(character, character)
    letter = unicodedata.normalize("NFD", character)[0]
    return character if letter.isascii() and letter.isalpha() else f"(U+{ord(character):04X})"


def spoken(name: str) -> str:
    """A table's or figure's name as text, e.g. ``Table 2`` for ``table2``."""
    return re.sub(r"(?<=[a-z])(?=\d+$)", " ", name).capitalize()


def tex_escaped(text: str) -> str:
    """Escape LaTeX's special characters, and write arrows and dashes as LaTeX commands."""
    composed = unicodedata.normalize("NFC", one_line(text))
    return "".join(map(_tex_character, composed))


def _markdown_cell(text: str, mark: Mark | None) -> str:
    text = re.sub(r"(\||<(?! )|(?<=\])\()", r"\\\1", text)  # "< 0.001" is not a tag
    return {"best": f"**{text}**", "second": f"<u>{text}</u>", None: text}[mark]


def markdown(table: Table) -> str:
    """Return GitHub Markdown: caption, table with a line per group, footnotes."""
    marked = marks(table)
    columns = table.columns
    lines = [
        f"**{spoken(table.name)}.** {table.caption}",
        "",
        *([f"> **{table.banner}.**", ""] if table.banner else []),
        "| " + " | ".join(column.title for column in columns) + " |",
        "|" + "|".join(":---" if c.wide or not i else "---:" for i, c in enumerate(columns)) + "|",
    ]
    for heading, rows in table.groups():
        lines.append(f"| *{heading}* |" + " |" * (len(columns) - 1))
        for index, row in rows:
            cells = (_markdown_cell(cell(c, row), marked.get((index, c.key))) for c in columns)
            lines.append("| " + " | ".join(cells) + " |")
    notes = [*[LEGEND] * bool(marked), *[NOISE] * table.has_intervals, *table.notes]
    return "\n".join([*lines, "", *(f"{note}  " for note in notes)]).rstrip() + "\n"


def _tex_header(table: Table) -> list[str]:
    """Two lines of headings if columns share a group, otherwise one."""
    spans, rules, position = [], [], 1
    for group, members in groupby(table.columns, lambda column: column.group):
        below = list(members)
        if group:
            arrow = below[0].arrow
            spans.append(rf"\multicolumn{{{len(below)}}}{{c}}{{{tex_escaped(group + arrow)}}}")
            rules.append(rf"\cmidrule(lr){{{position}-{position + len(below) - 1}}}")
        else:
            spans += [""] * len(below)
        position += len(below)
    names = [c.heading if c.group else c.heading + c.arrow for c in table.columns]
    heading = [" & ".join(map(tex_escaped, names)) + r" \\"]
    return [" & ".join(spans) + r" \\", " ".join(rules), *heading] if rules else heading


def _tex_cell(text: str, mark: Mark | None) -> str:
    text = tex_escaped(text)
    return {"best": rf"\textbf{{{text}}}", "second": rf"\underline{{{text}}}", None: text}[mark]


def _tex_row(cells: Iterable[str]) -> str:
    """Return a row; a leading bracket or star would be read as an argument of the previous row's end."""
    row = " & ".join(cells) + r" \\"
    return "{}" + row if row.startswith(("[", "*")) else row


def latex(table: Table) -> str:
    """Return a ``table*`` for booktabs and graphicx, shrunk if it is wider than the page."""
    marked = marks(table)
    width = len(table.columns)
    layout = "".join(r"p{7cm}" if c.wide else "r" if i else "l" for i, c in enumerate(table.columns))
    lines = [
        r"% needs \usepackage{booktabs,graphicx,amssymb}",
        r"\begin{table*}[t]",
        r"\centering\small",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{layout}}}",
        r"\toprule",
        *_tex_header(table),
    ]
    for heading, rows in table.groups():
        lines += [r"\midrule", rf"\multicolumn{{{width}}}{{l}}{{\textit{{{tex_escaped(heading)}}}}} \\"]
        for index, row in rows:
            cells = (_tex_cell(cell(c, row), marked.get((index, c.key))) for c in table.columns)
            lines.append(_tex_row(cells))
    legend = [r"\textbf{Best} and \underline{second best} of a column are marked."] if marked else []
    legend += [tex_escaped(NOISE)] * table.has_intervals
    caption = f"{table.caption} {table.banner}." if table.banner else table.caption
    notes = " ".join([*legend, *map(tex_escaped, table.notes)])
    lines += [
        r"\bottomrule",
        r"\end{tabular}}",
        rf"\caption{{{tex_escaped(caption)} {notes}".rstrip() + "}",
        rf"\label{{tab:{table.name}}}",
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"
