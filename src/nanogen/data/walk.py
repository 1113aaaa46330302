"""List users' folders: which entries are used and which are passed over.

Links are followed. Hidden files and files left by operating systems are passed over, as are links that
lead nowhere or back to a folder that contains them. Entries that are passed over are counted and named.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from nanogen.errors import UserError
from nanogen.files import explained
from nanogen.text import check_storable, one_line

# Formats that training reads. When images are scored, other formats are passed over and named.
PICTURES = frozenset(
    {
        *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".gif"),
        *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".jp2", ".avif"),
    }
)
# Left by macOS archives, Synology, QNAP, Windows and ext4; compared in lower case.
LEFT_BY_SYSTEMS = frozenset(
    {
        *("__macosx", "@eadir", "#recycle", "@recycle", "$recycle.bin", "system volume information"),
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "lost+found"),
    }
)
SHOWN = 3  # names of each kind


@dataclass(frozen=True)
class Found:
    """The content of a folder.

    Attributes:
        files: files, ordered by path.
        folders: folders directly in it, ordered by name; empty after `walk`.
        nowhere: links whose target does not exist.
        loops: links to a folder that contains them.
        hidden: names that begin with a dot.
        of_systems: files left behind by an operating system.
        others: files of other kinds than `only` keeps, by suffix.
        special: pipes, sockets and devices.
    """

    files: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    nowhere: list[Path] = field(default_factory=list)
    loops: list[Path] = field(default_factory=list)
    hidden: list[Path] = field(default_factory=list)
    of_systems: list[Path] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    special: list[Path] = field(default_factory=list)

    def only(self, suffixes: Collection[str]) -> Found:
        """Restrict ``files`` to these lower-case suffixes; the rest are counted in ``others``."""
        kept = [file for file in self.files if file.suffix.lower() in suffixes]
        rest = Counter(f.suffix.lower() for f in self.files if f.suffix.lower() not in suffixes)
        return replace(self, files=kept, others=rest)

    @property
    def passed_over(self) -> str:
        """A description of what is passed over, e.g. ``2 links that lead nowhere (a.png, b.png)``."""
        named = {
            "links that lead nowhere": self.nowhere,
            "links back to a folder that contains them": self.loops,
            "pipes or devices": self.special,
            "left by an operating system": self.of_systems,
            "hidden": self.hidden,
        }
        parts = [f"{len(found)} {what} ({_some(found)})" for what, found in named.items() if found]
        kinds = [f"{n} {s or 'without suffix'}" for s, n in sorted(self.others.items())]
        return ", ".join([*parts, *kinds])


def _some(paths: Sequence[Path]) -> str:
    more = ", ..." if len(paths) > SHOWN else ""
    return ", ".join(one_line(path.name) for path in paths[:SHOWN]) + more


def is_passed_over(name: str) -> bool:
    """Whether a file or folder with this name is hidden or left behind by an operating system."""
    return name.startswith(".") or name.lower() in LEFT_BY_SYSTEMS


def entries(folder: Path) -> Found:
    """Return the entries directly in ``folder``; raise UserError if it cannot be read."""
    found = Found()
    with explained(folder, "read"), os.scandir(folder) as listing:
        for entry in listing:
            _sort_in(found, Path(folder, entry.name), entry)
    for paths in vars(found).values():
        if isinstance(paths, list):
            paths.sort()
    return found


def split_folder(root: Path, split: str) -> Path | None:
    """Return ROOT/train or ROOT/val; None if there is neither, so that ``root`` holds both splits.

    Raises UserError if there is only the other folder: the splits would overlap otherwise.
    """
    own, other = root / split, root / {"train": "val", "val": "train"}[split]
    if own.is_dir():
        return own
    if other.is_dir():
        name = {"train": "training", "val": "validation"}[split]
        raise UserError(
            f"data.root: {other} exists but {own} does not; name the {name} folder {split!r}"
        )
    return None


def below(file: Path, root: Path) -> str:
    """Return a file's path below the root of a user's data; raise UserError if it cannot be stored."""
    name = file.relative_to(root).as_posix()
    check_storable(name, f"data.root: the name of the file {os.fsencode(file)!r}")
    return name


def _sort_in(found: Found, path: Path, entry: os.DirEntry[str]) -> None:
    if entry.name.startswith("."):
        found.hidden.append(path)
    elif entry.name.lower() in LEFT_BY_SYSTEMS:
        found.of_systems.append(path)
    elif entry.is_symlink() and _leads_nowhere(path):
        found.nowhere.append(path)
    elif entry.is_dir():
        back = entry.is_symlink() and Path(os.path.realpath(path)) in _with_parents(path.parent)
        (found.loops if back else found.folders).append(path)
    elif entry.is_file():
        found.files.append(path)
    else:
        found.special.append(path)


def _leads_nowhere(link: Path) -> bool:
    """Whether a link's target does not exist or is the link itself; other errors are raised."""
    try:
        link.stat()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return True
        raise
    return False


def _with_parents(folder: Path) -> list[Path]:
    """Return the folder and its parents, as real paths and along the path that led to it."""
    ways = (Path(os.path.realpath(each)) for each in (folder, *folder.absolute().parents))
    return [each for way in ways for each in (way, *way.parents)]


def walk(folder: Path) -> Found:
    """Return all files below ``folder``, ordered by path; raise UserError if one cannot be read."""
    whole, pending = Found(), [folder]
    while pending:
        here = entries(pending.pop())
        pending += here.folders
        for name, paths in vars(here).items():
            if name not in ("folders", "others"):
                getattr(whole, name).extend(paths)
    for name in ("files", "nowhere", "loops", "hidden", "of_systems", "special"):
        getattr(whole, name).sort()
    return whole
