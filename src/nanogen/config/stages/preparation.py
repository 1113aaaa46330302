"""Stages before the training: data, prompts, frozen networks, caches."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nanogen.config import prompt_lists, tokenizer_networks
from nanogen.config.load import load_model, once, trained_run
from nanogen.config.model_schema import Model
from nanogen.config.paths import Paths
from nanogen.config.schema import PRETRAINING, Data, Run
from nanogen.config.stages import end_to_end
from nanogen.config.stages.base import Stage, stage_of
from nanogen.config.study_schema import Study
from nanogen.config.yaml_files import available
from nanogen.data import wordnet
from nanogen.data.content import content_hash, hash_of
from nanogen.data.photographs import class_names
from nanogen.data.walk import walk
from nanogen.errors import UserError
from nanogen.files import read_json


def task_data(study: Study, task: str) -> Data:
    """The data set of a task, or of pretraining; it does not depend on the method."""
    if task == PRETRAINING:
        alike = task_data(study, "imagenet")
        return alike.model_copy(update={"name": PRETRAINING, "scene": "varied"})
    return trained_run(study, study.methods[0], task).data


def inputs(study: Study, task: str) -> Stage:
    """Drawn images in the format of a task's data set, for a study without access to the real one."""
    keys = task_data(study, task).model_dump(mode="json", exclude={"root", "hub"})
    return stage_of("inputs", {}, seed=study.seed, data=keys)


def data(study: Study, task: str, split: str) -> Stage:
    """The images of one split. A user's data is identified by its files (``content``), not its path."""
    keys = task_data(study, task).model_dump(mode="json")
    if not _given_data(study, task):
        return stage_of("data", {}, seed=study.seed, split=split, data=keys)
    content = _content(study, task, split)
    rest = {**keys, "root": None}
    more = {"names": "english"} if task == "t2i" and _numbered(study, task) else {}
    stage = stage_of("data", {}, seed=study.seed, split=split, data=rest, content=content, **more)
    return {**stage, "data": keys}


def _given_data(study: Study, task: str) -> bool:
    """Whether the task's data is a user's folder, and not downloaded, drawn or made by a rule."""
    root = task_data(study, task).root
    return root is not None and root != Paths(study).inputs(task)


@once
def given_classes(study: Study, task: str) -> list[str] | None:
    """Names of the classes in a user's folder of photographs; None for other data."""
    found = task_data(study, task)
    if found.source != "folder" or not _given_data(study, task):
        return None
    return class_names(str(found.root))


def _numbered(study: Study, task: str) -> bool:
    """Whether the classes are WordNet numbers; captions and prompts then use ImageNet's class names."""
    return any(map(wordnet.words, given_classes(study, task) or []))


@once
def _content(study: Study, task: str, split: str) -> str:
    found = task_data(study, task)
    assert found.root is not None
    return content_hash(found.source, Path(found.root), split, found.file)


def prompts(study: Study) -> Stage:
    """The prompts of the text-to-image evaluation. Those of DPG-Bench and GenAI-Bench are keys only if
    the study draws images from them."""
    run = trained_run(study, study.methods[0], "t2i")
    named = run.evaluation.prompts
    in_a_file = named in available("prompts") or str(named).endswith((".json", ".jsonl"))
    own = prompt_lists.own_lists(run.evaluation)
    keys = run.data.model_dump(mode="json")
    given = _given_data(study, "t2i")
    classes: dict[str, Any] = {}
    if given and named == "classes":
        classes = {"classes": given_classes(study, "t2i")}
        classes |= {"names": "english"} if _numbered(study, "t2i") else {}
    rows = prompt_lists.rows(run.evaluation)
    captions = prompt_lists.captions(run.evaluation)
    stage = stage_of(
        "prompts",
        {},
        seed=study.seed,
        prompts=named,
        data={**keys, "root": None} if given else keys,
        **classes,
        simpleeval=_simple_prompts(run),
        **(prompt_lists.identity("prompts", str(named)) if in_a_file else {"content": None}),
        **{metric: {key: of, **prompt_lists.identity(key, of)} for metric, (key, of) in own.items()},
        **({"rows": rows} if rows else {}),
        **({"captions": _without_folders(captions)} if captions else {}),
    )
    return {**stage, "data": keys, **({"captions": captions} if captions else {})}


