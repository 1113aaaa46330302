"""Tiny mPLUG and CLIP-FlanT5: fetching and renaming published files, and answering questions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertConfig
from transformers.models.bert.modeling_bert import BertLayer

from nanogen.config import load_study, stages
from nanogen.config.load import load_model
from nanogen.config.model_stage import ModelStage
from nanogen.errors import UserError
from nanogen.files import read_json
from nanogen.interop.fetching import fetch_model
from nanogen.interop.local_hub import COMMIT, serving
from nanogen.metrics.clip_flant5 import AFTER, BEFORE
from nanogen.metrics.judge_images import pixels_of
from nanogen.metrics.vqa import load_vqa
from nanogen.models.beam_search import beam_search
from nanogen.models.network_files import read_config
from nanogen.small_networks.random_networks import write_random_network

VISION = {
    "hidden_size": 64,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 1,
    "image_size": 28,
    "patch_size": 14,
    "hidden_act": "quick_gelu",
}
BERT = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64, "layer_norm_eps": 1e-12}
MPLUG = {
    "model_class": "MPlug",
    "input_size": 28,
    "architecture": {
        "vision_config": VISION,
        "text_config": BERT,
        "text_layers": 1,
        "fusion_layers": 3,
        "decoder_layers": 2,
        "stride": 2,
    },
}
FLANT5 = {
    "model_class": "ClipFlanT5",
    "input_size": 28,
    "architecture": {
        "vision_config": VISION,
        "text_config": {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
        | {"feed_forward_proj": "gated-gelu"},
    },
}
SOURCES = {"mplug": MPLUG, "clip-flant5": FLANT5}
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (3, 20, 30, 3), np.uint8)
QUESTIONS = ["is there a dog?", "yes?", "no dog is there", "is a cat?"]
ROWS = np.array([0, 0, 2, 1])


def study(name: str, **more: Any):
    models = {name: {"source": "random", **SOURCES[name], **more}}
    return load_study("paper", {"models": models, "methods": ["jit"]})


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """Random networks as in a rehearsal, with weights large enough for answers that differ."""
    found = {}
    for name in SOURCES:
        folder = tmp_path_factory.mktemp(name)
        content = stages.model(study(name), name)
        write_random_network(ModelStage.from_json(content), folder)
        found[name] = folder
    return found


def asked(folder: Path, name: str, batch: int = 16):
    judge = load_vqa(folder, load_model(study(name), name))
    judge.batch = batch
    return judge.answer(IMAGES, ROWS, QUESTIONS)


@pytest.mark.parametrize("name", SOURCES)
def test_answers_do_not_depend_on_the_batch(folders, name):
    together, alone = (asked(folders[name], name, batch) for batch in (16, 1))
    assert together.yes.tolist() == alone.yes.tolist()
    np.testing.assert_allclose(together.probability, alone.probability, rtol=1e-4)
    assert ((together.probability > 0) & (together.probability < 1)).all()
    assert len(set(together.probability.round(12))) == len(ROWS)


@pytest.mark.parametrize("name", SOURCES)
def test_another_networks_folder_is_refused(tmp_path, name):
    (tmp_path / "config.json").write_text('{"architectures": ["BlipForQuestionAnswering"]}')
    model = load_model(study(name), name)
    sentence = f"holds a BlipForQuestionAnswering, not a {model.model_class}; give the folder of"
    with pytest.raises(UserError, match=sentence):
        load_vqa(tmp_path, model)


# ----------------------------------------------------------------- files as they are published


def published(folder: Path, name: str) -> dict[str, Tensor]:
    """The weights of one of our folders under their published names."""
    from safetensors.torch import load_file

    state = load_file(folder / "model.safetensors")
    return _mplug_names(state) if name == "mplug" else _flant5_names(state)


def _flant5_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    begins = {
        "vision.": "vision_tower.vision_tower.vision_model.",
        "projector.": "mm_projector.",
        "language.": "",
    }
    return {
        f"{theirs}{name.removeprefix(ours)}": weight
        for name, weight in state.items()
        for ours, theirs in begins.items()
        if name.startswith(ours)
    }


def _mplug_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Published names: OpenAI's vision tower, two unused fusion layers first, a momentum copy."""
    found: dict[str, Tensor] = {}
    renamed = {
        "embeddings.class_embedding": "class_embedding",
        "embeddings.patch_embedding.weight": "conv1.weight",
        "embeddings.position_embedding.weight": "positional_embedding",
        "pre_layrnorm": "ln_pre",
        "post_layernorm": "ln_post",
        "encoder.layers": "transformer.resblocks",
        "self_attn.out_proj": "attn.out_proj",
        "layer_norm": "ln_",
        "mlp.fc1": "mlp.c_fc",
        "mlp.fc2": "mlp.c_proj",
    }
    for name, weight in state.items():
        if name.startswith("vision."):
            short = name.removeprefix("vision.")
            if "q_proj" in short:
                parts = [state[name.replace("q_proj", f"{k}_proj")] for k in "qkv"]
                short, weight = short.replace("self_attn.q_proj.", "attn.in_proj_"), torch.cat(parts)
            elif "k_proj" in short or "v_proj" in short:
                continue
            for ours, theirs in renamed.items():
                short = short.replace(ours, theirs)
            found[f"visual_encoder.visual.{short}"] = weight
        elif name.startswith("fusion.layer."):
            number, rest = name.split(".", 3)[2:]
            found[f"fusion_encoder.encoder.layer.{int(number) + 2}.{rest}"] = weight
            found[f"fusion_encoder.encoder.layer.{int(number) % 2}.{rest}"] = weight * 0
        else:
            found[name] = weight
    found["visual_encoder.visual.proj"] = torch.zeros(64, 8)
    found["visual_encoder.token_embedding.weight"] = torch.zeros(9, 8)
    found["text_encoder.embeddings.position_ids"] = torch.arange(512)[None]
    found["text_decoder_m.bert.embeddings.word_embeddings.weight"] = torch.zeros(2, 2)
    del found["text_decoder.cls.predictions.decoder.bias"]  # the same parameter as predictions.bias
    return {f"model.{name}": weight for name, weight in found.items()}


