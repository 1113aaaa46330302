"""Read weights from other programs' files, and check their names and shapes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor

from nanogen.errors import UserError
from nanogen.models.torch_files import read_torch

log = logging.getLogger(__name__)
SETS = ("ema", "model")  # the sets of weights in a checkpoint: their average, and the trained weights
SHOWN = 12  # names of each kind that an error lists
# Prefixes of wrappers: data parallelism (at a name's start) and compilation (at compiled modules).
WRAPPER, COMPILED = "module.", "_orig_mod."


def read_weights(path: Path, which: str) -> dict[str, Tensor]:
    """Read weights by name; nothing in the file is executed.

    Tensors are memory-mapped where the file's format allows it. The prefixes ``module.`` and
    ``_orig_mod.`` of wrappers are removed; a line of the log reports it.

    Args:
        path: a ``torch.save`` file with the keys ``model`` and ``ema``, or a file with a single set of
            weights, which may also be safetensors.
        which: ``ema`` or ``model``; ignored if the file has a single set.

    Raises:
        UserError: the file is missing, damaged or of another kind, contains more than tensors and plain
            values, or lacks the set ``which``.
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
        raise UserError(
            f"{path} contains no weights; expected a dictionary of tensors by name, or one under the "
            f"key {' or '.join(SETS)}"
        )
    return _unwrapped(content, path)


def _unwrapped(weights: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    result = {_bare(name): value for name, value in weights.items()}
    wrapped = [name for name in weights if _bare(name) != name]
    if len(result) < len(weights):
        raise UserError(
            f"{path} contains weights both with and without a wrapper's prefix, such as {wrapped[0]}; "
            "save one set of them"
        )
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
    """Check the names and shapes of weights.

    Args:
        expected: tensors with the expected names and shapes; they may be on the meta device.
        weights: the weights to check.
        where: what the weights were read from; for the error message.
        of: the model that they should belong to; for the error message.

    Raises:
        UserError: weights are missing, unexpected or of another shape; the message lists them.
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
    """Format a shape, such as 768x16x16."""
    return "x".join(map(str, shape)) or "scalar"


def listed(what: str, names: Iterable[str]) -> str:
    """Format the number of names of a kind and the first of them; empty if there are none."""
    found = list(names)
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"{len(found)} {what}: {', '.join(found[:SHOWN])}{more}" if found else ""
