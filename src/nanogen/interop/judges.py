"""Import the models that judge text-to-image samples from their authors' files.

mPLUG and CLIP-FlanT5 are published as pickled weights, and no library has their code. The weights are
read without executing anything, renamed, and saved as safetensors with a configuration.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from torch import Tensor, nn

from nanogen.config.model_schema import Model
from nanogen.errors import UserError
from nanogen.files import read_json, read_text, write_json
from nanogen.interop.hub import Repository, download, present
from nanogen.models import clip_flant5, mplug
from nanogen.models.network_files import CONFIG, WEIGHTS
from nanogen.models.sharded import check_shapes, empty, shapes_of
from nanogen.models.torch_files import read_torch

SHARDS = (".bin", ".safetensors")
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
T5_KEYS = (
    *("vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_decoder_layers", "num_heads"),
    *("relative_attention_num_buckets", "relative_attention_max_distance", "layer_norm_epsilon"),
    *("feed_forward_proj", "pad_token_id", "eos_token_id", "decoder_start_token_id"),
)
T5_IMAGES = {
    "mm_vision_select_layer": -2,
    "mm_projector_type": "mlp2x_gelu",
    "mm_vision_select_feature": "patch",
}


class Judge(NamedTuple):
    """How to turn the published files of a model class into a model folder.

    Attributes:
        files: (names, repository) -> the files of the repository that are needed.
        write: (downloaded, model, folder); writes the content of the folder.
    """

    files: Callable[[Sequence[str], str], list[str]]
    write: Callable[[Path, Model, Path], None]


# ---------------------------------------------------------------------------------------- mPLUG

MPLUG_FILES = ("config.yaml", "config_bert.json", "vocab.txt", "pytorch_model.bin")


def _mplug_files(names: Sequence[str], where: str) -> list[str]:
    return [present(name, names, where) for name in MPLUG_FILES]


def _plain_yaml(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(read_text(path))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UserError(f"{path} is not plain YAML; download it again") from error
    if not isinstance(found, dict):
        raise UserError(f"{path} is not a YAML mapping of keys to values; download it again")
    return found


def _write_mplug(downloaded: Path, model: Model, folder: Path) -> None:
    config, bert = (downloaded / name for name in MPLUG_FILES[:2])
    try:
        arguments = mplug.arguments(_plain_yaml(config), read_json(bert))
    except KeyError as error:
        raise UserError(f"{bert} has no {error}; expected the configuration of mPLUG") from error
    path = downloaded / "pytorch_model.bin"
    state = read_torch(path)
    for inside in ("model", "module"):
        state = state.get(inside, state)
    weights = {name.replace("model.", ""): value for name, value in state.items()}
    _check_tensors(weights, path)
    kept = mplug.from_released(weights, arguments["fusion_layers"])
    network = empty(lambda: mplug.MPlug(**arguments))
    check_shapes(network, shapes_of(kept), path.name)
    _save(kept, folder / WEIGHTS)
    write_json(folder / CONFIG, {"_class_name": mplug.CLASS, "arguments": arguments})
    shutil.copy(downloaded / "vocab.txt", folder)


# ---------------------------------------------------------------------------------- CLIP-FlanT5


def _flant5_files(names: Sequence[str], where: str) -> list[str]:
    shards = [n for n in names if "/" not in n and n.endswith(SHARDS) and "optimizer" not in n]
    safe = [name for name in shards if name.endswith(".safetensors")]
    if not shards:
        raise UserError(
            f"{where} contains no weights (files ending in {' or '.join(SHARDS)}); name another "
            "repository"
        )
    return [present("config.json", names, where), *(safe or shards)]


def _write_flant5(downloaded: Path, model: Model, folder: Path) -> None:
    config = read_json(downloaded / "config.json")
    other = {k: config[k] for k, v in T5_IMAGES.items() if config.get(k, v) != v}
    if other or "d_model" not in config:
        raise UserError(
            f"{downloaded / 'config.json'} is not a configuration of CLIP-FlanT5 "
            f"({other or 'it has no d_model'}); name another repository or revision"
        )
    text = {key: config[key] for key in T5_KEYS if key in config}
    arguments = {"vision_config": model.architecture["vision_config"], "text_config": text}
    found: dict[str, tuple[int, ...]] = {}
    for number, (path, weights) in enumerate(_shards(downloaded), start=1):
        named = {ours: w for name, w in weights.items() if (ours := clip_flant5.from_released(name))}
        _check_tensors(named, path)
        found |= shapes_of(named)
        _save(named, folder / f"model-{number:05d}.safetensors")
    network = empty(lambda: clip_flant5.ClipFlanT5(**arguments))
    check_shapes(network, found, str(downloaded), clip_flant5.SKIPPED)
    write_json(folder / CONFIG, {"_class_name": clip_flant5.CLASS, "arguments": arguments})


def _shards(downloaded: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    for path in sorted(p for p in downloaded.iterdir() if p.suffix in SHARDS):
        yield path, read_torch(path)


def _check_tensors(weights: Mapping[str, Any], path: Path) -> None:
    if not all(isinstance(value, Tensor) for value in weights.values()):
        raise UserError(f"{path} does not contain tensors by name; expected a state dict")


def _save(weights: Mapping[str, Tensor], path: Path) -> None:
    from safetensors.torch import save_file

    save_file({name: weight.contiguous().clone() for name, weight in weights.items()}, path)


JUDGES = {
    mplug.CLASS: Judge(_mplug_files, _write_mplug),
    clip_flant5.CLASS: Judge(_flant5_files, _write_flant5),
}


def network_of(model_class: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Construct a network of one of the classes in `JUDGES`, with its initial weights."""
    classes: dict[str, type[nn.Module]] = {
        mplug.CLASS: mplug.MPlug,
        clip_flant5.CLASS: clip_flant5.ClipFlanT5,
    }
    return classes[model_class](**arguments)


