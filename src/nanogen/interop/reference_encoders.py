"""Load vision encoders from weights under the names of their original repositories."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from nanogen.config import load_model, load_study
from nanogen.errors import UserError, nearest
from nanogen.models import timm_networks
from nanogen.models.encoders import VisionEncoder, load_encoder
from nanogen.models.loading import network_class
from nanogen.models.network_files import WEIGHTS

# the authors' name of an encoder -> the name of its file in config/models
ENCODERS = {
    "dinov2-vit-b": "dinov2-b",
    "dinov3-vit-b16": "dinov3-b",
    "siglip2-vit-b": "siglip2-b",
    "pe-vit-l": "pe-l",
    "langpe-vit-l": "langpe-l",
    "spatialpe-vit-l": "spatialpe-l",
}
HUB = "hf/"  # prefix of weights under the names of transformers


def load_reference_encoder(
    params: Mapping[str, Tensor], meta: Mapping[str, Any], folder: Path
) -> VisionEncoder:
    """Write the encoder with the weights ``params`` to ``folder`` and load it from there.

    It has the preprocessing of the paper study's encoder of that name; only its sizes differ.

    Args:
        params: weights by name: for DINO and SigLIP2 encoders transformers' names after ``hf/``, for
            Perception Encoders their own names, ``visual.*``.
        meta: ``encoder``, the authors' name; ``input_size``; and the sizes of the class: ``embed_dim``
            or ``hidden_size`` or ``width``, ``depth`` or ``layers``, ``num_heads`` or ``heads``,
            ``patch_size``, ``num_register_tokens``, ``positions`` (rows and columns of the table), and
            ``norm_eps`` for Perception Encoders.
        folder: where to write the encoder.

    Raises:
        UserError: the encoder is not known, or the weights do not fit.
    """
    if meta["encoder"] not in ENCODERS:
        raise UserError(f"unknown encoder {meta['encoder']!r}{nearest(meta['encoder'], ENCODERS)}")
    known = load_model(load_study("paper"), ENCODERS[meta["encoder"]])
    changes: dict[str, Any] = {"input_size": meta["input_size"]}
    if timm_networks.is_timm(known.model_class):
        changes["norm_eps"] = meta.get("norm_eps")
    model = known.model_copy(update=changes)
    write = _perception if timm_networks.is_timm(model.model_class) else _of_transformers
    folder.mkdir(parents=True, exist_ok=True)
    write(params, meta, model.model_class, folder)
    return load_encoder(folder, model)


def _of_transformers(
    params: Mapping[str, Tensor], meta: Mapping[str, Any], class_name: str, folder: Path
) -> None:
    weights = {k.removeprefix(HUB): v for k, v in params.items() if k.startswith(HUB)}
    config = network_class(class_name).config_class(**SIZES[class_name](meta, weights))
    config.architectures = [class_name]
    config.save_pretrained(folder)
    save_file({k: v.contiguous() for k, v in weights.items()}, folder / WEIGHTS, {"format": "pt"})


def _dinov2(meta: Mapping[str, Any], weights: Mapping[str, Tensor]) -> dict[str, Any]:
    hidden = weights["encoder.layer.0.mlp.fc1.weight"].shape[0]
    return {
        "hidden_size": meta["embed_dim"],
        "num_hidden_layers": meta["depth"],
        "num_attention_heads": meta["num_heads"],
        "mlp_ratio": hidden // meta["embed_dim"],
        "patch_size": meta["patch_size"],
        "image_size": meta["positions"][0] * meta["patch_size"],
        "num_register_tokens": meta["num_register_tokens"],
        "layer_norm_eps": meta["block_norm_eps"],
    }


def _dinov3(meta: Mapping[str, Any], weights: Mapping[str, Tensor]) -> dict[str, Any]:
    return {
        "hidden_size": meta["embed_dim"],
        "intermediate_size": weights["layer.0.mlp.up_proj.weight"].shape[0],
        "num_hidden_layers": meta["depth"],
        "num_attention_heads": meta["num_heads"],
        "patch_size": meta["patch_size"],
        "num_register_tokens": meta["num_register_tokens"],
        "layer_norm_eps": meta["block_norm_eps"],
        "rope_theta": meta["rope_theta"],
    }


def _siglip(meta: Mapping[str, Any], weights: Mapping[str, Tensor]) -> dict[str, Any]:
    cells = len(weights["vision_model.embeddings.position_embedding.weight"])
    keys = ("hidden_size", "intermediate_size", "patch_size", "layer_norm_eps", "hidden_act")
    return {
        **{key: meta[key] for key in keys},
        "num_hidden_layers": meta["depth"],
        "num_attention_heads": meta["num_heads"],
        "image_size": round(cells**0.5) * meta["patch_size"],
    }


SIZES = {
    "Dinov2WithRegistersModel": _dinov2,
    "DINOv3ViTModel": _dinov3,
    "SiglipVisionModel": _siglip,
}


def _perception(
    params: Mapping[str, Tensor], meta: Mapping[str, Any], class_name: str, folder: Path
) -> None:
    from timm.models.eva import checkpoint_filter_fn

    arguments = {
        "img_size": meta["image_size"],
        "patch_size": meta["patch_size"],
        "embed_dim": meta["width"],
        "depth": meta["layers"],
        "num_heads": meta["heads"],
        "mlp_ratio": meta["mlp_ratio"],
        "class_token": meta["use_cls_token"],
        "use_pre_transformer_norm": meta["use_ln_pre"],
        "use_post_transformer_norm": meta["use_ln_post"],
        "init_values": meta["ls_init_value"],
        "attn_pool_num_heads": 1,  # the pooled feature is not used
        "num_classes": meta["output_dim"] or 0,
    }
    network = timm_networks.build(class_name, arguments)
    try:
        network.load_state_dict(checkpoint_filter_fn(dict(params), network), strict=True)
    except (KeyError, RuntimeError) as error:
        raise UserError(f"the weights do not fit {class_name} with these sizes: {error}") from error
    timm_networks.save(network, arguments, folder)
