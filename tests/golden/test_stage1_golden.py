"""One step of a stage-1 training reproduces the authors' loop: images, losses, gradients and the
discriminator's inputs."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from golden_files import Golden, every
from random_vgg import write_vgg
from torch import Tensor, nn
from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

from nanogen.config import load_model, load_study
from nanogen.config.model_stage import ModelStage
from nanogen.config.tokenizer_schema import Augmentation
from nanogen.interop.released_decoder import released_names, to_released_decoder
from nanogen.models import timm_networks
from nanogen.stage1.augmentation import augmented
from nanogen.stage1.batches import Batch
from nanogen.stage1.learner import TokenizerLearner
from nanogen.stage1.terms import Reconstructed
from nanogen.training.processes import Processes

ALONE = Processes(0, 1, torch.device("cpu"))
OPTIONS = ("layer_norm_eps", "hidden_act", "qkv_bias")
SIZES = ("hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers")
# The authors draw the shift before brightness, saturation and contrast; we draw it after them.
DRAWS = [2, 3, 4, 0, 1, 5, 6]
PARTS = {"enter.": "0.", "around.": "1.fn.", "logit.": "2."}
FILES = pytest.mark.parametrize("golden", every("stage1_step*.npz"), indirect=True)


@pytest.fixture(scope="module")
def golden(request) -> Golden:
    return Golden.read(request.param)


def close(actual: Tensor, expected: Tensor, of: str, atol: float = 1e-5) -> None:
    torch.testing.assert_close(
        actual, expected, rtol=1e-5, atol=atol, check_dtype=False, msg=lambda text: f"{of}: {text}"
    )


def rows_of(golden: Golden) -> int:
    return round(golden.values["tokens"].shape[1] ** 0.5)


def stage_of(golden: Golden) -> ModelStage:
    """The paper study's RAE on DINOv2 with a file's sizes and options, and all losses from the start."""
    meta, rows = golden.meta, rows_of(golden)
    dino, weights, augmentation = meta["dino"], meta["weights"], meta["diffaug"]
    rates = {"learning_rate": meta["optimizer"]["lr"], "final_learning_rate": meta["optimizer"]["lr"]}
    schedule = {**rates, "warmup_epochs": 0, **{k: meta["optimizer"][k] for k in ("betas", "eps")}}
    blocks = sorted({block for block in dino["key_depths"] if block < dino["depth"]})
    changes = {
        "latent": [meta["latent_width"], rows, rows],
        "architecture": {
            **{key: meta[f"decoder_{key}"] for key in SIZES},
            **{key: meta[key] for key in OPTIONS if key in meta},
        },
        "stage1": {
            "precision": "float32",
            "batch_size": meta["batch"],
            "noise": meta["noise_tau"],
            # our loss is over pixels in [-1, 1]
            "terms": {"l1": weights["l1"] / 2, "perceptual": weights["lpips"]},
            "optimizer": {
                **schedule,
                "weight_decay": meta["optimizer"]["weight_decay"],
                "clip": meta["clip_grad"],
            },
            "adversarial": {
                **schedule,
                "disc_start": 0,
                "gan_start": 0,
                "weight": weights["gan"],
                "max_weight": meta["max_d_weight"],
                "layers": [dino["depth"], *(block + 1 for block in blocks)],
                "kernel": meta["head_kernel"],
                "norm_eps": dino["norm_eps"],  # one number for the frozen network and the heads
                "augmentation": {
                    "translation": augmentation["translation"],
                    # a negative probability means: without cutout
                    "cutout": augmentation["cutout"] if augmentation["prob"] > 0 else 0,
                    "probability": abs(augmentation["prob"]),
                    "symmetric": True,
                },
            },
        },
    }
    study = load_study(
        "paper",
        {
            "models": {
                "rae-dinov2-b": changes,
                "dinov2-b": {"input_size": meta["resolution"]},
                "dino-s": {"input_size": dino["image_size"], "norm_eps": dino["norm_eps"]},
            }
        },
    )
    networks = {"encoder": "dinov2-b", "perceptual": "lpips", "discriminator": "dino-s"}
    return ModelStage(
        hash="0" * 16,
        expects={},
        seed=0,
        model=load_model(study, "rae-dinov2-b"),
        networks={role: load_model(study, name) for role, name in networks.items()},
        joint=None,
        resolution=None,
        content={},
    )


def write_encoder(golden: Golden, folder: Path) -> None:
    """Write an encoder with the tokens' size; the file holds its tokens, not the network."""
    side, rows = golden.meta["resolution"], rows_of(golden)
    config = Dinov2WithRegistersConfig(
        hidden_size=golden.meta["latent_width"],
        num_hidden_layers=1,
        num_attention_heads=1,
        image_size=side,
        patch_size=side // rows,
        architectures=["Dinov2WithRegistersModel"],
    )
    Dinov2WithRegistersModel(config).save_pretrained(folder)


