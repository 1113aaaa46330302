"""Caches: training reads back what was written, and mismatched files are refused."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

from nanogen.caches.files import LatentFile, TextFile
from nanogen.caches.latents import write_latents
from nanogen.caches.shards import Share, join_texts
from nanogen.caches.text import write_text_features
from nanogen.config.cache_stage import CacheStage
from nanogen.config.model_schema import Model
from nanogen.config.model_stage import ModelStage
from nanogen.data import hdf5
from nanogen.data.images import ImageFile
from nanogen.data.pixels import to_signed
from nanogen.errors import UserError
from nanogen.files import label, write_json
from nanogen.models.card import expect_model, read_card, write_card
from nanogen.models.loading import save_network
from nanogen.models.text_features import TextEncoder
from nanogen.small_networks.text_encoder import train_tokenizer
from nanogen.store import Entry, provide
from nanogen.tokenizers.base import Tokenizer

TEXTS = {
    "short": ["a red circle", "", "a blue square", "a red circle"],
    "dense": ["a small red circle at the top", "a white page", "one blue square", "a dot"],
}


class Quarter(Tokenizer):
    """Means of 4x4 blocks: small, exact and different for every image."""

    latent_shape = (3, 2, 2)

    def encode(self, images: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(to_signed(images), 4)

    def decode(self, latents: Tensor) -> Tensor:
        return torch.nn.functional.interpolate(latents, scale_factor=4)


@pytest.fixture
def images(tmp_path):
    path = tmp_path / "images.h5"
    rng = np.random.default_rng(0)
    header = label("images", 1, "d" * 16, classes=json.dumps(["a", "b"]), split="train", task="t")
    with hdf5.create(path, header) as file:
        file["images"] = rng.integers(0, 256, (300, 8, 8, 3), np.uint8)
        file["labels"] = np.arange(300) % 2
    return ImageFile(path)


def cache_stage(hash_, expects, name):
    keys = {"hash": hash_, "expects": expects, "dtype": "float16", "model": {"name": name}}
    return CacheStage.from_json(keys)


def latents_stage(hash_="1" * 16):
    expects = {"data": "d" * 16, "tokenizer": "2" * 16}
    return cache_stage(hash_, expects, "quarter")


def text_stage():
    return cache_stage("3" * 16, {"data": "d" * 16, "encoder": "4" * 16}, "tiny")


@pytest.fixture(scope="module")
def text_folder(tmp_path_factory):
    from transformers import Qwen3Config, Qwen3Model

    folder = tmp_path_factory.mktemp("text")
    tokenizer = train_tokenizer([text for texts in TEXTS.values() for text in texts])
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        pad_token_id=tokenizer.pad_token_id,
    )
    save_network(Qwen3Model(config), folder)
    tokenizer.save_pretrained(folder)
    return folder


def config(**keys):
    return Model(name="tiny", kind="text_encoder", model_class="Qwen3Model", **keys)


def encoder(folder, max_tokens=64):
    return TextEncoder(folder, config(width=16, max_tokens=max_tokens))


def test_a_latent_cache_holds_what_the_tokenizer_gives_in_the_data_order(images, tmp_path):
    write_latents(latents_stage(), images, Quarter(), tmp_path / "latents.h5")
    cache = LatentFile(tmp_path / "latents.h5", "1" * 16)
    assert cache.shape == (3, 2, 2)
    assert cache.latents.dtype == np.float16
    assert cache.tokenizer_hash == "2" * 16
    np.testing.assert_array_equal(cache.labels, images.labels)
    expected = Quarter().encode(torch.from_numpy(np.array(images.images)))
    np.testing.assert_array_equal(cache.latents, expected.numpy().astype(np.float16))


def test_the_same_cache_is_written_byte_for_byte(images, tmp_path):
    for name in ("one.h5", "two.h5"):
        write_latents(latents_stage(), images, Quarter(), tmp_path / name)
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()


def test_a_latent_cache_of_another_configuration_is_refused_with_both_hashes(images, tmp_path):
    path = tmp_path / "latents.h5"
    write_latents(latents_stage(), images, Quarter(), path)
    with pytest.raises(UserError, match=r"1111111111111111.*expects 5555555555555555"):
        LatentFile(path, "5" * 16)


def test_a_truncated_latent_cache_is_refused(images, tmp_path):
    path = tmp_path / "latents.h5"
    write_latents(latents_stage(), images, Quarter(), path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(UserError, match="truncated"):
        LatentFile(path)


def test_latents_that_float16_cannot_hold_are_refused_and_leave_no_file(images, tmp_path):
    class Loud(Quarter):
        def encode(self, images: Tensor) -> Tensor:
            return super().encode(images) * 1e6

    with pytest.raises(UserError, match="float16"):
        write_latents(latents_stage(), images, Loud(), tmp_path / "latents.h5")
    assert not list(tmp_path.glob("*latents*"))


def test_text_features_are_the_last_hidden_state_of_each_text_alone(text_folder, tmp_path):
    from transformers import AutoModel, AutoTokenizer

    own = encoder(text_folder)
    write_text_features(text_stage(), TEXTS, own, tmp_path / "text.h5")
    cache = TextFile(tmp_path / "text.h5", "3" * 16)
    network = AutoModel.from_pretrained(text_folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(text_folder)
    assert len(cache) == 4
    assert cache.kinds == ["short", "dense"]
    for k, kind in enumerate(cache.kinds):
        for i, text in enumerate(TEXTS[kind]):
            if not text:
                assert cache.tokens(i, k).shape == (0, 16)
                continue
            with torch.no_grad():
                alone = network(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
            np.testing.assert_allclose(cache.tokens(i, k), alone.numpy(), atol=4e-3)


def text_shards(folder, encoder, count: int) -> list[Path]:
    """Write the texts' features in ``count`` shards below ``folder``, in reverse order."""
    files = [folder / "text" / f"{k}-of-{count}.h5" for k in range(count, 0, -1)]
    for k, file in zip(range(count, 0, -1), files, strict=True):
        write_text_features(text_stage(), TEXTS, encoder, file, Share(k, count))
    return files


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_any_number_of_shards_holds_the_same_text_features(text_folder, tmp_path, monkeypatch, count):
    monkeypatch.setattr("nanogen.caches.text.CHUNK", 4)  # texts: two of the four items
    own = encoder(text_folder)
    write_text_features(text_stage(), TEXTS, own, tmp_path / "whole.h5")
    join_texts(text_stage().hash, text_shards(tmp_path, own, count), tmp_path / "text.h5")
    whole, joined = TextFile(tmp_path / "whole.h5"), TextFile(tmp_path / "text.h5", "3" * 16)
    assert (joined.kinds, joined.width, len(joined)) == (whole.kinds, whole.width, len(whole))
    np.testing.assert_array_equal(joined.offsets, whole.offsets)
    np.testing.assert_array_equal(joined.features, whole.features)
    for one, other in zip(
        joined.batch([3, 0, 2], [1, 1, 0]), whole.batch([3, 0, 2], [1, 1, 0]), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    with h5py.File(tmp_path / "text.h5") as file:  # as any other program reads it
        np.testing.assert_array_equal(file["tokens"][:], whole.features)


@pytest.mark.parametrize("count", [None, 1, 3])
def test_captions_equal_in_both_kinds_are_stored_once(text_folder, tmp_path, monkeypatch, count):
    monkeypatch.setattr("nanogen.caches.text.CHUNK", 4)
    own, path = encoder(text_folder), tmp_path / "text.h5"
    texts = {kind: ["a red dot", "", TEXTS[kind][0], "a blue dot", "a"] for kind in ("short", "dense")}
    if count is None:
        write_text_features(text_stage(), texts, own, path)
    else:
        files = [tmp_path / "text" / f"{k}.h5" for k in range(1, count + 1)]
        for k, file in enumerate(files, start=1):
            write_text_features(text_stage(), texts, own, file, Share(k, count))
        join_texts(text_stage().hash, files, path)
    cache = TextFile(path)
    assert len(cache) == 5
    stored = sum(len(own.token_ids([text])[0][0]) for text in (*texts["short"], TEXTS["dense"][0]))
    assert len(cache.features) == stored
    for k, kind in enumerate(cache.kinds):
        for i, text in enumerate(texts[kind]):
            expected = own.features(own.token_ids([text])[0])[0]
            np.testing.assert_allclose(cache.tokens(i, k), expected, atol=4e-3)
    first, second = (cache.batch([0, 3], kind)[0] for kind in (0, 1))
    np.testing.assert_array_equal(first, second)


def test_text_shards_that_are_not_one_whole_cache_are_refused(text_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("nanogen.caches.text.CHUNK", 4)
    first, second = reversed(text_shards(tmp_path, encoder(text_folder), 2))
    index = tmp_path / "text.h5"
    with pytest.raises(UserError, match="of 2 shards there are only 1"):
        join_texts(text_stage().hash, [first], index)
    with pytest.raises(UserError, match=r"carries hash 3333.*expects 8888"):
        join_texts("8" * 16, [first, second], index)
    join_texts(text_stage().hash, [first, second], index)
    cut = encoder(text_folder, max_tokens=2)
    write_text_features(text_stage(), TEXTS, cut, second, Share(2, 2))
    with pytest.raises(UserError, match=r"2-of-2\.h5 has changed since .*text\.h5 was written"):
        TextFile(index)
    second.unlink()
    with pytest.raises(UserError, match=r"text\.h5 joins .*2-of-2\.h5, which is missing"):
        TextFile(index)


def test_text_shards_in_a_store_are_joined_by_their_links(text_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("nanogen.caches.text.CHUNK", 4)  # texts: two of the four items
    monkeypatch.setenv("NANOGEN_STORE", str(tmp_path / "store"))
    own, files = encoder(text_folder), []
    for k in (1, 2):
        files.append(tmp_path / f"study/text/{k}-of-2.h5")
        provide(
            Entry("text", f"{text_stage().hash}-{k}-of-2", ".h5"),
            files[-1],
            lambda path, k=k: write_text_features(text_stage(), TEXTS, own, path, Share(k, 2)),
        )
    join_texts(text_stage().hash, files, tmp_path / "study/text.h5")
    assert len(TextFile(tmp_path / "study/text.h5")) == 4


def test_a_batch_of_text_is_padded_on_the_right_with_zeros(text_folder, tmp_path):
    write_text_features(text_stage(), TEXTS, encoder(text_folder), tmp_path / "text.h5")
    cache = TextFile(tmp_path / "text.h5")
    padded, mask = cache.batch([2, 1, 0], [0, 0, 1])
    assert mask.sum(1).tolist() == [cache.lengths[2, 0], 0, cache.lengths[0, 1]]
    assert padded.shape == (3, cache.lengths[0, 1], 16)
    np.testing.assert_array_equal(padded[2], cache.tokens(0, 1))
    np.testing.assert_array_equal(padded[0, mask[0]], cache.tokens(2, 0))
    assert not padded[~mask].any()
    assert cache.batch([1], 0)[0].shape == (1, 0, 16)


def test_long_texts_are_cut_and_counted(text_folder, tmp_path, caplog):
    write_text_features(text_stage(), TEXTS, encoder(text_folder, max_tokens=2), tmp_path / "text.h5")
    assert TextFile(tmp_path / "text.h5").lengths.max() == 2
    assert "6 of 8 texts were truncated to 2 tokens" in caplog.text


def test_a_text_file_says_which_captions_it_holds(text_folder, tmp_path):
    write_text_features(text_stage(), {"prompt": ["a dot"]}, encoder(text_folder), tmp_path / "p.h5")
    with pytest.raises(UserError, match="holds captions prompt, not 'dense'"):
        TextFile(tmp_path / "p.h5").kind("dense")


def test_a_text_file_whose_offsets_do_not_fit_is_refused(text_folder, tmp_path):
    path = tmp_path / "text.h5"
    header = label("text", 1, "3" * 16, kinds=json.dumps(["short"]), width=4)
    with hdf5.create(path, header) as file:
        file["tokens"] = np.zeros((5, 4), np.float16)
        file["offsets"] = np.array([0, 2, 9])
    with pytest.raises(UserError, match="offsets do not fit"):
        TextFile(path)


def test_an_encoder_of_another_width_is_refused(text_folder):
    with pytest.raises(UserError, match="16 wide"):
        TextEncoder(text_folder, config(width=96, max_tokens=8))


def test_any_text_can_be_tokenised_and_read_back():
    tokenizer = train_tokenizer(TEXTS["dense"])
    text = "Ünïcode 🙂 and\ttabs"
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert tokenizer.padding_side == "right"
    assert tokenizer.pad_token_id not in ids


def test_a_model_made_by_another_configuration_is_refused(tmp_path):
    stage = {"hash": "6" * 16, "expects": {}, "seed": 0, "model": {"name": "m", "kind": "vae"}}
    write_card(tmp_path, ModelStage.from_json(stage), {"psnr": 27.123456789}, 3.21)
    assert read_card(tmp_path)["quality"] == {"psnr": 27.123457}
    expect_model(tmp_path, "6" * 16)
    with pytest.raises(UserError, match="expects 7777777777777777"):
        expect_model(tmp_path, "7" * 16)
    with pytest.raises(UserError, match="no model folder"):
        expect_model(tmp_path / "nowhere", "6" * 16)


def test_another_file_named_as_a_card_is_refused(tmp_path):
    write_json(tmp_path / "nanogen.json", {"format": "nanogen.prompts"})
    with pytest.raises(UserError, match=r"not a nanogen\.model"):
        read_card(tmp_path)
