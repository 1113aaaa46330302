"""Load networks of transformers and diffusers from local safetensors, without missing weights."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors import SafetensorError
from torch import nn

from nanogen.errors import UserError
from nanogen.files import read_json
from nanogen.weights import check_folder, first_line

# A network of transformers, diffusers or timm; its attributes depend on its class and are not typed.
LibraryNetwork: TypeAlias = Any
# the classes that a model's configuration may name, and their libraries
LIBRARIES = {
    "AutoencoderKL": "diffusers",
    "AutoencoderKLFlux2": "diffusers",
    "AutoencoderKLQwenImage": "diffusers",
    "Dinov2Model": "transformers",
    "Dinov2WithRegistersModel": "transformers",
    "DINOv3ViTModel": "transformers",
    "SiglipVisionModel": "transformers",
    "ViTModel": "transformers",
    "Qwen3Model": "transformers",
    "Mask2FormerForUniversalSegmentation": "transformers",
    "CLIPModel": "transformers",
    "ViltForQuestionAnswering": "transformers",
    "BlipForQuestionAnswering": "transformers",
    "AutoModelForImageTextToText": "transformers",
}
# exceptions of the libraries for a file in a folder that is not as they expect
NOT_LOADED = (OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError, SafetensorError)


def network_class(name: str) -> Any:
    """Return the class ``name``; raise UserError if it is not one of `LIBRARIES`."""
    if name not in LIBRARIES:
        raise UserError(f"model class {name!r} is not supported; supported are {', '.join(LIBRARIES)}")
    return getattr(importlib.import_module(LIBRARIES[name]), name)


def _without_bars(library: str) -> None:
    """Disable a library's progress bars, which it shows even for one small file and in log files."""
    importlib.import_module(f"{library}.utils.logging").disable_progress_bar()


def save_network(network: Any, folder: Path) -> None:
    """Save a network as ``config.json`` and safetensors, without a progress bar."""
    _without_bars(LIBRARIES[type(network).__name__])
    network.save_pretrained(folder, safe_serialization=True)


def load_network(folder: Path | str, class_name: str, **arguments: bool) -> LibraryNetwork:
    """Load a network, frozen, in torch's default type and in evaluation mode.

    Args:
        folder: the network, as ``save_pretrained`` writes it.
        class_name: a class in `LIBRARIES`.
        arguments: further arguments of the class, e.g. ``add_pooling_layer=False``.

    Raises:
        UserError: a file is missing or damaged, the folder contains another class, or weights are
            missing (the libraries would leave such layers at random values).
    """
    folder = Path(folder)
    if not (folder / "config.json").exists():
        raise UserError(f"{folder} holds no {class_name}: there is no config.json")
    if not any(folder.glob("*.safetensors")):
        raise UserError(f"{folder} holds no weights: there is no *.safetensors file")
    check_folder(folder)
    cls = network_class(class_name)
    _check_class(folder, class_name)
    _without_bars(LIBRARIES[class_name])
    try:
        network, report = cls.from_pretrained(
            str(folder),
            output_loading_info=True,
            use_safetensors=True,
            local_files_only=True,
            **arguments,
        )
    except NOT_LOADED as error:
        raise UserError(f"{folder} cannot be loaded as {class_name}: {first_line(error)}") from error
    missing = sorted(map(str, report["missing_keys"]))
    mismatched = sorted(map(str, report.get("mismatched_keys", ())))
    if missing or mismatched:
        raise UserError(
            f"{folder}: weights of {class_name} are missing or of another size: "
            f"{', '.join((missing + mismatched)[:4])}; give the folder the configuration belongs to"
        )
    # diffusers' own `to` prints a warning about modules that stay in float32, which all of them do
    return nn.Module.to(network, torch.get_default_dtype()).eval().requires_grad_(False)


def load_processor(cls: Any, folder: Path) -> Any:
    """Load a tokenizer or image processor of transformers from a network's folder.

    Raises UserError if its files are missing or damaged.
    """
    try:
        return cls.from_pretrained(str(folder), local_files_only=True)
    except NOT_LOADED as error:
        raise UserError(f"{folder} holds no {cls.__name__}: {first_line(error)}") from error


def _check_class(folder: Path, class_name: str) -> None:
    """Raise UserError if the folder's config.json names another family of networks."""
    config = read_json(folder / "config.json")
    if "_class_name" in config:  # diffusers, whose class names have a common beginning
        named, fits = [config["_class_name"]], config["_class_name"] == class_name
    else:
        named = config.get("architectures") or []
        fits = (
            not named
            or class_name.startswith("Auto")  # takes its class from the same key
            or any(_related(str(name), class_name) for name in named)
        )
    if not fits:
        raise UserError(f"{folder} holds a {named[0]}, not a {class_name}; give the folder of one")


def _related(stored: str, wanted: str) -> bool:
    """Whether transformers can load ``wanted`` from a saved ``stored``, e.g. a part of SiglipModel."""
    stem, part = stored.removesuffix("ForCausalLM").removesuffix("Model"), wanted.removesuffix("Model")
    return part.startswith(stem) or stem.startswith(part)
