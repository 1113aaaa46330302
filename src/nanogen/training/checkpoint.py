"""Checkpoints: the named tensors of one step in a safetensors file.

They are weights, averaged weights and optimizer moments (`Learned`). Nothing else is needed to resume
exactly: all random numbers and the order of the data are functions of the step
(``nanogen.stage2.batches``). The file's header also has what the curve has recorded since its last line.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from nanogen.errors import UserError
from nanogen.files import (
    atomic_path,
    check_label,
    explained,
    label,
    read_text,
    write_text,
)
from nanogen.hidden import remove_hidden
from nanogen.text import lines_of
from nanogen.training.ema import EMA
from nanogen.training.optimizer import Optimizing
from nanogen.training.processes import Processes
from nanogen.training.sharding import placed
from nanogen.weights import save_labelled

FORMAT = ("checkpoint", 1)
KEPT = 2

log = logging.getLogger(__name__)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock the state folder; raises UserError if another training has locked it.

    The lock belongs to the process and is visible from other nodes; a killed process leaves no lock
    behind. The lock file names its process. Partial files of a killed process are removed.
    """
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = open(folder / "lock", "a+")  # noqa: SIM115  closed below, after the lock is released
    with handle:
        with explained(folder, "lock"):
            _lock(handle, folder)
        handle.truncate(0)
        handle.write(f"{os.uname().nodename} {os.getpid()}\n")
        handle.flush()
        remove_hidden(folder)
        yield


def _lock(handle: TextIO, folder: Path) -> None:
    """Take the lock; raises UserError that names the process that has it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        handle.seek(0)
        node, _, process = handle.read().strip().partition(" ")
        who = f" (process {process} on {node})" if process else ""
        raise UserError(
            f"another training{who} is writing to {folder}; wait for it or stop it first"
        ) from error


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add ``prefix/`` to the names of the tensors."""
    return {f"{prefix}/{name}": value for name, value in tensors.items()}


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Invert `under`: return the tensors whose names begin with ``prefix/``, without the prefix."""
    start = f"{prefix}/"
    return {name.removeprefix(start): v for name, v in tensors.items() if name.startswith(start)}


@dataclass(frozen=True)
class Learned:
    """What an optimizer step changes: a network, the optimizer's moments, and the averaged weights."""

    network: nn.Module
    optimizer: Optimizing
    ema: EMA | None = None

    def state(self) -> dict[str, Tensor]:
        """Return all tensors: ``model/...``, ``optimizer/<parameter>/<moment>`` and ``ema/...``.

        If the network is sharded, the tensors are too (`nanogen.training.sharding.gathered`).
        """
        names = {id(parameter): name for name, parameter in self.network.named_parameters()}
        tensors = under("model", self.network.state_dict())
        for parameter, state in self.optimizer.state.items():
            tensors |= under(f"optimizer/{names[id(parameter)]}", state)
        return tensors | (under("ema", self.ema.state()) if self.ema else {})

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Load what `state` returned, as full tensors."""
        now = self.network.state_dict()
        weights = {name: placed(v, now.get(name, v)) for name, v in below("model", tensors).items()}
        self.network.load_state_dict(weights)
        for name, parameter in self.network.named_parameters():
            for key, value in below(f"optimizer/{name}", tensors).items():
                moment = placed(value, parameter) if value.dim() else value  # the step is a scalar
                self.optimizer.state[parameter][key] = moment.to(parameter.device)
        if self.ema:
            self.ema.load(below("ema", tensors))


def save(
    folder: Path,
    hash_: str,
    step: int,
    tensors: Mapping[str, Tensor],
    interval: Mapping[str, Any] | None = None,
) -> None:
    """Write the state after ``step`` steps, then delete all checkpoints but the newest two.

    ``interval`` is the open interval of the curve (`nanogen.training.log.TrainingLog.interval`).
    """
    write(_file(folder, step), hash_, step, tensors, interval)
    for old in found(folder)[:-KEPT]:
        old.unlink()


def write(
    path: Path,
    hash_: str,
    step: int,
    tensors: Mapping[str, Tensor],
    interval: Mapping[str, Any] | None = None,
) -> None:
    """Write the state after ``step`` steps to ``path``, atomically; ``interval`` as in `save`."""
    more = {"interval": json.dumps(interval)} if interval else {}
    with atomic_path(path) as temporary:
        save_labelled(tensors, temporary, label(*FORMAT, hash_, step=step, **more))


def interval(folder: Path, step: int) -> dict[str, Any]:
    """Return the ``interval`` in the checkpoint of ``step``; empty if it has none, or for step 0."""
    if not step:
        return {}
    with safe_open(_file(folder, step), "pt") as file:
        return json.loads(file.metadata().get("interval", "{}"))


def _file(folder: Path, step: int) -> Path:
    return folder / f"step-{step:09d}.safetensors"


def found(folder: Path) -> list[Path]:
    """Return the checkpoints in the folder, oldest first."""
    return sorted(folder.glob("step-*.safetensors"))


def newest(folder: Path, hash_: str, group: Processes) -> tuple[int, dict[str, Tensor]]:
    """Return the step and the tensors of the newest readable checkpoint; (0, {}) if there is none.

    All processes must call this. Raises UserError if it belongs to another configuration, whose hash is
    not ``hash_``, if access to it is denied, or if the processes find different ones.
    """
    step, tensors = _newest(folder, hash_)
    first, last = -group.largest(-step), group.largest(step)
    if first != last:
        raise UserError(
            f"the checkpoints in {folder} are of step {last} on one process and of step {first} on "
            "another; all nodes must share this folder"
        )
    return step, tensors


def _newest(folder: Path, hash_: str) -> tuple[int, dict[str, Tensor]]:
    for path in reversed(found(folder)):
        with explained(path, "read"), open(path, "rb"):
            pass  # check access first: the library would report a damaged file
        try:
            with safe_open(path, "pt") as file:
                header = file.metadata()
                check_label(header, path, *FORMAT, hash_)
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            log.warning("%s cannot be read (%s); trying the one before", path, error)
        else:
            return int(header["step"]), tensors
    return 0, {}


def truncate_log(path: Path, step: int) -> None:
    """Drop the lines of steps after ``step``: the continued training writes the same lines again."""
    if not path.exists():
        return
    with explained(path):
        kept = []
        for line in lines_of(read_text(path)):
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line)
            except (json.JSONDecodeError, KeyError):
                break  # the line that was being written when the process ended
    write_text(path, "".join(f"{line}\n" for line in kept))
