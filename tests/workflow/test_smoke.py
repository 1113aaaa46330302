"""The graph really run: the smoke study from nothing to tables, again, and cut by Ctrl-C."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
from working_copy import ENVIRONMENT

pytestmark = pytest.mark.slow
SMOKE = ("--config", "study=smoke")
RESULTS = "results/smoke"
ENVIRONMENT_OF_STEPS = {**ENVIRONMENT, "PYTHONPATH": "src"}
METRICS = ("fid", "is", "fdr", "mind", "pr", "sfid", "accuracy")


@pytest.fixture(scope="module")
def done(working_copy, tmp_path_factory):
    """A working copy in which `snakemake all` of the smoke study ran from nothing."""
    copy = working_copy(tmp_path_factory.mktemp("smoke"))
    outcome = copy.snakemake("all", *SMOKE)
    assert outcome.code == 0, outcome.text[-5000:]
    return copy


def rows(path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", ["table2", "table3", "table4"])
def test_measured_tables_have_every_cell(done, name):
    prefix = done / f"{RESULTS}/tables/{name}"
    table = rows(prefix.with_suffix(".csv"))
    methods = json.dumps(table)
    assert all(title in methods for title in ("DINOv2-B", "SD-VAE-MSE", "JiT"))
    for row in table:
        for column, cell in row.items():
            assert cell.strip().lower() not in ("", "nan", "inf", "none"), (row, column)
    for suffix in (".md", ".tex"):
        text = prefix.with_suffix(suffix).read_text()
        assert all(title in text for title in ("DINOv2-B", "SD-VAE-MSE", "JiT"))


ANSWERS = ["correlations", "sensitivity", "influence", "claims"]


@pytest.mark.parametrize("name", ["table1", "table2", "table3", "table4", *ANSWERS])
def test_published_tables_are_beside_them(done, name):
    prefix = done / f"{RESULTS}/tables/published/{name}"
    assert rows(prefix.with_suffix(".csv"))
    assert all(prefix.with_suffix(suffix).stat().st_size > 500 for suffix in (".md", ".tex"))


def test_correlations_claims_and_times_are_of_the_studys_methods(done):
    tables = done / RESULTS / "tables"
    correlations = rows(tables / "correlations.csv")
    assert {row["n"] for row in correlations if row["families"] == "rae+vae+pixel"} == {"3"}
    assert "Too few methods for an interval" in (tables / "correlations.md").read_text()
    assert {row["verdict"] for row in rows(tables / "claims.csv")} <= {
        "holds",
        "fails",
        "cannot be told",
    }
    times = rows(tables / "times.csv")
    assert all(float(row[f"{task}_hours"]) > 0 for row in times for task in ("imagenet", "t2i"))


def test_figures_and_grids_are_pictures(done):
    from PIL import Image

    figures = done / RESULTS / "figures"
    both = ("figure1", "figure4", "figure5", "correlations")
    names = ["figure2", "regimes", *(kind + name for kind in ("", "published/") for name in both)]
    for name in names:
        with Image.open(figures / f"{name}.png") as picture:
            extremes = picture.convert("L").getextrema()
        assert extremes[0] < 100 < extremes[1], name  # ink on paper
        assert (figures / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert "<svg" in (figures / f"{name}.svg").read_text()[:2000]
    with Image.open(figures / "figure3.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 100
    grids = sorted(path.name for path in (figures / "samples").iterdir())
    assert len(grids) == 9
    assert "imagenet-jit-cfg.png" in grids
    assert "t2i-dinov2-b-cfg.png" in grids


def test_the_explorer_shows_the_studys_samples_and_hashes(done):
    page = (done / RESULTS / "explorer.html").read_text()
    assert "Measured by study smoke" in page
    assert page.count("data:image/png;base64,") == 9 * 6
    (fid,) = (done / RESULTS).glob("runs/imagenet/jit/cfg/metrics/fid.json")
    assert json.loads(fid.read_text())["hash"] in page


def test_tokenizers_have_a_table_and_a_figure(done):
    from PIL import Image

    table = rows(done / f"{RESULTS}/tables/tokenizers.csv")
    assert [row["tokenizer"] for row in table] == ["rae-dinov2-b", "sd-vae-mse"]
    for row in table:
        assert all(cell.strip().lower() not in ("", "nan", "inf", "none") for cell in row.values()), row
        assert float(row["rfid"]) < float(row["rfid_untrained"])
        assert float(row["psnr"]) > float(row["psnr_untrained"])
    for suffix in (".md", ".tex"):
        assert "sd-vae-mse" in (done / f"{RESULTS}/tables/tokenizers{suffix}").read_text()
    with Image.open(done / f"{RESULTS}/figures/tokenizers.png") as picture:
        colours = picture.convert("RGB").getcolors(1 << 20)
    assert len(colours) > 100  # pictures, not a blank page
    assert (done / f"{RESULTS}/figures/tokenizers.pdf").read_bytes().startswith(b"%PDF")


def test_every_network_says_how_good_it_is(done):
    cards = sorted((done / RESULTS / "models").glob("*/nanogen.json"))
    assert len(cards) == 12
    for card in cards:
        content = json.loads(card.read_text())
        assert content["quality"], card
        assert content["seconds"] > 0


def test_every_metric_says_where_it_comes_from(done):
    files = sorted((done / RESULTS / "runs").glob("*/*/*/metrics/*.json"))
    assert len(files) == 9 * len(METRICS) + 3 * 4
    for path in files:
        content = json.loads(path.read_text())
        assert content["values"], path
        assert content["protocol"], path
        assert content["inputs"], path


def test_every_number_leads_back_to_data_and_weights(done):
    cells = ("table2.csv:dinov2-b:fid", "table4.csv:jit:recall", "table3.csv:sd-vae-mse:dpg_bench")
    for cell in cells:
        address = f"{RESULTS}/tables/{cell}"
        command = [sys.executable, "-m", "nanogen", "trace", address, "--verify", "--json"]
        traced = subprocess.run(command, cwd=done.folder, env=ENVIRONMENT_OF_STEPS, capture_output=True)
        steps = json.loads(traced.stdout)
        assert len(steps) > 8
        for step in steps:
            assert step["command"].startswith("nanogen "), step
            assert [text for text in step["missing"] if "not a checkout" not in text] == [], step


def test_nothing_temporary_is_left(done):
    left = [path for path in (done / RESULTS).rglob(".*") if path.name != ".snakemake_timestamp"]
    assert not left
    assert not list((done / RESULTS).glob("state/*"))


def test_a_second_run_does_nothing(done):
    outcome = done.snakemake("all", *SMOKE)
    assert outcome.code == 0
    assert "Nothing to be done" in outcome.text


# ---------------------------------------------------------------------------------- Ctrl-C

ONE_METHOD = ("table4", "--config", "study=smoke", "methods=[jit]", "tasks=[imagenet]")


def press_ctrl_c_after_a_checkpoint(copy) -> str:
    """Start the graph, interrupt its whole process group during the training; what it said."""
    process = copy.started(*ONE_METHOD)
    try:
        until = time.monotonic() + 500
        while not list((copy / RESULTS).glob("state/*/step-*.safetensors")):
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < until, "the training never saved"
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        said = process.communicate(timeout=120)[0]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode != 0
    return said


def test_ctrl_c_and_the_same_command_give_the_same_numbers(done, working_copy, tmp_path):
    copy = working_copy(tmp_path)
    said = press_ctrl_c_after_a_checkpoint(copy)
    assert "Traceback" not in said
    run = f"{RESULTS}/runs/imagenet/jit"
    assert not (copy / run / "model" / "nanogen.json").exists()
    again = copy.snakemake(*ONE_METHOD)
    assert again.code == 0, again.text[-3000:]
    assert "continuing jit on imagenet after step 1" in again.text  # 10 or 15
    compared = ["model/model.safetensors", "model/config.json"]
    for variant in ("nocfg", "untrained"):
        compared += [f"{variant}/metrics/{name}.json" for name in METRICS]
    for name in compared:
        assert (copy / run / name).read_bytes() == (done / run / name).read_bytes(), name


# ------------------------------------------------------------------- other methods, after the rest

NEW = """
title: SD-VAE-MSE (x)
family: vae
tokenizer: sd-vae-mse
objective: {prediction: x}
scales:
  nano:
    backbone: {patch: 2}
    objective: {shift_base: 64}
    sampling: {shift_base: 64, guidance_scale: 2.0}
