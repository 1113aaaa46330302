"""The decoder of a representation autoencoder: a pre-norm vision transformer.

The architecture is that of the authors' release (Zheng et al. 2025, arXiv 2510.11690, section 3).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from nanogen.config.model_schema import Model
from nanogen.config.tokenizer_schema import DecoderArchitecture
from nanogen.config.validation import Layer, validate
from nanogen.errors import UserError, nearest
from nanogen.files import read_json, write_json
from nanogen.linear import Linear
from nanogen.weights import readable_weights

WEIGHTS = "model.safetensors"
EPSILON = 1e-12  # default epsilon of the norms
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {  # by their names in transformers
    "gelu": nn.GELU,
    "gelu_new": partial(nn.GELU, approximate="tanh"),
    "gelu_pytorch_tanh": partial(nn.GELU, approximate="tanh"),
    "relu": nn.ReLU,
    "silu": nn.SiLU,
}


class Block(nn.Module):
    """Self-attention and an MLP, each with a LayerNorm before it and a residual connection."""

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        *,
        epsilon: float,
        activation: Callable[[], nn.Module],
        qkv_bias: bool,
    ):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, epsilon)
        self.qkv = Linear(width, 3 * width, bias=qkv_bias)
        self.out = Linear(width, width)
        self.norm2 = nn.LayerNorm(width, epsilon)
        self.mlp = nn.Sequential(Linear(width, hidden), activation(), Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:  # (N, L, width)
        qkv = self.qkv(self.norm1(x)).unflatten(2, (3, self.heads, -1))  # (N, L, 3, heads, head)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (N, heads, L, head)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + self.out(attended)
        return x + self.mlp(self.norm2(x))


def _waves(places: Tensor, width: int) -> Tensor:
    """Map positions (N,) to sines, then cosines, at width / 2 frequencies: (N, width)."""
    angles = places[:, None] * 10000.0 ** (-torch.arange(width // 2) / (width // 2))
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def position_table(rows: int, columns: int, width: int) -> Tensor:
    """Return sinusoidal positions (1, 1 + rows * columns, width): zeros for the first token, then cells.

    The first half of the width encodes the column and the second half the row, as in the decoder of He
    et al. 2022, "Masked Autoencoders Are Scalable Vision Learners".
    """
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    cells = [_waves(places.flatten(), width // 2) for places in (column, row)]
    return F.pad(torch.cat(cells, dim=1), (0, 0, 1, 0))[None]


class ViTDecoder(nn.Module):
    """Vision transformer that decodes features to images.

    It maps unnormalised features of an encoder (N, C, h, w) to images (N, 3, h * patch, w * patch) in
    about [0, 1]. The sequence is a learned token followed by one token per cell, with learned positions.
    A Linear maps each cell's token to the pixels of its patch, in the order (row, column, channel).

    The token is initially zero, positions are those of `position_table`, and all other weights have
    torch's defaults. The attribute ``config`` contains the constructor's arguments.

    Args:
        latent: (C, h, w) of the features.
        resolution: side of the images, in pixels.
        hidden_size: width of the tokens, a multiple of 4.
        num_hidden_layers: number of blocks.
        num_attention_heads: number of heads.
        intermediate_size: hidden width of the MLPs; by default four times ``hidden_size``.
        layer_norm_eps: epsilon of the norms.
        hidden_act: activation of the MLPs, one of `ACTIVATIONS`.
        qkv_bias: whether query, key and value have a bias.

    Raises:
        UserError: ``hidden_act`` is not known.
    """

    def __init__(
        self,
        *,
        latent: tuple[int, int, int],
        resolution: int,
        hidden_size: int,
        num_hidden_layers: int,
        num_attention_heads: int,
        intermediate_size: int | None = None,
        layer_norm_eps: float = EPSILON,
        hidden_act: str = "gelu",
        qkv_bias: bool = True,
    ):
        super().__init__()
        if hidden_act not in ACTIVATIONS:
            raise UserError(
                f"a decoder's hidden_act {hidden_act!r} is not known"
                f"{nearest(hidden_act, ACTIVATIONS)}; choose one of {', '.join(ACTIVATIONS)}"
            )
        hidden = intermediate_size or 4 * hidden_size
        channels, rows, columns = latent
        self.config: dict[str, Any] = {
            "latent": list(latent),
            "resolution": resolution,
            "hidden_size": hidden_size,
            "num_hidden_layers": num_hidden_layers,
            "num_attention_heads": num_attention_heads,
            "intermediate_size": hidden,
            "layer_norm_eps": layer_norm_eps,
            "hidden_act": hidden_act,
            "qkv_bias": qkv_bias,
        }
        self.latent_shape = (channels, rows, columns)
        self.patch = resolution // rows
        self.embed = Linear(channels, hidden_size)
        self.token = nn.Parameter(torch.zeros(1, 1, hidden_size))
        self.position = nn.Parameter(position_table(rows, columns, hidden_size))
        self.blocks = nn.ModuleList(
            Block(
                hidden_size,
                num_attention_heads,
                hidden,
                epsilon=layer_norm_eps,
                activation=ACTIVATIONS[hidden_act],
                qkv_bias=qkv_bias,
            )
            for _ in range(num_hidden_layers)
        )
        self.norm = nn.LayerNorm(hidden_size, layer_norm_eps)
        self.pixels = Linear(hidden_size, 3 * self.patch**2)

    def forward(self, features: Tensor) -> Tensor:
        _, rows, columns = self.latent_shape
        cells = self.embed(features.flatten(2).transpose(1, 2))  # (N, rows * columns, width)
        x = (
            torch.cat([self.token.to(cells.dtype).expand(len(cells), -1, -1), cells], dim=1)
            + self.position
        )
        for block in self.blocks:
            x = block(x)
        x = self.pixels(self.norm(x[:, 1:]))  # (N, rows * columns, patch * patch * 3)
        x = x.unflatten(1, (rows, columns)).unflatten(3, (self.patch, self.patch, 3))
        x = x.permute(0, 5, 1, 3, 2, 4)  # (N, 3, rows, patch, columns, patch)
        return x.flatten(4).flatten(2, 3)

    def save_pretrained(self, folder: Path) -> None:
        """Write ``config.json`` and ``model.safetensors``."""
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "config.json", self.config)
        save_file(self.state_dict(), folder / WEIGHTS)

    @classmethod
    def from_pretrained(cls, folder: Path) -> ViTDecoder:
        """Load what `save_pretrained` wrote; raise UserError if it is incomplete."""
        config = read_json(folder / "config.json")
        path = folder / WEIGHTS
        if not path.exists():
            raise UserError(f"{path} (the decoder's weights) is missing; make or import the model again")
        with readable_weights(path):
            weights = load_file(path)
        try:
            decoder = cls(**{**config, "latent": tuple(config["latent"])})
            decoder.load_state_dict(weights)
        except (TypeError, KeyError, RuntimeError) as error:
            raise UserError(f"{folder} does not hold a complete decoder: {error}") from error
        return decoder


def build(model: Model, resolution: int) -> ViTDecoder:
    """Build an untrained decoder of the configured architecture for images of ``resolution`` pixels.

    Raises UserError if a key of the architecture is missing, unknown or of another type, or if the
    architecture does not fit the latent size or the resolution.
    """
    where, rows = f"config/models/{model.name}.yaml", model.latent_shape[1]
    keys = validate(DecoderArchitecture, [Layer(f"{where} (architecture)", model.architecture)])
    if keys.hidden_size % keys.num_attention_heads or keys.hidden_size % 4:
        raise UserError(
            f"{where}: architecture.hidden_size {keys.hidden_size} is not a multiple of "
            f"architecture.num_attention_heads {keys.num_attention_heads} and of 4, as heads and "
            "positions require"
        )
    if resolution % rows:
        raise UserError(
            f"{where}: images of {resolution} pixels cannot be divided into {rows} rows of equal "
            "patches; correct 'latent' or data.resolution"
        )
    return ViTDecoder(latent=model.latent_shape, resolution=resolution, **dict(keys))
