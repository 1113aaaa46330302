"""The keys of a file in config/models: one network on disk, which is frozen while a method trains."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from nanogen.config.section import Positive, Section, added, without_effect
from nanogen.config.tokenizer_schema import EndToEnd, TokenizerTraining
from nanogen.errors import UserError

Source = Literal["build", "download", "path", "random"]


class Hub(Section):
    """A repository on the Hugging Face hub, pinned."""

    repo: str = Field(description="owner/name")
    revision: str = Field("main", description="commit, tag or branch; pin a commit to be exact")
    subfolder: str = Field("", description="folder inside the repository")
    size_mb: float = without_effect(
        0, counts_as=0.0, ge=0, description="size of the download, for the plan"
    )
    gated: bool = without_effect(
        False, counts_as=False, description="needs an accepted licence and HF_TOKEN"
    )


Std = Annotated[float, Field(gt=0)]
SHA256 = r"^[0-9a-f]{64}$"


class Address(Section):
    """Address of a file that is in no repository of the hub."""

    url: str = Field(pattern=r"^(https?|file)://", description="its URL; file:///PATH for a local copy")
    size_mb: float = without_effect(
        0, counts_as=0.0, ge=0, description="size of the download, for the plan"
    )
    licence: str = without_effect(
        "not known here",
        counts_as="not known here",
        description="licence as named on its page, for the plan",
    )


class RemoteFile(Address):
    """A file given by its address instead of a repository of the hub, with a pinned checksum."""

    sha256: str = Field(pattern=SHA256, description="SHA-256 of its content")


class ReleasedRAE(Section):
    """The files of a representation autoencoder that its authors published."""

    decoder: str = Field(description="weights of its decoder, below the repository (.pt)")
    statistics: str = Field(description="mean and variance of its encoder's features, likewise (.pt)")


class PromptFile(Address):
    """A file in config/prompts: where prompts, or questions about them, are downloaded from."""

    sha256: str | None = Field(
        None,
        pattern=SHA256,
        description="SHA-256 of its content; none: recorded at the first download and compared later",
    )
    prompts: int | None = Field(None, gt=0, description="number of its prompts, for the plan")


class ModelTraining(Section):
    """How a small stand-in is trained from scratch (only where source is build; not a tokenizer)."""

    steps: int = Field(gt=0, description="optimizer steps")
    batch_size: int = Field(64, gt=0, description="images or texts per step")
    learning_rate: float = Field(1e-3, gt=0, description="peak learning rate of the schedule")
    options: dict[str, float] = Field(default_factory=dict, description="weights of loss terms")
    target: Literal["classes", "places", "views", "pixels", "captions"] = Field(
        "classes", description="extractor: what it learns (nanogen.small_networks.extractor_targets)"
    )


class MultiLayer(Section):
    """Mean of the features of several blocks, each after the last norm, instead of the last block's."""

    blocks: list[Positive] = Field(min_length=1, description="blocks, from 1, in ascending order")
    summary: bool = Field(False, description="add the mean over the last block's patches to every patch")


