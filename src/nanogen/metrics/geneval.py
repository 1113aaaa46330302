"""GenEval (Ghosh et al. 2023, arXiv 2310.11513): decide whether an image shows its prompt.

This module only decides; the objects in the image are a list of `Detection` from any detector
(`nanogen.metrics.detector`). A prompt's metadata has GenEval's form: ``{tag, include: [{class, count,
color?, position?: [relation, group]}], exclude?: [{class, count}]}``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np

from nanogen.errors import UserError, nearest
from nanogen.statistics.prompts import ends, group, interval

Metadata = Mapping[str, Any]

TAGS = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
MIN_SCORE = 0.3
MIN_SCORE_COUNTING = 0.9
MAX_PER_CLASS = 16
POSITION_MARGIN = 0.1  # share of the boxes' summed size; a smaller offset is neither left nor right
POSITION_SHARE = 0.5  # share of the centres' distance that the offset along an axis must exceed
COLORS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")


class Detection(TypedDict):
    """An object in an image.

    Attributes:
        cls: its class, as named in prompts.
        box: x0, y0, x1, y1 in pixels.
        score: the detector's confidence, in [0, 1].
        color: the name of its colour; empty if the detector does not name colours.
    """

    cls: str
    box: Sequence[float]
    score: float
    color: str


def relations(box: Sequence[float], target: Sequence[float]) -> set[str]:
    """The position of ``box`` relative to ``target``: a set of left of, right of, above, below.

    y grows downward. On each axis, the offset of the centres is shrunk toward 0 by a tenth of the summed
    sizes. A relation holds if the shrunk offset exceeds half of the length of the original offset
    vector.
    """
    a, b = np.asarray(box, float).reshape(2, 2), np.asarray(target, float).reshape(2, 2)
    offset = a.mean(0) - b.mean(0)
    size = np.abs(a[1] - a[0]) + np.abs(b[1] - b[0])
    shrunk = np.sign(offset) * np.maximum(np.abs(offset) - POSITION_MARGIN * size, 0)
    if not shrunk.any():
        return set()
    x, y = shrunk / np.linalg.norm(offset)
    return {
        name
        for name, share in (("left of", -x), ("right of", x), ("above", -y), ("below", y))
        if share > POSITION_SHARE
    }


def _kept(metadata: Metadata, detections: Sequence[Detection]) -> dict[str, list[Detection]]:
    """Return the detections with a sufficient score, by class, in descending order of score."""
    least = MIN_SCORE_COUNTING if metadata["tag"] == "counting" else MIN_SCORE
    kept: dict[str, list[Detection]] = defaultdict(list)
    for detection in sorted(detections, key=lambda d: -d["score"]):
        objects = kept[detection["cls"]]
        if detection["score"] > least and len(objects) < MAX_PER_CLASS:
            objects.append(detection)
    return kept


def _color_fault(wanted: Mapping[str, Any], objects: Sequence[Detection]) -> str | None:
    color, name, count = wanted["color"], wanted["class"], wanted["count"]
    seen = Counter(o["color"] for o in objects)
    if seen[color] >= count:
        return None
    names = [c for c in COLORS if c in seen] + sorted(c for c in seen if c not in COLORS)
    others = ", ".join(f"{seen[c]} {c}" for c in names)
    return f"expected {color} {name}>={count}, found {seen[color]} {color}; and {others}"


def _position_fault(
    wanted: Mapping[str, Any], objects: Sequence[Detection], groups: Sequence[list | None]
) -> str | None:
    name, (relation, group) = wanted["class"], wanted["position"]
    targets = groups[group]
    if targets is None:
        return f"no target for {name} to be {relation}"
    for item in objects:
        for target in targets:
            found = relations(item["box"], target["box"])
            if relation not in found:
                shown = " and ".join(sorted(found))
                return f"expected {name} {relation} target, found {shown} target"
    return None


def judge(metadata: Metadata, detections: Sequence[Detection]) -> tuple[bool, str]:
    """Return whether the detections fulfil the metadata, and a line for each demand that is not met.

    The ``count`` objects with the highest scores of each class are used. The position in a demand refers
    to the objects of an earlier demand (a *group*), which must have been met.
    """
    kept = _kept(metadata, detections)
    faults: list[str] = []
    groups: list[list[Detection] | None] = []
    for wanted in metadata.get("include", ()):
        name, count = wanted["class"], wanted["count"]
        objects = kept[name][:count]
        fault = None
        if len(objects) < count:
            fault = f"expected {name}>={count}, found {len(objects)}"
        elif "color" in wanted:
            fault = _color_fault(wanted, objects)
        if fault is None and "position" in wanted:
            fault = _position_fault(wanted, objects, groups)
        if fault is not None:
            faults.append(fault)
        groups.append(objects if fault is None else None)
    for unwanted in metadata.get("exclude", ()):
        name, count = unwanted["class"], unwanted["count"]
        if len(kept[name]) >= count:
            faults.append(f"expected {name}<{count}, found {len(kept[name])}")
    return not faults, "\n".join(faults)


@dataclass(frozen=True)
class Verdict:
    """One image's result: the index of its prompt, the prompt's tag, and the decision."""

    prompt: int
    tag: str
    correct: bool


def summarise(verdicts: Sequence[Verdict], headline: str = "tags") -> dict[str, float]:
    """Compute scores, which are fractions in [0, 1].

    ``geneval`` is the mean over tags of the fraction of correct images; each tag's fraction has the
    tag's name. ``image_accuracy`` is the fraction of correct images, ``prompt_accuracy`` that of prompts
    with at least one correct image.

    With ``headline`` "images", ``geneval`` is the fraction of images and ``tag_mean`` the mean over
    tags.
    """
    tags, prompts = defaultdict(list), defaultdict(list)
    for verdict in verdicts:
        tags[verdict.tag].append(verdict.correct)
        prompts[verdict.prompt].append(verdict.correct)
    order = [t for t in TAGS if t in tags] + sorted(t for t in tags if t not in TAGS)
    fractions = {tag: float(np.mean(tags[tag])) for tag in order}
    by_tag = float(np.mean(list(fractions.values())))
    by_image = float(np.mean([v.correct for v in verdicts]))
    main = {"geneval": by_image, "tag_mean": by_tag} if headline == "images" else {"geneval": by_tag}
    return {
        **main,
        **fractions,
        "image_accuracy": by_image,
        "prompt_accuracy": float(np.mean([any(correct) for correct in prompts.values()])),
    }


def intervals(verdicts: Sequence[Verdict], headline: str = "tags") -> dict[str, float]:
    """Compute the ends of the 95 % intervals of ``geneval`` and of each tag by a bootstrap over prompts.

    Their names end with ``_low`` and ``_high``. A score that includes a tag with a single prompt has no
    interval.
    """
    by_tag = defaultdict(list)
    for verdict in verdicts:
        by_tag[verdict.tag].append(verdict)
    groups = {
        tag: group(np.array([v.correct for v in found]), [v.prompt for v in found])
        for tag, found in by_tag.items()
    }
    whole = group(np.array([v.correct for v in verdicts]), [v.prompt for v in verdicts])
    headlines = {"tags": list(groups.values()), "images": [whole]}
    parts = {"geneval": headlines[headline], **{tag: [groups[tag]] for tag in groups}}
    found: dict[str, float] = {}
    for name, of in parts.items():
        found |= ends(name, interval(of, "geneval", name))
    return found


def check_classes(prompts: Sequence[Metadata], classes: Sequence[str]) -> None:
    """Raise UserError for a prompt with a class that is not among the detector's ``classes``."""
    for number, prompt in enumerate(prompts, 1):
        for wanted in (*prompt.get("include", ()), *prompt.get("exclude", ())):
            if wanted["class"] not in classes:
                raise UserError(
                    f"prompt {number} has {wanted['class']!r}, which the detector does not know"
                    f"{nearest(wanted['class'], classes)}"
                )


