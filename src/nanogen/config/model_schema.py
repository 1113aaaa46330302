"""The keys of a file in config/models: one network on disk, which is frozen while a method trains."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from nanogen.config.section import Section, added
from nanogen.config.tokenizer_schema import EndToEnd, TokenizerTraining
from nanogen.errors import UserError

Source = Literal["build", "download", "path", "random"]


class Hub(Section):
    """A repository on the Hugging Face hub, pinned."""

    repo: str = Field(description="owner/name")
    revision: str = Field("main", description="commit, tag or branch; pin a commit to be exact")
    subfolder: str = Field("", description="folder inside the repository")
    size_mb: float = Field(0, ge=0, description="size of the download, for the plan")
    gated: bool = Field(False, description="needs an accepted licence and HF_TOKEN")


SHA256 = r"^[0-9a-f]{64}$"


class Address(Section):
    """Where a file lies that is in no repository of the hub."""

    url: str = Field(
        pattern=r"^(https?|file)://", description="its address; file:///PATH where you have a copy"
    )
    size_mb: float = Field(0, ge=0, description="size of the download, for the plan")
    licence: str = Field("not known here", description="as its page named it, for the plan")


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
        description="SHA-256 of its content; none: noted when it is fetched first, and compared later",
    )
    prompts: int | None = Field(None, gt=0, description="how many prompts it has, for the plan")


class ModelTraining(Section):
    """How a small stand-in is trained from scratch (only where source is build; not a tokenizer)."""

    steps: int = Field(gt=0, description="optimizer steps")
    batch_size: int = Field(64, gt=0, description="images or texts per step")
    learning_rate: float = Field(1e-3, gt=0, description="largest rate of the schedule")
    options: dict[str, float] = Field(default_factory=dict, description="weights of loss terms")
    target: Literal["classes", "places", "views", "pixels", "captions"] = Field(
        "classes", description="extractor: what it learns (nanogen.small_networks.extractor_targets)"
    )


class MultiLayer(Section):
    """Features of several blocks instead of the last one's: their mean, each after the last norm."""

    blocks: list[Annotated[int, Field(gt=0)]] = Field(min_length=1, description="blocks, from 1, rising")
    summary: bool = Field(
        False, description="add the mean over the patches of the last of them at every patch"
    )


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
        "(extractor, detector, vqa), a distance of images (perceptual), SimpleEval's comparison of "
        "images with texts (weak_scorer), or images of texts (pipeline, of a public model)"
    )
    model_class: str = Field(
        description="class in transformers, diffusers, timm, torch-fidelity or nanogen"
    )
    source: Source = Field(
        "build",
        description="build: train it; download: hub; path: yours; random: not trained",
    )
    path: str | None = Field(None, description="the folder, where source is path")
    hub: Hub | None = Field(None, description="where source is download")
    file: RemoteFile | None = Field(
        None, description="where source is download and it is on no hub: a file of its weights"
    )
    released: ReleasedRAE | None = added(
        None, description="rae, where source is download: the authors' files; it decodes only"
    )
    encoder: str | None = Field(None, description="rae: whose features are the latents")
    perceptual: str | None = Field(
        None,
        description="vae, rae, where built: network of the term perceptual",
    )
    discriminator: str | None = Field(
        None, description="vae, rae, where built: frozen vision encoder that the adversary judges by"
    )
    input_size: int | None = Field(None, description="side in pixels the network is fed")
    image_mean: tuple[float, float, float] = Field(
        (0.5, 0.5, 0.5), description="subtracted from images in [0, 1], per channel"
    )
    image_std: tuple[float, float, float] = Field(
        (0.5, 0.5, 0.5), description="images are divided by this after the mean, per channel"
    )
    interpolation: Literal["bicubic", "bilinear"] = Field(
        "bicubic", description="encoder: how images are brought to input_size, without antialiasing"
    )
    last_norm: Literal["plain", "learned", "none"] | None = added(
        None,
        description="encoder: what is left of its last norm; plain: without scale and shift; none: not "
        "applied; left out: by class",
    )
    positions: Literal["bicubic", "bilinear"] | None = added(
        None,
        description="encoder of timm: how its table of positions is brought to another size, without "
        "antialiasing; left out: by class",
    )
    multilayer: MultiLayer | None = added(
        None, description="encoder: features of several blocks; left out: the last one's"
    )
    activation: Literal["gelu", "gelu_tanh"] | None = added(
        None, description="encoder of timm: of its MLPs; none: as it was published"
    )
    norm_eps: float | None = added(
        None, gt=0, description="encoder of timm: added to the variance in its norms; none: as published"
    )
    latent: tuple[int, int, int] | None = Field(None, description="vae, rae: channels, rows, columns")
    statistics_eps: float = added(
        1e-5, gt=0, description="rae: added to the variance of the features where they are normalised"
    )
    scaling: tuple[float, float] | None = Field(
        None, description="vae: (scale, shift) of (z - shift) * scale; none: the model's own config"
    )
    normalisation: Literal["scale", "scale-shift", "channel", "batch-norm"] | None = Field(
        None, description="vae, where built: how it carries its latents' statistics; none: by class"
    )
    width: int | None = Field(None, description="encoder, text_encoder: width of the features")
    max_tokens: int | None = Field(None, description="text_encoder, vqa: longest text in tokens")
    fdr_constant: float | None = Field(
        None, description="extractor: Frechet distance of train and validation images; none: measured"
    )
    statistics: str | None = Field(
        None, description="extractor: published reference moments (.npz); none: made from the data"
    )
    fdr_statistics: str | None = added(
        None, description="extractor: published moments for FDr, where they are others than FID's"
    )
    autocast: Literal["bf16"] | None = added(
        None, description="extractor: precision of its matrix products on a GPU; none: float32"
    )
    tokenizer_hub: Hub | None = added(
        None, description="vqa, where source is download: the tokenizer, if it lies elsewhere"
    )
    precision: Literal["float32", "bf16"] = added(
        "float32",
        description="text_encoder: of its weights and computation; features are kept as float16",
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
    training: ModelTraining | None = Field(None, description="where source is build, but vae and rae")
    stage1: TokenizerTraining | None = Field(None, description="vae, rae: where source is build")
    end_to_end: EndToEnd | None = Field(
        None, description="vae, where built: it is another VAE, tuned together with a backbone"
    )
    data: Literal["imagenet", "t2i", "pretraining"] | None = Field(
        None,
        description="the task whose training images it is trained on; pretraining: drawn ones that vary "
        "more, or a study's own photographs of classes",
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