def publish(folder: Path, name: str, hub: Path) -> None:
    """Write a judge's repository from one of our folders."""
    arguments = read_config(folder)["arguments"]
    place = hub / "bench" / name
    place.mkdir(parents=True)
    weights = published(folder, name)
    if name == "mplug":
        config = {"image_res": 28, "clip_vision_width": 64, "clip_vision_layers": 2}
        (place / "config.yaml").write_text(json.dumps({**config, "clip_name": "ViT-L-14"}))
        bert = {
            **arguments["text_config"],
            **{"text_encoder_layers": 1, "text_decode_layers": 2, "num_hidden_layers": 5},
            **{"fusion_layers": 3, "stride_layer": 2},
        }
        (place / "config_bert.json").write_text(json.dumps(bert))
        (place / "vocab.txt").write_text((folder / "vocab.txt").read_text())
        torch.save({"module": weights}, place / "pytorch_model.bin")
        return
    config = {**arguments["text_config"], "model_type": "clip_t5", "mm_vision_select_layer": -2}
    (place / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    names = sorted(weights)
    for part, chosen in enumerate((names[::2], names[1::2]), 1):
        shard = {name: weights[name] for name in chosen}
        torch.save(shard, place / f"pytorch_model-0000{part}-of-00002.bin")
    tokenizer = hub / "bench" / "tokenizer"
    tokenizer.mkdir()
    for file in folder.glob("*token*.json"):
        (tokenizer / file.name).write_text(file.read_text())
    (tokenizer / "model.py").write_text("raise SystemExit('remote code')")


@pytest.fixture
def hub(folders, tmp_path, monkeypatch) -> Iterator[Path]:
    folder = tmp_path / "hub"
    for name in SOURCES:
        publish(folders[name], name, folder)
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with serving(folder) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield folder


def downloading(name: str):
    keys: dict[str, Any] = {"source": "download", "hub": {"repo": f"bench/{name}"}}
    if name == "clip-flant5":
        keys |= {"tokenizer_hub": {"repo": "bench/tokenizer"}}
        keys |= {"architecture": {"vision_config": VISION}}
    return study(name, **keys)


def fetch(name: str, output: Path) -> None:
    fetch_model(stages.model(downloading(name), name), output)


@pytest.mark.parametrize("name", SOURCES)
def test_published_files_become_a_judge_that_answers_the_same(folders, hub, tmp_path, name):
    fetch(name, tmp_path / "judge")
    before, after = asked(folders[name], name), asked(tmp_path / "judge", name)
    assert (before.probability == after.probability).all()
    card = read_json(tmp_path / "judge" / "nanogen.json")
    assert (card["repository"], card["commit"]) == (f"bench/{name}", COMMIT)
    suffixes = {path.suffix for path in (tmp_path / "judge").rglob("*")}
    assert suffixes <= {".json", ".safetensors", ".txt"}
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("name", "file", "change", "sentence"),
    [
        ("mplug", "pytorch_model.bin", "cut", "truncated"),
        ("mplug", "pytorch_model.bin", "page", "an HTML page"),
        ("mplug", "pytorch_model.bin", "other", "it does not fit this MPlug"),
        ("mplug", "config_bert.json", "{}", "expected the configuration of mPLUG"),
        (
            "mplug",
            "config.yaml",
            "!!python/object/apply:os.system [exit]",
            "is not plain YAML",
        ),
        ("mplug", "vocab.txt", None, "has no file vocab.txt"),
        ("clip-flant5", "pytorch_model-00001-of-00002.bin", "pointer", "a Git LFS pointer"),
        ("clip-flant5", "pytorch_model-00001-of-00002.bin", None, "it does not fit this ClipFlanT5"),
        (
            "clip-flant5",
            "config.json",
            '{"d_model": 16, "mm_vision_select_layer": -1}',
            "not a configuration of CLIP-FlanT5",
        ),
        ("clip-flant5", "pytorch_model-00002-of-00002.bin", "code", "without executing code"),
    ],
)
def test_other_files_are_refused_and_leave_nothing(hub, tmp_path, name, file, change, sentence):
    path = hub / "bench" / name / file
    if change is None:
        path.unlink()
    elif change == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif change == "other":
        torch.save({"weight": torch.zeros(3)}, path)
    elif change == "code":
        torch.save({"weight": nn.Linear(1, 1)}, path)
    else:
        pages = {"page": "<!doctype html>", "pointer": "version https://git-lfs.github.com/spec/v1\n"}
        path.write_text(pages.get(change, change))
    with pytest.raises(UserError, match=sentence):
        fetch(name, tmp_path / "judge")
    assert not (tmp_path / "judge").exists()


