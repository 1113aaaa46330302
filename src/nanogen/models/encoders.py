"""Frozen vision encoders, which map images to a grid of patch features."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nanogen.config.model_schema import Model, MultiLayer
from nanogen.config.section import read
from nanogen.errors import UserError
from nanogen.files import read_json, write_json
from nanogen.models import timm_networks
from nanogen.models.card import CARD, read_card
from nanogen.models.initialisation import checked
from nanogen.models.loading import LibraryNetwork, load_network, network_class, save_network
from nanogen.models.transformer_parts import TRANSFORMERS, TransformerParts
from nanogen.text import one_line

PREPROCESSING = "preprocessing.json"
MODEL = "model.json"  # in a copy: the keys of the encoder's configuration

# Used for classes with these keys: small networks do not start to learn with the defaults of large ones.
STARTING = {"layerscale_value": 1.0, "initializer_range": 0.1}


@dataclass(frozen=True)
class Preprocessing:
    """The preprocessing of an encoder: ``(image - mean) / std`` of images in [0, 1], then resizing.

    Attributes:
        size: side of the encoder's square input, in pixels.
        mean, std: per channel, for images in [0, 1].
        interpolation: a mode of `torch.nn.functional.interpolate`.
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bicubic"

    def __call__(self, images: Tensor) -> Tensor:
        """Map uint8 images (N, H, W, 3) to float (N, 3, size, size), resized without antialiasing."""
        return self.unit(images.permute(0, 3, 1, 2).to(torch.get_default_dtype()) / 255)

    def signed(self, images: Tensor) -> Tensor:
        """Map float images (N, 3, H, W) in [-1, 1] to (N, 3, size, size), differentiably."""
        return self.unit((images + 1) / 2)

    def unit(self, images: Tensor) -> Tensor:
        """Map float images (N, 3, H, W) in [0, 1] to (N, 3, size, size)."""
        mean, std = (images.new_tensor(v).view(1, 3, 1, 1) for v in (self.mean, self.std))
        return self.resize((images - mean) / std)

    def resize(self, images: Tensor) -> Tensor:
        """Resize float images (N, 3, H, W) to (N, 3, size, size)."""
        if images.shape[-2:] == (self.size, self.size):
            return images
        return F.interpolate(images, (self.size, self.size), mode=self.interpolation, antialias=False)

    @classmethod
    def of(cls, model: Model) -> Preprocessing:
        """Return the preprocessing that a resolved model configuration describes."""
        size = model.required("input_size")
        return cls(size, model.image_mean, model.image_std, model.interpolation)

    @classmethod
    def read(cls, folder: Path) -> Preprocessing:
        keys = read_json(folder / PREPROCESSING)
        return cls(**{**keys, "mean": tuple(keys["mean"]), "std": tuple(keys["std"])})

    def write(self, folder: Path) -> None:
        write_json(folder / PREPROCESSING, asdict(self))


