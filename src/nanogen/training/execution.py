"""Settings of a training that do not change its result except for rounding."""

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
        deadline: UNIX time before which it saves and ends; None for no deadline.
    """

    checkpoint_every: int = 1000
    log_every: int = 50
    deadline: float | None = None


@dataclass(frozen=True)
class Execution(Saving):
    """Settings of a backbone's training, including how its processes share the work.

    Attributes:
        sharding: how processes share the network (`nanogen.training.sharding`).
        micro_batch: maximum number of samples per forward pass of a process; 0 for its whole share of
            the batch.
        snapshots: steps after which the averaged weights are kept; None to write no file of them.
        trackers: names of trackers (`nanogen.config.trackers`).
        tracking: the folder that the trackers write into.
        keep_state: whether to save the trained weights and the optimizer in the model folder, too.
    """

    sharding: str = "none"
    micro_batch: int = 0
    snapshots: Sequence[int] | None = None
    keep_state: bool = False
    trackers: Sequence[str] = ()
    tracking: Path | None = None
