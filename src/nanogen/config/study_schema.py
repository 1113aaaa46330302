"""The keys of a study's file; for those of runs see `nanogen.config.schema`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from nanogen.config import replicates
from nanogen.config.model_schema import ReleasedRAE
from nanogen.config.schema import Scale, Task
from nanogen.config.section import Section


class Latents(Section):
    """A latent cache made elsewhere, with the tokenizer that made it (needed to decode)."""

    file: str = Field(description="the cache, HDF5 of format nanogen.latents")
    tokenizer: str = Field(description="the tokenizer's folder, as save_pretrained writes it")


class Sweep(Section):
    """The search for each method's best guidance scale on ImageNet, by FID."""

    scales: list[Annotated[float, Field(ge=1)]] = Field(
        min_length=2, description="the scales that are tried, in ascending order"
    )
    images: int = Field(
        gt=0, description="images per scale; the sample set at the best scale has evaluation.images"
    )


class FigureStyle(Section):
    """How a figure looks."""

    width: float = Field(7.0, gt=0, description="inches")
    height: float = Field(2.6, gt=0, description="inches")
    font_size: float = Field(8.0, gt=0, description="points")
    labels: bool = Field(True, description="write the method's name beside its point")


class Report(Section):
    """How figures and sample grids look; changes no number."""

    figures: dict[str, FigureStyle] = Field(default_factory=dict, description="style per figure")
    reproduction: bool = Field(
        False, description="Table 1, with each method at its own size, is the only measured table"
    )
    grid_columns: int = Field(10, gt=0, description="images per row of a sample grid")
    grid_rows: int = Field(4, gt=0, description="rows of a sample grid")


class Leaderboard(Section):
    """What `snakemake leaderboard` shows besides the study's own methods; changes no number."""

    entries: str | None = Field(None, description="a folder of submitted entries, one METHOD.json each")
    published: bool = Field(True, description="show the paper's own numbers, too")


class Released(Section):
    """Models that the authors trained and published in one repository of the hub. They are downloaded
    instead of being trained."""

    repo: str = Field(description="owner/name")
    revision: str = Field("main", description="commit, tag or branch; pin a commit to be exact")
    models: dict[str, dict[str, str]] = Field(
        default_factory=dict,
        description="checkpoints: {task: {method: file}}; MeanFlow's own weights without guidance: "
        "meanflow-nocfg",
    )
    model_mb: float = Field(0, ge=0, description="size of a checkpoint, for the plan")
    tokenizer_mb: float = Field(0, ge=0, description="size of an RAE's files, for the plan")
    tokenizers: dict[str, ReleasedRAE] = Field(
        default_factory=dict, description="RAEs by their files in config/models"
    )


class Overrides(Section):
    """Keys of runs that this study sets for single tasks or methods."""

    tasks: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="by task, e.g. {t2i: {training: {steps: 500}}}"
    )
    methods: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="by method, e.g. {jit: {training: {steps: 500}}}"
    )


RESERVED = {"published": "the paper's numbers", "store": "what studies share"}


def _not_reserved(name: str) -> str:
    if name in RESERVED:
        raise ValueError(f"{name!r} is the name of {RESERVED[name]}; choose another one")
    return name


class Study(Section):
    """Methods x tasks at one scale, with the settings that all their runs share."""

    study: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"), AfterValidator(_not_reserved)
    ] = Field(description="its name; results are in results/<name>")
    extends: str | list[str] | None = Field(
        None,
        description="a study whose keys apply unless set here, or a list of studies, of which the last "
        "takes precedence",
    )
    scale: Scale = Field(description="which block of the method, task and model files applies")
    hardware: Literal["cpu", "gpu"] | None = Field(
        None,
        description="the hardware it is meant for, for the plan; none: a CPU at scale nano, else GPUs",
    )
    utilisation: float | None = Field(
        None, gt=0, le=1, description="for the plan: the share of a GPU's peak that trainings reach"
    )
    seed: int = Field(2026, description="every random number is derived from it")
    methods: list[str] = Field(min_length=1, description="files in config/methods, in table order")
    seeds: int = Field(
        1, ge=1, description="trainings of each method; those after the first have seeds of their own"
    )
    tasks: list[Task] = Field(min_length=1, description="files in config/tasks")
    public: list[str] = Field(
        default_factory=list,
        description="public text-to-image models to compare with, files in config/methods",
    )
    data_root: str | None = Field(None, description="a folder of photographs, ImageFolder layout")
    backbone: dict[str, Any] = Field(default_factory=dict, description="the network, for all runs")
    objective: dict[str, Any] = Field(default_factory=dict, description="the loss, for all runs")
    training: dict[str, Any] = Field(default_factory=dict, description="training, for all runs")
    sampling: dict[str, Any] = Field(default_factory=dict, description="sampling, for all runs")
    evaluation: dict[str, Any] = Field(default_factory=dict, description="metrics, for all runs")
    data: dict[str, Any] = Field(default_factory=dict, description="the data sets of both tasks")
    models: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="keys of single models, e.g. {sd-vae-mse: {source: path}}"
    )
    latents: dict[str, dict[str, Latents]] = Field(
        default_factory=dict, description="caches made elsewhere: {data: {tokenizer: {file, tokenizer}}}"
    )
    cache: Literal["always", "never", "auto"] = Field(
        "auto",
        description="latents: cached, or encoded in every training step; auto: as the budget allows",
    )
    text: Literal["cache", "online", "auto"] = Field(
        "auto",
        description="features of captions: cached, or encoded in every training step; auto: likewise",
    )
    cache_budget_gb: float | None = Field(
        None,
        ge=0,
        description="for auto: gigabytes that latents and captions' features together may take; none: "
        "the free disk space, less a tenth and less what else the study must store",
    )
    store: str | None = Field(
        "results/store",
        description="folder of outputs that studies share, each made once and found by its hash: "
        "downloads, data, networks, caches; further stores after a colon are only read; none: each "
        "study has its own. NANOGEN_STORE takes precedence",
    )
    data_shards: int = Field(
        1, gt=0, description="jobs that share the import of a data set's training images"
    )
    latent_shards: int = Field(
        1, gt=0, description="jobs that share the encoding of one data set by one tokenizer"
    )
    text_shards: int = Field(
        1, gt=0, description="jobs that share the encoding of the captions by one text encoder"
    )
    trained: dict[str, dict[str, str]] = Field(
        default_factory=dict, description="models trained elsewhere, imported: {task: {method: folder}}"
    )
    released: Released | None = Field(None, description="models that the authors trained and published")
    sweep: Sweep | None = Field(None, description="search for each method's best guidance scale")
    leaderboard: Leaderboard = Field(
        Leaderboard(), description="what is shown beside the study's methods"
    )
    report: Report = Field(Report(), description="look of figures and grids")
    overrides: Overrides = Field(Overrides(), description="keys for single tasks or methods")

    @property
    def for_gpus(self) -> bool:
        """Whether the plan estimates GPU hours."""
        return (self.hardware or ("cpu" if self.scale == "nano" else "gpu")) == "gpu"

    @property
    def trainings(self) -> list[str]:
        """The names of all trainings on a task: each method, followed by its further seeds."""
        return replicates.names_of(self.methods, self.seeds)
