"""Public models: any text-to-image pipeline of diffusers draws a study's sample set; untrained here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from nanogen.cli import main
from nanogen.config import PublicRun, load_run, load_study, plan, stages
from nanogen.config.paths import Paths
from nanogen.errors import UserError
from nanogen.files import label, write_json
from nanogen.identity import seed_for
from nanogen.models.pipelines import load_pipeline

NAMES = ["sd-3.5-large", "flux-1", "flux-2", "qwen-image", "z-image-turbo"]
TEXTS = ["a red circle", "two blue squares", "a circle left of a square"]
SAMPLING = {"steps": 2, "resolution": 16, "precision": "float32"}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory) -> Path:
    """A random Stable Diffusion 3 without its third text encoder, as diffusers saves it."""
    from diffusers import (
        AutoencoderKL,
        FlowMatchEulerDiscreteScheduler,
        SD3Transformer2DModel,
        StableDiffusion3Pipeline,
    )
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

    torch.manual_seed(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=16)
    config = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        projection_dim=16,
        max_position_embeddings=16,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    first, second = (CLIPTextModelWithProjection(config) for _ in range(2))
    transformer = SD3Transformer2DModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        num_attention_heads=2,
        attention_head_dim=8,
        joint_attention_dim=32,
        caption_projection_dim=16,
        pooled_projection_dim=32,
        pos_embed_max_size=16,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=1,
        shift_factor=0.1,
        scaling_factor=1.5,
        use_quant_conv=False,
        use_post_quant_conv=False,
        mid_block_add_attention=False,
    )
    scheduler = FlowMatchEulerDiscreteScheduler()
    parts = (transformer, scheduler, vae, first, tokenizer, second, tokenizer, None, None)
    folder = tmp_path_factory.mktemp("pipelines") / "tiny"
    StableDiffusion3Pipeline(*parts).save_pretrained(folder)
    return folder


def study(folder: Path, **sampling):
    """The paper's study with the pipeline in ``folder`` as its only public model."""
    return load_study(
        "paper",
        {
            "public": ["sd-3.5-large"],
            "models": {"sd-3.5-large": {"source": "path", "path": str(folder)}},
            "evaluation": {"images_per_prompt": 2},
            "overrides": {"methods": {"sd-3.5-large": {"sampling": {**SAMPLING, **sampling}}}},
        },
    )


def drawn(folder: Path, at: Path, batch_size: int = 4, **sampling) -> h5py.File:
    """The sample set that the command draws."""
    of = study(folder, **sampling)
    stage = stages.sample(of, "sd-3.5-large", "t2i", "cfg")
    prompts = {
        **label("prompts", 1, stages.prompts(of)["hash"]),
        "prompts": [{"prompt": t} for t in TEXTS],
    }
    write_json(at / "prompts.json", prompts)
    write_json(at / "stage.json", stage)
    options = ["--config", at / "stage.json", "--pipeline", folder, "--prompts", at / "prompts.json"]
    options += ["--output", at / "samples.h5", "--batch-size", batch_size]
    assert main(["sample", *map(str, options)]) == 0
    return h5py.File(at / "samples.h5")


def test_a_pipeline_draws_a_sample_set_like_any_method(pipeline, tmp_path):
    with drawn(pipeline, tmp_path) as file:
        images = file["images"][:]
        assert (images.shape, images.dtype) == ((6, 16, 16, 3), np.uint8)
        assert len(np.unique(images.reshape(6, -1), axis=0)) == 6
        assert file["labels"][:].tolist() == [0, 0, 1, 1, 2, 2]
        assert file["seeds"][3] == seed_for(2026, "sample", "sd-3.5-large", 3)
        assert set(file["guidance"][:].tolist()) == {3.5}  # from the method's file
        found = {key: str(file.attrs[key]) for key in ("method", "task", "variant")}
    assert found == {"method": "sd-3.5-large", "task": "t2i", "variant": "cfg"}


def test_an_image_does_not_depend_on_the_batch(pipeline, tmp_path):
    sets = []
    for size in (1, 4):
        (tmp_path / str(size)).mkdir()
        with drawn(pipeline, tmp_path / str(size), size) as file:
            sets.append(file["images"][:].astype(int))
    assert np.abs(sets[0] - sets[1]).max() <= 1


def test_what_a_pipeline_is_called_with_comes_from_the_configuration(pipeline, tmp_path):
    with drawn(pipeline, tmp_path, guidance_scale=2.0) as file:
        assert set(file["guidance"][:].tolist()) == {2.0}
        plain = file["images"][:]
    arguments = {"negative_prompt": "two blue squares"}
    with drawn(pipeline, tmp_path, guidance_scale=2.0, arguments=arguments) as file:
        assert not np.array_equal(file["images"][:], plain)


def test_an_unknown_argument_is_named(pipeline, tmp_path, capsys):
    with pytest.raises(AssertionError):
        drawn(pipeline, tmp_path, arguments={"negative_promt": "red"})
    said = capsys.readouterr().err
    assert "sampling.arguments.negative_promt: StableDiffusion3Pipeline has no argument" in said
    assert "did you mean 'negative_prompt'" in said


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"_class_name": "FluxPipeline"}, "holds a FluxPipeline, not a StableDiffusion3Pipeline"),
        ({"_class_name": ["mine", "MyPipeline"]}, "not a StableDiffusion3Pipeline"),
        ({"vae": ["mine", "MyVAE"]}, "vae is of library 'mine'"),
    ],
)
def test_a_folders_own_code_is_not_run(pipeline, tmp_path, change, sentence):
    (tmp_path / "mine.py").write_text("raise SystemExit('executed')\n")
    index = json.loads((pipeline / "model_index.json").read_text())
    (tmp_path / "model_index.json").write_text(json.dumps(index | change))
    with pytest.raises(UserError, match=sentence):
        load_pipeline(tmp_path, "StableDiffusion3Pipeline", "float32")


