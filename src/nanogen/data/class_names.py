"""The names of a data set's classes, without reading its images."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from nanogen.data import photographs, wordnet
from nanogen.errors import UserError, did_you_mean


def class_names(
    name: str, source: str, root: str | None, classes: int, kept: Sequence[str] | None = None
) -> list[str]:
    """Return one name per label, or an empty list if the names are not known.

    Args:
        name, source, root: keys of the data set's configuration.
        classes: the number of classes.
        kept: the names of its folders when the model was trained; by default the folders are read.

    Scenes have fixed names. Photographs have the names of their folders or of their export. If these are
    WordNet numbers, the name is ImageNet's words for the number, followed by the number.
    """
    if source == "scenes":
        from nanogen.data.scenes.scenes import CLASSES

        return list(CLASSES)
    names = list(kept) if kept is not None else _of_photographs(root)
    if not names and name == "imagenet" and classes == wordnet.IMAGENET:
        names = wordnet.imagenet_numbers()
    return wordnet.with_words(names) if len(names) == classes else []


def _of_photographs(root: str | None) -> list[str]:
    try:
        return photographs.class_names(root) if root else []
    except UserError:  # the folders are no longer there
        return []


def class_number(text: str, names: Sequence[str], classes: int) -> int:
    """Return the label for ``text``: a class's name, one of its comma-separated words, or a number.

    A number is a label only if no class has a number as its name. Raises UserError if there is no such
    class, or more than one.
    """
    wanted, spoken = _spoken(text), [_spoken(name) for name in names]
    found = [i for i, name in enumerate(spoken) if wanted in (name, *name.split(", "))]
    exact = [i for i, name in enumerate(names) if name == text]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if found:
        numbers = ", ".join(map(str, found))
        raise UserError(f"--class {text!r} names several classes; give one of the numbers {numbers}")
    numbered = any(name.isdecimal() for name in names)
    if text.isdecimal() and not numbered:
        if int(text) < classes:
            return int(text)
        raise UserError(f"--class {text}: there are {classes} classes, 0 to {classes - 1}")
    hint = did_you_mean(wanted, spoken)
    also = "" if numbered else f"; a number, 0 to {classes - 1}, is valid too"
    raise UserError(f"--class {text!r} is unknown{hint}{also}")


def _spoken(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip().lower().replace("_", " ")
