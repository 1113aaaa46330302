"""DPG-Bench's and GenAI-Bench's own prompts: read, drawn after the others, counted, refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from nanogen.config import plan, stages, yaml_files
from nanogen.config.prompt_counts import images_of_prompts
from nanogen.config.sample_stage import SampleStage
from nanogen.data import hdf5
from nanogen.errors import UserError
from nanogen.files import label, read_json
from nanogen.prompts.files import read_texts
from nanogen.prompts.prompts import prompts_of, write_prompts
from nanogen.prompts.questions import write_questions
from nanogen.report.sample_grids import prompt_lines
from nanogen.sampling.generate import labels_of

COLUMNS = (
    "item_id,text,keywords,proposition_id,dependency,category_broad,category_detailed,tuple,"
    "question_natural_language"
)
ROWS = (
    'drawn3,"a red circle, large",,1,0,entity,whole,entity - whole (circle),Is there a circle?',
    'drawn3,"a red circle, large",,2,1,attribute,color,"attribute - color (circle, red)",'
    "Is the circle red?",
    'drawn3,"a red circle, large",,3,0,entity,whole,entity - whole (shape),Is there a square?',
    "whoops1,two blue squares,,1,0,entity,whole,entity - whole (square),Is there a square?",
    "whoops1,two blue squares,,2,1,other,count,other - count (square),Are there two squares?",
)
GENAI = {"00000": {"id": "00000", "prompt": "a cross above a ring"}, "00001": {"prompt": "a circle"}}


@pytest.fixture
def lists(tmp_path: Path) -> tuple[Path, Path]:
    """A CSV of DPG-Bench and a file of GenAI-Bench, with two prompts each."""
    (tmp_path / "dpg.csv").write_text("\n".join((COLUMNS, *ROWS)) + "\n")
    (tmp_path / "genai.json").write_text(json.dumps(GENAI))
    return tmp_path / "dpg.csv", tmp_path / "genai.json"


def keys(lists: tuple[Path, Path], **more) -> dict:
    named = {"questions": str(lists[0]), "genai_prompts": str(lists[1])}
    return {"evaluation": {**named, "images_per_prompt": 2, **more}}


def _make(study, folder: Path) -> None:
    """Write the study's prompts and questions to ``folder``."""
    write_prompts(stages.prompts(study), folder / "prompts.json")
    write_questions(stages.questions(study), folder / "prompts.json", folder / "questions.json")


def test_they_follow_the_prompts_that_were_there(lists, tiny, tmp_path):
    stage = stages.prompts(tiny(**keys(lists)))
    prompts = prompts_of(stage, tmp_path)
    before = prompts_of(stages.prompts(tiny()), tmp_path)
    two_each = tiny(evaluation={"images_per_prompt": 2})
    sample = SampleStage.from_json(stages.sample(two_each, "jit", "t2i", "cfg"))
    assert prompts[: len(before)] == before
    assert prompts[len(before) :] == [
        {"prompt": "a red circle, large", "benchmark": "dpg", "item_id": "drawn3"},
        {"prompt": "two blue squares", "benchmark": "dpg", "item_id": "whoops1"},
        {"prompt": "a cross above a ring", "benchmark": "genai", "images": 1},
        {"prompt": "a circle", "benchmark": "genai", "images": 1},
    ]
    assert labels_of(sample, prompts[len(before) :]).tolist() == [0, 0, 1, 1, 2, 3]


def test_a_benchmark_that_is_not_measured_draws_nothing(lists, tiny):
    off = {"tasks": {"t2i": {"evaluation": {"dpg": None, "genai": None}}}}
    drawn, undrawn = (
        stages.prompts(tiny(**keys(lists))),
        stages.prompts(tiny(**keys(lists), overrides=off)),
    )
    assert undrawn["hash"] == stages.prompts(tiny())["hash"] != drawn["hash"]


def test_another_content_is_another_evaluation(lists, tiny):
    study = tiny(**keys(lists))
    before = stages.sample(study, "jit", "t2i", "cfg")["hash"], stages.questions(study)["hash"]
    lists[0].write_text(lists[0].read_text().replace("large", "small"))
    after = stages.sample(study, "jit", "t2i", "cfg")["hash"], stages.questions(study)["hash"]
    assert not set(before) & set(after)


def test_lists_come_by_their_address_too(lists, tiny, tmp_path, monkeypatch):
    given = prompts_of(stages.prompts(tiny(**keys(lists))), tmp_path)
    shutil.copytree(yaml_files.CONFIG, tmp_path / "config")
    monkeypatch.setattr(yaml_files, "CONFIG", tmp_path / "config")
    for name, file in zip(("dense", "designers"), lists, strict=True):
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        told = {"url": file.as_uri(), "sha256": sha256, "size_mb": 2.5, "prompts": 700}
        (tmp_path / "config" / "prompts" / f"{name}.yaml").write_text(json.dumps(told))
    study = tiny(evaluation={"questions": "dense", "genai_prompts": "designers"})
    folder = tmp_path / "results"
    write_prompts(stages.prompts(study), folder / "prompts.json")
    assert read_json(folder / "prompts.json")["prompts"] == given
    lists[0].unlink()  # the questions are read from the fetched copy
    write_questions(stages.questions(study), folder / "prompts.json", folder / "questions.json")
    assert {q["item"] for q in read_json(folder / "questions.json")["questions"]} == {
        "drawn3",
        "whoops1",
    }
    fetched = [str(item) for item in plan.downloads(study)]
    assert f"{lists[0].as_uri()} for prompts dense: 2 MB, licence not known here" in fetched
    assert "700 prompts of DPG-Bench x 4, 700 prompts of GenAI-Bench x 1" in images_of_prompts(study)


