"""Studies, methods and tasks resolve to one configuration; mistakes are reported with their place."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from nanogen.backbones import parameter_count
from nanogen.cli import main
from nanogen.config import load_model, load_run, load_study, stages, yaml_files
from nanogen.config.studies import study_from
from nanogen.config.task_difference import task_difference
from nanogen.config.train_stage import TrainStage
from nanogen.config.yaml_files import available
from nanogen.errors import UserError
from nanogen.report.artefacts import check_styles


def study_file(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text("study: mine\nextends: nano\n" + text)
    return str(path)


def test_later_layers_win_and_the_task_fixes_the_protocol():
    study = load_study("paper")
    imagenet, t2i = (load_run(study, "sd-vae-mse", task) for task in ("imagenet", "t2i"))
    assert imagenet.sampling.guidance_scale == 1.6  # the method's best scale
    assert t2i.sampling.guidance_scale == 6.0  # the protocol's, regardless of the method
    assert imagenet.sampling.guidance_interval == (0.0, 0.9)
    assert t2i.sampling.guidance_interval == (0.0, 1.0)
    assert imagenet.backbone.patch == t2i.backbone.patch == 2


def test_the_recipe_of_the_paper_at_paper_scale():
    run = load_run(load_study("paper"), "dinov2-b", "imagenet")
    optimizer = run.training.optimizer
    assert (run.training.batch_size, run.training.steps, run.training.ema) == (1024, 100080, 0.9995)
    assert (optimizer.betas, optimizer.weight_decay, optimizer.clip) == ((0.9, 0.95), 0.0, 1.0)
    assert (optimizer.learning_rate, run.training.condition_dropout) == (2e-4, 0.1)
    assert (run.sampling.steps, run.evaluation.images) == (50, 50000)


def test_overrides_reach_one_method_or_task_only(tmp_path):
    text = "overrides: {methods: {jit: {training: {steps: 7}}}, tasks: {t2i: {sampling: {steps: 3}}}}"
    study = load_study(study_file(tmp_path, text))
    assert load_run(study, "jit", "imagenet").training.steps == 7
    nano = load_study("nano")
    steps = load_run(nano, "sd-vae-mse", "imagenet").training.steps
    assert load_run(study, "sd-vae-mse", "imagenet").training.steps == steps != 7
    assert load_run(study, "jit", "t2i").sampling.steps == 3
    assert load_run(study, "jit", "imagenet").sampling.steps != 3


def test_the_command_line_wins_over_the_study():
    study = study_from({"study": "nano", "methods": ["jit"], "training": {"steps": 5}})
    assert study.methods == ["jit"]
    assert load_run(study, "jit", "imagenet").training.steps == 5


@pytest.mark.parametrize("name", available("studies"))
def test_every_study_resolves_every_run_and_network(name, tmp_path):
    for label in ("cat", "dog"):
        (tmp_path / "train" / label).mkdir(parents=True)
    study = load_study(name, {"data_root": str(tmp_path)} if name == "folder" else None)
    for method in study.methods:
        for task in study.tasks:
            run = load_run(study, method, task)
            assert len(stages.train(study, method, task)["hash"]) == 16
            if run.conditioner.model:
                assert load_model(study, run.conditioner.model).kind == "text_encoder"


def test_labels_of_photographs_are_counted_in_the_folder(tmp_path):
    for label in ("cat", "dog", "owl", ".cache"):
        (tmp_path / "train" / label).mkdir(parents=True)
    run = load_run(load_study("folder", {"data_root": str(tmp_path)}), "jit", "imagenet")
    assert run.conditioner.classes == 3
    assert run.data.root == str(tmp_path)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("trainning: {steps: 5}", ["mine.yaml", "unknown key 'trainning'", "did you mean 'training'"]),
        ("training: {stepps: 5}", ["mine.yaml", "'training.stepps'", "did you mean 'steps'"]),
        (
            "training: {optimizer: {learning_rat: 1}}",
            ["mine.yaml", "'training.optimizer.learning_rat'", "did you mean 'learning_rate'"],
        ),
        ("methods: [jitt]", ["unknown method 'jitt'", "did you mean 'jit'", "config/methods/NAME.yaml"]),
        ("tasks: [imagenett]", ["mine.yaml", "tasks.0", "imagenett"]),
        ("overrides: {methods: {dinov2: {}}}", ["unknown method 'dinov2'", "did you mean 'dinov2-b'"]),
        ("models: {sd-vae: {}}", ["unknown model 'sd-vae'", "did you mean"]),
        ("scale: huge", ["mine.yaml", "'scale'", "huge"]),
        ("training: {steps: [", ["mine.yaml", "not valid YAML"]),
    ],
)
def test_mistakes_in_a_study_are_named_with_their_file(tmp_path, text, parts):
    with pytest.raises(UserError) as caught:
        load_study(study_file(tmp_path, text))
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            "overrides: {methods: {jit: {training: {step: 5}}}}",
            ["overrides.methods.jit", "'training.step'", "did you mean 'steps'"],
        ),
        ("training: {batch_size: 50, noise_chunk: 32}", ["batch_size 50", "noise_chunk 32"]),
        ("backbone: {}\noverrides: {methods: {jit: {backbone: {patch: 5}}}}", ["patch 5", "3x32x32"]),
        ("training: {ema: 1.5}", ["training.ema", "1.5"]),
        (
            "overrides: {methods: {jit: {sampling: {guidance_interval: [0.9, 0.1]}}}}",
            ["guidance_interval", "[0, 1]"],
        ),
    ],
)
def test_mistakes_in_a_run_are_named(tmp_path, text, parts):
    study = load_study(study_file(tmp_path, text))
    with pytest.raises(UserError) as caught:
        load_run(study, "jit", "imagenet")
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "parts"),
    [
        ("backbone: {encoder_heads: 0}", ["'backbone.encoder_heads' = 0", "greater than 0"]),
        ("backbone: {encoder_depth: 0}", ["'backbone.encoder_depth' = 0"]),
        ("backbone: {mlp_ratio: 0}", ["'backbone.mlp_ratio' = 0"]),
        (
            "backbone: {encoder_width: 100, encoder_heads: 16}",
            ["encoder_width 100 is not a multiple of 64", "encoder_heads 16"],
        ),
        ("backbone: {decoder_width: 90}", ["decoder_width 90 is not a multiple of 16"]),
        ("overrides: {methods: {dinov2-b: {objective: {shift_base: 0}}}}", ["shift_base' = 0"]),
        ("overrides: {methods: {dinov2-b: {sampling: {shift_base: -1}}}}", ["shift_base' = -1"]),
        ("training: {optimizer: {betas: [1.5, 2]}}", ["'training.optimizer.betas.0' = 1.5"]),
        ("training: {optimizer: {weight_decay: -1}}", ["'training.optimizer.weight_decay' = -1"]),
        ("training: {optimizer: {learning_rate: .inf}}", ["learning_rate' = inf", "finite"]),
        ("overrides: {tasks: {imagenet: {conditioner: {captions: []}}}}", ["'conditioner.captions'"]),
        ("evaluation: {extractors: []}", ["'evaluation.extractors'"]),
        ("evaluation: {mind_directions: 0}", ["'evaluation.mind_directions' = 0"]),
    ],
)
def test_sizes_outside_their_range_are_refused_when_a_run_is_read(tmp_path, keys, parts):
    with pytest.raises(UserError) as caught:
        load_run(load_study(study_file(tmp_path, keys)), "dinov2-b", "imagenet")
    for part in parts:
        assert part in str(caught.value)


def test_a_backbone_without_a_decoder_may_have_any_decoder_width(tmp_path):
    text = "backbone: {kind: lightning, decoder_width: 90}"
    assert (
        load_run(load_study(study_file(tmp_path, text)), "jit", "imagenet").backbone.decoder_width == 90
    )


def test_a_grid_without_rows_and_a_network_without_width_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"'report.grid_rows' = 0"):
        load_study(study_file(tmp_path, "report: {grid_rows: 0}"))
    study = load_study("nano", {"models": {"qwen3": {"width": 0}}})
    with pytest.raises(UserError, match=r"models.qwen3\): 'width' = 0"):
        load_model(study, "qwen3")


@pytest.mark.parametrize("option", ["--checkpoint-every", "--log-every"])
def test_a_training_cannot_save_every_zero_steps(option, capsys):
    command = ["train", "--config", "c", "--output", "o", "--state", "s", option, "0"]
    assert main(command) == 2
    assert f"{option} 0: it must be at least 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("keys", "parts"),
    [
        ("{data: {resolution: 64}}", ["jit on imagenet", "data.resolution is 64, but 32 for dinov2-b"]),
        ("{data: {train_images: 10}}", ["data.train_images is 10", "overrides.tasks.imagenet"]),
        ("{evaluation: {classifier: null}}", ["evaluation.classifier is None, but 'convnext'"]),
        ("{evaluation: {extractors: [inception, convnext]}}", ["evaluation.extractors"]),
    ],
)
def test_what_all_methods_share_is_refused_for_one(tmp_path, keys, parts):
    study = load_study(study_file(tmp_path, f"overrides: {{methods: {{jit: {keys}}}}}"))
    load_run(study, "dinov2-b", "imagenet")
    with pytest.raises(UserError) as caught:
        load_run(study, "jit", "imagenet")
    for part in parts:
        assert part in str(caught.value)


def test_a_public_model_is_measured_as_the_others_are():
    keys = {"overrides": {"methods": {"flux-1": {"evaluation": {"dpg": None}}}}, "public": ["flux-1"]}
    with pytest.raises(UserError, match=r"flux-1 on t2i .*evaluation.dpg is None, but 'mplug'"):
        load_run(load_study("paper", keys), "flux-1", "t2i")


def test_a_method_may_have_numbers_of_images_of_its_own(tmp_path):
    own = "{unguided: false, images: 40, untrained_images: 20, images_per_prompt: 1}"
    text = f"overrides: {{methods: {{jit: {{evaluation: {own}}}}}}}"
    study = load_study(study_file(tmp_path, text))
    assert stages.sample(study, "jit", "imagenet", "cfg")["images"] == 40
    assert stages.sample(study, "jit", "t2i", "cfg")["images_per_prompt"] == 1
    assert stages.sample(study, "dinov2-b", "imagenet", "cfg")["images"] == 400


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tasks: {t2i: {training: {steps: 5}}}", "'tasks' belongs in a block of 'scales', e.g. scales."),
        (
            "scales: {nano: {tasks: {t2l: {}}}}",
            "unknown key 'scales.nano.tasks.t2l'; did you mean 't2i'",
        ),
        ("scales: {nano: {tasks: [t2i]}}", r"'scales.nano.tasks' = ['t2i']: expected keys and values"),
        ("scales: {nano: {tasks: {t2i: abc}}}", "'scales.nano.tasks.t2i' = 'abc': expected keys and"),
        ("scales: {nano: x}", "'scales.nano' = 'x': expected keys and values"),
        ("scales: {nano: {}, 7: {}}", "unknown key 'scales.7'; valid are: nano, paper"),
        ("scales: [nano]", "'scales' = ['nano']: expected keys and values"),
        ("scales:", "has no block 'scales.nano'"),
        ("objective:\nscales: {nano: {}}", "'objective' = None"),
    ],
)
def test_a_malformed_block_of_a_method_is_named_with_its_file(tmp_path, monkeypatch, text, said):
    shutil.copytree(yaml_files.CONFIG, tmp_path / "config")
    monkeypatch.setattr(yaml_files, "CONFIG", tmp_path / "config")
    head = "title: Mine\nfamily: pixel\ntokenizer: pixels\n"
    scales = "" if "scales" in text else "scales: {nano: {backbone: {patch: 8}}}\n"
    (tmp_path / "config/methods/mine.yaml").write_text(f"{head}{scales}{text}\n")
    study = load_study("nano", {"methods": ["mine"]})
    with pytest.raises(UserError) as caught:
        load_run(study, "mine", "t2i")
    assert "config/methods/mine.yaml" in str(caught.value)
    assert said in str(caught.value)


def test_a_block_of_a_task_changes_a_method_on_this_task(tmp_path, monkeypatch):
    shutil.copytree(yaml_files.CONFIG, tmp_path / "config")
    monkeypatch.setattr(yaml_files, "CONFIG", tmp_path / "config")
    method = tmp_path / "config/methods/jit.yaml"
    method.write_text(
        f"{method.read_text()}    tasks: {{t2i: {{sampling: {{steps: 5}}}}, imagenet: }}\n"
    )
    study = load_study("nano", {"methods": ["jit"]})
    steps = {task: load_run(study, "jit", task).sampling.steps for task in study.tasks}
    assert steps == {"imagenet": 16, "t2i": 5}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("latents: {imagenett: {}}", "unknown task 'imagenett'; did you mean 'imagenet'"),
        (
            "latents: {imagenet: {sd-vae-mes: &c {file: c.h5, tokenizer: t}}}",
            "unknown model 'sd-vae-mes'",
        ),
        (
            "latents: {imagenet: {dinov2-b: {file: c.h5, tokenizer: t}}}",
            "latents.imagenet names 'dinov2-b', which makes no latents; did you mean 'rae-dinov2-b'",
        ),
        (
            "released: {repo: a/b, tokenizers: {rae-langpe: {decoder: d, statistics: s}}}",
            "unknown model 'rae-langpe'; did you mean 'rae-langpe-l'",
        ),
    ],
)
def test_a_misspelt_cache_or_tokenizer_names_the_nearest(tmp_path, text, said):
    with pytest.raises(UserError) as caught:
        load_study(study_file(tmp_path, text))
    assert said in str(caught.value)


def test_a_style_of_a_figure_that_does_not_exist_names_the_nearest(tmp_path, capsys):
    mine = study_file(tmp_path, "report: {figures: {figur1: {width: 5}}}")
    with pytest.raises(UserError, match="has no figure 'figur1'; did you mean 'figure1'"):
        check_styles(load_study(mine))
    command = ["figure", "figure1", "--study", mine, "--output-prefix", str(tmp_path / "f")]
    assert main(command) == 2
    assert "did you mean 'figure1'" in capsys.readouterr().err


def test_a_study_that_is_not_there_names_the_nearest():
    with pytest.raises(UserError, match="unknown study 'nanno'; did you mean 'nano'"):
        study_from({"study": "nanno"})
    with pytest.raises(UserError, match="does not exist"):
        load_study("nowhere/mine.yaml")


def test_a_method_without_the_studys_scale_is_refused(tmp_path, monkeypatch):
    shutil.copytree(yaml_files.CONFIG, tmp_path / "config")
    monkeypatch.setattr(yaml_files, "CONFIG", tmp_path / "config")
    method = tmp_path / "config/methods/sdxl-vae.yaml"
    method.write_text(method.read_text().partition("  nano:")[0])
    study = load_study(study_file(tmp_path, "methods: [sdxl-vae]"))
    with pytest.raises(UserError, match=r"config/methods/sdxl-vae.yaml has no block 'scales.nano'"):
        load_run(study, "sdxl-vae", "imagenet")


def test_a_models_file_differs_from_its_recipe_in_the_keys_it_has(tmp_path, monkeypatch):
    shutil.copytree(yaml_files.CONFIG, tmp_path / "config")
    monkeypatch.setattr(yaml_files, "CONFIG", tmp_path / "config")
    (tmp_path / "config/models/mine.yaml").write_text(
        "kind: rae\nmodel_class: nanogen.RAE\nrecipe: rae\nencoder: dinov2-b\nscales:\n"
        "  nano: {latent: [48, 4, 4], stage1: {terms: {mse: 5}}}\n"
    )
    study = load_study("nano")
    mine, shared = load_model(study, "mine"), load_model(study, "rae-dinov2-b")
    assert mine.stage1.terms.mse == 5 != shared.stage1.terms.mse
    same = {"name": "mine", "stage1": mine.stage1}
    assert shared.model_copy(update=same) == mine


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            "recipe: raee",
            "unknown recipe 'raee'; did you mean 'rae'? (a recipe is a file config/recipes/",
        ),
        ("recipe: [rae]", "unknown recipe \"['rae']\""),
        (
            "stage1: {epoch: 2}\nrecipe: rae",
            "models/mine.yaml: unknown key 'stage1.epoch'; did you mean",
        ),
    ],
)
def test_a_mistake_in_a_recipe_is_named(tmp_path, monkeypatch, keys, said):
    shutil.copytree(yaml_files.CONFIG, tmp_path / "config")
    monkeypatch.setattr(yaml_files, "CONFIG", tmp_path / "config")
    model = f"kind: rae\nmodel_class: nanogen.RAE\nencoder: dinov2-b\n{keys}\nscales: {{nano: }}\n"
    (tmp_path / "config/models/mine.yaml").write_text(model)
    with pytest.raises(UserError) as caught:
        load_model(load_study("nano"), "mine")
    assert said in str(caught.value)


def test_a_model_given_by_a_path_must_be_there(tmp_path):
    given = f"models: {{sd-vae-mse: {{source: path, path: {tmp_path / 'vae'}}}}}"
    with pytest.raises(UserError, match=r"models.sd-vae-mse.path: folder .*vae does not exist"):
        load_model(load_study(study_file(tmp_path, given)), "sd-vae-mse")


def test_the_two_tasks_differ_by_twelve_lines_of_training():
    rows = [key for key, _, _ in task_difference(load_study("paper"), "dinov2-b") if key != "task"]
    evaluated = [key for key in rows if key.startswith(("sampling.", "evaluation."))]
    assert len(rows) - len(evaluated) == 12
    assert {key.partition(".")[0] for key in rows} == {
        "data", "conditioner", "training", "sampling", "evaluation",
    }  # fmt: skip


def test_the_command_prints_the_difference_and_counts_it(capsys):
    assert main(["config", "--diff-tasks", "--study", "paper", "--method", "jit"]) == 0
    printed = capsys.readouterr().out
    assert "12 lines of training" in printed
    assert "conditioner.kind" in printed
    assert "label  ->  text" in printed


def test_the_difference_is_that_of_the_study_given_as_a_file(tmp_path, capsys):
    mine = study_file(tmp_path, "overrides: {tasks: {t2i: {training: {steps: 77}}}}")
    assert main(["config", "--diff-tasks", "--study", mine, "--method", "jit"]) == 0
    assert "800  ->  77" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command",
    [
        ["config"],
        ["params"],
        ["import", "--checkpoint", "c.pt", "--out", "o"],
    ],
)
def test_a_public_model_has_no_training(tmp_path, capsys, command):
    mine = tmp_path / "mine.yaml"
    mine.write_text("study: mine\nextends: paper\npublic: [flux-1]\n")
    assert main([*command, "--study", str(mine), "--method", "flux-1", "--task", "t2i"]) == 2
    said = capsys.readouterr()
    assert "flux-1 is a public model: it has no training" in said.err
    assert not said.out


@pytest.mark.parametrize("method", load_study("paper").methods)
def test_no_methods_training_differs_in_more_than_twelve_lines(method, capsys):
    assert main(["config", "--diff-tasks", "--study", "paper", "--method", method]) == 0
    lines = re.search(r"(\d+) lines of training", capsys.readouterr().out)
    assert int(lines[1]) <= 12


# Parameters of the authors' released networks; rounded, they are the column in the paper's Table 3.
COUNTS = [
    ("dinov2-b", 615252244, 615271700),
    ("sd-vae-mse", 611304996, 611324452),
    ("jit", 615252244, 615271700),
    ("dinov2-b-reg", 619289876, 619309332),
    ("flux2-vae-reg", 615930516, 615949972),
]


@pytest.mark.parametrize(("method", "imagenet", "t2i"), COUNTS)
def test_parameter_counts_of_the_paper(method, imagenet, t2i):
    study = load_study("paper")
    assert parameter_count(TrainStage.from_json(stages.train(study, method, "imagenet"))) == imagenet
    assert parameter_count(TrainStage.from_json(stages.train(study, method, "t2i"))) == t2i


def test_counting_parameters_allocates_no_weights(capsys):
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert main(["params", "--study", "paper", "--method", "jit", "--task", "t2i"]) == 0
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert capsys.readouterr().out.strip() == "615271700"
    assert grown < 615271700  # a quarter of the weights' 2.4 GB in float32


def test_an_unknown_command_names_the_nearest(capsys):
    assert main(["trian"]) == 2
    assert "did you mean 'train'" in capsys.readouterr().err


def test_frozen_networks_learn_drawn_images_of_their_own_or_the_photographs(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "train" / name).mkdir(parents=True)
    nano = load_study("nano")
    photographs = load_study("folder", {"data_root": str(tmp_path)})
    assert load_model(nano, "dinov2-b").data == "pretraining"
    assert stages.task_data(nano, "pretraining").scene == "varied"
    assert load_model(photographs, "dinov2-b").data == "imagenet"


def test_photographs_are_prompted_by_their_classes(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "train" / name).mkdir(parents=True)
    study = load_study("folder", {"data_root": str(tmp_path)})
    run = load_run(study, "jit", "t2i")
    assert run.evaluation.prompts == "classes"
    assert load_run(study, "dinov2-b", "t2i").training.snapshots == [0.5]  # from the extended study


@pytest.mark.parametrize("value", ["true", "[null]", "{nano: 1}", "7"])
def test_extends_that_names_no_study_is_refused(tmp_path, value):
    path = tmp_path / "mine.yaml"
    path.write_text(f"study: mine\nextends: {value}\n")
    with pytest.raises(UserError, match=r"extends: .* is not a study's name or a list of names"):
        load_study(str(path))


def test_studies_that_extend_each_other_are_named(tmp_path):
    one, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
    one.write_text(f"study: one\nextends: {other}\n")
    other.write_text(f"study: other\nextends: {one}\n")
    with pytest.raises(UserError, match=r"extends itself: .*one.yaml -> .*other.yaml -> .*one.yaml"):
        load_study(str(one))
