"""Train the decoder of a representation autoencoder on features of a frozen encoder.

See Zheng et al. 2025, arXiv 2510.11690, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from nanogen.config.model_schema import Model
from nanogen.config.model_stage import ModelStage
from nanogen.data.pixels import to_signed, to_uint8
from nanogen.errors import UserError
from nanogen.models.encoders import VisionEncoder, copy_encoder, load_encoder
from nanogen.models.initialisation import seeded
from nanogen.stage1.batches import Batch
from nanogen.stage1.selection import Labelled
from nanogen.stage1.statistics import feature_moments
from nanogen.stage1.terms import Reconstructed, Term
from nanogen.tokenizers.rae import RAE, write_statistics
from nanogen.tokenizers.vit_decoder import build
from nanogen.training.processes import Processes


class DecoderTraining:
    """A ViT decoder that learns to reconstruct images from features of the encoder with added noise.

    The features are not normalised. The standard deviation of the noise is drawn from U(0, tau) for each
    image, where tau is ``stage1.noise``.

    Attributes:
        learned: the network that is trained.
        last: the weights of its last layer.
        noise: the shape of one image's noise.
        terms: additional loss terms, by name.

    Raises UserError if the features do not have the configured size.
    """

    def __init__(
        self,
        stage: ModelStage,
        train: Labelled,
        folders: Mapping[str, Path],
        group: Processes,
    ):
        self.stage, model, training = stage, stage.model, stage.tokenizer_training
        if training.crop is not None:
            raise UserError(
                f"config/models/{model.name}.yaml: the decoder of an RAE learns whole images; leave "
                "out stage1.crop"
            )
        self.folder, self.tau = folders["encoder"], training.noise
        encoder = load_encoder(self.folder, stage.networks["encoder"])
        self.encoder = encoder.eval().requires_grad_(False).to(group.device)
        _check_grid(self.encoder, model, self.folder)
        self.images, self.group = train.images, group
        with seeded(stage.seed, "build", model.name, "weights"):
            self.learned = build(model, train.images.shape[1])
        self.last: Tensor = self.learned.pixels.weight
        self.noise: tuple[int, ...] = model.latent_shape
        self.terms: dict[str, Term] = {}

    def reconstructed(self, network: nn.Module, batch: Batch) -> Reconstructed:
        """Reconstruct a batch with ``network``, which is `learned` as wrapped for all processes."""
        features = self.encoder(batch.images)
        sigma = self.tau * batch.level.view(-1, 1, 1, 1)
        images = network(features + sigma * batch.noise)  # in [0, 1]
        again = partial(self._again, features)
        return Reconstructed(batch.images, to_signed(batch.images), 2 * images - 1, again=again)

    @torch.no_grad()
    def _again(self, features: Tensor) -> Tensor:
        """Decode features without noise with the current weights, in [-1, 1], rounded to 8 bits."""
        return to_signed(to_uint8(2 * self.learned(features).float() - 1))

    def measure(self) -> None:
        """Measure the features' mean and variance, which training does not need: all processes share the
        images."""
        device = self.group.device
        self.moments = feature_moments(lambda x: self.encoder(x.to(device)), self.images, self.group)

    def save(self, folder: Path) -> RAE:
        """Write the trained and measured tokenizer to ``folder`` and return it."""
        copy_encoder(self.folder, self.stage.networks["encoder"], folder / "encoder")
        self.learned.save_pretrained(folder / "decoder")
        of = {part: self.stage.expects[part] for part in ("encoder", "data")}
        write_statistics(folder, *self.moments, self.stage.hash, **of)
        epsilon = self.stage.model.statistics_eps
        rae = RAE(lambda: self.encoder, self.learned, *self.moments, epsilon)
        return rae.to(self.group.device)


def _check_grid(encoder: VisionEncoder, model: Model, folder: Path) -> None:
    shape = (encoder.width, encoder.rows, encoder.rows)
    if shape != model.latent_shape:
        raise UserError(
            f"config/models/{model.name}.yaml: 'latent' is {model.latent_shape}, but the "
            f"features of {folder} are {shape}"
        )
