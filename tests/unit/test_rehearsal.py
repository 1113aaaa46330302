"""The rehearsal differs from the full study only in weights, the backbone's size, and counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from nanogen.config import load_model, load_run, load_study, plan, stages
from nanogen.data.image_import import write_images
from nanogen.data.images import ImageFile
from nanogen.errors import UserError

REHEARSAL, PAPER = load_study("rehearsal"), load_study("paper")
MID_REHEARSAL, MID = load_study("mid-rehearsal"), load_study("mid")
SIZE = {
    f"backbone.{part}_{what}" for part in ("encoder", "decoder") for what in ("width", "depth", "heads")
}
COUNTS = {
    "data.train_images",
    "data.val_images",
    "training.steps",
    "training.batch_size",
    "training.noise_chunk",  # at most the batch
    "training.checkpoint_every",
    "training.log_every",
    "sampling.batch_size",
    "evaluation.images",
    "evaluation.untrained_images",
    "evaluation.images_per_prompt",
    "evaluation.prompts",  # eight, which are shipped, and two of each other benchmark
    "evaluation.questions",
    "evaluation.genai_prompts",
    *(f"evaluation.rows.{benchmark}" for benchmark in ("geneval", "dpg", "genai")),
    "evaluation.simpleeval.prompts",
}
# the name, and the data set, whose files are drawn
SOURCES = {"study", "data.root", "data.hub"}
# Keys of a model: the network is random and small, but looks the same to the graph.
WEIGHTS = {"source", "architecture"} | {
    f"stage1.{key}"
    for key in ("epochs", "batch_size", "adversarial.disc_start", "adversarial.gan_start")
}


def flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value and not key.endswith("architecture"):
        for name, item in value.items():
            yield from flat(item, f"{key}.{name}" if key else name)
    else:
        yield key, value


def differing(one: Any, two: Any) -> set[str]:
    first, second = (dict(flat(x.model_dump(mode="json"))) for x in (one, two))
    return {key for key in first.keys() | second.keys() if first.get(key) != second.get(key)}


def test_it_has_every_method_and_task_of_the_paper():
    assert (REHEARSAL.methods, REHEARSAL.tasks) == (PAPER.methods, PAPER.tasks)


@pytest.mark.parametrize("task", PAPER.tasks)
@pytest.mark.parametrize("method", PAPER.methods)
def test_a_run_differs_in_size_counts_and_sources_only(method, task):
    found = differing(load_run(REHEARSAL, method, task), load_run(PAPER, method, task))
    assert found <= SIZE | COUNTS | SOURCES
    assert found >= SIZE - {"backbone.encoder_depth"}


@pytest.mark.parametrize("name", plan.models_of(PAPER))
def test_a_network_differs_in_its_weights_only(name):
    found = differing(load_model(REHEARSAL, name), load_model(PAPER, name))
    assert found <= WEIGHTS
    assert load_model(REHEARSAL, name).source != "download"


@pytest.mark.parametrize("task", PAPER.tasks)
def test_what_the_backbone_sees_is_the_papers(task):
    for method in PAPER.methods:
        ours, theirs = (stages.train(study, method, task) for study in (REHEARSAL, PAPER))
        for key in ("latent", "pixels", "text_width", "conditioner", "objective"):
            assert ours[key] == theirs[key], (method, key)


def test_mids_rehearsal_differs_from_mid_alike():
    assert (MID_REHEARSAL.methods, MID_REHEARSAL.tasks) == (MID.methods, MID.tasks)
    for method in MID.methods:
        for task in MID.tasks:
            found = differing(load_run(MID_REHEARSAL, method, task), load_run(MID, method, task))
            assert found <= SIZE | COUNTS | SOURCES, (method, task)
    assert plan.models_of(MID_REHEARSAL) == plan.models_of(MID)
    for name in plan.models_of(MID):
        assert differing(load_model(MID_REHEARSAL, name), load_model(MID, name)) <= WEIGHTS


def test_nothing_is_fetched():
    assert plan.downloads(REHEARSAL) == plan.downloads(MID_REHEARSAL) == []


@pytest.mark.parametrize("task", PAPER.tasks)
def test_the_drawn_data_set_is_imported_as_the_real_one(task, tmp_path):
    from nanogen.data.scenes.rehearsal import write_inputs

    write_inputs(stages.inputs(REHEARSAL, task), tmp_path / "inputs")
    for split in ("train", "val"):
        stage = stages.data(REHEARSAL, task, split)
        stage["data"]["root"] = str(tmp_path / "inputs")
        write_images(stage, tmp_path / f"{split}.h5")
        file = ImageFile(tmp_path / f"{split}.h5")
        assert file.images.shape == (8, 256, 256, 3)
        assert all(file.captions("dense"))


def test_a_source_without_a_format_is_refused(tmp_path):
    from nanogen.data.scenes.rehearsal import write_inputs

    with pytest.raises(UserError, match="'scenes' cannot be drawn"):
        write_inputs(stages.inputs(load_study("nano"), "imagenet"), tmp_path / "inputs")
