"""Which outputs of commands are kept in a store (`nanogen.store`), and their names there."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nanogen import store
from nanogen.data.in_place import in_place
from nanogen.data.stage import DataStage
from nanogen.errors import UserError
from nanogen.files import read_json
from nanogen.identity import config_hash
from nanogen.store import Entry

FILES = {"encode-latents": "latents", "encode-features": "features", "encode-text": "text"}
NETWORKS = ("build-model", "fetch-model")
LAUNCHED = ("train-tokenizer", "tune-tokenizer")


def entry_of(name: str, args: argparse.Namespace) -> Entry | None:
    """Return the store entry of a command's output; None if it has none or there is no store."""
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


def data_entry(stage: Mapping[str, Any], downloads: str | None) -> Entry:
    """Return the entry of the image file of a ``data`` stage, as it was configured.

    The name of a file that refers to shards depends on their folder, unless they were downloaded.
    ``downloads`` is the folder of the downloads.
    """
    given, name = stage["data"].get("root"), str(stage["hash"])
    data = {**stage["data"], "root": given or downloads}
    if in_place(DataStage.from_json({**stage, "data": data})):
        name += f"-{config_hash([os.path.realpath(given)])}" if given else "-places"
    return Entry("data", name, ".h5")


def _hash(config: Path) -> str:
    return str(read_json(config)["hash"])


def launched(command: Sequence[str], launch: Callable[[Sequence[str]], None]) -> None:
    """Launch a command of several processes; a tokenizer is written to the store and linked."""
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
        place = os.environ.pop(store.VARIABLE)  # the launched processes do not use the store
        try:
            launch([*rest, "--config", str(step.config), "--output", str(path)])
        finally:
            os.environ[store.VARIABLE] = place

    store.provide(Entry("networks", _hash(step.config)), step.output, make)
