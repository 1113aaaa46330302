"""Download what a study needs: frozen networks, published statistics, data sets.

Files come from the Hugging Face Hub (`nanogen.interop.hub`) or from a URL (`nanogen.remote_file`).
"""

from __future__ import annotations

import logging
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from nanogen.config.model_schema import Model
from nanogen.config.section import read
from nanogen.data.exported_tables import Table
from nanogen.data.tar_samples import opened, samples
from nanogen.errors import UserError
from nanogen.files import atomic_folder, label, write_json
from nanogen.identity import config_hash
from nanogen.interop.hub import Repository, download, present
from nanogen.remote_file import fetch_file

log = logging.getLogger(__name__)
MODEL_SUFFIXES = (".json", ".safetensors", ".txt", ".model")
STATISTICS_SUFFIX = ".npz"
INDEX = "model_index.json"  # lists the components of a pipeline
TEMPLATE_SUFFIX = ".jinja"  # the chat template of a pipeline's text encoder
OTHER_PRECISION = re.compile(r"\.(fp16|bf16|non_ema)\b")
SHARD_SUFFIXES = (".parquet", ".arrow", ".tar")
DATA_SUFFIXES = (*SHARD_SUFFIXES, ".json", ".jsonl", ".txt")
OWN_CLASSES = ("MPlug", "ClipFlanT5")  # judges that no library can load; see nanogen.interop.judges
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")

# ----------------------------------------------------------------------------------- models


def model_files(names: Sequence[str], subfolder: str, repository: str) -> list[str]:
    """Select a model's files: configuration, weights and tokenizer of one folder.

    Raises UserError if there are no weights, or only pickled ones, which are never loaded.
    """
    folder = PurePosixPath(subfolder)
    inside = [name for name in names if PurePosixPath(name).parent == folder]
    chosen = [name for name in inside if name.endswith(MODEL_SUFFIXES)]
    if not any(name.endswith(".safetensors") for name in chosen):
        pickles = [name for name in inside if name.endswith(PICKLES)]
        found = f", only {', '.join(pickles)}, which could execute code" if pickles else ""
        raise UserError(
            f"{repository}/{subfolder}: there are no *.safetensors{found}; name a repository, revision "
            "or subfolder that has them".replace("/:", ":")
        )
    return chosen


def pipeline_files(names: Sequence[str], repository: str) -> list[str]:
    """Select a pipeline's files: its index, and the configuration and weights of every component.

    A component is a folder with a configuration. Everything else is left out: code, and copies of the
    weights in a single file or in another precision. Raises UserError as ``model_files`` does, and if
    there is no index.
    """
    if INDEX not in names:
        raise UserError(
            f"{repository} is not a diffusers pipeline: it has no {INDEX}; name one that has"
        )
    configured = {PurePosixPath(name).parent for name in names if name.endswith("config.json")}
    of_components = [
        name
        for name in names
        if (folder := PurePosixPath(name).parent) in configured and len(folder.parts) == 1
    ]
    whole = [name for name in of_components if not OTHER_PRECISION.search(name)]
    chosen = [name for name in whole if name.endswith((*MODEL_SUFFIXES, TEMPLATE_SUFFIX))]
    if not any(name.endswith(".safetensors") for name in chosen):
        pickles = [name for name in whole if name.endswith(PICKLES)]
        found = f", only {', '.join(pickles)}, which could execute code" if pickles else ""
        raise UserError(
            f"{repository}: its components have no *.safetensors{found}; name a repository or revision "
            "that has them"
        )
    return [INDEX, *chosen]


def _unnest(folder: Path, subfolder: str) -> None:
    """Move the files of a subfolder up into ``folder``."""
    if not subfolder:
        return
    for file in sorted((folder / subfolder).iterdir()):
        file.replace(folder / file.name)
    shutil.rmtree(folder / PurePosixPath(subfolder).parts[0])


def fetch_model(stage: Mapping[str, Any], output: Path | str) -> None:
    """Download the frozen network of a ``model`` stage, and the published moments that it names.

    Args:
        stage: the JSON of a ``model`` stage with the source ``download``. Its model has either the key
            ``hub``, a repository, or the key ``file``, the URL and SHA-256 of a file of weights.
        output: the folder to write; it is complete or absent.

    Raises:
        UserError: the model names no source, a download fails, or the files are not of this model.
    """
    model, output = stage["model"], Path(output)
    hub, file = model.get("hub"), model.get("file")
    if not hub and not file:
        raise UserError(
            f"models.{model['name']} has source download, but neither 'hub' nor 'file' says where to "
            "download it from; add one of them, or set source to path"
        )
    started = time.monotonic()
    instead = f"set models.{model['name']} to {{source: path, path: FOLDER}}"

    def finish(folder: Path, **origin: str) -> None:
        origin |= fetch_statistics(model, folder, output)
        card = label("model", 1, stage["hash"], name=model["name"], kind=model["kind"])
        card |= {"quality": {}, "seconds": round(time.monotonic() - started, 1)}
        write_json(folder / "nanogen.json", {**card, **origin, "model": model})

    if model.get("released"):
        from nanogen.interop.released_files import fetch_rae

        fetch_rae(stage, output)
    elif model["kind"] == "vqa" and model["model_class"] in OWN_CLASSES:
        from nanogen.interop.judges import fetch_judge

        def finish_judge(folder: Path, commit: str) -> None:
            finish(folder, repository=hub["repo"], commit=commit)

        fetch_judge(read(Model, model), output, finish_judge)
    elif file:
        from nanogen.models.network_files import read_pickled_state, save_state

        weights = fetch_file(file, output.parent, instead)
        with atomic_folder(output) as folder:
            save_state(read_pickled_state(weights), {"_class_name": model["model_class"]}, folder)
            finish(folder, url=file["url"], sha256=file["sha256"])
    else:

        def wanted(names: Sequence[str]) -> list[str]:
            if model["kind"] == "pipeline":
                return pipeline_files(names, hub["repo"])
            return model_files(names, hub["subfolder"], hub["repo"])

        def finish_repository(folder: Path, commit: str) -> None:
            _unnest(folder, hub["subfolder"])
            finish(folder, repository=hub["repo"], commit=commit)

        download(
            Repository(hub["repo"], hub["revision"], instead=instead),
            output,
            wanted,
            finish_repository,
        )
    log.info("%s: %.1f s", output, time.monotonic() - started)


