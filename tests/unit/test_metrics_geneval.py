"""GenEval's decision: thresholds, positions, colours, and the scores over many decisions."""

from __future__ import annotations

import pytest

from nanogen.metrics.geneval import Verdict, chance, judge, relations, score, summarise


def _seen(cls: str, score: float = 0.95, box=(0, 0, 10, 10), color: str = "red") -> dict:
    return {"cls": cls, "box": list(box), "score": score, "color": color}


def _asks(tag: str, *include: dict, **more) -> dict:
    return {"tag": tag, "include": list(include), **more}


def test_a_detection_counts_above_its_threshold_only():
    one = _asks("single_object", {"class": "cup", "count": 1})
    assert judge(one, [_seen("cup", 0.31)]) == (True, "")
    assert judge(one, [_seen("cup", 0.3)]) == (False, "expected cup>=1, found 0")
    two = _asks("counting", {"class": "cup", "count": 2}, exclude=[{"class": "cup", "count": 3}])
    assert judge(two, [_seen("cup"), _seen("cup", 0.91)])[0]
    assert judge(two, [_seen("cup"), _seen("cup", 0.9)]) == (False, "expected cup>=2, found 1")
    assert judge(two, [_seen("cup")] * 3) == (False, "expected cup<3, found 3")


def test_at_most_sixteen_objects_of_a_class_are_counted():
    asks = _asks("counting", {"class": "cup", "count": 1}, exclude=[{"class": "cup", "count": 17}])
    assert judge(asks, [_seen("cup")] * 40)[0]


def test_the_surest_object_decides_the_colour():
    asks = _asks("colors", {"class": "cup", "count": 1, "color": "blue"})
    assert judge(asks, [_seen("cup", 0.5), _seen("cup", 0.9, color="blue")])[0]
    right, reason = judge(asks, [_seen("cup", 0.9), _seen("cup", 0.5, color="blue")])
    assert not right
    assert reason == "expected blue cup>=1, found 0 blue; and 1 red"


def test_relations_need_a_clear_offset():
    target = (10, 10, 20, 20)
    assert relations((30, 10, 40, 20), target) == {"right of"}
    assert relations((11, 10, 21, 20), target) == set()  # within the margin of 2 pixels
    assert relations((0, 0, 10, 10), target) == {"left of", "above"}
    assert relations((10, 40, 20, 50), target) == {"below"}
    # 12 and 7 pixels, shrunk to 10 and 5: 5 of a length of 13.9 is no "below"
    assert relations((22, 17, 32, 27), target) == {"right of"}


def test_position_refers_to_the_earlier_object():
    asks = _asks(
        "position",
        {"class": "cup", "count": 1},
        {"class": "dog", "count": 1, "position": ["left of", 0]},
    )
    cup, left, right = (_seen(*a) for a in (("cup", 0.9, (40, 0, 50, 10)), ("dog",), ("dog",)))
    right["box"] = [80, 0, 90, 10]
    assert judge(asks, [cup, left]) == (True, "")
    assert judge(asks, [cup, right]) == (False, "expected dog left of target, found right of target")
    _, reason = judge(asks, [left])
    assert reason == "expected cup>=1, found 0\nno target for dog to be left of"


def test_the_score_is_the_mean_over_tags_not_images():
    verdicts = [Verdict(0, "colors", True), Verdict(0, "colors", False)]
    verdicts += [Verdict(p, "position", False) for p in range(1, 7)]
    values = summarise(verdicts)
    assert values == {
        "geneval": 0.25,
        "colors": 0.5,
        "position": 0.0,
        "image_accuracy": 1 / 8,
        "prompt_accuracy": 1 / 7,
    }


def test_chance_is_what_images_of_other_prompts_score():
    prompts = [_asks("single_object", {"class": name, "count": 1}) for name in "abcd"]
    images = [0, 1, 2, 3]
    faithful = [[_seen(name)] for name in "abcd"]
    assert score(prompts, images, faithful)["geneval"] == 1
    assert chance(prompts, images, faithful)["geneval"] == 0
    everything = [[_seen(name) for name in "abcd"]] * 4  # shows everything for every prompt
    assert chance(prompts, images, everything)["geneval"] == 1
    constant = [[_seen("a")]] * 4
    assert score(prompts, images, constant)["geneval"] == pytest.approx(0.25)
    assert chance(prompts, images, constant)["geneval"] == pytest.approx(0.25)
