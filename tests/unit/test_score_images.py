"""`nanogen score` on arbitrary images, with untrained networks of the small study."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import networks
import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from nanogen.cli import main
from nanogen.config import stages
from nanogen.data import hdf5
from nanogen.data.image_import import write_images
from nanogen.data.images import ImageFile
from nanogen.errors import UserError
from nanogen.files import label, read_json
from nanogen.metrics.feature_files import write_features, write_reference
from nanogen.metrics.published_moments import read_moments
from nanogen.metrics.score_images import METRICS
from nanogen.metrics.scores import score_distribution


@pytest.fixture(scope="module")
def study(tiny):
    """A study with 120 validation images, more than the networks have features."""
    return tiny(
        data={"train_images": 500, "val_images": 120},
        evaluation={"images": 120, "extractors": ["inception", "convnext"], "classifier": None},
        models={name: {"source": "random"} for name in ("inception", "convnext")},
    )


@pytest.fixture(scope="module")
def place(study, tmp_path_factory) -> Path:
    """A folder with the networks, real images, a reference, and a set of images as PNG, NPZ and HDF5."""
    place = tmp_path_factory.mktemp("score")
    networks.write_random(study, ("inception", "convnext"), place)
    for split in ("train", "val"):
        write_images(stages.data(study, "imagenet", split), place / f"{split}.h5")
    images = ImageFile(place / "val.h5").images
    np.savez(place / "val.npz", images)
    (place / "pictures").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(place / "pictures" / f"{number:04}.png")
    images = {split: ImageFile(place / f"{split}.h5") for split in ("train", "val")}
    folders = {name: place / name for name in ("inception", "convnext")}
    write_reference(stages.reference(study), images, folders, place / "statistics.h5")
    return place


@pytest.fixture
def score(place, tmp_path, monkeypatch):
    """(images, reference, further options) -> the JSON's content; asserts that the command succeeds."""
    monkeypatch.chdir(place)

    def scored(images: str, reference: str, *options: str, extractors=("inception", "convnext")):
        output = tmp_path / "scores.json"
        chosen = [part for name in extractors for part in ("--extractor", f"{name}={name}")]
        asked = ["score", "--images", images, "--reference", reference, *chosen, *options]
        assert main([*asked, "--output", str(output)]) == 0
        return json.loads(output.read_text())

    return scored


def values(content: dict) -> dict[str, float]:
    return {k: v for result in content["scores"].values() for k, v in result["values"].items()}


def refused(capsys, *options: str) -> str:
    assert main(["score", *options]) == 2
    return capsys.readouterr().err


@pytest.mark.slow
def test_every_metric_is_scored_the_same_from_every_source_and_batch(score, capsys):
    metrics = ("--metrics", "fid,is,mind,pr,sfid")
    first = score("pictures", "train.h5", *metrics, "--batch-size", "7")
    found = values(first)
    assert set(found) == {
        *("fid", "is", "mind_inception", "mind_convnext", "precision", "recall", "sfid"),
    }
    shown = capsys.readouterr().out
    assert all(title in shown for title in ("FID", "IS", "MIND ConvNeXt", "Recall", "sFID"))
    assert "120 generated images against 500 images of train.h5" in shown
    assert first["images"] == {"path": "pictures", "count": 120, "side": 32}
    for images, reference, batch in (
        ("val.npz", "train.h5", "64"),
        ("val.h5", "train.h5", "1"),
        ("val.npz", "statistics.h5", "50"),
    ):
        again = values(score(images, reference, *metrics, "--batch-size", batch))
        assert again == pytest.approx(found, rel=1e-5)


def test_scores_are_those_of_a_studys_sample_set(study, place, score, tmp_path):
    features = stages.features(study, "jit", "cfg")
    header = label("samples", 1, features["expects"]["samples"], method="jit", variant="cfg")
    with hdf5.create(tmp_path / "samples.h5", header) as file:
        file["images"] = ImageFile(place / "val.h5").images
    folders = {name: place / name for name in ("inception", "convnext")}
    write_features(features, tmp_path / "samples.h5", folders, tmp_path / "features.h5")
    stage = stages.distribution(study, "jit", "cfg")
    score_distribution(stage, tmp_path / "features.h5", place / "statistics.h5", tmp_path)
    metrics = ("--metrics", ",".join(METRICS))
    found = score(str(tmp_path / "samples.h5"), "statistics.h5", *metrics)
    for name in METRICS:
        expected = read_json(tmp_path / f"{name}.json")
        assert found["scores"][name]["values"] == pytest.approx(expected["values"], rel=1e-5)
        assert found["scores"][name]["protocol"] == expected["protocol"]


