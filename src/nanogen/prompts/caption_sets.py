"""Sets of captions with one image each, COCO-30k and MJHQ-30K, for the FID of text-to-image models.

A set is a folder, or a data set on the hub. It has a file of captions, and the images in a zip archive
or in a folder with the archive's name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from nanogen.data.walk import walk
from nanogen.errors import UserError
from nanogen.files import read_text
from nanogen.identity import seed_for
from nanogen.text import check_storable, parsed

FOLDER = "captions"  # folder next to the prompts, for downloaded files
MOMENTS = "moments.npz"  # mu and sigma in a user's folder, which replace the images
Item = TypeVar("Item")


@dataclass(frozen=True)
class Caption:
    """A text, and the end of its image's path, which is unique in the set."""

    text: str
    image: str


@dataclass(frozen=True)
class CaptionSet:
    """The layout of a set.

    Attributes:
        title: its printed name.
        captions: name of the file of captions.
        images: name of the archive of images, without ``.zip``, or of the folder unpacked from it.
        read: content of the file -> captions; raises KeyError and the like for another structure.
    """

    title: str
    captions: str
    images: str
    read: Callable[[Any], list[Caption]]


def _mjhq(content: Any) -> list[Caption]:
    """Read a map from image to category and prompt (Li et al. 2024, arXiv 2402.17245)."""
    return [
        Caption(entry["prompt"], f"{entry['category']}/{image}.jpg") for image, entry in content.items()
    ]


def _coco(content: Any) -> list[Caption]:
    """Read the caption with the lowest id of each image (Lin et al. 2014, arXiv 1405.0312)."""
    files = {image["id"]: image["file_name"] for image in content["images"]}
    first: dict[str, str] = {}
    for entry in sorted(content["annotations"], key=lambda entry: entry["id"]):
        first.setdefault(files[entry["image_id"]], entry["caption"])
    return [Caption(text, file) for file, text in sorted(first.items())]


SETS = {
    "coco": CaptionSet("COCO-30k", "captions_val2014.json", "val2014", _coco),
    "mjhq": CaptionSet("MJHQ-30K", "meta_data.json", "mjhq30k_imgs", _mjhq),
}


def file_in(folder: Path, name: str) -> Path:
    """Find the file ``name`` at any depth of a folder; raise UserError if there is none."""
    found = [path for path in walk(folder).files if path.name == name]
    if not found:
        raise UserError(f"{folder} contains no file {name}; put it there, or fetch the set again")
    return found[0]


def captions_file(name: str, source: str) -> Path | None:
    """Return the file of captions if ``source`` is a folder, or None if it is a data set on the hub.

    Raises UserError for a folder without the file.
    """
    return file_in(Path(source), SETS[name].captions) if Path(source).is_dir() else None


def moments_file(source: str) -> Path | None:
    """Return the file of moments in a user's folder, if there is one."""
    path = Path(source) / MOMENTS
    return path if path.is_file() else None


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, which is read again only if its size or date changes."""
    about = path.stat()
    return _sha256(path, about.st_size, about.st_mtime_ns)


@cache
def _sha256(path: Path, size: int, date: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def caption_prompts(name: str, path: Path, count: int) -> list[dict[str, Any]]:
    """Return ``count`` captions of a set as prompts with one image each, the same in every study.

    ``item_id`` is the end of the path of the caption's image. Raises UserError if the file is damaged,
    has another structure, or has fewer captions.
    """
    of = SETS[name]
    content = parsed(read_text(path), path)
    try:
        found = of.read(content)
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is not {of.title}'s file of captions ({error!r}); give the folder that holds "
            f"{of.captions} as its authors publish it"
        ) from error
    for caption in found:
        if not isinstance(caption.text, str) or not caption.text.strip():
            raise UserError(f"{path}: the image {caption.image} has no caption; fetch the set again")
        check_storable(caption.text, str(path))
    if len(found) < count:
        raise UserError(
            f"{path} has {len(found)} captions, fewer than evaluation.captions.prompts {count}; lower it"
        )
    return [
        {"prompt": caption.text.strip(), "benchmark": name, "images": 1, "item_id": caption.image}
        for caption in _drawn(name, found, count)
    ]


def _drawn(name: str, items: Sequence[Item], count: int) -> list[Item]:
    """Draw ``count`` of the items, and return them in their order."""
    import numpy as np

    order = np.random.default_rng(seed_for("captions", name)).permutation(len(items))
    return [items[i] for i in sorted(order[:count])]


def all_prompts(sets: Mapping[str, Mapping[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """Return the prompts of all sets of a ``prompts`` stage; downloaded files are in ``folder``."""
    prompts = []
    for name, keys in sets.items():
        path = captions_file(name, keys["source"])
        path = path or file_in(folder / FOLDER / name, SETS[name].captions)
        prompts += caption_prompts(name, path, keys["prompts"])
    return prompts
