"""`nanogen encode-latents`: cache a data set's latents."""

from __future__ import annotations

import argparse

from nanogen.cli.common import read_stage, stage_arguments
from nanogen.config.cache_stage import CacheStage


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, "data", "tokenizer", output="the cache, an HDF5 file of format latents")
    parser.add_argument("--shard", metavar="K-of-N", help="write only this shard of the cache")


def run(args: argparse.Namespace) -> None:
    stage = CacheStage.from_json(read_stage(args.config, "latents"))
    from nanogen.data.images import ImageFile
    from nanogen.models.card import expect_model
    from nanogen.tokenizers import load_tokenizer

    images = ImageFile(args.data, stage.expects["data"])
    expect_model(args.tokenizer, stage.expects["tokenizer"])
    tokenizer = load_tokenizer(args.tokenizer, stage.model)
    from nanogen.caches.latents import write_latents, write_shard
    from nanogen.caches.shards import Share

    if args.shard:
        write_shard(stage, images, tokenizer, args.output, Share.parse(args.shard))
    else:
        write_latents(stage, images, tokenizer, args.output)
