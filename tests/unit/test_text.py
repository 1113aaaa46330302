"""Text from users' editors: every kind of file is read alike, or refused with an error message."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from nanogen.config import load_study
from nanogen.config.prompt_lists import identity
from nanogen.config.yaml_files import read_yaml
from nanogen.errors import UserError
from nanogen.files import read_json, read_text
from nanogen.prompts.files import read_prompts, read_texts
from nanogen.text import lines_of

CIRCLE = '{{"prompt": "{}", "tag": "t", "include": [{{"class": "circle", "count": 1}}]}}'
BOM = b"\xef\xbb\xbf"
# GenEval's metadata (p), prompts of any kind (t), a study (s), any JSON (j).
READERS = {
    "p.jsonl": (lambda path: read_prompts(path)[0]["prompt"], CIRCLE),
    "p.json": (lambda path: read_prompts(path)[0]["prompt"], f"[{CIRCLE}]"),
    "t.txt": (lambda path: read_texts(path)[0]["prompt"], "{}\n"),
    "t.jsonl": (lambda path: read_texts(path)[0]["prompt"], '"{}"\n'),
    "s.yaml": (lambda path: read_yaml(path)["study"], 'study: "{}"\n'),
    "j.json": (lambda path: read_json(path)["a"], '{{"a": "{}"}}'),
}


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", READERS)
def test_every_file_of_text_is_read_alike(tmp_path: Path, name: str):
    read, form = READERS[name]
    assert read(written(tmp_path / name, BOM + form.format("a circle").encode())) == "a circle"
    for ending in ("\r\n", "\n"):
        text = form.format("grün").replace("\n", ending)
        assert read(written(tmp_path / f"{len(ending)}{name}", text.encode())) == "grün"
    for number, (encoding, says) in enumerate((("utf-16", "it is in UTF-16"), ("latin-1", "line 1"))):
        content = form.format("grün").encode(encoding)
        with pytest.raises(UserError, match=f"not UTF-8 text: {says}.*save it as UTF-8"):
            read(written(tmp_path / f"other{number}{name}", content))


@pytest.mark.parametrize("name", ["p.jsonl", "p.json", "t.jsonl", "s.yaml", "j.json"])
@pytest.mark.parametrize("escape", [r"\u0000", r"\ud83d"])
def test_what_cannot_be_stored_is_named_where_it_is_read(tmp_path: Path, name: str, escape: str):
    if name == "s.yaml":
        escape = escape.replace("u0000", "0")
    read, form = READERS[name]
    with pytest.raises(UserError, match=r"holds a (NUL character|character that is not Unicode text)"):
        read(written(tmp_path / name, form.format(f"a{escape}b").encode()))


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_lines_end_at_newlines_only(tmp_path: Path, mark: str):
    found = read_texts(written(tmp_path / "u.txt", f"a{mark}b\nc\r\nd\n".encode()))
    assert [prompt["prompt"] for prompt in found] == [f"a{mark}b", "c", "d"]
    if mark >= " ":
        lines = written(tmp_path / "u.jsonl", (CIRCLE.format(f"a{mark}b") + "\n").encode())
        assert read_prompts(lines)[0]["prompt"] == f"a{mark}b"


def test_a_file_without_a_last_newline_has_the_same_lines():
    assert lines_of("a\nb") == lines_of("a\nb\n") == ["a", "b"]
    assert lines_of("") == []
    assert lines_of("\n") == [""]


def test_a_key_that_is_there_twice_is_refused(tmp_path: Path):
    study = written(
        tmp_path / "d.yaml",
        b"study: dup\nextends: nano\ntraining: {steps: 1000}\ntraining: {log_every: 10}\n",
    )
    with pytest.raises(UserError, match=r"d\.yaml: key 'training' appears twice, in lines 3 and 4"):
        load_study(str(study))
    inside = written(tmp_path / "e.yaml", b"study: x\ntraining:\n  steps: 1\n  steps: 2\n")
    with pytest.raises(UserError, match=r"'steps' appears twice, in lines 3 and 4"):
        load_study(str(inside))
    prompts = written(tmp_path / "p.json", b'{"a": {"prompt": "x"}, "a": {"prompt": "y"}}')
    with pytest.raises(UserError, match=r"p\.json: the key 'a' appears twice"):
        read_texts(prompts)


def test_yaml_may_merge_mappings(tmp_path: Path):
    text = b"a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\n"
    assert read_yaml(written(tmp_path / "m.yaml", text))["b"] == {"x": 1, "y": 3}


def test_nested_without_end_is_refused(tmp_path: Path):
    for name, read in (("d.json", read_json), ("d.yaml", read_yaml)):
        with pytest.raises(UserError, match=r"d\.(json is not valid|yaml: line 1 is nested)"):
            read(written(tmp_path / name, b"[" * 100_000))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
            + "".join(f"{n}: &{n} [{', '.join([f'*{p}'] * 10)}]\n" for p, n in pairwise("abcdefghijk")),
            "line 6 has over 1,000,000 values",
        ),
        (
            "a0: &a0 []\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 2_000)),
            "line 101 is nested more than 100 levels",
        ),
        ("a: 1\nb: &b [*b]\n", "line 2 contains itself"),
    ],
)
def test_aliases_that_expand_without_measure_are_refused(tmp_path: Path, text: str, said: str):
    with pytest.raises(UserError, match=said):
        read_yaml(written(tmp_path / "d.yaml", text.encode()))


def test_the_identity_of_a_file_of_prompts_is_its_text(tmp_path: Path):
    plain = written(tmp_path / "a.json", b'["a"]')
    marked = written(tmp_path / "b.json", BOM + b'["a"]')
    assert identity("prompts", str(plain)) == identity("prompts", str(marked))
    with pytest.raises(UserError, match="not UTF-8 text"):
        identity("prompts", str(written(tmp_path / "c.json", b"\xff")))


def test_a_folder_or_nothing_in_place_of_a_file_is_said(tmp_path: Path):
    with pytest.raises(UserError, match="cannot read"):
        read_text(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        read_text(tmp_path / "none")
