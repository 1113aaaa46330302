"""How a backbone is trained: its optimizer, its initial weights, and how it is monitored and saved."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from nanogen.config.optimizers import OPTIMIZERS
from nanogen.config.schedules import SCHEDULES
from nanogen.config.section import Decay, Section, added
from nanogen.config.trackers import TRACKERS


class Optimizer(Section):
    """The optimizer and its schedule: 0 -> rate over warm-up, constant, then down to the final rate."""

    kind: str = added(
        "adamw",
        description=f"one of {', '.join(OPTIMIZERS)}; muon updates the blocks' matrices, AdamW the rest",
        pattern=f"^({'|'.join(OPTIMIZERS)})$",
    )
    learning_rate: float = Field(2e-4, gt=0, description="rate after warm-up")
    final_learning_rate: float = Field(2e-5, ge=0, description="rate where the decay ends")
    warmup_steps: int = Field(0, ge=0, description="steps of the linear rise from 0")
    schedule: str = added(
        "linear",
        description=f"curve of the decay, one of {', '.join(SCHEDULES)}",
        pattern=f"^({'|'.join(SCHEDULES)})$",
    )
    decay_start: int = Field(ge=0, description="step at which the decay begins")
    decay_end: int = Field(ge=0, description="step at which the final rate is reached (may be > steps)")
    betas: tuple[Decay, Decay] = Field((0.9, 0.95), description="AdamW's decay of both moments")
    momentum: float = added(0.95, ge=0, lt=1, description="muon: decay of the gradients' average")
    weight_decay: float = Field(0.0, ge=0, description="decoupled weight decay")
    clip: float = Field(1.0, gt=0, description="largest norm of the gradient")


class InitialiseFrom(Section):
    """The weights that a training starts from instead of a random initialisation."""

    model: str = Field(description="folder of a trained or imported model, of the same network")
    weights: Literal["average", "trained"] = Field(
        "average",
        description="the averaged or the trained weights; trained: needs a source that kept its state",
    )
    optimizer: Literal["fresh", "saved"] = Field(
        "fresh",
        description="the optimizer's moments; saved: those of a source that kept its state",
    )


class Training(Section):
    """Stage 2: how long and how the backbone is trained."""

    steps: int = Field(gt=0, description="optimizer steps")
    batch_size: int = Field(gt=0, description="global batch over all processes")
    noise_chunk: int = Field(
        32, gt=0, description="samples that share one generator; fixes the draws on any process count"
    )
    ema: float = Field(0.9995, ge=0, lt=1, description="decay per step of the averaged weights")
    ema_warmup: bool = added(
        False,
        introduced=True,
        description="a smaller decay at first, (1 + step) / (10 + step), so that a short training's "
        "average is not that of its initial weights",
    )
    frequencies: Literal["trained", "frozen"] = added(
        "trained", introduced="frozen", description="the Fourier frequencies of the time embedding"
    )
    condition_dropout: float = Field(
        0.1, ge=0, le=1, description="share of samples trained without their condition, for guidance"
    )
    precision: Literal["float32", "bf16"] = Field(
        "bf16", description="precision of matrix products in training; weights stay float32"
    )
    compile: bool = Field(False, description="torch.compile the backbone's blocks, where there is a GPU")
    sharding: Literal["none", "fsdp"] = Field(
        "none",
        description="how much of the network each process holds: all (DDP), or a part (FSDP2)",
    )
    micro_batch: int = Field(
        0,
        ge=0,
        description="largest number of samples per process at a time; 0: its share of the batch",
    )
    checkpoint_every: int = Field(gt=0, description="steps between saves of the resumable state")
    log_every: int = Field(gt=0, description="steps between lines of the training log")
    evaluate_every: int = Field(
        0, ge=0, description="steps between evaluations while it is trained; 0: none"
    )
    evaluate_images: int = Field(
        200, ge=2, description="images per such evaluation, of class-conditional runs"
    )
    snapshots: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        default_factory=list, description="shares of the steps after which the average is kept as well"
    )
    trackers: list[str] = Field(
        default_factory=list,
        description=f"trackers of the training besides train.jsonl, of {', '.join(TRACKERS)}",
    )
    initialise_from: InitialiseFrom | None = Field(
        None, description="weights to start from, e.g. for fine-tuning; none: random initialisation"
    )
    keep_state: bool = Field(
        False,
        description="keep trained weights and optimizer beside the average, to start trainings from",
    )
    optimizer: Optimizer = Field(description="the optimizer and its schedule")
