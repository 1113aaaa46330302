"""Tables: the published ones, and those of a study from metric files in the real format."""

import csv
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from measured import SPACES, TAGS, write_metric, write_smoke

from nanogen.cli import main
from nanogen.config import load_study, stages
from nanogen.config.paths import Paths
from nanogen.config.yaml_files import CONFIG
from nanogen.data.content import of_sample_set
from nanogen.files import write_json
from nanogen.records import record
from nanogen.report.rows import read_rows


@pytest.fixture
def study(tmp_path, monkeypatch):
    """The smoke study's metric files and model cards below an empty working directory."""
    monkeypatch.chdir(tmp_path)
    return write_smoke()


@pytest.fixture
def few_steps(tmp_path, monkeypatch):
    """Metric files of MeanFlow alone: an FID for every number of steps, with and without guidance."""
    monkeypatch.chdir(tmp_path)
    study = load_study("nano-ten", {"study": "nano", "methods": ["meanflow"], "tasks": ["imagenet"]})
    fids = {"cfg": 8.0, "cfg-nfe2": 6.0, "nocfg": 16.0, "nocfg-nfe2": 12.0, "untrained": 90.0}
    for variant, fid in fids.items():
        stage = stages.distribution(study, "meanflow", variant)
        for name, values in {
            "fid": {"fid": fid},
            "is": {"is": 3.0},
            "fdr": {f"fdr_{space}": 1.0 for space in SPACES},
            "mind": {f"mind_{space}": 1.0 for space in SPACES},
            "pr": {"precision": 0.5, "recall": 0.5},
            "sfid": {"sfid": 1.0},
            "accuracy": dict.fromkeys(
                ("accuracy", "accuracy_low", "accuracy_high", "accuracy_chance"), 0.5
            ),
        }.items():
            write_metric(Paths(study), stage, ("imagenet", "meanflow", variant, name), values)
    Path("mine.yaml").write_text(
        "{study: nano, extends: nano-ten, methods: [meanflow], tasks: [imagenet]}\n"
    )
    return study


@pytest.mark.parametrize(
    ("name", "fids", "published"),
    [("table2", [8.0, 6.0], ["6.6", "5.4"]), ("table4", [16.0, 12.0], ["24.83", "20.58"])],
)
def test_every_number_of_steps_is_a_row_beside_the_papers(few_steps, name, fids, published):
    assert main(["table", name, "--study", "mine.yaml", "--output-prefix", "t"]) == 0
    rows = _rows("t.csv")
    assert [row["method"] for row in rows] == ["meanflow-nfe1", "meanflow-nfe2"]
    assert [row["name"] for row in rows] == ["MeanFlow (NFE=1)", "MeanFlow (NFE=2)"]
    assert [float(row["fid"]) for row in rows] == fids
    assert [row["published_fid"] for row in rows] == published
    if name == "table2":  # kappa 0.5
        assert [float(row["guidance_scale"]) for row in rows] == [2.0, 2.0]
        assert (
            "Scale of MeanFlow: that of the guidance in its training target" in Path("t.md").read_text()
        )


def _rows(path: str) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.mark.parametrize("name", ["table2", "table3", "table4"])
def test_a_studys_table_has_every_cell(study, name):
    assert main(["table", name, "--study", "smoke", "--output-prefix", f"out/{name}"]) == 0
    rows = _rows(f"out/{name}.csv")
    assert [row["method"] for row in rows] == ["dinov2-b", "sd-vae-mse", "jit"]
    assert not [(row["method"], key) for row in rows for key, value in row.items() if value == ""]
    for suffix in ("md", "tex"):
        body = Path(f"out/{name}.{suffix}").read_text(encoding="utf-8")
        assert "–" not in body
        assert all(title in body for title in ("DINOv2-B", "SD-VAE-MSE", "JiT"))


def test_numbers_are_whole_in_csv_and_rounded_in_print(study):
    main(["table", "table2", "--study", "smoke", "--output-prefix", "t"])
    row = _rows("t.csv")[0]
    assert float(row["fid"]) == 7.123456789
    assert float(row["fid_untrained"]) == 3 * 7.123456789
    assert (row["published_fid"], row["published_is"]) == ("1.96", "224.1")
    line = next(line for line in Path("t.md").read_text().splitlines() if line.startswith("| DINOv2-B"))
    assert "**7.12**" in line
    assert "7.123" not in line


def test_best_and_second_best_are_marked_in_their_direction(study):
    main(["table", "table3", "--study", "smoke", "--output-prefix", "t"])
    lines = Path("t.md").read_text(encoding="utf-8").splitlines()
    score = {line.split("|")[1].strip(): line.split("|")[4].strip() for line in lines if "|" in line}
    assert score["SD-VAE-MSE"] == "**0.750**"
    assert score["DINOv2-B"] == "<u>0.500</u>"
    assert score["JiT"] == "0.250"
    tex = Path("t.tex").read_text(encoding="utf-8")
    assert r"\textbf{0.750}" in tex
    assert r"\underline{0.500}" in tex


