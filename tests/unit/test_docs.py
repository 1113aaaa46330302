"""The documentation site: generated pages are complete, and every link and command is correct."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from nanogen.cli import COMMANDS, main, parser_of, parsers
from nanogen.config import load_study
from nanogen.config.task_difference import task_difference
from nanogen.config.yaml_files import CONFIG
from nanogen.docs import build, commands, keys, methods, targets, tasks
from nanogen.docs.equations import mathml
from nanogen.errors import UserError

ROOT = CONFIG.parent
PAGES = [
    *sorted(ROOT.glob("docs/**/*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "profiles/README.md")),
]
ATTRIBUTES = {
    "a": "href",
    "link": "href",
    "script": "src",
    "img": "src",
    "iframe": "src",
    "form": "action",
}


class Page(HTMLParser):
    """The anchors and references of a page."""

    def __init__(self, path: Path):
        super().__init__()
        self.anchors: set[str] = set()
        self.found: list[tuple[str, str]] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.anchors |= {values[key] for key in ("id", "name") if values.get(key)}
        if values.get(ATTRIBUTES.get(tag, "")):
            self.found.append((tag, values[ATTRIBUTES[tag]]))


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, Page]:
    return {path.resolve(): Page(path) for path in site.rglob("*.html")}


def test_every_link_and_anchor_within_the_site_leads_somewhere(site, pages):
    broken = []
    for path, page in pages.items():
        for _, address in page.found:
            if re.match(r"[a-z]+:", address):
                continue
            name, _, anchor = address.partition("#")
            target = (path.parent / name.partition("?")[0]).resolve() if name else path
            known = target.is_file() and (not anchor or target.suffix != ".html")
            if not (known or (target in pages and anchor in pages[target].anchors)):
                broken.append(f"{path.relative_to(site.resolve())}: {address}")
    assert broken == []


def test_no_page_loads_anything_from_the_network(site, pages):
    loaded = {
        address
        for page in pages.values()
        for tag, address in page.found
        if tag != "a" and re.match(r"([a-z]+:)?//", address)
    }
    styles = [
        style.name
        for style in site.rglob("*.css")
        if re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", style.read_text(encoding="utf-8"))
    ]
    assert (loaded, styles) == (set(), [])


def test_every_hand_written_page_is_in_the_navigation(site):
    front = (site / "index.html").read_text(encoding="utf-8")
    written = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in PAGES[:-3]}
    listed = {path.as_posix() for path in written - {Path("index.html")}}
    assert {page for page in listed if f'href="{page}"' not in front} == set()


def test_equations_are_drawn_when_the_site_is_built(site):
    for name in ("methods", "metrics", "tokenizers"):
        written = (ROOT / f"docs/explanation/{name}.md").read_text(encoding="utf-8")
        shown = (site / f"explanation/{name}.html").read_text(encoding="utf-8")
        assert shown.count('<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">') == (
            written.count("\n$$\n") // 2
        )
        assert "$$" not in shown
        assert "\\frac" not in shown


def test_an_equation_that_is_not_understood_is_named():
    with pytest.raises(UserError, match="no-such"):
        mathml(r"\no-such", block=True)


@pytest.mark.slow
def test_a_link_that_leads_nowhere_fails_the_build(tmp_path):
    root = tmp_path / "clone"
    for name, text in {
        "docs/index.md": "# Title\n\n[there](nowhere.md)\n",
        "profiles/README.md": "# Profiles\n",
        "CONTRIBUTING.md": "# Contributing\n",
        "Snakefile": "",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    (root / "docs/conf.py").write_text('extensions = ["myst_parser"]\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"docs/index\.md.*nowhere\.md"):
        build.build(root, tmp_path / "site", parsers())
    assert not (tmp_path / "site").exists()


def test_a_folder_without_pages_is_refused(tmp_path):
    with pytest.raises(UserError, match="in a clone of the repository"):
        build.build(tmp_path, tmp_path / "site", parsers())


def test_every_key_of_every_file_is_in_the_reference():
    rows = [line.strip("| ").split(" | ") for line in keys.page().splitlines() if line.startswith("| `")]
    listed = {(row[0].strip("`"), row[-1]) for row in rows}
    missing = [
        f"{name}: {path}.{key}"
        for name, root, _, left_out in keys.ROOTS
        for path, section, _ in keys.sections(root)
        for key, field in section.model_fields.items()
        if (path or key not in left_out) and (key, keys.plain(field.description)) not in listed
    ]
    assert missing == []


@pytest.mark.parametrize(
    ("key", "row"),
    [
        ("t_eps", "| `t_eps` | number, > 0 | `0.05` | lower clamp of t in (x_t - x) / t |"),
        ("cache", "| `cache` | `always`, `never`, `auto` | `auto` |"),
        ("methods", "| `methods` | list of text, at least 1 | *required* |"),
        ("betas", "| `betas` | list of 2 × number, ≥ 0, < 1 | `[0.9, 0.95]` |"),
        ("compile", "| `compile` | `true` or `false` | `false` |"),
        ("extends", "| `extends` | text | none |"),
    ],
)
def test_a_key_is_shown_with_type_range_and_default(key, row):
    assert row in keys.page()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_in_the_reference(name):
    page = commands.page(parsers())
    part = page.split(f"(nanogen-{name})=\n")[1].partition("(nanogen-")[0]
    options = parser_of(name)._option_string_actions
    assert {
        option for option in options if option not in ("-h", "--help") and option not in part
    } == set()
    assert f"### {name}\n" in part


def test_commands_and_keys_are_listed_without_a_large_library():
    heavy = {"torch", "numpy", "h5py", "PIL", "matplotlib", "scipy", "transformers", "snakemake"}
    program = (
        "import sys; from nanogen.cli import parsers\n"
        "from nanogen.docs import commands, keys, tasks\n"
        "commands.page(parsers()); keys.page(); tasks.page()\n"
        f"print(*({heavy!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_two_tasks_are_compared_line_by_line():
    page = tasks.page()
    rows = [row for row in task_difference(load_study(tasks.STUDY), tasks.METHOD) if row[0] != "task"]
    assert "## Training: 12 lines" in page
    assert [key for key, _, _ in rows if f"| `{key}` |" not in page] == []


def test_every_method_of_the_paper_is_listed_with_its_latent():
    page = methods.page()
    assert [name for name in load_study("paper").methods if f"(`{name}`) |" not in page] == []
    assert "## At the paper's size: 25 methods" in page
    assert "| `rae-dinov2-b` | 768×16×16 | 1 | 256 | velocity |" in page
    assert "| none | 3×256×256 | 16 | 256 | clean image |" in page


def test_every_target_says_what_it_makes():
    found = targets.targets(ROOT / "Snakefile")
    assert {"all", "table2", "figure1", "explorer", "docs", "sweep"} <= found.keys()
    assert [name for name, words in found.items() if not words] == []


def typed(program: str) -> list[tuple[Path, list[str]]]:
    """(page, arguments) of every call of ``program`` in the pages' code blocks."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for block in re.findall(r"^```\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            for line in block.splitlines():
                line = line.removeprefix("$ ")
                if line.startswith(f"{program} "):
                    found.append((page, shlex.split(line, comments=True)[1:]))
    return found


