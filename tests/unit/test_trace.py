"""`nanogen trace`: the chain behind a number, what is missing from it, and wrong addresses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from measured import write_smoke

from nanogen.cli import main
from nanogen.config import load_run, load_study, stages
from nanogen.config.paths import Paths
from nanogen.files import write_json
from nanogen.provenance.chain import chain

TABLE2 = "results/smoke/tables/table2.csv"


@pytest.fixture
def study(tmp_path, monkeypatch):
    """The smoke study's metric files and the tables built from them."""
    monkeypatch.chdir(tmp_path)
    study = write_smoke()
    for table in ("table2", "table3", "table4"):
        prefix = f"results/smoke/tables/{table}"
        assert main(["table", table, "--study", "smoke", "--output-prefix", prefix]) == 0
    return study


def traced(capsys, cell: str, *options: str) -> list[dict]:
    capsys.readouterr()
    assert main(["trace", cell, "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)


def drawn(study, tmp_path) -> Path:
    """Draw the smoke study's training images with the command that the graph runs."""
    config = tmp_path / "data.json"
    write_json(config, stages.data(study, "imagenet", "train"))
    output = Path(Paths(study).data("imagenet", "train"))
    assert main(["make-data", "--config", str(config), "--output", str(output)]) == 0
    return output


def test_a_number_leads_to_its_data(study, capsys):
    steps = traced(capsys, f"{TABLE2}:dinov2-b:fid")
    assert [step["what"] for step in steps[:5]] == [
        "metric fid", "features", "samples", "trained model", "latents",
    ]  # fmt: skip
    assert {"imagenet data, train", "network rae-dinov2-b", "reference"} <= {s["what"] for s in steps}
    assert steps[0]["file"] == "results/smoke/runs/imagenet/dinov2-b/cfg/metrics/fid.json"
    hash_ = stages.train(study, "dinov2-b", "imagenet")["hash"]
    assert (steps[3]["configuration"], steps[3]["seed"]) == (hash_, 2026)


@pytest.mark.parametrize(
    ("cell", "file"),
    [
        ("table2.csv:jit:fid_untrained", "imagenet/jit/untrained/metrics/fid.json"),
        ("table4.csv:sd-vae-mse:mind_convnext", "imagenet/sd-vae-mse/nocfg/metrics/mind.json"),
        ("table4.md:jit:recall", "imagenet/jit/nocfg/metrics/pr.json"),
        ("table3.csv:jit:chance_genai_bench", "t2i/jit/cfg/metrics/genai.json"),
        ("table3.csv:dinov2-b:colors", "t2i/dinov2-b/cfg/metrics/geneval.json"),
        ("table3.csv:jit:simpleeval_low", "t2i/jit/cfg/metrics/simpleeval.json"),
    ],
)
def test_every_column_leads_to_the_file_that_holds_it(study, capsys, cell, file):
    steps = traced(capsys, f"results/smoke/tables/{cell}")
    assert steps[0]["file"] == f"results/smoke/runs/{file}"
    assert not any("gives" in sentence for sentence in steps[0]["missing"])


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
def test_every_step_behind_every_metric_is_known(task):
    captions = {"evaluation": {"captions": {"coco": "owner/coco", "mjhq": "owner/mjhq"}}}
    study = load_study("nano", {"overrides": {"tasks": {"t2i": captions}}})
    run = load_run(study, "sd-vae-mse", task)
    metrics = stages.metrics_of(study, task)
    assert task == "imagenet" or {"fid_coco", "fid_mjhq"} <= set(metrics)
    links = chain(study, run, "cfg", *metrics)
    assert [link.what for link in links if link.stage.keys() == {"hash"}] == []


def test_what_is_there_says_how_it_was_made(study, capsys, tmp_path):
    file = drawn(study, tmp_path)
    steps = {step["what"]: step for step in traced(capsys, f"{TABLE2}:jit:fid")}
    made = steps["imagenet data, train"]
    assert made["file"] == str(file)
    assert made["command"].startswith("nanogen make-data --config")
    assert {"commit", "versions", "device", "began", "seconds", "sha256"} <= made.keys()
    assert main(["trace", f"{TABLE2}:jit:fid"]) == 0
    assert f"nanogen make-data --config {tmp_path}/data.json" in capsys.readouterr().out


def test_what_is_missing_is_said_in_sentences(study, capsys, tmp_path):
    drawn(study, tmp_path)
    metric = "results/smoke/runs/imagenet/jit/cfg/metrics/fid.json"
    assert main(["trace", f"{TABLE2}:jit:fid"]) == 0
    said = capsys.readouterr().out
    assert f"missing: {metric} has no record of how it was made" in said
    samples = "results/smoke/runs/imagenet/jit/cfg/samples.h5"
    assert f"missing: {samples} is not there: not made yet, or deleted after use" in said
    assert "train.h5 has no record" not in said


def test_a_table_older_than_its_metric_file_is_noticed(study, capsys):
    path = Path(Paths(study).metric("jit", "imagenet", "cfg", "fid"))
    path.write_text(path.read_text().replace("21.25", "3.5"))
    (sentence,) = [s for s in traced(capsys, f"{TABLE2}:jit:fid")[0]["missing"] if "gives" in s]
    assert f"{path} gives fid 3.5" in sentence
    assert "21.25: make it again" in sentence


def test_files_of_another_configuration_are_noticed(study, capsys):
    (found, *_) = traced(capsys, f"{TABLE2}:jit:fid", "--given", '{"seed": 1}')
    own = stages.distribution(study, "jit", "cfg")["hash"]
    assert any(f"carries hash {own}, study smoke configures" in text for text in found["missing"])
    assert found["configuration"] == own


def test_a_changed_file_is_noticed_when_asked(study, capsys, tmp_path):
    file = drawn(study, tmp_path)
    steps = {step["what"]: step for step in traced(capsys, f"{TABLE2}:jit:fid", "--verify")}
    assert steps["imagenet data, train"]["missing"] == []
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    steps = {step["what"]: step for step in traced(capsys, f"{TABLE2}:jit:fid", "--verify")}
    assert any("is not what was made" in text for text in steps["imagenet data, train"]["missing"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cell", "parts"),
    [
        (f"{TABLE2}:jti:fid", ["no method 'jti'", "did you mean 'jit'"]),
        (f"{TABLE2}:jit:fdi", ["no column 'fdi'", "did you mean 'fid'"]),
        ("results/smoke/tables/tabel2.csv:jit:fid", ["'tabel2'", "did you mean 'table2'"]),
        ("results/smoke/tables/sweep.csv:jit:fid", ["there is no table results/smoke/tables/sweep.csv"]),
        ("results/smokey/tables/table2.csv:jit:fid", ["unknown study 'smokey'", "'smoke'"]),
        (f"{TABLE2}:jit:published_fid", ["the paper's own number, in config/published/table2.csv"]),
        (f"{TABLE2}:jit:guidance_scale", ["is part of the configuration"]),
        ("results/smoke/tables/published/table2.csv:jit:fid", ["contains the paper's own numbers"]),
        ("table2", ["'table2' is not the address of a cell", "TABLE:METHOD:COLUMN"]),
    ],
)
def test_a_wrong_address_is_a_sentence(study, capsys, cell, parts):
    assert main(["trace", cell]) == 2
    said = capsys.readouterr().err
    assert all(part in said for part in parts), said
    assert "Traceback" not in said


def test_tracing_starts_without_torch(study):
    code = (
        "import sys; from nanogen.cli import main;"
        f"code = main(['trace', '{TABLE2}:dinov2-b:fid']);"
        "sys.exit(code or 'torch' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], check=False, stdout=subprocess.DEVNULL).returncode
        == 0
    )