def judged(
    prompts: Sequence[Metadata], of_image: Sequence[int], seen: Sequence[Sequence[Detection]]
) -> list[Verdict]:
    """Judge images with detections ``seen``; image i belongs to prompts[of_image[i]]."""
    return [
        Verdict(p, prompts[p]["tag"], judge(prompts[p], found)[0])
        for p, found in zip(map(int, of_image), seen, strict=True)
    ]


def score(
    prompts: Sequence[Metadata],
    of_image: Sequence[int],
    seen: Sequence[Sequence[Detection]],
    headline: str = "tags",
) -> dict[str, float]:
    """Compute scores (`summarise`) of images with detections ``seen``; see `judged`."""
    return summarise(judged(prompts, of_image, seen), headline)


def chance(
    prompts: Sequence[Metadata],
    of_image: Sequence[int],
    seen: Sequence[Sequence[Detection]],
    rotations: int = 32,
    headline: str = "tags",
) -> dict[str, float]:
    """Compute the chance level: the `score` of images with the prompts of other images.

    Every image is judged by the prompt k positions further on, and the scores are averaged over up to
    ``rotations`` evenly spaced k. Empty for a single prompt.
    """
    total = len(prompts)
    shifts = sorted({1 + k * (total - 1) // rotations for k in range(rotations)}) if total > 1 else []
    rotated = [score(prompts, [(int(p) + k) % total for p in of_image], seen, headline) for k in shifts]
    names = [name for name in ("geneval", *TAGS) if any(name in values for values in rotated)]
    return {n: float(np.mean([values[n] for values in rotated if n in values])) for n in names}
