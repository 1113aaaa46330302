"""What a study would compute, according to its configuration: sizes, FLOPs, hours, terms to accept."""

from __future__ import annotations

import re

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from nanogen.backbones import Condition, build
from nanogen.cli import main
from nanogen.config import disk, load_run, load_study, plan, stages
from nanogen.config.cache_choice import choose
from nanogen.config.cost import forward_flops, gpu_hours, training_flops
from nanogen.config.load import load_prompt_file
from nanogen.config.train_stage import TrainStage
from nanogen.config.yaml_files import CONFIG
from nanogen.report.totals import gpu_hours as gpu_hours_of
from nanogen.report.totals import made_bytes

# Exact parameter counts of the paper's networks for (ImageNet, text-to-image), by their input.
COUNTS = {
    "768 channels": (615_252_244, 615_271_700),
    "768 channels + cls": (619_289_876, 619_309_332),
    "1024 channels": (616_595_988, 616_615_444),
    "4 channels": (611_304_996, 611_324_452),
    "4 channels + cls": (615_342_628, 615_362_084),
    "16 channels": (611_556_948, 611_576_404),
    "128 channels": (611_892_884, 611_912_340),
    "128 channels + cls": (615_930_516, 615_949_972),
    "32 channels": (611_388_980, 611_408_436),
    "4 channels + times": (613_229_092, 613_248_548),
}
METHODS = {
    "dinov2-b": "768 channels",
    "dinov2-b-reg": "768 channels + cls",
    "dinov3-b": "768 channels",
    "dinov3-b-reg": "768 channels + cls",
    "siglip2-b": "768 channels",
    "pe-l": "1024 channels",
    "langpe-l": "1024 channels",
    "spatialpe-l": "1024 channels",
    "sd-vae-ema": "4 channels",
    "sd-vae-ema-reg": "4 channels + cls",
    "sd-vae-mse": "4 channels",
    "sdxl-vae": "4 channels",
    "sd3.5-vae": "16 channels",
    "flux1-vae": "16 channels",
    "flux2-vae": "128 channels",
    "flux2-vae-reg": "128 channels + cls",
    "qwen-image-vae": "16 channels",
    "e2e-va-vae": "32 channels",
    "e2e-flux1-vae": "16 channels",
    "e2e-sd3.5-vae": "16 channels",
    "e2e-qwen-image-vae": "16 channels",
    "jit": "768 channels",  # 3 x 16 x 16 pixels per patch
    "pixnerd": "768 channels",
    "pixelgen": "768 channels",
    "meanflow": "4 channels + times",
}


