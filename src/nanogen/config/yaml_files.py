"""The YAML files in config/: one for each study, method, task, model, recipe and list of prompts.

A wheel contains a copy of the folder (``setup.py``), so that ``nanogen score`` works outside a checkout.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from nanogen.config.strict_yaml import read_mapping
from nanogen.config.validation import Layer
from nanogen.errors import UserError, nearest

SCALES = ("nano", "paper")
TASKS, RECIPE = "tasks", "recipe"
PACKAGED = "configuration"  # the folder's name inside the installed package


def _folder() -> Path:
    """The checkout's config/, or the copy that was installed with the package."""
    file = Path(__file__).resolve()
    installed = file.parents[1] / PACKAGED
    return installed if installed.is_dir() else file.parents[3] / "config"


CONFIG = _folder()


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; raises UserError if the file is not one."""
    return _read_yaml(path, Path.cwd())


@cache
def _read_yaml(path: Path, _: Path) -> dict[str, Any]:
    """`read_yaml`, cached by the path and the working directory, which relative paths start from."""
    return read_mapping(path)


def available(kind: str) -> list[str]:
    """Names of the files in config/<kind>, e.g. every method's."""
    return sorted(path.stem for path in (CONFIG / kind).glob("*.yaml"))


def named(kind: str, name: str) -> Layer:
    """The keys of config/<kind>/<name>.yaml; raises UserError if there is no such file."""
    path = CONFIG / kind / f"{name}.yaml"
    if not path.exists():
        raise unknown(kind, name, available(kind))
    return Layer(f"config/{kind}/{name}.yaml", read_yaml(path))


def unknown(kind: str, name: str, valid: Iterable[str]) -> UserError:
    """The error for a name that is not one of the ``valid`` names in config/<kind>."""
    singular = kind[:-1] if kind != "studies" else "study"
    return UserError(
        f"unknown {singular} {name!r}{nearest(name, valid)} "
        f"(a {singular} is a file config/{kind}/NAME.yaml)"
    )


def for_scale(layer: Layer, scale: str) -> list[Layer]:
    """The keys of a task, method or model, followed by those of its block for this scale.

    A file without a block for the scale is refused, since it would run at the wrong size.
    """
    general = {key: value for key, value in layer.keys.items() if key != "scales"}
    blocks = _blocks(layer, "scales", layer.keys, SCALES)
    if scale not in blocks:
        raise UserError(
            f"{layer.where} has no block 'scales.{scale}'; add one (it may be empty) with what "
            f"differs at this scale, or choose among those that have it"
        )
    return [
        Layer(layer.where, general),
        Layer(f"{layer.where} (scales.{scale})", blocks[scale]),
    ]


def _blocks(layer: Layer, at: str, keys: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """The blocks at the key path ``at``, which ends with the key of ``keys`` that holds them.

    A block may be empty. Raises UserError for one that is not named in ``names`` or holds no keys.
    """
    blocks = _mapping(layer, at, keys.get(at.rpartition(".")[2]))
    for name in blocks:
        if name not in names:
            raise UserError(f"{layer.where}: unknown key '{at}.{name}'{nearest(str(name), names)}")
    return {name: _mapping(layer, f"{at}.{name}", block) for name, block in blocks.items()}


def _mapping(layer: Layer, at: str, value: Any) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise UserError(f"{layer.where}: '{at}' = {value!r}: expected keys and values")
    return value or {}


def model_for_scale(layer: Layer, scale: str) -> list[Layer]:
    """`for_scale` of a model, on top of its recipe (config/recipes/<recipe>.yaml)."""
    own = Layer(layer.where, {key: value for key, value in layer.keys.items() if key != RECIPE})
    recipe = layer.keys.get(RECIPE)
    shared = [] if recipe is None else for_scale(named("recipes", str(recipe)), scale)
    return [*shared, *for_scale(own, scale)]


def method_for_scale(layer: Layer, scale: str) -> list[Layer]:
    """`for_scale` of a trained method, without the block ``tasks`` of its block for the scale."""
    if TASKS in layer.keys:
        raise UserError(
            f"{layer.where}: '{TASKS}' belongs in a block of 'scales', e.g. scales.{scale}.{TASKS}"
        )
    return [
        Layer(part.where, {key: value for key, value in part.keys.items() if key != TASKS})
        for part in for_scale(layer, scale)
    ]


def on_task(layer: Layer, scale: str, task: str) -> list[Layer]:
    """A method's keys for one task, from the block ``tasks`` of its block for the scale."""
    block, at = for_scale(layer, scale)[-1].keys, f"scales.{scale}.{TASKS}"
    keys = _blocks(layer, at, block, available(TASKS)).get(task, {})
    return [Layer(f"{layer.where} ({at}.{task})", keys)]
