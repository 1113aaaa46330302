"""How a training is carried out; none of it changes the result but for rounding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Saving:
    """When a training saves, logs and ends.

    Attributes:
        checkpoint_every: steps between saves of the resumable state.
        log_every: steps between lines of the curve.
        deadline: UNIX time before which it saves and ends; None: no deadline.
    """

    checkpoint_every: int = 1000
    log_every: int = 50
    deadline: float | None = None


@dataclass(frozen=True)
class Execution(Saving):
    """The same of a backbone's training, and how its processes share the work.

    Attributes:
        sharding: how processes share the network (`nanogen.training.sharding`).
        micro_batch: the most samples that a process takes at a time; 0: its whole share of the batch.
        snapshots: steps whose averages are kept; None: no file of them is written.
        trackers, tracking: what shows the training (`nanogen.config.trackers`), and where they write.
        keep_state: leave trained weights and optimizer in the model's folder, too.
    """

    sharding: str = "none"
    micro_batch: int = 0
    snapshots: Sequence[int] | None = None
    keep_state: bool = False
    trackers: Sequence[str] = ()
    tracking: Path | None = None
