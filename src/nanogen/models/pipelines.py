"""Load text-to-image pipelines of diffusers without executing code from their folders."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanogen.errors import UserError
from nanogen.files import read_json
from nanogen.models.loading import NOT_LOADED
from nanogen.weights import check_folder, first_line

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

INDEX = "model_index.json"
LIBRARIES = ("diffusers", "transformers")
NEEDED = ("prompt", "generator", "output_type")


def load_pipeline(folder: Path | str, class_name: str, precision: str) -> DiffusionPipeline:
    """Load a pipeline of diffusers, with weights from safetensors.

    Args:
        folder: the pipeline, as ``save_pretrained`` writes it.
        class_name: a pipeline class of diffusers.
        precision: ``float32`` or ``bf16``.

    Raises:
        UserError: files are missing or damaged, the folder contains another class or refers to custom
            code, or the class does not generate images from text.
    """
    folder = Path(folder)
    absent = _checked_components(folder, class_name)
    check_folder(folder)
    import diffusers
    import torch
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    diffusers_logging.disable_progress_bar()
    diffusers_logging.set_verbosity_error()  # it warns about every prompt that is too long for CLIP
    transformers_logging.disable_progress_bar()
    cls = getattr(diffusers, class_name, None)
    if not inspect.isclass(cls) or not issubclass(cls, diffusers.DiffusionPipeline):
        raise UserError(f"diffusers {diffusers.__version__} has no pipeline {class_name!r}")
    if missing := [name for name in NEEDED if name not in call_arguments(cls)]:
        raise UserError(
            f"{class_name} is not a text-to-image pipeline: its call has no argument "
            f"{', '.join(missing)}; choose another class"
        )
    try:
        return diffusers.DiffusionPipeline.from_pretrained(
            str(folder),
            dtype={"float32": torch.float32, "bf16": torch.bfloat16}[precision],
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            **dict.fromkeys(absent),
        )
    except NOT_LOADED as error:
        raise UserError(f"{folder} cannot be loaded as {class_name}: {first_line(error)}") from error


def call_arguments(pipeline: Any) -> dict[str, Any]:
    """Return the arguments of calling a pipeline or its class, and their defaults."""
    parameters = inspect.signature(pipeline.__call__).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters}


def _checked_components(folder: Path, class_name: str) -> list[str]:
    """Return the components that the pipeline was saved without, such as one of several text encoders.

    Raises UserError for another class, and for components that need code from the folder.
    """
    if not (folder / INDEX).exists():
        raise UserError(f"{folder} holds no pipeline: there is no {INDEX}; make or fetch it again")
    index = read_json(folder / INDEX)
    if index.get("_class_name") != class_name:
        raise UserError(f"{folder} holds a {index.get('_class_name')}, not a {class_name}")
    for component, value in index.items():
        library = value[0] if isinstance(value, list) else None
        if library is not None and not _known_library(library):
            raise UserError(
                f"{folder}/{INDEX}: {component} is of library {library!r}; only components of "
                f"{' and '.join(LIBRARIES)} can be loaded"
            )
    return [component for component, value in index.items() if value == [None, None]]


def _known_library(name: str) -> bool:
    """Whether ``name`` is one of the libraries, or a pipeline's module in diffusers."""
    return name in LIBRARIES or hasattr(importlib.import_module("diffusers.pipelines"), name)