@pytest.mark.slow
def test_every_run_of_the_paper_has_the_published_number_of_parameters(capsys):
    assert main(["params", "--study", "paper", "--all"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "method,task,params"
    counted = {tuple(line.split(",")[:2]): int(line.split(",")[2]) for line in lines[1:]}
    assert counted == {
        (method, task): COUNTS[group][index]
        for method, group in METHODS.items()
        for index, task in enumerate(("imagenet", "t2i"))
    }


@pytest.mark.parametrize(
    "options", [[], ["--method", "jit"], ["--all", "--task", "t2i"], ["--all", "--method", "jit"]]
)
def test_params_of_one_run_or_of_all(capsys, options):
    assert main(["params", "--study", "nano", *options]) == 2
    assert "or --all" in capsys.readouterr().err


def counted(stage: dict) -> float:
    """FLOPs that torch counts in the forward pass of one image, without allocating anything."""
    conditioner = stage["conditioner"]
    with torch.device("meta"):
        model = build(TrainStage.from_json(stage))
        if conditioner["kind"] == "label":
            condition = Condition(labels=torch.zeros(1, dtype=torch.int64))
        else:
            tokens = torch.zeros(1, conditioner["tokens"], stage["text_width"])
            mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device="cpu")
            condition = Condition(tokens=tokens, mask=mask)
        more = {"cls": torch.zeros(1, model.cls_width)} if getattr(model, "cls_width", None) else {}
        more |= {"absolute": torch.zeros(1)} if getattr(model, "absolute_time", None) else {}
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(torch.zeros(1, *stage["latent"]), torch.zeros(1), condition, **more)
    return counter.get_total_flops()


@pytest.mark.parametrize(
    ("method", "task"),
    [
        ("dinov2-b", "imagenet"),
        ("dinov2-b-reg", "t2i"),
        ("sd-vae-mse", "t2i"),
        ("jit", "imagenet"),
        ("meanflow", "imagenet"),
    ],
)
def test_operations_are_those_that_torch_counts(method, task):
    stage = stages.train(load_study("paper"), method, task)
    assert forward_flops(TrainStage.from_json(stage)) == pytest.approx(counted(stage), rel=1e-3)


def test_a_training_image_costs_about_one_teraflop():
    study = load_study("paper")
    label, text = (stages.train(study, "dinov2-b", task) for task in ("imagenet", "t2i"))
    assert training_flops(TrainStage.from_json(label)) == pytest.approx(0.98e12, rel=0.03)
    assert training_flops(TrainStage.from_json(text)) == pytest.approx(1.7e12, rel=0.06)
    # The authors reach 9 % of an H200's peak: 100,000 steps take about 10 hours on 32 of them.
    assert gpu_hours(TrainStage.from_json(label), 989, 0.09) == pytest.approx(320, rel=0.02)
    guided, plain = (stages.train(study, "meanflow", "imagenet", weights) for weights in ("", "-nocfg"))
    assert training_flops(TrainStage.from_json(guided)) / forward_flops(
        TrainStage.from_json(guided)
    ) == 0.75 * (3 + 1) + 0.25 * (3 + 2 + 2)
    assert (
        training_flops(TrainStage.from_json(plain)) / forward_flops(TrainStage.from_json(plain))
        == 3 + 0.25 * 2
    )


def test_the_null_prompt_costs_no_tokens_and_the_null_class_what_others_do():
    study = load_study("paper")
    text, label = (
        TrainStage.from_json(stages.train(study, "meanflow", task)) for task in ("t2i", "imagenet")
    )
    assert forward_flops(label, null=True) == forward_flops(label)
    assert forward_flops(text, null=True) < 0.6 * forward_flops(text)
    told, null = 3 + 0.25 * (2 + 1), 1
    assert training_flops(text) == told * forward_flops(text) + null * forward_flops(text, null=True)


@pytest.mark.slow
def test_the_plan_of_the_paper_says_what_each_run_takes(capsys):
    assert main(["plan", "--study", "paper"]) == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines() if " imagenet " in line or " t2i " in line]
    runs = {(row[0], row[1]): row[2:] for row in rows if row[0] in METHODS}
    assert len(runs) == 50
    parameters, gflop, hours, *cache = runs["dinov2-b", "imagenet"]
    assert (parameters, gflop, hours, " ".join(cache)) == ("615252244", "1002", "320", "-")
    assert runs["sd-vae-mse", "imagenet"][3:] == ["10", "GB"]
    assert "at 9% of 989 TFLOP/s" in out
    assert (
        "553 prompts of GenEval x 4, 999 prompts of SimpleEval x 1, 1065 prompts of DPG-Bench x 4, 1600 "
        "prompts of GenAI-Bench x 1; 9071 in each of 26" in out
    )


@pytest.mark.slow
def test_more_utilisation_takes_fewer_hours(capsys):
    assert main(["plan", "--study", "paper", "--utilisation", "0.4"]) == 0
    line = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("dinov2-b  "))
    assert " 72 " in line
    assert main(["plan", "--study", "paper", "--utilisation", "9"]) == 2


def test_gated_repositories_are_named_before_anything_else():
    notice = disk.notice(load_study("paper"))
    assert notice[0].startswith("Gated: accept the terms")
    gated = {
        line.strip() for line in notice[1 : notice.index(next(x for x in notice if "To fetch" in x))]
    }
    assert gated == {
        "black-forest-labs/FLUX.1-dev",
        "black-forest-labs/FLUX.2-dev",
        "stabilityai/stable-diffusion-3.5-large",
        "facebook/dinov3-vitb16-pretrain-lvd1689m",
    }
    original = {"overrides": {"tasks": {"imagenet": {"data": {"hub": ["ILSVRC/imagenet-1k"]}}}}}
    assert "  ILSVRC/imagenet-1k" in disk.notice(load_study("paper", original))


