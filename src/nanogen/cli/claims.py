"""nanogen claims: check the paper's claims against its numbers or a study's."""

from __future__ import annotations

import argparse

from nanogen.cli.study import named_source, named_source_arguments


def arguments(parser: argparse.ArgumentParser) -> None:
    named_source_arguments(parser)
    parser.add_argument(
        "--json", action="store_true", help="print every claim with its verdict and numbers"
    )


def run(args: argparse.Namespace) -> None:
    import json

    from nanogen.claims import table as claims_table

    found = claims_table.table(named_source(args), args.input)
    if args.json:
        print(
            json.dumps(
                [{k: row[k] for k in found.keys} for row in found.rows], indent=1, ensure_ascii=False
            )
        )
        return
    for row in found.rows:
        verdict, face_value = str(row["verdict"]), row["face_value"]
        aside = "" if verdict == face_value else f", at face value {face_value}"
        print(f"{verdict.upper()}{aside}: {row['name']} (section {row['section']})")
        print(f"    {row['numbers']}")
