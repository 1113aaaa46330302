"""A network of the authors' code, from its weights and constructor arguments, called as theirs is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from nanogen.backbones import DDT, Condition
from nanogen.errors import UserError
from nanogen.interop.released import load_released


class Reference(nn.Module):
    """A DDT behind the authors' signature."""

    def __init__(self, model: DDT):
        super().__init__()
        self.model = model

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        label: Tensor | None = None,
        context: Tensor | None = None,
        attn_mask: Tensor | None = None,
        cls_t: Tensor | None = None,
        t_abs: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """The network's outputs, first the image's (B, C, H, W), with REG also the cls token's (B, Z).

        Args:
            x: noisy images or latents, (B, C, H, W).
            t: times in [0, 1], (B,); of MeanFlow the interval's length.
            label: classes, int64 (B,).
            context: text features, (B, L, width); ``attn_mask`` (B, L) is 1 at real tokens.
            cls_t: REG's noisy cls feature, (B, Z).
            t_abs: MeanFlow's absolute times, (B,).
        """
        if label is None:
            mask = None if attn_mask is None else attn_mask.bool()
            condition = Condition(tokens=context, mask=mask)
        else:
            condition = Condition(labels=label)
        more = {"cls": cls_t, "absolute": t_abs}
        output = self.model(x, t, condition, **{k: v for k, v in more.items() if v is not None})
        return (output.image,) if cls_t is None else (output.image, output.cls)


def _architecture(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Our constructor's arguments from theirs."""
    if meta["cls"] != "DiTwDDTHead" or meta.get("repa_layer_depth") is not None:
        raise UserError(
            f"a reference of class {meta['cls']} with repa_layer_depth "
            f"{meta.get('repa_layer_depth')} cannot be loaded; known is DiTwDDTHead without REPA"
        )
    if meta["condition_type"] == "label":
        conditioner = {"kind": "label", "classes": meta["num_classes"], "tokens": meta["num_c_tokens"]}
    else:
        conditioner = {"kind": "text", "tokens": meta["num_c_tokens"]}
    sizes = {
        f"{part}_{ours}": meta[theirs][index]
        for index, part in enumerate(("encoder", "decoder"))
        for ours, theirs in (("width", "hidden_size"), ("depth", "depth"), ("heads", "num_heads"))
    }
    added = {"cls_width": meta["z_dim"]} if meta.get("enable_reg") else {}
    added |= {"absolute_time": True} if meta.get("is_meanflow") else {}
    return {
        "latent": (meta["in_channels"], meta["input_size"], meta["input_size"]),
        "patch": meta["patch_size"][0],
        "conditioner": conditioner,
        "text_width": meta["context_dim"],
        "mlp_ratio": meta["mlp_ratio"],
        "time_tokens": meta["num_t_tokens"],
        **sizes,
        **added,
    }


def load_reference(params: Mapping[str, Tensor], meta: Mapping[str, Any]) -> nn.Module:
    """The network with the weights ``params``, under the public names, evaluating; see `Reference`.

    Args:
        meta: the authors' constructor arguments: ``hidden_size``, ``depth`` and ``num_heads`` as
            [encoder, decoder]; ``input_size``, ``in_channels``, ``patch_size``, ``num_t_tokens``,
            ``num_c_tokens``, ``condition_type``, ``context_dim``, ``num_classes``, ``mlp_ratio``,
            ``cls``; where used ``enable_reg`` with ``z_dim``, ``is_meanflow``.

    Raises UserError where a name or shape does not fit, listing all, or the class is not known.
    """
    model = DDT(**_architecture(meta))
    model.load_state_dict(load_released(model, params, "the reference"), strict=True)
    return Reference(model).eval()
