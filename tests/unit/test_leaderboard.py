"""Leaderboard entries: written from metric files, checked against them, merged into one table."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from measured import FIDS, write_metric, write_smoke

from nanogen.cli import main
from nanogen.config import load_study, stages
from nanogen.config.paths import Paths
from nanogen.config.yaml_files import CONFIG
from nanogen.data import hdf5
from nanogen.files import label

SCHEMA = CONFIG / "schema" / "entry.schema.json"


@pytest.fixture
def study(tmp_path, monkeypatch):
    """The smoke study, with its metric files below an otherwise empty working directory."""
    monkeypatch.chdir(tmp_path)
    return write_smoke()


def metric(study, method: str, task: str, name: str, variant: str = "cfg") -> Path:
    return Path(Paths(study).metric(method, task, variant, name))


def submitted(*options: str) -> Path:
    assert main(["submit", "--study", "smoke", "--output", "entries", *options]) == 0
    return Path("entries")


def changed(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def refused(capsys, *arguments: object) -> str:
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) == 1, said
    return said


def board(*options: str) -> list[dict[str, str]]:
    assert main(["leaderboard", *options, "--output-prefix", "board"]) == 0
    with open("board.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_an_entry_holds_both_axes_and_where_they_come_from(study):
    folder = submitted()
    assert sorted(path.stem for path in folder.iterdir()) == sorted(FIDS)
    entry = json.loads((folder / "jit.json").read_text())
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(entry)
    assert entry["method"] == {"name": "jit", "family": "pixel", "title": "JiT"}
    sets = {(scores["task"], scores["guidance"]): scores for scores in entry["scores"]}
    assert set(sets) == {("imagenet", "with"), ("imagenet", "without"), ("t2i", "with")}
    fid = sets["imagenet", "with"]["metrics"]["fid"]
    assert fid["values"] == {"fid": 21.25}
    assert fid["file"] == "runs/imagenet/jit/cfg/metrics/fid.json"
    assert fid["protocol"] == "fid by the test's protocol"
    assert fid["hash"] == json.loads(metric(study, "jit", "imagenet", "fid").read_text())["hash"]
    assert "runs/imagenet/jit/cfg/metrics/fid.json" in entry["provenance"]["unrecorded"]


def test_one_method_alone_is_submitted(study, capsys):
    folder = submitted("--method", "jit")
    assert [path.name for path in folder.iterdir()] == ["jit.json"]
    said = refused(capsys, "submit", "--study", "smoke", "--output", "e", "--method", "jti")
    assert "study smoke has no method 'jti'; did you mean 'jit'" in said


def test_entries_agree_with_their_metric_files(study, capsys):
    submitted()
    assert main(["submit", "--check", "entries", "--results", "results/smoke"]) == 0
    assert "jit of study smoke:" in capsys.readouterr().out


def test_a_claimed_value_that_its_files_do_not_give_is_refused(study, capsys):
    path = submitted() / "jit.json"
    changed(path, '"fid": 21.25', '"fid": 1.37')
    said = refused(capsys, "submit", "--check", path, "--results", "results/smoke")
    file = "results/smoke/runs/imagenet/jit/cfg/metrics/fid.json"
    assert f"jit's entry of study smoke claims fid 1.37, but {file} gives 21.25" in said


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("sd-vae-mse/cfg/metrics/fid", "holds fid of sd-vae-mse"),
        ("jit/nocfg/metrics/fid", "(nocfg)"),
        ("jit/cfg/metrics/fud", "fud.json does not exist"),
    ],
)
def test_files_of_something_else_do_not_prove_a_claim(study, capsys, named, said):
    path = submitted() / "jit.json"
    changed(path, "runs/imagenet/jit/cfg/metrics/fid", f"runs/imagenet/{named}")
    assert said in refused(capsys, "submit", "--check", path, "--results", "results/smoke")


def test_numbers_of_another_number_of_steps_do_not_prove_a_claim(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    given = '{"methods": ["meanflow"]}'
    study = load_study("smoke", json.loads(given))
    for variant, value in {"cfg": 9.0, "cfg-nfe2": 6.0}.items():
        stage = stages.distribution(study, "meanflow", variant)
        write_metric(Paths(study), stage, ("imagenet", "meanflow", variant, "fid"), {"fid": value})
    folder = submitted("--given", given)
    assert sorted(path.stem for path in folder.iterdir()) == ["meanflow-nfe1", "meanflow-nfe2"]
    assert main(["submit", "--check", "entries", "--results", "results/smoke"]) == 0
    one, two = (folder / f"meanflow-nfe{steps}.json" for steps in (1, 2))
    entries = one.read_text(), two.read_text()
    one.write_text(entries[1].replace('"meanflow-nfe2"', '"meanflow-nfe1"'))
    said = refused(capsys, "submit", "--check", one, "--results", "results/smoke")
    assert "meanflow-nfe1's entry" in said
    assert "holds fid of meanflow on imagenet (cfg-nfe2)" in said
    two.write_text(entries[0].replace('"meanflow-nfe1"', '"meanflow-nfe2"'))
    said = refused(capsys, "submit", "--check", two, "--results", "results/smoke")
    assert "meanflow-nfe2's entry" in said
    assert "holds fid of meanflow on imagenet (cfg)" in said


def test_an_invented_protocol_is_refused(study, capsys):
    path = submitted() / "jit.json"
    changed(path, "fid by the test's protocol", "fid of 50000 images")
    said = refused(capsys, "submit", "--check", path, "--results", "results/smoke")
    assert "claims the protocol 'fid of 50000 images'" in said
    assert "results/smoke/runs/imagenet/jit/cfg/metrics/fid.json gives \"fid by the test's" in said


def test_an_invented_number_of_images_is_refused_where_the_samples_are_there(study, capsys):
    path = submitted() / "jit.json"
    samples = Path(Paths(study).samples("jit", "t2i", "cfg"))
    with hdf5.create(samples, label("samples", 1, "0" * 16)) as file:
        file.create_dataset("images", shape=(3, 8, 8, 3), dtype="uint8")
    assert main(["submit", "--check", str(path), "--results", "results/smoke"]) == 0  # null: unknown
    changed(path, '"samples": null', '"samples": 50000')
    said = refused(capsys, "submit", "--check", path, "--results", "results/smoke")
    assert f"claims 50000 images, but {samples} holds 3" in said


def test_a_file_that_was_changed_since_is_noticed(study, capsys):
    path = submitted() / "jit.json"
    changed(metric(study, "jit", "imagenet", "fid"), "fid by the test's protocol", "fid by another one")
    said = refused(capsys, "submit", "--check", path, "--results", "results/smoke")
    assert "its SHA-256 differs; submit again" in said


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ('"nanogen.entry"', '"nanogen.metric"', ["is not a nanogen.entry file"]),
        ('"format_version": 1', '"format_version": 2', ["has format version 2, this program reads 1"]),
        ('"fid": 21.25', '"fid": NaN', ["values.fid' = nan", "finite number"]),
        ('"fid": 21.25', '"fid": "good"', ["values.fid' = 'good'", "valid number"]),
        ('"family": "pixel"', '"family": "best"', ["'method.family' = 'best'"]),
        ('"guidance": "without"', '"guidance": "with"', ["scores of imagenet with guidance twice"]),
        (
            '"runs/imagenet/jit/cfg/metrics/fid.json"',
            '"../../secret.json"',
            ["file' = '../../secret.json'"],
        ),
        ('"samples":', '"sample":', ["'scores.0.samples' is missing"]),
    ],
)
def test_an_entry_of_another_form_is_refused(study, capsys, old, new, parts):
    path = submitted() / "jit.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    capsys.readouterr()
    assert main(["leaderboard", "--entries", "entries", "--output-prefix", "board"]) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert all(part in said for part in ("jit.json", *parts)), said
    assert not Path("board.csv").exists()


def test_configurations_that_the_header_does_not_name_are_refused(study, capsys):
    path = submitted() / "jit.json"
    entry = json.loads(path.read_text())
    path.write_text(path.read_text().replace(entry["hash"], "0" * 16))
    said = refused(capsys, "leaderboard", "--entries", path, "--output-prefix", "board")
    assert "carries hash 0000000000000000, but the configurations of its metrics give" in said


def test_duplicated_entries_are_refused(study, capsys):
    folder = submitted()
    (folder / "again.json").write_text((folder / "jit.json").read_text())
    said = refused(capsys, "leaderboard", "--entries", folder, "--output-prefix", "board")
    assert "entries/jit.json and entries/again.json are both of jit of study smoke" in said


def test_a_metric_file_with_nan_is_not_submitted(study, capsys):
    changed(metric(study, "jit", "imagenet", "fid"), "21.25", "NaN")
    said = refused(capsys, "submit", "--study", "smoke", "--output", "entries")
    assert "fid is nan, expected a finite number" in said
    assert not Path("entries").exists()


def test_a_study_without_metric_files_has_nothing_to_submit(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    said = refused(capsys, "submit", "--study", "smoke", "--output", "entries")
    assert "has no finished metric file of dinov2-b" in said
    assert "`snakemake table2 table3 table4 --config study=smoke`" in said


def test_the_board_shows_both_axes_and_ranks_within_a_source(study):
    submitted()
    rows = {(row["source"], row["method"]): row for row in board("--entries", "entries", "--published")}
    jit = rows["smoke", "jit"]
    assert (jit["fid"], jit["fid_unguided"], jit["geneval"]) == ("21.25", "42.5", "0.25")
    assert (jit["imagenet_rank"], jit["t2i_rank"], jit["axes"]) == ("3", "3", "both")
    assert rows["paper (published)", "flux2-vae"]["imagenet_rank"] == "1"
    assert rows["smoke", "sd-vae-mse"]["t2i_rank"] == "1"
    public = rows["paper (published)", "flux-2"]
    assert (public["geneval"], public["t2i_rank"]) == ("0.854", "")
    assert public["axes"] == "task-specific: text to image"
    text = Path("board.md").read_text()
    assert "**7.12**" in text  # best of its source, though the paper has lower ones
    assert "**1.37**" in text
    assert "smoke, guided FID and GenEval: r is undefined, n = 2 of 2 methods with latents" in text
    assert "r = −0.555, n = 21 of 21 methods with latents" in text
    assert Path("board.tex").read_text().count(r"\multicolumn") > 2


def test_an_entry_with_one_axis_is_called_task_specific(study):
    submitted("--given", '{"tasks": ["imagenet"]}')
    row = next(row for row in board("--entries", "entries") if row["method"] == "jit")
    assert row["axes"] == "task-specific: ImageNet"
    assert "geneval" not in row


def test_a_missing_metric_is_an_empty_cell_with_its_reason(study, capsys):
    path = metric(study, "jit", "t2i", "geneval")
    path.unlink()
    metric(study, "dinov2-b", "imagenet", "fid").unlink()
    submitted()
    assert f"no geneval on t2i with guidance: {path} does not exist" in capsys.readouterr().out
    rows = {row["method"]: row for row in board("--entries", "entries")}
    assert (rows["jit"]["geneval"], rows["jit"]["t2i_rank"], rows["jit"]["dpg_bench"]) == (
        "",
        "",
        "0.125",
    )
    assert rows["dinov2-b"]["imagenet_rank"] == ""
    text = Path("board.md").read_text()
    assert f"JiT (smoke): no GenEval with guidance, {path} does not exist." in text
    assert "n = 1 of 3 methods." in text
    line = next(line for line in text.splitlines() if line.startswith("| JiT"))
    assert "–" in line


def test_entries_of_other_studies_stand_beside(study):
    submitted()
    other = Path("others/jit.json")
    other.parent.mkdir()
    other.write_text(
        Path("entries/jit.json").read_text().replace('"source": "smoke"', '"source": "mine"')
    )
    rows = board("--entries", "entries", str(other))
    assert [row["source"] for row in rows] == ["mine", "smoke", "smoke", "smoke"]


def test_an_empty_folder_and_nothing_at_all_are_sentences(tmp_path, capsys):
    said = refused(capsys, "leaderboard", "--entries", tmp_path, "--output-prefix", tmp_path / "b")
    assert "holds no leaderboard entry (*.json)" in said
    said = refused(capsys, "leaderboard", "--output-prefix", tmp_path / "b")
    assert "give --entries PATH, --published or both" in said


def test_the_board_is_made_without_torch(study):
    submitted()
    code = (
        "import sys; from nanogen.cli import main;"
        "main(['submit', '--study', 'smoke', '--output', 'again']);"
        "main(['leaderboard', '--entries', 'again', '--published', '--output-prefix', 'b']);"
        "sys.exit('torch' in sys.modules)"
    )
    quiet = {"stdout": subprocess.DEVNULL}
    assert subprocess.run([sys.executable, "-c", code], check=False, **quiet).returncode == 0
