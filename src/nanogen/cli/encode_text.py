"""`nanogen encode-text`: cache the text features of captions, classes or prompts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from nanogen.cli.common import read_stage
from nanogen.config.cache_stage import CacheStage
from nanogen.errors import UserError
from nanogen.files import check_label, read_json

CAPTIONS = ("short", "dense")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, required=True, help="the stage's configuration")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, help="image file whose captions are encoded")
    source.add_argument("--classes", type=Path, help="image file whose classes' captions are encoded")
    source.add_argument("--prompts", type=Path, help="evaluation prompts (JSON)")
    parser.add_argument("--encoder", type=Path, required=True, help="folder of the text encoder")
    parser.add_argument("--shard", metavar="K-of-N", help="write only this shard of the cache")
    parser.add_argument("--output", type=Path, required=True, help="cache to write (HDF5)")


def run(args: argparse.Namespace) -> None:
    stage = CacheStage.from_json(read_stage(args.config, "text"))
    from nanogen.models.card import expect_model

    expected = stage.expects
    read, path = next(
        (read, path)
        for read, path in ((_captions, args.data), (_classes, args.classes), (_prompts, args.prompts))
        if path
    )
    texts = read(path, expected["data"])
    expect_model(args.encoder, expected["encoder"])
    from nanogen.caches.shards import Share
    from nanogen.caches.text import write_text_features
    from nanogen.models.text_features import TextEncoder

    share = Share.parse(args.shard) if args.shard else None
    encoder = TextEncoder(args.encoder, stage.model)
    write_text_features(stage, texts, encoder, args.output, share)


def _captions(path: Path, hash: str) -> dict[str, Sequence[str]]:
    from nanogen.data.images import CaptionRows, ImageFile

    images = ImageFile(path, hash)
    return {kind: CaptionRows(images, kind) for kind in CAPTIONS}


def _classes(path: Path, hash: str) -> dict[str, Sequence[str]]:
    """Return the caption of each class; raises UserError if its images have different captions."""
    from nanogen.data.images import ImageFile

    images = ImageFile(path, hash)
    found: dict[int, str] = {}
    for label, caption in zip(images.labels.tolist(), images.captions("short"), strict=True):
        if found.setdefault(label, caption) != caption:
            raise UserError(
                f"{path}: images of the class {images.classes[label]} are captioned {found[label]!r} "
                f"and {caption!r}; a class can be prompted by text only if all its images have the "
                "same caption, as in a folder of photographs (data.source: folder)"
            )
    missing = [name for label, name in enumerate(images.classes) if label not in found]
    if missing:
        raise UserError(
            f"{path} has no image of the class {missing[0]}, so there is no caption to use as its prompt"
        )
    return {"prompt": [found[label] for label in sorted(found)]}


def _prompts(path: Path, hash: str) -> dict[str, Sequence[str]]:
    content = read_json(path)
    check_label(content, path, "prompts", 1, hash)
    if not content.get("prompts"):
        raise UserError(f"{path} contains no prompts")
    return {"prompt": [entry["prompt"] for entry in content["prompts"]]}
