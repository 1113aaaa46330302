"""Sets of captions and their images from the hub (`nanogen.prompts.caption_sets`)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from nanogen.errors import UserError
from nanogen.files import read_json, write_json
from nanogen.interop.hub import Repository, download
from nanogen.interop.noted import check_noted, hashes_of, note
from nanogen.prompts.caption_sets import FOLDER, SETS
from nanogen.prompts.stage import PromptsStage

log = logging.getLogger(__name__)
CARD = "nanogen.json"  # where the file came from


def fetch_captions(content: Mapping[str, Any], folder: Path) -> None:
    """Fetch the files of captions that a stage ``prompts``, of which ``content`` is the JSON, names on
    the hub, into ``folder``; what is there already stays. Raises UserError like `fetch_part`."""
    for name, keys in PromptsStage.from_json(content).captions.items():
        if not Path(keys["source"]).is_dir():
            fetch_part(name, keys["source"], SETS[name].captions, folder / FOLDER / name)


def fetch_images(name: str, source: str, folder: Path) -> Path:
    """The folder with a set's images, which are fetched into ``folder`` unless ``source`` is a folder of
    the user's. Raises UserError like `fetch_part`."""
    if Path(source).is_dir():
        return Path(source)
    fetch_part(name, source, f"{SETS[name].images}.zip", folder)
    return folder


def fetch_part(name: str, source: str, file: str, output: Path) -> None:
    """Fetch one file of a set from the hub into the folder ``output``, unless it is there.

    Raises UserError where access, network or disk fail, where the data set has no such file, and where
    it has changed since it was fetched first.
    """
    card = output / CARD
    if card.exists() and read_json(card)["pinned"] == source:
        return
    repo, _, revision = source.partition("@")
    instead = f"give a folder that holds {file} as evaluation.captions.{name}"
    repository = Repository(repo, revision or "main", "dataset", instead)
    files: list[str] = []

    def wanted(names: Sequence[str]) -> list[str]:
        files[:] = [path for path in names if PurePosixPath(path).name == file][:1]
        if not files:
            raise UserError(f"{repo} holds no file {file}; {instead}")
        return files

    def finish(folder: Path, commit: str) -> None:
        hashes = hashes_of(folder, files)
        pin = f"evaluation.captions.{name} to {repo}@COMMIT"
        check_noted(repository, hashes, commit, output, pin)
        origin = {"repository": repo, "commit": commit, "sha256": hashes}
        write_json(folder / CARD, {"pinned": source, "origin": origin})
        note(repository, hashes, commit, output)

    output.parent.mkdir(parents=True, exist_ok=True)
    download(repository, output, wanted, finish)
    log.info("%s: %s of %s", output, file, repo)
