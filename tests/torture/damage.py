"""Hypothesis strategies that damage files: their bytes, a document's values, parts of HDF5 files."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from hypothesis import strategies as st

Damage = Callable[[Path], None]  # changes a whole file in place

PIECES = (
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xa8",
    b"\x1b[2J",
    b"{",
    b"[",
    b'"',
    b"\n",
    b": ",
)
WORDS = (b"null", b"-1", b"1e999", b"NaN", b"true", b'"x"', b"{}", b"[]", b"99999999999999999999", b"''")
LENGTHS = (1, 2, 8, 64, 512)

ODD_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 1, 2**31, 2**63, 10**30]),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["", " ", "../../x", "\x00", "\u2028", "<script>", "$(id)", "1e3", "jit"]),
)
ODD_VALUES = st.recursive(
    ODD_LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)
ODD_DATASETS = (
    np.zeros(3),
    np.zeros((3, 8, 8, 3)),
    np.uint8(1),
    "text",
    np.zeros((0,), np.int64),
    b"\xff",
)


def _edited(content: bytes, kind: int, place: float, length: int, piece: bytes, word: bytes) -> bytes:
    """Apply one change: flip a bit, cut the rest off, or remove, double, insert or replace bytes."""
    data = bytearray(content)
    at = round(place * len(data))
    end = min(len(data), at + length)
    match kind:
        case 0 if at < len(data):
            data[at] ^= 1 << length % 8
        case 1:
            del data[at:]
        case 2:
            del data[at:end]
        case 3:
            data[at:at] = data[at:end]
        case 4:
            data[at:at] = piece
        case _:
            data[at:end] = word
    return bytes(data)


def damaged_bytes() -> st.SearchStrategy[Damage]:
    """Change a file's bytes in one to four places."""
    edit = st.tuples(
        st.integers(0, 5),
        st.floats(0, 1),
        st.sampled_from(LENGTHS),
        st.sampled_from(PIECES),
        st.sampled_from(WORDS),
    )

    def damage(edits: list[tuple[int, float, int, bytes, bytes]]) -> Damage:
        def change(path: Path) -> None:
            content = path.read_bytes()
            for one in edits:
                content = _edited(content, *one)
            path.write_bytes(content)

        return change

    return st.lists(edit, min_size=1, max_size=4).map(damage)


def _places(document: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of keys and indices to every value of a document."""
    if isinstance(document, dict):
        items = list(document.items())
    else:
        items = list(enumerate(document)) if isinstance(document, list) else []
    return [at] * bool(at) + [place for key, value in items for place in _places(value, (*at, key))]


def damaged_document(
    read: Callable[[str], Any], written: Callable[[Any], str]
) -> st.SearchStrategy[Damage]:
    """Replace, remove or add one to three values of a document; the file stays well-formed."""
    change = st.tuples(st.floats(0, 1), st.sampled_from(["replace", "remove", "add"]), ODD_VALUES)

    def damage(changes: list[tuple[float, str, Any]]) -> Damage:
        def apply(path: Path) -> None:
            document = deepcopy(read(path.read_text()))
            for place, how, value in changes:
                _change(document, place, how, value)
            path.write_text(written(document), errors="surrogatepass")

        return apply

    return st.lists(change, min_size=1, max_size=3).map(damage)


def _change(document: Any, place: float, how: str, value: Any) -> None:
    places = _places(document)
    if not places:
        return
    *path, last = places[round(place * (len(places) - 1))]
    holder = document
    for key in path:
        holder = holder[key]
    if how == "remove":
        del holder[last]
    elif how == "add" and isinstance(holder, dict):
        holder[f"{last}x"] = value
    else:
        holder[last] = value


def damaged_hdf5(*datasets: str) -> st.SearchStrategy[Damage]:
    """Remove a dataset or attribute, or replace it by one of another type or shape."""

    def damage(of_datasets: bool, place: float, value: Any) -> Damage:
        def apply(path: Path) -> None:
            with h5py.File(path, "a") as file:
                names = datasets if of_datasets else sorted(file.attrs)
                name = names[round(place * (len(names) - 1))]
                holder = file if of_datasets else file.attrs
                del holder[name]
                if value is not None:
                    holder[name] = value

        return apply

    return st.builds(damage, st.booleans(), st.floats(0, 1), st.sampled_from([None, *ODD_DATASETS]))
