"""The keys of a *run*, which is resolved from study, task and method, each with its description.

The other kinds of configuration are a *study* (methods x tasks at one scale, ``study_schema``) and a
*model* (one network on disk, ``model_schema``).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nanogen.config.evaluation_schema import Evaluation
from nanogen.config.section import Positive, Section, added, without_effect
from nanogen.config.solvers import SOLVERS
from nanogen.config.training_schema import Training

Scale = Literal["nano", "paper"]
Task = Literal["imagenet", "t2i"]
PIXELS = "pixels"  # named as the tokenizer by methods without one
# The images that frozen networks are trained on. Drawn ones vary more than the tasks' images, like the
# data that public networks were pretrained on; a study of photographs uses its own images.
PRETRAINING = "pretraining"


# ---------------------------------------------------------------------------------------- data


class Data(Section):
    """One data set; its splits become ``results/<study>/data/<name>/{train,val}.h5``."""

    name: str = Field(description="folder name under data/ and latents/")
    source: Literal["scenes", "folder", "captioned", "webdataset", "array"] = Field(
        description="scenes: drawn by the project; folder: photographs of classes, an ImageFolder tree "
        "or exported parquet or Arrow files; captioned: images with a .txt or .json each; webdataset: "
        "tar shards; array: a file of validation images"
    )
    resolution: int = Field(gt=0, description="side of the square images in pixels")
    train_images: int = Field(gt=0, description="training images to draw, or the largest number to use")
    val_images: int = Field(gt=0, description="validation images to draw, or the largest number to use")
    scene: Literal["single", "composed", "varied"] = Field(
        "single",
        description="scenes only: one object, up to four with relations, or up to four anywhere",
    )
    root: str | None = Field(None, description="path of the user's data: a folder or shards")
    hub: list[str] = Field(
        default_factory=list,
        description="data sets on the Hugging Face hub to fetch if root is not set: owner/name@revision",
    )
    fetch_images: int | None = added(
        None,
        gt=0,
        description="fetch only the first shards of each split, enough to hold this many images",
    )
    file: str | None = added(
        None, description="array: the .npz file below root or hub, uint8 (N, side, side, 3) as arr_0"
    )
    store: Literal["auto", "pixels", "places"] = without_effect(
        "auto",
        counts_as="pixels",
        description="pixels: copy the cropped images; places (tar shards and Arrow files): store the "
        "location of each image and decode it whenever it is read; auto: places for tar shards, and for "
        "Arrow files that are smaller than the pixels would be",
    )
    caption_template: str = Field(
        "a photo of a {name}", description="folder only: caption made from the class folder's name"
    )
    unreadable: Literal["refuse", "skip"] = Field(
        "refuse",
        description="what to do with unreadable files; both list them by name",
    )


# ----------------------------------------------------------------------------------------- run


class Conditioner(Section):
    """How the conditioning tokens are computed."""

    kind: Literal["label", "text"] = Field(description="class labels or captions")
    classes: int | None = Field(None, gt=0, description="label: number of classes (null class excluded)")
    tokens: int = Field(gt=0, description="conditioning tokens: 8 for labels, 256 for text")
    model: str | None = Field(None, description="text: the text encoder, a file in config/models")
    captions: list[Literal["short", "dense"]] = Field(
        ["short"], min_length=1, description="text: captions used in training"
    )


class Backbone(Section):
    """DDT: a narrow deep encoder and a wide shallow decoder (paper, section 2.1)."""

    kind: Literal["ddt", "lightning"] = Field(
        "ddt", description="the architecture; lightning: the encoder alone, without a decoder"
    )
    encoder_width: int = Field(1152, gt=0, description="channels of a token in the encoder")
    encoder_depth: int = Field(28, gt=0, description="blocks of the encoder")
    encoder_heads: int = Field(16, gt=0, description="attention heads of an encoder block")
    decoder_width: int = Field(2048, gt=0, description="channels of a token in the decoder")
    decoder_depth: int = Field(2, gt=0, description="blocks of the decoder")
    decoder_heads: int = Field(16, gt=0, description="attention heads of a decoder block")
    mlp_ratio: float = Field(
        4.0, gt=0, description="the MLP's hidden width is 2/3 of this, times the width"
    )
    time_tokens: int = Field(4, ge=0, description="tokens that encode the time for the encoder")
    patch: int = Field(1, gt=0, description="side of a patch in latent cells or pixels")
    head: Literal["linear", "neural-field"] = Field(
        "linear", description="how a token becomes a patch; neural-field: an MLP per patch (PixNerd)"
    )


class Term(Section):
    """An added loss term."""

    coefficient: float = Field(gt=0, description="weight of the term in the loss")
    encoder: str | None = Field(None, description="frozen network that the term compares with")
    t_below: float = Field(1.0, gt=0, description="lpips, features: applied only where t is below this")
    depth: int | None = Field(
        None, description="repa, internal-guidance: the encoder block that the head reads, from 1"
    )
    head: Literal["mse-linear", "cosine-mlp", "cosine-conv"] = Field(
        "mse-linear",
        description="repa: loss and head, as in the authors' code, in the original, or in iREPA",
    )
    spatial_norm: float | None = added(
        None,
        ge=0,
        le=1,
        description="repa: share of the mean over an image's patches that is subtracted from its "
        "features, which are then divided by their standard deviation (iREPA); none: unchanged",
    )


class MeanFlow(Section):
    """Target of the average velocity; used if the objective's kind is meanflow."""

    kappa: float = Field(
        0.0, ge=0, lt=1, description="guidance in the target, of effective scale omega / (1 - kappa)"
    )
    omega: float = added(
        1.0,
        gt=0,
        description="weight of the path's velocity in the guided target; 1: guidance by kappa alone",
    )
    guidance_interval: tuple[float, float] = added(
        (0.0, 1.0),
        introduced=[0.0, 1.0],
        description="closed interval of t in which the target is guided",
    )
    norm_power: float = added(
        1.0, ge=0, description="p of the adaptive weight 1 / (error + norm_offset)^p; 0: none"
    )
    norm_offset: float = added(0.01, gt=0, description="keeps the adaptive weight finite")
    share: float = Field(
        0.25, ge=0, le=1, description="share of the steps that train it; the others train flow matching"
    )

    @property
    def guided(self) -> bool:
        """Whether the target contains guidance."""
        return self.kappa > 0 or self.omega != 1

    @property
    def scale(self) -> float:
        """The guidance scale of a network that meets the target: v_c = v_u + scale (v - v_u)."""
        return self.omega / (1 - self.kappa)


