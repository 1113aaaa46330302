"""A few samples of every method, small enough to be embedded in the page."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np

from nanogen.config.paths import Paths
from nanogen.report import sample_grids
from nanogen.report.sample_sets import SampleSet

SIDE = 112  # pixels: larger images are reduced to this side
LOSSLESS = 64  # up to this side an image is smaller as PNG, and its pixels stay sharp


def of_set(paths: Paths, of: SampleSet, count: int) -> list[dict[str, str]]:
    """Return up to ``count`` images of a sample set, spread over its classes or prompts.

    Each is {source, caption}. The list is empty if the sample set has been deleted after its scoring.
    """
    samples = Path(paths.samples(of.run.method, of.run.task, of.variant))
    if count < 1 or not samples.exists():
        return []
    if of.run.task == "t2i":
        lines, _ = sample_grids.prompt_lines(samples, Path(paths.prompts), 1, count)
        found = [(cell.image, cell.caption) for line in lines for cell in line.cells]
    else:
        real = Path(paths.data("imagenet", "val"))
        lines, _ = sample_grids.class_lines(samples, real if real.exists() else None, count, 1)
        found = [(line.cells[-1].image, line.heading) for line in lines]  # the first may be a real image
    return [{"source": data_address(image), "caption": caption} for image, caption in found]


def data_address(image: np.ndarray) -> str:
    """Return the ``data:`` URL of an image, uint8 (H, W, 3), reduced to at most ``SIDE`` pixels."""
    from PIL import Image

    picture = Image.fromarray(image)
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    if max(picture.size) <= LOSSLESS:
        picture.save(buffer, format="PNG", optimize=True)
        kind = "png"
    else:
        picture.save(buffer, format="WEBP", quality=80)
        kind = "webp"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
