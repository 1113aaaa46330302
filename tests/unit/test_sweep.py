"""The guidance sweep: which scale is chosen, what reads the choice, what the table and figure show."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import h5py
import pytest
import torch

from nanogen.cli import main
from nanogen.config import load_study, stages, variants
from nanogen.config.paths import Paths
from nanogen.config.train_stage import TrainStage
from nanogen.errors import UserError
from nanogen.files import label, write_json
from nanogen.metrics.guidance_choice import best_scale

SWEEP = {"scales": [1, 1.5, 3], "images": 20}
SMOKE = {"study": "mine", "extends": "smoke", "tasks": ["imagenet"], "sweep": SWEEP}
CURVES = {
    "dinov2-b": {1: 9.0, 1.5: 7.0, 3: 8.0},
    "sd-vae-mse": {1: 12.0, 1.5: 11.0, 3: 10.0},
    "jit": {1: 20.0, 1.5: 21.0, 3: 22.0},
}


def write_metric(study, method: str, variant: str, name: str, value: float) -> Path:
    path = Path(Paths(study).metric(method, "imagenet", variant, name))
    header = label("metric", 1, stages.distribution(study, method, variant)["hash"])
    about = {"task": "imagenet", "method": method, "variant": variant, "metric": name}
    content = {**header, **about, "values": {name: value}, "protocol": "the test's", "inputs": {}}
    write_json(path, content)
    return path


def choose(study, method: str, curve: dict[float, float]) -> int:
    """Run the command that chooses from these FIDs, and return its exit code."""
    write_json("stage.json", stages.guidance(study, method))
    metrics = [str(write_metric(study, method, f"sweep-{s:g}", "fid", fid)) for s, fid in curve.items()]
    output = Paths(study).guidance(method)
    return main(["choose-guidance", "--config", "stage.json", "--metric", *metrics, "--output", output])


@pytest.fixture
def study(tmp_path, monkeypatch):
    """The smoke study with a sweep, in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(json.dumps(SMOKE))
    return load_study("mine.yaml")


def choice(study, method: str) -> dict:
    return json.loads(Path(Paths(study).guidance(method)).read_text())


def test_the_lowest_fid_chooses_and_of_equal_ones_the_least_guidance():
    assert best_scale({1.0: 9.0, 1.5: 7.0, 3.0: 8.0}) == 1.5
    assert best_scale({3.0: 7.0, 2.0: 7.0, 1.0: 8.0}) == 2.0


@pytest.mark.parametrize(
    ("method", "scale", "at_edge"),
    [("dinov2-b", 1.5, False), ("sd-vae-mse", 3, True), ("jit", 1, False)],  # no scale is below 1
)
def test_the_choice_says_the_scale_and_how_it_was_found(study, caplog, method, scale, at_edge):
    assert choose(study, method, dict(reversed(CURVES[method].items()))) == 0
    found = choice(study, method)
    assert (found["scale"], found["at_edge"]) == (scale, at_edge)
    assert found["curve"] == [{"scale": s, "fid": fid} for s, fid in CURVES[method].items()]
    assert found["inputs"] == stages.guidance(study, method)["expects"]
    assert ("may lie beyond" in caplog.text) == at_edge


@pytest.mark.parametrize(
    ("curve", "sentence"),
    [
        ({1: 9.0, 3: 8.0}, "no FID of sweep-1.5"),
        ({1: 9.0, 1.5: math.nan, 3: 8.0}, "fid is nan"),
    ],
)
def test_a_scale_without_an_fid_is_named(study, capsys, curve, sentence):
    assert choose(study, "jit", curve) == 2
    assert sentence in capsys.readouterr().err
    assert not Path(Paths(study).guidance("jit")).exists()


def test_fids_of_another_configuration_are_refused(study, capsys):
    assert choose(study, "jit", CURVES["jit"]) == 0
    other = load_study("mine.yaml", {"sweep": {**SWEEP, "images": 40}})
    write_json("stage.json", stages.guidance(other, "jit"))
    sets = variants.swept(study.sweep)
    metrics = [Paths(study).metric("jit", "imagenet", name, "fid") for name in sets]
    options = ["--config", "stage.json", "--metric", *metrics, "--output", "g.json"]
    assert main(["choose-guidance", *options]) == 2
    assert "made by another configuration" in capsys.readouterr().err


# ---------------------------------------------------------------------------- configuration


def test_small_sets_lead_to_a_whole_one():
    study = load_study("nano", {"sweep": SWEEP})
    small = stages.sample(study, "jit", "imagenet", "sweep-1.5")
    best = stages.sample(study, "jit", "imagenet", "best")
    assert (small["images"], small["sampling"]["guidance_scale"]) == (20, 1.5)
    assert (best["images"], best["sampling"]["guidance_scale"]) == (400, None)
    assert best["expects"]["guidance"] == stages.guidance(study, "jit")["hash"]
    more = load_study("nano", {"sweep": {**SWEEP, "scales": [1, 1.5, 3, 4]}})
    assert stages.sample(more, "jit", "imagenet", "sweep-1.5") == small  # measured sets stay
    assert stages.sample(more, "jit", "imagenet", "best")["hash"] != best["hash"]


def test_a_sweep_concerns_no_other_sample_set():
    plain, swept = load_study("nano"), load_study("nano", {"sweep": SWEEP})
    for variant in ("cfg", "nocfg", "untrained"):
        sets = [stages.sample(study, "jit", "imagenet", variant) for study in (plain, swept)]
        assert sets[0] == sets[1]


