"""Download the data sets that list the evaluated prompts, one row per image (`nanogen.prompts.rows`)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nanogen.data.exported_tables import is_of_split, is_table
from nanogen.errors import UserError
from nanogen.files import read_json, write_json
from nanogen.interop.hub import Repository, download
from nanogen.interop.noted import check_noted, hashes_of, note
from nanogen.prompts.prompts import ROWS
from nanogen.prompts.rows import CARD, SPLIT
from nanogen.prompts.stage import PromptsStage

log = logging.getLogger(__name__)


def fetch_rows(content: Mapping[str, Any], folder: Path) -> None:
    """Download the tables that a ``prompts`` stage names into ``folder``/rows/BENCHMARK.

    Tables that are already there are kept.

    Args:
        content: the JSON of the ``prompts`` stage.
        folder: the folder of the prompts.

    Raises:
        UserError: access, network or disk fail, a data set has no tables of the split, or it has changed
            since it was first downloaded.
    """
    for benchmark, pinned in PromptsStage.from_json(content).rows.items():
        output = folder / ROWS / benchmark
        card = output / CARD
        if card.exists() and read_json(card)["pinned"] == pinned:
            continue
        _fetch(benchmark, pinned, output)


def _fetch(benchmark: str, pinned: str, output: Path) -> None:
    name, _, revision = pinned.partition("@")
    instead = f"set evaluation.rows.{benchmark} to null"
    repository = Repository(name, revision or "main", "dataset", instead)
    files: list[str] = []

    def wanted(names: Sequence[str]) -> list[str]:
        files[:] = [n for n in names if is_table(Path(n)) and is_of_split(n, SPLIT)]
        if not files:
            raise UserError(f"{name} contains no Parquet or Arrow file of the split {SPLIT}; {instead}")
        return files

    def finish(folder: Path, commit: str) -> None:
        hashes = hashes_of(folder, files)
        pin = f"evaluation.rows.{benchmark} to {name}@COMMIT"
        check_noted(repository, hashes, commit, output, pin)
        origin = {"repository": name, "commit": commit, "sha256": hashes}
        write_json(folder / CARD, {"pinned": pinned, "origin": origin})
        note(repository, hashes, commit, output)

    output.parent.mkdir(parents=True, exist_ok=True)
    download(repository, output, wanted, finish)
    log.info("%s: downloaded from %s", output, name)
