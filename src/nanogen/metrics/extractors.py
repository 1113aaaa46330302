"""Feature extractors: frozen networks whose features define distances between sets of images.

Every extractor maps uint8 images to features. Small studies use small networks trained from scratch,
studies at paper scale timm models (docs/formats.md, `features`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nanogen.config.model_schema import Model
from nanogen.errors import UserError
from nanogen.models import timm_networks
from nanogen.models.loading import LibraryNetwork
from nanogen.models.network_files import load_weights, read_config
from nanogen.models.small_inception import SmallInception

SMALL_INCEPTION = "nanogen.SmallInception"
INCEPTION = "torch-fidelity:inception-v3-compat"
SPATIAL_CHANNELS = 7
SPATIAL_GRID = 8
# The last digits of a network's output for an image depend on the batch size, because it determines the
# blocks of matrix products and convolutions, and thus the order of sums. Therefore every batch has this
# size (the last one is padded), and shares of processes are cut at multiples of it, so that an image
# always has the same place in the same batch. 32 images keep a GPU busy.
NETWORK_BATCH = 32


@dataclass(frozen=True)
class Output:
    """The output of an extractor for n images, as tensors or as numpy arrays.

    Attributes:
        features: (n, width), pooled over space.
        logits: (n, classes); None if the network has no classes.
        spatial: (n, channels * rows * columns), a few feature maps without pooling, for sFID; None if
            the network has no maps.
    """

    features: Any
    logits: Any = None
    spatial: Any = None


Prepare = Callable[[Tensor], Tensor]
Forward = Callable[[Tensor], Output]


def spatial_features(maps: Tensor) -> Tensor:
    """Average the first 7 channels of feature maps (N, C, H, W) to at most 8 x 8 cells, as rows.

    sFID compares seven channels of a feature map (Nash et al. 2021, arXiv 2103.03841), namely of
    Inception-v3's mixed_6/conv, 17 x 17. This function is for all other networks; the limit on the
    number of cells keeps the covariance small.
    """
    cells = min(maps.shape[2], SPATIAL_GRID), min(maps.shape[3], SPATIAL_GRID)
    return F.adaptive_avg_pool2d(maps[:, :SPATIAL_CHANNELS], cells).flatten(1)


def prepare(images: Tensor, size: int, mean: Tensor, std: Tensor) -> Tensor:
    """uint8 (N, H, W, 3) -> float32 (N, 3, size, size): bicubic with antialiasing, then normalised."""
    pixels = images.permute(0, 3, 1, 2).to(torch.float32) / 255
    if pixels.shape[-2:] != (size, size):
        pixels = F.interpolate(pixels, (size, size), mode="bicubic", antialias=True)
    return (pixels - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)


def normalised(size: int, mean: Sequence[float], std: Sequence[float]) -> Prepare:
    """Return a function that applies `prepare` with this size, mean and standard deviation."""
    moments = torch.tensor([list(mean), list(std)])
    return lambda images: prepare(images, size, *moments.to(images.device))


def channels_first(images: Tensor) -> Tensor:
    """uint8 (N, H, W, 3) -> uint8 (N, 3, H, W), for a network with its own preprocessing."""
    return images.permute(0, 3, 1, 2)


class Extractor:
    """A frozen network that maps uint8 images to features.

    Attributes:
        name: the extractor's file in config/models.
        width: number of features per image.
        classes: number of logits per image; None if the network has no classes.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        forward: Forward,
        width: int,
        classes: int | None,
        prepare: Prepare,
    ):
        self.name, self.width, self.classes = name, width, classes
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        network.to(self._device)
        self._forward, self._prepare = forward, prepare

    @torch.inference_mode()
    def __call__(self, images: np.ndarray) -> Output:
        """Compute the output for uint8 images (n, H, W, 3), as float32 numpy arrays."""
        output = self._said(np.array(images))
        return Output(*map(_array, (output.features, output.logits, output.spatial)))

    @torch.inference_mode()
    def in_network_batches(self, images: np.ndarray) -> Output:
        """Compute the output in batches of `NETWORK_BATCH` images, the last one padded with black.

        If a set is passed in several calls, the result does not depend on their sizes as long as all but
        the last are multiples of `NETWORK_BATCH`.
        """
        count = len(images)
        missing = rounded_up(count) - count
        padded = np.pad(images, ((0, missing), (0, 0), (0, 0), (0, 0))) if missing else images
        # a GPU queues the forward passes; only _array waits for them
        said = [self._said(part) for part in np.split(padded, len(padded) // NETWORK_BATCH)]
        parts = zip(*((s.features, s.logits, s.spatial) for s in said), strict=True)
        return Output(*(None if p[0] is None else _array(torch.cat(p)[:count]) for p in parts))

    def _said(self, images: np.ndarray) -> Output:
        return self._forward(self._prepare(torch.from_numpy(images).to(self._device)))


def rounded_up(count: int) -> int:
    """Round up to the next multiple of `NETWORK_BATCH`."""
    return -(-count // NETWORK_BATCH) * NETWORK_BATCH


def _array(values: Tensor | None) -> np.ndarray | None:
    return None if values is None else values.float().cpu().numpy()


def pooled(network: LibraryNetwork, features: Tensor) -> Tensor:
    """Pool the output of a timm network's ``forward_features`` to one vector per image.

    Feature maps (N, C, H, W) are averaged over space. Tokens (N, T, C) are pooled by the network's
    attention pool if it has one; otherwise the class token is used.
    """
    if features.ndim == 4:
        return features.mean((2, 3))
    if getattr(network, "attn_pool", None) is not None:
        return network.attn_pool(features)
    return features[:, 0]


def _of_timm(network: LibraryNetwork, bf16: bool) -> Forward:
    """Return a forward pass; with ``bf16`` a GPU computes features, but not the rest, in bfloat16."""

    def forward(pixels: Tensor) -> Output:
        with torch.autocast("cuda", torch.bfloat16, enabled=bf16 and pixels.is_cuda):
            features = network.forward_features(pixels)
        features = features.float()
        logits = network.forward_head(features) if network.num_classes else None
        spatial = spatial_features(features) if features.ndim == 4 else None
        return Output(pooled(network, features), logits, spatial)

    return forward


def _of_inception(network: LibraryNetwork) -> Forward:
    """Return a forward pass with spatial features: mixed_6/conv, the first branch of Mixed_6d."""
    maps: list[Tensor] = []
    network.Mixed_6d.branch1x1.register_forward_hook(lambda module, given, out: maps.append(out))

    def forward(images: Tensor) -> Output:
        maps.clear()
        features, logits = network(images)
        # channels last, as in published moments
        spatial = maps[0][:, :SPATIAL_CHANNELS].permute(0, 2, 3, 1).flatten(1)
        return Output(features, logits, spatial)

    return forward


def _of_small_inception(network: SmallInception) -> Forward:
    def forward(pixels: Tensor) -> Output:
        maps = network.body(pixels)
        return Output(*network.pooled(maps), spatial_features(maps))

    return forward


def load_extractor(folder: Path | str, model: Model) -> Extractor:
    """Load the extractor in ``folder``, of the class in the resolved configuration ``model``.

    Raises UserError for a missing or damaged folder and for a class that cannot be loaded.
    """
    folder, kind, name = Path(folder), model.model_class, model.name
    config = read_config(folder, SMALL_INCEPTION if kind == SMALL_INCEPTION else None)
    network: LibraryNetwork
    if kind == INCEPTION:
        from nanogen.models import inception

        network = load_weights(inception.InceptionV3(), folder)
        widths = (inception.WIDTH, inception.CLASSES)
        return Extractor(name, network, _of_inception(network), *widths, channels_first)
    if kind == SMALL_INCEPTION:
        network = load_weights(SmallInception(**config["arguments"]), folder)
        forward, width, classes = _of_small_inception(network), network.width, network.classes
    elif timm_networks.is_timm(kind):
        arguments = {**timm_networks.stored_arguments(config), **model.architecture}
        network = load_weights(timm_networks.build(kind, arguments), folder)
        forward, width = _of_timm(network, model.autocast == "bf16"), network.num_features
        classes = network.num_classes or None
    else:
        raise UserError(
            f"extractor {name}: unknown model_class {kind!r}; known are {SMALL_INCEPTION}, "
            f"{INCEPTION} and timm:MODEL"
        )
    # the config of a downloaded timm folder contains its preprocessing
    published = config.get("pretrained_cfg", {})
    size = model.input_size or published.get("input_size", (3, 224, 224))[-1]
    mean, std = published.get("mean", model.image_mean), published.get("std", model.image_std)
    return Extractor(name, network, forward, width, classes, normalised(size, mean, std))
