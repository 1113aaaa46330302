"""Vision encoders by name, from config/encoders.yaml, with the keys of a file in config/models.

``FAMILY-SIZE`` is an encoder. ``FAMILY-SIZE-multi`` is the same encoder with the features of four
blocks, if its family has them. ``rae-NAME`` is a representation autoencoder on the encoder ``NAME``.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from pydantic import Field

from nanogen.config.section import Section
from nanogen.config.validation import Layer, merged, validate
from nanogen.config.yaml_files import CONFIG, available, named, read_yaml, unknown

FILE = CONFIG / "encoders.yaml"
RAE, MULTI = "rae-", "-multi"
SIDE = 16  # patches of an image of 256 pixels, on each side
NANO_SIZE, NANO_PATCH = 32, 8
# RAEv2's blocks (from 1) for each number of blocks: the ends of the four quarters of the network.
QUARTERS = {
    12: [3, 6, 9, 12],
    24: [6, 12, 18, 24],
    27: [6, 13, 20, 27],
    32: [9, 17, 25, 32],
    40: [11, 21, 31, 40],
}
NANO_QUARTERS = [1, 2, 3, 4]


class Summary(Section):
    """How a family's features of several blocks are combined."""

    summary: bool = Field(description="add the mean over the last block's patches")


class Encoder(Section):
    """A published encoder: its entry in config/encoders.yaml with the keys of its family."""

    title: str
    model_class: str
    licence: str
    gated: bool = False
    image_mean: tuple[float, float, float]
    image_std: tuple[float, float, float]
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    last_norm: Literal["plain", "learned", "none"]
    positions: Literal["bicubic", "bilinear"] | None = None
    patch: int = Field(gt=0)
    trained: int | None = Field(gt=0)
    multilayer: Summary | None = None
    repo: str
    width: int = Field(gt=0)
    depth: int = Field(gt=0)
    size_mb: float = Field(ge=0)
    nano: dict[str, Any]

    @property
    def input_size(self) -> int:
        """Side of the encoder's input in pixels, for an image of 256 x 256."""
        return SIDE * min(self.patch, SIDE)

    @property
    def rows(self) -> int:
        return self.input_size // self.patch

    @property
    def nano_width(self) -> int:
        keys = self.nano["architecture"]
        return int(keys.get("hidden_size") or keys["embed_dim"])


@cache
def encoders() -> dict[str, Encoder]:
    """Return every published encoder by name, without the ``-multi`` variants."""
    found = {}
    for family, keys in read_yaml(FILE)["families"].items():
        shared = {key: value for key, value in keys.items() if key != "sizes"}
        for size, own in keys["sizes"].items():
            layers = [
                Layer(f"{FILE.name} ({family})", shared),
                Layer(f"{FILE.name} ({family}: {size})", own),
            ]
            found[f"{family}-{size}"] = validate(Encoder, layers)
    return found


@cache
def names() -> list[str]:
    """Return the names of all models, from the files and from this registry."""
    single = [*encoders(), *(f"{name}{MULTI}" for name, each in encoders().items() if each.multilayer)]
    return [*available("models"), *single, *(f"{RAE}{name}" for name in single)]


def model(name: str) -> Layer:
    """Return a model's keys, from its file or the registry; raises UserError for an unknown name."""
    if name in available("models"):
        return named("models", name)
    if name not in names():
        raise unknown("models", name, names())
    where = f"config/encoders.yaml ({name})"
    if name.startswith(RAE):
        return Layer(where, _autoencoder(name.removeprefix(RAE)))
    return Layer(where, _encoder(name))


def licences() -> dict[str, str]:
    """Licence of every encoder, by its repository."""
    return {each.repo: each.licence for each in encoders().values()}


def _encoder(name: str) -> dict[str, Any]:
    found = encoders()[name.removesuffix(MULTI)]
    keys: dict[str, Any] = {
        "kind": "encoder",
        **found.model_dump(
            include={"model_class", "image_mean", "image_std", "interpolation", "last_norm"}
        ),
    }
    paper: dict[str, Any] = {
        "source": "download",
        "hub": {"repo": found.repo, "size_mb": found.size_mb, "gated": found.gated},
        "input_size": found.input_size,
        "width": found.width,
    }
    nano = {"input_size": NANO_SIZE, "width": found.nano_width, "data": "pretraining"}
    if found.positions:
        keys["positions"] = found.positions
    if name.endswith(MULTI):
        assert found.multilayer is not None
        paper["multilayer"] = {"blocks": QUARTERS[found.depth], **found.multilayer.model_dump()}
        nano["multilayer"] = {"blocks": NANO_QUARTERS, **found.multilayer.model_dump()}
    training = {"steps": 500, "batch_size": 64, "learning_rate": 8.0e-4}
    return {**keys, "scales": {"paper": paper, "nano": merged({"training": training}, nano, found.nano)}}


def _autoencoder(name: str) -> dict[str, Any]:
    found, nano_rows = encoders()[name.removesuffix(MULTI)], NANO_SIZE // NANO_PATCH
    latents = {
        "paper": {"latent": [found.width, found.rows, found.rows]},
        "nano": {"latent": [found.nano_width, nano_rows, nano_rows]},
    }
    return {
        "kind": "rae",
        "model_class": "nanogen.RAE",
        "recipe": "rae",
        "encoder": name,
        "scales": latents,
    }