class Model(Section):
    """One frozen network, a folder as ``save_pretrained`` writes it: built, downloaded or given."""

    name: str = Field(description="the file's name in config/models, not a key of the file")
    kind: Literal[
        "encoder",
        "vae",
        "rae",
        "text_encoder",
        "extractor",
        "detector",
        "color_classifier",
        "vqa",
        "perceptual",
        "weak_scorer",
        "pipeline",
    ] = Field(
        description="what it does: image features, latents (vae, rae), text features, metrics "
        "(extractor, detector, vqa), a distance between images (perceptual), SimpleEval's comparison of "
        "images with texts (weak_scorer), or images from texts (pipeline, of a public model)"
    )
    model_class: str = Field(
        description="class in transformers, diffusers, timm, torch-fidelity or nanogen"
    )
    source: Source = Field(
        "build",
        description="build: train it; download: from the hub; path: a local folder; random: not trained",
    )
    path: str | None = Field(None, description="the folder, where source is path")
    hub: Hub | None = Field(None, description="where source is download")
    file: RemoteFile | None = Field(
        None,
        description="where source is download, for a model that is on no hub: a file with its weights",
    )
    released: ReleasedRAE | None = added(
        None,
        description="rae, where source is download: the authors' files; such a model can only decode",
    )
    encoder: str | None = Field(None, description="rae: the encoder whose features are the latents")
    perceptual: str | None = Field(
        None,
        description="vae, rae, where built: network of the perceptual loss term",
    )
    discriminator: str | None = Field(
        None, description="vae, rae, where built: frozen vision encoder of the discriminator"
    )
    input_size: int | None = Field(None, gt=0, description="side of the network's input in pixels")
    image_mean: tuple[float, float, float] = Field(
        (0.5, 0.5, 0.5), description="subtracted from images in [0, 1], per channel"
    )
    image_std: tuple[Std, Std, Std] = Field(
        (0.5, 0.5, 0.5), description="images are divided by this after the mean, per channel"
    )
    interpolation: Literal["bicubic", "bilinear"] = Field(
        "bicubic", description="encoder: how images are resized to input_size, without antialiasing"
    )
    last_norm: Literal["plain", "learned", "none"] | None = added(
        None,
        description="encoder: its last norm; plain: without scale and shift; none: not applied; if "
        "omitted, it depends on the class",
    )
    positions: Literal["bicubic", "bilinear"] | None = added(
        None,
        description="encoder of timm: how its table of positions is resized, without antialiasing; if "
        "omitted, it depends on the class",
    )
    multilayer: MultiLayer | None = added(
        None, description="encoder: features of several blocks; none: those of the last block"
    )
    activation: Literal["gelu", "gelu_tanh"] | None = added(
        None, description="encoder of timm: activation of its MLPs; none: as published"
    )
    norm_eps: float | None = added(
        None, gt=0, description="encoder of timm: added to the variance in its norms; none: as published"
    )
    latent: tuple[Positive, Positive, Positive] | None = Field(
        None, description="vae, rae: channels, rows, columns"
    )
    statistics_eps: float = added(
        1e-5, gt=0, description="rae: added to the variance of the features when they are normalised"
    )
    scaling: tuple[float, float] | None = Field(
        None, description="vae: (scale, shift) of (z - shift) * scale; none: the model's own config"
    )
    batch_norm_eps: float | None = added(
        None,
        gt=0,
        description="vae of class AutoencoderKLFlux2: added to the variance in the BatchNorm of its "
        "latents; none: the model's own config",
    )
    normalisation: Literal["scale", "scale-shift", "channel", "batch-norm"] | None = Field(
        None,
        description="vae, where built: how it stores its latents' statistics; none: set by the class",
    )
    width: int | None = Field(None, gt=0, description="encoder, text_encoder: width of the features")
    max_tokens: int | None = Field(None, gt=0, description="text_encoder, vqa: longest text in tokens")
    fdr_constant: float | None = Field(
        None,
        gt=0,
        description="extractor: Frechet distance between train and validation images; none: measured",
    )
    statistics: str | None = Field(
        None, description="extractor: published reference moments (.npz); none: computed from the data"
    )
    fdr_statistics: str | None = added(
        None, description="extractor: published moments for FDr, if they differ from FID's"
    )
    autocast: Literal["bf16"] | None = added(
        None, description="extractor: precision of its matrix products on a GPU; none: float32"
    )
    tokenizer_hub: Hub | None = added(
        None, description="vqa, where source is download: the tokenizer, if it is in another repository"
    )
    precision: Literal["float32", "bf16"] = added(
        "float32",
        description="text_encoder: of its weights and computation; features are stored as float16",
    )
    statistics_hub: Hub | None = Field(
        None, description="extractor: data set on the hub that the statistics are fetched from"
    )
    color_classifier: str | None = Field(
        None, description="detector: names the objects' colours, a file in config/models"
    )
    architecture: dict[str, Any] = Field(
        default_factory=dict, description="keyword arguments of the class's own configuration"
    )
    training: ModelTraining | None = Field(None, description="where source is build, except vae and rae")
    stage1: TokenizerTraining | None = Field(None, description="vae, rae: where source is build")
    end_to_end: EndToEnd | None = Field(
        None,
        description="vae, where built: start from another VAE, and tune it together with a backbone",
    )
    data: Literal["imagenet", "t2i", "pretraining"] | None = Field(
        None,
        description="the task whose training images it is trained on; pretraining: drawn images that "
        "vary more, or a study's own photographs of classes",
    )

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """``latent`` of a tokenizer that is built here; raises UserError if it is not set."""
        if self.latent is None:
            raise UserError(f"config/models/{self.name}.yaml: 'latent' is missing")
        return self.latent

    def required(self, key: Literal["input_size", "max_tokens", "width"]) -> int:
        """The value of a key that this network needs; raises UserError if it is not set."""
        value: int | None = getattr(self, key)
        if value is None:
            raise UserError(f"config/models/{self.name}.yaml: {key!r} is missing")
        return value