@pytest.mark.parametrize(
    ("class_name", "sentence"),
    [("MyPipeline", "has no pipeline 'MyPipeline'"), ("DiTPipeline", "is not a text-to-image pipeline")],
)
def test_a_class_that_draws_no_texts_is_refused(tmp_path, class_name, sentence):
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": class_name}))
    with pytest.raises(UserError, match=sentence):
        load_pipeline(tmp_path, class_name, "float32")


def test_pickled_weights_are_not_loaded(pipeline, tmp_path):
    folder = shutil.copytree(pipeline, tmp_path / "pickled")
    weights = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(UserError, match="cannot be loaded as StableDiffusion3Pipeline"):
        load_pipeline(folder, "StableDiffusion3Pipeline", "float32")


# ---------------------------------------------------------------------------- configuration


@pytest.mark.parametrize("name", NAMES)
def test_the_papers_public_models_are_configured(name):
    of = load_study("paper", {"public": NAMES})
    run = load_run(of, name, "t2i")
    assert isinstance(run, PublicRun)
    assert run.evaluation == load_run(of, "jit", "t2i").evaluation
    wanted = [item for item in plan.downloads(of) if item.what.endswith(f" for {name}")]
    assert [item.licence != "not known here" for item in wanted] == [True]


def test_public_models_are_listed_apart():
    with pytest.raises(UserError, match="list flux-1 under 'public'"):
        load_study("paper", {"methods": ["flux-1"]})
    with pytest.raises(UserError, match="list jit under 'methods'"):
        load_study("paper", {"public": ["jit"]})
    with pytest.raises(UserError, match="no images of task imagenet"):
        load_run(load_study("paper", {"public": ["flux-1"]}), "flux-1", "imagenet")


def test_what_changes_no_image_changes_no_hash():
    def hash_of(**sampling) -> str:
        keys = {"public": ["flux-1"], "overrides": {"methods": {"flux-1": {"sampling": sampling}}}}
        return stages.sample(load_study("paper", keys), "flux-1", "t2i", "cfg")["hash"]

    assert hash_of() == hash_of(batch_size=8, offload=True)
    assert len({hash_of(), hash_of(steps=50), hash_of(arguments={"negative_prompt": "x"})}) == 3


def test_a_public_model_has_one_sample_set():
    with pytest.raises(UserError, match="no 'nocfg'"):
        stages.sample(load_study("paper", {"public": ["flux-1"]}), "flux-1", "t2i", "nocfg")


def test_public_rows_stand_first_in_table_3_and_are_not_ranked(pipeline, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keys = {
        "study": "mine",
        "extends": "paper",
        "methods": ["jit", "sd-vae-mse"],
        "tasks": ["t2i"],
        "public": ["flux-1", "sd-3.5-large"],
        "overrides": {"tasks": {"t2i": {"evaluation": {"dpg": None, "genai": None}}}},
    }
    Path("mine.yaml").write_text(json.dumps(keys))
    of = load_study("mine.yaml")
    scores = {"jit": 0.5, "sd-vae-mse": 0.6, "flux-1": 0.7, "sd-3.5-large": 0.8}
    for method, score in scores.items():
        about = {"method": method, "task": "t2i", "variant": "cfg", "metric": "geneval"}
        header = label("metric", 1, stages.geneval(of, method, "cfg")["hash"], **about)
        values = {"geneval": score, "chance": 0.1}
        path = Paths(of).metric(method, "t2i", "cfg", "geneval")
        write_json(path, {**header, "values": values, "protocol": "as the test has it", "inputs": {}})
        header |= {"hash": stages.simpleeval(of, method, "cfg")["hash"], "metric": "simpleeval"}
        values = {"simpleeval": score, "simpleeval_chance": 0.25}
        path = Paths(of).metric(method, "t2i", "cfg", "simpleeval")
        write_json(path, {**header, "values": values, "protocol": "as the test has it", "inputs": {}})
    for method in of.methods:
        card = label("model", 1, stages.train(of, method, "t2i")["hash"])
        write_json(Paths(of).trained(method, "t2i"), {**card, "quality": {"parameters": 615271700}})
    assert main(["table", "table3", "--study", "mine.yaml", "--output-prefix", "t"]) == 0
    text = Path("t.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| ") and "Method" not in line]
    assert [line.split(" |")[0] for line in lines] == [
        "| *Public models*",
        "| SD-3.5-Large",
        "| FLUX-1",
        "| *Latent-space (VAE)*",
        "| SD-VAE-MSE",
        "| *Pixel-space*",
        "| JiT",
    ]
    scores, papers = "0.800 | 0.100 | 0.800 | 0.250", "0.691 | 0.842 | 0.767"
    assert lines[1] == f"| SD-3.5-Large | – | 8B | {scores} | {papers} |"
    assert "**0.600**" in lines[4]
    assert "Public models: trained by others" in text
