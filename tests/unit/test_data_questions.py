"""Questions generated from the prompts' metadata, and how questions must match the prompts."""

from __future__ import annotations

import pytest

from nanogen.config import stages
from nanogen.errors import UserError
from nanogen.files import read_json, write_json
from nanogen.prompts.prompts import scene_prompts, write_prompts
from nanogen.prompts.questions import of_prompt, read_questions, write_questions

CSV = (
    "item_id,text,proposition_id,dependency,tuple,question_natural_language\n"
    "x,t,1,0,entity - whole (cup),Is there a cup?\n"
    "x,t,2,1,other - count (cup),Is it one cup?\n"
    "{item},t,1,0,entity - whole (dog),Is there a dog?\n"
)


def asked(*include: dict) -> list[tuple]:
    questions = of_prompt("7", {"include": list(include)})
    assert [q.id for q in questions] == list(range(1, len(questions) + 1))
    assert {q.item for q in questions} == {"7"}
    return [(q.parents, q.category, q.text) for q in questions]


def test_colour_number_and_place_depend_on_the_object():
    red = {"class": "traffic_light", "count": 2, "color": "red"}
    assert asked(red) == [
        ((), "entity - whole", "Is there a traffic light?"),
        ((1,), "attribute - color", "Is the traffic light red?"),
        ((1,), "other - count", "Are there two traffic lights?"),
    ]
    bus, bench = {"class": "bus", "count": 1}, {"class": "bench", "count": 5, "position": ["above", 0]}
    assert asked(bus, bench) == [
        ((), "entity - whole", "Is there a bus?"),
        ((), "entity - whole", "Is there a bench?"),
        ((2,), "other - count", "Are there 5 benches?"),
        ((2, 1), "relation - spatial", "Is the bench above the bus?"),
    ]


def test_parents_come_before_their_children():
    for place, prompt in enumerate(scene_prompts(7)):
        for question in of_prompt(str(place), prompt):
            assert all(parent < question.id for parent in question.parents)


@pytest.fixture
def prompts(tmp_path, tiny):
    """The tiny study's ``questions`` stage, and the file of its prompts."""
    study = tiny()
    write_prompts(stages.prompts(study), tmp_path / "prompts.json")
    return stages.questions(study), tmp_path / "prompts.json"


def test_every_prompt_of_geneval_and_no_other_is_asked_about(prompts, tmp_path):
    stage, file = prompts
    write_questions(stage, file, tmp_path / "questions.json")
    graph = read_questions(tmp_path / "questions.json", stage["hash"])
    texts = [p for p in read_json(file)["prompts"] if "benchmark" not in p]
    assert len(texts) < len(read_json(file)["prompts"])
    assert list(graph) == [str(place) for place in range(len(texts))]
    for item, questions in graph.items():
        assert questions == of_prompt(item, texts[int(item)])
    with pytest.raises(UserError, match="made by another configuration"):
        read_questions(tmp_path / "questions.json", "0" * 16)


@pytest.fixture
def two_prompts(prompts, tmp_path):
    """A function that returns the ``questions`` stage of a CSV with items x and ``item``, and a file of
    prompts: one of GenEval, then DPG-Bench's x and y."""
    stage, file = prompts
    items = [{"prompt": name, "benchmark": "dpg", "item_id": name} for name in ("x", "y")]
    write_json(file, {**read_json(file), "prompts": [{"prompt": "a cup"}, *items]})

    def with_item(item: str) -> dict:
        path = tmp_path / "dpg.csv"
        path.write_text(CSV.format(item=item))
        return {**stage, "questions": str(path), "skip_first_row": False}

    return with_item, file


def test_questions_of_a_csv_are_matched_by_item(two_prompts, tmp_path):
    with_item, file = two_prompts
    stage = with_item("y")
    write_questions(stage, file, tmp_path / "questions.json")
    graph = read_questions(tmp_path / "questions.json", stage["hash"])
    assert {item: [q.text for q in asked] for item, asked in graph.items()} == {
        "x": ["Is there a cup?", "Is it one cup?"],
        "y": ["Is there a dog?"],
    }


def test_prompts_without_questions_and_questions_without_a_prompt_are_refused(two_prompts, tmp_path):
    with_item, file = two_prompts
    with pytest.raises(UserError, match=r"1 of 2 prompts have none, the first is item y.*skip_first"):
        write_questions(with_item("x"), file, tmp_path / "q.json")
    write_json(file, {**read_json(file), "prompts": read_json(file)["prompts"][:2]})
    with pytest.raises(UserError, match="1 items are not prompts, such as z"):
        write_questions(with_item("z"), file, tmp_path / "q.json")
    assert not (tmp_path / "q.json").exists()
