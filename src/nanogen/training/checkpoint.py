"""Training state on disk: weights, average and optimiser of one step, in one safetensors file.

Nothing else is needed to resume exactly: every random number and the order of the data are
functions of the step (``nanogen.training.batches``).
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from nanogen.errors import UserError
from nanogen.files import atomic_path, check_label, explained, label
from nanogen.training.ema import EMA

FORMAT = ("checkpoint", 1)
KEPT = 2
log = logging.getLogger(__name__)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the state folder; raises UserError if another training holds it.

    The lock belongs to the process, so that a killed one leaves none behind.
    """
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = open(folder / "lock", "w")  # noqa: SIM115  closed below, after the lock is given up
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"another training is writing to {folder}; wait for it or stop it first"
            ) from error
        handle.write(f"{os.uname().nodename} {os.getpid()}\n")
        handle.flush()
        yield


def _flat(model: nn.Module, ema: EMA, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    tensors = {f"model/{name}": p.detach() for name, p in model.named_parameters()}
    tensors |= {f"ema/{name}": value for name, value in ema.state().items()}
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            tensors[f"optimizer/{names[id(parameter)]}/{key}"] = value
    return {name: value.contiguous() for name, value in tensors.items()}


def save(
    folder: Path, hash_: str, step: int, model: nn.Module, ema: EMA, optimizer: torch.optim.Optimizer
) -> None:
    """Write the state after ``step`` steps, then drop all but the newest two."""
    header = {key: str(value) for key, value in label(*FORMAT, hash_, step=step).items()}
    with atomic_path(folder / f"step-{step:09d}.safetensors") as temporary:
        save_file(_flat(model, ema, optimizer), temporary, header)
    for old in found(folder)[:-KEPT]:
        old.unlink()


def found(folder: Path) -> list[Path]:
    """Checkpoints in the folder, oldest first."""
    return sorted(folder.glob("step-*.safetensors"))


def restore(
    folder: Path, hash_: str, model: nn.Module, ema: EMA, optimizer: torch.optim.Optimizer
) -> int:
    """Load the newest readable checkpoint; returns its step, 0 if there is none."""
    for path in reversed(found(folder)):
        try:
            return _load(path, hash_, model, ema, optimizer)
        except SafetensorError as error:
            log.warning("%s cannot be read (%s); trying the one before", path, error)
    return 0


@torch.no_grad()
def _load(path: Path, hash_: str, model: nn.Module, ema: EMA, optimizer: torch.optim.Optimizer) -> int:
    with safe_open(path, "pt") as file:
        header = file.metadata()
        check_label(header, path, *FORMAT, hash_)
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    parameters = dict(model.named_parameters())
    for name, parameter in parameters.items():
        parameter.copy_(tensors[f"model/{name}"])
    ema.load({name: tensors[f"ema/{name}"] for name in parameters})
    for name, parameter in parameters.items():
        prefix = f"optimizer/{name}/"
        state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        for key, value in state.items():
            optimizer.state[parameter][key] = value.to(parameter.device)
    return int(header["step"])


def truncate_log(path: Path, step: int) -> None:
    """Drop the lines of steps after ``step``: they will be made again, the same."""
    if not path.exists():
        return
    with explained(path):
        kept = []
        for line in path.read_text().splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line)
            except (json.JSONDecodeError, KeyError):
                break  # the line that was being written when the process ended
        path.write_text("".join(f"{line}\n" for line in kept))
