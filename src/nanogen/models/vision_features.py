"""What a vision encoder itself returns: the class token and the patch tokens after its last norm.

Objectives are given these, with the norm's learned scale and shift. A representation autoencoder's
latents lack them (`nanogen.models.encoders`).
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional as F

from nanogen.config.model_schema import Model
from nanogen.errors import UserError
from nanogen.models.encoders import Preprocessing
from nanogen.models.loading import LibraryNetwork, load_network

WITH_CLASS_TOKEN = ("Dinov2WithRegistersModel", "DINOv3ViTModel")


class Vision(nn.Module):
    """A frozen encoder of width W with a class token. Images are float (B, 3, H, W) in [-1, 1]."""

    def __init__(self, network: LibraryNetwork, preprocessing: Preprocessing):
        super().__init__()
        self.network, self.preprocessing = network, preprocessing
        self.prefix = 1 + int(network.config.num_register_tokens)
        self.width = int(network.config.hidden_size)
        self.rows = preprocessing.size // int(network.config.patch_size)

    def tokens(self, images: Tensor) -> Tensor:
        """(B, 1 + registers + rows * rows, W), differentiable; resized bicubic without antialiasing."""
        keys = self.preprocessing
        mean, std = (images.new_tensor(v).view(1, 3, 1, 1) for v in (keys.mean, keys.std))
        pixels = ((images + 1) / 2 - mean) / std
        if pixels.shape[-1] != keys.size:
            pixels = F.interpolate(pixels, (keys.size, keys.size), mode="bicubic", antialias=False)
        return self.network(pixel_values=pixels).last_hidden_state

    def cls(self, images: Tensor) -> Tensor:
        """(B, W): the class token, as the encoder's library returns it."""
        return self.tokens(images)[:, 0]

    def patches(self, images: Tensor) -> Tensor:
        """(B, W, rows, rows): the patch tokens, likewise."""
        tokens = self.tokens(images)[:, self.prefix :].transpose(1, 2)
        return tokens.unflatten(2, (self.rows, self.rows))


def load_vision(folder: Path, model: Model) -> Vision:
    """The frozen encoder in ``folder``, as the resolved configuration ``model`` names it.

    Raises UserError where files are missing, or for a class without a class token.
    """
    if model.model_class not in WITH_CLASS_TOKEN:
        raise UserError(
            f"config/models/{model.name}.yaml: {model.model_class} has no class token; REG, REPA "
            f"and the term features know {', '.join(WITH_CLASS_TOKEN)}"
        )
    return Vision(load_network(folder, model.model_class), Preprocessing.of(model)).eval()
