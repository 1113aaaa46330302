"""Frozen vision encoders seen as a map from images to a grid of patch features."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nanogen.config.model_schema import Model
from nanogen.config.section import read
from nanogen.errors import UserError
from nanogen.files import read_json, write_json
from nanogen.models import timm_networks
from nanogen.models.card import CARD, read_card
from nanogen.models.initialisation import checked
from nanogen.models.loading import LibraryNetwork, load_network, network_class, save_network

PREPROCESSING = "preprocessing.json"

# What the authors' code leaves of an encoder's last norm (docs/fidelity.md).
PLAIN = "plain"  # without its learned scale and shift, eps 1e-5
LEARNED = "learned"  # as its library has it
NONE = "none"  # not applied


@dataclass(frozen=True)
class Layout:
    """A class of transformers: the name of its last norm, what is left of that norm, and whether class
    and register tokens stand in front."""

    norm: str
    last: str
    prefixed: bool


TRANSFORMERS = {
    "Dinov2WithRegistersModel": Layout("layernorm", PLAIN, prefixed=True),
    "DINOv3ViTModel": Layout("norm", PLAIN, prefixed=True),
    "SiglipVisionModel": Layout("post_layernorm", LEARNED, prefixed=False),
}
# where a class has these keys: a network so narrow does not leave its start with the large one's
STARTING = {"layerscale_value": 1.0, "initializer_range": 0.1}


@dataclass(frozen=True)
class Preprocessing:
    """What an encoder is fed: ``(image - mean) / std`` of images in [0, 1], ``size`` pixels wide."""

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bicubic"

    def __call__(self, images: Tensor) -> Tensor:
        """uint8 (N, H, W, 3) -> float (N, 3, size, size); resized without antialiasing."""
        return self.unit(images.permute(0, 3, 1, 2).to(torch.get_default_dtype()) / 255)

    def signed(self, images: Tensor) -> Tensor:
        """Float (N, 3, H, W) in [-1, 1] -> (N, 3, size, size), differentiable."""
        return self.unit((images + 1) / 2)

    def unit(self, images: Tensor) -> Tensor:
        """Float (N, 3, H, W) in [0, 1] -> (N, 3, size, size)."""
        mean, std = (images.new_tensor(v).view(1, 3, 1, 1) for v in (self.mean, self.std))
        return self.resize((images - mean) / std)

    def resize(self, images: Tensor) -> Tensor:
        """Float (N, 3, H, W) -> (N, 3, size, size)."""
        if images.shape[-2:] == (self.size, self.size):
            return images
        return F.interpolate(images, (self.size, self.size), mode=self.interpolation, antialias=False)

    @classmethod
    def of(cls, model: Model) -> Preprocessing:
        """As a model's resolved configuration says."""
        size = model.required("input_size")
        return cls(size, model.image_mean, model.image_std, model.interpolation)

    @classmethod
    def read(cls, folder: Path) -> Preprocessing:
        keys = read_json(folder / PREPROCESSING)
        return cls(**{**keys, "mean": tuple(keys["mean"]), "std": tuple(keys["std"])})

    def write(self, folder: Path) -> None:
        write_json(folder / PREPROCESSING, asdict(self))


@dataclass(frozen=True)
class TransformerParts:
    """What the classes of vision transformers name differently.

    Attributes:
        tokens: normalised pixels (N, 3, H, W) -> all tokens after the last norm (N, T, width).
        layers: the same pixels and some blocks, counted from 1 -> the patches' tokens after each of
            them, before the last norm, (N, L, width).
        depth: number of blocks.
        prefix: number of class and register tokens, which stand before the patches'.
        width: channels of a token.
        patch: side of a patch in pixels.
        owner, norm: the module that holds the last norm, and the norm's name in it.
        last: what `VisionEncoder` leaves of it.
    """

    tokens: Callable[[Tensor], Tensor]
    layers: Callable[[Tensor, Sequence[int]], list[Tensor]]
    depth: int
    prefix: int
    width: int
    patch: int
    owner: nn.Module
    norm: str
    last: str

    @classmethod
    def of(cls, network: LibraryNetwork) -> TransformerParts:
        if type(network).__name__ in TRANSFORMERS:
            return cls._of_transformers(network)
        return cls(
            tokens=network.forward_features,
            layers=lambda pixels, blocks: network.forward_intermediates(
                pixels, [b - 1 for b in blocks], output_fmt="NLC", intermediates_only=True
            ),
            depth=len(network.blocks),
            prefix=network.num_prefix_tokens,
            width=network.embed_dim,
            patch=network.patch_embed.patch_size[0],
            owner=network,
            norm="norm",
            last=NONE if timm_networks.is_eva(network) else PLAIN,
        )

    @classmethod
    def _of_transformers(cls, network: LibraryNetwork) -> TransformerParts:
        layout = TRANSFORMERS[type(network).__name__]
        owner = network.vision_model if hasattr(network, "vision_model") else network
        config = network.config
        prefix = 1 + int(getattr(config, "num_register_tokens", 0)) if layout.prefixed else 0

        def layers(pixels: Tensor, blocks: Sequence[int]) -> list[Tensor]:
            states = network(pixel_values=pixels, output_hidden_states=True).hidden_states
            return [states[block][:, prefix:] for block in blocks]

        return cls(
            tokens=lambda pixels: network(pixel_values=pixels).last_hidden_state,
            layers=layers,
            depth=int(config.num_hidden_layers),
            prefix=prefix,
            width=int(config.hidden_size),
            patch=int(config.patch_size),
            owner=owner,
            norm=layout.norm,
            last=layout.last,
        )

    def end(self) -> None:
        """Leave of the last norm what the authors' code leaves."""
        if self.last == PLAIN:
            plain = nn.LayerNorm(self.width, eps=1e-5, elementwise_affine=False)
            setattr(self.owner, self.norm, plain)
        elif self.last == NONE:
            setattr(self.owner, self.norm, nn.Identity())