def write_dino(golden: Golden, folder: Path) -> None:
    """Write the discriminator's frozen network."""
    meta = golden.meta["dino"]
    arguments = {
        "img_size": meta["image_size"],
        **{key: meta[key] for key in ("depth", "embed_dim", "num_heads", "patch_size", "mlp_ratio")},
    }
    network = timm_networks.build("timm:vit_small_patch8_224", arguments)
    network.load_state_dict(weights_below(golden, "param/dino/"), strict=True)
    folder.mkdir()
    timm_networks.save(network, arguments, folder)


def weights_below(golden: Golden, prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in golden.values.items() if k.startswith(prefix)}


def theirs(name: str) -> str:
    """The authors' name of a head's weight, below ``heads.``."""
    number, _, rest = name.removeprefix("heads.").partition(".")
    part = next(part for part in PARTS if rest.startswith(part))
    return f"{number}.{PARTS[part]}{rest.removeprefix(part)}"


class Gives(nn.Module):
    """An encoder that returns the file's tokens for any image."""

    def __init__(self, features: Tensor):
        super().__init__()
        self.features = features

    def forward(self, images: Tensor) -> Tensor:
        return self.features


@dataclass
class Step:
    """Values recorded in one step of the learner.

    Attributes:
        reported: return value of the step.
        decoded: the decoder's images before the update, in about [0, 1].
        again: the decoder's 8-bit images after the update.
        seen: augmented inputs of the frozen network, in order.
        logits: outputs of the heads, in order.
        gradients: per network, the gradients at the update by parameter name.
    """

    reported: dict[str, Tensor] = field(default_factory=dict)
    decoded: list[Tensor] = field(default_factory=list)
    again: list[Tensor] = field(default_factory=list)
    seen: list[Tensor] = field(default_factory=list)
    logits: list[Tensor] = field(default_factory=list)
    gradients: dict[str, dict[str, Tensor]] = field(default_factory=dict)


def on_grid(golden: Golden, tokens: Tensor) -> Tensor:
    rows = rows_of(golden)
    return tokens.transpose(1, 2).unflatten(2, (rows, rows))


def strength_of(golden: Golden) -> Augmentation:
    return stage_of(golden).tokenizer_training.adversarial.augmentation


def augmentation_draws(golden: Golden, of: str) -> Tensor:
    """(B, 10): a file's draws in our order, and flags of the three augmentations that were applied.

    The file does not state which of them chance left out, so the flags are inferred from its images.
    """
    images, draws, expected = (golden.values[f"diffaug/{of}/{k}"] for k in ("in", "draws", "out"))
    draws, strength = draws.T[:, DRAWS], strength_of(golden)
    choices = [
        torch.cat([draws, torch.tensor(parts).expand(len(draws), -1)], 1)
        for parts in itertools.product((0.0, 1.0), repeat=3)
    ]
    differences = [(augmented(images, each, strength) - expected).abs().max() for each in choices]
    return choices[int(torch.stack(differences).argmin())]


def batch_of(golden: Golden) -> Batch:
    values, side = golden.values, golden.meta["resolution"]
    draws = [
        augmentation_draws(golden, of)
        for of in ("discriminator_real", "generator_fake", "discriminator_fake")
    ]
    tokens, count = values["tokens"], golden.meta["batch"]
    return Batch(
        images=torch.zeros(count, side, side, 3, dtype=torch.uint8),
        # without a noise_tau no noise is drawn
        noise=on_grid(golden, values.get("noise/normal", torch.zeros_like(tokens))),
        level=values.get("noise/uniform", torch.zeros(count)).flatten(),
        augment=torch.stack(draws, 1),
    )


@pytest.fixture(scope="module")
def learner(golden, tmp_path_factory) -> TokenizerLearner:
    """The learner of a training with the file's networks and images."""
    folder = tmp_path_factory.mktemp("networks")
    folders = {role: folder / role for role in ("encoder", "perceptual", "discriminator")}
    write_encoder(golden, folders["encoder"])
    write_vgg(folders["perceptual"], golden.meta["vgg_seed"])
    write_dino(golden, folders["discriminator"])
    side = golden.meta["resolution"]
    count = golden.meta["batch"]
    images = np.zeros((count, side, side, 3), np.uint8)
    train = SimpleNamespace(images=images, labels=np.zeros(count, int))
    learner = TokenizerLearner(stage_of(golden), train, folders, ALONE)
    weights = weights_below(golden, "param/decoder/")
    learner.network.load_state_dict(
        {
            name: torch.cat([weights[released] for released in released_names(name)])
            for name in learner.network.state_dict()
        }
    )
    heads = learner.loss.adversary.heads
    weights = weights_below(golden, "param/heads/")
    heads.load_state_dict({name: weights[theirs(name)] for name in heads.state_dict()})
    learner.trainee.encoder = Gives(on_grid(golden, golden.values["tokens"]))
    return learner


