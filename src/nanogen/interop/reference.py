"""Build a network of the authors' code from its weights and constructor arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from nanogen.backbones import DDT, Condition, InContextEncoder, LightningDiT, Output
from nanogen.errors import UserError, nearest
from nanogen.interop.released import load_released

CLASSES: dict[str, type[InContextEncoder]] = {
    "DiTwDDTHead": DDT,
    "DiTwDDTHeadIG": DDT,
    "LightningDiT": LightningDiT,
    "LightningDiTIG": LightningDiT,
}


class Reference(nn.Module):
    """A backbone that is called with the arguments of the authors' code."""

    def __init__(self, model: InContextEncoder):
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, t: Tensor, **conditions: Tensor | None) -> tuple[Tensor, ...]:
        """Return the network's outputs as a tuple.

        The image's output (B, C, H, W) comes first, then with REG the class token's (B, Z), then with
        REPA the projection of an inner block's tokens (B, L, Z). Arguments are those of `output`.
        """
        output = self.output(x, t, **conditions)
        further = (output.cls, output.hidden)
        return (output.image, *(value for value in further if value is not None))

    def output(
        self,
        x: Tensor,
        t: Tensor,
        label: Tensor | None = None,
        context: Tensor | None = None,
        attn_mask: Tensor | None = None,
        cls_t: Tensor | None = None,
        t_abs: Tensor | None = None,
    ) -> Output:
        """Return every output of the network, with REPA also the projection of an inner block's tokens.

        Args:
            x: noisy images or latents, (B, C, H, W).
            t: times in [0, 1], (B,); for MeanFlow the length of the interval.
            label: class labels, int64 (B,).
            context: text features, (B, L, width).
            attn_mask: (B, L), 1 at the tokens of the text and 0 at padding.
            cls_t: REG's noisy class token, (B, Z).
            t_abs: MeanFlow's absolute times, (B,).
        """
        if label is None:
            mask = None if attn_mask is None else attn_mask.bool().cpu()
            condition = Condition(tokens=context, mask=mask)
        else:
            condition = Condition(labels=label)
        return self.model(x, t, condition, cls_t, t_abs)


def _architecture(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Translate the arguments of their constructor into those of ours."""
    if meta["condition_type"] == "label":
        conditioner = {"kind": "label", "classes": meta["num_classes"], "tokens": meta["num_c_tokens"]}
    else:
        conditioner = {"kind": "text", "tokens": meta["num_c_tokens"]}
    return {
        "latent": (meta["in_channels"], meta["input_size"], meta["input_size"]),
        "patch": _patch(meta["patch_size"]),
        "conditioner": conditioner,
        "text_width": meta["context_dim"],
        "mlp_ratio": meta["mlp_ratio"],
        "time_tokens": meta["num_t_tokens"],
        **_sizes(meta),
        **_heads(meta),
    }


def _patch(given: int | list[int]) -> int:
    """Return the side of a patch, which is the same for encoder and decoder."""
    sides = {given} if isinstance(given, int) else set(given)
    if len(sides) > 1:
        raise UserError(f"patch_size {given} is not supported: encoder and decoder must have the same")
    return sides.pop()


def _sizes(meta: Mapping[str, Any]) -> dict[str, int]:
    """Return width, depth and heads, also of the decoder where they are lists of two numbers."""
    result: dict[str, int] = {}
    for ours, theirs in (("width", "hidden_size"), ("depth", "depth"), ("heads", "num_heads")):
        values = [meta[theirs]] if isinstance(meta[theirs], int) else meta[theirs]
        parts = ("encoder", "decoder")[: len(values)]
        result |= {f"{part}_{ours}": value for part, value in zip(parts, values, strict=True)}
    return result


def _heads(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments for REG, REPA, internal guidance and MeanFlow."""
    depth = meta.get("repa_layer_depth") if meta.get("enable_repa") else None
    return {
        "cls_width": meta["z_dim"] if meta.get("enable_reg") else None,
        "repa_depth": depth,
        "repa_width": meta["z_dim"] if depth else None,
        "guidance_depth": meta.get("base_model_depth"),
        "absolute_time": bool(meta.get("is_meanflow")),
    }


def load_reference(params: Mapping[str, Tensor], meta: Mapping[str, Any]) -> Reference:
    """Build the network with the weights ``params``, in evaluation mode.

    Args:
        params: weights under the authors' names. Rotary tables may be among them; they are checked.
        meta: the authors' constructor arguments: ``cls``; ``hidden_size``, ``depth`` and ``num_heads``,
            for a DDT as [encoder, decoder]; ``input_size``, ``in_channels``, ``patch_size``,
            ``num_t_tokens``, ``num_c_tokens``, ``condition_type``, ``context_dim``, ``num_classes``,
            ``mlp_ratio``; where used ``enable_reg`` and ``enable_repa`` with ``z_dim``,
            ``repa_layer_depth``, ``base_model_depth``, ``is_meanflow``.

    Raises:
        UserError: the class is not known, or names or shapes do not fit; the message lists them.
    """
    if meta["cls"] not in CLASSES:
        raise UserError(f"unknown class {meta['cls']!r}{nearest(meta['cls'], CLASSES)}")
    model = CLASSES[meta["cls"]](**_architecture(meta))
    model.load_state_dict(load_released(model, params, "the reference"), strict=True)
    return Reference(model).eval()