def fetch_statistics(model: Mapping[str, Any], folder: Path, output: Path) -> dict[str, str]:
    """Download the published moments that ``model`` names into ``folder``.

    They are downloaded to a hidden folder next to ``output``, the model's final folder, where an
    interrupted download continues. Returns the repository and the commit, empty if ``model`` names none.
    """
    names = [model[key] for key in ("statistics", "fdr_statistics") if model.get(key)]
    hub = model.get("statistics_hub")
    if not names or not hub:
        return {}
    files = {name: f"{hub['subfolder']}/{name}{STATISTICS_SUFFIX}".lstrip("/") for name in names}
    instead = f"set models.{model['name']}.statistics to null to compare with the study's own images"
    repository = Repository(hub["repo"], hub["revision"], "dataset", instead)
    origin: dict[str, str] = {}

    def wanted(there: Sequence[str]) -> list[str]:
        known = [name for name in there if name.endswith(STATISTICS_SUFFIX)]
        return [present(file, known, f"data set {hub['repo']}") for file in files.values()]

    def finish(_: Path, commit: str) -> None:
        origin.update(statistics_repository=hub["repo"], statistics_commit=commit)

    arrived = output.with_name(f".{output.name}.statistics")
    download(repository, arrived, wanted, finish)
    for name, file in files.items():
        (arrived / file).replace(folder / f"{name}{STATISTICS_SUFFIX}")
    shutil.rmtree(arrived)
    return origin


# ------------------------------------------------------------------------------------- data


def _shards(names: Sequence[str]) -> list[list[str]]:
    """Group shards by split: the names in a group differ only in numbers."""
    found: dict[str, list[str]] = {}
    for name in names:
        if name.endswith(SHARD_SUFFIXES):
            found.setdefault(re.sub(r"\d+", "#", name), []).append(name)
    return list(found.values())


def images_in(shard: Path) -> int:
    """Count the images in a tar shard or a table."""
    if shard.suffix != ".tar":
        return Table(shard).rows
    with opened(shard) as tar:
        return sum(1 for _ in samples(tar, shard))


def fetch_data(
    pinned: str,
    output: Path | str,
    file: str | None = None,
    shards: int | None = None,
    images: int | None = None,
) -> None:
    """Download a data set's Parquet and Arrow files, tar shards and lists, or a part of them.

    Args:
        pinned: ``owner/name``, or ``owner/name@revision`` with a commit, tag or branch.
        output: the folder to write; it must be absent or empty.
        file: download only this file.
        shards: download only the first ``shards`` shards of each split.
        images: download only as many shards of each split as are needed for this number of images,
            which is estimated from the first shard.

    Raises:
        UserError: ``output`` is not empty, the repository has no images or no such file, or access,
            network or disk fail.
    """
    output = Path(output)
    name, _, revision = pinned.partition("@")
    revision = revision or "main"
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"{output} exists already; remove it or choose another folder")

    def wanted(names: Sequence[str]) -> list[str]:
        if file is not None:
            return [present(file, names, f"data set {name}")]
        chosen = [n for n in names if n.endswith(DATA_SUFFIXES)]
        if not any(n.endswith(SHARD_SUFFIXES) for n in chosen):
            raise UserError(
                f"{name} contains no Parquet or Arrow files and no tar shards; name another data set, "
                "or one of its files with --file"
            )
        first = 1 if images else shards or len(names)
        left_out = {n for group in _shards(names) for n in group[first:]}
        return [n for n in chosen if n not in left_out]

    def further(folder: Path, names: list[str]) -> list[str]:
        if images is None or file is not None:
            return []
        others: list[str] = []
        for group in _shards(names):
            needed = -(-images // max(1, images_in(folder / group[0])))
            others += group[1 : min(needed, shards or needed)]
        return others

    def finish(folder: Path, commit: str) -> None:
        card = label("dataset", 1, config_hash([name, revision]), repository=name, commit=commit)
        part = {"max_shards": shards, "max_images": images}
        write_json(folder / "nanogen.json", card | {k: v for k, v in part.items() if v is not None})

    repository = Repository(name, revision, "dataset", "give the folder of a copy as data.root instead")
    download(repository, output, wanted, finish, further)
    log.info("%s: %s", output, name)