class VisionEncoder(nn.Module):
    """A frozen encoder; its tokens are those of the authors' code, whose last norm is seldom the
    library's (`TransformerParts.last`)."""

    def __init__(self, network: LibraryNetwork, preprocessing: Preprocessing):
        super().__init__()
        self.network = network
        self.preprocessing = preprocessing
        self.parts = TransformerParts.of(network)
        self.parts.end()
        self.prefix, self.width = self.parts.prefix, self.parts.width
        self.rows = preprocessing.size // self.parts.patch

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """uint8 (N, H, W, 3) -> float (N, C, rows, rows): the patch tokens."""
        return self.grid(self.parts.tokens(self.preprocessing(images)))

    def grid(self, tokens: Tensor) -> Tensor:
        """All tokens (N, T, C) -> the patches' (N, C, rows, rows)."""
        patches = tokens[:, self.prefix :]  # (N, rows * rows, C)
        return patches.transpose(1, 2).unflatten(2, (self.rows, self.rows))


def load_encoder(folder: Path, model: Model | None = None) -> VisionEncoder:
    """The encoder in ``folder``.

    Args:
        model: its resolved configuration; where none is given, the one in its card, or what
            `config.json` and `preprocessing.json` say.

    Raises UserError where a file is missing or the class is not known.
    """
    card = read_card(folder)
    if model is None and card is not None:
        model = read(Model, card["model"])
    if model is not None:
        class_name, activation = model.model_class, model.activation
        preprocessing = Preprocessing.of(model)
    else:
        class_name, activation = _own_class(folder), None
        preprocessing = Preprocessing.read(folder)
    if timm_networks.is_timm(class_name):
        network = timm_networks.load(folder, class_name, preprocessing.size, activation)
        return VisionEncoder(network, preprocessing)
    if class_name not in TRANSFORMERS:
        raise UserError(
            f"{folder}: the order of {class_name}'s tokens is not known; known are "
            f"{', '.join(TRANSFORMERS)} and timm:MODEL"
        )
    return VisionEncoder(load_network(folder, class_name), preprocessing)


def _own_class(folder: Path) -> str:
    """The class that ``config.json`` names, as transformers or as timm writes it."""
    config = read_json(folder / "config.json")
    if config.get("architectures"):
        return config["architectures"][0]
    if "architecture" in config:
        return timm_networks.PREFIX + config["architecture"]
    raise UserError(f"{folder / 'config.json'} names no class of networks; give the model's own folder")


def copy_encoder(source: Path, preprocessing: Preprocessing, target: Path) -> None:
    """Copy the files of the encoder in ``source`` to the new folder ``target``, whatever its class."""
    target.mkdir(parents=True)
    for pattern in ("config.json", CARD, "*.safetensors", "*.safetensors.index.json"):
        for file in source.glob(pattern):
            shutil.copyfile(file, target / file.name)
    preprocessing.write(target)


def build_encoder(model: Model) -> LibraryNetwork:
    """An untrained encoder of the configuration's class and architecture."""
    name = model.model_class
    if name == timm_networks.EVA:
        return timm_networks.build(name, _eva_arguments(model))
    if name not in TRANSFORMERS:
        raise UserError(
            f"config/models/{model.name}.yaml: {name} cannot be trained here, only "
            f"{', '.join(TRANSFORMERS)} and {timm_networks.EVA}; set its source to download or path"
        )
    network = network_class(name)
    valid = network.config_class().to_dict()
    keys = checked(model.architecture, valid, model.name)
    starting = {key: value for key, value in STARTING.items() if key in valid}
    return network(network.config_class(**{"image_size": model.input_size, **starting, **keys}))


def _eva_arguments(model: Model) -> dict[str, Any]:
    return {"img_size": model.input_size, **model.architecture}


def save_encoder(network: LibraryNetwork, model: Model, folder: Path) -> None:
    """Write a network that `build_encoder` made."""
    if model.model_class == timm_networks.EVA:
        timm_networks.save(network, _eva_arguments(model), folder)
    else:
        save_network(network, folder)
