"""SimpleEval's prompts: what is drawn, that it is new, and that the text and the metadata agree."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from nanogen.config import load_study, stages
from nanogen.data.scenes.captions import noun, one, pair, several
from nanogen.data.scenes.render import box, render
from nanogen.errors import UserError
from nanogen.metrics.geneval import judge
from nanogen.prompts.contents import MISSES, Content, Thing, meaning, near_misses
from nanogen.prompts.files import GENEVAL, of_benchmark, read_prompts
from nanogen.prompts.ideal_scenes import scene_of
from nanogen.prompts.prompts import prompts_of, scene_prompts
from nanogen.prompts.simpleeval import BENCHMARK, FOILS, LEVELS, OBJECTS, SCENES, simple_prompts

SHARED = Path(__file__).parents[2].parent / "shared/reference/prompts"
RNG = np.random.default_rng(0)


def seen(scene) -> list[dict]:
    """What a perfect detector finds in a rendered scene."""
    _, masks = render(scene, 64)
    return [
        {"cls": o.shape, "color": o.color, "score": 1.0, "box": box(mask)}
        for o, mask in zip(scene.objects, masks, strict=False)
    ]


def test_the_same_seed_draws_the_same_and_another_draws_others():
    first = simple_prompts(7, "scenes", 60)
    assert first == simple_prompts(7, "scenes", 60)
    other = simple_prompts(8, "scenes", 60)
    shared = {p["prompt"] for p in first} & {p["prompt"] for p in other}
    assert len(shared) < 30


def test_a_longer_list_begins_with_the_shorter_level_by_level():
    short, long = (simple_prompts(7, "objects", count) for count in (30, 90))
    for level in LEVELS:
        few, many = ([p for p in prompts if p["tag"] == level] for prompts in (short, long))
        assert many[: len(few)] == few


@pytest.mark.parametrize(("vocabulary", "count"), [("scenes", 300), ("objects", 3000)])
def test_levels_share_equally_and_no_prompt_is_repeated(vocabulary, count):
    prompts = simple_prompts(7, vocabulary, count)
    assert Counter(p["tag"] for p in prompts) == dict.fromkeys(LEVELS, count // 3)
    assert len({p["prompt"] for p in prompts}) == len({meaning(p) for p in prompts}) == count


def test_harder_prompts_ask_for_more():
    def demands(prompt):
        things = prompt["include"]
        said = sum(len(thing.keys() - {"class", "count"}) for thing in things)
        return said + len(things) + len(prompt.get("exclude", ()))

    prompts = simple_prompts(7, "scenes", 300)
    easy, medium, hard = ([demands(p) for p in prompts if p["tag"] == level] for level in LEVELS)
    assert np.mean(easy) < np.mean(medium) < np.mean(hard)
    assert any("exclude" in p for p in prompts if p["tag"] == "medium")
    assert any("position" in thing for p in prompts for thing in p["include"])


def test_no_prompt_asks_what_genevals_ask():
    geneval = scene_prompts(7)
    texts, asked = {p["prompt"] for p in geneval}, {meaning(p) for p in geneval}
    prompts = simple_prompts(7, "scenes", 300, geneval)
    assert not texts & {p["prompt"] for p in prompts}
    assert not asked & {meaning(p) for p in prompts}
    # without the exclusion some prompts would coincide
    assert texts & {p["prompt"] for p in simple_prompts(7, "scenes", 300)}


@pytest.mark.skipif(not SHARED.is_dir(), reason="the folder ../shared with GenEval's files is absent")
def test_the_full_studys_prompts_are_none_of_the_553_and_name_what_the_detector_knows():
    geneval = read_prompts(SHARED / "geneval.json")
    prompts = simple_prompts(2026, "objects", 999, geneval)
    assert not {meaning(p) for p in geneval} & {meaning(p) for p in prompts}
    assert not {p["prompt"] for p in geneval} & {p["prompt"] for p in prompts}
    assert set(OBJECTS.nouns) <= set((SHARED / "geneval_object_names.txt").read_text().split("\n"))


def test_the_order_of_unrelated_things_makes_no_new_prompt():
    red, blue = Thing("circle", color="red"), Thing("square", color="blue")
    one_way, other_way = (Content(things).metadata for things in ((red, blue), (blue, red)))
    assert meaning(one_way) == meaning(other_way)
    left, right = (Content(t, "left of").metadata for t in ((red, blue), (blue, red)))
    assert meaning(left) != meaning(right)


def test_scenes_are_worded_as_their_captions():
    circle, square = Thing("circle", color="red", size="small"), Thing("square", color="blue")
    assert Content((circle,)).text(SCENES) == one("circle", "red", "small")
    assert Content((Thing("cross", 3, "red"),)).text(SCENES) == several(3, "cross", "red")
    said = pair(one("circle", "red", "small"), one("square", "blue"), "left of")
    assert Content((circle, square), "left of").text(SCENES) == said
    assert SCENES.plural("cross") == noun("cross", count=2)


def test_objects_are_worded_in_english():
    orange = Thing("umbrella", color="orange")
    assert Content((orange,), without="oven").text(OBJECTS) == (
        "a photo of an orange umbrella without an oven"
    )
    assert Thing("knife", 2).phrase(OBJECTS) == "two knives"
    assert Thing("bus", 3, "red").phrase(OBJECTS) == "three red buses"
    assert Thing("sheep", 4).phrase(OBJECTS) == "four sheep"
    assert Thing("giraffe", 2).phrase(OBJECTS) == "two giraffes"


def test_metadata_says_what_the_words_say():
    for p in simple_prompts(7, "scenes", 300):
        included, _, absent = p["prompt"].partition(" without ")
        for thing in p["include"]:
            assert thing["class"] in included
            assert all(thing.get(key, "") in included for key in ("color", "size"))
            number = {1: "a", 2: "two", 3: "three", 4: "four"}[thing["count"]]
            assert number in included.split()
        if absent:
            assert p["exclude"] == [{"class": absent.removeprefix("a "), "count": 1}]
        if "position" in p["include"][-1]:
            anchor, subject = p["include"]
            relation = subject["position"][0]
            before, after = included.split(f" {relation} ")
            assert subject["class"] in before
            assert anchor["class"] in after
        assert p["statement"] == included


def test_scenes_drawn_for_prompts_fulfil_them_by_genevals_rules():
    for number, prompt in enumerate([*scene_prompts(7), *simple_prompts(7, "scenes", 90)]):
        scene = scene_of(prompt, np.random.default_rng(number))
        assert judge(prompt, seen(scene)) == (True, ""), prompt["prompt"]
        sizes = {(o.shape, o.size) for o in scene.objects}
        assert all((i["class"], i["size"]) in sizes for i in prompt["include"] if "size" in i)


def test_foils_are_false_where_the_prompt_is_true():
    """Checked for everything that GenEval's rules can see: shape, count, colour and position."""
    prompts = simple_prompts(7, "scenes", 300)
    assert all(len({p["statement"], *p["foils"]}) == 1 + FOILS for p in prompts)
    judged = 0
    for number, prompt in enumerate(prompts):
        found = seen(scene_of(prompt, np.random.default_rng(number)))
        rng = np.random.default_rng(number)
        things = tuple(
            Thing(i["class"], i["count"], i.get("color"), i.get("size")) for i in prompt["include"]
        )
        where = next((i["position"][0] for i in prompt["include"] if "position" in i), None)
        content = Content(things[::-1] if where else things, where)
        for miss in near_misses(content, SCENES, rng, FOILS):
            asks = {"tag": "any", **miss.metadata}
            sizes = [thing.size for thing in content.things] != [thing.size for thing in miss.things]
            fewer = sum(t.count for t in miss.things) < sum(t.count for t in content.things)
            if sizes or fewer:
                continue  # GenEval judges no size, and rejects extra objects only for its counting tag
            judged += 1
            assert not judge(asks, found)[0], (prompt["prompt"], miss.text(SCENES))
    assert judged > 300


