"""DPG-Bench's question graphs: dependencies, scores, and valid CSV files."""

from __future__ import annotations

from pathlib import Path

import pytest

from nanogen.errors import UserError
from nanogen.metrics.dpg import adjusted, score
from nanogen.prompts.question_graphs import Question, read_table

HEADER = "item_id,text,proposition_id,dependency,tuple,question_natural_language\n"


def ask(number: int, *parents: int, about: str = "entity - whole (x)", item: str = "a") -> Question:
    return Question(item, number, parents, about, f"{number}?")


def table(folder: Path, *rows: str) -> Path:
    path = folder / "questions.csv"
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def test_a_no_passes_on_to_children_and_their_children():
    questions = [ask(1), ask(2, 1), ask(3, 2), ask(4)]
    assert adjusted(questions, [0, 1, 1, 1]) == [0, 0, 0, 1]
    assert adjusted(questions, [1, 0, 1, 1]) == [1, 0, 0, 1]
    assert adjusted(questions, [1, 1, 1, 0]) == [1, 1, 1, 0]


def test_every_parent_must_be_answered_with_yes():
    questions = [ask(1), ask(2), ask(3, 1, 2)]
    assert adjusted(questions, [1, 0, 1]) == [1, 0, 0]
    assert adjusted(questions, [1, 1, 1]) == [1, 1, 1]


def test_questions_are_adjusted_in_the_files_order():
    """A question before its parent sees the parent's raw answer."""
    late = [ask(3, 2), ask(1), ask(2, 1)]
    assert adjusted(late, [1, 0, 1]) == [1, 0, 0]
    early = [ask(1), ask(2, 1), ask(3, 2)]
    assert adjusted(early, [0, 1, 1]) == [0, 0, 0]


def test_the_score_is_a_mean_over_prompts_and_categories_are_raw():
    graph = {
        "a": [ask(1), ask(2, 1, about="attribute - color (x, red)")],
        "b": [ask(1, item="b"), ask(2, item="b", about="attribute - other (x, old)")],
    }
    answers = [("a", [0, 1]), ("a", [1, 1]), ("b", [1, 0])]
    values = score(graph, answers)
    assert values == {
        "dpg_bench": pytest.approx(((0 + 1) / 2 + 0.5) / 2),
        "dpg_entity": pytest.approx(2 / 3),
        "dpg_entity-whole": pytest.approx(2 / 3),
        "dpg_attribute": pytest.approx(2 / 3),  # raw: the yes of the first image counts
        "dpg_attribute-color": 1.0,
        "dpg_attribute-other": 0.0,
    }


def test_a_category_without_a_dash_is_both_broad_and_detailed():
    values = score({"a": [ask(1, about="global (photo)")]}, [("a", [1])])
    assert values == {"dpg_bench": 1.0, "dpg_global": 1.0}


def test_a_csv_is_read_as_the_benchmark_reads_it(tmp_path):
    path = table(
        tmp_path,
        "p1,t,1,0,entity - whole (cup),Is there a cup?",
        'p1,t,2,1,"attribute - color (cup, red)",Is the cup red?',
        'p1,t,3,"1,2","relation - spatial (cup, on, table)",Is it on a table?',
        "p2,t,1,0,global (photo),Is it a photo?",
    )
    graph = read_table(path)  # without the first question and dependencies on it
    assert [(q.id, q.parents) for q in graph["p1"]] == [(2, ()), (3, (2,))]
    assert graph["p2"][0].category == graph["p2"][0].group == "global"
    whole = read_table(path, skip_first_row=False)
    assert [(q.id, q.parents) for q in whole["p1"]] == [(1, ()), (2, (1,)), (3, (1, 2))]
    assert (whole["p1"][1].category, whole["p1"][1].group) == ("attribute - color", "attribute")


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("a,t,2,7,entity (x),Is it?", "depends on 7, which the item does not have"),
        ("a,t,two,0,entity (x),Is it?", "proposition_id 'two' is not a whole number"),
        ("a,t,2,0", "question 2: the row is cut short"),
    ],
)
def test_a_broken_row_is_named(tmp_path, row, sentence):
    path = table(tmp_path, "a,t,1,0,entity (x),Is it?", row)
    with pytest.raises(UserError, match=sentence):
        read_table(path)


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "questions.csv"
    path.write_text("prompt,score\nx,1\n")
    with pytest.raises(UserError, match="no column 'item_id'"):
        read_table(path)
    with pytest.raises(UserError, match="does not exist"):
        read_table(tmp_path / "absent.csv")
