"""The repository as a newcomer finds it: pinned packages, readable files, documented commands."""

import re
import subprocess
import tomllib
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from nanogen import __version__
from nanogen.cli import COMMANDS, main
from nanogen.docs.build import ELSEWHERE, GENERATED

ROOT = Path(__file__).resolve().parents[2]
LINES = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
TEXT = {".py", ".smk", ".yaml", ".md", ".rst", ".toml", ".json", ".txt", ".in", ".cff", ".csv", ""}


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def tracked() -> list[Path]:
    """Files under version control; none outside a git checkout."""
    found = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    names = found.stdout.split("\0") if found.returncode == 0 else []
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def direct_requirements() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *chain(*project["optional-dependencies"].values())]


def test_requirements_hold_names_versions_and_hashes_only():
    package = re.compile(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==[A-Za-z0-9.+!]+( ; [^/@]+)? \\")
    digest = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
    odd = [line for line in LINES if not (package.fullmatch(line) or digest.fullmatch(line))]
    assert odd == []


def test_every_direct_requirement_is_pinned():
    pinned = {normalised(Requirement(line.removesuffix("\\")).name) for line in LINES if line[0] != " "}
    assert {normalised(name) for name in direct_requirements()} - pinned == set()


def test_every_direct_requirement_is_explained():
    explained = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8")
    assert [name for name in direct_requirements() if f"| `{name}` |" not in explained] == []


def test_changelog_and_citation_are_of_this_version():
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = [h for h in re.findall(r"^## (.+)$", changes, re.MULTILINE) if h != "Unreleased"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"]
    assert (headings[0], cited) == (__version__, __version__)
    assert headings == sorted(headings, key=Version, reverse=True)
    assert re.search(r"^## (.+)$", changes, re.MULTILINE)[1] in ("Unreleased", __version__)


def test_no_file_names_a_folder_of_one_machine():
    files = tracked()
    if not files:
        pytest.skip("needs git and a checkout to know which files belong to the repository")
    place = re.compile(
        rf"(?<![\w.~}}/])(?:{re.escape(str(ROOT))}|/(?:home|Users|root|work|scratch)/\w+)/"
    )
    named = [
        f"{path.relative_to(ROOT)}: {found[0]}"
        for path in files
        if path.suffix in TEXT
        for found in place.finditer(path.read_text(encoding="utf-8"))
    ]
    assert named == []


@pytest.mark.parametrize(
    "path",
    sorted([*ROOT.glob("config/**/*.yaml"), *ROOT.glob("profiles/*/*.yaml"), *ROOT.glob("envs/*.yaml")]),
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_every_yaml_file_is_a_mapping(path):
    assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict)


def _is_there(target: Path) -> bool:
    """Return whether a link's target is an existing file or a page that the site's build generates."""
    pages = {*GENERATED, *ELSEWHERE.values()}
    return target.exists() or target.resolve() in {(ROOT / "docs" / page).resolve() for page in pages}


def test_links_between_documents_lead_somewhere():
    broken = [
        f"{document.name}: {target}"
        for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("profiles/*.md")]
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text(encoding="utf-8"))
        if not target.startswith("http") and not _is_there(document.parent / target)
    ]
    assert broken == []


def test_commands_named_in_the_documents_exist():
    named = {
        command
        for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("profiles/*.md")]
        for command in re.findall(
            r"(?:^|`)nanogen ([a-z][a-z0-9-]*)", document.read_text(), re.MULTILINE
        )
    }
    assert named
    assert named - COMMANDS.keys() == set()


def test_the_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert [
        name for name, (_, text) in COMMANDS.items() if f"  {name} " not in said or text not in said
    ] == []


def test_the_help_tells_commands_for_people_from_those_that_rules_call(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    people, rules = capsys.readouterr().out.split("Steps that Snakemake's rules call:")
    assert people.index("  plan ") < people.index("  score ") < people.index("  summary ")
    called = "\n".join(path.read_text() for path in [*ROOT.glob("rules/**/*.smk"), ROOT / "Makefile"])
    named = re.findall(r"^  ([a-z0-9-]+) ", rules, re.MULTILINE)
    assert len(named) > 20
    assert [name for name in named if not re.search(rf'[" ]{name}[" ]', called)] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_its_options(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"usage: nanogen {command}" in capsys.readouterr().out
