"""The JSON schemas match the code and accept the repository's configuration files."""

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from nanogen.cli import main

CONFIG = Path(__file__).resolve().parents[2] / "config"
SCHEMAS = CONFIG / "schema"
FILES = sorted(
    path
    for kind in ("studies", "methods", "tasks", "models", "recipes")
    for path in CONFIG.glob(f"{kind}/*.yaml")
)
KIND = {
    "studies": "study",
    "methods": "method",
    "tasks": "task",
    "models": "model",
    "recipes": "recipe",
}


def validator(kind: str) -> Draft202012Validator:
    schema = json.loads((SCHEMAS / f"{kind}.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def read(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_committed_schemas_are_those_of_the_code():
    assert main(["schema", "--check", str(SCHEMAS)]) == 0


def test_a_drifted_schema_is_named_with_the_command_that_mends_it(tmp_path, capsys):
    assert main(["schema", "--output", str(tmp_path)]) == 0
    capsys.readouterr()
    changed = tmp_path / "task.schema.json"
    changed.write_text(changed.read_text(encoding="utf-8").replace("resolution", "size"))
    assert main(["schema", "--check", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "task.schema.json" in said
    assert "study.schema.json" not in said
    assert f"nanogen schema --output {tmp_path}" in said


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_configuration_file_satisfies_its_schema(path):
    errors = validator(KIND[path.parent.name]).iter_errors(read(path))
    assert [f"{error.json_path}: {error.message}" for error in errors] == []


@pytest.mark.parametrize(
    ("kind", "file", "section", "key"),
    [
        ("study", "studies/nano", "training", "stpes"),
        ("method", "methods/jit", "objective", "predictoin"),
        ("task", "tasks/t2i", "conditioner", "token"),
        ("model", "models/sd-vae-mse", None, "laten"),
        ("recipe", "recipes/e2e-vae", None, "normalization"),
    ],
)
def test_a_misspelt_key_is_refused(kind, file, section, key):
    content = read(CONFIG / f"{file}.yaml")
    (content if section is None else content[section])[key] = 1
    assert [key in error.message for error in validator(kind).iter_errors(content)] == [True]


def test_a_wrong_value_is_refused_inside_a_scale_block_and_an_override():
    method = read(CONFIG / "methods/jit.yaml")
    method["scales"]["nano"]["sampling"]["guidance_scale"] = 0.5
    study = read(CONFIG / "studies/nano.yaml") | {
        "overrides": {"methods": {"jit": {"training": {"steps": "many"}}}}
    }
    (wrong_scale,) = validator("method").iter_errors(method)
    (wrong_steps,) = validator("study").iter_errors(study)
    assert wrong_scale.json_path == "$.scales.nano.sampling.guidance_scale"
    assert wrong_steps.json_path == "$.overrides.methods.jit.training.steps"


@pytest.mark.parametrize("kind", KIND.values())
def test_every_key_says_what_it_means(kind):
    schema = validator(kind).schema
    sections = {"": schema, **schema["$defs"]}
    silent = [
        f"{name}.{key}"
        for name, section in sections.items()
        for key, value in section.get("properties", {}).items()
        if "description" not in value
    ]
    assert silent == []
