"""Images that are read in place: later steps use them as they use copied ones."""

from __future__ import annotations

import io
import json
import resource
import shutil
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import networks
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import ipc

from nanogen.cli import main
from nanogen.config import stages
from nanogen.data import hdf5
from nanogen.data.image_import import write_images
from nanogen.data.image_sets import open_images
from nanogen.data.images import ImageFile
from nanogen.data.shard_images import ShardImages
from nanogen.errors import UserError
from nanogen.files import label, write_json
from nanogen.metrics.feature_files import write_reference

COUNT = 40  # more than a batch of the networks
NETWORKS = ("sd-vae-mse", "inception")


def picture(rng: np.random.Generator) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (40, 44, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def write_arrow(path: Path, count: int = COUNT) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(count)
    rows = pa.table(
        {"image": [picture(rng) for _ in range(count)], "label": [k % 2 for k in range(count)]}
    )
    info = {"info": {"features": {"label": {"names": ["cat", "owl"]}}}}
    rows = rows.replace_schema_metadata({"huggingface": json.dumps(info)})
    with ipc.new_stream(path, rows.schema) as stream:
        stream.write_table(rows, max_chunksize=7)


@pytest.fixture(scope="module")
def study(tiny):
    return tiny(
        methods=["sd-vae-mse"],
        data={"train_images": COUNT, "val_images": COUNT},
        evaluation={"extractors": ["inception"], "classifier": None},
        models={name: {"source": "random"} for name in NETWORKS},
    )


@pytest.fixture(scope="module")
def place(study, tmp_path_factory) -> Path:
    """A folder with networks, and image files of an Arrow data set, copied and read in place."""
    place = tmp_path_factory.mktemp("in_place")
    networks.write_random(study, NETWORKS, place)
    for split in ("train", "val"):
        write_arrow(place / f"root/{split}-00000-of-00001.arrow")
    for split in ("train", "val"):
        stage = stages.data(study, "imagenet", split)
        for store in ("pixels", "places"):
            about = {"source": "folder", "root": str(place / "root"), "store": store}
            about |= {"caption_template": "a {name}"}
            write_images(stage | {"data": stage["data"] | about}, place / store / f"{split}.h5")
    return place


def compare(place: Path, name: str) -> None:
    """Raise AssertionError if the arrays or attributes of two HDF5 files differ."""
    with h5py.File(place / "pixels" / name) as copied, h5py.File(place / "places" / name) as left:
        arrays: list[str] = []
        copied.visit(arrays.append)
        for each in arrays:
            assert dict(left[each].attrs) == dict(copied[each].attrs)
            if isinstance(copied[each], h5py.Dataset):
                np.testing.assert_array_equal(left[each], copied[each])


@pytest.mark.slow
def test_reference_reconstructions_and_grid_are_those_of_copied_images(study, place):
    write_json(place / "stage.json", stages.reconstruction(study, "sd-vae-mse"))
    command = ["reconstruct", "--config", str(place / "stage.json")]
    for name in ("tokenizer", "extractor", "perceptual"):
        command += [f"--{name}", str(place / NETWORKS[name != "tokenizer"])]
    with hdf5.create(place / "samples.h5", label("samples", 1, "0")) as file:
        file["images"], file["labels"] = np.zeros((4, 32, 32, 3), np.uint8), np.arange(4) % 2
    for store in ("pixels", "places"):
        folder = place / store
        files = {split: ImageFile(folder / f"{split}.h5") for split in ("train", "val")}
        networks_of = {"inception": place / "inception"}
        write_reference(stages.reference(study), files, networks_of, folder / "statistics.h5")
        val, output = str(folder / "val.h5"), str(folder / "reconstructed")
        assert main([*command, "--val", val, "--output", output]) == 0
        grid = ["--samples", str(place / "samples.h5"), "--output", str(folder / "grid.png")]
        assert main(["grid", *grid, "--reference", val, "--title", "t"]) == 0
        assert len(open_images(folder / "val.h5", 16)) == COUNT
    assert "places" in h5py.File(place / "places/val.h5")
    compare(place, "statistics.h5")
    compare(place, "reconstructed/reconstructions.h5")
    assert (place / "places/grid.png").read_bytes() == (place / "pixels/grid.png").read_bytes()


def webdataset(root: Path, resolution: int = 16, **keys) -> dict:
    data = {"name": "t2i", "source": "webdataset", "scene": "single", "resolution": resolution}
    data |= {"root": str(root), "train_images": 100, "val_images": 100, "unreadable": "refuse"}
    return {
        "stage": "data",
        "hash": "abc",
        "seed": 7,
        "split": "train",
        "data": data | {"store": "auto"},
    }


def write_tar(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in (("a.png", picture(np.random.default_rng(seed))), ("a.txt", b"a caption")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def test_a_colleague_reads_an_image_file_of_a_relative_store(tmp_path, monkeypatch):
    """The store remains when the study's folder, with links to the downloads, is removed."""
    project = tmp_path / "colleague"
    links = project / "results/nano/downloads/t2i/owner/name"
    links.mkdir(parents=True)
    for name in ("0.tar", "1.tar"):  # the last one is for validation
        write_tar(project / "results/store/downloads/d1" / name, 1)
        (links / name).symlink_to(f"../../../../../store/downloads/d1/{name}")
    monkeypatch.chdir(project)
    write_images(webdataset(Path("results/nano/downloads/t2i")), "results/store/data/x.h5")
    shutil.rmtree(project / "results/nano")
    project.rename(tmp_path / "moved")
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    Path("train.h5").symlink_to(tmp_path / "moved/results/store/data/x.h5")
    assert ImageFile("train.h5").images[:].shape == (1, 16, 16, 3)


def test_shards_that_are_links_in_a_folder_that_is_a_link_are_found(tmp_path):
    """A snapshot of the Hugging Face library, given by a link to it."""
    snapshot = tmp_path / "cache/repo/snapshots/commit"
    (tmp_path / "cache/repo/blobs").mkdir(parents=True)
    write_tar(tmp_path / "cache/repo/blobs/sha", 1)
    for split in ("train", "val"):
        (snapshot / split).mkdir(parents=True)
        (snapshot / split / "0.tar").symlink_to("../../../blobs/sha")
    (tmp_path / "root").symlink_to(snapshot)
    write_images(webdataset(tmp_path / "root"), tmp_path / "x.h5")
    assert len(ImageFile(tmp_path / "x.h5").images[:]) == 1


@pytest.fixture
def scattered(tmp_path) -> tuple[ShardImages, np.ndarray]:
    """500 images, each in a shard of its own, and their pixels."""
    shards, rows = [], []
    for k in range(500):
        Image.fromarray(np.full((9, 9, 3), k % 256, np.uint8)).save(tmp_path / f"{k}.png")
        size = (tmp_path / f"{k}.png").stat().st_size
        shards.append((tmp_path / f"{k}.png", size))
        rows.append((k, 0, size))
    pixels = np.broadcast_to(np.arange(500).astype(np.uint8)[:, None, None, None], (500, 8, 8, 3))
    return ShardImages(shards, np.array(rows), 8), pixels


def test_more_shards_than_files_may_be_open(scattered):
    images, pixels = scattered
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (400, before[1]))
    try:
        np.testing.assert_array_equal(images[:], pixels)
        np.testing.assert_array_equal(np.stack(list(images.rows(3, 9))), pixels[3:9])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_threads_that_read_few_open_files_at_once_get_their_own_images(scattered, monkeypatch):
    monkeypatch.setattr("nanogen.data.shard_images.MOST_OPEN", 2)
    images, pixels = scattered
    images = ShardImages([(path, path.stat().st_size) for path in images.shards], images.places, 8)
    orders = [np.random.default_rng(seed).permutation(500) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for order, found in zip(orders, pool.map(images.read, orders), strict=True):
            np.testing.assert_array_equal(found, pixels[order])


def test_a_shard_that_vanishes_while_it_is_read_is_named(scattered):
    images, _ = scattered
    images.shards[7].unlink()
    with pytest.raises(UserError, match=r"cannot read .*7\.png: .* does not exist"):
        images[[7]]
