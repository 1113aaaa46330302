"""A key added to the configuration changes no hash while it has the value of its introduction."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import Field

from nanogen.config import load_study, stages
from nanogen.config.schema import Data
from nanogen.config.section import Section, added, completed, identity
from nanogen.config.stages.base import completed_stage

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = {
    "schema": ("Data", "Conditioner", "Backbone", "Objective", "Sampling"),
    "training_schema": ("Training", "Optimizer"),
    "model_schema": ("Model", "ModelTraining"),
    "tokenizer_schema": ("TokenizerTraining", "TokenizerTerms"),
}
INTRODUCED = {  # every key declared with ``added``, and its value at introduction
    "Adversarial.eps": 1e-8,
    "Adversarial.kernel": 3,
    "Data.fetch_images": None,
    "Adversarial.norm_eps": 1e-6,
    "Augmentation.probability": 1.0,
    "Augmentation.symmetric": False,
    "Data.file": None,
    "Evaluation.captions": {"coco": None, "mjhq": None, "prompts": 30000},
    "Evaluation.clipscore": None,
    "Evaluation.rows": {"geneval": None, "dpg": None, "genai": None},
    "MeanFlow.guidance_interval": [0.0, 1.0],
    "MeanFlow.norm_offset": 0.01,
    "MeanFlow.norm_power": 1.0,
    "MeanFlow.omega": 1.0,
    "Model.activation": None,
    "Model.autocast": None,
    "Model.batch_norm_eps": None,
    "Model.fdr_statistics": None,
    "Model.last_norm": None,
    "Model.multilayer": None,
    "Model.norm_eps": None,
    "Model.positions": None,
    "Model.precision": "float32",
    "Model.released": None,
    "Model.statistics_eps": 1e-5,
    "Model.tokenizer_hub": None,
    "Optimizer.kind": "adamw",
    "Optimizer.momentum": 0.95,
    "Optimizer.schedule": "linear",
    "Schedule.eps": 1e-8,
    "Sampling.internal_interval": [0.0, 1.0],
    "Sampling.internal_unconditional": None,
    "Sampling.pixels": "rounded",
    "Sampling.solver": "euler",
    "Term.spatial_norm": None,
    "TokenizerOptimizer.eps": 1e-8,
    "Training.ema_warmup": True,
    "Training.frequencies": "frozen",
}
HASHES = """
import json
from nanogen.config import load_study, load_run, load_model, stages, variants

found = {}
for name in ("nano", "paper"):
    study = load_study(name)
    for method in study.methods:
        for task in study.tasks:
            run = load_run(study, method, task)
            for weights in variants.trainings(run):
                found[name, "train", method, task, weights] = stages.train(study, method, task, weights)
            for variant in variants.with_steps(run, "cfg"):
                stage = stages.sample(study, method, task, variant)
                found[name, "sample", method, task, variant] = stage
            if run.tokenizer != "pixels":
                found[name, "model", run.tokenizer, "", ""] = stages.model(study, run.tokenizer)
    found[name, "questions", "", "", ""] = stages.questions(study)
    found[name, "reference", "", "", ""] = stages.reference(study)
print(json.dumps({"/".join(key): stage["hash"] for key, stage in found.items()}))
"""


def hashes(package: Path) -> dict[str, str]:
    environment = {**os.environ, "PYTHONPATH": str(package)}
    result = subprocess.run(
        [sys.executable, "-c", HASHES], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def with_options(tmp_path: Path, declared: str) -> Path:
    """Copy the package, with one more key in every section."""
    shutil.copytree(ROOT / "src/nanogen", tmp_path / "src/nanogen")
    (tmp_path / "config").symlink_to(ROOT / "config")
    for module, classes in SECTIONS.items():
        path = tmp_path / f"src/nanogen/config/{module}.py"
        text = path.read_text()
        for name in classes:
            at = text.index("\n\n", text.index(f"class {name}(Section):\n"))  # after its docstring
            text = f"{text[:at]}\n\n    newest: str = {declared}{text[at + 1 :]}"
        path.write_text(text.replace("import Section", "import Section, added", 1))
    return tmp_path / "src"


def test_an_added_option_changes_no_hash_of_the_small_and_the_full_study(tmp_path):
    package = with_options(tmp_path, 'added("off", description="an option")')
    assert hashes(package) == hashes(ROOT / "src")


def test_a_key_that_was_always_there_counts(tmp_path):
    package = with_options(tmp_path, '"off"')
    assert not set(hashes(package).values()) & set(hashes(ROOT / "src").values())


class Inner(Section):
    always: int = 1
    solver: str = added("euler", description="")


class Outer(Section):
    inner: Inner | None = None
    several: tuple[Inner, ...] = ()
    named: dict[str, Inner] = Field(default_factory=dict)
    order: int = added(2, introduced=1, description="")


@pytest.mark.parametrize(
    ("given", "counted"),
    [
        ({"inner": {"always": 1, "solver": "euler"}}, {"inner": {"always": 1}}),
        ({"inner": {"solver": "heun"}}, {"inner": {"solver": "heun"}}),
        ({"named": {"a": {"always": 1, "solver": "euler"}}}, {"named": {"a": {"always": 1}}}),
        ({"named": {"always": {"solver": "heun"}}}, {"named": {"always": {"solver": "heun"}}}),
        ({"inner": None, "several": [{"solver": "euler"}]}, {"inner": None, "several": [{}]}),
        ({"order": 1, "unknown": 3}, {"unknown": 3}),
        ({"order": 2}, {"order": 2}),  # today's default is not the value of older results
    ],
)
def test_only_the_value_of_the_introduction_is_left_out(given, counted):
    assert identity(given, Outer) == counted


def test_what_an_older_version_wrote_has_the_values_of_the_introduction():
    written = {"inner": {"always": 3}, "several": [], "named": {"a": {"always": 3}}}
    inner = {"always": 3, "solver": "euler"}
    found = {"inner": inner, "several": [], "named": {"a": inner}, "order": 1}
    assert completed(written, Outer) == found
    stage = stages.train(load_study("nano"), "jit", "imagenet")
    older = json.loads(json.dumps(stage))
    del older["use"]["sampling"]["solver"]
    assert completed_stage(older) == stage


def sections(base: type[Section]) -> set[type[Section]]:
    return set(base.__subclasses__()).union(*map(sections, base.__subclasses__()))


def test_the_values_of_the_introduction_stay():
    """Changing one changes the meaning of existing results: declare ``introduced`` instead."""
    found = {
        f"{section.__name__}.{key}": field.json_schema_extra["introduced"]
        for section in sections(Section)
        if section.__module__.startswith("nanogen.")
        for key, field in section.model_fields.items()
        if "introduced" in (field.json_schema_extra or {})
    }
    assert found == INTRODUCED


@pytest.mark.parametrize("store", ["auto", "pixels", "places"])
def test_how_pictures_are_stored_changes_no_hash(store):
    assert identity({"store": store, "name": "t2i"}, Data) == {"store": "pixels", "name": "t2i"}