def test_the_worst_value_is_not_marked_as_second_best(study):
    for method, position in {"dinov2-b": 0.0, "sd-vae-mse": 0.25, "jit": 0.0}.items():
        path = Path(Paths(study).metric(method, "t2i", "cfg", "geneval"))
        content = json.loads(path.read_text())
        content["values"]["position"] = position
        path.write_text(json.dumps(content))
    main(["table", "table3", "--study", "smoke", "--output-prefix", "t"])
    text = Path("t.md").read_text(encoding="utf-8")
    assert "**0.250**" in text
    assert "<u>0.000</u>" not in text


def test_footnotes_tell_the_untrained_networks_sample_sets_apart(study):
    path = Path(Paths(study).metric("jit", "imagenet", "untrained", "fid"))
    path.write_text(path.read_text().replace("fid by the test's protocol", "of fewer images"))
    main(["table", "table2", "--study", "smoke", "--output-prefix", "t"])
    assert "FID untrained: of fewer images" in Path("t.md").read_text(encoding="utf-8")


def test_metrics_made_of_answers_are_columns_with_their_chance_level(study):
    main(["table", "table3", "--study", "smoke", "--output-prefix", "t"])
    rows = _rows("t.csv")
    assert [float(row["dpg_bench"]) for row in rows] == [0.25, 0.375, 0.125]
    assert [float(row["chance_genai_bench"]) for row in rows] == [0.0625, 0.09375, 0.03125]
    text = Path("t.md").read_text(encoding="utf-8")
    assert "DPG-Bench 0.031 to 0.094, GenAI-Bench 0.031 to 0.094." in text
    assert "| GenEval ↑ | GenEval chance | DPG-Bench ↑ | DPG-Bench chance | GenAI-Bench ↑ |" in text


def test_a_score_of_genevals_prompts_is_not_taken_for_the_published_one(study):
    from nanogen.report.prompt_notes import cells, in_caption, notes

    main(["table", "table3", "--study", "smoke", "--output-prefix", "t"])
    text = Path("t.md").read_text(encoding="utf-8")
    assert "study smoke; DPG-Bench and GenAI-Bench on GenEval's prompts, not on their own." in text
    assert "DPG-Bench and GenAI-Bench: on GenEval's prompts" in text
    assert {row["dpg_bench_prompts"] for row in _rows("t.csv")} == {"GenEval"}
    own = load_study("smoke", {"evaluation": {"questions": "dpg_bench.csv"}})
    assert cells(own) == {"dpg_bench_prompts": "own", "genai_bench_prompts": "GenEval"}
    assert in_caption(own) == "; GenAI-Bench on GenEval's prompts, not on its own"
    assert notes(own)[0].startswith("GenAI-Bench: on GenEval's prompts;")
    both = load_study("smoke", {"evaluation": {"questions": "d.csv", "genai_prompts": "g.txt"}})
    assert in_caption(both) == ""
    assert notes(both) == []


def test_a_study_without_a_model_that_answers_has_no_such_columns(study):
    evaluation = {"dpg": None, "genai": None}
    given = {"overrides": {"tasks": {"t2i": {"evaluation": evaluation}}}}
    for path in Path("results").rglob("metrics/[dg]*.json"):
        if path.name != "geneval.json":
            path.unlink()
    options = ["--given", json.dumps(given), "--output-prefix", "t"]
    assert main(["table", "table3", "--study", "smoke", *options]) == 0
    assert "dpg_bench" not in _rows("t.csv")[0]


def test_families_head_their_rows_and_footnotes_name_protocol_and_study(study):
    main(["table", "table2", "--study", "smoke", "--output-prefix", "t"])
    for suffix, heading in (("md", "*Latent-space (RAE)*"), ("tex", r"\textit{Latent-space (RAE)}")):
        text = Path(f"t.{suffix}").read_text(encoding="utf-8")
        assert text.index(heading) < text.index("DINOv2-B") < text.index("Pixel-space")
        assert "FID: fid by the test's protocol" in text
        assert "Study smoke, configuration " in text


def test_a_missing_metric_is_named_with_the_command_that_makes_it(study, capsys):
    path = Path(Paths(study).metric("jit", "imagenet", "cfg", "fdr"))
    path.unlink()
    assert main(["table", "table2", "--study", "smoke", "--output-prefix", "t"]) == 2
    said = capsys.readouterr().err
    assert "fdr of jit on imagenet (cfg)" in said
    assert f"snakemake {path}" in said
    assert not Path("t.csv").exists()


