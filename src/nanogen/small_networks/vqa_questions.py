"""Training questions for a small VQA model: all that can be asked about the study's images.

The pool of questions and their answers for every image are computed once, so that drawing a batch is a
look-up. Most questions with the answer no are nearly true: they ask for another colour, number or
position of an object in the image, like the child nodes in DPG-Bench's graphs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any

import numpy as np

from nanogen.data.images import ImageFile
from nanogen.data.scenes.scenes import MOST_OBJECTS, RELATIONS
from nanogen.data.wordnet import spoken
from nanogen.metrics import vqa_score
from nanogen.metrics.geneval import relations
from nanogen.prompts import questions
from nanogen.prompts.prompts import TAGS

NEAR = 0.75  # fraction of the false questions that are nearly true, if there are any
# "exists" is drawn more often: all other kinds depend on it, and it is learned last.
SHARES = {"exists": 3}
Asked = tuple[str, str, Mapping[str, Any]]  # kind, text, the question as GenEval metadata


class Facts:
    """The facts about N images of scenes, as arrays over shapes, colours and relations."""

    def __init__(self, objects: Sequence[Sequence[Mapping[str, Any]]]):
        self.shapes = sorted({o["shape"] for row in objects for o in row})
        self.colors = sorted({o["color"] for row in objects for o in row})
        s, c = len(self.shapes), len(self.colors)
        self._painted = np.zeros((len(objects), s, c), np.int64)
        self._related = np.zeros((len(objects), s, len(RELATIONS), s), bool)
        for image, row in enumerate(objects):
            for item in row:
                self._painted[image, self._shape(item["shape"]), self.colors.index(item["color"])] += 1
            for one, other in permutations(row, 2):
                ends = self._shape(one["shape"]), self._shape(other["shape"])
                for name in relations(one["box"], other["box"]) if ends[0] != ends[1] else ():
                    self._related[image, ends[0], RELATIONS.index(name), ends[1]] = True

    def _shape(self, name: str) -> int:
        return self.shapes.index(name)

    def _number(self, wanted: Mapping[str, Any]) -> np.ndarray:
        """Return the number of objects of the class (and colour) in each image, int64 (N,)."""
        painted = self._painted[:, self._shape(wanted["class"])]
        return painted[:, self.colors.index(wanted["color"])] if "color" in wanted else painted.sum(1)

    def holds(self, metadata: Mapping[str, Any]) -> np.ndarray:
        """Whether each image fulfils the metadata, bool (N,), by GenEval's rules."""
        include = metadata["include"]
        true = np.ones(len(self._painted), bool)
        for wanted in include:
            true &= self._number(wanted) >= wanted["count"]
            if "position" in wanted:
                relation, group = wanted["position"]
                ends = self._shape(wanted["class"]), self._shape(include[group]["class"])
                true &= self._related[:, ends[0], RELATIONS.index(relation), ends[1]]
        for unwanted in metadata.get("exclude", ()):
            true &= self._number(unwanted) < unwanted["count"]
        return true

    def close(self, metadata: Mapping[str, Any]) -> np.ndarray:
        """Whether each image nearly fulfils the metadata, bool (N,).

        The objects are there in any colour, number and position. If the metadata only asks whether
        several objects are there, one of them is enough.
        """
        there = [{"class": wanted["class"], "count": 1} for wanted in metadata["include"]]
        if metadata["include"] != there:
            return self.holds({"include": there})
        return np.any([self.holds({"include": [one]}) for one in there], 0) | (len(there) == 1)


