"""Extractors and the detector, trained for seconds on real scenes, from training to scores."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as save_torch
from torch.nn import functional as F

from nanogen.config import load_model, stages
from nanogen.config.model_stage import ModelStage
from nanogen.data import hdf5
from nanogen.data.image_import import write_images
from nanogen.data.images import ImageFile
from nanogen.errors import UserError
from nanogen.files import label, read_json, write_json
from nanogen.metrics.detector import load_detector
from nanogen.metrics.extractors import load_extractor
from nanogen.metrics.feature_files import write_features, write_reference
from nanogen.metrics.geneval import judge
from nanogen.metrics.scores import score_distribution, score_geneval
from nanogen.models.card import write_card
from nanogen.prompts.prompts import write_prompts
from nanogen.small_networks.detector import train_detector, true_metadata
from nanogen.small_networks.extractor import train_extractor
from nanogen.small_networks.extractor_targets import target_of

CHANGES = {
    "methods": ["jit"],  # trained without other networks, so any may judge its classes
    "data": {"train_images": 500, "val_images": 100},
    "evaluation": {"extractors": ["inception"], "classifier": "inception", "images": 100},
    "models": {
        "inception": {"training": {"steps": 80}},
        "convnext": {"training": {"steps": 3}},
        "detector": {"training": {"steps": 140}},
        "dinov2": {"training": {"steps": 40}},
        "mae": {"training": {"steps": 120}},
        "siglip": {"training": {"steps": 40}},
    },
}
EXTRACTORS = ("inception", "convnext", "dinov2", "mae", "siglip")
TRAINERS = {**dict.fromkeys(EXTRACTORS, train_extractor), "detector": train_detector}


@pytest.fixture(scope="module")
def study(tiny):
    return tiny(**CHANGES)


@pytest.fixture(scope="module")
def data(study, tmp_path_factory):
    """Image files by (task, split)."""
    folder = tmp_path_factory.mktemp("images")
    files = {}
    for task in ("imagenet", "t2i"):
        for split in ("train", "val"):
            stage = stages.data(study, task, split)
            write_images(stage, folder / f"{task}-{split}.h5")
            files[task, split] = ImageFile(folder / f"{task}-{split}.h5", stage["hash"])
    return files


@pytest.fixture(scope="module")
def build(study, data, tmp_path_factory):
    """A function from a name to (folder with card, quality), which trains once per name."""
    built = {}

    def made(name: str):
        if name not in built:
            stage = ModelStage.from_json(stages.model(study, name))
            folder, task = tmp_path_factory.mktemp(name), stage.model.data
            quality = TRAINERS[name](stage, data[task, "train"], data[task, "val"], folder)
            write_card(folder, stage, quality, 0.0)
            built[name] = (folder, quality)
        return built[name]

    return made


def _write_samples(path: Path, hash_: str, task: str, images: np.ndarray, labels: list[int]) -> Path:
    header = label("samples", 1, hash_, method="jit", task=task, variant="cfg")
    with hdf5.create(path, header) as file:
        file["images"] = images
        file["labels"] = np.array(labels, np.int64)
    return path


@pytest.fixture(scope="module")
def reference(study, data, build, tmp_path_factory):
    path = tmp_path_factory.mktemp("reference") / "statistics.h5"
    folders = {"inception": build("inception")[0]}
    stage = stages.reference(study)
    images = {split: data["imagenet", split] for split in ("train", "val")}
    write_reference(stage, images, folders, path)
    return path


def _scores(study, images, labels, build, reference, folder: Path) -> dict[str, dict]:
    features = stages.features(study, "jit", "cfg")
    hash_ = features["expects"]["samples"]
    samples = _write_samples(folder / "samples.h5", hash_, "imagenet", images, labels)
    write_features(features, samples, {"inception": build("inception")[0]}, folder / "features.h5")
    stage = stages.distribution(study, "jit", "cfg")
    score_distribution(stage, folder / "features.h5", reference, folder / "metrics")
    return {m: read_json(folder / "metrics" / f"{m}.json") for m in stages.metrics_of(study, "imagenet")}


@pytest.mark.slow
def test_an_extractor_learns_and_its_features_do_not_depend_on_the_batch(study, data, build):
    folder, quality = build("inception")
    assert quality["accuracy"] > 0.5  # chance: 0.05
    extractor = load_extractor(folder, load_model(study, "inception"))
    images = data["imagenet", "val"].images[:12]
    together = extractor(images)
    one_by_one = [extractor(images[i : i + 1]) for i in range(12)]
    for part, width in (("features", extractor.width), ("logits", 20), ("spatial", 7 * 4 * 4)):
        rows = getattr(together, part)
        assert rows.shape == (12, width)
        alone = np.concatenate([getattr(output, part) for output in one_by_one])
        np.testing.assert_allclose(rows, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_training_an_extractor_again_gives_the_same_weights(study, data, build, tmp_path):
    folder, _ = build("inception")
    stage = ModelStage.from_json(stages.model(study, "inception"))
    train_extractor(stage, data["imagenet", "train"], data["imagenet", "val"], tmp_path)
    first, second = (load_file(f / "model.safetensors") for f in (folder, tmp_path))
    assert all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.slow
def test_images_of_another_size_are_resized_for_the_network(study, build):
    extractor = load_extractor(build("inception")[0], load_model(study, "inception"))
    grey = np.full((2, 80, 80, 3), 200, np.uint8)
    small = extractor(grey[:, :32, :32]).features
    np.testing.assert_allclose(extractor(grey).features, small, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "measure", "without"),
    # baselines: one of 100 images; the mean image; one of the distinct captions of 100 images
    [("dinov2", "view_found", 0.01), ("mae", "masked_psnr", 15.0), ("siglip", "caption_found", 0.02)],
)
def test_transformers_learn_without_classes(study, data, build, name, measure, without):
    folder, quality = build(name)
    assert quality[measure] > without + 0.02
    extractor = load_extractor(folder, load_model(study, name))
    features = extractor(data["imagenet", "val"].images[:20]).features
    assert features.shape == (20, extractor.width)
    assert features.std(0).min() > 0


def test_a_held_out_caption_may_have_words_that_training_had_not(data):
    train, val = data["imagenet", "train"], data["t2i", "val"]  # "a photo of a red circle", relations
    learnt = target_of("captions", train)
    held_out = target_of("captions", val, learnt.learned)
    rows = torch.arange(10)
    assert 0 <= held_out.quality(torch.randn(10, held_out.outputs), rows)["caption_found"] <= 1


def test_an_unknown_target_is_refused_with_the_nearest(data):
    with pytest.raises(UserError, match="'place'; did you mean 'places'"):
        target_of("place", data["imagenet", "val"])


@pytest.mark.slow
def test_a_convnext_of_timm_is_averaged_over_space(study, data, build):
    folder, quality = build("convnext")
    assert set(quality) == {"accuracy", "box_error_pixels"}
    extractor = load_extractor(folder, load_model(study, "convnext"))
    output = extractor(data["imagenet", "val"].images[:3])
    assert output.features.shape == (3, extractor.width)
    assert output.logits.shape == (3, extractor.classes) == (3, 20)


def photographs(data) -> list[ImageFile]:
    """Scenes treated as photographs: nothing is known about their objects."""
    files = [ImageFile(data["imagenet", split].path) for split in ("train", "val")]
    for file in files:
        file.masks = None
    return files


def test_photographs_teach_the_second_extractor_classes_and_rotations(study, data, tmp_path):
    train, val = photographs(data)
    stage = ModelStage.from_json(stages.model(study, "convnext"))
    quality = train_extractor(stage, train, val, tmp_path)
    assert set(quality) == {"accuracy", "rotation_accuracy"}
    logits = load_extractor(tmp_path, stage.model)(val.images).logits
    assert quality["accuracy"] == pytest.approx((logits.argmax(1) == val.labels).mean(), abs=1e-6)


@pytest.mark.slow
def test_real_images_score_far_better_than_noise(study, data, build, reference, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (100, 32, 32, 3), np.uint8)
    for name in ("real", "noise"):
        (tmp_path / name).mkdir()
    val = data["imagenet", "val"]
    real = _scores(study, val.images, val.labels, build, reference, tmp_path / "real")
    bad = _scores(study, noise, val.labels, build, reference, tmp_path / "noise")
    with h5py.File(reference) as file:
        constant = file["inception"].attrs["fdr_constant"]
    for metric, name in (("fid", "fid"), ("fdr", "fdr_inception"), ("mind", "mind_inception")):
        assert bad[metric]["values"][name] > 10 * real[metric]["values"][name] > 0
    assert real["is"]["values"]["is"] > 2 * bad["is"]["values"]["is"]
    # the samples are the validation images themselves, so their distance is the constant
    assert real["fid"]["values"]["fid"] == pytest.approx(constant, rel=1e-5)
    assert real["fdr"]["values"]["fdr_inception"] == pytest.approx(1, rel=1e-5)
    assert "100 generated images against 500 training images" in real["fid"]["protocol"]
    assert real["fid"]["inputs"] == stages.distribution(study, "jit", "cfg")["expects"]


@pytest.mark.slow
def test_a_class_is_named_in_real_images_and_by_chance_in_noise(study, data, build, reference, tmp_path):
    val, right = data["imagenet", "val"], build("inception")[1]["accuracy"]
    images = {
        "real": val.images,
        "noise": np.random.default_rng(0).integers(0, 256, val.images.shape, np.uint8),
        "blank": np.full_like(val.images, 230),
    }
    found = {}
    for name, shown in images.items():
        (tmp_path / name).mkdir()
        scores = _scores(study, shown, val.labels, build, reference, tmp_path / name)["accuracy"]
        values = found[name] = scores["values"]
        assert values["accuracy_low"] < values["accuracy"] < values["accuracy_high"]
        assert values["accuracy_chance"] == pytest.approx(0.05, abs=0.01)
        assert f"which no model is trained with, right on {right:.3f} of real" in scores["protocol"]
    assert found["real"]["accuracy"] == pytest.approx(right, abs=1e-6)
    assert found["noise"]["accuracy"] < 0.15
    assert found["blank"]["accuracy"] < 0.15


@pytest.mark.slow
def test_a_classifier_of_other_classes_is_refused(study, data, build, tmp_path):
    stage = stages.features(study, "jit", "cfg")
    images, hash_ = data["imagenet", "val"].images[:4], stage["expects"]["samples"]
    samples = _write_samples(tmp_path / "s.h5", hash_, "imagenet", images, [0] * 4)
    other = {**stage, "classifier": {"name": "inception", "classes": 7}}
    with pytest.raises(UserError, match="inception knows 20 classes, but the images are of 7"):
        write_features(other, samples, {"inception": build("inception")[0]}, tmp_path / "f.h5")


@pytest.mark.slow
def test_inputs_of_another_configuration_are_refused(study, data, build, tmp_path):
    stage = stages.features(study, "jit", "cfg")
    images = data["imagenet", "val"].images[:4]
    folders = {"inception": build("inception")[0]}
    other = _write_samples(tmp_path / "other.h5", "feedfeedfeedfeed", "imagenet", images, [0] * 4)
    with pytest.raises(UserError, match="feedfeedfeedfeed"):
        write_features(stage, other, folders, tmp_path / "f.h5")
    right = _write_samples(
        tmp_path / "right.h5", stage["expects"]["samples"], "imagenet", images, [0] * 4
    )
    with pytest.raises(UserError, match="--network inception=FOLDER"):
        write_features(stage, right, {}, tmp_path / "f.h5")
    with pytest.raises(UserError, match="made by another configuration"):
        write_features(stage, right, {"inception": build("detector")[0]}, tmp_path / "f.h5")
    assert not (tmp_path / "f.h5").exists()


@pytest.mark.slow
def test_missing_or_cut_weights_are_refused(study, build, tmp_path):
    model = load_model(study, "inception")
    with pytest.raises(UserError, match=r"no config\.json"):
        load_extractor(tmp_path, model)
    (tmp_path / "config.json").write_text('{"architectures": ["CLIPModel"]}')
    with pytest.raises(UserError, match=r"holds a CLIPModel, not a nanogen\.SmallInception"):
        load_extractor(tmp_path, model)
    folder = build("inception")[0]
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    with pytest.raises(UserError, match=r"no model\.safetensors"):
        load_extractor(tmp_path, model)
    weights = load_file(folder / "model.safetensors")
    weights.pop("head.weight")
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"head\.weight"):
        load_extractor(tmp_path, model)
    (tmp_path / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(UserError, match="is damaged: it is cut or not a safetensors file"):
        load_extractor(tmp_path, model)


@pytest.mark.slow
def test_the_detector_sees_what_is_in_real_images(study, data, build):
    folder, quality = build("detector")
    assert quality["mask_iou"] > 0.7
    assert quality["geneval_real"] > 0.5
    detector = load_detector(folder, load_model(study, "detector"))
    val = data["t2i", "val"]
    agree = [
        {(d["cls"], d["color"]) for d in found} == {(o["shape"], o["color"]) for o in objects}
        for found, objects in zip(detector(val.images), val.objects, strict=True)
    ]
    assert np.mean(agree) > 0.5
    assert detector(np.full((1, 32, 32, 3), 230, np.uint8)) == [[]]


@pytest.mark.slow
def test_of_photographs_the_detector_names_the_whole_image(study, data, tmp_path):
    train, val = photographs(data)
    stage = ModelStage.from_json(stages.model(study, "detector"))
    quality = train_detector(stage, train, val, tmp_path)
    assert quality["accuracy"] > 0.5
    detector = load_detector(tmp_path, stage.model)
    found = detector(val.images)
    assert all(len(one) == 1 and one[0]["box"] == [0, 0, 32, 32] for one in found)
    right = [one[0]["cls"] == val.classes[k] for one, k in zip(found, val.labels, strict=True)]
    assert np.mean(right) == pytest.approx(quality["accuracy"])
    assert "whole image" in detector.protocol


def test_any_timm_model_is_loaded_from_its_folder(study, tmp_path):
    import timm

    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    base = load_model(study, "convnext").model_copy(update={"architecture": {}, "input_size": 160})
    for name in ("test_vit", "test_convnext"):  # with a class token, with a feature map
        network = timm.create_model(name, num_classes=7).eval()
        folder = tmp_path / name
        folder.mkdir()
        published = {"mean": [0.5] * 3, "std": [0.25] * 3}
        write_json(folder / "config.json", {"num_classes": 7, "pretrained_cfg": published})
        save_torch(network.state_dict(), folder / "model.safetensors")
        model = base.model_copy(update={"model_class": f"timm:{name}"})
        output = load_extractor(folder, model)(images)
        assert output.features.shape == (2, network.num_features)
        assert (output.spatial is None) == (name == "test_vit")
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
        pixels = F.interpolate(pixels, (160, 160), mode="bicubic", antialias=True)
        with torch.no_grad():
            expected = network.forward_features((pixels - 0.5) / 0.25)
            logits = network((pixels - 0.5) / 0.25)
        expected = expected[:, 0] if expected.ndim == 3 else expected.mean((2, 3))
        np.testing.assert_allclose(output.features, expected.numpy(), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(output.logits, logits.numpy(), rtol=1e-4, atol=1e-5)


def test_everything_said_of_a_scene_is_judged_true(data):
    tags = set()
    for objects in data["t2i", "val"].objects:
        seen = [{**o, "cls": o["shape"], "score": 1.0} for o in objects]
        for metadata in true_metadata(objects):
            tags.add(metadata["tag"])
            assert judge(metadata, seen) == (True, "")
    assert tags == {"single_object", "two_object", "counting", "colors", "position", "color_attr"}


@pytest.mark.slow
def test_geneval_of_a_sample_set_is_written_with_its_chance_level(study, data, build, tmp_path):
    write_prompts(stages.prompts(study), tmp_path / "prompts.json")
    prompts = json.loads((tmp_path / "prompts.json").read_text())["prompts"]
    val, rows, labels = data["t2i", "val"], [], []
    for index, prompt in enumerate(prompts):
        for row, objects in enumerate(val.objects):
            if judge(prompt, [{**o, "cls": o["shape"], "score": 1.0} for o in objects])[0]:
                rows.append(row)
                labels.append(index)
                break
    stage = stages.geneval(study, "jit", "cfg")
    hash_ = stage["expects"]["samples"]
    samples = _write_samples(tmp_path / "s.h5", hash_, "t2i", val.images[rows], labels)
    output = tmp_path / "geneval.json"
    score_geneval(stage, samples, tmp_path / "prompts.json", build("detector")[0], output)
    result = read_json(output)
    values = result["values"]
    assert values["geneval"] > 0.5 > values["chance"] + 0.2
    assert values["single_object"] > values["chance_single_object"] > 0
    assert result["inputs"] == stage["expects"]
    assert "chance: the same images judged by other images' prompts" in result["protocol"]

    beyond = _write_samples(tmp_path / "b.h5", hash_, "t2i", val.images[:1], [len(prompts)])
    with pytest.raises(UserError, match=f"has {len(prompts)} prompts"):
        score_geneval(stage, beyond, tmp_path / "prompts.json", build("detector")[0], output)
