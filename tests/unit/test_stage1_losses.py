"""Stage 1: losses against values computed by hand, augmentations, schedule and batches."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from nanogen.config import load_model, load_study, stages
from nanogen.config.model_stage import ModelStage
from nanogen.config.tokenizer_schema import Augmentation
from nanogen.errors import UserError
from nanogen.stage1 import terms
from nanogen.stage1.adversarial import adaptive_weight, hinge
from nanogen.stage1.augmentation import augmented, recoloured, translated, with_hole
from nanogen.stage1.batches import Batches
from nanogen.stage1.discriminator import GridHeads, Heads
from nanogen.stage1.phases import Phases, steps_in
from nanogen.stage1.terms import Reconstructed
from nanogen.training.processes import Processes
from nanogen.training.schedule import cosine

ALONE = Processes(0, 1, torch.device("cpu"))
FULL = Augmentation(color=1.0, translation=0.125, cutout=0.5)
NONE = Augmentation(color=0.0, translation=0.0, cutout=0.0)


def made(output: torch.Tensor, target: torch.Tensor, **more) -> Reconstructed:
    return Reconstructed(torch.zeros(len(output), 1, 1, 3, dtype=torch.uint8), target, output, **more)


def test_the_hinge_loss_by_hand():
    real, fake = torch.tensor([[2.0, 0.5, -1.0]]), torch.tensor([[-2.0, 0.0, 1.0]])
    # real: 0, 0.5, 2; fake: 0, 1, 2
    assert float(hinge(real, fake)) == pytest.approx(0.5 * (2.5 / 3 + 1.0))


def test_the_adaptive_weight_is_the_ratio_of_gradients_and_capped():
    last = nn.Parameter(torch.tensor([1.0, 2.0]))
    reconstruction = (last * torch.tensor([3.0, 4.0])).sum()  # its gradient has norm 5
    adversarial = -(last * torch.tensor([0.0, 0.5])).sum()
    found = adaptive_weight(reconstruction, adversarial, last, 1e4, ALONE)
    assert float(found) == pytest.approx(10.0, rel=1e-5)
    assert not found.requires_grad
    assert float(adaptive_weight(reconstruction, adversarial, last, 7.0, ALONE)) == 7.0
    assert float(adaptive_weight(reconstruction, 0 * adversarial, last, 1e4, ALONE)) == 1e4


def test_pixel_terms_by_hand():
    target = torch.zeros(1, 1, 2, 2)
    output = torch.tensor([[[[1.0, 0.0], [0.0, 3.0]]]])
    pair = made(output, target)
    assert float(terms.l1(pair)) == pytest.approx(1.0)
    assert float(terms.mse(pair)) == pytest.approx(2.5)
    # rows: |-1|, |3|; columns: |-1|, |3|
    assert float(terms.edge(pair)) == pytest.approx(4.0)


def test_the_divergence_of_a_posterior_is_that_of_diffusers():
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    moments = torch.randn(3, 8, 2, 2, generator=torch.Generator().manual_seed(0))
    posterior = DiagonalGaussianDistribution(moments)
    image = torch.zeros(3, 3, 4, 4)
    pair = made(image, image, mean=posterior.mean, log_variance=posterior.logvar)
    assert float(terms.kl(pair)) == pytest.approx(float(posterior.kl().mean()), rel=1e-6)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture
def draws() -> torch.Tensor:
    return torch.rand(4, 7, generator=torch.Generator().manual_seed(2))


def test_equal_draws_augment_equally_and_others_otherwise(images, draws):
    once, again = (augmented(images, draws, FULL) for _ in range(2))
    assert torch.equal(once, again)
    # an image's augmentation does not depend on its neighbours in the batch
    assert torch.allclose(augmented(images[1:2], draws[1:2], FULL), once[1:2], atol=1e-6)
    assert not torch.equal(augmented(images, draws.flip(0), FULL), once)
    assert torch.equal(augmented(images, draws, NONE), images)


def test_augmentation_lets_the_gradient_through(images, draws):
    images.requires_grad_()
    augmented(images, draws, FULL).square().sum().backward()
    assert images.grad is not None
    assert (images.grad.flatten(1).norm(dim=1) > 0).all()
    double = images.detach().double().requires_grad_()
    keys = (draws.double(), FULL)
    assert torch.autograd.gradcheck(lambda x: augmented(x[:1], keys[0][:1], keys[1]), (double,))


def test_colours_change_as_published(images):
    half = torch.full((4, 3), 0.5)
    assert torch.allclose(recoloured(images, half, 1.0), images, atol=1e-6)
    bright = recoloured(images, torch.tensor([[1.0, 0.5, 0.5]]).expand(4, 3), 1.0)
    assert torch.allclose(bright, images + 0.5, atol=1e-6)
    grey = recoloured(images, torch.tensor([[0.5, 0.0, 0.5]]).expand(4, 3), 1.0)
    assert torch.allclose(grey, images.mean(1, keepdim=True).expand_as(images), atol=1e-6)
    mean = images.mean((1, 2, 3), keepdim=True)
    strong = recoloured(images, torch.tensor([[0.5, 0.5, 1.0]]).expand(4, 3), 1.0)
    assert torch.allclose(strong, mean + 1.5 * (images - mean), atol=1e-6)


def test_shifts_move_whole_pixels_and_fill_with_zeros(images):
    still = translated(images, torch.full((4, 2), 0.5), 0.125)
    assert torch.equal(still, images)
    moved = translated(images, torch.tensor([[0.0, 0.999]]).expand(4, 2), 0.125)
    assert torch.equal(moved[:, :, 2:, :-2], images[:, :, :-2, 2:])  # two rows down, two columns left
    assert (moved[:, :, :2] == 0).all()
    assert (moved[:, :, :, -2:] == 0).all()


def test_the_hole_has_its_size_and_lies_where_the_draws_say(images):
    holed = with_hole(torch.ones_like(images), torch.tensor([[0.5, 0.5]]).expand(4, 2), 0.25)
    assert (holed[:, :, 6:10, 6:10] == 0).all()
    assert float((holed == 0).float().mean()) == pytest.approx((4 / 16) ** 2)


def test_each_part_happens_with_the_given_probability(images, draws):
    keys = FULL.model_copy(update={"probability": 0.5})
    never = torch.cat([draws, torch.full((4, 3), 0.9)], 1)
    assert torch.equal(augmented(images, never, keys), images)
    always = torch.cat([draws, torch.full((4, 3), 0.1)], 1)
    assert torch.equal(augmented(images, always, keys), augmented(images, draws, FULL))
    colours = torch.cat([draws, torch.tensor([[0.9, 0.1, 0.9]]).expand(4, -1)], 1)
    torch.testing.assert_close(augmented(images, colours, keys), recoloured(images, draws[:, :3], 1.0))


def test_what_happens_is_drawn_once_for_a_batch(pictures):
    batches = Batches(pictures, stage_of(), (1,), ALONE)
    drawn = [batches.at(step).augment[:, :, 7:] for step in (1, 2)]
    for happens in drawn:
        assert torch.equal(happens, happens[:1].expand_as(happens))
    assert not torch.equal(*drawn)


def test_a_symmetric_hole_reaches_as_far_over_both_edges():
    images, last = torch.ones(1, 3, 16, 16), torch.full((1, 2), 0.999)
    for symmetric, zeros in ((False, 3), (True, 2)):  # of four rows; at draw 0 two are above the image
        holed = with_hole(images, last, 0.25, symmetric)
        assert int((holed[0, 0, :, -1] == 0).sum()) == zeros
    assert int((with_hole(images, 0 * last, 0.25, True)[0, 0, :, 0] == 0).sum()) == 2


def test_a_shift_is_rounded_as_published():
    images = torch.ones(1, 3, 20, 20)  # an eighth is 2.5 pixels
    moved = translated(images, torch.tensor([[0.0, 0.5]]), 0.125)
    assert int((moved[0, 0, :, 0] == 0).sum()) == 2


def test_the_eps_of_the_heads_norms_counts():
    tokens = 1e-3 * torch.randn(2, 16, 4, 4, generator=torch.Generator().manual_seed(0))
    weights, found = Heads(16, 1, 9).eval().state_dict(), []
    for epsilon in (1e-6, 1e-3):
        heads = Heads(16, 1, 9, epsilon).eval()
        heads.load_state_dict(weights)
        found += heads([tokens])
    assert not torch.allclose(*found, rtol=0.1)


@pytest.mark.parametrize("heads", [Heads(16, 2, 9), GridHeads(16, 2, 3)], ids=["row", "grid"])
def test_heads_judge_every_cell_of_every_layer(heads):
    generator = torch.Generator().manual_seed(0)
    features = [torch.randn(5, 16, 4, 4, generator=generator) for _ in range(2)]
    one, other = heads(features, features)
    assert one.shape == other.shape == (5, 32)
    heads.eval()  # spectral norms are no longer updated
    whole, alone = heads(features, [x[:1] for x in features])
    assert torch.allclose(whole[:1], alone, atol=1e-5)


def test_a_row_of_tokens_is_a_ring():
    heads = Heads(16, 1, 9).eval()
    tokens = torch.randn(2, 16, 4, 4, generator=torch.Generator().manual_seed(0))
    (logits,) = heads([tokens])
    (turned,) = heads([tokens.flatten(2).roll(3, 2).unflatten(2, (4, 4))])
    assert torch.allclose(turned, logits.roll(3, 1), atol=1e-5)


def test_a_call_in_training_is_one_step_of_the_power_iteration():
    """Like the authors' layers, it updates first the right vector, then the left one."""
    head = Heads(8, 1, 3).heads[0]
    convolution = head.enter[0]
    weight, left = convolution.weight_orig.detach().flatten(1), convolution.weight_u.clone()
    tokens = torch.randn(1, 8, 16, generator=torch.Generator().manual_seed(0))
    head(tokens)
    right = nn.functional.normalize(weight.T @ left, dim=0)
    left = nn.functional.normalize(weight @ right, dim=0)
    assert torch.allclose(convolution.weight_v, right, atol=1e-6)
    assert torch.allclose(convolution.weight_u, left, atol=1e-6)
    assert torch.allclose(convolution.weight.flatten(1), weight / (left @ weight @ right), atol=1e-6)
    before = convolution.weight_u.clone()
    head.eval()(tokens)
    assert torch.equal(convolution.weight_u, before)


