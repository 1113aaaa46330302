"""The number of operations of a training, from widths, depths and numbers of tokens alone.

A multiply-add counts as two operations. Linear layers and the two products of attention are counted,
norms and activations are not; they are below one per cent.
"""

from __future__ import annotations

from math import prod

from nanogen.config.schema import Objective, Sampling
from nanogen.config.train_stage import TrainStage

STEP = 3.0  # in forward passes: one forward, and a backward pass of twice its operations
DERIVATIVE = 2.0  # in forward passes, of a forward-mode derivative: values and tangents


def passes(objective: Objective) -> tuple[float, float]:
    """Return the cost of an average training step of an ``objective``, in forward passes.

    The second number is that of passes with the null condition.
    """
    if objective.kind == "flow-matching":
        return STEP, 0.0
    share, guided = objective.meanflow.share, objective.meanflow.guided
    # Guidance needs two velocities; a flow-matching step computes that with the condition anyway.
    return STEP + share * DERIVATIVE + share * guided, 1.0 * guided


def forward_flops(stage: TrainStage, null: bool = False) -> float:
    """Operations of one image's forward pass of the network that a ``train`` stage describes.

    ``null`` counts a pass with the null condition: the null prompt has no tokens.
    """
    keys, conditioner = stage.backbone, stage.conditioner
    channels, rows, columns = stage.latent
    width = keys.encoder_width
    values = channels * keys.patch**2
    image = rows * columns // keys.patch**2
    feature = stage.heads.cls_width or 0
    times = 2 if stage.objective.kind == "meanflow" else 1
    kept = image + (1 if feature else 0)  # the tokens that leave the encoder
    tokens = 0 if null and conditioner.kind == "text" else conditioner.tokens
    sequence = kept + times * keys.time_tokens + tokens
    text = (stage.text_width or 0) if conditioner.kind == "text" else 0
    multiplied = (
        (image * values + feature) * width
        + times * width * (512 + width)
        + text * tokens * width
        + (keys.encoder_depth - 1) * _block(sequence, sequence, width, keys.mlp_ratio)
        + _block(sequence, kept, width, keys.mlp_ratio)
    )
    if keys.kind == "lightning":  # a final Linear, no decoder
        return 2.0 * (multiplied + (image * values + feature) * width)
    deep = keys.decoder_width
    decoder = (
        2 * (image * values + feature) * deep
        + keys.decoder_depth * (_block(kept, kept, deep, keys.mlp_ratio) + kept * 6 * deep**2)
        + kept * 2 * deep**2
        + (kept * width * deep if width != deep else 0)
    )
    return 2.0 * (multiplied + decoder)


def _block(tokens: int, left: int, width: int, mlp_ratio: float) -> int:
    """Multiply-adds of attention and SwiGLU over a sequence, of which ``left`` tokens are returned."""
    hidden = int(2 / 3 * mlp_ratio * width)
    returned = left * (width**2 + 3 * width * hidden) + 2 * left * tokens * width
    return tokens * 3 * width**2 + returned


def training_flops(stage: TrainStage) -> float:
    """Operations per training image; frozen networks of added loss terms are not counted."""
    told, null = passes(stage.objective)
    return told * forward_flops(stage) + null * forward_flops(stage, null=True)


# Operations per image outside the backbone: decoding to 256 x 256 (an autoencoder of diffusers; an RAE's
# decoder takes a quarter) and the six extractors of the paper study.
DECODING, EXTRACTION = 1.0e12, 0.8e12


def sampling_flops(stage: TrainStage, sampling: Sampling, guided: bool) -> float:
    """Operations to draw one image, without decoding it; guided steps take two passes."""
    shift = (prod(stage.latent) / sampling.shift_base) ** 0.5
    low, high = sampling.guidance_interval
    steps = [1 - step / sampling.steps for step in range(sampling.steps)]
    times = [shift * t / (1 + (shift - 1) * t) for t in steps]
    double = guided and sampling.guidance_scale != 1
    null = sum(double and low <= t <= high for t in times)
    return sampling.steps * forward_flops(stage) + null * forward_flops(stage, null=True)


def gpu_hours(stage: TrainStage, tflops: float, utilisation: float) -> float:
    """Hours on one GPU with a peak of ``tflops``, of which it reaches ``utilisation``, in (0, 1]."""
    images = stage.training.steps * stage.training.batch_size
    return images * training_flops(stage) / (tflops * 1e12 * utilisation) / 3600


# Operations of the frozen networks that encode an image of 256 x 256 or a caption in a training step.
AUTOENCODER, ENCODER, CAPTION = 0.55e12, 0.1e12, 0.08e12


def encoding_flops(kind: str, resolution: int) -> float:
    """Estimate the operations to encode a sample in a training step, for networks of the paper's sizes.

    Args:
        kind: the network's ``kind`` in its configuration.
        resolution: side of the images in pixels.
    """
    if kind == "text_encoder":
        return CAPTION
    return (AUTOENCODER if kind == "vae" else ENCODER) * (resolution / 256) ** 2


def hours(operations: float, tflops: float, utilisation: float) -> float:
    """Hours on one GPU with a peak of ``tflops``, of which it reaches ``utilisation``, in (0, 1]."""
    return operations / (tflops * 1e12 * utilisation) / 3600
