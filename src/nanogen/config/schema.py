"""What a configuration may contain. Unknown keys are refused; every key says what it means.

Three kinds of files: a *study* (methods x tasks at one scale), a *model* (one network on disk,
frozen while a method trains) and, resolved from study + task + method, a *run*.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Scale = Literal["nano", "paper"]
Task = Literal["imagenet", "t2i"]
Source = Literal["build", "download", "path"]


class Section(BaseModel):
    """A part of the configuration: immutable, and no key beyond those listed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# ---------------------------------------------------------------------------------------- data


class Data(Section):
    """One data set; its splits become ``results/<study>/data/<name>/{train,val}.h5``."""

    name: str = Field(description="folder name under data/ and latents/")
    source: Literal["scenes", "folder", "webdataset"] = Field(
        description="scenes: drawn by the project; folder: ImageFolder tree; webdataset: tar shards"
    )
    resolution: int = Field(gt=0, description="side of the square images in pixels")
    train_images: int = Field(gt=0, description="images to draw, or the most to take (training)")
    val_images: int = Field(gt=0, description="images to draw, or the most to take (validation)")
    scene: Literal["single", "composed"] = Field(
        "single", description="scenes only: one kind of object, or up to four with relations"
    )
    root: str | None = Field(None, description="folder or shards: where the user's data lies")
    hub: list[str] = Field(
        default_factory=list, description="data sets on the Hugging Face hub to fetch, if no root"
    )
    caption_template: str = Field(
        "a photo of a {name}", description="folder only: caption made from the class folder's name"
    )
    unreadable: Literal["refuse", "skip"] = Field(
        "refuse", description="what to do with unreadable files; both list them by name"
    )


# -------------------------------------------------------------------------------------- models


class Hub(Section):
    """A repository on the Hugging Face hub, pinned."""

    repo: str = Field(description="owner/name")
    revision: str = Field("main", description="commit, tag or branch; pin a commit to be exact")
    subfolder: str = Field("", description="folder inside the repository")
    size_mb: float = Field(0, ge=0, description="size of the download, for the plan")
    gated: bool = Field(False, description="needs an accepted licence and HF_TOKEN")


class ModelTraining(Section):
    """How a small stand-in is trained from scratch (only where source is build)."""

    steps: int = Field(gt=0)
    batch_size: int = Field(64, gt=0)
    learning_rate: float = Field(1e-3, gt=0)
    options: dict[str, float] = Field(default_factory=dict, description="weights of loss terms")


class Model(Section):
    """One frozen network, a folder as ``save_pretrained`` writes it: built, downloaded or given."""

    name: str
    kind: Literal["encoder", "vae", "rae", "text_encoder", "extractor", "detector"]
    model_class: str = Field(description="class in transformers, diffusers, timm or nanogen")
    source: Source = Field("build", description="build: train it; download: hub; path: yours")
    path: str | None = Field(None, description="the folder, where source is path")
    hub: Hub | None = Field(None, description="where source is download")
    encoder: str | None = Field(None, description="rae: the model whose features are the latents")
    input_size: int | None = Field(None, description="side in pixels the network is fed")
    image_mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    image_std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    latent: tuple[int, int, int] | None = Field(None, description="vae, rae: channels, rows, columns")
    scaling: tuple[float, float] | None = Field(
        None, description="vae: (scale, shift) of (z - shift) * scale; none: the model's own config"
    )
    width: int | None = Field(None, description="text_encoder: width of the features")
    max_tokens: int | None = Field(None, description="text_encoder: longest prompt in tokens")
    fdr_constant: float | None = Field(
        None, description="extractor: Frechet distance of train and validation images; none: measured"
    )
    statistics: str | None = Field(
        None, description="extractor: published reference moments (.npz); none: made from the data"
    )
    architecture: dict[str, Any] = Field(
        default_factory=dict, description="keyword arguments of the class's own configuration"
    )
    training: ModelTraining | None = None
    data: str | None = Field(None, description="the task whose training images it is trained on")


# ----------------------------------------------------------------------------------------- run


class Conditioner(Section):
    """Makes the conditioning tokens."""

    kind: Literal["label", "text"]
    classes: int | None = Field(None, description="label: number of classes (null class excluded)")
    tokens: int = Field(gt=0, description="conditioning tokens: 8 for labels, 256 for text")
    model: str | None = Field(None, description="text: the text encoder, a file in config/models")
    captions: list[Literal["short", "dense"]] = Field(
        default_factory=lambda: ["short"], description="text: which captions are trained on"
    )


class Backbone(Section):
    """DDT: a narrow deep encoder and a wide shallow decoder (paper, section 2.1)."""

    kind: Literal["ddt"] = "ddt"
    encoder_width: int = 1152
    encoder_depth: int = 28
    encoder_heads: int = 16
    decoder_width: int = 2048
    decoder_depth: int = 2
    decoder_heads: int = 16
    mlp_ratio: float = 4.0
    time_tokens: int = 4
    patch: int = Field(1, gt=0, description="side of a patch in latent cells or pixels")


class Term(Section):
    """An added loss term."""

    coefficient: float = Field(gt=0)
    encoder: str | None = Field(None, description="frozen network it compares with")
    t_below: float = Field(1.0, description="only where t is below this")


