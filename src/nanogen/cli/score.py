"""`nanogen score`: compute FID, IS, FDr, MIND, precision, recall and sFID of any set of images."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from nanogen.cli.common import at_least, batch_argument
from nanogen.errors import UserError

EXAMPLE = (
    "example: nanogen score --images my_samples --reference results/nano/data/imagenet/train.h5 "
    "--extractor inception=results/nano/models/inception --metrics fid,is,pr --output scores.json"
)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLE
    kinds = "a folder of PNG, JPEG or WebP files, an NPZ file (arr_0) or an HDF5 file of this project"
    parser.add_argument("--images", type=Path, required=True, help=kinds)
    parser.add_argument(
        "--reference",
        type=Path,
        required=True,
        help="real images in any of these forms, a study's reference/statistics.h5, or an NPZ file with "
        "mu and sigma",
    )
    parser.add_argument(
        "--extractor",
        action="append",
        metavar="NAME[=DIR]",
        help="a file in config/models and the folder of the network (default: the study's); may be "
        "repeated: FID, IS, precision, recall and sFID use the first one (default: all of the study's)",
    )
    parser.add_argument(
        "--metrics",
        default="fid",
        help="metrics separated by commas: fdr, mind, fid, is, sfid, pr (default: fid)",
    )
    parser.add_argument(
        "--study",
        default="nano",
        help="study whose extractors are used, by name or file (default: nano)",
    )
    parser.add_argument(
        "--resize",
        type=at_least("--resize", 1),
        metavar="SIDE",
        help="first scale and crop every image to SIDE x SIDE",
    )
    batch_argument(parser)
    parser.add_argument("--output", type=Path, help="write values and protocols as JSON")


def run(args: argparse.Namespace) -> None:
    from nanogen.config import load_study
    from nanogen.metrics.score_images import Request, check_metrics, score_images

    metrics = list(dict.fromkeys(name.strip() for name in args.metrics.split(",")))
    check_metrics(metrics)
    extractors = _extractors(load_study(args.study), args.extractor)
    wanted = Request(
        args.images, args.reference, extractors, metrics, args.resize, batch_size=args.batch_size
    )
    scores = score_images(wanted)
    _show(scores["scores"])
    if args.output:
        from nanogen.files import write_json

        write_json(args.output, scores)


def _extractors(study: Any, given: list[str] | None) -> list[Any]:
    """Return the chosen extractors.

    Raises UserError for a repeated one, and for a missing one with the name of its source.
    """
    from nanogen.config import load_model, plan, stages
    from nanogen.config.paths import Paths
    from nanogen.metrics.references import Chosen

    chosen: list[Chosen] = []
    for pair in given or stages.extractors(study):
        name, _, named = pair.partition("=")
        if name in [other.name for other in chosen]:
            raise UserError(f"--extractor {pair}: {name} is given twice; score each folder on its own")
        model = load_model(study, name)
        if model.kind != "extractor":
            raise UserError(f"--extractor {pair}: {name} is of kind {model.kind}, not an extractor")
        folder = Path(named or Paths(study).model(name))
        plan.require_weights(study, model, folder)
        chosen.append(Chosen(model, folder))
    return chosen


def _show(scores: dict[str, Any]) -> None:
    """Print one line per number, then how each was measured."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from nanogen.report.columns import Column, column, printed

    console = Console()
    table = Table("metric", box=box.SIMPLE_HEAD if console.is_terminal else box.ASCII)
    table.add_column("value", justify="right")
    for result in scores.values():
        for key, value in result["values"].items():
            found = column(key) or Column(key, key, 4)  # a metric that no table has yet
            table.add_row(found.title, printed(found, value))
    console.print(table)
    for name, result in scores.items():
        console.print(f"{name}: {result['protocol']}", highlight=False, markup=False, soft_wrap=True)