"""


def measured(done, *methods: str) -> list[dict[str, str]]:
    """Table 2 of these methods, made in the finished study."""
    names = f"methods=[{', '.join(methods)}]"
    outcome = done.snakemake("table2", *SMOKE, names, "tasks=[imagenet]")
    assert outcome.code == 0, outcome.text[-5000:]
    assert "rule train_tokenizer" not in outcome.text
    return rows(done / f"{RESULTS}/tables/table2.csv")


def test_a_method_of_existing_parts_is_one_file(done):
    (done / "config/methods/sd-vae-x.yaml").write_text(NEW)
    table = measured(done, "sd-vae-mse", "sd-vae-x")
    assert [row["name"] for row in table] == ["SD-VAE-MSE", "SD-VAE-MSE (x)"]
    assert table[0]["fid"] != table[1]["fid"]


def test_added_losses_and_few_steps_go_through_the_same_graph(done):
    table = measured(done, "dinov2-b-reg", "pixelgen", "meanflow")
    assert [row["method"] for row in table] == [
        "dinov2-b-reg", "pixelgen", "meanflow-nfe1", "meanflow-nfe2",
    ]  # fmt: skip
    assert len({row["fid"] for row in table}) == 4
    curve = done / f"{RESULTS}/runs/imagenet/pixelgen/model/train.jsonl"
    assert {"lpips", "features"} <= json.loads(curve.read_text().splitlines()[-1]).keys()


# ------------------------------------------ what is added by one module and one entry in its list

SHIFT = '''
import numpy as np


def mean_shift(spaces, options):
    """Distance of the means in the first extractor's space."""
    space = spaces[0]
    shift = float(np.linalg.norm(space.features.mean(0) - space.real.mean(0)))
    return {"mean_shift": shift}, f"{len(space)} generated images: distance of the means"
