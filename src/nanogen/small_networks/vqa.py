"""Train the nano study's VQA model: a small BLIP that answers questions about the study's images.

An answer is one bit of information about an image, which is too little to learn from in a minute. If the
objects are known, linear heads, which are not saved, are therefore trained as well. They predict from
image patches what these show, and from the words that name a shape how many such objects there are, and
their colour and position.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nanogen.config.model_schema import Model
from nanogen.config.model_stage import ModelStage
from nanogen.data.images import ImageFile
from nanogen.data.scenes.captions import noun
from nanogen.data.scenes.scenes import MOST_OBJECTS
from nanogen.errors import UserError
from nanogen.identity import seed_for
from nanogen.metrics.detector import network_input
from nanogen.metrics.vqa import (
    NO,
    YES,
    AnswerGenerator,
    answered,
    encode_images,
)
from nanogen.models.initialisation import checked, seeded
from nanogen.models.loading import LibraryNetwork, save_network
from nanogen.small_networks.detector import class_map
from nanogen.small_networks.training import train
from nanogen.small_networks.vqa_questions import Pool, pool_of

TRAINABLE = "BlipForQuestionAnswering"
PAD, UNKNOWN, START, END = "[PAD]", "[UNK]", "[DEC]", "[SEP]"
PLACE = 10.0  # weight of the squared error of a position
WORDS = 1.0
PATCHES = 1.0
EACH = 4  # questions per image, in training and in validation


def word_tokenizer(texts: Iterable[str]) -> Any:
    """Build a tokenizer of the lower-case words and punctuation in ``texts``, and yes and no."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    normalizer, splitter = normalizers.Lowercase(), pre_tokenizers.BertPreTokenizer()
    found = {
        word
        for text in set(texts)
        for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))
    }
    words = [PAD, UNKNOWN, START, END, YES, NO, *sorted(found - {YES, NO})]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token=UNKNOWN))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, unk_token=UNKNOWN, sep_token=END, bos_token=START
    )


def build(model: Model, tokenizer: Any) -> LibraryNetwork:
    """Build an untrained BlipForQuestionAnswering with the configuration's architecture.

    Raises UserError for another class or an unknown key.
    """
    from transformers import BlipConfig, BlipForQuestionAnswering, BlipTextConfig, BlipVisionConfig

    if model.model_class != TRAINABLE:
        raise UserError(
            f"config/models/{model.name}.yaml: only {TRAINABLE} can be trained here, not "
            f"{model.model_class}; set its source to download or path"
        )
    keys = checked(model.architecture, ("vision_config", "text_config"), model.name)
    vision = checked(keys.get("vision_config", {}), BlipVisionConfig().to_dict(), model.name)
    text = checked(keys.get("text_config", {}), BlipTextConfig().to_dict(), model.name)
    vision = {"initializer_range": 0.02, **vision, "image_size": model.input_size}
    text |= {
        "encoder_hidden_size": BlipVisionConfig(**vision).hidden_size,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": model.max_tokens,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        "sep_token_id": tokenizer.sep_token_id,
    }
    return BlipForQuestionAnswering(BlipConfig(text_config=text, vision_config=vision))


def processor_of(model: Model, tokenizer: Any) -> Any:
    """Build the processor, which resizes and normalises images as configured, and tokenizes texts."""
    from transformers import BlipImageProcessor, BlipProcessor

    side = model.required("input_size")
    images = BlipImageProcessor(
        size={"height": side, "width": side},
        image_mean=list(model.image_mean),
        image_std=list(model.image_std),
    )
    tokenizer.model_max_length = model.max_tokens
    return BlipProcessor(images, tokenizer)


def save(network: LibraryNetwork, processor: Any, folder: Path) -> None:
    """Save network and processor with ``save_pretrained``."""
    save_network(network, folder)
    processor.save_pretrained(folder)


