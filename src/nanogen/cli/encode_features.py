"""`nanogen encode-features`: cache a frozen vision encoder's features of a data set."""

from __future__ import annotations

import argparse

from nanogen.cli.common import read_stage, stage_arguments
from nanogen.config.cache_stage import CacheStage


def arguments(parser: argparse.ArgumentParser) -> None:
    stage_arguments(parser, "data", "encoder", output="the cache, an HDF5 file of format vision")


def run(args: argparse.Namespace) -> None:
    stage = CacheStage.from_json(read_stage(args.config, "vision"))
    from nanogen.data.images import ImageFile
    from nanogen.models.card import expect_model
    from nanogen.models.vision_features import load_vision

    images = ImageFile(args.data, stage.expects["data"])
    expect_model(args.encoder, stage.expects["encoder"])
    encoder = load_vision(args.encoder, stage.model)
    from nanogen.caches.vision import write_features

    write_features(stage, images, encoder, args.output)
