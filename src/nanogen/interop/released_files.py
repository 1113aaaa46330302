"""What the authors published in one repository of the hub, fetched and imported in one step.

Only the files that are asked for are fetched. The SHA-256 of each is noted beside the folder that is
made of it, and the same revision must give the same content ever after.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nanogen.config.model_schema import Model
from nanogen.config.section import read
from nanogen.config.train_stage import TrainStage
from nanogen.errors import UserError
from nanogen.files import label, read_json, write_json
from nanogen.interop.hub import Repository, download, present
from nanogen.models.card import CARD, FORMAT

log = logging.getLogger(__name__)
AVERAGE = "ema"  # of the two sets of weights in a checkpoint the one that images are drawn with


def fetch_checkpoint(content: Mapping[str, Any], output: Path) -> None:
    """The model folder of a ``train`` stage that names a published checkpoint (key ``released``).

    The checkpoint itself, which is several times larger, is not kept. Raises UserError where access,
    network or disk fail, and where the file is not the model that the stage describes.
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
    """The tokenizer folder of a ``model`` stage whose model names an RAE's published files.

    It holds no encoder: it decodes. Raises UserError as `fetch_checkpoint` does.
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
    """Download ``files`` and keep as ``output`` what ``write(downloaded, folder)`` makes of them."""

    def wanted(names: Sequence[str]) -> list[str]:
        return [present(file, names, repository.name) for file in files]

    def finish(folder: Path, commit: str) -> None:
        hashes = {file: _sha256(folder / file) for file in files}
        _check_noted(repository, hashes, commit, output)
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
        _note(repository, hashes, commit, output)

    download(repository, output, wanted, finish)
    log.info("%s: of %s", output, repository.name)


def _noted(output: Path) -> Path:
    return output.with_name(f"{output.name}.sha256.json")


def _note(repository: Repository, hashes: Mapping[str, str], commit: str, output: Path) -> None:
    content = {"repository": repository.name, "revision": repository.revision, "commit": commit}
    write_json(_noted(output), {**content, "sha256": hashes})


def _check_noted(repository: Repository, hashes: Mapping[str, str], commit: str, output: Path) -> None:
    """Raise UserError where a file of this revision had another content when it was fetched first."""
    path = _noted(output)
    if not path.exists():
        return
    noted = read_json(path)
    if (noted["repository"], noted["revision"]) != (repository.name, repository.revision):
        return
    for file, found in hashes.items():
        before = noted["sha256"].get(file, found)
        if found != before:
            raise UserError(
                f"{repository.name} has changed {file}: its SHA-256 at commit {commit[:12]} is "
                f"{found[:12]}..., and was {before[:12]}... at {noted['commit'][:12]}; set "
                f"released.revision to {noted['commit']}, or remove {path} to take the new one"
            )


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
