"""nanogen figure: one of the paper's figures as PDF, PNG and SVG."""

from __future__ import annotations

import argparse

from pydantic import ValidationError

from nanogen.cli.study import parse_keys, read_study, source_arguments
from nanogen.config.study_schema import FigureStyle
from nanogen.errors import UserError


def arguments(parser: argparse.ArgumentParser) -> None:
    names = "figure1, figure2, figure4, figure5, correlations, regimes, tokenizers, sweep or overview"
    parser.add_argument("name", help=names)
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
    from nanogen.report import (
        correlation_figure,
        overview,
        reconstructions,
        regimes,
        scatter_figures,
        style,
        sweep,
        training_times,
    )

    look = style.default(args.name)
    study = None if args.published else read_study(args.study, args.given)
    if study:
        look = study.report.figures.get(args.name, look)
    if args.style:
        look = _style(args.style)
    if args.name == sweep.NAME:
        drawn, said = sweep.figure(study, args.input, look)
    elif args.name == overview.NAME:
        drawn, said = overview.figure(study, args.input, look)
    elif args.name == reconstructions.NAME:
        drawn, said = reconstructions.figure(study, args.input, look)
    elif args.name == training_times.FIGURE:
        drawn, said = training_times.figure(study, args.input, look)
    elif args.name == regimes.NAME:
        drawn, said = regimes.figure(study, look)
    elif args.name == correlation_figure.NAME:
        drawn, said = correlation_figure.figure(study, args.input, look)
    elif study:
        rows = scatter_figures.study_panels(args.name, study, args.input)
        drawn, said = (
            scatter_figures.draw(rows, look, f"FID ({study.study})"),
            scatter_figures.statements(rows),
        )
    else:
        rows = scatter_figures.published_panels(args.name)
        drawn, said = scatter_figures.draw(rows, look), scatter_figures.statements(rows)
    with style.applied(look):  # the files' settings, e.g. the salt of SVG's names
        paths = style.save(drawn, args.output_prefix)
    for line in [*said, *paths]:
        print(line)
