"""Class and patch tokens of a vision encoder for training objectives, differentiable in the image.

These are the features that a representation autoencoder uses as latents. For DINO encoders, the last
norm is applied without its learned scale and shift (`nanogen.models.encoders`).
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from nanogen.config.model_schema import Model
from nanogen.errors import UserError
from nanogen.models.encoders import VisionEncoder, load_encoder


class Vision(nn.Module):
    """A frozen encoder of width W with a class token. Images are float (B, 3, H, W) in [-1, 1]."""

    def __init__(self, encoder: VisionEncoder):
        super().__init__()
        self.encoder = encoder
        self.width, self.rows = encoder.width, encoder.rows

    def tokens(self, images: Tensor) -> Tensor:
        """Return all tokens, (B, prefix + rows * rows, W)."""
        return self.encoder.parts.tokens(self.encoder.preprocessing.signed(images))

    def cls(self, images: Tensor) -> Tensor:
        """Return the class token, (B, W)."""
        return self.tokens(images)[:, 0]

    def patches(self, images: Tensor) -> Tensor:
        """Return the patch tokens, (B, W, rows, rows)."""
        return self.encoder.grid(self.tokens(images))


def load_vision(folder: Path, model: Model) -> Vision:
    """Load the frozen encoder in ``folder`` that the resolved configuration ``model`` describes.

    Raises UserError if files are missing, or if the encoder has no class token or combines layers.
    """
    encoder = load_encoder(folder, model).eval()
    if not encoder.prefix:
        raise UserError(
            f"config/models/{model.name}.yaml: {model.model_class} has no class token, which REG, "
            "REPA and the term features need; name another encoder"
        )
    if encoder.multilayer:
        raise UserError(
            f"config/models/{model.name}.yaml: REG, REPA and the term features compare with the last "
            "block's features; name the encoder without multilayer"
        )
    return Vision(encoder)
