"""The final layer, which maps tokens to the values of patches.

Its output layers are initially zero, so the output of an untrained network is zero.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nanogen.backbones.layers import RMSNorm, zero_linear
from nanogen.backbones.neural_field import NeuralField


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Return x (1 + scale) + shift."""
    return torch.addcmul(x + shift, x, scale)


class Readout(nn.Module):
    """Base class of final layers.

    An RMS norm and a Linear compute the values of patches. With REG, a second Linear computes the class
    token. If ``pixels`` (channels, patch) is given, a neural field replaces the first Linear.
    """

    def __init__(
        self, width: int, values: int, cls_width: int | None, pixels: tuple[int, int] | None = None
    ):
        super().__init__()
        self.norm = RMSNorm(width)
        self.field = None if pixels is None else NeuralField(width, *pixels)
        self.linear = None if pixels is not None else zero_linear(width, values)
        self.cls = None if cls_width is None else zero_linear(width, cls_width)

    def read(self, x: Tensor, cells: Tensor) -> tuple[Tensor, Tensor | None]:
        """Compute the output from normalised tokens (B, [1 +] N, D) and noisy patches (B, N, C p p).

        Returns patches (B, N, p p C), and the class token (B, Z) or None.
        """
        image, cls = (x, None) if self.cls is None else (x[:, 1:], self.cls(x[:, 0]))
        if self.field is not None:
            return self.field(image, cells), cls
        assert self.linear is not None
        return self.linear(image), cls

    def outputs(self) -> list[nn.Linear]:
        """Return the Linears that compute the output, which are initially zero."""
        made = (self.linear, None if self.field is None else self.field.out, self.cls)
        return [linear for linear in made if linear is not None]


class Final(Readout):
    """The final layer without modulation."""

    def forward(self, x: Tensor, cells: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.read(self.norm(x), cells)


class ModulatedFinal(Readout):
    """The final layer with shift and scale from ``s``, which has already passed through a SiLU."""

    def __init__(
        self, width: int, values: int, cls_width: int | None, pixels: tuple[int, int] | None = None
    ):
        super().__init__(width, values, cls_width, pixels)
        self.modulation = zero_linear(width, 2 * width)

    def forward(self, x: Tensor, s: Tensor, cells: Tensor) -> tuple[Tensor, Tensor | None]:
        shift, scale = self.modulation(s).chunk(2, dim=-1)
        return self.read(modulate(self.norm(x), shift, scale), cells)
