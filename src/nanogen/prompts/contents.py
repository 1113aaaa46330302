"""The content of an image in three forms: in words, as GenEval's metadata, and as near misses.

A *content* consists of one or two kinds of things with count, colour and size, and optionally of a
relation and of one thing that must be absent. A *near miss* is a content with one change, such that an
image that shows the original does not show the near miss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from nanogen.data.scenes.scenes import RELATIONS
from nanogen.identity import canonical_json

COUNTS = {1: "a", 2: "two", 3: "three", 4: "four"}
_TRIES = 200  # number of near misses to try; the smallest vocabulary needs about ten to find three


@dataclass(frozen=True)
class Vocabulary:
    """The words of contents.

    Attributes:
        name: its name in the configuration.
        nouns: nouns in the singular; plurals are regular unless listed in ``plurals``.
        template: the sentence around the phrase.
        misses: the kinds of near misses, keys of ``MISSES``, that a weak scorer can recognise.
    """

    name: str
    nouns: tuple[str, ...]
    colors: tuple[str, ...]
    sizes: tuple[str, ...]
    misses: tuple[str, ...]
    template: str = "{}"
    plurals: dict[str, str] = field(default_factory=dict)

    def plural(self, noun: str) -> str:
        if noun in self.plurals:
            return self.plurals[noun]
        return noun + ("es" if noun.endswith(("s", "sh", "ch", "x")) else "s")


@dataclass(frozen=True)
class Thing:
    """One kind of object: ``count`` of them, all of the same colour and size if these are given."""

    noun: str
    count: int = 1
    color: str | None = None
    size: str | None = None

    def phrase(self, vocabulary: Vocabulary) -> str:
        """Return a phrase such as ``a red circle``, ``an orange bench`` or ``two small buses``."""
        noun = self.noun if self.count == 1 else vocabulary.plural(self.noun)
        words = " ".join(word for word in (self.size, self.color, noun) if word)
        article = COUNTS[self.count]
        return f"{'an' if article == 'a' and words[0] in 'aeiou' else article} {words}"

    @property
    def metadata(self) -> dict[str, Any]:
        said = {"color": self.color, "size": self.size}
        return {"class": self.noun, "count": self.count, **{k: v for k, v in said.items() if v}}


@dataclass(frozen=True)
class Content:
    """One or two things.

    Attributes:
        things: the things.
        relation: position of the first thing relative to the second, one of RELATIONS.
        without: a noun of which there must be none.
    """

    things: tuple[Thing, ...]
    relation: str | None = None
    without: str | None = None

    @property
    def nouns(self) -> set[str]:
        return {thing.noun for thing in self.things} | ({self.without} if self.without else set())

    def text(self, vocabulary: Vocabulary) -> str:
        phrases = [thing.phrase(vocabulary) for thing in self.things]
        said = f" {self.relation or 'and'} ".join(phrases)
        if self.without:
            said += f" without {Thing(self.without).phrase(vocabulary)}"
        return vocabulary.template.format(said)

    @property
    def statement(self) -> Content:
        """The content without the noun that must be absent, because matching models ignore negation."""
        return replace(self, without=None)

    @property
    def metadata(self) -> dict[str, Any]:
        """GenEval's ``include`` and ``exclude`` (`nanogen.metrics.geneval.judge`), with ``size``.

        In a relation, the second thing, which the position refers to, comes first.
        """
        if self.relation:
            first, second = self.things
            related = {**first.metadata, "position": [self.relation, 0]}
            return {"include": [second.metadata, related]}
        include = [thing.metadata for thing in self.things]
        exclude = [{"class": t.noun, "count": t.count + 1} for t in self.things if t.count > 1]
        exclude += [{"class": self.without, "count": 1}] if self.without else []
        return {"include": include, **({"exclude": exclude} if exclude else {})}


def meaning(metadata: Mapping[str, Any]) -> str:
    """Return a text that is equal for prompts of the same meaning, regardless of their wording.

    The order of things without a relation does not matter.
    """
    include, exclude = metadata["include"], metadata.get("exclude", [])
    related = any("position" in item for item in include)
    said = [canonical_json(item) for item in include]
    return canonical_json([said if related else sorted(said), sorted(map(canonical_json, exclude))])


# ------------------------------------------------------------------------------ near misses

Change = Callable[[Content, Vocabulary, np.random.Generator], Content | None]


def pick(rng: np.random.Generator, options: Any) -> Any:
    """Draw one of ``options`` with equal probability."""
    return options[int(rng.integers(len(options)))]


def _other(rng: np.random.Generator, options: Any, taken: Any) -> str:
    return pick(rng, [option for option in options if option not in taken])


def _changed(content: Content, index: int, **keys: Any) -> Content:
    things = list(content.things)
    things[index] = replace(things[index], **keys)
    return replace(content, things=tuple(things))


def _noun(content: Content, words: Vocabulary, rng: np.random.Generator) -> Content | None:
    index = int(rng.integers(len(content.things)))
    return _changed(content, index, noun=_other(rng, words.nouns, content.nouns))


def _one_with(
    rng: np.random.Generator, content: Content, said: Callable[[Thing], str | None]
) -> int | None:
    """Draw the index of a thing that has this attribute; None if there is none."""
    places = [place for place, thing in enumerate(content.things) if said(thing)]
    return pick(rng, places) if places else None


def _color(content: Content, words: Vocabulary, rng: np.random.Generator) -> Content | None:
    index = _one_with(rng, content, lambda thing: thing.color)
    if index is None:
        return None
    return _changed(content, index, color=_other(rng, words.colors, [content.things[index].color]))


def _size(content: Content, words: Vocabulary, rng: np.random.Generator) -> Content | None:
    index = _one_with(rng, content, lambda thing: thing.size)
    if index is None:
        return None
    return _changed(content, index, size=_other(rng, words.sizes, [content.things[index].size]))


def _count(content: Content, words: Vocabulary, rng: np.random.Generator) -> Content | None:
    if len(content.things) > 1:
        return None
    return _changed(content, 0, count=_other(rng, list(COUNTS), [content.things[0].count]))


def _relation(content: Content, words: Vocabulary, rng: np.random.Generator) -> Content | None:
    if not content.relation:
        return None
    return replace(content, relation=_other(rng, RELATIONS, [content.relation]))


def _swap(content: Content, words: Vocabulary, rng: np.random.Generator) -> Content | None:
    """Exchange colours and sizes, if both things have the same attributes with different values.

    Otherwise an image could fulfil both: a small circle and a red square could also be a red circle and
    a small square.
    """
    if len(content.things) < 2:
        return None
    first, second = content.things
    said = ((first.color, second.color), (first.size, second.size))
    if not any(one and other and one != other for one, other in said):
        return None
    things = (
        replace(first, color=second.color, size=second.size),
        replace(second, color=first.color, size=first.size),
    )
    return replace(content, things=things)


def _presence(content: Content, words: Vocabulary, rng: np.random.Generator) -> Content | None:
    """Add a thing: the one that must be absent, or any other."""
    if len(content.things) > 1:
        return None
    noun = content.without or _other(rng, words.nouns, content.nouns)
    return replace(content, things=(*content.things, Thing(noun)))


MISSES: dict[str, Change] = {
    "noun": _noun,
    "color": _color,
    "size": _size,
    "count": _count,
    "relation": _relation,
    "swap": _swap,
    "presence": _presence,
}


def _misses(content: Content, words: Vocabulary, rng: np.random.Generator) -> Iterator[Content]:
    """Yield near misses, cycling through the kinds; first one with the thing that must be absent."""
    kinds = [words.misses[i] for i in rng.permutation(len(words.misses))]
    if content.without:
        kinds.sort(key=lambda kind: kind != "presence")
    for number in range(_TRIES):
        changed = MISSES[kinds[number % len(kinds)]](content, words, rng)
        if changed:
            yield changed.statement


def near_misses(
    content: Content, words: Vocabulary, rng: np.random.Generator, count: int
) -> list[Content]:
    """Return ``count`` different near misses of ``content.statement``, of as many kinds as possible.

    Raises ValueError if the vocabulary is too small.
    """
    found: dict[Content, None] = {}
    for miss in _misses(content, words, rng):
        found[miss] = None
        if len(found) == count:
            return list(found)
    raise ValueError(f"{content.text(words)!r} has only {len(found)} near misses, not {count}")
