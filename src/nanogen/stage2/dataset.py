"""Training data by index: latents or pixels, labels or text features, features of a frozen encoder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nanogen.backbones.embeddings import Condition
from nanogen.caches.files import LatentFile, TextFile, VisionFile
from nanogen.config.schema import Conditioner
from nanogen.config.train_stage import TrainStage
from nanogen.data.images import ImageFile
from nanogen.data.rows import WindowedRows
from nanogen.errors import UserError
from nanogen.objectives.repa import on_grid
from nanogen.stage2.encoded import Encoded, EncodedText


class Latents:
    """Cached latents, float16 on disk."""

    def __init__(self, path: Path, hash_: str):
        file = LatentFile(path, hash_)
        self.labels, self.shape = file.labels, file.shape
        self.latents = WindowedRows(file.latents)

    def __len__(self) -> int:
        return len(self.labels)

    def ahead(self, windows: Mapping[int, np.ndarray]) -> None:
        self.latents.ahead(windows)

    def load(self, rows: np.ndarray) -> Tensor:
        """Return normalised latents, float32 (B, C, H, W)."""
        return torch.from_numpy(self.latents[rows]).float()


class Pixels:
    """Images, for methods without a tokenizer."""

    def __init__(self, path: Path, hash_: str):
        file = ImageFile(path, hash_)
        self.labels, self.images = file.labels, WindowedRows(file.rows())
        _, height, width, channels = self.images.rows.shape
        self.shape = (channels, height, width)

    def __len__(self) -> int:
        return len(self.labels)

    def ahead(self, windows: Mapping[int, np.ndarray]) -> None:
        self.images.ahead(windows)

    def load(self, rows: np.ndarray) -> Tensor:
        """Return pixels, float32 (B, 3, H, W) in [-1, 1]."""
        images = torch.from_numpy(self.images[rows])
        return images.permute(0, 3, 1, 2).float().div_(127.5).sub_(1).contiguous()


class Labelled:
    """Conditions from class labels."""

    def __init__(self, labels: np.ndarray, classes: int):
        if labels.max() >= classes:
            raise UserError(f"the data has label {labels.max()}, but conditioner.classes is {classes}")
        self.labels = labels

    def load(self, rows: np.ndarray, draws: np.ndarray) -> Condition:
        return Condition(labels=torch.from_numpy(self.labels[rows]))


class Captioned:
    """Conditions from cached text features; the kind of caption is drawn for each sample."""

    def __init__(self, path: Path, hash_: str, conditioner: Conditioner):
        self.file = TextFile(path, hash_)
        self.kinds = np.array([self.file.kind(name) for name in conditioner.captions])
        self.tokens = conditioner.tokens

    def __len__(self) -> int:
        return len(self.file)

    def load(self, rows: np.ndarray, draws: np.ndarray) -> Condition:
        kinds = self.kinds[(draws * len(self.kinds)).astype(int)]
        return Condition.from_text(*self.file.batch(rows, kinds), self.tokens)


class Features:
    """Cached features of a frozen vision encoder, float16 on disk."""

    def __init__(self, path: Path, hash_: str, part: str, labels: np.ndarray):
        file = VisionFile(path, part, hash_)
        if not np.array_equal(file.labels, labels):
            raise UserError(
                f"{path} holds features of other images than the training data; make it again from the "
                "same data"
            )
        self.features = WindowedRows(file.features)

    def ahead(self, windows: Mapping[int, np.ndarray]) -> None:
        self.features.ahead(windows)

    def load(self, rows: np.ndarray) -> Tensor:
        """Return features, float32 (B, ...)."""
        return torch.from_numpy(self.features[rows]).float()


class TrainingData:
    """Images and conditions of one run; see ``nanogen.stage2.batches.Dataset``.

    Args:
        latents: the file of latents; not needed with ``encoded`` or by a method on pixels.
        data: the file of images, for a method on pixels.
        text: the file of text features; not needed with ``captions`` or class labels.
        cls: the file of class tokens, if the stage expects one.
        patches: the file of patch tokens, if the stage expects one.
        encoded: encodes images during training; replaces ``latents``.
        captions: encodes captions during training; replaces ``text``.

    Raises:
        UserError: a file is missing, was made by another configuration, or does not fit the others.
    """

    def __init__(
        self,
        stage: TrainStage,
        latents: Path | None,
        data: Path | None,
        text: Path | None,
        cls: Path | None = None,
        patches: Path | None = None,
        encoded: Encoded | None = None,
        captions: EncodedText | None = None,
    ):
        expects, conditioner = stage.expects, stage.conditioner
        self.images: Latents | Pixels | Encoded
        self.conditions: Labelled | Captioned | EncodedText
        if stage.pixels:
            self.images = Pixels(_given(data, "--data"), expects["data"])
        elif encoded:
            self.images = encoded
        else:
            self.images = Latents(_given(latents, "--latents"), expects["latents"])
        if self.images.shape != stage.latent:
            raise UserError(
                f"{latents or data} holds {self.images.shape} per image, the configuration says "
                f"{stage.latent}; give the file of the same study"
            )
        if conditioner.kind == "label":
            assert conditioner.classes is not None
            self.conditions = Labelled(self.images.labels, conditioner.classes)
        else:
            path = data if captions else _given(text, "--text")
            self.conditions = captions or Captioned(_given(text, "--text"), expects["text"], conditioner)
            if len(self.conditions) != len(self.images):
                raise UserError(
                    f"{path} holds captions of {len(self.conditions)} images, but "
                    f"{latents or data} holds {len(self.images)}; give files made from the same data"
                )
        self.added = {
            part: Features(_given(path, f"--{part}"), expects[part], part, self.images.labels)
            for part, path in (("cls", cls), ("patches", patches))
            if part in expects
        }
        patch, (_, rows, columns) = stage.backbone.patch, stage.latent
        self.grid = (rows // patch, columns // patch)

    def __len__(self) -> int:
        return len(self.images)

    def load(self, rows: np.ndarray, draws: np.ndarray) -> tuple[Tensor, Condition]:
        return self.images.load(rows), self.conditions.load(rows, draws)

    def features(self, rows: np.ndarray) -> dict[str, Tensor]:
        found = {part: features.load(rows) for part, features in self.added.items()}
        if "patches" in found:
            found["patches"] = on_grid(found["patches"], *self.grid)
        return found

    def ahead(self, windows: Mapping[int, np.ndarray]) -> None:
        """Read the rows of these windows in the background (``nanogen.data.rows.WindowedRows``)."""
        parts: list[Latents | Pixels | Encoded | Features] = [self.images, *self.added.values()]
        for part in parts:
            part.ahead(windows)


def _given(path: Path | None, option: str) -> Path:
    if path is None:
        raise UserError(f"this run needs {option} FILE")
    return path
