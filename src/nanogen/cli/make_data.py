"""`nanogen make-data`: draw scenes or import photographs into one image file."""

from __future__ import annotations

import argparse
from pathlib import Path

from nanogen.cli.common import at_least, read_stage, stage_arguments


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, output="the image file (HDF5); with --shard a note of what was imported")
    parser.add_argument("--root", help="folder of the data, if the configuration does not name it")
    parser.add_argument(
        "--parts",
        type=Path,
        help="folder of finished parts (a tar shard or a run of files each); an interrupted import "
        "continues from there (default: a hidden folder beside the output; with a store always there)",
    )
    parser.add_argument(
        "--shard",
        metavar="K-of-N",
        help="import only this job's parts; a last call without --shard joins them",
    )
    parser.add_argument(
        "--workers",
        type=at_least("--workers", 1),
        help="number of worker processes (default: one per core)",
    )


def run(args: argparse.Namespace) -> None:
    from nanogen.caches.shards import Share
    from nanogen.cli.stored import data_entry
    from nanogen.data.image_import import parts_beside, write_images, write_share
    from nanogen.data.part_workers import cores
    from nanogen.errors import UserError
    from nanogen.files import label, write_json
    from nanogen.store import found as store_has
    from nanogen.store import stores

    configured = read_stage(args.config, "data")
    stage = {**configured, "data": dict(configured["data"])}
    if args.root and stage["data"]["root"] is None:
        stage["data"]["root"] = args.root
    workers, parts = args.workers or cores(), None if stores() else args.parts
    if args.shard is None:
        write_images(stage, args.output, parts, workers)
        return
    share = Share.parse(args.shard)
    if stores():
        entry = data_entry(configured, args.root)
        if store_has(entry):
            write_json(args.output, label("image_share", 1, stage["hash"], rows={}))
            return
        parts = parts_beside(entry.within(stores()[0]))
    if parts is None:
        raise UserError("--shard needs --parts, the folder that all jobs of this import share")
    found = write_share(stage, parts, share.number, share.count, workers)
    rows = {part.part: part.rows for part in found}
    write_json(args.output, label("image_share", 1, stage["hash"], rows=rows))