def test_every_kind_of_near_miss_changes_what_it_names():
    content = Content((Thing("circle", color="red", size="small"), Thing("square", color="blue")))
    changed = {
        kind: change(content, SCENES, np.random.default_rng(3)) for kind, change in MISSES.items()
    }
    assert changed["swap"].text(SCENES) == "a blue circle and a small red square"
    assert changed["count"] is None
    assert changed["presence"] is None
    assert changed["relation"] is None
    placed = Content(content.things, "above")
    assert MISSES["relation"](placed, SCENES, RNG).relation in {"left of", "right of", "below"}
    # a scene of a small circle and a red square may also be one of a red circle and a small square
    assert MISSES["swap"](Content((Thing("circle", size="small"), Thing("square", color="red"))),
                          SCENES, RNG) is None  # fmt: skip


def test_of_a_negation_the_absent_thing_is_a_foil():
    for prompt in simple_prompts(7, "objects", 60):
        if " without " in prompt["prompt"]:
            said, absent = prompt["prompt"].split(" without ")
            assert f"{said} and {absent}" in prompt["foils"]


def test_too_small_a_vocabulary_says_so():
    with pytest.raises(UserError, match="fewer than 2000 different prompts of the level easy"):
        simple_prompts(7, "scenes", 6000)
    with pytest.raises(UserError, match="'shapes' is none of scenes, objects"):
        simple_prompts(7, "shapes", 30)
    with pytest.raises(ValueError, match="near misses"):
        near_misses(Content((Thing("circle"),)), SCENES, RNG, 500)


def test_genevals_prompts_come_first_and_stay_what_they_were(tmp_path):
    stage = stages.prompts(load_study("nano"))
    prompts = prompts_of(stage, tmp_path)
    alone = prompts_of({**stage, "simpleeval": None}, tmp_path)
    assert prompts[: len(alone)] == alone
    assert of_benchmark(prompts, GENEVAL) == list(range(len(alone)))
    simple = [prompts[i] for i in of_benchmark(prompts, BENCHMARK)]
    assert len(simple) == 150
    assert all(p["images"] == 1 for p in simple)
    assert json.loads(json.dumps(prompts)) == prompts


def test_a_study_of_photographs_has_no_simpleeval(tmp_path):
    for split in ("train", "val"):
        (tmp_path / split / "cat").mkdir(parents=True)
    study = load_study("folder", {"data_root": str(tmp_path)})
    assert stages.prompts(study)["simpleeval"] is None
    with pytest.raises(UserError, match=r"evaluation\.simpleeval is missing"):
        stages.simpleeval(study, "jit", "cfg")


def test_a_number_that_levels_cannot_share_is_refused():
    given = {"overrides": {"tasks": {"t2i": {"evaluation": {"simpleeval": {"prompts": 100}}}}}}
    with pytest.raises(UserError, match="multiple of 3"):
        stages.prompts(load_study("nano", given))
