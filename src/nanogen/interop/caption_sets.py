"""Download sets of captions and their images (`nanogen.prompts.caption_sets`)."""

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
CARD = "nanogen.json"  # records where the file came from


def fetch_captions(content: Mapping[str, Any], folder: Path) -> None:
    """Download the caption files that a ``prompts`` stage names on the hub into ``folder``.

    ``content`` is the JSON of the stage. Files that are already there are kept. Raises UserError as
    `fetch_part` does.
    """
    for name, keys in PromptsStage.from_json(content).captions.items():
        if not Path(keys["source"]).is_dir():
            fetch_part(name, keys["source"], SETS[name].captions, folder / FOLDER / name)


def fetch_images(name: str, source: str, folder: Path) -> Path:
    """Return the folder with the images of a caption set.

    It is ``source`` if that is a folder of the user; otherwise the images are downloaded into
    ``folder``. Raises UserError as `fetch_part` does.
    """
    if Path(source).is_dir():
        return Path(source)
    fetch_part(name, source, f"{SETS[name].images}.zip", folder)
    return folder


def fetch_part(name: str, source: str, file: str, output: Path) -> None:
    """Download one file of a caption set into the folder ``output``, unless it is there.

    Args:
        name: the caption set, a key of `SETS`.
        source: the data set on the hub, ``owner/name`` or ``owner/name@revision``.
        file: the file's name, in any folder of the data set.
        output: the folder to write.

    Raises:
        UserError: access, network or disk fail, the data set has no such file, or it has changed since
            it was first downloaded.
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
            raise UserError(f"{repo} contains no file {file}; {instead}")
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
    log.info("%s: %s downloaded from %s", output, file, repo)
