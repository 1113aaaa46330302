"""Statistics of latents: exact over batches, shards and processes, and tied to one encoder."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from nanogen.config import load_study, stages
from nanogen.config.model_schema import Model
from nanogen.config.model_stage import ModelStage
from nanogen.errors import UserError
from nanogen.files import label, write_json
from nanogen.models.encoders import Preprocessing, load_encoder
from nanogen.models.loading import save_network
from nanogen.stage1.statistics import Statistics, feature_moments
from nanogen.tokenizers import load_tokenizer
from nanogen.tokenizers.rae import STATISTICS, write_statistics
from nanogen.tokenizers.vit_decoder import ViTDecoder

RAE = Model(name="tiny", kind="rae", model_class="nanogen.RAE")
LATENTS = 1000 + np.random.default_rng(5).normal(size=(211, 6, 4, 4))  # mean far beyond the spread


def statistics(*shards: np.ndarray, batch: int = 16) -> Statistics:
    """Merge the statistics of all shards."""
    whole = Statistics()
    for shard in shards:
        part = Statistics()
        for start in range(0, len(shard), batch):
            part.update(torch.from_numpy(shard[start : start + batch]))
        whole.merge(part)
    return whole


@pytest.mark.parametrize("shards", [1, 2, 7])
@pytest.mark.parametrize("batch", [1, 16, 300])
def test_shards_and_batches_agree_with_numpy_to_ten_digits(shards, batch):
    found = statistics(*np.array_split(LATENTS, shards), batch=batch)
    assert found.count == len(LATENTS)
    np.testing.assert_allclose(found.mean, LATENTS.mean(0), rtol=0, atol=1e-10)
    np.testing.assert_allclose(found.variance, LATENTS.var(0), rtol=0, atol=1e-10)


def test_a_shard_without_images_changes_nothing():
    whole, again = statistics(LATENTS), statistics(LATENTS[:0], LATENTS, LATENTS[:0])
    assert torch.equal(whole.variance, again.variance)


def test_what_cannot_be_averaged_is_refused():
    with pytest.raises(UserError, match="no image"):
        _ = Statistics().mean
    broken = torch.from_numpy(LATENTS).clone()
    broken[3, 0, 0, 0] = torch.nan
    with pytest.raises(UserError, match="not finite"):
        Statistics().update(broken)
    with pytest.raises(UserError, match="6x2x2 do not belong to statistics of size 6x4x4"):
        statistics(LATENTS).update(torch.zeros(2, 6, 2, 2))


PROCESS = """
import json, sys, numpy as np, torch
from nanogen.stage1.statistics import feature_moments
from nanogen.training.processes import processes
images = np.random.default_rng(0).integers(0, 256, (301, 4, 4, 3), np.uint8)
with processes() as group:
    mean, var = feature_moments(lambda batch: batch.permute(0, 3, 1, 2) / 255, images, group)
    with open(f"{sys.argv[1]}/{group.rank}.json", "w") as file:
        json.dump([mean.tolist(), var.tolist()], file)
"""


@pytest.mark.slow
def test_two_processes_share_the_images_and_both_get_the_statistics_of_all(tmp_path):
    (tmp_path / "process.py").write_text(PROCESS)
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run([*run, tmp_path / "process.py", tmp_path], check=True, capture_output=True)
    images = np.random.default_rng(0).integers(0, 256, (301, 4, 4, 3), np.uint8)
    alone = feature_moments(lambda batch: batch.permute(0, 3, 1, 2) / 255, images)
    for rank in (0, 1):
        together = json.loads((tmp_path / f"{rank}.json").read_text())
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.fixture
def rae(tmp_path):
    """An RAE whose encoder has a card, with statistics of that encoder."""
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    stage = ModelStage.from_json(stages.model(load_study("nano"), "rae-dinov2-b"))
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = Dinov2WithRegistersConfig(**sizes, patch_size=8, image_size=32)
    save_network(Dinov2WithRegistersModel(config), tmp_path / "encoder")
    Preprocessing(32, (0.5,) * 3, (0.5,) * 3).write(tmp_path / "encoder")
    model = stages.model(load_study("nano"), "dinov2-b")["model"]
    card = label("model", 1, stage.expects["encoder"], model=model)
    write_json(tmp_path / "encoder" / "nanogen.json", card)
    ViTDecoder(latent=(16, 4, 4), resolution=32, **sizes).save_pretrained(tmp_path / "decoder")
    images = torch.randint(0, 256, (8, 32, 32, 3), dtype=torch.uint8)
    features = load_encoder(tmp_path / "encoder")(images)
    of = {part: stage.expects[part] for part in ("encoder", "data")}
    write_statistics(tmp_path, features.mean(0), features.var(0), stage.hash, **of)
    return tmp_path, stage


def test_statistics_come_back_as_buffers_of_the_tokenizer(rae):
    folder, _ = rae
    tokenizer = load_tokenizer(folder, RAE)
    stored = load_file(folder / STATISTICS)
    buffers = dict(tokenizer.named_buffers())
    torch.testing.assert_close(buffers["mean"], stored["mean"])
    torch.testing.assert_close(buffers["std"], (stored["var"] + 1e-5).sqrt())


def test_statistics_of_another_encoder_are_refused(rae):
    folder, stage = rae
    stored = load_file(folder / STATISTICS)
    write_statistics(folder, stored["mean"], stored["var"], stage.hash, encoder="0" * 16)
    with pytest.raises(UserError, match=r"belongs to another encoder .0000000000000000"):
        load_tokenizer(folder, RAE)


def test_released_statistics_say_nothing_of_their_encoder_and_are_taken(rae):
    folder, _ = rae
    save_file({"var": load_file(folder / STATISTICS)["var"]}, folder / STATISTICS, {"format": "pt"})
    assert load_tokenizer(folder, RAE).mean.abs().max() == 0


def test_statistics_of_a_later_format_are_refused(rae):
    folder, _ = rae
    about = {"format": "nanogen.statistics", "format_version": "2", "hash": "x"}
    save_file(load_file(folder / STATISTICS), folder / STATISTICS, about)
    with pytest.raises(UserError, match="format version 2, this program reads 1"):
        load_tokenizer(folder, RAE)