def test_a_metric_of_another_configuration_is_refused(study, capsys):
    path = Path(Paths(study).metric("jit", "imagenet", "cfg", "fid"))
    content = json.loads(path.read_text())
    old, content["hash"] = content["hash"], "0" * 16
    path.write_text(json.dumps(content))
    assert main(["table", "table2", "--study", "smoke", "--output-prefix", "t"]) == 2
    said = capsys.readouterr().err
    assert str(path) in said
    assert "0" * 16 in said
    assert old in said


def test_a_number_that_is_none_is_refused(study, capsys):
    path = Path(Paths(study).metric("jit", "imagenet", "nocfg", "fid"))
    content = json.loads(path.read_text())
    content["values"]["fid"] = float("nan")
    path.write_text(json.dumps(content))
    assert main(["table", "table4", "--study", "smoke", "--output-prefix", "t"]) == 2
    assert f"{path}: fid is nan" in capsys.readouterr().err


def test_inputs_given_by_name_are_read_from_where_they_are(study):
    moved = []
    for path in sorted(Path("results").rglob("*.json")):
        if "metrics" in path.parts and "t2i" in path.parts:
            target = Path("elsewhere") / f"{path.parts[-4]}-{path.name}"
            target.parent.mkdir(exist_ok=True)
            path.rename(target)
            moved.append(str(target))
    assert main(["table", "table3", "--study", "smoke", "--output-prefix", "t", "--input", *moved]) == 0
    assert [float(row["geneval"]) for row in _rows("t.csv")] == [0.5, 0.75, 0.25]


def test_keys_given_on_the_command_line_choose_the_rows(study):
    given = ["--given", '{"methods": ["jit"]}']
    assert main(["table", "table4", "--study", "smoke", *given, "--output-prefix", "t"]) == 0
    assert [row["method"] for row in _rows("t.csv")] == ["jit"]
    assert "**" not in Path("t.md").read_text().split("\n", 1)[1]  # a single row is not ranked


@pytest.mark.parametrize("name", ["table1", "table2", "table3", "table4"])
def test_published_tables_hold_every_number_of_the_paper(name, tmp_path):
    assert main(["table", name, "--published", "--output-prefix", str(tmp_path / name)]) == 0
    written, paper = _rows(f"{tmp_path / name}.csv"), _rows(f"{CONFIG}/published/{name}.csv")
    assert len(written) == len(paper) == {"table1": 12, "table2": 26, "table3": 35, "table4": 26}[name]
    for row, source in zip(written, paper, strict=True):
        for key, value in source.items():
            same = row[key] == value or float(row[key]) == float(value)
            assert same, (source["method"], key)


def test_the_published_best_is_flux2_and_public_models_are_not_ranked(tmp_path):
    main(["table", "table2", "--published", "--output-prefix", str(tmp_path / "t2")])
    main(["table", "table3", "--published", "--output-prefix", str(tmp_path / "t3")])
    two = (tmp_path / "t2.md").read_text(encoding="utf-8")
    three = (tmp_path / "t3.md").read_text(encoding="utf-8")
    assert next(line for line in two.splitlines() if "**1.37**" in line).startswith("| FLUX.2-VAE |")
    assert "| Qwen-Image | – | 20B | 0.848 | 0.888 | 0.803 |" in three
    assert "**0.691**" in three


