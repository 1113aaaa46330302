"""The state that a joint step of end-to-end tuning updates: a VAE, its norm and a backbone."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from nanogen import backbones
from nanogen.config.model_stage import ModelStage
from nanogen.models.encoders import load_encoder
from nanogen.models.loading import LibraryNetwork, load_network
from nanogen.objectives.repa import on_grid
from nanogen.stage1.end_to_end import Backbone, JointLoss, LatentNorm
from nanogen.stage1.joint_batches import JointBatch
from nanogen.stage1.latent_report import latent_statistics
from nanogen.stage1.learner import Learner, OnDevice
from nanogen.stage1.selection import Labelled, images_of_classes
from nanogen.stage1.vae import VAETraining
from nanogen.tokenizers.latent_layouts import layout_of
from nanogen.tokenizers.vae import VAE
from nanogen.training import checkpoint
from nanogen.training.optimizer import Optimizing, adamw
from nanogen.training.processes import Processes
from nanogen.training.sharding import parallel

PROBED = 1000  # images of each split on which the latents are measured
log = logging.getLogger(__name__)


class JointLearner(Learner[JointBatch]):
    """Train a VAE, which starts from another one, together with a backbone.

    AdamW and the schedule of the backbone are those of the VAE except for the peak rate. The backbone is
    not saved: the tables compare backbones that are trained on frozen tokenizers.
    """

    def __init__(
        self,
        stage: ModelStage,
        train: Labelled,
        folders: Mapping[str, Path],
        group: Processes,
    ):
        super().__init__(stage, train, folders, group)
        joint, tuning = stage.joint, stage.model.end_to_end
        assert joint is not None
        assert tuning is not None
        assert isinstance(self.trainee, VAETraining)
        self.vae = self.trainee
        self.train, self.model, self.start = train, stage.model, folders["start"]
        encoder = load_encoder(folders["encoder"], stage.networks["encoder"])
        self.encoder = encoder.eval().requires_grad_(False).to(group.device)
        self.joint = JointLoss.of(tuning, joint)
        network = backbones.build(joint).to(group.device)
        norm = LatentNorm(joint.latent[0], tuning.momentum).to(group.device)
        self.backbone = Backbone(norm, parallel(network, group), network.conditioner)
        self.relative_rate = tuning.learning_rate / self.keys.learning_rate
        optimizer = adamw(
            network, self.keys.betas, self.keys.weight_decay, eps=self.keys.eps, fused=False
        )
        self.beside = checkpoint.Learned(nn.ModuleDict({"network": network, "norm": norm}), optimizer)
        self.grid = [side // joint.backbone.patch for side in joint.latent[1:]]

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        super().load(tensors)
        self.beside.load(checkpoint.below("backbone", tensors))

    def state(self) -> dict[str, Tensor]:
        return super().state() | checkpoint.under("backbone", self.beside.state())

    def step(self, step: int, batch: JointBatch) -> dict[str, Any]:
        """Train on one batch.

        Returns the named losses of the global batch, the gradient norms and the learning rate.
        """
        with self.autocast:
            made = self.vae.reconstructed(self.wrapped, batch.pictures)
            latents = self.vae.sampled(made, batch.pictures.noise)
            patches = on_grid(self.encoder(batch.pictures.images), *self.grid)
            losses, judged = self.joint.backward(
                latents,
                self.backbone,
                replace(batch.latents, patches=patches),
                lambda: self.loss(made, step, batch.pictures.augment, self.vae.last),
            )
        self.backbone.norm.follow(latents.detach(), self.group)
        rate = self.phases.rate(step)
        norms = {
            "grad_norm": self._descend(self.learned.optimizer, rate),
            "backbone_grad_norm": self._descend(self.beside.optimizer, rate * self.relative_rate),
        }
        self.average.update(step)
        with self.autocast:
            losses |= self.loss.learn(judged, step)
        return {**self.group.means(losses), **norms, "learning_rate": rate}

    def _descend(self, optimizer: Optimizing, rate: float) -> Tensor:
        """Clip the gradient and take one step; returns the norm before clipping."""
        for parameters in optimizer.param_groups:
            parameters["lr"] = rate
        trained = [p for parameters in optimizer.param_groups for p in parameters["params"]]
        norm = clip_grad_norm_(trained, self.keys.clip or math.inf)
        optimizer.step()
        optimizer.zero_grad()
        return norm

    def quality(self, tokenizer: OnDevice, val: Labelled) -> dict[str, float]:
        """Return the quality of the VAE and the statistics of its latents (`latent_statistics`).

        The statistics of the VAE that it started from have names with the prefix ``before_``.
        """
        start = load_network(self.start, self.model.model_class).to(self.group.device)
        images = [images_of_classes(split, PROBED) for split in (self.train, val)]
        described = {}
        for name, network in (("before", start), ("after", self.vae.learned.network)):
            described[name] = self._described(network, *images)
            numbers = ", ".join(f"{key} {value:.4g}" for key, value in described[name].items())
            log.info("%s, latents %s: %s", self.model.name, name, numbers)
        before = {f"before_{key}": value for key, value in described["before"].items()}
        return {**super().quality(tokenizer, val), **described["after"], **before}

    def _described(
        self, network: LibraryNetwork, train: np.ndarray, val: np.ndarray
    ) -> dict[str, float]:
        device, layout = self.group.device, layout_of(self.model.model_class)
        vae = VAE(network, layout, self.model.latent_shape, (1.0, 0.0)).to(device)
        raw = OnDevice(vae, device)
        return latent_statistics(raw.encode, lambda x: self.encoder(x.to(device)).cpu(), train, val)
