"""Averages kept on the way, so that images of half and of all of a training can be compared.

Each is written beside the training state when its step is done, and at the end all go into one file of
the model's folder: ``kept.safetensors``, tensors ``<step>/<parameter>``. Keeping one changes no weight.
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
    """Keeps the average after each of ``steps``; ``state`` is the folder of the training state.

    Every process has one, since each may hold a part of the average; the main one writes.
    """

    def __init__(self, steps: Sequence[int], state: Path, hash_: str, group: Processes):
        self.steps, self.state, self.hash, self.group = sorted(set(steps)), state, hash_, group

    def _file(self, step: int) -> Path:
        return self.state / f"kept-{step:09d}.safetensors"

    def begin(self, start: int) -> None:
        """Raise UserError where the training continues after a step whose average was not kept."""
        passed = [step for step in self.steps if step <= start and not self._file(step).exists()]
        if passed:
            raise UserError(
                f"training.snapshots asks for the average after step {passed[0]}, but the training in "
                f"{self.state} is at step {start} and did not keep it; delete that folder to train anew"
            )

    def __call__(self, step: int, weights: Mapping[str, Tensor]) -> None:
        """Keep the average after ``step`` if it is asked for; all processes must call."""
        if step not in self.steps:
            return
        average = gathered(weights, self.group)
        if self.group.main:
            with atomic_path(self._file(step)) as temporary:
                save_file({k: v.detach().contiguous() for k, v in average.items()}, temporary)

    def write(self, folder: Path) -> None:
        """Write all of them into ``folder``; a file without tensors where none was asked for."""
        tensors: dict[str, Tensor] = {}
        for step in self.steps:
            tensors |= under(str(step), load_file(self._file(step)))
        save_labelled(tensors, folder / NAME, label(*FORMAT, self.hash))


def read(path: Path, step: int, hash_: str) -> dict[str, Tensor]:
    """The average after ``step`` by the parameters' names.

    Raises UserError where the file is missing, of another configuration or without that step.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist; make it with `snakemake {path}`")
    with readable_weights(path), safe_open(path, "pt") as file:
        check_label(file.metadata() or {}, path, *FORMAT, hash_)
        names = [name for name in file.keys() if name.startswith(f"{step}/")]  # noqa: SIM118
        found = {name.partition("/")[2]: file.get_tensor(name) for name in names}
    if not found:
        raise UserError(
            f"{path} holds no average of step {step}: training.snapshots was another when it was made; "
            "delete it, and the same command trains again"
        )
    return found