def commented(program: str) -> list[tuple[Path, list[str]]]:
    """The same for comments in the configuration and workflow files."""
    files = [ROOT / "Snakefile", *ROOT.glob("rules/**/*.smk"), *ROOT.glob("profiles/**/*.yaml")]
    files += list(ROOT.glob("config/**/*.yaml"))
    lines = [(path, line) for path in files for line in path.read_text("utf-8").splitlines()]
    shown = [(path, re.match(rf"#\s+{program} (.*?)( {{3,}}.*)?$", line)) for path, line in lines]
    return [(path, shlex.split(found[1], comments=True)) for path, found in shown if found]


def test_commands_in_the_pages_have_the_options_that_they_are_shown_with():
    wrong = []
    for page, words in typed("nanogen"):
        name, *rest = words
        known = parser_of(name)._option_string_actions if name in COMMANDS else {}
        own = rest[: rest.index("--")] if "--" in rest else rest
        odd = [word for word in own if word.startswith("--") and word not in known]
        if odd or (name not in COMMANDS and name != "COMMAND"):
            wrong.append(f"{page.name}: nanogen {' '.join(words)}")
    assert wrong == []


def test_snakemake_is_asked_for_targets_that_are_there():
    from snakemake.cli import get_argument_parser

    parser, known = get_argument_parser(), {*targets.targets(ROOT / "Snakefile"), "TARGET"}
    shown, wrong = typed("snakemake") + commented("snakemake"), []
    assert any(page.name == "folder.yaml" for page, _ in shown)
    for page, words in shown:
        args, odd = parser.parse_known_args(words)
        odd += [name for name in args.targets if name not in known and "/" not in name]
        odd += [pair for pair in args.config or [] if "=" not in pair]
        odd += [str(name) for name in args.configfile or [] if Path(name).suffix != ".yaml"]
        if odd:
            wrong.append(f"{page.name}: snakemake {' '.join(words)}: {', '.join(odd)}")
    assert shown
    assert wrong == []


def test_the_command_says_where_the_site_is(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(build, "build", lambda root, output, parsers: None)
    assert main(["docs", "--output", str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "index.html")
