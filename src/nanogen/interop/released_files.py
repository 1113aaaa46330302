"""Download and import the authors' published checkpoints and autoencoders.

Only the files that are needed are downloaded. The SHA-256 of each is recorded next to the resulting
folder; later downloads of the same revision must have the same content.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nanogen.config.model_schema import Model
from nanogen.config.section import read
from nanogen.config.train_stage import TrainStage
from nanogen.files import label, read_json, write_json
from nanogen.interop.hub import Repository, download, present
from nanogen.interop.noted import check_noted, hashes_of, note
from nanogen.models.card import CARD, FORMAT

log = logging.getLogger(__name__)
AVERAGE = "ema"  # the set of weights in a checkpoint that images are sampled with


def fetch_checkpoint(content: Mapping[str, Any], output: Path) -> None:
    """Write the model folder of a ``train`` stage that names a published checkpoint.

    The checkpoint itself, which is several times larger, is not kept.

    Args:
        content: the JSON of the stage; its key ``released`` names repository, revision and file.
        output: the folder to write.

    Raises:
        UserError: access, network or disk fail, or the file is not the model that the stage describes.
    """
    from nanogen.interop.checkpoint import import_checkpoint

    stage, source = TrainStage.from_json(content), content["released"]

    def write(folder: Path, model: Path) -> None:
        import_checkpoint(folder / source["file"], AVERAGE, stage, model)

    instead = f"name the folder of an imported copy as trained.{stage.task}.{stage.method}"
    _fetch(
        Repository(source["repo"], source["revision"], instead=instead), [source["file"]], output, write
    )


def fetch_rae(content: Mapping[str, Any], output: Path) -> None:
    """Write the tokenizer folder of a ``model`` stage whose model names the published files of an RAE.

    The folder has no encoder, so the tokenizer can decode but not encode. Raises UserError as
    `fetch_checkpoint` does.
    """
    from nanogen.interop.rae import import_rae

    model = read(Model, content["model"])
    hub, files = model.hub, model.released
    assert hub is not None
    assert files is not None

    def write(folder: Path, made: Path) -> None:
        parts = folder / files.decoder, folder / files.statistics
        import_rae(*parts, model, content["resolution"], made)
        card = read_json(made / CARD)
        write_json(made / CARD, {**card, **label(*FORMAT, content["hash"])})

    instead = f"set models.{model.name} to {{source: path, path: FOLDER}}"
    repository = Repository(hub.repo, hub.revision, instead=instead)
    _fetch(repository, [files.decoder, files.statistics], output, write)


def _fetch(
    repository: Repository, files: Sequence[str], output: Path, write: Callable[[Path, Path], None]
) -> None:
    """Download ``files`` and save as ``output`` the folder that ``write(downloaded, folder)`` writes."""

    def wanted(names: Sequence[str]) -> list[str]:
        return [present(file, names, repository.name) for file in files]

    def finish(folder: Path, commit: str) -> None:
        hashes = hashes_of(folder, files)
        check_noted(repository, hashes, commit, output, "released.revision to COMMIT")
        made = folder / "imported"
        write(folder, made)
        origin = {"repository": repository.name, "commit": commit, "sha256": hashes}
        write_json(made / CARD, {**read_json(made / CARD), **origin})
        for file in files:
            (folder / file).unlink()
        for top in {Path(file).parts[0] for file in files}:
            shutil.rmtree(folder / top, ignore_errors=True)
        for part in sorted(made.iterdir()):
            part.replace(folder / part.name)
        made.rmdir()
        note(repository, hashes, commit, output)

    download(repository, output, wanted, finish)
    log.info("%s: downloaded from %s", output, repository.name)
