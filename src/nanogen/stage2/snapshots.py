"""Snapshots of the averaged weights, to compare samples from the middle and the end of a training.

A snapshot is written next to the training state after its step. At the end, all of them are written to
one file of the model folder, ``kept.safetensors``, with tensors ``<step>/<parameter>``. Snapshots do not
change the training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from nanogen.errors import UserError
from nanogen.files import atomic_path, check_label, label
from nanogen.training.checkpoint import under
from nanogen.training.processes import Processes
from nanogen.training.sharding import gathered
from nanogen.weights import readable_weights, save_labelled

FORMAT = ("kept", 1)
NAME = "kept.safetensors"


class Snapshots:
    """Keep the averaged weights after each of ``steps`` in ``state``, the folder of the training state.

    Every process has an instance, since the weights may be sharded; only the main process writes.
    """

    def __init__(self, steps: Sequence[int], state: Path, hash_: str, group: Processes):
        self.steps, self.state, self.hash, self.group = sorted(set(steps)), state, hash_, group

    def _file(self, step: int) -> Path:
        return self.state / f"kept-{step:09d}.safetensors"

    def begin(self, start: int) -> None:
        """Raise UserError if the training continues after a step whose snapshot is missing."""
        passed = [step for step in self.steps if step <= start and not self._file(step).exists()]
        if passed:
            raise UserError(
                f"training.snapshots requests the averaged weights after step {passed[0]}, but the "
                f"training in {self.state} is at step {start} and did not keep them; delete that folder "
                "to train again"
            )

    def __call__(self, step: int, weights: Mapping[str, Tensor]) -> None:
        """Keep the averaged weights if a snapshot is due at ``step``; all processes must call this."""
        if step not in self.steps:
            return
        average = gathered(weights, self.group)
        if self.group.main:
            with atomic_path(self._file(step)) as temporary:
                save_file({k: v.detach().contiguous() for k, v in average.items()}, temporary)

    def write(self, folder: Path) -> None:
        """Write all snapshots to one file in ``folder``; without snapshots it has no tensors."""
        tensors: dict[str, Tensor] = {}
        for step in self.steps:
            tensors |= under(str(step), load_file(self._file(step)))
        save_labelled(tensors, folder / NAME, label(*FORMAT, self.hash))


def read(path: Path, step: int, hash_: str) -> dict[str, Tensor]:
    """Read the averaged weights after ``step``, by parameter name.

    Raises UserError if the file is missing, belongs to another configuration, or lacks the step.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist; make it with `snakemake {path}`")
    with readable_weights(path), safe_open(path, "pt") as file:
        check_label(file.metadata() or {}, path, *FORMAT, hash_)
        names = [name for name in file.keys() if name.startswith(f"{step}/")]  # noqa: SIM118
        found = {name.partition("/")[2]: file.get_tensor(name) for name in names}
    if not found:
        raise UserError(
            f"{path} holds no average of step {step}: training.snapshots was different when it was "
            "made; delete it, and the same command trains again"
        )
    return found