# ------------------------------------------------------------------------- what they compute


class OpenAIVision(nn.Module):
    """CLIP's vision tower as published; returns all tokens after the last norm."""

    def __init__(self, state: dict[str, Tensor]):
        super().__init__()
        begin = "model.visual_encoder.visual."
        self.state = {n.removeprefix(begin): w for n, w in state.items() if n.startswith(begin)}

    def norm(self, x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.state[f"{name}.weight"], self.state[f"{name}.bias"])

    def linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"])

    def forward(self, pixels: Tensor) -> Tensor:
        x = F.conv2d(pixels, self.state["conv1.weight"], stride=14).flatten(2).transpose(1, 2)
        x = torch.cat([self.state["class_embedding"].expand(len(x), 1, -1), x], 1)
        x = self.norm(x + self.state["positional_embedding"], "ln_pre")
        for number in range(2):
            block = f"transformer.resblocks.{number}"
            attention = nn.MultiheadAttention(64, 1, batch_first=True)
            prefix = f"{block}.attn."
            attention.load_state_dict(
                {n.removeprefix(prefix): w for n, w in self.state.items() if n.startswith(prefix)}
            )
            seen = self.norm(x, f"{block}.ln_1")
            x = x + attention(seen, seen, seen, need_weights=False)[0]
            hidden = self.linear(self.norm(x, f"{block}.ln_2"), f"{block}.mlp.c_fc")
            x = x + self.linear(hidden * torch.sigmoid(1.702 * hidden), f"{block}.mlp.c_proj")
        return self.norm(x, "ln_post")


