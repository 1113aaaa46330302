"""Names from outside the project are shown as plain text everywhere."""

from __future__ import annotations

import io
import json
import logging
import shutil
import subprocess
from pathlib import Path

import pytest
from rich.console import Console
from test_data_folder import picture, stage

from nanogen.cli import main
from nanogen.data.image_import import write_images
from nanogen.data.images import ImageFile
from nanogen.errors import UserError
from nanogen.report.columns import columns
from nanogen.report.explorer.page import build, embedded
from nanogen.report.render import latex, markdown
from nanogen.report.table import Table
from nanogen.report.terminal import rich_table
from nanogen.text import one_line, printable

NASTY = (
    "a|b <script>alert(1)</script> \\input{/etc/passwd} $x$ %&#_{}~^ \x1b[31mred\x1b]0;t\x07\n\u202eevil"
)


@pytest.fixture
def table() -> Table:
    rows = [{"method": "m", "name": NASTY, "fid": 1.5}, {"method": "n", "name": "plain", "fid": 2.5}]
    return Table("table9", "A caption", columns(["name", "fid"]), rows, grouped_by="method")


def test_markdown_shows_it_as_text_in_one_cell(table: Table):
    text = markdown(table)
    row = next(line for line in text.splitlines() if "script" in line and line.count("|") > 3)
    assert "a\\|b \\<script>" in row
    assert row.endswith(" |")
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_latex_sets_it_as_text(table: Table, tmp_path: Path):
    text = latex(table)
    assert r"\input" not in text
    assert r"\textbackslash{}input\{/etc/passwd\}" in text
    assert r"\$x\$ \%\&\#\_\{\}\textasciitilde{}\textasciicircum{}" in text
    assert "\x1b" not in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
@pytest.mark.parametrize("name", [NASTY, "[2] best", "*starred", "Grün, naïve, Ångström", "模型 🎉 β ½"])
def test_latex_compiles_with_any_name(table: Table, tmp_path: Path, name: str):
    table.rows[1]["name"] = name
    text = latex(table)
    packages = r"\documentclass{article}\usepackage{booktabs,graphicx,amssymb}"
    (tmp_path / "t.tex").write_text(rf"{packages}\begin{{document}}{text}\end{{document}}")
    command = ["pdflatex", "-halt-on-error", "-no-shell-escape", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]


def test_a_terminal_is_not_steered(table: Table):
    buffer = io.StringIO()
    console = Console(file=buffer, width=300)
    console.print(rich_table(table, 300, plain=True))
    assert "\x1b" not in buffer.getvalue()
    assert "\\x1b[31mred" in buffer.getvalue()


def test_the_explorer_holds_it_as_data():
    assert "<" not in embedded({"name": NASTY})
    assert json.loads(embedded({"name": NASTY}))["name"] == NASTY
    shown = {"sources": [{"title": NASTY}]}
    page = build({"program": "p", "families": [], "shown": [], **shown})
    assert "<script>alert(1)" not in page


def test_an_error_is_one_sentence_without_terminal_escapes(capsys, tmp_path: Path):
    name = "x\x1b[2J\x07.json"
    assert main(["submit", "--study", str(tmp_path / name), "--output", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert "x\\x1b[2J\\x07.json" in said


def test_files_of_any_name_are_listed_on_a_line_each(tmp_path: Path, caplog):
    picture(tmp_path / "train/cat/0.png")
    (tmp_path / "train/cat/1\n  2 files\x1b[0m.png").write_bytes(b"none")
    with pytest.raises(UserError, match=r"1 files .*(?s:.*)cat/1   2 files\\x1b\[0m\.png: "):
        write_images(stage(tmp_path), tmp_path / "x.h5")
    with caplog.at_level(logging.WARNING):
        write_images(stage(tmp_path, unreadable="skip"), tmp_path / "x.h5")
    assert "\x1b" not in caplog.text


def test_a_class_of_any_name_is_drawn_and_prompted_as_it_is_called(tmp_path: Path):
    name = "<b>$(touch x)`id`; rm -rf {name} \"quoted\" 'too'"
    picture(tmp_path / "train" / name / "0.png")
    write_images(stage(tmp_path), tmp_path / "x.h5")
    file = ImageFile(tmp_path / "x.h5")
    assert file.classes == [name]
    assert file.captions() == [f"a photo of a {name}"]


@pytest.mark.parametrize(
    "title", ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "two\nlines", "\x1b[31m", "", "a\x9bb"]
)
def test_a_title_that_is_a_formula_or_more_than_a_line_is_refused(title: str):
    from pydantic import ValidationError

    from nanogen.leaderboard.entry import Method

    with pytest.raises(ValidationError):
        Method(name="m", family="vae", title=title)
    assert Method(name="m", family="vae", title="REPA-E + x (2 = two)")


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/b", "a\\b", "", ".hidden", "a\n", "..", "a b"])
def test_a_name_with_path_parts_is_no_name_of_an_entry(name: str):
    from pydantic import ValidationError

    from nanogen.leaderboard.entry import Method

    with pytest.raises(ValidationError):
        Method(name=name, family="vae", title="x")


def test_secrets_reach_no_log():
    token = "hf_" + "a" * 30
    assert token not in printable(f"401 for {token}")
    assert "secret" not in printable("https://user:secret@host/x")
    assert printable("https://host/x@y") == "https://host/x@y"
    assert one_line("a\tb\r\nc") == "a b c"
