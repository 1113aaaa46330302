"""nanogen figure: a figure of the paper or of a study as PDF, PNG and SVG."""

from __future__ import annotations

import argparse

from pydantic import ValidationError

from nanogen.cli.study import parse_keys, read_study, source_arguments
from nanogen.config.study_schema import FigureStyle
from nanogen.errors import UserError


def arguments(parser: argparse.ArgumentParser) -> None:
    from nanogen.report.artefacts import FIGURES

    parser.add_argument("name", metavar="NAME", help=", ".join(FIGURES))
    source_arguments(parser)
    parser.add_argument(
        "--style", help="JSON with width, height, font_size, labels (default: the study's)"
    )
    parser.add_argument(
        "--output-prefix", required=True, help="writes PREFIX.pdf, PREFIX.png and PREFIX.svg"
    )


def _style(text: str) -> FigureStyle:
    try:
        return FigureStyle(**parse_keys(text, "--style"))
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"--style: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def run(args: argparse.Namespace) -> None:
    from nanogen.cli import artefact
    from nanogen.report import style
    from nanogen.report.artefacts import check_styles

    look = style.default(args.name)
    study = None if args.published else read_study(args.study, args.given)
    if study:
        check_styles(study)
        look = study.report.figures.get(args.name, look)
    if args.style:
        look = _style(args.style)
    drawn, said = artefact.figure(args.name, study, args.input, look)
    with style.applied(look):  # settings of the saved files, e.g. the salt of SVG IDs
        paths = style.save(drawn, args.output_prefix)
    for line in [*said, *paths]:
        print(line)