def _without_folders(captions: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Sets of captions without the paths of users' folders, whose content counts instead."""
    return {
        name: {**keys, "source": None if keys["content"] else keys["source"]}
        for name, keys in captions.items()
    }


def _simple_prompts(run: Run) -> dict[str, Any] | None:
    """What determines SimpleEval's prompts besides the seed; the network that judges does not."""
    simple = run.evaluation.simpleeval
    return None if simple is None else simple.model_dump(mode="json", exclude={"scorer"})


MODEL_BLOCKS = 64  # of 4 KiB of each file: fine-tuned weights have the same size as the original ones
OF_A_MODEL = {".json", ".safetensors"}
# Published moments, the files of a tokenizer of texts, and its template of a conversation.
BESIDE_A_MODEL = {".npz", ".txt", ".model", ".jinja"}


@once
def _given_model_hash(_: Study, path: str) -> str:
    """Return the hash of a user's model folder: the one in its card, or else of its files' content."""
    folder = Path(path)
    card = folder / "nanogen.json"
    if card.exists():
        return read_json(card)["hash"]
    found = walk(folder)
    if not found.only(OF_A_MODEL).files:
        raise UserError(f"{path} holds no model: expected config.json and *.safetensors there")
    files = found.only(OF_A_MODEL | BESIDE_A_MODEL).files
    return hash_of(((f.relative_to(folder).as_posix(), f) for f in files), blocks=MODEL_BLOCKS)


# Keys of a model that do not change its files, and those that change them if it is downloaded.
NOT_OF_THE_FOLDER = {"path", "color_classifier"}
FETCHED_FROM = {"file", "statistics_hub", "tokenizer_hub", "released"}
TRAINED_BY = {"stage1", "end_to_end"}  # a tokenizer, where it is built
# Keys of its training that say how it is monitored and saved.
NOT_OF_THE_WEIGHTS = {"checkpoint_every", "log_every"}


def model(study: Study, name: str) -> Stage:
    """One frozen network: trained from scratch, downloaded, or given by the user."""
    config: Model = load_model(study, name)
    others = NOT_OF_THE_FOLDER | (FETCHED_FROM if config.source != "download" else set())
    others |= TRAINED_BY if config.source != "build" else set()
    keys = _keys(config, others)
    if config.source == "path":
        stage = stage_of("model", {}, model=keys)
        return {**stage, "hash": _given_model_hash(study, str(config.path))}
    expects = {}
    if config.source == "build":
        check_buildable(study, config)
        assert config.data is not None
        expects["data"] = data(study, config.data, "train")["hash"]
        expects["val"] = data(study, config.data, "val")["hash"]
    networks = {} if config.released else tokenizer_networks.networks_of(config)
    expects |= {role: model(study, other)["hash"] for role, other in networks.items()}
    if config.released:
        side = task_data(study, "imagenet").resolution
        return stage_of("model", expects, model=keys, resolution=side)
    if config.source == "download":
        return stage_of("model", expects, model=keys)
    if config.source == "random":
        resolution = task_data(study, "imagenet").resolution
        return stage_of("model", {}, model=keys, seed=study.seed, resolution=resolution)
    made_with = {role: model_keys(study, other) for role, other in networks.items()}
    joint = {"joint": end_to_end.joint(study, config)} if config.end_to_end else {}
    name = "model: end to end" if joint else "model: rae" if config.kind == "rae" else "model"
    made = {"model": keys, "seed": study.seed, "networks": made_with}
    return stage_of(name, expects, **made, **joint)


def check_buildable(study: Study, config: Model) -> None:
    """Raise UserError, before anything runs, unless the model's file says how to train it."""
    recipe = "stage1" if config.kind in ("vae", "rae") else "training"
    if config.data is None or getattr(config, recipe) is None:
        raise UserError(
            f"config/models/{config.name}.yaml: to build it at scale {study.scale}, it needs 'data' "
            f"(the task it is trained on) and '{recipe}'; or set its source to download or path"
        )
    if recipe == "stage1":
        tokenizer_networks.check(config)


def _keys(config: Model, others: set[str]) -> dict[str, Any]:
    """A model's keys without ``others`` and without those that change no weight."""
    keys = config.model_dump(mode="json", exclude=others)
    if keys.get("stage1"):
        keys["stage1"] = {k: v for k, v in keys["stage1"].items() if k not in NOT_OF_THE_WEIGHTS}
    return keys


def model_keys(study: Study, name: str) -> dict[str, Any]:
    """A frozen network's keys for a stage that uses it, without those that say where it came from."""
    elsewhere = {"source", "end_to_end"} | NOT_OF_THE_FOLDER | FETCHED_FROM
    return _keys(load_model(study, name), elsewhere)


def latents(study: Study, task: str, tokenizer: str) -> Stage:
    """The latent cache of one data set's training split."""
    return stage_of(
        "latents",
        {
            "data": data(study, task, "train")["hash"],
            "tokenizer": model(study, tokenizer)["hash"],
        },
        dtype="float16",
        model=model_keys(study, tokenizer),
    )


def vision(study: Study, task: str, encoder: str, part: str) -> Stage:
    """A frozen vision encoder's features of one data set's training split: ``cls`` or ``patches``."""
    return stage_of(
        "vision",
        {
            "data": data(study, task, "train")["hash"],
            "encoder": model(study, encoder)["hash"],
        },
        part=part,
        dtype="float16",
        model=model_keys(study, encoder),
    )


def feature_width(study: Study, name: str) -> int:
    width = load_model(study, name).width
    if width is None:
        raise UserError(f"config/models/{name}.yaml: 'width', of the features, is missing")
    return width


PROMPTS, CLASSES = "prompts", "classes"


def drawn_texts(task: str) -> str:
    """Which texts a task's sample sets are drawn from, if the model is conditioned on text."""
    return PROMPTS if task == "t2i" else CLASSES


def text(study: Study, of: str, encoder: str) -> Stage:
    """Text features of a task's captions (``of`` = task), of the evaluation ``prompts``, or of the
    ``classes`` of ImageNet, whose images are captioned by their class."""
    source = (
        prompts(study) if of == PROMPTS else data(study, "imagenet" if of == CLASSES else of, "train")
    )
    return stage_of(
        "text",
        {"data": source["hash"], "encoder": model(study, encoder)["hash"]},
        dtype="float16",
        model=model_keys(study, encoder),
        **({"of": CLASSES} if of == CLASSES else {}),
    )
