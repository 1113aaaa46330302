"""JSON schemas of the configuration files and of leaderboard entries, made from the pydantic sections.

A file holds only a part of a resolved configuration (a method's file, for example, the keys in which
the method differs), so the schemas check names, types and ranges, and require few keys. Keys that are
missing altogether are reported when the files are merged (``nanogen.config.load``).
"""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel

from nanogen.config.model_schema import Model
from nanogen.config.schema import PublicRun, Run, Task
from nanogen.config.studies import SECTIONS
from nanogen.config.study_schema import Latents, Study
from nanogen.config.yaml_files import RECIPE, SCALES, TASKS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
# Keys of a study's file that methods and tasks do not have.
IDENTITY = ("study", "scale", "seed", "method", "task")
OF_A_METHOD = ("title", "family", "tokenizer")
OF_A_PUBLIC_MODEL = ("title", "family", "pipeline")
Schema = dict[str, Any]


def json_schemas() -> dict[str, Schema]:
    """Schema of every kind of file below ``config/``: study, method, task, model, recipe."""
    task = _partial(Run, without=IDENTITY + OF_A_METHOD)
    recipe = _scaled(_partial(Model, ("name",)), "A recipe, config/recipes/NAME.yaml", ("scales",))
    return {
        "study": _study(),
        "method": _method(),
        "task": _scaled(task, "A task, config/tasks/NAME.yaml", ("scales",)),
        "model": _model(),
        "recipe": recipe,
    }


def entry_schema(entry: type[BaseModel]) -> Schema:
    """Schema of a leaderboard entry. An entry must be complete: all of its keys are required."""
    return _titled(_without_titles(entry.model_json_schema()), "A leaderboard entry, METHOD.json")


def _without_titles(schema: Any) -> Any:
    """Drop the titles that pydantic makes from names; a key named ``title`` is not text and stays."""
    if isinstance(schema, list):
        return [_without_titles(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _without_titles(value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str))
    }


def _partial(section: type[BaseModel], without: tuple[str, ...] = ()) -> Schema:
    """A section's schema in which no key is required, with its definitions below ``$defs``."""
    schema = _without_titles(section.model_json_schema())
    for name in without:
        del schema["properties"][name]
    schema.pop("required", None)
    for name, definition in schema.get("$defs", {}).items():
        if name != Latents.__name__:  # given whole or not at all
            definition.pop("required", None)
    return schema


def _reference(name: str, **more: Any) -> Schema:
    return {"$ref": f"#/$defs/{name}", **more}


def _titled(schema: Schema, title: str) -> Schema:
    """Replace the section's description by a title that names the kind of file."""
    rest = {key: value for key, value in schema.items() if key != "description"}
    return {"$schema": DIALECT, "title": title, **rest}


def _scaled(schema: Schema, title: str, required: tuple[str, ...], block: str = "AtScale") -> Schema:
    """Add the key ``scales``, whose blocks hold the same keys again, or nothing.

    ``block`` is the name of their definition.
    """
    definitions = {**schema.get("$defs", {})}
    definitions[block] = {
        "description": "Keys set at this scale, on top of those above; may be empty.",
        "type": ["object", "null"],
        "properties": schema["properties"],
        "additionalProperties": False,
    }
    scales = {
        "description": "what differs between the scales; a scale without a block cannot be run",
        "type": "object",
        "properties": {scale: _reference(block) for scale in SCALES},
        "additionalProperties": False,
        "minProperties": 1,
    }
    return _titled(
        {
            **schema,
            "properties": {**schema["properties"], "scales": scales},
            "required": list(required),
            "$defs": definitions,
        },
        title,
    )


def _model() -> Schema:
    title = "A frozen network, config/models/NAME.yaml"
    schema = _scaled(_partial(Model, ("name",)), title, ("kind", "scales"))
    recipe = {
        "description": "a file in config/recipes, whose keys come before those of this file",
        "type": "string",
    }
    return {**schema, "properties": {**schema["properties"], RECIPE: recipe}}


def _method() -> Schema:
    """Schema of a trained method's file or, if its family is ``public``, of a public model's file."""
    kinds = {
        "Trained": _scaled(_partial(Run, IDENTITY), "", (*OF_A_METHOD, "scales")),
        "Public": _scaled(
            _partial(PublicRun, IDENTITY), "", (*OF_A_PUBLIC_MODEL, "scales"), "PublicAtScale"
        ),
    }
    at_scale = kinds["Trained"]["$defs"]["AtScale"]["properties"]
    kinds["Trained"]["$defs"]["OnTask"] = {
        "description": "Keys set on this task, on top of the task's own.",
        "type": "object",
        "properties": at_scale,
        "additionalProperties": False,
    }
    on_tasks = {
        "description": "what differs on single tasks",
        "type": "object",
        "properties": {task: _reference("OnTask") for task in get_args(Task)},
        "additionalProperties": False,
    }
    kinds["Trained"]["$defs"]["AtScale"]["properties"] = {**at_scale, TASKS: on_tasks}
    definitions: Schema = {}
    for name, schema in kinds.items():
        definitions |= schema.pop("$defs")
        definitions[name] = {k: v for k, v in schema.items() if k not in ("$schema", "title")}
    public = {"properties": {"family": {"const": "public"}}, "required": ["family"]}
    return {
        "$schema": DIALECT,
        "title": "A method, config/methods/NAME.yaml",
        "if": public,
        "then": _reference("Public"),
        "else": _reference("Trained"),
        "$defs": dict(sorted(definitions.items())),
    }


def _any_method(run: Schema, public: Schema) -> Schema:
    """Schema of the keys that a study may override for a method, trained or public."""
    of_run, of_public = run["properties"], public["properties"]
    sampling = {
        "description": of_run["sampling"]["description"],
        "anyOf": [_reference("Sampling"), _reference("PipelineSampling")],
    }
    return {**run, "properties": {**of_public, **of_run, "sampling": sampling}}


def _study() -> Schema:
    """Schema of a study's file.

    A study's sections are open in pydantic, because they are checked as part of each run.
    """
    schema = _partial(Study)
    run = _partial(Run, without=IDENTITY)
    model = _partial(Model, without=("name",))
    public = _partial(PublicRun, without=IDENTITY)
    parts = {"Run": run, "Model": model, "Method": _any_method(run, public)}
    parts["Method"]["$defs"] = public["$defs"]
    definitions = schema["$defs"]
    for name, part in parts.items():
        definitions |= part.pop("$defs", {})
        definitions[name] = part
    for section in SECTIONS:
        target = run["properties"][section]["$ref"]
        schema["properties"][section] = {
            "$ref": target,
            "description": schema["properties"][section]["description"],
        }
    schema["properties"]["models"]["additionalProperties"] = _reference("Model")
    for kind, name in (("tasks", "Run"), ("methods", "Method")):
        definitions["Overrides"]["properties"][kind]["additionalProperties"] = _reference(name)
    schema["required"] = ["study"]
    schema["anyOf"] = [{"required": ["extends"]}, {"required": ["scale", "methods", "tasks"]}]
    schema["$defs"] = dict(sorted(definitions.items()))
    return _titled(schema, "A study, config/studies/NAME.yaml or a --configfile")
