"""Averages kept during a training: they change nothing in it, and are compared on the same prompts."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from commands import train
from PIL import Image
from safetensors.torch import load_file

from nanogen.backbones import Condition, load
from nanogen.cli import main
from nanogen.config import load_study, stages, variants
from nanogen.config.load import load_run
from nanogen.config.sample_stage import SampleStage
from nanogen.data import hdf5
from nanogen.errors import UserError
from nanogen.files import label, write_json
from nanogen.prompts.files import first_images
from nanogen.report.artefact_files import lengths
from nanogen.sampling.generate import Generator, Subset, generate, labels_of
from nanogen.stage2 import snapshots
from nanogen.tokenizers.pixels import Pixels
from nanogen.training.processes import Processes

ALONE = Processes(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def stage(tiny) -> dict:
    return stages.train(tiny(), "jit", "imagenet")


@pytest.fixture(scope="module")
def model(stage, tiny_images, tmp_path_factory) -> Path:
    """A model trained for eight steps, with the averages after steps four and six kept."""
    folder = tmp_path_factory.mktemp("kept")
    assert main([*train(folder, stage, tiny_images, 2), "--keep", "4", "6"]) == 0
    return folder / "model"


def test_keeping_an_average_changes_no_weight(stage, model, tiny_images, tmp_path):
    assert main(train(tmp_path, stage, tiny_images, 2)) == 0
    plain = tmp_path / "model"
    assert (plain / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()
    assert not (plain / "kept.safetensors").exists()


def test_what_is_kept_is_the_average_of_a_training_of_so_many_steps(stage, model, tiny_images, tmp_path):
    """A training that ends after four steps, with the same schedule, ends with that average."""
    shorter = {**stage, "training": {**stage["training"], "steps": 4}}
    assert main(train(tmp_path, shorter, tiny_images, 2)) == 0
    expected = load_file(tmp_path / "model" / "model.safetensors")
    found = snapshots.read(model / "kept.safetensors", 4, stage["hash"])
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert any(not torch.equal(found[k], v) for k, v in load_file(model / "model.safetensors").items())


def test_where_none_is_asked_for_the_file_is_empty(stage, tiny_images, tmp_path):
    assert main([*train(tmp_path, stage, tiny_images, 2), "--keep"]) == 0
    assert load_file(tmp_path / "model" / "kept.safetensors") == {}


@pytest.mark.parametrize("step", ["0", "9", "-4"])
def test_a_step_that_the_training_has_not_is_refused_before_it(
    stage, tiny_images, tmp_path, capsys, step
):
    assert main([*train(tmp_path, stage, tiny_images, 2), "--keep", "4", step]) == 2
    sentence = f"nanogen train: --keep {step}: the training has the steps 1 to 8\n"
    assert capsys.readouterr().err == sentence
    assert not (tmp_path / "state").exists()


def test_a_training_that_has_passed_the_step_is_refused(stage, tmp_path):
    keeping = snapshots.Snapshots([4], tmp_path, stage["hash"], ALONE)
    with pytest.raises(UserError, match=r"after step 4, but the training in .* is at step 6"):
        keeping.begin(6)


@pytest.mark.parametrize(
    ("step", "hash_", "said"),
    [(5, None, "holds no average of step 5"), (4, "0" * 16, "was made by another configuration")],
)
def test_another_step_and_another_training_are_refused(stage, model, step, hash_, said):
    with pytest.raises(UserError, match=said):
        snapshots.read(model / "kept.safetensors", step, hash_ or stage["hash"])


def test_a_share_of_the_training_names_its_sample_set():
    study = load_study("nano")
    run = load_run(study, "sd-vae-mse", "t2i")
    assert variants.kept(run) == {"at-1300": 1300}
    stage = stages.sample(study, "sd-vae-mse", "t2i", "at-1300")
    assert (stage["kept"], stage["shown"]) == (1300, variants.SHOWN)
    assert stage["sampling"] == stages.sample(study, "sd-vae-mse", "t2i", "cfg")["sampling"]
    with pytest.raises(UserError, match=r"no sample set 'at-7'; training\.snapshots gives at-1300"):
        stages.sample(study, "sd-vae-mse", "t2i", "at-7")


def test_keeping_changes_no_hash(tiny):
    plain, keeping = tiny(), tiny(training={"snapshots": [0.5]})
    for task in ("imagenet", "t2i"):
        one, two = (stages.train(study, "jit", task)["hash"] for study in (plain, keeping))
        assert one == two


def test_a_few_images_are_those_of_the_whole_set(tiny, model, tmp_path):
    stage = stages.sample(tiny(evaluation={"images": 12}), "jit", "imagenet", "cfg")
    whole = Generator(SampleStage.from_json(stage), load(model), Pixels(32), ALONE.device)
    chosen, labels = np.array([1, 4, 11]), labels_of(SampleStage.from_json(stage), None)
    images = {}
    for name, drawing, of in (("all", whole, labels), ("few", Subset(whole, chosen), labels[chosen])):
        conditions = lambda labels: Condition(labels=torch.from_numpy(labels))  # noqa: E731
        generate(
            SampleStage.from_json(stage), drawing, of, conditions, 3, ALONE, tmp_path / f"{name}.h5"
        )
        with h5py.File(tmp_path / f"{name}.h5") as file:
            images[name] = file["images"][:].astype(int), file["seeds"][:]
    assert (images["few"][1] == images["all"][1][chosen]).all()
    assert np.abs(images["few"][0] - images["all"][0][chosen]).max() <= 1


def test_prompts_shown_are_spread_over_all_and_each_once():
    prompts = [{"prompt": str(n)} for n in range(10)] + [{"prompt": "x", "benchmark": "simpleeval"}]
    labels = np.repeat(np.arange(11), 4)
    assert first_images(labels, prompts, 4).tolist() == [0, 12, 24, 36]


def sample_set(path: Path, rows: range, shade: int) -> Path:
    with hdf5.create(path, label("samples", 1, "0")) as file:
        file["images"] = np.full((len(rows), 32, 32, 3), shade, np.uint8)
        file["labels"], file["seeds"] = np.array(rows), 100 + np.array(rows)
    return path


def test_a_picture_shows_what_the_sets_share(tmp_path, capsys):
    prompts = tmp_path / "prompts.json"
    texts = [{"prompt": f"{n} circles"} for n in range(6)]
    write_json(prompts, label("prompts", 1, "0", prompts=texts))
    early = sample_set(tmp_path / "early.h5", range(1, 4), 60)
    late = sample_set(tmp_path / "late.h5", range(6), 200)
    options = ["--prompts", str(prompts), "--title", "t", "--output", str(tmp_path / "p.png")]
    assert main(["grid", "--row", f"half={early}", "--row", f"all={late}", *options]) == 0
    with Image.open(tmp_path / "p.png") as picture:
        shades = {colour: count for count, colour in picture.convert("L").getcolors()}
    assert shades[60] == shades[200] == 3 * 128 * 128
    other = sample_set(tmp_path / "other.h5", range(4, 6), 60)
    assert main(["grid", "--row", f"half={early}", "--row", f"all={other}", *options]) == 2
    assert "share no image: they must be of the same prompts and seeds" in capsys.readouterr().err


def test_a_heading_may_contain_an_equals_sign_and_names_one_set(tmp_path, capsys):
    prompts = tmp_path / "prompts.json"
    write_json(prompts, label("prompts", 1, "0", prompts=[{"prompt": "a circle"}]))
    one, two = (sample_set(tmp_path / f"{name}.h5", range(1), 60) for name in ("one", "two"))
    options = ["--prompts", str(prompts), "--title", "t", "--output", str(tmp_path / "p.png")]
    assert main(["grid", "--row", f"s=1={one}", "--row", f"s=2={two}", *options]) == 0
    assert main(["grid", "--row", f"s=1={one}", "--row", f"s=1={two}", *options]) == 2
    assert "--row s=1 is given twice" in capsys.readouterr().err
    assert main(["grid", "--row", str(one), *options]) == 2
    assert "expected HEADING=FILE" in capsys.readouterr().err


def test_two_methods_of_one_title_have_rows_of_their_own(tmp_path):
    title = {"overrides": {"methods": {"sd-vae-mse": {"title": "DINOv2-B"}}}}
    headings = list(lengths(load_study("nano", title)))
    assert headings == [
        f"DINOv2-B ({method}), {steps} steps"
        for method in ("dinov2-b", "sd-vae-mse")
        for steps in (1300, 2600)
    ]
    assert "DINOv2-B, 1300 steps" in lengths(load_study("nano"))


def test_the_papers_own_figure_3_cannot_be_redrawn(tmp_path, capsys):
    command = ["figure", "figure3", "--published", "--output-prefix", str(tmp_path / "f")]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "images of the paper's own networks" in said
    assert "`snakemake figure3` draws it for a study" in said
