"""A table as its own HTML page, or as part of the report; it loads nothing from the network."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from nanogen.report.columns import cell
from nanogen.report.render import LEGEND, NOISE, spoken
from nanogen.report.table import Mark, Table, marks

STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 16px; }
h1 { font-size: 1.15rem; line-height: 1.3; margin: 0 0 12px; }
.banner { font-weight: 600; padding: 8px 14px; border: 2px solid; border-radius: 6px; }
/* A shadow at the edge that more lies behind: it stays, and what covers it scrolls with the content. */
.scroll { --shadow: light-dark(rgb(0 0 0 / 0.35), rgb(255 255 255 / 0.4));
  overflow-x: auto; border-block: 2px solid;
  background: linear-gradient(90deg, Canvas 50%, transparent) left / 48px 100% no-repeat local,
    linear-gradient(-90deg, Canvas 50%, transparent) right / 48px 100% no-repeat local,
    linear-gradient(90deg, var(--shadow), transparent) left / 16px 100% no-repeat scroll,
    linear-gradient(-90deg, var(--shadow), transparent) right / 16px 100% no-repeat scroll; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; width: 100%; }
th, td { padding: 4px 10px; text-align: right; white-space: nowrap; font-weight: 400; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: Canvas; }
td.wide { text-align: left; white-space: normal; min-width: 18em; }
thead th { font-weight: 600; border-bottom: 1px solid; vertical-align: bottom; white-space: normal; }
tbody th:first-child { font-style: italic; padding-top: 12px; background: none; }
td small { opacity: 0.75; }
summary { cursor: pointer; }
.notes { font-size: 0.85rem; max-width: 60em; overflow-wrap: anywhere; }
"""
_TAGS: dict[Mark | None, str] = {"best": "b", "second": "u"}


def _cell(text: str, mark: Mark | None, wide: bool) -> str:
    """A cell: the number marked, its interval in small print."""
    number, bracket, rest = text.partition(" [") if text.endswith("]") else (text, "", "")
    shown = escape(number)
    if tag := _TAGS.get(mark):
        shown = f"<{tag}>{shown}</{tag}>"
    if bracket:
        shown += f" <small>[{escape(rest)}</small>"
    return f'<td class="wide">{shown}</td>' if wide else f"<td>{shown}</td>"


def _legend(table: Table, marked: bool) -> list[str]:
    legend = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", LEGEND)
    return [*[legend] * marked, *[escape(NOISE)] * table.has_intervals]


def _paragraphs(notes: Iterable[str]) -> list[str]:
    return [f"<p>{note}</p>" for note in notes]


def html(table: Table) -> str:
    """The page: caption, banner, the table with a line per group, and its notes."""
    marked = marks(table)
    columns = table.columns
    title = f"{spoken(table.name)}."
    body = []
    for heading, rows in table.groups():
        body.append(f'<tr><th scope="rowgroup" colspan="{len(columns)}">{escape(heading)}</th></tr>')
        for index, row in rows:
            cells = (_cell(cell(c, row), marked.get((index, c.key)), c.wide) for c in columns)
            body.append(f"<tr>{''.join(cells)}</tr>")
    folded = ["<details><summary>How it was measured</summary>", *_paragraphs(map(escape, table.notes))]
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>",
            f"<h1>{escape(title)} {escape(table.caption)}</h1>",
            *[f'<p class="banner">{escape(table.banner)}.</p>'] * bool(table.banner),
            '<div class="scroll" tabindex="0"><table><thead><tr>',
            *(f'<th scope="col">{escape(column.title)}</th>' for column in columns),
            "</tr></thead><tbody>",
            *body,
            "</tbody></table></div>",
            '<div class="notes">',
            *_paragraphs(_legend(table, bool(marked))),
            *[*folded, "</details>"] * bool(table.notes),
            "</div></body></html>",
            "",
        ]
    )


def section(page: str) -> str:
    """Return the body of a page written by `html`, for a page of several tables; its title becomes a
    second-level heading."""
    body = page.partition("<body>")[2].partition("</body>")[0]
    return body.replace("h1>", "h2>")
