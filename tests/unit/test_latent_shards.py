"""Latent caches are bitwise equal in any number of shards, and shards are checked before reading."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from train_stages import train_stage

from nanogen.caches.files import LatentFile
from nanogen.caches.latents import write_latents, write_shard
from nanogen.caches.shards import Share, join_latents
from nanogen.config.cache_stage import CacheStage
from nanogen.data import hdf5
from nanogen.data.images import ImageFile
from nanogen.data.pixels import to_signed
from nanogen.errors import UserError
from nanogen.files import label
from nanogen.stage2.batches import Batches
from nanogen.stage2.dataset import Latents
from nanogen.store import Entry, provide
from nanogen.tokenizers.base import Tokenizer

COUNT = 1000  # eight batches, the last of them smaller
STAGE = CacheStage.from_json(
    {
        "hash": "1" * 16,
        "expects": {"data": "d" * 16, "tokenizer": "2" * 16},
        "dtype": "float16",
        "model": {"name": "mixing"},
    }
)


class Mixing(Tokenizer):
    """Latents that depend on the whole batch, as those of a real network do in their last digits."""

    latent_shape = (3, 4, 4)

    def encode(self, images):
        pooled = torch.nn.functional.avg_pool2d(to_signed(images), 2)
        return pooled + 1e-2 * pooled.mean()

    def decode(self, latents):
        raise NotImplementedError


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    path = tmp_path_factory.mktemp("images") / "images.h5"
    header = label("images", 1, "d" * 16, classes=json.dumps(["a", "b"]), split="train", task="t")
    with hdf5.create(path, header) as file:
        file["images"] = np.random.default_rng(0).integers(0, 256, (COUNT, 8, 8, 3), np.uint8)
        file["labels"] = np.arange(COUNT) % 2
    return ImageFile(path)


def cache(folder, images, shards: int, stage=STAGE):
    """Write a cache in ``shards`` shards, in reverse order, and return the path of its index."""
    index = folder / "latents.h5"
    if shards == 1:
        write_latents(stage, images, Mixing(), index)
        return index
    names = [f"{k}-of-{shards}" for k in range(shards, 0, -1)]
    files = [folder / "latents" / f"{name}.h5" for name in names]
    for name, file in zip(names, files, strict=True):
        write_shard(stage, images, Mixing(), file, Share.parse(name))
    join_latents(stage.hash, files, index)
    return index


def drawn(path, rank: int, world: int, start: int, stop: int) -> list[torch.Tensor]:
    """Batches of one process in these steps."""
    stage = train_stage([3, 4, 4], "m", "imagenet", batch_size=96, noise_chunk=16)
    source = Latents(path, STAGE.hash)
    source.features = lambda rows: {}
    source.load_latents = source.load
    source.load = lambda rows, draws: (source.load_latents(rows), torch.from_numpy(rows))
    batches = Batches(source, stage, rank, world)
    return [batch.x for batch in batches.prefetched(start, stop, torch.device("cpu"))]


@pytest.mark.parametrize("shards", [2, 7, 11])
def test_any_number_of_shards_holds_the_same_latents(images, tmp_path, shards):
    (tmp_path / "whole").mkdir()
    whole = LatentFile(cache(tmp_path / "whole", images, 1))
    joined = LatentFile(cache(tmp_path, images, shards), STAGE.hash)
    np.testing.assert_array_equal(joined.latents, whole.latents)
    np.testing.assert_array_equal(joined.labels, whole.labels)
    assert joined.shape == whole.shape
    assert (joined.tokenizer, joined.tokenizer_hash) == (whole.tokenizer, whole.tokenizer_hash)
    with h5py.File(tmp_path / "latents.h5") as file:  # as any other program reads it
        np.testing.assert_array_equal(file["latents"][:], whole.latents)


def test_shards_processes_and_resuming_change_no_training_batch(images, tmp_path, monkeypatch):
    monkeypatch.setattr("nanogen.data.order.BLOCK", 960)  # bytes: ten latents; windows of 200
    monkeypatch.setattr("nanogen.data.order.WINDOW", 20 * 960)
    paths = []
    for shards in (1, 2, 7):
        (tmp_path / str(shards)).mkdir()
        paths.append(cache(tmp_path / str(shards), images, shards))
    steps = 22  # slightly more than two epochs
    expected = drawn(paths[0], 0, 1, 0, steps)
    for path in paths:
        for world in (1, 2, 3):
            begin = 0 if world == 1 else 13  # in the middle of the second epoch
            parts = [drawn(path, rank, world, begin, steps) for rank in range(world)]
            for step, whole in enumerate(expected[begin:]):
                assert torch.equal(torch.cat([part[step] for part in parts]), whole)


def test_folder_and_index_can_be_moved_together(images, tmp_path):
    (tmp_path / "here").mkdir()
    before = np.array(LatentFile(cache(tmp_path / "here", images, 2)).latents)
    (tmp_path / "here").rename(tmp_path / "there")
    np.testing.assert_array_equal(LatentFile(tmp_path / "there" / "latents.h5").latents, before)


def test_shards_in_a_store_are_joined_by_their_links(images, tmp_path, monkeypatch):
    whole = LatentFile(cache(tmp_path, images, 1))
    monkeypatch.setenv("NANOGEN_STORE", str(tmp_path / "store"))
    files = []
    for name in ("1-of-2", "2-of-2"):
        files.append(tmp_path / f"study/latents/{name}.h5")
        share = Share.parse(name)
        provide(
            Entry("latents", f"{STAGE.hash}-{name}", ".h5"),
            files[-1],
            lambda path, share=share: write_shard(STAGE, images, Mixing(), path, share),
        )
    join_latents(STAGE.hash, files, tmp_path / "study/latents.h5")
    joined = LatentFile(tmp_path / "study/latents.h5", STAGE.hash)
    np.testing.assert_array_equal(joined.latents, whole.latents)


def test_a_shard_that_is_missing_cut_changed_or_another_is_refused(images, tmp_path):
    index = cache(tmp_path, images, 3)
    shard = tmp_path / "latents" / "2-of-3.h5"
    whole = shard.read_bytes()
    shard.unlink()
    with pytest.raises(UserError, match=r"latents\.h5 joins .*2-of-3\.h5, which is missing"):
        LatentFile(index)
    shard.write_bytes(whole[:-3000])
    with pytest.raises(UserError, match=r"2-of-3\.h5 is .*truncated"):
        LatentFile(index)
    write_shard(replace(STAGE, hash="7" * 16), images, Mixing(), shard, Share(2, 3))
    with pytest.raises(UserError, match=r"2-of-3\.h5 was made by another configuration.*7777"):
        LatentFile(index)

    class Other(Mixing):
        def encode(self, images):
            return super().encode(images) + 1

    write_shard(STAGE, images, Other(), shard, Share(2, 3))
    with pytest.raises(UserError, match=r"2-of-3\.h5 has changed since .*latents\.h5 was written"):
        LatentFile(index)
    shard.write_bytes(whole)
    assert len(LatentFile(index)) == COUNT


def test_what_is_not_the_whole_of_one_cache_is_not_joined(images, tmp_path):
    cache(tmp_path, images, 3)
    shards = sorted((tmp_path / "latents").glob("*.h5"))
    output = tmp_path / "again.h5"
    with pytest.raises(UserError, match="of 3 shards there are only 1, 3"):
        join_latents(STAGE.hash, [shards[0], shards[2]], output)
    with pytest.raises(UserError, match=r"carries hash 1111.*expects 8888"):
        join_latents("8" * 16, shards, output)
    write_shard(STAGE, images, Mixing(), tmp_path / "latents" / "1-of-2.h5", Share(1, 2))
    with pytest.raises(UserError, match=r"belong to different caches: they differ in shards"):
        join_latents(STAGE.hash, [tmp_path / "latents" / "1-of-2.h5", *shards[1:]], output)
    with pytest.raises(UserError, match="shards must be in or below"):
        join_latents(STAGE.hash, shards, tmp_path / "elsewhere" / "latents.h5")
    assert not output.exists()


@pytest.mark.parametrize("text", ["0-of-3", "4-of-3", "3", "a-of-b"])
def test_shares_that_do_not_exist_are_refused(text):
    with pytest.raises(UserError, match="expected K-of-N"):
        Share.parse(text)


def test_no_shard_is_begun_where_all_do_not_fit_and_finished_ones_stay(images, small_disk, caplog):
    caplog.set_level(logging.INFO)
    folder = small_disk / "latents"  # of 64 kB; the cache has 96 kB, a shard 32 kB
    with pytest.raises(UserError, match=r"needs 9\.6e-05 GB, but only .* GB are free.*free some space"):
        write_shard(STAGE, images, Mixing(), folder / "1-of-3.h5", Share(1, 3))
    assert "0.1 MB" in caplog.text
    assert not list(small_disk.rglob("*.h5"))
    few = ImageFile(images.path)
    few.labels, few.images = images.labels[:300], images.images[:300]  # 29 kB
    write_shard(STAGE, few, Mixing(), folder / "1-of-3.h5", Share(1, 3))
    with open(small_disk / "other", "wb") as file:  # written by others in the meantime
        file.write(bytes(36 << 10))
    with pytest.raises(UserError, match="are free on its disk"):
        write_shard(STAGE, few, Mixing(), folder / "2-of-3.h5", Share(2, 3))
    assert [file.name for file in folder.iterdir()] == ["1-of-3.h5"]


def test_only_shards_of_this_cache_count_as_written_and_also_those_in_progress(images, small_disk):
    few = ImageFile(images.path)
    few.labels, few.images = images.labels[:300], images.images[:300]  # 29 kB
    folder = small_disk / "store"
    folder.mkdir()
    (folder / "b-1-of-3.h5").write_bytes(bytes(40 << 10))  # of another cache
    with pytest.raises(UserError, match="are free on its disk"):
        write_shard(STAGE, few, Mixing(), folder / "a-2-of-3.h5", Share(2, 3))
    hidden = folder / ".a-1-of-3.h5.tmp-0-0-0-x"  # another process is writing there
    hidden.mkdir()
    with open(folder / "b-1-of-3.h5", "r+b") as other:
        other.truncate(20 << 10)
    (hidden / "a-1-of-3.h5").write_bytes(bytes(20 << 10))
    write_shard(STAGE, few, Mixing(), folder / "a-2-of-3.h5", Share(2, 3))
