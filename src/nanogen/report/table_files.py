"""A table's files: CSV in full precision; Markdown, LaTeX and HTML rounded for print."""

from __future__ import annotations

from pathlib import Path

from nanogen.files import write_text
from nanogen.report.html_table import html
from nanogen.report.render import latex, markdown
from nanogen.report.rows import csv_text
from nanogen.report.table import Table


def write(table: Table, prefix: str) -> list[Path]:
    """Write PREFIX.csv, .md, .tex and .html, each whole or not at all."""
    texts = {
        "csv": csv_text(table.rows, table.keys),
        "md": markdown(table),
        "tex": latex(table),
        "html": html(table),
    }
    paths = [Path(f"{prefix}.{suffix}") for suffix in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        write_text(path, text)
    return paths