@pytest.fixture(scope="module")
def step(golden, learner) -> Step:
    """One step on the file's images, which, unlike a batch's images, are not quantised to 8 bits.

    The discriminator learns from the file's reconstructions: a value of ours that is rounded to another
    level would change every later number.
    """
    found, adversary, trainee = Step(), learner.loss.adversary, learner.trainee
    reconstructed, target = trainee.reconstructed, 2 * golden.values["images"] - 1

    def on_their_images(network: nn.Module, batch: Batch) -> Reconstructed:
        made = reconstructed(network, batch)

        def again() -> Tensor:
            found.again.append(made.again())
            return golden.values["diffaug/discriminator_fake/in"]

        return replace(made, target=target, again=again)

    trainee.reconstructed = on_their_images
    learner.network.register_forward_hook(lambda _m, _x, images: found.decoded.append(images.detach()))
    adversary.features.register_forward_pre_hook(lambda _m, x: found.seen.append(x[0].detach()))
    adversary.heads.register_forward_hook(
        lambda _m, _x, logits: found.logits.extend(each.detach() for each in logits)
    )
    for name, learned in (("decoder", learner.learned), ("discriminator", adversary.learned)):
        names = {parameter: key for key, parameter in learned.network.named_parameters()}

        def note(optimizer, *_, of=name, names=names) -> None:
            found.gradients[of] = {
                names[p]: p.grad.clone() for group in optimizer.param_groups for p in group["params"]
            }

        learned.optimizer.register_step_pre_hook(note)
    found.reported = learner.step(1, batch_of(golden))
    return found


@FILES
def test_the_generators_losses(golden, step):
    values, reported = golden.values, step.reported
    close(step.decoded[0], values["recon"], "recon")
    weights = golden.meta["weights"]  # terms of weight 0 are not computed
    if weights["l1"]:
        close(reported["l1"] / 2, values["value/loss_recon"], "L1")
    if weights["lpips"]:
        close(reported["perceptual"], values["value/loss_lpips"], "LPIPS")
    close(reported["adversarial"], values["value/loss_gan"], "GAN")
    weight = reported["adaptive_weight"] / weights["gan"]
    close(weight, values["value/disc_weight"], "adaptive weight")
    close(reported["loss"], values["value/loss_total"], "total")
    close(step.logits[0], values["logits/generator_fake"], "logits")


@FILES
def test_the_gradients_at_the_update(golden, step):
    for network, gradients in step.gradients.items():
        if network == "decoder":
            norms = {name: value.norm() for name, value in to_released_decoder(gradients).items()}
        else:
            norms = {f"heads.{theirs(name)}": value.norm() for name, value in gradients.items()}
        expected = weights_below(golden, f"grad_norm/{network}/")
        assert norms.keys() == expected.keys()
        for name, norm in norms.items():
            close(norm, expected[name], f"{network} {name}", atol=1e-7)
        total = torch.stack(list(norms.values())).norm()
        close(total, golden.values[f"grad_norm_total/{network}"], network, atol=1e-7)


@FILES
def test_what_the_discriminator_learns_from(golden, step):
    values, reported = golden.values, step.reported
    own, file = step.again[0], values["diffaug/discriminator_fake/in"]
    assert float((own - file).abs().max()) < 2.1 / 255  # one level
    assert float((own != file).float().mean()) < 1e-3
    for index, of in enumerate(("generator_fake", "discriminator_fake", "discriminator_real")):
        close(step.seen[index], values[f"diffaug/{of}/out"], of)
        close(step.logits[index], values[f"logits/{of}"], of)
    close(reported["discriminator"], values["value/loss_disc"], "hinge")
    _, fake, real = step.logits
    close(fake.mean(), values["value/disc_logits_fake"], "mean logit of fakes")
    close(real.mean(), values["value/disc_logits_real"], "mean logit of originals")
    # The authors report the share of correctly ordered pairs, we that of logits on the right side of 0.
    close((real > fake).double().mean(), values["value/disc_accuracy"], "accuracy")
    close(reported["accuracy_real"], (real > 0).double().mean(), "share of originals")
    close(reported["accuracy_fake"], (fake < 0).double().mean(), "share of fakes")


@FILES
def test_augmentations_by_given_draws(golden):
    for of in ("generator_fake", "discriminator_fake", "discriminator_real"):
        images, expected = (golden.values[f"diffaug/{of}/{k}"] for k in ("in", "out"))
        close(augmented(images, augmentation_draws(golden, of), strength_of(golden)), expected, of)


@FILES
def test_features_of_the_frozen_network(golden, learner):
    """Mean and standard deviation per judged layer; the last layer occurs twice."""
    values = golden.values
    features = learner.loss.adversary.features(values["diffaug/generator_fake/out"])
    found = [torch.stack([x.mean(), x.std()]) for x in features]
    expected = list(weights_below(golden, "activation_mean_std/").values())
    assert len(found) == len(expected)
    for layer, (ours, other) in enumerate(zip(found, expected, strict=True)):
        close(ours, other, f"layer {layer}")
