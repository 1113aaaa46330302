"""Which outputs of commands lie in a store (`nanogen.store`), and under which name."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nanogen import store
from nanogen.data.stage import stays_in_shards
from nanogen.errors import UserError
from nanogen.files import read_json
from nanogen.identity import config_hash
from nanogen.store import Entry

FILES = {"encode-latents": "latents", "encode-features": "features", "encode-text": "text"}
NETWORKS = ("build-model", "fetch-model")
LAUNCHED = ("train-tokenizer", "tune-tokenizer")


def entry_of(name: str, args: argparse.Namespace) -> Entry | None:
    """What the command makes, if it belongs into a store and there is one."""
    if not store.stores():
        return None
    if name == "fetch-data":
        part = [args.repo, args.file, args.max_shards, args.max_images]
        return Entry("downloads", config_hash(part))
    if name == "make-data":
        return None if args.shard else data_entry(read_json(args.config), args.root)
    if name in FILES:
        shard = f"-{args.shard}" if getattr(args, "shard", None) else ""
        return Entry(FILES[name], _hash(args.config) + shard, ".h5")
    return Entry("networks", _hash(args.config)) if name in NETWORKS else None


def data_entry(stage: Mapping[str, Any], root: str | None) -> Entry:
    """The image file of a ``data`` stage. One that names tar shards is of those that it names, unless
    they were downloaded: ``root`` is the folder of the downloads."""
    data, name = stage["data"], str(stage["hash"])
    if stays_in_shards(data["source"], data["store"]):
        given = data.get("root")
        name += f"-{config_hash([os.path.realpath(given)])}" if given else "-places"
    return Entry("data", name, ".h5")


def _hash(config: Path) -> str:
    return str(read_json(config)["hash"])


def launched(command: Sequence[str], launch: Callable[[Sequence[str]], None]) -> None:
    """``launch`` a command of several processes; a tokenizer is made in the store and linked."""
    if command[0] not in LAUNCHED or not store.stores():
        launch(command)
        return
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--output", type=Path)
    step, rest = parser.parse_known_args(command)
    if not step.config or not step.output:
        raise UserError(f"{command[0]}: --config and --output are needed")

    def make(path: Path) -> None:
        place = os.environ.pop(store.VARIABLE)  # the processes that it starts do not ask again
        try:
            launch([*rest, "--config", str(step.config), "--output", str(path)])
        finally:
            os.environ[store.VARIABLE] = place

    store.provide(Entry("networks", _hash(step.config)), step.output, make)
