"""Batches: every draw depends on its purpose alone, not on processes or on earlier draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from train_stages import train_stage

from nanogen.backbones import Condition
from nanogen.config import stages
from nanogen.config.train_stage import TrainStage
from nanogen.data import hdf5
from nanogen.errors import UserError
from nanogen.files import label
from nanogen.objectives.batch import Batch
from nanogen.stage2.batches import Batches
from nanogen.stage2.dataset import TrainingData


class Numbered:
    """A source whose samples are their own index and whose labels are 1000 times the draws."""

    def __init__(self, length: int):
        self.length = length

    def __len__(self) -> int:
        return self.length

    def load(self, rows, draws):
        x = torch.from_numpy(rows).float().view(-1, 1, 1, 1)
        return x, Condition(labels=torch.from_numpy((draws * 1000).astype(np.int64)))

    def features(self, rows):
        return {}

    def ahead(self, windows):
        self.announced = set(np.concatenate(list(windows.values())))


def stage(batch_size: int = 24, noise_chunk: int = 4) -> TrainStage:
    return train_stage([2, 3, 3], "jit", "imagenet", batch_size=batch_size, noise_chunk=noise_chunk)


def rows(batch: Batch) -> list[int]:
    return batch.x.flatten().int().tolist()


def assert_equal(one: Batch, two: Batch) -> None:
    for name in ("x", "noise", "normal", "uniform"):
        assert torch.equal(getattr(one, name), getattr(two, name)), name
    assert torch.equal(one.condition.labels, two.condition.labels)


@pytest.mark.parametrize("world", [2, 3, 6])
def test_processes_share_the_batch_that_one_would_draw(world):
    source = Numbered(50)
    for step in (0, 1, 7):
        whole = Batches(source, stage()).at(step)
        parts = [Batches(source, stage(), rank, world).at(step) for rank in range(world)]
        assert rows(whole) == [row for part in parts for row in rows(part)]
        for name in ("noise", "normal", "uniform"):
            joined = torch.cat([getattr(part, name) for part in parts])
            assert torch.equal(joined, getattr(whole, name))
        labels = torch.cat([part.condition.labels for part in parts])
        assert torch.equal(labels, whole.condition.labels)


@pytest.mark.parametrize(
    ("most", "sizes"),
    [(0, [24]), (100, [24]), (24, [24]), (23, [12] * 2), (5, [4] * 6), (1, [1] * 24)],
)
def test_a_batch_is_cut_into_the_fewest_equal_parts(most, sizes):
    whole = Batches(Numbered(50), stage()).at(3)
    parts = whole.parts(most)
    assert [len(part.x) for part in parts] == sizes
    assert {part.step for part in parts} == {whole.step}
    for name in ("x", "noise", "normal", "uniform", "other_normal"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name))
    labels = torch.cat([part.condition.labels for part in parts])
    assert torch.equal(labels, whole.condition.labels)


def test_processes_that_cannot_share_equally_are_refused():
    with pytest.raises(UserError, match="batch_size 24 has 6 chunks of 4 samples, which 5 processes"):
        Batches(Numbered(50), stage(), 0, 5)


def test_every_sample_comes_once_per_epoch_in_another_order():
    batches = Batches(Numbered(50), stage())
    sequence = [row for step in range(25) for row in rows(batches.at(step))]  # 12 epochs
    epochs = [sequence[start : start + 50] for start in range(0, 600, 50)]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 12


def test_data_smaller_than_a_batch_is_repeated():
    assert sorted(rows(Batches(Numbered(6), stage()).at(0))) == sorted([*range(6)] * 4)


def test_any_step_can_be_drawn_first():
    source = Numbered(50)
    running = Batches(source, stage())
    drawn = [running.at(step) for step in range(9)]
    for step in (8, 3, 0):
        assert_equal(Batches(source, stage()).at(step), drawn[step])
    resumed = Batches(source, stage()).prefetched(6, 9, torch.device("cpu"))
    for step, batch in enumerate(resumed, 6):
        assert_equal(batch, drawn[step])


def test_draws_differ_between_steps_chunks_methods_and_tasks():
    keys = [
        stage(),
        replace(stage(), method="sd-vae-mse"),
        replace(stage(), task="t2i"),
        replace(stage(), seed=4),
    ]
    noises = [Batches(Numbered(50), k).at(step).noise for k in keys for step in (0, 1)]
    chunks = torch.cat(noises).view(-1, 4 * 2 * 3 * 3)
    assert len(chunks) == 48
    assert len(torch.unique(chunks, dim=0)) == 48


def test_draws_are_standard_normal_and_uniform():
    batches = Batches(Numbered(50), stage(batch_size=2000, noise_chunk=100))
    batch = batches.at(0)
    assert float(batch.noise.mean()) == pytest.approx(0, abs=0.02)
    assert float(batch.noise.std()) == pytest.approx(1, abs=0.02)
    assert float(batch.uniform.min()) >= 0
    assert float(batch.uniform.max()) < 1
    assert float((batch.uniform < 0.1).float().mean()) == pytest.approx(0.1, abs=0.03)


def test_an_error_while_reading_reaches_the_training():
    class Broken(Numbered):
        def load(self, rows, draws):
            raise UserError("the file is damaged")

    with pytest.raises(UserError, match="damaged"):
        next(Batches(Broken(50), stage()).prefetched(0, 3, torch.device("cpu")))


# ------------------------------------------------------------------------------ real sources


def latents_file(folder, stage, count=40, shape=(8, 4, 4), hash_=None):
    path = folder / "latents.h5"
    header = label("latents", 1, hash_ or stage["expects"]["latents"], tokenizer="t", tokenizer_hash="h")
    generator = np.random.default_rng(1)
    with hdf5.create(path, header) as file:
        file["latents"] = generator.standard_normal((count, *shape)).astype(np.float16)
        file["labels"] = np.arange(count) % 20
    return path


def text_file(folder, stage, count=40, width=96):
    """Write captions: caption k of image i has i % 3 + k tokens, all of value 2 i + k."""
    path = folder / "text.h5"
    lengths = [i % 3 + k for i in range(count) for k in range(2)]
    values = np.repeat(np.arange(2 * count), lengths)
    header = label("text", 1, stage["expects"]["text"], kinds='["short", "dense"]', width=width)
    with hdf5.create(path, header) as file:
        file["tokens"] = np.repeat(values[:, None], width, 1).astype(np.float16)
        file["offsets"] = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return path


def test_pixels_are_the_image_in_minus_one_to_one(tiny, tiny_images):
    data = TrainingData(
        TrainStage.from_json(stages.train(tiny(), "jit", "imagenet")), None, tiny_images, None
    )
    x, condition = data.load(np.array([5, 2]), np.array([0.1, 0.9]))
    with hdf5.opened(tiny_images, "images", 1) as file:
        images, labels = file["images"][:], file["labels"][:]
    assert x.shape == (2, 3, 32, 32)
    expected = torch.from_numpy(images[[5, 2]]).permute(0, 3, 1, 2) / 127.5 - 1
    torch.testing.assert_close(x, expected)
    assert condition.labels.tolist() == labels[[5, 2]].tolist()


def test_captions_of_both_kinds_are_drawn_and_trimmed(tiny, tmp_path):
    study = tiny(
        overrides={"tasks": {"t2i": {"conditioner": {"captions": ["short", "dense"], "tokens": 2}}}}
    )
    stage = stages.train(study, "sd-vae-mse", "t2i")
    latents = latents_file(tmp_path, stage, shape=tuple(stage["latent"]))
    data = TrainingData(
        TrainStage.from_json(stage), latents, None, text_file(tmp_path, stage, width=stage["text_width"])
    )
    _, condition = data.load(np.array([4, 4, 3, 5]), np.array([0.2, 0.7, 0.2, 0.7]))
    assert condition.mask.sum(1).tolist() == [1, 2, 0, 2]  # 1, 2, 0 and 3 tokens, at most 2
    assert condition.tokens[:, 0, 0].tolist() == [8.0, 9.0, 0.0, 11.0]


def test_sources_that_do_not_fit_are_refused(tiny, tiny_images, tmp_path):
    labelled = stages.train(tiny(), "sd-vae-mse", "imagenet")
    shape = tuple(labelled["latent"])
    with pytest.raises(UserError, match="this run needs --latents FILE"):
        TrainingData(TrainStage.from_json(labelled), None, tiny_images, None)
    path = latents_file(tmp_path, labelled, shape=(2, 4, 4))
    with pytest.raises(UserError, match=r"holds \(2, 4, 4\) per image, the configuration says"):
        TrainingData(TrainStage.from_json(labelled), path, None, None)
    path = latents_file(tmp_path, labelled, shape=shape, hash_="0123456789abcdef")
    with pytest.raises(
        UserError, match=f"carries hash 0123456789abcdef.*{labelled['expects']['latents']}"
    ):
        TrainingData(TrainStage.from_json(labelled), path, None, None)
    path = latents_file(tmp_path, labelled, shape=shape)
    fewer = {**labelled, "conditioner": {**labelled["conditioner"], "classes": 10}}
    with pytest.raises(UserError, match=r"label 19, but conditioner.classes is 10"):
        TrainingData(TrainStage.from_json(fewer), path, None, None)
    captioned = stages.train(tiny(), "sd-vae-mse", "t2i")
    path = latents_file(tmp_path, captioned, shape=shape)
    text = text_file(tmp_path, captioned, count=30)
    with pytest.raises(UserError, match=r"captions of 30 images, .*latents.h5 holds 40"):
        TrainingData(TrainStage.from_json(captioned), path, None, text)


def test_what_a_process_announces_is_what_it_reads(monkeypatch):
    monkeypatch.setattr("nanogen.data.order.BLOCK", 64)  # bytes: one sample in a block
    monkeypatch.setattr("nanogen.data.order.WINDOW", 64 * 30)
    announced = []
    for rank in range(3):
        source = Numbered(100)
        batches = Batches(source, stage(), rank, 3)
        for step in range(20):
            batches.announce(step)
            assert set(rows(batches.at(step))) <= source.announced
        announced.append(len(source.announced))
    assert sum(announced) < 100  # each process announces its share of two windows
