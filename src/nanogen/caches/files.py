"""Read caches of latents, text features and vision features, which replace encoding in training.

All are contiguous arrays, so that opening one is fast and a batch is a single gather. Only numpy and
h5py are imported, so that training from caches starts fast.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from nanogen.caches import shards
from nanogen.caches.shards import LATENTS, TEXT
from nanogen.data import hdf5
from nanogen.data.rows import Rows
from nanogen.errors import UserError

VISION = ("vision", 1)
VISION_PARTS = {"cls": 2, "patches": 4}  # name of the dataset -> its dimensions


def _stored(path: Path, ok: bool, what: str) -> None:
    if not ok:
        raise UserError(f"{path} is damaged: {what}; delete it and make it again")


class LatentFile:
    """The latents of a data set, encoded by one tokenizer, in one file or in joined shards.

    Attributes:
        latents: float16 (N, C, H, W), normalised for the backbone; read when indexed.
        labels: int64 (N,), in memory.

    Raises:
        UserError: the file or a shard is missing, truncated or made with another configuration.
    """

    def __init__(self, path: Path | str, hash: str | None = None):
        self.path = Path(path)
        with hdf5.opened(self.path, *LATENTS, hash) as file:
            for name in ("latents", "labels"):
                _stored(self.path, name in file, f"it has no {name!r}")
            self.latents = Rows(shards.parts(file, str(file.attrs["hash"])))
            self.labels: np.ndarray = file["labels"][:]
            self.tokenizer = str(file.attrs["tokenizer"])
            self.tokenizer_hash = str(file.attrs["tokenizer_hash"])
        _stored(self.path, self.latents.ndim == 4, "its latents are not (N, C, H, W)")
        _stored(
            self.path, len(self.labels) == len(self.latents), "it does not have one label per latent"
        )

    def __len__(self) -> int:
        return len(self.latents)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, rows, columns) of one latent."""
        _, channels, rows, columns = self.latents.shape
        return channels, rows, columns


class VisionFile:
    """Features of a data set from a frozen vision encoder: class tokens or patch tokens.

    Attributes:
        part: ``cls`` or ``patches``.
        features: float16, class tokens (N, Z) or patch tokens (N, W, h, w); read when indexed.
        labels: int64 (N,), in memory.

    Raises:
        UserError: the file is missing, truncated or made with another configuration.
    """

    def __init__(self, path: Path | str, part: str, hash: str | None = None):
        self.path, self.part = Path(path), part
        with hdf5.opened(self.path, *VISION, hash) as file:
            for name in (part, "labels"):
                _stored(self.path, name in file, f"it has no {name!r}")
            self.features = Rows([hdf5.stored(file, part)])
            self.labels: np.ndarray = file["labels"][:]
            self.encoder = str(file.attrs["encoder"])
        _stored(
            self.path,
            self.features.ndim == VISION_PARTS[part],
            f"its {part} have {self.features.ndim} dimensions",
        )
        _stored(
            self.path, len(self.labels) == len(self.features), "it does not have one label per image"
        )

    def __len__(self) -> int:
        return len(self.features)


class TextFile:
    """The text features of captions or prompts, one row per token.

    Attributes:
        features: float16 (T, width), the tokens of all texts in sequence; read when indexed.
        offsets: int64 (D + 1,), the first row of each of the D stored texts.
        places: int64 (N * K,), the index of the stored text; entry ``i * K + k`` is kind k of item i.
        kinds: names of the K kinds of captions, e.g. ``["short", "dense"]``.
        width: number of features per token.

    Raises:
        UserError: the file is missing, truncated or made with another configuration.
    """

    def __init__(self, path: Path | str, hash: str | None = None):
        self.path = Path(path)
        with hdf5.opened(self.path, *TEXT, hash) as file:
            for name in ("tokens", "offsets"):
                _stored(self.path, name in file, f"it has no {name!r}")
            hash_ = str(file.attrs["hash"])
            self.features = Rows(shards.parts(file, hash_, "tokens", shards.TEXT_SHARD))
            self.offsets: np.ndarray = file["offsets"][:]
            self.places = shards.text_places(file)
            self.kinds: list[str] = json.loads(file.attrs["kinds"])
            self.width = int(file.attrs["width"])
        _stored(
            self.path,
            self.offsets[-1] == len(self.features)
            and len(self.places) % len(self.kinds) == 0
            and self.places.max(initial=-1) < len(self.offsets) - 1,
            "its offsets do not fit its tokens",
        )

    def __len__(self) -> int:
        return len(self.places) // len(self.kinds)

    @cached_property
    def lengths(self) -> np.ndarray:
        """The number of tokens of every text, int64 (N, K)."""
        return np.diff(self.offsets)[self.places].reshape(len(self), len(self.kinds))

    def kind(self, name: str) -> int:
        """Return the index of a kind of caption; raise UserError if the file does not contain it."""
        if name not in self.kinds:
            raise UserError(f"{self.path} holds captions {', '.join(self.kinds)}, not {name!r}")
        return self.kinds.index(name)

    def tokens(self, i: int, k: int = 0) -> np.ndarray:
        """Return the tokens of kind k of item i, float16 (L, width)."""
        text = self.places[i * len(self.kinds) + k]
        return self.features[self.offsets[text] : self.offsets[text + 1]]

    def batch(
        self, rows: Sequence[int] | np.ndarray, kinds: int | Sequence[int] | np.ndarray = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Gather texts, padded on the right with zeros to the longest of them.

        Args:
            rows: items, (B,).
            kinds: kind of caption, one for all or one per item, (B,).

        Returns:
            float16 (B, L, width), and bool (B, L), which is true for tokens and false for padding. L is
            0 if all texts are empty, like the null prompt.
        """
        texts = self.places[np.asarray(rows, np.int64) * len(self.kinds) + np.asarray(kinds, np.int64)]
        starts, lengths = self.offsets[texts], self.offsets[texts + 1] - self.offsets[texts]
        positions = np.arange(lengths.max(initial=0))
        mask = positions < lengths[:, None]
        padded = np.zeros((*mask.shape, self.width), self.features.dtype)
        padded[mask] = self.features[(starts[:, None] + positions)[mask]]
        return padded, mask