# -------------------------------------------------------------------- schedule and configuration


def test_epochs_become_steps_by_images_and_batch():
    keys = load_model(load_study("paper"), "rae-dinov2-b").stage1
    assert keys is not None
    phases = Phases.of(keys, 1_281_167)
    assert phases.steps == 40_036  # 16 epochs at batch size 512
    assert (phases.disc_start, phases.gan_start) == (15_014, 20_018)
    assert phases.rate(2502) == pytest.approx(2e-4)  # after one epoch
    assert phases.rate(phases.steps) == pytest.approx(2e-5)
    assert phases.discriminator_rate(phases.disc_start + 2502) == pytest.approx(2e-4)
    assert phases.discriminator_rate(phases.steps) == pytest.approx(2e-5)
    assert steps_in(0.54, 600, 16) == 20


def test_the_papers_recipe_is_that_of_the_authors():
    model = load_model(load_study("paper"), "rae-dinov2-b")
    keys = model.stage1
    assert keys is not None
    assert keys.adversarial is not None
    assert (keys.noise, keys.optimizer.clip, keys.optimizer.weight_decay) == (0.8, 0, 0)
    assert keys.terms.model_dump() == {"l1": 0.5, "perceptual": 1, "mse": 0, "edge": 0, "kl": 0}
    assert (keys.adversarial.weight, keys.adversarial.max_weight) == (0.75, 1e4)
    assert (keys.adversarial.layers, keys.adversarial.kernel) == ([12, 3, 6, 9, 12], 9)
    shown = keys.adversarial.augmentation
    assert (shown.translation, shown.color, shown.cutout) == (0.125, 1, 0)
    network = load_model(load_study("paper"), str(model.discriminator))
    assert (network.input_size, network.interpolation) == (224, "bilinear")
    assert network.activation == "gelu_tanh"


