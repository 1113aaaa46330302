"""Names of a data set's classes, where they can be known without reading the data."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from nanogen.data import photographs
from nanogen.errors import UserError


def class_names(name: str, source: str, root: str | None, classes: int) -> list[str]:
    """One name per label, or none at all.

    Args:
        name, source, root: of the data set, as its configuration says.
        classes: how many there are.

    Scenes have their own; photographs are named by their folders, or as their export names them;
    ImageNet, whose folders are WordNet numbers, by the words that timm has for them.
    """
    if source == "scenes":
        from nanogen.data.scenes.scenes import CLASSES

        return list(CLASSES)
    names = _of_photographs(Path(root)) if root else []
    if name == "imagenet" and classes == 1000 and _wordnet(names):
        from timm.data import ImageNetInfo

        words = ImageNetInfo("imagenet-1k")
        return [words.index_to_description(index) for index in range(classes)]
    return names if len(names) == classes else []


def _of_photographs(root: Path) -> list[str]:
    folder = root / "train"
    if root.is_dir() and photographs.is_exported(root):
        return photographs.class_names(root)
    return sorted(e.name for e in folder.iterdir() if e.is_dir()) if folder.is_dir() else []


def class_number(text: str, names: Sequence[str], classes: int) -> int:
    """The label that ``text`` means: a number, a class's name, or one of its comma-separated words.

    Raises UserError where there is no such class, or several.
    """
    if text.isdigit():
        if int(text) < classes:
            return int(text)
        raise UserError(f"--class {text}: there are {classes} classes, 0 to {classes - 1}")
    wanted = text.strip().lower().replace("_", " ")
    spoken = [name.lower().replace("_", " ") for name in names]
    found = [i for i, name in enumerate(spoken) if wanted in (name, *name.split(", "))]
    if len(found) == 1:
        return found[0]
    if found:
        numbers = ", ".join(map(str, found))
        raise UserError(f"--class {text!r} names several classes; give one of the numbers {numbers}")
    close = get_close_matches(wanted, spoken, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise UserError(f"--class {text!r} is unknown{hint}; a number, 0 to {classes - 1}, is valid too")


def _wordnet(names: Sequence[str]) -> bool:
    return all(len(name) == 9 and name[0] == "n" and name[1:].isdigit() for name in names)