'''
SHIFT_ENTRY = """    Metric(
        "shift", "Mean shift", "imagenet", "distribution",
        (Score("mean_shift", "Mean shift", better="lower", main=True),),
        "nanogen.metrics.mean_shift:mean_shift",
    ),
"""
BRIGHTNESS = '''
def brightness(judged, seed):
    """Mean level of the images."""
    return {"brightness": float(judged.images.mean()) / 255}, f"{len(judged.images)} images: mean level"
'''
BRIGHTNESS_ENTRY = """    Metric(
        "brightness", "Brightness", "t2i", "image_text",
        (Score("brightness", "Brightness", main=True),), "nanogen.metrics.brightness:brightness",
    ),
"""
BARS = '''
from nanogen.report.rows import read_rows
from nanogen.report.style import applied


def figure(study, inputs, style):
    """The FID of every method as bars."""
    rows = read_rows(inputs[0], needs=["name"])
    with applied(style):
        from matplotlib.figure import Figure

        drawn = Figure(figsize=(style.width, style.height))
        drawn.subplots().bar([row["name"] for row in rows], [row["fid"] for row in rows])
    return drawn, ["bars"]
'''
BARS_ENTRY = """    Artefact(
        "figure", "bars", "FIDs as bars", "nanogen.report.bars:figure", tables=("table2",),
    ),
"""
MIDPOINT = '''
from nanogen.sampling.solvers import along


