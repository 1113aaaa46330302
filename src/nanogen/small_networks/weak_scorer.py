"""Train the small weak scorer to choose which of four texts is true of a scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from nanogen.config.model_stage import ModelStage
from nanogen.data.images import ImageFile
from nanogen.data.scenes.scenes import RELATIONS
from nanogen.errors import UserError
from nanogen.identity import seed_for
from nanogen.metrics.geneval import relations
from nanogen.metrics.simpleeval import Choices
from nanogen.metrics.weak_scorer import COARSE_MATCHER, SmallScorer, build_small, keyhole
from nanogen.models.initialisation import seeded
from nanogen.models.network_files import save_network
from nanogen.prompts.contents import COUNTS, Content, Thing, near_misses, pick
from nanogen.prompts.simpleeval import FOILS, SCENES
from nanogen.small_networks.training import train

LONGEST = 12  # maximum number of words of a text
SAID = 0.7  # probability that a colour or size is mentioned
MOVED = 1  # largest shift of the reduced image, in pixels, in both directions
RECOLOURED = 0.1  # standard deviation of the gain and offset of each channel
NOISE = 0.1
WORDS = ("and", *COUNTS.values(), *" ".join(RELATIONS).split())


def content_of(objects: Sequence[Mapping[str, Any]], rng: np.random.Generator) -> Content:
    """Draw a content that is true of a scene's objects ``{shape, color, size, box}``.

    It mentions a random part of their properties, and the two objects of a pair in random order.
    """
    alike = len({(o["shape"], o["color"]) for o in objects}) == 1
    shown = [objects[0]] if alike else [objects[i] for i in rng.permutation(len(objects))]
    things = tuple(
        Thing(
            item["shape"],
            len(objects) if alike else 1,
            item["color"] if rng.random() < SAID else None,
            item["size"] if rng.random() < SAID and not (alike and len(objects) > 1) else None,
        )
        for item in shown
    )
    where = sorted(relations(shown[0]["box"], shown[1]["box"])) if len(shown) == 2 else []
    return Content(things, pick(rng, where) if len(where) == 1 and rng.random() < SAID else None)


def questions(
    data: ImageFile, seed: int, name: str, rounds: int = 1
) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Draw ``rounds`` statements with foils for every image; also return the index of their image."""
    assert data.objects is not None
    asked, of_image = [], []
    for index, objects in enumerate(data.objects):
        rng = np.random.default_rng(seed_for(seed, name, data.split, index))
        for _ in range(rounds):
            content = content_of(objects, rng)
            foils = [miss.text(SCENES) for miss in near_misses(content, SCENES, rng, FOILS)]
            kind = "pairs" if len(content.things) > 1 else "alike"
            asked.append({"tag": kind, "statement": content.text(SCENES), "foils": foils})
            of_image.append(index)
    return asked, np.array(of_image)


def disturbed(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Augment images (B, 3, side, side) in [0, 1]: shift, gain and offset per channel, and noise."""
    count, _, side, _ = pixels.shape
    padded = F.pad(pixels, [MOVED] * 4, mode="replicate")
    shifts = torch.randint(2 * MOVED + 1, (count, 2), generator=generator).tolist()
    moved = torch.stack(
        [image[:, y : y + side, x : x + side] for image, (y, x) in zip(padded, shifts, strict=True)]
    )
    gain, offset = RECOLOURED * torch.randn(2, count, 3, 1, 1, generator=generator)
    noise = NOISE * torch.randn(moved.shape, generator=generator)
    return moved * (1 + gain) + offset + noise


def _train(stage: ModelStage, data: ImageFile, scorer: SmallScorer) -> None:
    asked, of_image = questions(data, stage.seed, stage.model.name, rounds=2)
    choices = Choices(asked)
    words, of_prompt = scorer.numbers(choices.texts), torch.tensor(choices.of_prompt)
    seen = keyhole(data.images, scorer.side)

    def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        images = scorer.network.images(disturbed(seen[of_image[rows]], generator))
        texts = scorer.network.texts(words[of_prompt[rows].flatten()]).unflatten(0, (len(rows), -1))
        agreement = scorer.network.scale * (texts @ images[..., None])[..., 0]
        return F.cross_entropy(agreement, torch.zeros(len(rows), dtype=torch.int64))

    train(scorer.network, loss, stage, len(asked))


def quality(scorer: SmallScorer, data: ImageFile, seed: int) -> dict[str, float]:
    """Return ``real``, the fraction of right choices on real images, an upper bound of the score.

    ``real_alike`` is the fraction for one object or several equal ones, ``real_pairs`` that for pairs.
    """
    asked, of_image = questions(data, seed, "quality")
    choices = Choices(asked)
    agreement = scorer(data.images, choices.texts)[of_image]
    right = choices.right(agreement, range(len(choices)))
    kinds = np.array(choices.levels)
    parts = {f"real_{kind}": float(right[kinds == kind].mean()) for kind in sorted(set(kinds))}
    return {"real": float(right.mean()), **parts}


def train_weak_scorer(
    stage: ModelStage, train_images: ImageFile, val_images: ImageFile, folder: Path
) -> dict[str, float]:
    """Train the weak scorer of ``stage``, save it in ``folder``, and return its `quality`.

    The quality is measured on ``val_images``. Raises UserError for another class, or if the objects in
    the images are not known.
    """
    model = stage.model
    if model.model_class != COARSE_MATCHER:
        raise UserError(
            f"config/models/{model.name}.yaml: {model.model_class} cannot be trained here; "
            f"choose {COARSE_MATCHER}, or set its source to download or path"
        )
    if train_images.objects is None:
        raise UserError(
            f"the weak scorer {model.name} learns from drawn scenes, but {train_images.path} holds "
            "photographs, whose objects are not known; set evaluation.simpleeval to null for them"
        )
    known = {*WORDS, *SCENES.nouns, *map(SCENES.plural, SCENES.nouns), *SCENES.colors, *SCENES.sizes}
    config = {
        "_class_name": COARSE_MATCHER,
        "words": sorted(known),
        "longest": LONGEST,
        "side": model.input_size,
        "arguments": dict(model.architecture),
    }
    with seeded(stage.seed, "weights", model.name):
        scorer = build_small(config)
    _train(stage, train_images, scorer)
    result = quality(scorer, val_images, stage.seed)
    save_network(scorer.network, config, folder)
    return result
