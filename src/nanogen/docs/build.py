"""Build the site with Sphinx from hand-written and generated pages."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from io import StringIO
from pathlib import Path

from nanogen.docs import commands, encoders, keys, methods, targets, tasks
from nanogen.docs.equations import style_sheet
from nanogen.errors import UserError
from nanogen.files import atomic_folder, scratch_folder, write_text

GENERATED: dict[str, Callable[[Path, commands.Parsers], str]] = {
    "reference/keys.md": lambda root, parsers: keys.page(),
    "reference/commands.md": lambda root, parsers: commands.page(parsers),
    "reference/targets.md": lambda root, parsers: targets.page(root),
    "reference/methods.md": lambda root, parsers: methods.page(),
    "reference/encoders.md": lambda root, parsers: encoders.page(),
    "reference/tasks.md": lambda root, parsers: tasks.page(),
}
# Pages outside docs/ -> their place on the site.
ELSEWHERE = {"profiles/README.md": "reference/profiles.md", "CONTRIBUTING.md": "contributing.md"}
LINK = re.compile(r"(?<=\]\()(?![a-z]+://|#)([^)\s#]+)")


def build(root: Path, output: Path, parsers: commands.Parsers) -> None:
    """Build the site of the repository in ``root``; ``output`` becomes a folder with index.html.

    ``parsers`` are those of all commands. Raises UserError if a page cannot be read, or if a link or an
    equation cannot be resolved.
    """
    if not (root / "docs/conf.py").is_file():
        raise UserError(f"{root / 'docs'} holds no pages; run this command in a clone of the repository")
    with scratch_folder() as folder:
        source = folder / "source"
        assemble(root, source, parsers)
        with atomic_folder(output) as made:
            _sphinx(root / "docs", source, made, folder / "doctrees")
            shutil.rmtree(made / "_sources", ignore_errors=True)


def assemble(root: Path, source: Path, parsers: commands.Parsers) -> None:
    """Write every page of the site to ``source``."""
    shutil.copytree(root / "docs", source, ignore=shutil.ignore_patterns("conf.py", "__pycache__"))
    for place, target in ELSEWHERE.items():
        write_text(source / target, (root / place).read_text(encoding="utf-8"))
    write_text(source / "_static/equations.css", style_sheet())
    for target, made in GENERATED.items():
        write_text(source / target, made(root, parsers))
    written_at = {target: place for place, target in ELSEWHERE.items()}
    for page in source.rglob("*.md"):
        inside = page.relative_to(source).as_posix()
        place = written_at.get(inside, f"docs/{inside}")
        text = page.read_text(encoding="utf-8")
        page.write_text(relinked(text, root / place, root, inside), encoding="utf-8")


def relinked(text: str, place: Path, root: Path, inside: str) -> str:
    """Return ``text``, the content of the file ``place``, with its links rewritten for the site.

    Links to and from the pages of ELSEWHERE change. ``inside`` is the page's path on the site.
    """

    def link(found: re.Match[str]) -> str:
        target = (place.parent / found[1]).resolve()
        if not target.is_relative_to(root):
            return found[1]
        named = target.relative_to(root).as_posix()
        page = ELSEWHERE.get(named, named.removeprefix("docs/") if named.startswith("docs/") else None)
        return found[1] if page is None else "../" * inside.count("/") + page

    return LINK.sub(link, text)


def _sphinx(configuration: Path, source: Path, output: Path, doctrees: Path) -> None:
    """Run Sphinx; raise UserError for any warning, such as a broken link."""
    from sphinx.application import Sphinx
    from sphinx.errors import SphinxError
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    said = StringIO()
    try:
        with patch_docutils(configuration), docutils_namespace():
            folders = (source, configuration, output, doctrees)
            made = {"html_static_path": [str(source / "_static")]}
            app = Sphinx(*folders, "html", confoverrides=made, status=None, warning=said)
            app.build(force_all=True)
    except SphinxError as error:
        raise UserError(f"the site cannot be built: {error}") from error
    if warnings := said.getvalue().replace(f"{source}/", "docs/").strip():
        raise UserError(f"the site has mistakes:\n{warnings}")