class Grounding:
    """Targets of the heads for images of scenes, whose objects are known.

    Attributes:
        shares: float32 (N, patches, kinds), the fractions of each patch that show the background or an
            object of some shape and colour; they sum to 1.
        number: int64 (N, shapes), the number of objects of each shape.
        color: int64 (N, shapes), the colour of the last of them.
        place: float32 (N, shapes, 2), the centre of the last of them, x and y in [0, 1].
    """

    def __init__(self, images: ImageFile, side: int, tokenizer: Any):
        assert images.objects is not None
        self.shares = _patch_shares(images, side)
        shapes = sorted({o["shape"] for objects in images.objects for o in objects})
        colors = sorted({o["color"] for objects in images.objects for o in objects})
        self.colors = len(colors)
        self.color = torch.zeros(len(images), len(shapes), dtype=torch.int64)
        self.number = torch.zeros(len(images), len(shapes), dtype=torch.int64)
        self.place = torch.zeros(len(images), len(shapes), 2)
        height, width = images.images.shape[1:3]
        number, color, place = self.number.numpy(), self.color.numpy(), self.place.numpy()
        for image, objects in enumerate(images.objects):
            for item in objects:
                x0, y0, x1, y1 = item["box"]
                at = image, shapes.index(item["shape"])
                number[at] += 1
                color[at] = colors.index(item["color"])
                place[at] = (x0 + x1) / (2 * width), (y0 + y1) / (2 * height)
        self._shape_of = torch.full((len(tokenizer),), -1)  # token -> the shape that it names
        for index, shape in enumerate(shapes):
            for word in (shape, noun(shape, count=2)):
                if (token := tokenizer.convert_tokens_to_ids(word)) != tokenizer.unk_token_id:
                    self._shape_of[token] = index

    def of_words(self, images: Tensor, ids: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the targets at words that name a shape.

        Args:
            images: indices of images, (B,).
            ids: tokens of a question about each of them, (B, L).

        Returns:
            Which tokens name a shape, bool (B, L), and for each of these W tokens the number of such
            objects (W,), the colour (W,) and the position (W, 2).
        """
        shape = self._shape_of[ids]
        named = shape >= 0
        image = images[:, None].expand_as(ids)[named]
        which = image, shape[named]
        return named, self.number[which], self.color[which], self.place[which]


def _patch_shares(images: ImageFile, side: int) -> Tensor:
    assert images.masks is not None
    assert images.objects is not None
    kinds = sorted({(o["shape"], o["color"]) for objects in images.objects for o in objects})
    numbers = np.zeros(images.masks.shape[:2], np.int64)
    for row, objects in zip(numbers, images.objects, strict=True):
        row[: len(objects)] = [1 + kinds.index((o["shape"], o["color"])) for o in objects]
    shown = torch.from_numpy(class_map(np.array(images.masks), numbers))
    count, height, width = shown.shape
    grid = shown.view(count, height // side, side, width // side, side)
    cells = grid.permute(0, 1, 3, 2, 4).reshape(count, -1, side * side)
    shares = torch.zeros(*cells.shape[:2], 1 + len(kinds))
    return shares.scatter_add_(2, cells, torch.full(cells.shape, 1.0 / side**2))


class Student(nn.Module):
    """The network and, if the objects in the images are known, heads that are not saved."""

    def __init__(self, network: LibraryNetwork, truth: Grounding | None):
        super().__init__()
        self.network, self.truth = network, truth
        if truth is not None:
            seen, said = (
                network.config.vision_config.hidden_size,
                network.config.text_config.hidden_size,
            )
            self.patches = nn.Linear(seen, truth.shares.shape[2])
            self.number = nn.Linear(said, 1 + MOST_OBJECTS)
            self.color = nn.Linear(said, truth.colors)
            self.place = nn.Linear(said, 2)

    def patch_loss(self, images: Tensor, seen: Tensor) -> Tensor:
        """Return the cross-entropy of the content of patches; ``seen`` includes the class token."""
        if self.truth is None:
            return torch.zeros(())
        shares = self.truth.shares[images]
        return F.cross_entropy(self.patches(seen[:, 1:]).flatten(0, 1), shares.flatten(0, 1))

    def word_loss(self, images: Tensor, ids: Tensor, encoded: Tensor) -> Tensor:
        """Return the loss at words that name a shape.

        It is the cross-entropy of the number of objects and, for single objects, that of the colour plus
        the squared error of the position.
        """
        if self.truth is None:
            return torch.zeros(())
        named, number, color, place = self.truth.of_words(images, ids)
        if not named.any():
            return torch.zeros(())
        words, single = encoded[named], number == 1
        seen = F.cross_entropy(self.color(words), color, reduction="none")
        error = seen + PLACE * (self.place(words) - place).square().sum(1)
        return F.cross_entropy(self.number(words), number) + (single * error).mean()


def train_vqa(
    stage: ModelStage, train_images: ImageFile, val_images: ImageFile, folder: Path
) -> dict[str, float]:
    """Train the VQA model of a ``model`` stage from scratch; save it and its processor in ``folder``.

    Returns the quality on questions about the validation images, half of which have the answer yes:
    ``accuracy_<kind>`` for each kind of question, and ``accuracy``, their mean.
    """
    model = stage.model
    pool = pool_of(train_images)
    tokenizer = word_tokenizer(pool.texts)
    with seeded(stage.seed, "weights", model.name):
        network = build(model, tokenizer)
        patch = network.config.vision_config.patch_size
        known = train_images.objects is not None
        student = Student(network, Grounding(train_images, patch, tokenizer) if known else None)
    questions = tokenizer(pool.texts, padding=True, return_tensors="pt", return_token_type_ids=False)
    yes, no = (tokenizer.convert_tokens_to_ids(word) for word in (YES, NO))

    def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
        place, chosen, true = map(torch.from_numpy, pool.draw(rows.numpy(), EACH * len(rows), rng))
        seen = encode_images(network, network_input(train_images.images[rows.numpy()]))
        asked = {name: values[chosen] for name, values in questions.items()}
        answer = torch.where(true, yes, no)
        total = PATCHES * student.patch_loss(rows, seen)
        for part, encoded, logits in answered(network, seen[place], asked, np.array([yes])):
            ids = asked["input_ids"][part, : encoded.shape[1]]
            wrong = F.cross_entropy(logits[:, 0], answer[part])
            share = len(part) / len(place)
            total = total + share * (wrong + WORDS * student.word_loss(rows[place[part]], ids, encoded))
        return total

    train(student, loss, stage, len(train_images))
    processor = processor_of(model, tokenizer)
    save(network, processor, folder)
    return _accuracy(AnswerGenerator(network, processor), pool_of(val_images), val_images, stage)


def _accuracy(
    model: AnswerGenerator, pool: Pool, images: ImageFile, stage: ModelStage
) -> dict[str, float]:
    rng = np.random.default_rng(seed_for(stage.seed, "questions", stage.model.name))
    place, chosen, true = pool.draw(np.arange(len(images)), EACH * len(images), rng)
    said = model.answer(images.images, place, [pool.texts[q] for q in chosen]).yes
    by_kind = {
        f"accuracy_{kind}": float((said == true)[pool.kind[chosen] == number].mean())
        for number, kind in enumerate(pool.kinds)
        if (pool.kind[chosen] == number).any()
    }
    return {"accuracy": float(np.mean(list(by_kind.values()))), **by_kind}
