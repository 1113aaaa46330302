"""How a tokenizer is trained: the keys ``stage1`` and ``end_to_end`` of a model of kind vae or rae.

The defaults are the paper's values for RAE decoders. Values in epochs are converted to steps with the
number of training images and the batch size (`nanogen.stage1.phases`).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from nanogen.config.section import Decay, Positive, Section, added


class Schedule(Section):
    """AdamW for one of stage 1's networks: 0 -> rate over the warm-up, then a half cosine."""

    learning_rate: float = Field(2e-4, gt=0, description="rate after warm-up")
    final_learning_rate: float = Field(2e-5, ge=0, description="rate at the last step")
    warmup_epochs: float = Field(1.0, ge=0, description="epochs of the linear rise from 0")
    betas: tuple[Decay, Decay] = Field((0.9, 0.95), description="AdamW's decay of both moments")
    eps: float = added(1e-8, gt=0, description="AdamW's epsilon, added to the root of the second moment")


class TokenizerOptimizer(Schedule):
    """The tokenizer's optimizer."""

    weight_decay: float = Field(0.0, ge=0, description="AdamW's decoupled weight decay")
    clip: float = Field(0.0, ge=0, description="largest norm of the gradient; 0: not clipped")


class TokenizerTerms(Section):
    """Weights of the loss terms; a term with weight 0 is not computed."""

    l1: float = Field(
        0.5, ge=0, description="mean absolute difference of pixels in [-1, 1]; 0.5: of pixels in [0, 1]"
    )
    mse: float = Field(0.0, ge=0, description="mean squared difference of pixels")
    edge: float = Field(0.0, ge=0, description="mean absolute difference of the images' gradients")
    perceptual: float = Field(0.0, ge=0, description="distance by the model's 'perceptual' network")
    kl: float = Field(0.0, ge=0, description="vae: divergence of the posterior, nats per image")


class Augmentation(Section):
    """Augmentation of the discriminator's input (DiffAugment); 0 turns a part of it off."""

    color: float = Field(1.0, ge=0, description="strength of colour changes; 1: as published")
    translation: float = Field(0.125, ge=0, lt=1, description="largest shift, as a fraction of the side")
    cutout: float = Field(0.0, ge=0, lt=1, description="side of the hole, as a fraction of the image's")
    probability: float = added(
        1.0,
        ge=0,
        le=1,
        description="probability of each part, drawn once for a batch of originals or reconstructions",
    )
    symmetric: bool = added(
        False,
        description="cutout: a hole whose side is an even number of pixels extends as far beyond the "
        "last row and column as beyond the first, as published",
    )


class Adversarial(Schedule):
    """A discriminator on frozen features, and when it is trained and used."""

    weight: float = Field(0.75, gt=0, description="weight of its loss, times the adaptive weight")
    max_weight: float = Field(1e4, gt=0, description="cap of the adaptive weight")
    disc_start: float = Field(6.0, ge=0, description="epochs before the discriminator is trained")
    gan_start: float = Field(8.0, ge=0, description="epochs before the tokenizer learns from it")
    layers: list[Positive] = Field(
        default_factory=lambda: [12, 3, 6, 9, 12],
        min_length=1,
        description="blocks, from 1, of the 'discriminator' network; a head per entry judges the tokens",
    )
    kernel: int = added(
        9,
        introduced=3,
        gt=0,
        description="side of the heads' second convolution, odd: rae: along the row of tokens; vae: in "
        "rows and columns",
    )
    norm_eps: float = added(1e-6, gt=0, description="rae: added to the variance in the heads' norms")
    augmentation: Augmentation = Field(Augmentation(), description="augmentation of its input")


class TokenizerTraining(Section):
    """Stage 1: how a tokenizer is trained (vae, rae, where source is build)."""

    epochs: float = Field(16.0, gt=0, description="passes over the training images")
    batch_size: int = Field(512, gt=0, description="global batch over all processes")
    optimizer: TokenizerOptimizer = Field(TokenizerOptimizer(), description="AdamW and its schedule")
    ema: float = Field(0.9978, ge=0, lt=1, description="decay per step of the averaged weights")
    noise: float = Field(
        0.0, ge=0, description="rae: noise on latents, of standard deviation U(0, this) per image"
    )
    crop: int | None = Field(
        None,
        gt=0,
        description="vae: side of a random square of each image, in pixels; none: the whole image",
    )
    splice: bool = Field(
        False,
        description="splice every second image with another one, so that one object becomes several",
    )
    terms: TokenizerTerms = Field(TokenizerTerms(), description="weights of the loss terms")
    perceptual_from: float = Field(
        0.0, ge=0, description="epochs before the perceptual distance is used, which is costly"
    )
    adversarial: Adversarial | None = Field(None, description="the adversarial loss; none: not used")
    precision: Literal["float32", "bf16"] = Field(
        "float32", description="precision of matrix products in training; weights stay float32"
    )
    checkpoint_every: int = Field(500, gt=0, description="steps between saves of the resumable state")
    log_every: int = Field(50, gt=0, description="steps between lines of the training log")


class EndToEnd(Section):
    """End-to-end tuning (REPA-E): a VAE is trained further by `stage1`, together with a backbone."""

    start: str = Field(description="the VAE that it starts from, a file in config/models")
    encoder: str = Field(description="vision encoder whose patch features an inner block predicts")
    depth: int = Field(gt=0, description="the inner block of the backbone's encoder, from 1")
    head: Literal["mse-linear", "cosine-mlp"] = Field(
        "cosine-mlp", description="loss and head of the prediction, as in the term repa"
    )
    coefficient: float = Field(0.5, gt=0, description="weight of that loss for the backbone")
    vae_coefficient: float = Field(1.5, ge=0, description="weight of the same loss for the VAE")
    momentum: float = Field(
        0.1, gt=0, le=1, description="share of a batch in the running moments of the latents"
    )
    learning_rate: float = Field(
        1e-4,
        gt=0,
        description="the backbone's learning rate after warm-up; it follows the VAE's schedule",
    )
    condition_dropout: float = Field(
        0.1, ge=0, le=1, description="share of images whose class is hidden from the backbone"
    )
    backbone: dict[str, Any] = Field(
        default_factory=dict, description="keys of the backbone, on top of the study's"
    )
    objective: dict[str, Any] = Field(
        default_factory=dict, description="keys of its flow matching, on top of the study's"
    )


class DecoderArchitecture(Section):
    """``architecture`` of an RAE: the arguments of `nanogen.tokenizers.vit_decoder.ViTDecoder`."""

    hidden_size: Positive = Field(description="width of the tokens")
    num_hidden_layers: Positive = Field(description="number of blocks")
    num_attention_heads: Positive = Field(description="number of heads")
    intermediate_size: Positive | None = Field(
        None, description="hidden width of the MLPs; none: four times hidden_size"
    )
    layer_norm_eps: float = Field(1e-12, gt=0, description="added to the variance in the norms")
    hidden_act: str = Field("gelu", description="activation of the MLPs")
    qkv_bias: bool = Field(True, description="whether query, key and value have a bias")
