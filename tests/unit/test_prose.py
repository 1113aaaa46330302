"""The prose lint: odd wordings are reported with their line; code and equations are ignored."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

PROSE = Path(__file__).resolve().parents[2] / "lint/prose.py"


@pytest.fixture(scope="module")
def prose():
    specification = importlib.util.spec_from_file_location("prose", PROSE)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def found(prose, text: str, page: str = "docs/page.md") -> list[tuple[int, str]]:
    checks = prose.word_checks(page)
    return [(finding.line, finding.message) for finding in prose.checked(page, text, checks)]


def test_an_odd_wording_is_named_with_its_line_and_what_to_write(prose):
    text = (
        "# Title\n\nTables are fine.\n\nOf the images, one is drawn\nin place\nof the study's' others.\n"
    )
    lines = [(line, message.split(":")[0]) for line, message in found(prose, text)]
    assert lines == [(5, "'Of the'"), (6, "'in place of'")]
    assert found(prose, "It works in place of the other.")[0][1].endswith("write instead of")


def test_what_proselint_knows_is_reported(prose):
    assert [message for _, message in found(prose, "It is very good and comes for free.")]


def test_code_equations_and_links_are_no_prose(prose):
    text = "A `stage`, $made of$ and [a page](in place of.md):\n\n```\nOf the stages asked of\n```\n"
    assert found(prose, text) == []


def test_a_defined_term_is_allowed_where_it_is_defined(prose):
    text = "Its stage is hashed.\n"
    assert found(prose, text, "docs/howto/draw.md")
    assert found(prose, text, "docs/architecture.md") == []


def test_pages_and_help_texts_are_both_read(prose):
    pages = dict(prose.pages())
    assert {"README.md", "docs/howto/tables.md", "profiles/README.md"} <= pages.keys()
    assert "nanogen score --help" in dict(prose.helps())


def test_docstrings_are_read_with_the_entries_that_say_so(prose):
    modules = dict(prose.docstrings())
    assert modules["src/nanogen/interop/hub.py"].startswith('"""Downloads from the Hugging Face Hub')
    assert "import" not in modules["src/nanogen/interop/hub.py"]
    text = "\n\nThis stage is fetched anew.\n"
    assert found(prose, text, "src/nanogen/interop/hub.py") == [(3, "'anew': write again")]


@pytest.mark.slow
def test_the_pages_docstrings_and_help_texts_have_no_finding(prose, capsys):
    code = prose.main()
    assert (code, capsys.readouterr().out) == (0, "")
