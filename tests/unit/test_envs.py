"""The conda environments contain what the commands of their rules import, at the pinned versions."""

import ast
import re
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from nanogen.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
ENVS = sorted(ROOT.glob("envs/*.yaml"))
# Packages whose import name differs from their distribution name.
PACKAGE = {
    "PIL": "pillow",
    "fontTools": "fonttools",
    "myst_parser": "myst-parser",
    "yaml": "pyyaml",
    "huggingface_hub": "huggingface-hub",
    "torch_fidelity": "torch-fidelity",
    "vl_convert": "vl-convert-python",
}
# A string that names a module to import later, e.g. "nanogen.stage1.rae:build" or "diffusers".
NAMED = re.compile(r"(nanogen(?:\.\w+)+|diffusers|transformers)(?::\w+)?")


# Modules that list functions by name -> the module that calls these functions.
CALLED_BY = {
    "nanogen.config.metrics": "nanogen.metrics.metric_files",
    "nanogen.config.optimizers": "nanogen.training.optimizer",
    "nanogen.config.schedules": "nanogen.training.schedule",
    "nanogen.config.solvers": "nanogen.sampling.solvers",
    "nanogen.config.trackers": "nanogen.stage2.tracking",
    "nanogen.report.artefacts": "nanogen.cli.artefact",
}


def pinned(python: str) -> dict[str, str]:
    """Versions by package that requirements.txt pins for this version of Python."""
    result = {}
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines():
        if line[:1].isalnum():
            requirement = Requirement(line.removesuffix("\\"))
            if not requirement.marker or requirement.marker.evaluate({"python_full_version": python}):
                result[requirement.name] = str(requirement.specifier).removeprefix("==")
    return result


def contents(env: Path) -> dict[str, str]:
    """Versions by package in an environment's pip section; empty if not pinned."""
    dependencies = yaml.safe_load(env.read_text(encoding="utf-8"))["dependencies"]
    (pip,) = (entry["pip"] for entry in dependencies if isinstance(entry, dict))
    requirements = map(Requirement, pip)
    return {r.name: str(r.specifier).removeprefix("==") for r in requirements}


def source_of(module: str) -> Path | None:
    path = ROOT.joinpath("src", *module.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def imports_of(module: str, source: Path) -> set[str]:
    """Modules that a file imports by statement or by name, and those named in the lists that it uses."""
    called = (listed for listed, caller in CALLED_BY.items() if caller == module)
    return _named(source, strings=module not in CALLED_BY).union(
        *(_named(source_of(listed), strings=True) for listed in called)
    )


def _named(source: Path, *, strings: bool) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif not strings or not isinstance(node, ast.Constant):
            continue
        elif named := NAMED.fullmatch(str(node.value)):
            names.add(named[1])
    return names


def packages_behind(command: str) -> set[str]:
    """Distributions that a command imports, directly or through the project's own modules."""
    waiting, seen, found = [f"nanogen.cli.{COMMANDS[command][0]}"], set(), set()
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        top = module.partition(".")[0]
        source = source_of(module)
        if top != "nanogen" and top not in sys.stdlib_module_names:
            found.add(PACKAGE.get(top, top))
        elif source:
            waiting += imports_of(module, source)
    return found


def commands_by_env() -> dict[str, set[str]]:
    """Commands that the rules of each environment call."""
    result: dict[str, set[str]] = {env.stem: set() for env in ENVS}
    for file in ROOT.glob("rules/*.smk"):
        for rule in re.split(r"\n(?= *rule )", file.read_text(encoding="utf-8"))[1:]:
            env = re.search(r"envs/([\w-]+)\.yaml", rule)
            shell = rule.partition("shell:")[2]
            if env:
                result[env[1]] |= {name for name in COMMANDS if re.search(rf'[" ]{name} ', shell)}
    return result


@pytest.mark.parametrize("env", ENVS, ids=lambda env: env.stem)
def test_versions_are_those_of_the_requirements(env):
    python = re.search(r"python=(\S+)", env.read_text(encoding="utf-8"))
    versions = pinned(f"{python[1]}.0")
    found = contents(env)
    assert found.keys() <= versions.keys()
    assert found == {name: versions[name] for name in found}


@pytest.mark.slow
@pytest.mark.parametrize("env", ENVS, ids=lambda env: env.stem)
def test_an_environment_holds_what_its_commands_import(env):
    commands = commands_by_env()[env.stem]
    assert commands, f"no rule uses {env.name}"
    missing = {name: packages_behind(name) - contents(env).keys() for name in commands}
    assert {name: packages for name, packages in missing.items() if packages} == {}


def test_the_report_environment_has_no_deep_learning():
    assert not contents(ROOT / "envs/report.yaml").keys() & {
        "torch",
        "transformers",
        "diffusers",
        "timm",
    }
