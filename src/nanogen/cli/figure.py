"""nanogen figure: one of the paper's figures as PDF, PNG and SVG."""

from __future__ import annotations

import argparse

from pydantic import ValidationError

from nanogen.cli.study import parse_keys, read_study, source_arguments
from nanogen.config.schema import FigureStyle
from nanogen.errors import UserError


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="figure1, figure4 or figure5")
    source_arguments(parser)
    parser.add_argument("--style", help="JSON: width, height, font_size, labels; else the study's")
    parser.add_argument("--output-prefix", required=True, help="PREFIX of .pdf, .png and .svg")


def _style(text: str) -> FigureStyle:
    try:
        return FigureStyle(**parse_keys(text, "--style"))
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"--style: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def run(args: argparse.Namespace) -> None:
    from nanogen.report import figure, style

    look = style.default(args.name)
    if args.published:
        rows, axis = figure.published_panels(args.name), "ImageNet FID"
    else:
        study = read_study(args.study, args.given)
        rows, axis = figure.study_panels(args.name, study, args.input), f"FID ({study.study})"
        look = study.report.figures.get(args.name, look)
    if args.style:
        look = _style(args.style)
    drawn = figure.draw(rows, look, axis)
    with style.applied(look):  # the files' settings, e.g. the salt of SVG's names
        paths = style.save(drawn, args.output_prefix)
    for line in rows:
        for panel in line:
            print(f"{panel.metric}, {panel.protocol}: {panel.statement}")
    for path in paths:
        print(path)