class VisionEncoder(nn.Module):
    """A frozen encoder whose tokens equal those of the authors' code.

    The authors' code rarely applies the last norm as the library does; see `TransformerParts.last`.

    Args:
        network: a network of transformers or timm.
        preprocessing: converts images to the network's input.
        last_norm, multilayer: as in `Model`.

    Raises:
        UserError: ``multilayer`` names blocks that the network does not have.
    """

    def __init__(
        self,
        network: LibraryNetwork,
        preprocessing: Preprocessing,
        last_norm: str | None = None,
        multilayer: MultiLayer | None = None,
    ):
        super().__init__()
        self.network = network
        self.preprocessing = preprocessing
        self.multilayer = multilayer
        self.parts = TransformerParts.of(network)
        self.parts.end(last_norm)
        if multilayer and max(multilayer.blocks) > self.parts.depth:
            raise UserError(
                f"multilayer.blocks {multilayer.blocks}: the encoder has {self.parts.depth} blocks; "
                f"choose numbers from 1 to {self.parts.depth}"
            )
        self.prefix, self.width = self.parts.prefix, self.parts.width
        self.rows = preprocessing.size // self.parts.patch

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Map uint8 images (N, H, W, 3) to their patch tokens, float (N, C, rows, rows)."""
        pixels = self.preprocessing(images)
        if self.multilayer is None:
            return self.grid(self.parts.tokens(pixels))
        return self._square(self._of_layers(self.multilayer, pixels))

    def _of_layers(self, multilayer: MultiLayer, pixels: Tensor) -> Tensor:
        """Combine the patch tokens of several blocks as RAEv2 does, (N, rows * rows, C)."""
        layers = self.parts.normed(pixels, multilayer.blocks)
        mean = torch.stack(layers).mean(0)
        return mean + layers[-1].mean(1, keepdim=True) if multilayer.summary else mean

    def grid(self, tokens: Tensor) -> Tensor:
        """Arrange the patch tokens among all tokens (N, T, C) as a grid (N, C, rows, rows)."""
        return self._square(tokens[:, self.prefix :])

    def _square(self, patches: Tensor) -> Tensor:
        return patches.transpose(1, 2).unflatten(2, (self.rows, self.rows))


def load_encoder(folder: Path, model: Model | None = None) -> VisionEncoder:
    """Load the encoder in ``folder``.

    Args:
        folder: a model folder, or a folder of transformers or timm.
        model: its resolved configuration. By default the one that `copy_encoder` stored or that of the
            card or, without both, the contents of `config.json` and `preprocessing.json`.

    Raises:
        UserError: a file is missing or damaged, or the class is not known.
    """
    model = model or _stored(folder)
    if model is not None:
        class_name, activation = model.model_class, model.activation
        preprocessing = Preprocessing.of(model)
    else:
        class_name, activation = _own_class(folder), None
        preprocessing = Preprocessing.read(folder)
    last_norm, positions, layers = (
        (model.last_norm, model.positions, model.multilayer) if model else (None, None, None)
    )
    if timm_networks.is_timm(class_name):
        network = timm_networks.load(
            folder,
            class_name,
            preprocessing.size,
            activation,
            positions,
            model.norm_eps if model else None,
        )
        return VisionEncoder(network, preprocessing, last_norm, layers)
    if class_name not in TRANSFORMERS:
        raise UserError(
            f"{folder}: encoders of class {class_name} are not supported; supported are "
            f"{', '.join(TRANSFORMERS)} and timm:MODEL"
        )
    network = load_network(folder, class_name, **TRANSFORMERS[class_name].arguments)
    return VisionEncoder(network, preprocessing, last_norm, layers)


def _stored(folder: Path) -> Model | None:
    """Return the configuration in a copy of an encoder or in the folder's card, if there is one."""
    if (folder / MODEL).exists():
        return read(Model, read_json(folder / MODEL))
    card = read_card(folder)
    return None if card is None else read(Model, card["model"])


def _own_class(folder: Path) -> str:
    """Return the class that ``config.json`` names, in the format of transformers or timm."""
    config = read_json(folder / "config.json")
    if config.get("architectures"):
        return config["architectures"][0]
    if "architecture" in config:
        return timm_networks.PREFIX + config["architecture"]
    raise UserError(f"{folder / 'config.json'} does not name a model class; give the model's own folder")


def copy_encoder(source: Path, model: Model, target: Path) -> None:
    """Copy an encoder of any class from ``source`` to the new folder ``target``, with the ``model`` that
    `load_encoder` needs to load it as it is used."""
    target.mkdir(parents=True)
    for pattern in ("config.json", CARD, "*.safetensors", "*.safetensors.index.json"):
        for file in source.glob(pattern):
            shutil.copyfile(file, target / file.name)
    write_json(target / MODEL, model.model_dump(mode="json", exclude={"path"}))


def build_encoder(model: Model) -> LibraryNetwork:
    """Build an untrained encoder with the configuration's class and architecture.

    Raises UserError if the class cannot be built here, or a key of the architecture is not known or does
    not fit.
    """
    name = model.model_class
    if timm_networks.is_own_class(name):
        return timm_networks.build(name, _timm_arguments(model))
    if name not in TRANSFORMERS:
        raise UserError(
            f"config/models/{model.name}.yaml: {name} cannot be trained here, only "
            f"{', '.join(TRANSFORMERS)}, {timm_networks.EVA} and {timm_networks.VIT}; set its source to "
            "download or path"
        )
    network = network_class(name)
    valid = network.config_class().to_dict()
    keys = checked(model.architecture, valid, model.name)
    starting = {key: value for key, value in STARTING.items() if key in valid}
    try:
        config = network.config_class(**{"image_size": model.input_size, **starting, **keys})
        return network(config, **TRANSFORMERS[name].arguments)
    except Exception as error:  # the classes of the library raise errors of several types
        why = one_line(str(error))
        raise UserError(
            f"config/models/{model.name}.yaml: 'architecture' does not fit {name}: {why}"
        ) from error


def _timm_arguments(model: Model) -> dict[str, Any]:
    return {"img_size": model.input_size, **model.architecture}


def save_encoder(network: LibraryNetwork, model: Model, folder: Path) -> None:
    """Save a network that `build_encoder` built."""
    if timm_networks.is_own_class(model.model_class):
        timm_networks.save(network, _timm_arguments(model), folder)
    else:
        save_network(network, folder)
