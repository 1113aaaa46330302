"""Prompts listed by data sets on the hub: fetched, counted, or refused with an error message."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import ipc, parquet

from nanogen.config import load_study, plan, prompt_lists, stages
from nanogen.config.load import load_run
from nanogen.config.prompt_counts import images_of_prompts
from nanogen.config.sample_stage import SampleStage
from nanogen.errors import UserError
from nanogen.files import read_json
from nanogen.interop.local_hub import COMMIT, serving
from nanogen.interop.prompt_rows import fetch_rows
from nanogen.interop.stand_in import write_prompt_rows
from nanogen.prompts.prompts import write_prompts
from nanogen.prompts.questions import write_questions
from nanogen.report import prompt_notes
from nanogen.sampling.generate import labels_of

GENEVAL = [
    {"prompt": "a photo of a cup", "tag": "single_object", "include": [{"class": "cup", "count": 1}]},
    {"prompt": "a photo of a dog", "tag": "single_object", "include": [{"class": "dog", "count": 1}]},
]
DPG = {"d1": "a red circle,\nlarge", "d2": "two squares"}
ROWS = {
    "geneval": ["a photo of a dog"] * 3 + ["a photo of a cup"] * 2,
    "dpg": ["a red circle, large"] * 2,
    "genai": ["a ring", "a cross", "a ring"],
}
REPOSITORIES = {name: f"bench/{name}" for name in ROWS}


def write_arrow(path: Path, columns: dict[str, list]) -> None:
    """Write a file as the ``datasets`` library saves it, in Arrow's stream format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    with pa.OSFile(str(path), "wb") as sink, ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Iterator[Path]:
    folder = tmp_path / "hub"
    write_arrow(folder / "bench/geneval/val/data-00000-of-00001.arrow", {"text": ROWS["geneval"]})
    pictures = [{"bytes": b"x", "path": "x.png"}] * 2
    write_arrow(folder / "bench/dpg/val/data-00000-of-00001.arrow", {"text": ROWS["dpg"]})
    (folder / "bench/dpg/val/state.json").write_text("{}")
    write_arrow(folder / "bench/dpg/train/data-00000-of-00001.arrow", {"text": ["never read"]})
    (folder / "bench/genai/data").mkdir(parents=True)
    for part, texts in enumerate((ROWS["genai"][:2], ROWS["genai"][2:])):
        table = pa.table({"image": pictures[: len(texts)], "text": texts, "tag": ["basic"] * len(texts)})
        parquet.write_table(table, folder / f"bench/genai/data/val-0000{part}-of-00002.parquet")
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with serving(folder) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield folder


@pytest.fixture
def study(tiny, tmp_path):
    """A study with its own lists of prompts; data sets on the hub determine which of them are drawn."""
    (tmp_path / "geneval.json").write_text(json.dumps(GENEVAL))
    with open(tmp_path / "dpg.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(
            ["item_id", "text", "proposition_id", "dependency", "tuple", "question_natural_language"]
        )
        for item, text in DPG.items():
            for number in (1, 2):
                table.writerow([item, text, number, 0, "entity - whole (x)", f"Is there {number}?"])
    lists = {"prompts": str(tmp_path / "geneval.json"), "questions": str(tmp_path / "dpg.csv")}
    # nano's own keys of the task override the study's
    return tiny(
        evaluation={"rows": REPOSITORIES, "questions": lists["questions"]},
        overrides={"tasks": {"t2i": {"evaluation": {"prompts": lists["prompts"]}}}},
    )


def make(study, folder: Path) -> list[dict]:
    stage = stages.prompts(study)
    fetch_rows(stage, folder)
    write_prompts(stage, folder / "prompts.json")
    return read_json(folder / "prompts.json")["prompts"]


def test_a_prompt_is_drawn_as_often_as_it_has_rows(study, hub, tmp_path):
    prompts = make(study, tmp_path / "prompts")
    own = [p for p in prompts if p.get("benchmark") != "simpleeval"]
    assert [(p["prompt"], p["images"]) for p in own] == [
        ("a photo of a dog", 3),
        ("a photo of a cup", 2),
        ("a red circle, large", 2),
        ("a ring", 2),
        ("a cross", 1),
    ]
    assert own[0]["include"] == GENEVAL[1]["include"]
    assert own[2]["item_id"] == "d1"
    assert [p.get("tag") for p in own[3:]] == ["basic", "basic"]
    stage = SampleStage.from_json(stages.sample(study, "jit", "t2i", "cfg"))
    assert labels_of(stage, own).tolist() == [0, 0, 0, 1, 1, 2, 2, 3, 3, 4]


def test_the_prompts_say_where_their_rows_are_from(study, hub, tmp_path):
    make(study, tmp_path / "prompts")
    told = read_json(tmp_path / "prompts/prompts.json")["rows"]
    assert {name: (o["repository"], o["commit"]) for name, o in told.items()} == {
        name: (repository, COMMIT) for name, repository in REPOSITORIES.items()
    }
    assert list(told["dpg"]["sha256"]) == ["val/data-00000-of-00001.arrow"]