def test_the_images_are_counted_before_anything_is_drawn(lists, tiny):
    geneval, own = 84 * 2 + 150, 2 * 2 + 2
    assert images_of_prompts(tiny(**keys(lists), methods=["jit", "meanflow"])) == (
        "Images of prompts: 84 prompts of GenEval x 2, 150 prompts of SimpleEval x 1, 2 prompts of "
        f"DPG-Bench x 2, 2 prompts of GenAI-Bench x 1; {geneval + own} in each of 3 sample sets, "
        f"{3 * (geneval + own)} in all."
    )


def test_texts_come_in_every_usual_form(tmp_path):
    expected = [{"prompt": "a cup"}, {"prompt": "two dogs", "tag": "counting"}]
    second = {"prompt": "two dogs", "tag": "counting", "models": {"x": [1, 2]}}
    forms = {
        "map.json": json.dumps({"0": "a cup", "1": second}),
        "list.json": json.dumps(["a cup", second]),
        "lines.jsonl": f'"a cup"\n\n{json.dumps(second)}\n',
        "geneval.json": json.dumps({"a cup": {"include": []}, "two dogs": {"include": [], **second}}),
    }
    for name, text in forms.items():
        (tmp_path / name).write_text(text)
        assert read_texts(tmp_path / name) == expected, name
    (tmp_path / "plain.txt").write_text(" a cup\n\ntwo dogs\n")
    assert [p["prompt"] for p in read_texts(tmp_path / "plain.txt")] == ["a cup", "two dogs"]


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("p.json", "[]", "p.json holds no prompts"),
        ("p.txt", "\n \n", "p.txt holds no prompts"),
        ("p.json", '["a cup", {"Prompt": "a dog"}]', "prompt 2: 'prompt' is missing"),
        ("p.json", '{"00000": {"text": "a dog"}}', "prompt 1: 'prompt' is missing"),
        ("p.json", "[3]", "prompt 1: expected a text or"),
        ("p.csv", "a cup", r"expected prompts in \.txt"),
        ("p.jsonl", "a cup", "a line is not valid JSON"),
    ],
)
def test_texts_that_are_none_are_refused(tmp_path, tiny, name, text, sentence):
    (tmp_path / name).write_text(text)
    stage = stages.prompts(tiny(evaluation={"genai_prompts": str(tmp_path / name)}))
    with pytest.raises(UserError, match=sentence):
        prompts_of(stage, tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (",text,", ",words,", "has no column 'text'"),
        ("two blue squares,", ",", "item whoops1 has no text"),
        ("two blue squares,,1", "two squares,,1", "item whoops1 has two texts"),
        (ROWS[-1], "whoops1,two", "question 5: the row is cut short"),
        ("\n".join(ROWS), "", "holds no questions"),
        (
            "whoops1,two blue squares,,2,1",
            "whoops1,two blue squares,,2,x",
            "dependency 'x' is not a whole",
        ),
    ],
)
def test_a_broken_csv_is_refused(lists, tiny, tmp_path, old, new, sentence):
    text = lists[0].read_text()
    assert old in text
    lists[0].write_text(text.replace(old, new))
    with pytest.raises(UserError, match=sentence):
        _make(tiny(**keys(lists)), tmp_path)


@pytest.mark.parametrize("key", ["questions", "genai_prompts"])
def test_a_file_that_is_not_there_or_no_text_is_refused(tiny, tmp_path, key):
    with pytest.raises(UserError, match=rf"evaluation\.{key}: file absent\.csv does not exist"):
        stages.prompts(tiny(evaluation={key: "absent.csv"}))
    (tmp_path / "zip.csv").write_bytes(b"PK\xff\xfe")
    with pytest.raises(UserError, match=rf"evaluation\.{key}: .*zip\.csv is not UTF-8 text"):
        stages.prompts(tiny(evaluation={key: str(tmp_path / "zip.csv")}))


def test_grids_show_genevals_prompts_alone(tmp_path):
    prompts = [{"prompt": "a cup"}, {"prompt": "dense", "benchmark": "dpg"}, {"prompt": "a dog"}]
    header = label("prompts", 1, "0" * 16, prompts=prompts)
    (tmp_path / "prompts.json").write_text(json.dumps(header))
    with hdf5.create(tmp_path / "samples.h5", label("samples", 1, "1" * 16)) as file:
        file["images"], file["labels"] = np.zeros((6, 4, 4, 3), np.uint8), np.repeat(np.arange(3), 2)
    lines, _ = prompt_lines(tmp_path / "samples.h5", tmp_path / "prompts.json", 2, 4)
    assert [cell.caption for line in lines for cell in line.cells] == ["a cup", "a dog"]
