"""Training targets of the small study's feature extractors.

Each extractor learns a different target, like the networks of the paper that they replace.

| target | replaces | learns |
|---|---|---|
| ``classes`` | Inception | the class of an image |
| ``places`` | ConvNeXt V2 | class and position of the first object; class and rotation of photographs |
| ``views`` | DINOv2 | that two crops show the same image, without labels |
| ``pixels`` | MAE | the image, from half of its patches |
| ``captions`` | SigLIP | which caption belongs to which image |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nanogen.data.images import ImageFile
from nanogen.errors import UserError, nearest
from nanogen.small_networks.training import psnr

TURNS = 4
PLACE_WEIGHT = 1.0
SMALLEST_CROP = 0.6  # fraction of the side; smaller crops of some scenes show no object
VIEW_WIDTH = 64
HIDDEN = 0.5  # fraction of the 16 patches; MAE hides 0.75 of 196
PATCH = 8
CELLS = 8  # per side of the averaged image that is reconstructed
CAPTION_WIDTH = 64

Fed = Callable[[np.ndarray, Tensor, torch.Generator], np.ndarray]


def _as_it_is(images: np.ndarray, rows: Tensor, generator: torch.Generator) -> np.ndarray:
    return images


@dataclass(frozen=True)
class Target:
    """A training target for the images of one file.

    Attributes:
        outputs: number of outputs per input image.
        classes: how many of the first outputs are class logits; their layer is saved, so that the
            network is a classifier.
        loss: (outputs (B, n), rows (B,)) -> scalar.
        quality: (outputs (B, n), rows (B,)) -> measures by name, means over the images.
        fed: (images uint8 (B, H, W, 3), rows (B,), generator) -> the input images of the network.
        learned: a module that is trained together with the network, and not saved.
    """

    outputs: int
    loss: Callable[[Tensor, Tensor], Tensor]
    quality: Callable[[Tensor, Tensor], dict[str, float]]
    fed: Fed = _as_it_is
    classes: int = 0
    learned: nn.Module = field(default_factory=nn.Module)


def target_of(name: str, data: ImageFile, learned: nn.Module | None = None) -> Target:
    """Build the target ``name``, one of the table in the module's docstring, for the images of ``data``.

    ``learned`` is the trained module of the same target for the training images, with which held-out
    images are evaluated. Raises UserError for an unknown name.
    """
    if name not in TARGETS:
        raise UserError(f"an extractor cannot learn {name!r}{nearest(name, TARGETS)}")
    return TARGETS[name](data, learned)


def _accuracy(logits: Tensor, labels: Tensor) -> float:
    return float((logits.argmax(1) == labels).float().mean())


def _classes(data: ImageFile, _: nn.Module | None) -> Target:
    labels, classes = torch.from_numpy(data.labels), len(data.classes)
    return Target(
        classes,
        lambda out, rows: F.cross_entropy(out, labels[rows]),
        lambda out, rows: {"accuracy": _accuracy(out, labels[rows])},
        classes=classes,
    )


def _places(data: ImageFile, learned: nn.Module | None) -> Target:
    """Predict the class, and the box (x0, y0, x1, y1) of the first object as fractions of the side."""
    if data.objects is None:
        return _turns(data)
    labels, classes, side = torch.from_numpy(data.labels), len(data.classes), data.images.shape[2]
    boxes = torch.tensor([objects[0]["box"] for objects in data.objects], dtype=torch.float32) / side

    def loss(out: Tensor, rows: Tensor) -> Tensor:
        place = F.smooth_l1_loss(out[:, classes:], boxes[rows], beta=0.05)
        return F.cross_entropy(out[:, :classes], labels[rows]) + PLACE_WEIGHT * place

    def quality(out: Tensor, rows: Tensor) -> dict[str, float]:
        error = (out[:, classes:] - boxes[rows]).abs().mean() * side
        return {"accuracy": _accuracy(out[:, :classes], labels[rows]), "box_error_pixels": float(error)}

    return Target(classes + 4, loss, quality, classes=classes)


def _turns(data: ImageFile) -> Target:
    """Predict the class of a photograph, and by how many quarter turns a copy of it is rotated.

    Image i is always rotated by i modulo 4 quarter turns (Gidaris et al. 2018, arXiv 1803.07728).
    """
    turns, labels = torch.arange(len(data)) % TURNS, torch.from_numpy(data.labels)
    classes = len(data.classes)

    def twice(images: np.ndarray, rows: Tensor, generator: torch.Generator) -> np.ndarray:
        turned = [np.rot90(x, k) for x, k in zip(images, turns[rows].tolist(), strict=True)]
        return np.concatenate([images, np.stack(turned)])

    def said(out: Tensor) -> tuple[Tensor, Tensor]:
        """Return the class logits of the upright images and the rotation logits of the others."""
        upright, turned = out.chunk(2)
        return upright[:, :classes], turned[:, classes:]

    def loss(out: Tensor, rows: Tensor) -> Tensor:
        shown, rotation = said(out)
        return F.cross_entropy(shown, labels[rows]) + F.cross_entropy(rotation, turns[rows])

    def quality(out: Tensor, rows: Tensor) -> dict[str, float]:
        shown, rotation = said(out)
        return {
            "accuracy": _accuracy(shown, labels[rows]),
            "rotation_accuracy": _accuracy(rotation, turns[rows]),
        }

    return Target(classes + TURNS, loss, quality, twice, classes)


def view(images: np.ndarray, generator: torch.Generator) -> np.ndarray:
    """Take a random square crop of images, uint8 (B, H, W, 3), resize it, and change its brightness."""
    count, side = images.shape[:2]
    share, left, top, light = torch.rand(4, count, generator=generator).double().numpy()
    size = SMALLEST_CROP + (1 - SMALLEST_CROP) * share
    grid = (np.arange(side) + 0.5) / side
    columns, rows = (  # (B, side), the nearest pixel to each point of the crop
        ((start * (1 - size))[:, None] + size[:, None] * grid) * side for start in (left, top)
    )
    image = np.arange(count)[:, None, None]
    crops = images[image, rows.astype(int)[:, :, None], columns.astype(int)[:, None, :]]
    return np.clip(crops * (0.8 + 0.4 * light)[:, None, None, None], 0, 255).astype(np.uint8)


def _views(data: ImageFile, _: nn.Module | None) -> Target:
    """Make the outputs of two views agree, and vary between images in every dimension.

    This is VICReg with its published weights (Bardes et al. 2022, arXiv 2105.04906). Like DINOv2 it
    needs no labels, but it is simpler.
    """

    def two_views(images: np.ndarray, rows: Tensor, generator: torch.Generator) -> np.ndarray:
        return np.concatenate([view(images, generator), view(images, generator)])

    def loss(out: Tensor, rows: Tensor) -> Tensor:
        one, other = out.chunk(2)
        apart = sum(F.relu(1 - (part.var(0) + 1e-4).sqrt()).mean() for part in (one, other))
        cross = sum(part.T.cov().fill_diagonal_(0).square().sum() for part in (one, other))
        return 25 * F.mse_loss(one, other) + 12.5 * apart + cross / out.shape[1]

    def quality(out: Tensor, rows: Tensor) -> dict[str, float]:
        one, other = out.chunk(2)
        nearest_view = torch.cdist(one, other).argmin(1)
        return {"view_found": float((nearest_view == torch.arange(len(rows))).float().mean())}

    return Target(VIEW_WIDTH, loss, quality, two_views)


def _pixels(data: ImageFile, _: nn.Module | None) -> Target:
    """Predict the image, averaged over cells, in [-1, 1], from a copy with grey patches."""
    shape = (CELLS, CELLS)

    def hidden(images: np.ndarray, rows: Tensor, generator: torch.Generator) -> np.ndarray:
        patches = images.shape[1] // PATCH
        order = torch.rand(len(images), patches**2, generator=generator).argsort(1).argsort(1)
        mask = (order < round(HIDDEN * patches**2)).view(-1, patches, patches).numpy()
        pixels = mask.repeat(PATCH, 1).repeat(PATCH, 2)[..., None]
        return np.where(pixels, np.uint8(128), images)

    def error(out: Tensor, rows: Tensor) -> Tensor:
        """Return the mean squared errors (B,)."""
        images = torch.from_numpy(np.array(data.images[rows.numpy()])).permute(0, 3, 1, 2).float()
        cells = F.adaptive_avg_pool2d(images / 127.5 - 1, shape).flatten(1)
        return (out - cells).square().mean(1)

    return Target(
        3 * CELLS**2,
        lambda out, rows: error(out, rows).mean(),
        lambda out, rows: {"masked_psnr": psnr(float(error(out, rows).mean()))},
        hidden,
    )


class _Texts(nn.Module):
    """Sums of learned word vectors (T, width), and a scale and shift of their agreement with images."""

    def __init__(self, texts: list[str]):
        super().__init__()
        self.numbers = {word: n for n, word in enumerate(sorted({w for t in texts for w in t.split()}))}
        self.words = nn.EmbeddingBag(len(self.numbers), CAPTION_WIDTH, mode="sum")
        self.scale, self.shift = nn.Parameter(torch.tensor(10.0)), nn.Parameter(torch.tensor(-5.0))

    def forward(self, texts: list[str]) -> Tensor:
        known = [[self.numbers[w] for w in text.split() if w in self.numbers] for text in texts]
        starts = np.cumsum([0, *map(len, known)])[:-1]
        return self.words(torch.tensor([n for text in known for n in text]), torch.tensor(starts))


def _captions(data: ImageFile, learned: nn.Module | None) -> Target:
    """Classify every pair of image and caption in a batch as matching or not.

    This is SigLIP (Zhai et al. 2023, arXiv 2303.15343); a caption matches all of its images.
    """
    captions = data.captions("dense")
    texts = learned if isinstance(learned, _Texts) else _Texts(captions)

    def agreement(out: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, T) of images and the T distinct captions in a batch, and true matches."""
        said = [captions[row] for row in rows.tolist()]
        different = sorted(set(said))
        own = torch.tensor([different.index(text) for text in said])
        cosine = F.normalize(out, dim=1) @ F.normalize(texts(different), dim=1).T
        return texts.scale * cosine + texts.shift, own

    def loss(out: Tensor, rows: Tensor) -> Tensor:
        logits, own = agreement(out, rows)
        sign = 2 * F.one_hot(own, logits.shape[1]) - 1
        return -F.logsigmoid(sign * logits).sum(1).mean()

    def quality(out: Tensor, rows: Tensor) -> dict[str, float]:
        return {"caption_found": _accuracy(*agreement(out, rows))}

    return Target(CAPTION_WIDTH, loss, quality, learned=texts)


TARGETS = {
    "classes": _classes,
    "places": _places,
    "views": _views,
    "pixels": _pixels,
    "captions": _captions,
}