def test_questions_are_of_what_is_drawn(study, hub, tmp_path):
    make(study, tmp_path / "prompts")
    questions = tmp_path / "questions.json"
    write_questions(stages.questions(study), tmp_path / "prompts/prompts.json", questions)
    asked = [(q["item"], q["id"]) for q in read_json(questions)["questions"]]
    assert asked == [("d1", 2)]  # the file's first question is skipped, d2 is not drawn


def test_what_is_there_is_not_fetched_again(study, hub, tmp_path, monkeypatch):
    before = make(study, tmp_path / "prompts")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert make(study, tmp_path / "prompts") == before


def test_a_data_set_that_changes_at_the_same_revision_is_refused(study, hub, tmp_path):
    make(study, tmp_path / "prompts")
    (tmp_path / "prompts/rows/geneval/nanogen.json").unlink()
    write_arrow(hub / "bench/geneval/val/data-00000-of-00001.arrow", {"text": ["a photo of a cup"]})
    with pytest.raises(
        UserError, match=f"has changed .*evaluation.rows.geneval to bench/geneval@{COMMIT}"
    ):
        make(study, tmp_path / "prompts")


@pytest.mark.parametrize(
    ("name", "columns", "sentence"),
    [
        ("val", {"text": ["a photo of a cat"]}, "'a photo of a cat' is none of the 2 prompts"),
        ("val", {"caption": ["a photo of a cup"]}, "expected the prompts in a column 'text'"),
        ("val", {"text": ["a photo of a cup", " "]}, "a row without a prompt"),
        ("val", {"text": pa.array([], pa.string())}, "holds no rows"),
        ("test", {"text": ["a photo of a cup"]}, "no Parquet or Arrow file of the split val"),
    ],
)
def test_rows_that_do_not_fit_are_refused(study, hub, tmp_path, name, columns, sentence):
    (hub / "bench/geneval/val/data-00000-of-00001.arrow").unlink()
    write_arrow(hub / f"bench/geneval/{name}/data-00000-of-00001.arrow", columns)
    with pytest.raises(UserError, match=sentence):
        make(study, tmp_path / "prompts")


def test_they_count_for_the_prompts_alone_and_only_where_they_are_measured(tiny, study):
    plain = tiny()
    off = tiny(
        evaluation={"rows": {"dpg": "bench/dpg", "genai": "bench/genai"}},
        overrides={"tasks": {"t2i": {"evaluation": {"dpg": None, "genai": None}}}},
    )
    assert stages.prompts(off)["hash"] == stages.prompts(plain)["hash"]
    assert stages.prompts(study)["rows"] == REPOSITORIES
    assert (
        stages.sample(study, "jit", "imagenet", "cfg")["hash"]
        == (stages.sample(plain, "jit", "imagenet", "cfg")["hash"])
    )


def test_another_revision_is_another_evaluation(tiny):
    first, second = (tiny(evaluation={"rows": {"genai": f"bench/genai@{r}"}}) for r in ("a", "b"))
    assert stages.prompts(first)["hash"] != stages.prompts(second)["hash"]


def test_rows_of_dpg_bench_need_its_questions(tiny):
    with pytest.raises(
        UserError, match=r"need its own questions; name its CSV as evaluation\.questions"
    ):
        stages.prompts(tiny(evaluation={"rows": {"dpg": "bench/dpg"}}))


def test_plan_and_captions_know_them(study):
    fetched = [str(item) for item in plan.downloads(study)]
    assert "data set bench/dpg for prompts of dpg: size unknown, licence not known here" in fetched
    told = images_of_prompts(study)
    assert "2 prompts of DPG-Bench x 4, 1600 prompts of GenAI-Bench x 1" in told
    assert told.endswith("Rows of bench/geneval, bench/dpg, bench/genai determine the final number.")
    assert prompt_notes.cells(study) == {"dpg_bench_prompts": "own", "genai_bench_prompts": "own"}
    evaluation = load_run(study, study.methods[0], "t2i").evaluation
    assert prompt_lists.has_own_prompts(evaluation, "genai")


@pytest.mark.parametrize("name", ["paper", "released", "released-512"])
def test_the_full_studies_draw_all_three_benchmarks_by_default(name):
    stage = stages.prompts(load_study(name))
    assert stage["rows"] == {
        "geneval": "diffusion-bench/geneval",
        "dpg": "diffusion-bench/dpgbench",
        "genai": "diffusion-bench/genaibench",
    }
    assert stage["dpg"]["questions"] == "dpg"


def test_the_rehearsal_of_released_models_serves_all_three(tmp_path, monkeypatch):
    study = load_study("released-rehearsal")
    write_prompt_rows(study, tmp_path / "hub")
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with serving(tmp_path / "hub") as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        prompts = make(study, tmp_path / "prompts")
    counts = Counter(prompt.get("benchmark", "geneval") for prompt in prompts)
    assert counts == {"geneval": 8, "simpleeval": 6, "dpg": 2, "genai": 2}
    questions = tmp_path / "questions.json"
    write_questions(stages.questions(study), tmp_path / "prompts/prompts.json", questions)
    assert len(read_json(questions)["questions"]) == 4
