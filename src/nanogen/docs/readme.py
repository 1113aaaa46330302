"""The README's table of results, written from the tables of a finished study.

``python -m nanogen.docs.readme --study nano`` replaces the text between the markers in README.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from nanogen.config import load_study
from nanogen.config.paths import Paths
from nanogen.errors import UserError
from nanogen.files import write_text
from nanogen.report.columns import DASH, cell, column
from nanogen.report.rows import Row, read_rows

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
# Columns of each CSV; a score's chance level is the next column.
IMAGENET = ("fid", "fid_untrained", "accuracy")
TEXT_TO_IMAGE = ("geneval", "chance", "single_object", "colors", "position", "color_attr")


def _joined(root: Path) -> list[Row]:
    """Rows of Tables 2 and 3 of the study in ``root``, one per method, in Table 2's order."""
    guided, prompted = (
        read_rows(root / "tables" / f"{name}.csv", needs=["name", *keys])
        for name, keys in (("table2", IMAGENET), ("table3", TEXT_TO_IMAGE))
    )
    by_name = {row["name"]: row for row in prompted}
    return [{**row, **by_name.get(row["name"], {})} for row in guided]


def results(root: Path) -> str:
    """Return the table in Markdown; raises UserError if the study is not finished."""
    shown = [found for key in ("name", *IMAGENET, *TEXT_TO_IMAGE) if (found := column(key))]
    lines = [[c.title for c in shown], ["---" if c.key == "name" else "---:" for c in shown]]
    lines += [[cell(c, row) or DASH for c in shown] for row in _joined(root)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def replaced(page: str, table: str) -> str:
    """Return the page with ``table`` between its markers; raises UserError if it has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise UserError(f"README.md has no place for the results: add the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--study", default="nano", help="a finished study (default: nano)")
    parser.add_argument("--readme", type=Path, default=Path("README.md"))
    args = parser.parse_args(argv)
    try:
        table = results(Path(Paths(load_study(args.study)).root))
        write_text(args.readme, replaced(args.readme.read_text(encoding="utf-8"), table))
    except UserError as error:
        sys.exit(f"readme: {error}")


if __name__ == "__main__":
    main()