def test_published_moments_are_a_reference(place, score, capsys):
    with h5py.File(place / "statistics.h5") as file:
        group = file["inception"]
        moments = {"ref_mu": group["mu"][:], "ref_sigma": group["sigma"][:]}
        spatial = {"mu_s": group["spatial/mu"][:], "sigma_s": group["spatial/sigma"][:]}
    np.savez(place / "moments.npz", **moments, **spatial)
    np.savez(place / "batch.npz", ImageFile(place / "train.h5").images, **moments, **spatial)
    alone = ("inception",)
    whole = values(score("val.npz", "statistics.h5", "--metrics", "fid,sfid,pr", extractors=alone))
    found = score("val.npz", "moments.npz", "--metrics", "fid,sfid", extractors=alone)
    assert values(found) == pytest.approx({k: whole[k] for k in ("fid", "sfid")}, rel=1e-5)
    assert "against the moments in moments.npz" in found["scores"]["fid"]["protocol"]
    with_images = score("val.npz", "batch.npz", "--metrics", "fid,sfid,pr", extractors=alone)
    assert values(with_images) == pytest.approx(whole, rel=1e-5)
    asked = ("--images", "val.npz", "--reference", "moments.npz", "--extractor", "inception=inception")
    assert "mind needs the real images" in refused(capsys, *asked, "--metrics", "fid,mind")
    assert "constant of inception" in refused(capsys, *asked, "--metrics", "fdr")
    two = (*asked, "--extractor", "convnext=convnext", "--metrics", "mind")
    assert "moments of one network" in refused(capsys, *two)


def test_fewer_images_than_features_are_scored_with_a_warning(score, caplog, place):
    np.savez(place / "few.npz", ImageFile(place / "val.h5").images[:40])
    found = score("few.npz", "train.h5", "--metrics", "fid,sfid", extractors=("inception",))
    assert values(found)["fid"] > 0
    assert "only 40 images for 96 features, so the covariance is singular" in caplog.text
    assert "take more than 96" in found["scores"]["fid"]["protocol"]
    assert "take more than 112" in found["scores"]["sfid"]["protocol"]


def test_mistakes_are_sentences(place, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(place)
    usual = ("--images", "val.npz", "--reference", "train.h5")
    inception = ("--extractor", "inception=inception")
    assert "did you mean 'fid'" in refused(capsys, *usual, *inception, "--metrics", "fdi")
    assert "convnext has no classes" in refused(
        capsys, *usual, "--extractor", "convnext=convnext", "--metrics", "is"
    )
    twice = refused(capsys, *usual, *inception, "--extractor", "inception=other")
    assert "--extractor inception=other: inception is given twice" in twice
    first = ("--extractor", "convnext=convnext", *inception, "--metrics", "sfid")
    without = refused(capsys, *usual[:3], "statistics.h5", *first)
    assert "no spatial features of convnext, which sfid needs: give inception as the first" in without
    assert "of kind vae, not an extractor" in refused(capsys, *usual, "--extractor", "sd-vae-mse=x")
    assert "--batch-size 0" in refused(capsys, *usual, *inception, "--batch-size", "0")
    assert "statistics.h5 has no extractor" not in refused(
        capsys, "--images", "x", *usual[2:], *inception
    )
    other = refused(capsys, *usual[:3], "statistics.h5", "--extractor", "inception=convnext")
    assert "of other weights of inception" in other


def test_a_network_that_is_not_there_is_told_with_where_it_comes_from(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    usual = ("--images", "val.npz", "--reference", "train.h5", "--extractor")
    said = refused(capsys, *usual, "dinov2=absent", "--study", "paper")
    assert "dinov2" in said
    assert "fetches timm/vit_large_patch14_dinov2.lvd142m for dinov2: 1217 MB, licence" in said
    said = refused(capsys, *usual, "inception=absent")
    assert "`snakemake results/nano/models/inception/nanogen.json --config study=nano`" in said


def test_a_network_that_gives_no_numbers_is_refused(place, monkeypatch, capsys, tmp_path):
    weights = load_file(place / "inception" / "model.safetensors")
    weights["body.0.0.weight"][:] = float("nan")
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_bytes((place / "inception" / "config.json").read_bytes())
    monkeypatch.chdir(place)
    said = refused(
        capsys,
        *("--images", "val.npz", "--reference", "train.h5", "--extractor", f"inception={tmp_path}"),
    )
    assert "not finite" in said


def test_moments_of_another_kind_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", mu=np.zeros(3), sigma=np.eye(4))
    with pytest.raises(UserError, match=r"mu has shape \(3,\) and sigma \(4, 4\)"):
        read_moments(tmp_path / "other.npz")
    np.savez(tmp_path / "right.npz", mu=np.zeros(3), sigma=np.eye(3))
    with pytest.raises(UserError, match="width 3, but the extractor gives 4"):
        read_moments(tmp_path / "right.npz", 4)
    with pytest.raises(UserError, match="does not hold mu_s"):
        read_moments(tmp_path / "right.npz", spatial=True)


def test_a_damaged_file_of_moments_is_a_sentence(tmp_path):
    (tmp_path / "empty.npz").touch()
    np.savez_compressed(tmp_path / "packed.npz", mu=np.arange(99.0), sigma=np.eye(99))
    packed = (tmp_path / "packed.npz").read_bytes()
    start = packed.index(b"mu.npy") + 40  # in the compressed bytes
    (tmp_path / "stream.npz").write_bytes(packed[:start] + b"\xff" * 20 + packed[start + 20 :])
    for name in ("empty", "stream"):
        with pytest.raises(UserError, match=rf"{name}\.npz does not hold mu and sigma"):
            read_moments(tmp_path / f"{name}.npz")