@pytest.mark.parametrize(
    ("method", "task", "variant", "sentence"),
    [
        ("jit", "imagenet", "sweep-2", "sweep.scales gives sweep-1, sweep-1.5, sweep-3"),
        ("jit", "t2i", "best", "a matter of the task"),
        ("meanflow", "imagenet", "best", "a matter of its training"),
    ],
)
def test_what_is_not_swept_is_said(method, task, variant, sentence):
    with pytest.raises(UserError, match=sentence):
        stages.sample(load_study("nano", {"sweep": SWEEP}), method, task, variant)


def test_a_study_without_a_sweep_says_how_to_set_one():
    with pytest.raises(UserError, match="set sweep"):
        stages.sample(load_study("nano"), "jit", "imagenet", "best")


@pytest.mark.parametrize("scales", [[2, 1], [1, 1, 2], [1], [0.5, 1]])
def test_scales_rise_from_1(scales):
    with pytest.raises(UserError, match="scales"):
        load_study("nano", {"sweep": {"scales": scales, "images": 20}})


# ----------------------------------------------------------------------------------- samples


def drawn(study, folder: Path, variant: str, *options: str) -> h5py.File | None:
    """The sample set that the command draws with a random network, or None if the command fails."""
    from nanogen.backbones import build, save

    stage = stages.sample(study, "jit", "imagenet", variant)
    model = folder / "model"
    if not model.exists():
        model.mkdir()
        network = build(TrainStage.from_json(stage["train"]))
        for parameter in network.parameters():  # some start at zero, so guidance has no effect
            torch.nn.init.normal_(parameter, std=0.1)
        save(model, network, network.state_dict())
        write_json(model / "nanogen.json", label("model", 1, stage["expects"]["model"], name="jit"))
    write_json(folder / "stage.json", stage)
    named = ["--config", folder / "stage.json", "--model", model, "--output", folder / f"{variant}.h5"]
    code = main(["sample", *map(str, named), *options])
    return h5py.File(folder / f"{variant}.h5") if code == 0 else None


def test_the_whole_set_is_drawn_at_the_chosen_scale(tiny, tmp_path, capsys):
    study = tiny(sweep={"scales": [1, 2.5], "images": 4}, evaluation={"images": 6})
    guidance = tmp_path / "guidance.json"
    header = label("guidance", 1, stages.guidance(study, "jit")["hash"])
    write_json(guidance, {**header, "scale": 2.5, "at_edge": True, "curve": []})
    with drawn(study, tmp_path, "sweep-2.5") as small:
        assert set(small["guidance"][:].tolist()) == {2.5}
        first = small["images"][:]
    with drawn(study, tmp_path, "best", "--chosen-guidance", str(guidance)) as best:
        assert set(best["guidance"][:].tolist()) == {2.5}
        assert best["images"].shape == (6, 32, 32, 3)
        assert (best["images"][:4] == first).all()  # the same noise, the same scale
    assert drawn(study, tmp_path, "best") is None
    assert "--chosen-guidance FILE" in capsys.readouterr().err
    write_json(guidance, {**header, "hash": "0" * 16, "scale": 2.5, "at_edge": True, "curve": []})
    assert drawn(study, tmp_path, "best", "--chosen-guidance", str(guidance)) is None
    assert "made by another configuration" in capsys.readouterr().err


# ------------------------------------------------------------------------------------ report


@pytest.mark.slow
def test_table_and_figure_show_the_choice_and_how_it_was_made(study, capsys):
    for method, curve in CURVES.items():
        assert choose(study, method, curve) == 0
        write_metric(study, method, "best", "fid", min(curve.values()) - 1)
        write_metric(study, method, "best", "is", 5.0)
    assert main(["table", "sweep", "--study", "mine.yaml", "--output-prefix", "sweep"]) == 0
    with open("sweep.csv", encoding="utf-8", newline="") as handle:
        rows = {row["method"]: row for row in csv.DictReader(handle)}
    assert {method: float(row["best_scale"]) for method, row in rows.items()} == {
        "dinov2-b": 1.5,
        "sd-vae-mse": 3.0,
        "jit": 1.0,
    }
    assert [float(rows["jit"][key]) for key in ("fid", "fid_at_1", "fid_at_1.5", "fid_at_3")] == [
        *(19.0, 20.0, 21.0, 22.0)
    ]
    text = Path("sweep.md").read_text(encoding="utf-8")
    assert "that of the lowest FID at 20 images each" in text
    assert "guidance on [0.0, 0.9]" in text
    assert "SD-VAE-MSE: the best scale is the last that was tried" in text
    capsys.readouterr()
    inputs = ["--study", "mine.yaml", "--input", "sweep.csv"]
    assert main(["figure", "sweep", *inputs, "--output-prefix", "f"]) == 0
    assert "DINOv2-B: guidance scale 1.5, FID 7.00" in capsys.readouterr().out
    assert Path("f.png").stat().st_size > 10_000


def test_a_missing_choice_is_named_with_the_command_that_makes_it(study, capsys):
    assert main(["table", "sweep", "--study", "mine.yaml", "--output-prefix", "sweep"]) == 2
    said = capsys.readouterr().err
    assert "the guidance of dinov2-b has not been swept" in said
    assert "snakemake results/mine/runs/imagenet/dinov2-b/guidance.json" in said


def test_the_paper_has_no_sweep(capsys):
    assert main(["figure", "sweep", "--published", "--output-prefix", "f"]) == 2
    assert "published no sweep" in capsys.readouterr().err
