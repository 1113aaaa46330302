"""Find the file with the validation images of a data set of source ``array``."""

from __future__ import annotations

from pathlib import Path

from nanogen.errors import UserError


def array_file(root: Path, file: str | None) -> Path:
    """Return the file named ``file`` in ``root``, or else the first of that name below it.

    Raises UserError if there is none, or no name is given.
    """
    if not file:
        raise UserError("data.source array: name the .npz file of its images as data.file")
    if Path(file).is_absolute():
        raise UserError(f"data.file: {file} must be relative to data.root; its folder is data.root")
    if (root / file).is_file():
        return root / file
    found = min((path for path in root.rglob(file) if path.is_file()), default=None)
    if found is None:
        raise UserError(
            f"data.file: there is no file {file} below {root}; put it there, or correct the name"
        )
    return found
