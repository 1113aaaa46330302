"""Frozen perceptual distances between images.

These are LPIPS (Zhang et al. 2018, arXiv 1801.03924, equation 1) and, for studies without its weights,
the distance between features of a small trained convolutional network. They are modules that map two
batches of float images (B, 3, H, W) in [-1, 1] to distances (B,), differentiable in the first.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from nanogen.config.model_schema import Model
from nanogen.errors import UserError
from nanogen.models.network_files import load_weights, read_config
from nanogen.models.small_inception import SmallInception
from nanogen.weights import readable_weights

LPIPS = "lpips:vgg"
SMALL_INCEPTION = "nanogen.SmallInception"


class StageDistance(nn.Module):
    """Distance between features of a trained convolutional network: LPIPS without learned weights.

    In every stage of the network, the channels of each position are scaled to unit length. The squared
    difference is summed over channels and averaged over positions, then over stages.
    """

    def __init__(self, network: SmallInception, size: int):
        super().__init__()
        self.network, self.size = network, size

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = self.stages(targets)
        pairs = zip(self.stages(images), wanted, strict=True)
        per_stage = [(a - b).square().sum(1).mean((1, 2)) for a, b in pairs]
        return torch.stack(per_stage).mean(0)

    def stages(self, images: Tensor) -> list[Tensor]:
        """Return features (B, C, h, w) of unit length after every stage that has weights."""
        if images.shape[-1] != self.size:
            images = F.interpolate(images, (self.size, self.size), mode="bicubic")
        found = []
        for stage in self.network.body:
            images = stage(images)
            if not isinstance(stage, nn.MaxPool2d):
                found.append(F.normalize(images, dim=1, eps=1e-6))
        return found


def load_perceptual(folder: Path, model: Model) -> nn.Module:
    """Load the frozen distance in ``folder`` that the resolved configuration ``model`` describes.

    Raises UserError if a file or the package lpips is missing, or the class is not known.
    """
    kind = model.model_class
    if kind == SMALL_INCEPTION:
        network = SmallInception(**read_config(folder, SMALL_INCEPTION)["arguments"])
        return StageDistance(load_weights(network, folder), model.required("input_size")).eval()
    if kind == LPIPS:
        return _Lpips(folder)
    raise UserError(
        f"config/models/{model.name}.yaml: {kind} is not a perceptual distance; choose {LPIPS} or "
        f"{SMALL_INCEPTION}"
    )


class _Lpips(nn.Module):
    """LPIPS of the package lpips, with torchvision's VGG16 weights from the model folder.

    The package contains the learned weights of the distance; nothing is downloaded.
    """

    def __init__(self, folder: Path):
        super().__init__()
        try:
            from lpips import LPIPS as Network
        except ImportError as error:
            raise UserError("the perceptual loss needs the package lpips: pip install lpips") from error
        self.network = Network(net="vgg", pretrained=True, pnet_rand=True, verbose=False)
        slices = [getattr(self.network.net, f"slice{i}") for i in range(1, 6)]
        names = {name: layer for part in slices for name, layer in part.named_children()}
        weights = _vgg(folder / "model.safetensors")
        for name, layer in names.items():
            if isinstance(layer, nn.Conv2d):
                layer.load_state_dict({k: weights[f"features.{name}.{k}"] for k in ("weight", "bias")})
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        return self.network(images, targets).flatten()


def _vgg(path: Path) -> dict[str, Tensor]:
    if not path.exists():
        raise UserError(f"{path} (torchvision's VGG16) is missing; fetch the model again")
    with readable_weights(path):
        weights = load_file(path)
    if "features.28.bias" not in weights:
        raise UserError(
            f"{path} does not contain torchvision's VGG16 (last layer features.28); "
            "fetch the model again"
        )
    return weights
