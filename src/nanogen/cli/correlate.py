"""nanogen correlate: correlations between ImageNet metrics and text-to-image scores, with intervals."""

from __future__ import annotations

import argparse
import json

from nanogen.cli.study import named_source, named_source_arguments


def arguments(parser: argparse.ArgumentParser) -> None:
    named_source_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print every row with all its numbers")
    parser.add_argument(
        "--all-metrics", action="store_true", help="also use other ImageNet metrics instead of FID"
    )


def run(args: argparse.Namespace) -> None:
    from nanogen.report import correlation_tables, correlations

    tables = correlations.tables_of(named_source(args), args.input)
    questions = correlations.of_fid(tables)
    if args.all_metrics:
        questions += correlations.of_other_axes(tables)
    rows = correlations.rows(questions)
    if args.json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    _show(rows)
    for line in correlation_tables.words(rows):
        print(line)


def _show(rows) -> None:
    import sys

    from rich.console import Console

    from nanogen.report.correlation_tables import STATISTICS
    from nanogen.report.table import Table
    from nanogen.report.terminal import PLAIN_WIDTH, rich_table

    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    table = Table("correlations", "", STATISTICS, rows)
    console.print(rich_table(table, console.width, plain=not console.is_terminal))
