"""Training of the nano study's VQA model: a small BLIP that learns to answer about its own images.

An answer says one bit about an image, too little to learn to see in a minute. So where masks are
known, the image encoder also tells, by a linear head that is not kept, what each patch shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nanogen.data.images import ImageFile
from nanogen.errors import UserError
from nanogen.identity import seed_for
from nanogen.metrics.detector import network_input
from nanogen.metrics.detector_training import class_map
from nanogen.metrics.vqa import (
    NO,
    YES,
    AnswerGenerator,
    answer_logits,
    encode_images,
)
from nanogen.metrics.vqa_questions import Pool, pool_of
from nanogen.models.loading import save_network
from nanogen.models.training import checked, seeded, train

TRAINABLE = "BlipForQuestionAnswering"
PAD, UNKNOWN, START, END = "[PAD]", "[UNK]", "[DEC]", "[SEP]"
EACH = 8  # questions about every image of a batch
EVALUATED = 8  # questions about every validation image


def word_tokenizer(texts: Iterable[str]) -> Any:
    """A tokenizer whose tokens are the lower-case words and signs of ``texts``, and yes and no."""
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


def build(model: Mapping[str, Any], tokenizer: Any) -> nn.Module:
    """An untrained BlipForQuestionAnswering of the configuration's architecture."""
    from transformers import BlipConfig, BlipForQuestionAnswering, BlipTextConfig, BlipVisionConfig

    if model["model_class"] != TRAINABLE:
        raise UserError(
            f"config/models/{model['name']}.yaml: only {TRAINABLE} can be made here, not "
            f"{model['model_class']}; set its source to download or path"
        )
    keys = checked(model["architecture"], ("vision_config", "text_config"), model["name"])
    vision = checked(keys.get("vision_config", {}), BlipVisionConfig().to_dict(), model["name"])
    text = checked(keys.get("text_config", {}), BlipTextConfig().to_dict(), model["name"])
    vision = {"initializer_range": 0.02, **vision, "image_size": model["input_size"]}
    text |= {
        "encoder_hidden_size": BlipVisionConfig(**vision).hidden_size,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": model["max_tokens"],
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        "sep_token_id": tokenizer.sep_token_id,
    }
    return BlipForQuestionAnswering(BlipConfig(text_config=text, vision_config=vision))


def processor_of(model: Mapping[str, Any], tokenizer: Any) -> Any:
    """What the network is fed: images of its size, normalised as configured, and tokens."""
    from transformers import BlipImageProcessor, BlipProcessor

    side = model["input_size"]
    images = BlipImageProcessor(
        size={"height": side, "width": side},
        image_mean=list(model["image_mean"]),
        image_std=list(model["image_std"]),
    )
    tokenizer.model_max_length = model["max_tokens"]
    return BlipProcessor(images, tokenizer)


def save(network: nn.Module, processor: Any, folder: Path) -> None:
    """Network and processor as ``save_pretrained`` writes them."""
    save_network(network, folder)
    processor.save_pretrained(folder)


def patch_shares(images: ImageFile, side: int) -> Tensor:
    """What part of each patch of ``side`` pixels shows what: float32 (N, patches, kinds), summing to 1.

    Kinds are the background and every pair of shape and colour.
    """
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
    """The network with the head that tells what patches show, where that is known."""

    def __init__(self, network: nn.Module, kinds: int):
        super().__init__()
        self.network = network
        width = network.config.vision_config.hidden_size
        self.patches = nn.Linear(width, kinds) if kinds else None

    def seen_loss(self, seen: Tensor, shares: Tensor) -> Tensor:
        """Cross-entropy of what patches show; ``seen`` with the class token, ``shares`` as targets."""
        assert self.patches is not None
        return F.cross_entropy(self.patches(seen[:, 1:]).flatten(0, 1), shares.flatten(0, 1))


def train_vqa(
    stage: Mapping[str, Any], train_images: ImageFile, val_images: ImageFile, folder: Path
) -> dict[str, float]:
    """Train the VQA model of a stage `model` from scratch, save it with its processor to ``folder``.

    Returns the quality on questions about the validation images, half of them true: ``accuracy``, the
    mean over the kinds of questions, and ``accuracy_<kind>``.
    """
    model = stage["model"]
    pool = pool_of(train_images)
    tokenizer = word_tokenizer(pool.texts)
    with seeded(stage["seed"], "weights", model["name"]):
        network = build(model, tokenizer)
        patch = network.config.vision_config.patch_size
        shares = None if train_images.masks is None else patch_shares(train_images, patch)
        student = Student(network, 0 if shares is None else shares.shape[2])
    tokens = tokenizer(pool.texts, padding=True, return_tensors="pt", return_token_type_ids=False)
    yes, no = (tokenizer.convert_tokens_to_ids(word) for word in (YES, NO))

    def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
        place, chosen, true = pool.draw(rows.numpy(), EACH, rng)
        seen = encode_images(network, network_input(train_images.images[rows.numpy()]))
        asked = {name: values[torch.from_numpy(chosen)] for name, values in tokens.items()}
        logits = answer_logits(network, seen[torch.from_numpy(place)], asked, np.array([yes]))[:, 0]
        answer = F.cross_entropy(logits, torch.where(torch.from_numpy(true), yes, no))
        return answer if shares is None else answer + student.seen_loss(seen, shares[rows])

    train(student, loss, stage, len(train_images))
    processor = processor_of(model, tokenizer)
    save(network, processor, folder)
    return _accuracy(AnswerGenerator(network, processor), pool_of(val_images), val_images, stage)


def _accuracy(
    model: AnswerGenerator, pool: Pool, images: ImageFile, stage: Mapping[str, Any]
) -> dict[str, float]:
    rng = np.random.default_rng(seed_for(stage["seed"], "questions", stage["model"]["name"]))
    place, chosen, true = pool.draw(np.arange(len(images)), EVALUATED, rng)
    said = model.answer(images.images, place, [pool.texts[q] for q in chosen]).yes
    by_kind = {
        f"accuracy_{kind}": float((said == true)[pool.kind[chosen] == number].mean())
        for number, kind in enumerate(pool.kinds)
        if (pool.kind[chosen] == number).any()
    }
    return {"accuracy": float(np.mean(list(by_kind.values()))), **by_kind}