class Objective(Section):
    """Flow matching on the straight path, t = 1 noise, t = 0 data."""

    kind: Literal["flow-matching", "meanflow"] = Field(
        "flow-matching", description="instantaneous velocity, or MeanFlow's average velocity"
    )
    meanflow: MeanFlow = Field(MeanFlow(), description="target of the average velocity")
    terms: dict[str, Term] = Field(default_factory=dict, description="added terms by name")
    prediction: Literal["v", "x"] = Field(
        "v", description="what the network predicts: v velocity, x the clean image or latent"
    )
    t_eps: float = Field(0.05, gt=0, description="lower clamp of t in (x_t - x) / t")
    time_mu: float = Field(0.0, description="mean of the logit-normal training times")
    time_sigma: float = Field(
        1.0, gt=0, description="standard deviation of the logit-normal training times"
    )
    shift_base: int = Field(4096, gt=0, description="time shift is sqrt(size of the latent / this)")


class Sampling(Section):
    """How images are drawn from a trained model."""

    steps: int = Field(50, gt=0, description="steps of the solver")
    solver: str = added(
        "euler", description=f"one of {', '.join(SOLVERS)}", pattern=f"^({'|'.join(SOLVERS)})$"
    )
    more_steps: list[Positive] = Field(
        default_factory=list, description="further numbers of steps, each with its own row in tables"
    )
    shift_base: int = Field(
        4096, gt=0, description="like the objective's, for the grid of sampling times"
    )
    guidance_scale: float = Field(ge=1, description="v_u + scale (v_c - v_u)")
    guidance_interval: tuple[float, float] = Field(description="closed interval of t")
    internal_guidance: float = Field(
        1.0, ge=1, description="base + this (full - base), base the shallower head's prediction"
    )
    internal_interval: tuple[float, float] = added(
        (0.0, 1.0), introduced=[0.0, 1.0], description="closed interval of t of internal guidance"
    )
    internal_unconditional: float | None = added(
        None, ge=1, description="internal_guidance of the pass without condition; none: the same"
    )
    batch_size: int = Field(gt=0, description="images at a time; changes speed, not images")
    pixels: Literal["rounded", "truncated"] = added(
        "rounded",
        description="how images become bytes; rounded: decoded in float32, rounded to the nearest; "
        "truncated: decoded under bfloat16, truncated, as in the authors' evaluation",
    )


class Named(Section):
    """The method, task and study that a resolved configuration belongs to."""

    study: str = Field(description="name of the study")
    scale: Scale = Field(description="which block of the files' scales applies")
    seed: int = Field(
        description="seed of training and sampling: the study's, or that of a further training"
    )
    method: str = Field(description="a file in config/methods, or METHOD.seedN, its training number N")
    task: Task = Field(description="a file in config/tasks")
    title: str = Field(description="the method's name as the paper's tables print it")


class Run(Named):
    """One method on one task at one scale, everything resolved."""

    family: Literal["rae", "vae", "pixel", "few-step"] = Field(
        description="group of rows in the paper's tables"
    )
    tokenizer: str = Field(description="a file in config/models, or 'pixels'")
    data: Data = Field(description="the task's data set")
    conditioner: Conditioner = Field(description="what the model is conditioned on")
    backbone: Backbone = Field(description="the network")
    objective: Objective = Field(description="path, prediction and loss")
    training: Training = Field(description="length, batch, precision, optimizer")
    sampling: Sampling = Field(description="solver and guidance")
    evaluation: Evaluation = Field(description="sample sets and metrics")


class PipelineSampling(Section):
    """How a public model is called; omitted keys have the defaults of the pipeline's class."""

    steps: int | None = Field(None, gt=0, description="denoising steps")
    guidance_scale: float | None = Field(None, ge=0, description="as the pipeline defines it")
    resolution: int | None = Field(None, gt=0, description="side of the square images in pixels")
    arguments: dict[str, bool | int | float | str] = Field(
        default_factory=dict, description="further arguments of the call, e.g. {negative_prompt: blurry}"
    )
    precision: Literal["float32", "bf16"] = Field(
        "bf16", description="precision of weights and computation"
    )
    batch_size: int = Field(1, gt=0, description="images at a time; changes speed, not images")
    offload: bool = Field(
        False, description="keep only the running network on the GPU; slower, does not change images"
    )


class PublicRun(Named):
    """A published text-to-image model: it is sampled and scored, but not trained here."""

    family: Literal["public"] = Field(description="group of rows in the paper's Table 3")
    pipeline: str = Field(description="a file in config/models, of kind pipeline")
    parameters: float | None = Field(
        None, gt=0, description="parameters of its denoising network, as stated by its authors"
    )
    sampling: PipelineSampling = Field(PipelineSampling(), description="how its pipeline is called")
    evaluation: Evaluation = Field(description="sample sets and metrics")