def test_every_download_has_a_licence():
    unknown = {d.repository for d in plan.downloads(load_study("paper")) if "not known" in d.licence}
    assert unknown == {
        "nanovisionx/nanogen-evals-stats",
        "facebook/mask2former-swin-small-coco-instance",
        "openai/clip-vit-large-patch14",
        "diffusion-bench/mplug_visual-question-answering_coco_large_en",
        "zhiqiulin/clip-flant5-xxl",
        load_prompt_file("dpg").url,
        *load_run(load_study("paper"), "jit", "t2i").evaluation.rows.model_dump().values(),
    }


def test_a_small_study_needs_no_licence():
    assert disk.notice(load_study("nano")) == []


STUDIES = sorted(path.stem for path in (CONFIG / "studies").glob("*.yaml"))
FOR_GPUS = {"paper", "paper-200k", "imagenet-text", "t2i-512", "table1", "released", "released-512"}
FOR_GPUS |= {"mid", "mid-one"}


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_every_study_has_a_plan_that_ends_with_totals(name, capsys):
    assert main(["plan", "--study", name]) == 0
    printed = capsys.readouterr().out
    assert ("GPU hours" in printed) == (name in FOR_GPUS)
    totals = printed[printed.index("In all:") :]
    named = "download", "disk", "GPU hours" if name in FOR_GPUS else "CPU minutes"
    assert all(re.search(rf"{what}\b", totals) for what in named)


def test_the_paper_study_needs_less_than_two_terabytes_on_any_disk():
    study = load_study("paper")
    for free in (0, 1e12, 1e15):
        found = disk.disk_of(study, choose(study, free))
        assert 1e12 < found.total + made_bytes(study) < 2e12
    assert disk.disk_of(study).stored["latents/imagenet/sd-vae-mse"] == 1_281_167 * 4 * 32 * 32 * 2


@pytest.mark.parametrize(("name", "hours", "gigabytes"), [("mid", 60, 500), ("mid-one", 12, 400)])
def test_a_study_of_middle_size_fits_a_node(name, hours, gigabytes):
    study = load_study(name)
    planned = gpu_hours_of(study, choose(study, None), 989, study.utilisation, 0.3)
    assert planned.total < hours
    assert disk.disk_of(study).total + made_bytes(study) < gigabytes * 1e9


def test_a_plan_can_be_made_for_another_disk(capsys):
    keys = ["--study", "imagenet-text", "--free-gb"]
    for size in ("-1", "nan"):
        assert main(["plan", *keys, size]) == 2
        assert "--free-gb must be at least 0" in capsys.readouterr().err


def test_the_plan_of_released_models_counts_samples_in_place_of_trainings(capsys):
    assert main(["plan", "--study", "released"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("study released: 0 trainings")
    row = next(line for line in lines if line.startswith("flux2-vae "))
    method, task, images, hours = row.split()
    assert (method, task, int(images)) == ("flux2-vae", "imagenet", 100_000)
    assert 1 < float(hours) < 5
    assert any("51 trained models" in line for line in lines)
    assert not any("latents/" in line or "ILSVRC" in line or "BLIP3o" in line for line in lines)


def test_a_vae_that_is_tuned_from_a_download_is_planned_without_its_size(tmp_path, capsys):
    study = tmp_path / "tuned.yaml"
    study.write_text(
        "extends: paper\nmethods: [e2e-flux1-vae]\nmodels: {e2e-flux1-vae: {source: build}}\n"
    )
    assert main(["plan", "--study", str(study)]) == 0
    shown = capsys.readouterr().out
    (row,) = re.findall(r"^e2e-flux1-vae +\d+ +(\S+) +\d+ +\d+ ", shown, re.MULTILINE)
    assert row == "-"
    assert "of tokenizers" in shown


def test_a_vae_that_is_only_tuned_from_is_planned_too(capsys):
    assert main(["params", "--study", "nano-ten", "--tokenizers"]) == 0
    rows = [line.split(",") for line in capsys.readouterr().out.splitlines()]
    sizes = {name: size for name, _, size, *_ in rows}
    assert sizes["va-vae"] == sizes["e2e-va-vae"]
