"""Generate images with a public model's own pipeline of diffusers and its default settings.

The noise of image i comes from a generator with the seed seed_for(seed, "sample", method, i). Generators
are on the CPU, so the noise is the same on any device and for any batch size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from nanogen.config.sample_stage import PublicSampleStage
from nanogen.config.schema import PipelineSampling
from nanogen.errors import UserError, nearest
from nanogen.identity import seed_for
from nanogen.models.pipelines import call_arguments

# key of `sampling` -> arguments of a pipeline's call
ARGUMENTS = {
    "steps": ("num_inference_steps",),
    "guidance_scale": ("guidance_scale",),
    "resolution": ("height", "width"),
}
OURS = ("prompt", "generator", "output_type", "num_images_per_prompt")


def arguments(sampling: PipelineSampling, pipeline: Any) -> dict[str, Any]:
    """Return the arguments of a diffusers pipeline's call, without prompts and noise.

    Raises UserError for an argument that the pipeline does not accept.
    """
    known = [name for name in call_arguments(pipeline) if name not in OURS]
    given = {name: (f"arguments.{name}", value) for name, value in sampling.arguments.items()}
    for key, names in ARGUMENTS.items():
        value = getattr(sampling, key)
        if value is not None:
            given |= dict.fromkeys(names, (key, value))
    for name, (key, _) in given.items():
        if name not in known:
            taken = f"{type(pipeline).__name__} has no argument {name}{nearest(name, known)}"
            raise UserError(f"sampling.{key}: {taken}")
    return {name: value for name, (_, value) in given.items()}


class PublicGenerator:
    """A pipeline that generates the images of a study's sample set from prompts."""

    def __init__(self, stage: PublicSampleStage, pipeline: Any, device: torch.device):
        self.named = (stage.seed, "sample", stage.method)
        self.arguments = arguments(stage.sampling, pipeline)
        scale = {**call_arguments(pipeline), **self.arguments}.get("guidance_scale")
        self.guidance = float("nan") if scale is None else float(scale)
        pipeline.set_progress_bar_config(disable=True)
        if stage.offload and device.type == "cuda":
            pipeline.enable_model_cpu_offload(device=device)
        else:
            pipeline.to(device)
        self.pipeline = pipeline

    def seed_of(self, index: int) -> int:
        """Return the seed of an image's noise, which depends on the image's index in its set."""
        return seed_for(*self.named, int(index))

    def __call__(self, indices: np.ndarray, prompts: Sequence[str]) -> np.ndarray:
        """Generate one image per prompt, uint8 (B, H, W, 3).

        ``indices`` (B,) are the indices of the images in their set. Raises UserError if the pipeline
        returns NaN, which happens if bf16 is too imprecise for it.
        """
        seeds = [self.seed_of(index) for index in indices]
        drawn = self.pipeline(
            prompt=list(prompts),
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            output_type="np",
            **self._for_batch(len(prompts)),
        ).images
        if not np.isfinite(drawn).all():
            name = type(self.pipeline).__name__
            raise UserError(f"{name} returned NaN; set the method's sampling.precision to float32")
        return (drawn * 255).round().astype(np.uint8)

    def _for_batch(self, size: int) -> dict[str, Any]:
        """Return the arguments with the negative prompt repeated, which some pipelines do not do."""
        return {
            name: [value] * size if name.startswith("negative_prompt") else value
            for name, value in self.arguments.items()
        }