def fetch_judge(model: Model, output: Path, finish: Callable[[Path, str], None]) -> None:
    """Download the files of a judge and write its model folder.

    Args:
        model: the resolved configuration of the judge.
        output: the folder to write.
        finish: (folder, commit); completes the folder before it is renamed.

    Raises:
        UserError: access, network or disk fail, or the files do not belong to the model's class.
    """
    judge, hub = JUDGES[model.model_class], model.hub
    assert hub is not None
    files: list[str] = []

    def wanted(names: Sequence[str]) -> list[str]:
        files[:] = judge.files(names, hub.repo)
        return files

    def write(folder: Path, commit: str) -> None:
        made = folder / "imported"
        made.mkdir(exist_ok=True)
        judge.write(folder, model, made)
        for file in files:
            (folder / file).unlink()
        for part in sorted(made.iterdir()):
            part.replace(folder / part.name)
        made.rmdir()
        if tokenizer:
            for part in sorted(tokenizer.iterdir()):
                part.replace(folder / part.name)
            tokenizer.rmdir()
        finish(folder, commit)

    tokenizer = _tokenizer(model, output)
    download(Repository(hub.repo, hub.revision, instead=_instead(model)), output, wanted, write)


def _instead(model: Model) -> str:
    return f"set models.{model.name} to {{source: path, path: FOLDER}}"


def _tokenizer(model: Model, output: Path) -> Path | None:
    """Download the tokenizer to a hidden folder next to ``output``, if it has its own repository."""
    hub = model.tokenizer_hub
    if hub is None:
        return None

    def wanted(names: Sequence[str]) -> list[str]:
        return [present(TOKENIZER[0], names, hub.repo), *(n for n in TOKENIZER[1:] if n in names)]

    arrived = output.with_name(f".{output.name}.tokenizer")
    repository = Repository(hub.repo, hub.revision, instead=_instead(model))
    download(repository, arrived, wanted, lambda *_: None)
    return arrived
