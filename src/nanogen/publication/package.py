"""The files of a study's trained model that are uploaded, checked before the upload."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nanogen.backbones import load
from nanogen.config import Run, Study, load_model, trained, variants
from nanogen.config.load import trained_run
from nanogen.config.model_schema import Model
from nanogen.config.paths import Paths
from nanogen.config.schema import Task
from nanogen.config.train_stage import TrainStage, UsedNetwork
from nanogen.data.class_names import class_names
from nanogen.errors import UserError, nearest
from nanogen.files import read_json
from nanogen.interop.checkpoint import TABLES
from nanogen.leaderboard.entry import Entry, Provenance, Scores
from nanogen.leaderboard.submission import submit
from nanogen.models.card import CARD, expect_model
from nanogen.records import record
from nanogen.report.results import Results

STAGE, CLASSES, README = "stage.json", "classes.json", "README.md"
OF_MODEL = ("config.json", "model.safetensors", CARD, "train.jsonl", TABLES)
OF_NETWORK = (".json", ".safetensors", ".txt", ".model")  # suffixes
MADE_HERE = ("build", "random")  # sources of networks that are uploaded with the model
Content = Path | bytes  # a file, or the content of one


@dataclass(frozen=True)
class Network:
    """A frozen network that the model is sampled with.

    Attributes:
        model: its configuration in the study.
        folder: where the study trained it; None if others publish it and the user downloads it.
        origins: names of the networks of others that it is, or was made from.
    """

    model: Model
    folder: Path | None
    origins: Sequence[str] = ()

    def files(self) -> dict[str, Path]:
        """The files to upload, by their names in the repository.

        The copy of somebody else's encoder in an RAE is left out; decoding does not need it.
        """
        if self.folder is None:
            return {}
        copied = self.model.encoder in self.origins
        found = {path.relative_to(self.folder): path for path in _of_network(self.folder)}
        return {
            f"{self.model.name}/{name.as_posix()}": path
            for name, path in found.items()
            if not copied or name.parts[0] != "encoder"
        }


@dataclass(frozen=True)
class Package:
    """A trained model of a study, with the content of its card.

    Attributes:
        folder: of the model.
        classes: names by label; empty for a text-to-image model, or if they are unknown.
        measured: (title in the tables, scores) of every sample set that was drawn from these weights.
        provenance: of all steps behind the scores.
    """

    study: Study
    run: Run
    folder: Path
    stage: TrainStage
    card: dict[str, Any]
    networks: list[Network]
    classes: list[str]
    measured: list[tuple[str, Scores]]
    provenance: Provenance

    def files(self) -> dict[str, Content]:
        """Every file but the model card, by its name in the repository."""
        found: dict[str, Content] = {
            name: self.folder / name for name in OF_MODEL if (self.folder / name).is_file()
        }
        found[STAGE] = _json(without_places(read_json(self.folder / STAGE)))
        if self.classes:
            found[CLASSES] = _json(self.classes)
        for network in self.networks:
            found |= network.files()
        return found


def package(study: Study, method: str, task: Task) -> Package:
    """Return the trained model of a method on a task, ready to be published.

    Raises UserError if the study has not trained or not measured it, or if files differ from their
    records.
    """
    for what, name, known in (("method", method, study.methods), ("task", task, study.tasks)):
        if name not in known:
            raise UserError(f"study {study.study} has no {what} {name!r}{nearest(name, known)}")
    results, run = Results(study), trained_run(study, method, task)
    card = results.card(task, method)
    folder = Path(Paths(study).trained(method, task)).parent
    _check_record(folder, [name for name in OF_MODEL if (folder / name).is_file()])
    load(folder)  # strict: it raises if the weights do not fit
    stage = TrainStage.from_json(trained.read(folder))
    entries = submit(study, [method])
    measured = _measured(entries, run)
    if not measured:
        raise UserError(
            f"study {study.study} has not measured {method} on {task}; make its scores with "
            f"`snakemake table{2 if task == 'imagenet' else 3} --config study={study.study}`"
        )
    networks = list(_networks(study, stage))
    return Package(
        study, run, folder, stage, card, networks, _classes(stage), measured, entries[0].provenance
    )


def without_places(value: Any) -> Any:
    """Return ``value`` with only the last part of every absolute path in it, so that the locations of
    files on the publisher's machine are not published."""
    if isinstance(value, dict):
        return {key: without_places(each) for key, each in value.items()}
    if isinstance(value, list):
        return [without_places(each) for each in value]
    return Path(value).name if isinstance(value, str) and value.startswith(("/", "~")) else value


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _of_network(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path for path in files if path.suffix in OF_NETWORK and path.name != record.OF_FOLDER]


def _check_record(folder: Path, names: list[str]) -> None:
    """Raise UserError if a file differs from the record of the step that wrote it."""
    noted = (record.read(folder) or {}).get("sha256", {})
    for name in names:
        sha256 = noted.get(name)
        if sha256 and record.checksums(folder / name)[Path(name).name] != sha256:
            raise UserError(
                f"{folder / name} is not the file that {record.OF_FOLDER} describes: its SHA-256 "
                f"differs; remove {folder} and make it again with `snakemake {folder / CARD}`"
            )


def _networks(study: Study, stage: TrainStage) -> Iterator[Network]:
    assert stage.use is not None  # set in the stage of every trained model
    for used in filter(None, (stage.use.tokenizer, stage.use.text_encoder)):
        yield _network(study, used)


def _network(study: Study, used: UsedNetwork) -> Network:
    model = load_model(study, used.model.name)
    origins = list(_origins(study, model.name))
    if model.source not in MADE_HERE:
        return Network(model, None, origins)
    folder = Path(Paths(study).model(model.name))
    expect_model(folder, used.hash)
    _check_record(folder, [path.relative_to(folder).as_posix() for path in _of_network(folder)])
    return Network(model, folder, origins)


def _origins(study: Study, name: str) -> Iterator[str]:
    """Yield the networks of others that a network is or was made from: an RAE's encoder, a VAE's start.

    Networks that only judged it in its training are not among them.
    """
    model = load_model(study, name)
    if model.source not in MADE_HERE:
        yield name
    if model.source == "build" and model.kind == "rae" and model.encoder:
        yield from _origins(study, model.encoder)
    if model.source == "build" and model.end_to_end:
        yield from _origins(study, model.end_to_end.start)


def _classes(stage: TrainStage) -> list[str]:
    classes, use = stage.conditioner.classes, stage.use
    if classes is None or use is None:
        return []
    return class_names(use.data.name, use.data.source, use.data.root, classes, use.classes)


def _measured(entries: list[Entry], run: Run) -> list[tuple[str, Scores]]:
    """Scores of the run's task, except those of images sampled from other weights."""
    own = {"with": True, "without": not variants.weights_of(run, variants.UNGUIDED)}
    return [
        (entry.method.title, scores)
        for entry in entries
        for scores in entry.scores
        if scores.task == run.task and own[scores.guidance]
    ]
