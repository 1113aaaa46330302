"""Generate images from the folder of a trained model, by class or prompt, without a study."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nanogen.backbones import Condition, load
from nanogen.config import trained
from nanogen.config.sample_stage import Sampler
from nanogen.config.train_stage import TrainStage, Use, UsedNetwork
from nanogen.data.class_names import class_names, class_number
from nanogen.errors import UserError
from nanogen.models.card import expect_model
from nanogen.sampling.generate import Generator

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """The options of `draw`; None means the value in the model's own configuration.

    Attributes:
        classes: names or numbers, for a class-conditional model.
        prompts: texts, for a text-to-image model.
        count: number of images of each class or prompt.
        steps: number of solver steps.
        guidance: guidance scale, at least 1, which means no guidance. None for a MeanFlow model, whose
            guidance is part of its weights.
        seed: seed of the noise.
        tokenizer, text_encoder: folders, if they are not in the study's results.
    """

    classes: Sequence[str] = ()
    prompts: Sequence[str] = ()
    count: int = 1
    steps: int | None = None
    guidance: float | None = None
    seed: int | None = None
    tokenizer: Path | None = None
    text_encoder: Path | None = None


def draw(folder: Path, wanted: Request, batch_size: int, device: torch.device) -> list[Drawn]:
    """Generate ``wanted.count`` images of every class or prompt, in the given order.

    The noise of image i comes from a generator with the seed seed_for(seed, "sample", i), as in a
    study's sample set. Raises UserError if the folder or a network is missing, or an option does not
    fit.
    """
    train, use = _trained(folder)
    sampler = _sampler(train, use, wanted)
    texts, conditions = _conditions(train, use, folder, wanted)
    rows = np.repeat(np.arange(len(texts)), wanted.count)
    tokenizer = _tokenizer(train, use, folder, wanted.tokenizer)
    generator = Generator(sampler, load(folder), tokenizer, device)
    drawn = []
    for start in range(0, len(rows), batch_size):
        indices = np.arange(start, min(start + batch_size, len(rows)))
        drawn.append(generator(indices, _rows(conditions, rows[indices])))
    images = np.concatenate(drawn)
    return [Drawn(texts[row], image) for row, image in zip(rows, images, strict=True)]


@dataclass(frozen=True)
class Drawn:
    """One image, uint8 (H, W, 3), and the class or prompt it was generated for."""

    text: str
    image: np.ndarray


def _trained(folder: Path) -> tuple[TrainStage, Use]:
    """Read the stage of the model in ``folder``, and its sampling configuration."""
    train = TrainStage.from_json(trained.read(folder))
    assert train.use is not None  # every trained model has it
    return train, train.use


def _sampler(train: TrainStage, use: Use, wanted: Request) -> Sampler:
    """Return the model's own sampling configuration, with the given options instead of its values."""
    asked = {"steps": wanted.steps, "guidance_scale": wanted.guidance}
    for name, value in {"--count": wanted.count, "--steps": wanted.steps}.items():
        if value is not None and value < 1:
            raise UserError(f"{name} {value}: it must be at least 1")
    if wanted.guidance is not None:
        _check_guidance(train, wanted.guidance)
    given = {key: value for key, value in asked.items() if value is not None}
    seed = train.seed if wanted.seed is None else wanted.seed
    # compiling the network takes longer than drawing a few images
    training = train.training.model_copy(update={"compile": False})
    train = replace(train, training=training)
    return Sampler(train=train, sampling=use.sampling.model_copy(update=given), seed=seed)


def _check_guidance(train: TrainStage, scale: float) -> None:
    if train.objective.kind == "meanflow":
        raise UserError(
            f"--guidance {scale}: {train.method} is a MeanFlow model, whose guidance is part of its "
            "weights; leave the option out"
        )
    if not 1 <= scale < math.inf:
        raise UserError(f"--guidance {scale}: must be at least 1, which means no guidance")


def _network(
    train: TrainStage, expected: UsedNetwork, option: str, folder: Path, given: Path | None
) -> Path:
    """Return the folder of the model's tokenizer or text encoder.

    It is the given one, the one inside the model's folder (as `nanogen push` uploads it), or the one in
    the results that contain the model's folder.
    """
    name = expected.model.name
    of_study = [above / "models" / name for above in folder.resolve().parents[3:4]]
    found = given or next(filter(Path.is_dir, [folder / name, *of_study]), None)
    if found is None:
        raise UserError(
            f"{train.method} on {train.task} needs {name}: give its folder with {option} DIR"
        )
    expect_model(found, expected.hash)
    return found


def _tokenizer(train: TrainStage, use: Use, folder: Path, given: Path | None) -> Any:
    if use.tokenizer is None:
        from nanogen.tokenizers.pixels import Pixels

        return Pixels(train.latent[1])
    from nanogen.tokenizers import load_tokenizer

    found = _network(train, use.tokenizer, "--tokenizer", folder, given)
    return load_tokenizer(found, use.tokenizer.model)


def _conditions(
    train: TrainStage, use: Use, folder: Path, wanted: Request
) -> tuple[list[str], Condition]:
    """Return the requested classes or prompts as texts, and their conditions."""
    if train.conditioner.kind == "text":
        if wanted.classes or not wanted.prompts:
            raise UserError(f"{folder} is a text-to-image model: give a text with --prompt TEXT")
        return list(wanted.prompts), _encoded(train, use, folder, wanted)
    classes = train.conditioner.classes
    assert classes is not None
    names = class_names(use.data.name, use.data.source, use.data.root, classes, use.classes)
    if wanted.prompts or not wanted.classes:
        known = f", for example {', '.join(names[:3])}" if names else f", 0 to {classes - 1}"
        raise UserError(f"{folder} is a class-conditional model: give a class with --class NAME{known}")
    labels = [class_number(text, names, classes) for text in wanted.classes]
    return [names[label].split(", ")[0] if names else f"class {label}" for label in labels], Condition(
        labels=torch.tensor(labels)
    )


def _encoded(train: TrainStage, use: Use, folder: Path, wanted: Request) -> Condition:
    from torch.nn.utils.rnn import pad_sequence

    from nanogen.models.text_features import TextEncoder

    assert use.text_encoder is not None
    found = _network(train, use.text_encoder, "--text-encoder", folder, wanted.text_encoder)
    encoder = TextEncoder(found, use.text_encoder.model)
    most = min(encoder.max_tokens, train.conditioner.tokens)
    ids, _ = encoder.token_ids(wanted.prompts)
    for prompt, given in zip(wanted.prompts, encoder.lengths(wanted.prompts), strict=True):
        if given > most:
            log.warning("--prompt %r: truncated to %d of %d tokens", prompt, most, given)
    features = [torch.from_numpy(row) for row in encoder.features(ids)]
    tokens = pad_sequence(features, batch_first=True)[:, : train.conditioner.tokens]
    lengths = torch.tensor([len(row) for row in features])
    return Condition(tokens=tokens, mask=torch.arange(tokens.shape[1]) < lengths[:, None])


def _rows(condition: Condition, rows: np.ndarray) -> Condition:
    index = torch.from_numpy(rows)
    return Condition(*(None if value is None else value[index] for value in vars(condition).values()))
