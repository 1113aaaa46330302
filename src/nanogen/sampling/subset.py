"""Some images of a sample set: each as the whole set has it, from the same noise."""

from __future__ import annotations

from typing import Any

import numpy as np

from nanogen.sampling.generate import Drawing


class Subset:
    """Draws the images ``chosen`` (K,) of a set as its images 0 ... K - 1."""

    def __init__(self, drawing: Drawing, chosen: np.ndarray):
        self.drawing, self.chosen, self.guidance = drawing, chosen, drawing.guidance

    def seed_of(self, index: int) -> int:
        """The seed of one image's noise."""
        return self.drawing.seed_of(int(self.chosen[index]))

    def __call__(self, indices: np.ndarray, conditions: Any) -> np.ndarray:
        return self.drawing(self.chosen[indices], conditions)