def midpoint(field, state, t, following):
    """The velocity in the middle of the step."""
    middle = along(state, field(state, t), (t - following) / 2)
    return along(state, field(middle, (t + following) / 2), t - following)
'''


def add(done, module: str, code: str, listed: str, after: str, entry: str) -> None:
    """A new module, and an entry in a list behind the line ``after``."""
    (done / f"src/nanogen/{module}.py").write_text(code)
    path = done / f"src/nanogen/{listed}.py"
    text = path.read_text()
    assert after in text
    path.write_text(text.replace(after, after + entry, 1))


def made(done, *targets: str) -> str:
    """What Snakemake said; no network was trained and nothing drawn for it."""
    outcome = done.snakemake(*targets, *SMOKE)
    assert outcome.code == 0, outcome.text[-5000:]
    assert not {"train", "train_tokenizer", "build_model", "sample"} & set(outcome.rules)
    return outcome.text


def test_a_metric_is_one_module_and_one_entry(done):
    add(done, "metrics/mean_shift", SHIFT, "config/metrics", "METRICS = (\n", SHIFT_ENTRY)
    add(done, "metrics/brightness", BRIGHTNESS, "config/metrics", "METRICS = (\n", BRIGHTNESS_ENTRY)
    made(done, "table2", "table3", "explorer")
    assert all(float(row["mean_shift"]) > 0 for row in rows(done / f"{RESULTS}/tables/table2.csv"))
    assert all(float(row["brightness"]) > 0 for row in rows(done / f"{RESULTS}/tables/table3.csv"))
    assert "Mean shift" in (done / f"{RESULTS}/explorer.html").read_text(encoding="utf-8")
    summary = subprocess.run(
        [sys.executable, "-m", "nanogen", "summary", "--study", "smoke"],
        cwd=done.folder, env=ENVIRONMENT_OF_STEPS, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "Mean shift" in summary.stdout
    assert "Brightness" in summary.stdout


def test_a_figure_is_one_module_and_one_entry(done):
    add(done, "report/bars", BARS, "report/artefacts", "_FIGURES = (\n", BARS_ENTRY)
    made(done, f"{RESULTS}/figures/bars.png")
    assert f"{RESULTS}/figures/bars.png" in done.snakemake("-n", "-F", "all", *SMOKE).text
    assert (done / f"{RESULTS}/figures/bars.svg").exists()


def test_a_sampler_is_one_module_and_one_entry(done):
    entry = '    "midpoint": "nanogen.sampling.midpoint:midpoint",\n'
    add(done, "sampling/midpoint", MIDPOINT, "config/solvers", "SOLVERS = {\n", entry)
    samples = f"{RESULTS}/runs/imagenet/jit/cfg/samples.h5"
    assert not done.snakemake("-n", samples, *SMOKE).rules
    with h5py.File(done / samples) as file:
        euler = file["images"][:]
    outcome = done.snakemake(samples, *SMOKE, "sampling={solver: midpoint}")
    assert outcome.code == 0, outcome.text[-5000:]
    with h5py.File(done / samples) as file:
        assert np.abs(file["images"][:].astype(int) - euler).max() > 0


def test_tensorboard_shows_a_training_with_its_samples(done):
    """Asked for afterwards it trains nothing; here a step more is."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    model = f"{RESULTS}/runs/imagenet/jit/model/nanogen.json"
    shown = "trackers: [tensorboard]"
    assert not done.snakemake("-n", model, *SMOKE, f"training={{{shown}}}").rules
    outcome = done.snakemake(model, *SMOKE, f"training={{{shown}, evaluate_every: 10, steps: 21}}")
    assert outcome.code == 0, outcome.text[-5000:]
    folder = done / f"{RESULTS}/tracking/imagenet/jit/tensorboard"
    events = accumulator.EventAccumulator(str(folder)).Reload()
    assert {"train/loss", "train/memory_gb", "evaluation/fid"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Images("samples")] == [10, 20, 21]
