"""Render scenes, antialiased by supersampling, with a mask of the pixels of each object.

The test whether a sample point is inside a shape compares sums and products of exact binary fractions
(at resolutions that are powers of two), so the bytes are the same on every machine.
"""

from __future__ import annotations

import numpy as np

from nanogen.data.scenes.scenes import MOST_OBJECTS, UNITS, Scene, SceneObject

SAMPLES = 4  # sample points per pixel and axis


def _inside(item: SceneObject, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether points are in the shape; they are in units relative to the centre of its box."""
    r = float(item.radius)
    if item.shape == "circle":
        return x * x + y * y <= r * r
    width, height = item.half
    if item.shape == "square":
        return (abs(x) <= width) & (abs(y) <= height)
    if item.shape == "triangle":  # apex at the top, base at the bottom
        return (y <= height) & (2 * height * abs(x) <= width * (y + height))
    arm = 0.375 * r
    bars = ((abs(x) <= arm) & (abs(y) <= height)) | ((abs(y) <= arm) & (abs(x) <= width))
    return bars


def coverage(item: SceneObject, resolution: int) -> tuple[np.ndarray, tuple[slice, slice]]:
    """Compute the fraction of each pixel that the object covers.

    Returns float64 (h, w) in [0, 1] for a window around the object, and that window (rows, columns).
    """
    pixel = UNITS / resolution
    edges = []
    for centre, half in zip((item.y, item.x), item.half[::-1], strict=True):
        low = max(0, int((centre - half) // pixel))
        high = min(resolution, int((centre + half) // pixel) + 1)
        edges.append((low, high))
    offsets = (np.arange(SAMPLES) + 0.5) / SAMPLES
    (top, bottom), (left, right) = edges
    y = ((np.arange(top, bottom)[:, None] + offsets).ravel() * pixel - item.y)[:, None]
    x = ((np.arange(left, right)[:, None] + offsets).ravel() * pixel - item.x)[None, :]
    inside = _inside(item, x, y).reshape(bottom - top, SAMPLES, right - left, SAMPLES)
    return inside.mean(axis=(1, 3)), (slice(top, bottom), slice(left, right))


def render(scene: Scene, resolution: int) -> tuple[np.ndarray, np.ndarray]:
    """Render a scene as an image and a mask per object.

    Returns the image, uint8 (resolution, resolution, 3), and the masks, uint8 0/1 (4, resolution,
    resolution). A pixel belongs to the object that covers at least half of it; objects do not overlap.
    """
    image = np.empty((resolution, resolution, 3))
    image[:] = scene.background_rgb
    masks = np.zeros((MOST_OBJECTS, resolution, resolution), np.uint8)
    for mask, item in zip(masks, scene.objects, strict=False):
        covered, window = coverage(item, resolution)
        image[window] += covered[..., None] * (np.array(item.rgb) - image[window])
        mask[window] = covered >= 0.5
    return np.rint(image).astype(np.uint8), masks


def box(mask: np.ndarray) -> list[int]:
    """Return [x0, y0, x1, y1] of a mask's pixels, x1 and y1 excluded; [0, 0, 0, 0] if it is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return [0, 0, 0, 0]
    return [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]
