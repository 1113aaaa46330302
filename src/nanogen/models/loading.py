"""Loading networks of transformers and diffusers: local safetensors, every weight accounted for."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors import SafetensorError

from nanogen.errors import UserError
from nanogen.files import read_json
from nanogen.weights import check_folder, first_line

# A network of transformers, diffusers or timm: which attributes it has depends on its class, so the type
# checker lets all of them pass.
LibraryNetwork: TypeAlias = Any
# where a class named in a model's configuration may come from
LIBRARIES = {
    "AutoencoderKL": "diffusers",
    "AutoencoderKLFlux2": "diffusers",
    "AutoencoderKLQwenImage": "diffusers",
    "Dinov2WithRegistersModel": "transformers",
    "DINOv3ViTModel": "transformers",
    "SiglipVisionModel": "transformers",
    "Qwen3Model": "transformers",
    "Mask2FormerForUniversalSegmentation": "transformers",
    "CLIPModel": "transformers",
    "ViltForQuestionAnswering": "transformers",
    "BlipForQuestionAnswering": "transformers",
    "AutoModelForImageTextToText": "transformers",
}
# What the libraries raise where a folder is not what they expect, whichever of its files it is.
NOT_LOADED = (OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError, SafetensorError)


def network_class(name: str) -> Any:
    """The class ``name``; raises UserError if this program does not know it."""
    if name not in LIBRARIES:
        raise UserError(f"model class {name!r} cannot be loaded here; known are {', '.join(LIBRARIES)}")
    return getattr(importlib.import_module(LIBRARIES[name]), name)


def _without_bars(library: str) -> None:
    """The libraries draw progress bars even for one small file, and into log files too."""
    importlib.import_module(f"{library}.utils.logging").disable_progress_bar()


def save_network(network: Any, folder: Path) -> None:
    """``save_pretrained``: ``config.json`` and safetensors in ``folder``."""
    _without_bars(LIBRARIES[type(network).__name__])
    network.save_pretrained(folder, safe_serialization=True)


def load_network(folder: Path | str, class_name: str) -> LibraryNetwork:
    """The network in ``folder`` (as ``save_pretrained`` writes it), frozen, of torch's default type,
    evaluating.

    Raises UserError where a file is missing or damaged, or where weights are missing: a layer
    would silently keep random values.
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
            str(folder), output_loading_info=True, use_safetensors=True, local_files_only=True
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
    return network.to(torch.get_default_dtype()).eval().requires_grad_(False)


def load_processor(cls: Any, folder: Path) -> Any:
    """A tokenizer or image processor of transformers from a network's folder.

    Raises UserError where its files are missing or damaged.
    """
    try:
        return cls.from_pretrained(str(folder), local_files_only=True)
    except NOT_LOADED as error:
        raise UserError(f"{folder} holds no {cls.__name__}: {first_line(error)}") from error


def _check_class(folder: Path, class_name: str) -> None:
    """Refuse a folder whose own config.json names another family of networks."""
    config = read_json(folder / "config.json")
    if "_class_name" in config:  # diffusers; its classes' names begin alike
        named, fits = [config["_class_name"]], config["_class_name"] == class_name
    else:
        named = config.get("architectures") or []
        fits = (
            not named
            or class_name.startswith("Auto")  # which reads the class from the same place
            or any(_related(str(name), class_name) for name in named)
        )
    if not fits:
        raise UserError(f"{folder} holds a {named[0]}, not a {class_name}")


def _related(stored: str, wanted: str) -> bool:
    """Whether transformers finds one class in what the other saved, e.g. a part of SiglipModel."""
    stem, part = stored.removesuffix("ForCausalLM").removesuffix("Model"), wanted.removesuffix("Model")
    return part.startswith(stem) or stem.startswith(part)