@torch.no_grad()
def test_mplug_sees_what_openais_clip_sees(folders):
    judge = load_vqa(folders["mplug"], load_model(study("mplug"), "mplug"))
    pixels, network = torch.randn(2, 3, 28, 28), judge.network
    theirs = OpenAIVision(published(folders["mplug"], "mplug"))(pixels)
    expected = network.visn_layer_norm(network.visn_fc(theirs))
    torch.testing.assert_close(network.encode_images(pixels), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_mplugs_fusion_is_berts_layers_and_joint_ones(folders):
    fusion = load_vqa(folders["mplug"], load_model(study("mplug"), "mplug")).network.fusion
    text, image = torch.randn(2, 4, 32), torch.randn(2, 5, 32)
    mask = torch.tensor([[1.0, 1, 1, 1], [1, 1, 0, 0]])[:, None, None]
    hidden, seen = (1 - mask) * -1e4, torch.zeros(2, 1, 1, 5)
    keys = {**BERT, "is_decoder": True, "add_cross_attention": True, "num_hidden_layers": 1}
    layers = []
    for layer in fusion.layer:
        config = BertConfig(**keys)
        config._attn_implementation = "eager"
        layers.append(BertLayer(config).eval())
        layers[-1].load_state_dict(layer.state_dict())
    states = layers[0](text, hidden, image, seen)
    states = layers[1](states, hidden, image, seen)
    both = layers[2](torch.cat([image, states], 1), torch.cat([seen, hidden], -1))
    expected = torch.cat([image + both[:, :5], both[:, 5:]], 1)
    torch.testing.assert_close(fusion(text, hidden, image), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_clip_flant5s_probability_is_that_of_t5s_own_loss(folders):
    model = load_model(study("clip-flant5"), "clip-flant5")
    judge = load_vqa(folders["clip-flant5"], model)
    network, tokens = judge.network, judge.tokenizer
    found = judge.answer(IMAGES, ROWS[2:3], QUESTIONS[2:3])
    seen = network.encode_images(pixels_of([IMAGES[2]], model, pad=True))
    assert seen.shape == (1, 4, 16)  # patches, without the class token
    embed = network.language.shared
    parts = [BEFORE, AFTER.format(question=QUESTIONS[2])]
    before, after = (embed(torch.tensor([tokens(part)["input_ids"]])) for part in parts)
    labels = torch.tensor([tokens("Yes")["input_ids"]])
    assert labels[0, -1] == tokens.eos_token_id
    loss = network.language(inputs_embeds=torch.cat([before, seen, after], 1), labels=labels).loss
    np.testing.assert_allclose(found.probability, [np.exp(-loss.item())], rtol=1e-5)


def test_images_are_stretched_or_get_borders_of_the_mean_colour():
    model = load_model(study("mplug", image_mean=[0.5, 0.25, 0.75], image_std=[1, 1, 1]), "mplug")
    red = np.zeros((10, 40, 3), np.uint8)
    red[..., 0] = 255
    stretched, padded = (pixels_of([red], model, pad=pad)[0] for pad in (False, True))
    torch.testing.assert_close(stretched[0], torch.full((28, 28), 0.5))
    assert padded[:, 0, 0].abs().max() < 1 / 255
    torch.testing.assert_close(padded[:, 14, 14], torch.tensor([0.5, -0.25, -0.75]))


# ------------------------------------------------------------------------------- beam search

A, B, END = 1, 2, 3


def table(rows: dict[tuple[int, ...], list[float]]):
    """Return a function from written tokens to the next token's logits; rows are probabilities."""

    def next_logits(written: Tensor) -> Tensor:
        rest = [0.1, 0.2, 0.2, 0.5]
        found = [rows.get(tuple(each.tolist()[1:]), rest) for each in written]
        return torch.tensor(found).log()

    return next_logits


def test_the_beam_finds_what_the_likeliest_first_token_misses():
    rows = {(): [0.01, 0.5, 0.48, 0.01], (A,): [0.3, 0.3, 0.3, 0.1], (B,): [0.01, 0.01, 0.01, 0.97]}
    (greedy,) = beam_search(table(rows), 1, 0, END, beams=1)
    (found,) = beam_search(table(rows), 1, 0, END, beams=3)
    assert greedy.tolist()[1] == A
    assert found.tolist() == [0, B, END]


def test_an_answer_has_at_least_one_token_and_ends_at_the_longest():
    ends = {(): [0.05, 0.04, 0.01, 0.9]}
    assert beam_search(table(ends), 1, 0, END)[0].tolist()[1] != END
    never = table({})

    def endless(written: Tensor) -> Tensor:
        return never(written).index_fill(1, torch.tensor([END]), -50.0)

    assert len(beam_search(endless, 1, 0, END, longest=4)[0]) == 5


def test_questions_do_not_touch_each_other():
    rows = {(): [0.01, 0.5, 0.48, 0.01], (A,): [0.3, 0.3, 0.3, 0.1]}
    one = beam_search(table(rows), 1, 0, END)[0].tolist()
    assert [each.tolist() for each in beam_search(table(rows), 3, 0, END)] == [one] * 3