def test_prompts_with_fewer_tags_leave_no_empty_columns(study):
    for path in Path("results").rglob("geneval.json"):
        content = json.loads(path.read_text())
        left_out = {name: content["values"].pop(name) for name in TAGS[1:]}
        assert len(left_out) == 5
        path.write_text(json.dumps(content))
    assert main(["table", "table3", "--study", "smoke", "--output-prefix", "t"]) == 0
    assert "single_object" in _rows("t.csv")[0]
    assert "two_object" not in _rows("t.csv")[0]
    assert "–" not in Path("t.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["table1", "tabel2"])
def test_tables_that_a_study_has_not_are_refused(study, name, capsys):
    assert main(["table", name, "--study", "smoke", "--output-prefix", "t"]) == 2
    assert ("--published" if name == "table1" else "did you mean 'table2'") in capsys.readouterr().err


def test_a_study_without_unguided_samples_has_no_table_4_and_all_else(study, capsys):
    without = json.dumps({"evaluation": {"unguided": False}})
    given = ["--study", "smoke", "--given", without]
    for name in ("table2", "table3", "correlations", "sensitivity"):
        output = ["--output-prefix", f"results/smoke/tables/{name}"]
        assert main(["table", name, *given, *output]) == 0, capsys.readouterr().err
    assert main(["explorer", "--source", *given[1:], "--output", "e.html"]) == 0
    assert main(["table", "table4", *given, "--output-prefix", "t"]) == 2
    assert "study smoke has no results for Table 4" in capsys.readouterr().err
    correlations = read_rows("results/smoke/tables/correlations.csv")
    assert {row["guidance"] for row in correlations} == {"yes"}


def test_the_terminal_marks_only_what_the_files_mark(study, tmp_path):
    """Rows of Table 1 and of several sources of a leaderboard cannot be compared with each other."""
    from nanogen.report.table import marks
    from nanogen.report.terminal import from_csv

    assert not marks(from_csv(CONFIG / "published/table1.csv"))
    board = tmp_path / "leaderboard.csv"
    lines = ["a,A,rae,one,10", "b,B,rae,one,20", "c,C,rae,one,30", "d,D,rae,two,1", "e,E,rae,two,2"]
    board.write_text("\n".join(["method,name,family,source,fid", *lines, ""]))
    best = {row for (row, key), mark in marks(from_csv(board)).items() if (key, mark) == ("fid", "best")}
    assert best == {0, 3}


def test_names_that_look_like_numbers_stay_names(tmp_path):
    (tmp_path / "t.csv").write_text("method,name,source,fid\n012,NaN,2026,1.5\n")
    assert read_rows(tmp_path / "t.csv") == [
        {"method": "012", "name": "NaN", "source": "2026", "fid": 1.5}
    ]


def _record_of_a_training(folder: Path, seconds: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    began = datetime.now(UTC) - timedelta(seconds=seconds)
    write_json(folder / "nanogen.json", {"hash": "a"})
    record.write([({"hash": "a"}, folder)], ["train"], began)


def test_the_summary_shows_tables_paths_and_times(study, capsys):
    main(["table", "table2", "--study", "smoke", "--output-prefix", "results/smoke/tables/table2"])
    _record_of_a_training(Path("results/smoke/runs/imagenet/jit/model"), 75.5)
    capsys.readouterr()
    table = "results/smoke/tables/table2.csv"
    assert main(["summary", "--study", "smoke", "--table", table]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown  # no escape codes in a file
    assert all(text in shown for text in ("DINOv2-B", "7.12", "21.37", table, "train: 1 min 16 s"))


def test_the_summary_is_the_main_tables_and_what_to_look_at(study, capsys):
    main(["table", "table2", "--study", "smoke", "--output-prefix", "results/smoke/tables/table2"])
    shutil.copy("results/smoke/tables/table2.csv", "results/smoke/tables/sweep.csv")
    for name in ("figures/overview", "figures/figure1", "figures/samples/t2i-jit-cfg"):
        path = Path(f"results/smoke/{name}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for page in ("report", "explorer"):
        Path(f"results/smoke/{page}.html").touch()
    capsys.readouterr()
    assert main(["summary", "--study", "smoke"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Study smoke")
    assert "Table 2" in shown
    paths = [line for line in shown.splitlines() if line.startswith("  results/smoke/")]
    assert [line.split()[0].rpartition("/")[2] for line in paths] == [
        "overview.png", "figure1.png", "report.html", "explorer.html",
    ]  # fmt: skip
    assert not any(text in shown for text in ("Sweep:", "sweep.csv", "samples/"))
    assert "nanogen summary --study smoke --all" in shown
    assert main(["summary", "--study", "smoke", "--all"]) == 0
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("Sweep:", "tables/sweep.csv", "figures/samples/ (1 files)"))


def test_a_narrow_terminal_loses_columns_but_not_the_score(study):
    from nanogen.report.terminal import fitting, from_csv

    main(["table", "table2", "--study", "smoke", "--output-prefix", "t"])
    table = from_csv(Path("t.csv"))
    narrow = [column.key for column in fitting(table, 50)]
    assert narrow[0] == "name"
    assert {"fid", "is"} <= set(narrow)
    assert len(narrow) < len(fitting(table, 400)) == len(table.columns)


def test_a_score_of_images_that_were_replaced_is_refused(few_steps, capsys):
    paths = Paths(few_steps)
    fid = Path(paths.metric("meanflow", "imagenet", "cfg", "fid"))
    samples = Path(paths.samples("meanflow", "imagenet", "cfg"))
    samples.parent.mkdir(parents=True, exist_ok=True)
    samples.write_bytes(b"drawn first")
    write_json(fid, {**json.loads(fid.read_text()), "sample_set": of_sample_set(samples)})
    assert main(["table", "table2", "--study", "mine.yaml", "--output-prefix", "t"]) == 0
    samples.write_bytes(b"drawn anew, others")
    assert main(["table", "table2", "--study", "mine.yaml", "--output-prefix", "t"]) == 2
    said = capsys.readouterr().err
    assert f"{fid} was measured on other images than {samples} holds now; make it again" in said