class Objective(Section):
    """Flow matching on the straight path, t = 1 noise, t = 0 data."""

    kind: Literal["flow-matching", "meanflow"] = "flow-matching"
    terms: dict[str, Term] = Field(default_factory=dict, description="added terms by name")
    prediction: Literal["v", "x"] = Field("v", description="what the network's output means")
    t_eps: float = Field(0.05, gt=0, description="lower clamp of t in (x_t - x) / t")
    time_mu: float = Field(0.0, description="mean of the logit-normal training times")
    time_sigma: float = Field(1.0, gt=0, description="standard deviation of the same")
    shift_base: int = Field(4096, description="time shift is sqrt(size of the latent / this)")


class Optimizer(Section):
    """AdamW and its schedule: 0 -> rate over warm-up, constant, then linear to the final rate."""

    learning_rate: float = Field(2e-4, gt=0)
    final_learning_rate: float = Field(2e-5, ge=0)
    warmup_steps: int = Field(0, ge=0)
    decay_start: int = Field(description="step at which the linear decay begins")
    decay_end: int = Field(description="step at which the final rate is reached (may be > steps)")
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.0
    clip: float = Field(1.0, gt=0, description="largest norm of the gradient")


class Training(Section):
    steps: int = Field(gt=0)
    batch_size: int = Field(gt=0, description="global batch over all processes")
    noise_chunk: int = Field(
        32, gt=0, description="samples that share one generator; fixes the draws on any process count"
    )
    ema: float = Field(0.9995, ge=0, lt=1)
    condition_dropout: float = Field(0.1, ge=0, le=1)
    precision: Literal["float32", "bf16"] = "bf16"
    compile: bool = False
    checkpoint_every: int = Field(gt=0)
    log_every: int = Field(gt=0)
    optimizer: Optimizer


class Sampling(Section):
    steps: int = Field(50, gt=0, description="Euler steps")
    shift_base: int = Field(4096, description="as the objective's, for the grid of sampling times")
    guidance_scale: float = Field(ge=1, description="v_u + scale (v_c - v_u)")
    guidance_interval: tuple[float, float] = Field(description="closed interval of t")
    batch_size: int = Field(gt=0)


class Evaluation(Section):
    images: int = Field(gt=0, description="images per sample set, classes in equal parts")
    untrained_images: int = Field(gt=0, description="images of the untrained model, for reference")
    images_per_prompt: int = Field(4, gt=0)
    extractors: list[str] = Field(description="files in config/models, first: FID and IS")
    detector: str | None = Field(None, description="GenEval's detector, a file in config/models")
    prompts: str | None = Field(None, description="t2i: 'scenes', 'classes' or a GenEval JSON file")
    mind_directions: int = 1000


class Resources(Section):
    """What one training asks of a cluster; used by the slurm profile only."""

    nodes: int = 1
    processes_per_node: int = 1
    gpus_per_node: int = 0


class Run(Section):
    """One method on one task at one scale, everything resolved."""

    study: str
    scale: Scale
    seed: int
    method: str
    task: Task
    title: str = Field(description="the method's name as the paper's tables print it")
    family: Literal["rae", "vae", "pixel", "few-step"]
    tokenizer: str = Field(description="a file in config/models, or 'pixels'")
    data: Data
    conditioner: Conditioner
    backbone: Backbone
    objective: Objective
    training: Training
    sampling: Sampling
    evaluation: Evaluation
    resources: Resources = Resources()


# --------------------------------------------------------------------------------------- study


class Latents(Section):
    """A latent cache made elsewhere, with the tokenizer that made it (needed to decode)."""

    file: str
    tokenizer: str


class FigureStyle(Section):
    width: float = Field(7.0, gt=0, description="inches")
    height: float = Field(2.6, gt=0, description="inches")
    font_size: float = Field(8.0, gt=0)
    labels: bool = Field(True, description="write the method's name beside its point")


class Report(Section):
    figures: dict[str, FigureStyle] = Field(default_factory=dict, description="style per figure")
    grid_columns: int = 10
    grid_rows: int = 4


class Overrides(Section):
    """Keys of a run set for single tasks or methods of this study."""

    tasks: dict[str, dict[str, Any]] = Field(default_factory=dict)
    methods: dict[str, dict[str, Any]] = Field(default_factory=dict)


class Study(Section):
    study: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    extends: str | None = Field(None, description="a study whose keys are taken unless set here")
    scale: Scale
    seed: int = 2026
    methods: list[str] = Field(min_length=1)
    tasks: list[Task] = Field(min_length=1)
    data_root: str | None = Field(None, description="a folder of photographs, ImageFolder layout")
    cache: Literal["auto", "always", "never"] = "always"
    backbone: dict[str, Any] = Field(default_factory=dict)
    objective: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)
    sampling: dict[str, Any] = Field(default_factory=dict)
    evaluation: dict[str, Any] = Field(default_factory=dict)
    data: dict[str, Any] = Field(default_factory=dict)
    resources: dict[str, Any] = Field(default_factory=dict)
    models: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="keys of single models, e.g. {sd-vae-mse: {source: path}}"
    )
    latents: dict[str, dict[str, Latents]] = Field(
        default_factory=dict, description="caches made elsewhere: {data: {tokenizer: {file, tokenizer}}}"
    )
    report: Report = Report()
    overrides: Overrides = Overrides()
