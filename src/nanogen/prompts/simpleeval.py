"""Draw any number of SimpleEval prompts from a grammar, in three levels.

A prompt is ``{prompt, tag, benchmark, images, include, exclude?, statement, foils}``. ``include`` and
``exclude`` are GenEval's metadata for a detector; ``statement`` is true of an image that shows the
prompt and ``foils`` are false of it, for a model that compares images with texts. Each prompt has one
image: for a given number of images, more prompts give a narrower interval.

Prompt i of a level is drawn from a generator seeded with the study's seed, the level and i. Studies with
different seeds thus have different prompts, and there is no fixed list that a model could memorise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from nanogen.data.scenes.scenes import COLORS, RADII, RELATIONS, SHAPES
from nanogen.errors import UserError
from nanogen.identity import seed_for
from nanogen.prompts.contents import COUNTS, Content, Thing, Vocabulary, meaning, near_misses, pick
from nanogen.prompts.files import Prompt

BENCHMARK = "simpleeval"
FOILS = 3
_TRIES = 1000  # attempts to find a new prompt

SCENES = Vocabulary(
    name="scenes",
    nouns=SHAPES,
    colors=tuple(COLORS),
    sizes=tuple(RADII),
    misses=("noun", "color", "size", "count", "relation", "swap", "presence"),
)
# Countable things, with the names of GenEval and its detector. A contrastive model reads a sentence much
# like a bag of words (Yuksekgonul et al. 2023, arXiv 2210.01936), so near misses in size, relation or
# the binding of attributes would measure nothing but its chance level.
OBJECTS = Vocabulary(
    name="objects",
    nouns=(
        *("airplane", "apple", "backpack", "banana", "bear", "bed", "bench", "bicycle", "bird"),
        *("boat", "book", "bottle", "bowl", "bus", "cake", "car", "carrot", "cat", "chair"),
        *("clock", "couch", "cow", "cup", "dining table", "dog", "donut", "elephant", "fork"),
        *("giraffe", "handbag", "horse", "kite", "knife", "laptop", "motorcycle", "oven", "pizza"),
        *("potted plant", "refrigerator", "sandwich", "sheep", "sink", "skateboard", "spoon"),
        *("suitcase", "surfboard", "teddy bear", "tie", "toaster", "toilet", "toothbrush"),
        *("train", "truck", "umbrella", "vase", "wine glass", "zebra"),
    ),
    colors=("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white"),
    sizes=("small", "large"),
    misses=("noun", "color", "count", "presence"),
    template="a photo of {}",
    plurals={"knife": "knives", "sheep": "sheep"},
)
VOCABULARIES = {words.name: words for words in (SCENES, OBJECTS)}


# ---------------------------------------------------------------------------------- grammar

Draw = Callable[[Vocabulary, np.random.Generator], Content]


def _two_nouns(words: Vocabulary, rng: np.random.Generator) -> list[str]:
    return [words.nouns[i] for i in rng.permutation(len(words.nouns))[:2]]


def _with_one(words: Vocabulary, rng: np.random.Generator, noun: str) -> Thing:
    """Draw a thing with a colour or a size; each word is equally likely."""
    word = pick(rng, (*words.colors, *words.sizes))
    return Thing(noun, **{"color" if word in words.colors else "size": word})


def _with_both(words: Vocabulary, rng: np.random.Generator, noun: str) -> Thing:
    return Thing(noun, color=pick(rng, words.colors), size=pick(rng, words.sizes))


def _described(words: Vocabulary, rng: np.random.Generator) -> Content:
    make = pick(rng, (_with_one, _with_both, _with_both))
    return Content((make(words, rng, pick(rng, words.nouns)),))


def _counted(words: Vocabulary, rng: np.random.Generator) -> Content:
    count = pick(rng, [number for number in COUNTS if number > 1])
    return Content((Thing(pick(rng, words.nouns), count, pick(rng, words.colors)),))


def _pair(words: Vocabulary, rng: np.random.Generator) -> Content:
    return Content(tuple(_with_one(words, rng, noun) for noun in _two_nouns(words, rng)))


def _negated(words: Vocabulary, rng: np.random.Generator) -> Content:
    noun, absent = _two_nouns(words, rng)
    make = pick(rng, (_with_one, _with_both))
    return Content((make(words, rng, noun),), without=absent)


def _detailed_pair(words: Vocabulary, rng: np.random.Generator) -> Content:
    return Content(tuple(_with_both(words, rng, noun) for noun in _two_nouns(words, rng)))


def _placed_pair(words: Vocabulary, rng: np.random.Generator) -> Content:
    things = tuple(_with_one(words, rng, noun) for noun in _two_nouns(words, rng))
    return Content(things, relation=pick(rng, RELATIONS))


# Levels, by the number of demands in a prompt; prompts cycle through the kinds of their level.
LEVELS: dict[str, tuple[Draw, ...]] = {
    "easy": (_described, _counted),
    "medium": (_pair, _negated),
    "hard": (_detailed_pair, _placed_pair),
}


# ---------------------------------------------------------------------------------- prompts


def _prompt(content: Content, words: Vocabulary, level: str, rng: np.random.Generator) -> Prompt:
    misses = near_misses(content, words, rng, FOILS)
    return {
        "prompt": content.text(words),
        "tag": level,
        "benchmark": BENCHMARK,
        "images": 1,
        **content.metadata,
        "statement": content.statement.text(words),
        "foils": [miss.text(words) for miss in misses],
    }


def _of_level(seed: int, words: Vocabulary, level: str, count: int, known: set[str]) -> Iterator[Prompt]:
    kinds = LEVELS[level]
    for index in range(count):
        rng = np.random.default_rng(seed_for(seed, BENCHMARK, words.name, level, index))
        for attempt in range(_TRIES):
            content = kinds[(index + attempt) % len(kinds)](words, rng)
            keys = {meaning(content.metadata), content.text(words)}
            if not keys & known:
                break
        else:
            raise UserError(
                f"evaluation.simpleeval.prompts: the vocabulary {words.name!r} has fewer than {count} "
                f"different prompts of the level {level} (found {index}); lower it"
            )
        known |= keys
        yield _prompt(content, words, level, rng)


def simple_prompts(
    seed: int, vocabulary: str, count: int, others: Iterable[Mapping[str, Any]] = ()
) -> list[Prompt]:
    """Draw ``count`` prompts, equally many of each level, none with the meaning of one in ``others``.

    The first prompts of a level do not depend on the count. Raises UserError for an unknown vocabulary,
    or if it is too small for this number.
    """
    if vocabulary not in VOCABULARIES:
        raise UserError(
            f"evaluation.simpleeval.vocabulary: {vocabulary!r} is none of {', '.join(VOCABULARIES)}"
        )
    known = {key for prompt in others for key in (meaning(prompt), prompt["prompt"])}
    per_level = count // len(LEVELS)
    return [
        prompt
        for level in LEVELS
        for prompt in _of_level(seed, VOCABULARIES[vocabulary], level, per_level, known)
    ]
