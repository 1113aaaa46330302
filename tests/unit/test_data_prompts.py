"""Evaluation prompts: their wording, their metadata, and a user's own file."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from nanogen.config import load_study, stages
from nanogen.data.scenes import captions, draw, scenes
from nanogen.errors import UserError
from nanogen.metrics.geneval import TAGS
from nanogen.prompts.files import GENEVAL, of_benchmark, read_prompts
from nanogen.prompts.prompts import prompts_of, scene_prompts, write_prompts
from nanogen.prompts.simpleeval import BENCHMARK as SIMPLEEVAL

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT.parent / "shared/reference/prompts/geneval.json"
METRICS = ROOT / "docs/explanation/metrics.md"


def stage(prompts: str, **data) -> dict:
    return {"stage": "prompts", "hash": "abc", "seed": 7, "prompts": prompts, "data": data}


def test_six_tags_distinct_and_seeded():
    prompts = scene_prompts(7)
    tags = Counter(p["tag"] for p in prompts)
    assert set(tags) == set(TAGS)
    assert all(12 <= count <= 16 for count in tags.values())
    assert len({p["prompt"] for p in prompts}) == len(prompts)
    assert prompts == scene_prompts(7) != scene_prompts(8)


def test_prompts_are_worded_as_captions_and_the_docs_say_how_many_training_has_seen(tmp_path):
    study = load_study("nano")
    train = stages.data(study, "t2i", "train")
    drawn = draw.draw(train["seed"], "train", "composed", train["data"]["train_images"])
    seen = {text for scene in drawn for text in (captions.short(scene), captions.dense(scene))}
    prompts = prompts_of(stages.prompts(study), tmp_path)
    geneval, simple = ([prompts[i] for i in of_benchmark(prompts, of)] for of in (GENEVAL, SIMPLEEVAL))
    # a caption gives at least the size or the colour of a shape
    assert not seen & {captions.one(shape) for shape in scenes.SHAPES}
    counts = [f"{sum(p['prompt'] in seen for p in of)} of the {len(of)}" for of in (geneval, simple)]
    assert [text for text in counts if text not in METRICS.read_text(encoding="utf-8")] == []


def test_metadata_says_what_the_words_say():
    for p in scene_prompts(7):
        for item in p["include"]:
            assert item["class"] in p["prompt"]
            assert item.get("color", "") in p["prompt"]
        if p["tag"] == "position":
            anchor, subject = p["include"]
            relation, index = subject["position"]
            assert index == 0
            assert p["prompt"] == f"a {subject['class']} {relation} a {anchor['class']}"
        if p["tag"] == "counting":
            assert p["exclude"][0]["count"] == p["include"][0]["count"] + 1


def test_prompts_of_photographs_name_every_class(tmp_path: Path):
    for name in ("polar_bear", "cat"):
        (tmp_path / "train" / name).mkdir(parents=True)
    output = tmp_path / "prompts.json"
    write_prompts(stage("classes", root=str(tmp_path), caption_template="a photo of a {name}"), output)
    content = json.loads(output.read_text())
    assert content["format"] == "nanogen.prompts"
    assert [(p["prompt"], p["include"]) for p in content["prompts"]] == [
        ("a photo of a cat", [{"class": "cat", "count": 1}]),
        ("a photo of a polar bear", [{"class": "polar_bear", "count": 1}]),
    ]


def test_a_users_file_is_read_as_map_list_or_lines(tmp_path: Path):
    item = {"tag": "colors", "include": [{"class": "cup", "count": 1, "color": "red"}]}
    (tmp_path / "map.json").write_text(json.dumps({"a red cup": item}))
    (tmp_path / "list.json").write_text(json.dumps([{"prompt": "a red cup", **item}]))
    (tmp_path / "lines.jsonl").write_text(json.dumps({"prompt": "a red cup", **item}) + "\n")
    expected = [{"prompt": "a red cup", **item}]
    assert [read_prompts(file) for file in sorted(tmp_path.iterdir())] == [expected] * 3


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the folder ../shared with GenEval's file is absent")
def test_genevals_own_file_is_read_whole():
    prompts = read_prompts(PUBLISHED)
    assert len(prompts) == 553
    assert {p["tag"] for p in prompts} == set(TAGS)


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        ({"include": []}, "prompt 1: 'include' must list"),
        ({"tag": ""}, "prompt 1: 'tag' is missing"),
        ({"include": [{"class": "cup", "count": 0}]}, "'count' of 'cup'"),
        ({"include": [{"class": "cup", "count": 1, "position": ["near", 0]}]}, "'position' of 'cup'"),
        ({"include": [{"class": "cup", "count": 1, "position": ["above", 0]}]}, "earlier object"),
        ({"benchmark": "dpg"}, "prompt 1: 'benchmark' is not a key of GenEval's metadata"),
        ({"images": 8}, "prompt 1: 'images' is not a key"),
        ({"item_id": "0"}, "prompt 1: 'item_id' is not a key"),
    ],
)
def test_a_broken_entry_is_named(tmp_path: Path, broken: dict, sentence: str):
    item = {"prompt": "a cup", "tag": "single_object", "include": [{"class": "cup", "count": 1}]}
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps([{**item, **broken}]))
    with pytest.raises(UserError, match=sentence):
        read_prompts(path)


def test_what_is_not_shipped_or_unknown_says_what_to_give(tmp_path: Path):
    with pytest.raises(UserError, match=r"GenEval's metadata \(tag, include\), in \.json or \.jsonl"):
        read_prompts(tmp_path / "prompts.txt")
    with pytest.raises(UserError, match="valid are 'scenes', 'classes'"):
        write_prompts(stage("scnes"), tmp_path / "p.json")
    with pytest.raises(UserError, match=r"absent\.json does not exist"):
        write_prompts(stage(str(tmp_path / "absent.json")), tmp_path / "p.json")