def _of_scenes(facts: Facts) -> Iterator[Asked]:
    """Yield the questions in the graphs of prompts, then VQAScore's questions about whole prompts."""
    for shape in facts.shapes:
        one = {"class": shape, "count": 1}
        yield "exists", questions.exists(shape), {"include": [one]}
        for color in facts.colors:
            yield "color", questions.colored(shape, color), {"include": [{**one, "color": color}]}
        for count in range(2, MOST_OBJECTS + 1):
            exactly = {"include": [{**one, "count": count}], "exclude": [{**one, "count": count + 1}]}
            yield "count", questions.counted(shape, count), exactly
        for other, relation in product(facts.shapes, RELATIONS):
            if other != shape:
                both = [{"class": other, "count": 1}, {**one, "position": [relation, 0]}]
                yield "place", questions.placed(shape, relation, other), {"include": both}
    for tag, prompts in TAGS.items():
        for prompt in prompts():
            yield tag, vqa_score.question(prompt["prompt"]), prompt


@dataclass(frozen=True)
class Pool:
    """Q questions about N images.

    Attributes:
        texts: the questions.
        kinds: names of the kinds of questions.
        kind: int64 (Q,), index into ``kinds``.
        true: bool (N, Q), whether the answer is yes.
        near: bool (N, Q), whether the question is nearly true.
    """

    texts: list[str]
    kinds: list[str]
    kind: np.ndarray
    true: np.ndarray
    near: np.ndarray

    def draw(
        self, rows: np.ndarray, count: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw about ``count`` questions about the images ``rows`` (B,).

        Half of the questions of each kind are true. All kinds are equally frequent except those in
        `SHARES`. If no question of a kind is true of any of these images, or none false, that half is
        left out.

        Returns:
            Indices into ``rows`` and into ``texts``, int64 (Q,), and the answers, bool (Q,).
        """
        shares = [SHARES.get(kind, 1) for kind in self.kinds]
        unit = max(1, count // (2 * sum(shares)))
        true, near = self.true[rows], self.near[rows]
        found = []
        for number in range(len(self.kinds)):
            kind, each = self.kind == number, unit * shares[number]
            nearly = _pairs(~true & near & kind, round(NEAR * each), rng)
            found += [_pairs(true & kind, each, rng), nearly]
            found += [_pairs(~true & kind, each - nearly.shape[1], rng)]
        place, chosen = np.concatenate(found, 1)
        return place, chosen, true[place, chosen]


def _pairs(fitting: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw ``count`` pairs (image, question) for which ``fitting`` (B, Q) is true, int64 (2, count).

    First an image is drawn, then a question about it. The result is empty if ``fitting`` is nowhere
    true.
    """
    images = np.flatnonzero(fitting.any(1))
    if not len(images):
        return np.empty((2, 0), np.int64)
    chosen = images[rng.integers(len(images), size=count)]
    return np.stack([chosen, (rng.random((count, fitting.shape[1])) * fitting[chosen]).argmax(1)])


def _pool(asked: Sequence[Asked], true: list[np.ndarray], near: list[np.ndarray]) -> Pool:
    kinds = list(dict.fromkeys(kind for kind, _, _ in asked))
    numbers = np.array([kinds.index(kind) for kind, _, _ in asked])
    texts = [text for _, text, _ in asked]
    return Pool(texts, kinds, numbers, np.stack(true, 1), np.stack(near, 1))


def pool_of(images: ImageFile) -> Pool:
    """Build the pool of questions about images: about objects in scenes, otherwise about classes."""
    if images.objects is None:
        return _pool_of_classes(images)
    facts = Facts(images.objects)
    asked = list(_of_scenes(facts))
    metadata = [what for _, _, what in asked]
    return _pool(asked, [facts.holds(m) for m in metadata], [facts.close(m) for m in metadata])


def _pool_of_classes(images: ImageFile) -> Pool:
    """Build the pool for photographs: whether the class is there, and about their own captions."""
    captions = dict(zip(images.labels.tolist(), images.captions("short"), strict=True))
    asked: list[Asked] = []
    true = []
    for number, name in enumerate(images.classes):
        asked.append(("exists", questions.exists(spoken(name)), {}))
        true.append(images.labels == number)
        if number in captions:
            asked.append(("single_object", vqa_score.question(captions[number]), {}))
            true.append(images.labels == number)
    return _pool(asked, true, [np.ones(len(images), bool)] * len(asked))