def test_the_cosine_rises_then_falls_to_its_end():
    rates = [cosine(step, 100, 10, 1.0, 0.1) for step in range(1, 101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == max(rates) == 1.0
    assert rates[54] == pytest.approx(0.55)
    assert rates[-1] == pytest.approx(0.1)
    assert all(a >= b for a, b in pairwise(rates[9:]))


MISTAKES = [
    ("rae-dinov2-b", {"stage1": {"terms": {"kl": 1}}}, "stage1.terms.kl means nothing to kind rae"),
    ("rae-dinov2-b", {"stage1": {"crop": 16}}, "stage1.crop means nothing to kind rae"),
    ("sd-vae-mse", {"stage1": {"noise": 0.5}}, "stage1.noise means nothing to kind vae"),
    ("rae-dinov2-b", {"encoder": None}, "'encoder' must name a frozen network"),
    ("sd-vae-mse", {"discriminator": None}, "'discriminator' must name .* for stage1.adversarial"),
    ("sd-vae-mse", {"stage1": {"adversarial": {"gan_start": 0}}}, "gan_start 0.0 lies before"),
    ("rae-dinov2-b", {"stage1": {"adversarial": {"kernel": 4}}}, "kernel 4 has no middle; make it odd"),
    ("sd-vae-mse", {"stage1": None}, "it needs 'data' .* and 'stage1'"),
]


@pytest.mark.parametrize(("name", "keys", "sentence"), MISTAKES)
def test_a_recipe_that_does_not_fit_is_refused_when_it_is_planned(name, keys, sentence):
    with pytest.raises(UserError, match=sentence):
        stages.model(load_study("nano", {"models": {name: keys}}), name)


def test_how_a_training_is_watched_changes_no_hash():
    hashes = {
        stages.model(load_study("nano", {"models": {"sd-vae-mse": {"stage1": keys}}}), "sd-vae-mse")[
            "hash"
        ]
        for keys in ({}, {"log_every": 7}, {"checkpoint_every": 3})
    }
    assert len(hashes) == 1


# ------------------------------------------------------------------------------------- batches


def stage_of(**keys) -> ModelStage:
    training = {"batch_size": 8, "splice": False, "crop": None, **keys}
    model = {"name": "tok", "kind": "vae", "model_class": "AutoencoderKL", "stage1": training}
    return ModelStage.from_json({"hash": "0" * 16, "expects": {}, "seed": 1, "model": model})


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """40 images, each filled with its index."""
    return np.tile(np.arange(40, dtype=np.uint8)[:, None, None, None], (1, 6, 6, 3))


def test_any_number_of_processes_draws_the_same(pictures):
    stage = stage_of(splice=True)
    whole = Batches(pictures, stage, (4, 2, 2), ALONE).at(3)
    for world in (2, 4, 8):
        parts = [
            Batches(pictures, stage, (4, 2, 2), Processes(rank, world, ALONE.device)).at(3)
            for rank in range(world)
        ]
        for field in ("images", "noise", "level", "augment"):
            assert torch.equal(
                torch.cat([getattr(part, field) for part in parts]), getattr(whole, field)
            ), (world, field)


def test_every_image_is_seen_once_in_an_epoch(pictures):
    batches = Batches(pictures, stage_of(), (1,), ALONE)
    seen = torch.cat([batches.at(step).images[:, 0, 0, 0] for step in range(1, 6)])
    assert sorted(seen.tolist()) == list(range(40))


def test_every_second_image_is_continued_by_its_neighbour(pictures):
    plain = Batches(pictures, stage_of(), (1,), ALONE).at(1).images[:, 0, :, 0]
    mixed = Batches(pictures, stage_of(splice=True), (1,), ALONE).at(1).images[:, 0, :, 0]
    assert torch.equal(mixed[::2], plain[::2])
    cuts = set()
    for row, own, other in zip(mixed[1::2], plain[1::2, 0], plain[::2, 0], strict=True):
        kept = int((row == own).sum())
        assert row.tolist() == [int(own)] * kept + [int(other)] * (6 - kept)
        cuts.add(kept)
    assert len(cuts) > 1


def test_crops_are_squares_of_the_image(pictures):
    gradient = np.arange(36, dtype=np.uint8).reshape(1, 6, 6, 1).repeat(3, 3).repeat(40, 0)
    crops = Batches(gradient, stage_of(crop=4), (1,), ALONE).at(1).images
    assert crops.shape == (8, 4, 4, 3)
    first = crops[:, 0, 0, 0].long()
    assert len(set(first.tolist())) > 2
    assert torch.equal(crops[:, 3, 3, 0].long(), first + 3 * 6 + 3)


def test_images_smaller_than_the_crop_are_refused(pictures):
    with pytest.raises(UserError, match=r"stage1\.crop 8 is larger than the images, which have 6"):
        Batches(pictures, stage_of(crop=8), (1,), ALONE)


def test_a_batch_that_processes_cannot_share_is_refused(pictures):
    with pytest.raises(UserError, match="batch_size 8 cannot be shared equally by 3 processes"):
        Batches(pictures, stage_of(), (1,), Processes(0, 3, ALONE.device))


def test_levels_fill_their_interval(pictures):
    batches = Batches(pictures, stage_of(), (1,), ALONE)
    levels = torch.cat([batches.at(step).level for step in range(1, 40)])
    assert 0 <= levels.min() < 0.05
    assert 0.95 < levels.max() < 1
    assert math.isclose(float(levels.mean()), 0.5, abs_tol=0.06)


def test_the_papers_decoders_and_discriminators_have_their_sizes(capsys):
    from nanogen.cli import main

    assert main(["params", "--study", "paper", "--tokenizers"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header == "tokenizer,steps,params,discriminator_heads,discriminator_frozen"
    found = {row.split(",")[0]: [int(value) for value in row.split(",")[1:]] for row in rows}
    encoders = ("dinov2-b", "dinov3-b", "siglip2-b", "pe-l", "langpe-l", "spatialpe-l")
    assert set(found) == {f"rae-{name}" for name in encoders}
    for steps, decoder, heads, frozen in found.values():
        assert steps == 40_036
        assert decoder in (415_352_704, 415_647_616)  # as in the released decoders
        assert heads == 5 * 1_477_249  # five heads on 384 channels
        assert frozen == 21_670_272  # DINO's ViT-S/8
