"""Random data that bench/training.py trains on."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from nanogen.backbones import Condition
from nanogen.config.train_stage import TrainStage
from nanogen.stage2.encoded import Encoder

ROWS = 512  # images


class Latents:
    """Random latents in memory, float16 as in a cache."""

    def __init__(self, shape: tuple[int, ...]):
        self.values = torch.randn(ROWS, *shape, generator=torch.Generator().manual_seed(0)).half()

    def load(self, rows: np.ndarray) -> Tensor:
        return self.values[torch.from_numpy(rows)].float()


class Online:
    """Random images in memory, encoded by a random autoencoder of SD's class."""

    def __init__(self, stage: TrainStage, device: torch.device, small: bool):
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

        from nanogen.tokenizers.latent_layouts import layout_of
        from nanogen.tokenizers.vae import VAE

        widths = (32, 32) if small else (128, 256, 512, 512)
        down, up = ([f"{way}EncoderBlock2D"] * len(widths) for way in ("Down", "Up"))
        network = AutoencoderKL(
            block_out_channels=widths,
            down_block_types=down,
            up_block_types=[name.replace("Encoder", "Decoder") for name in up],
            layers_per_block=1 if small else 2,
            latent_channels=stage.latent[0],
        )
        vae = VAE(network, layout_of("AutoencoderKL"), stage.latent, (1.0, 0.0)).eval()
        training = stage.training
        self.encode = Encoder(vae, device, training.noise_chunk, training.precision == "bf16")
        side = stage.latent[1] * 2 ** (len(widths) - 1)
        rng = np.random.default_rng(0)
        self.images = rng.integers(0, 256, (ROWS, side, side, 3), np.uint8)

    def load(self, rows: np.ndarray) -> Tensor:
        return self.encode(self.images[rows])


class Data:
    """Random training data: latents or, if ``online``, images that are encoded when they are loaded.
    Texts have a third to all of the stage's tokens."""

    def __init__(self, stage: TrainStage, device: torch.device, online: bool = False):
        small = math.prod(stage.latent) < 1000
        generator = torch.Generator().manual_seed(1)
        self.images = Online(stage, device, small) if online else Latents(stage.latent)
        self.most, self.width = stage.conditioner.tokens, stage.text_width
        self.lengths = torch.randint(-(-self.most // 3), self.most + 1, (ROWS,), generator=generator)
        self.labels = torch.randint(0, stage.conditioner.classes or 1, (ROWS,), generator=generator)

    def __len__(self) -> int:
        return ROWS

    def load(self, rows: np.ndarray, draws: np.ndarray) -> tuple[Tensor, Condition]:
        return self.images.load(rows), self.condition(rows)

    def condition(self, rows: np.ndarray) -> Condition:
        places = torch.from_numpy(rows)
        if self.width is None:
            return Condition(labels=self.labels[places])
        mask = torch.arange(self.most) < self.lengths[places, None]
        features = torch.randn(len(rows), self.most, self.width)
        return Condition.from_text(features.numpy(), mask.numpy(), int(self.lengths[places].max()))

    def features(self, rows: np.ndarray) -> dict[str, Tensor]:
        return {}

    def ahead(self, windows: Mapping[int, np.ndarray]) -> None:
        pass
