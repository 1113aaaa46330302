"""Weights in the files of others, by name: read, checked against the names and shapes expected."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor

from nanogen.errors import UserError
from nanogen.models.torch_files import read_torch

log = logging.getLogger(__name__)
SETS = ("ema", "model")  # the weights that a checkpoint holds: the average, and the trained ones
SHOWN = 12  # names that an error lists of each kind
# What wrappers put before names: data parallelism in front, compilation before every compiled part.
WRAPPER, COMPILED = "module.", "_orig_mod."


def read_weights(path: Path, which: str) -> dict[str, Tensor]:
    """Weights by name, mapped from the file where its format allows it; nothing in it is executed.

    Args:
        path: a ``torch.save`` file with the keys ``model`` and ``ema``, or a file of one set of
            weights, also safetensors.
        which: ``ema`` or ``model``; a file of one set is taken whatever is asked.

    Prefixes of wrappers, ``module.`` and ``_orig_mod.``, are removed, and the log says so. Raises
    UserError where the file is missing, damaged or of another kind, holds more than tensors and plain
    values, or lacks ``which``.
    """
    content = read_torch(path)
    if which in content:
        content = content[which]
    elif any(name in content for name in SETS):
        raise UserError(f"{path} holds no {which!r}, only {', '.join(content)}; set --weights")
    if (
        not isinstance(content, Mapping)
        or not content
        or not all(isinstance(value, Tensor) for value in content.values())
    ):
        raise UserError(f"{path} holds no weights by name; expected a dictionary of tensors")
    return _unwrapped(content, path)


def _unwrapped(weights: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    result = {_bare(name): value for name, value in weights.items()}
    wrapped = [name for name in weights if _bare(name) != name]
    if len(result) < len(weights):
        raise UserError(f"{path} holds the same weights with and without the prefix of {wrapped[0]}")
    if wrapped:
        log.info(
            "%s: prefixes %s or %s removed from %d names, such as %s",
            *(path, WRAPPER, COMPILED, len(wrapped), wrapped[0]),
        )
    return result


def _bare(name: str) -> str:
    name = name.replace(COMPILED, "")
    while name.startswith(WRAPPER):
        name = name.removeprefix(WRAPPER)
    return name


def check_names(
    expected: Mapping[str, Tensor], weights: Mapping[str, Tensor], where: str, of: str
) -> None:
    """Raise UserError that lists what is missing, unexpected or of another shape.

    Args:
        expected: names and shapes; the values may be on the meta device.
        where: what the weights were read from.
        of: what they should be the weights of.
    """
    problems = [
        listed("missing", (name for name in expected if name not in weights)),
        listed("unexpected", (name for name in weights if name not in expected)),
        listed(
            "of another shape",
            (
                f"{name} {size(weights[name].shape)} instead of {size(value.shape)}"
                for name, value in expected.items()
                if name in weights and weights[name].shape != value.shape
            ),
        ),
    ]
    if any(problems):
        raise UserError(
            f"{where} does not hold the weights of {of}; {'; '.join(filter(None, problems))}"
        )


def size(shape: Iterable[int]) -> str:
    """A shape for people: 768x16x16."""
    return "x".join(map(str, shape)) or "scalar"


def listed(what: str, names: Iterable[str]) -> str:
    """How many names there are of a kind, and the first; nothing where there are none."""
    found = list(names)
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"{len(found)} {what}: {', '.join(found[:SHOWN])}{more}" if found else ""
