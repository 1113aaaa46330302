"""The reference of a study that compares with validation images, and the moments that only FDr uses."""

from __future__ import annotations

import shutil

import h5py
import networks
import numpy as np
import pytest

from nanogen.config import load_study, stages
from nanogen.data import hdf5
from nanogen.data.image_import import write_images
from nanogen.data.images import LEFT_OUT, ImageFile
from nanogen.files import label
from nanogen.metrics.feature_files import FEATURES, REFERENCE, write_reference
from nanogen.metrics.feature_spaces import FeatureSpace, Options, fdr, fid

PUBLISHED = {"statistics": "ours", "fdr_statistics": "theirs", "fdr_constant": 2.0}


@pytest.fixture(scope="module")
def study():
    return load_study(
        "smoke",
        {
            "data": {"train_images": 8, "val_images": 8},
            "evaluation": {"extractors": ["inception"], "classifier": None, "real_images": "val"},
            "models": {"inception": {"source": "random", **PUBLISHED}},
        },
    )


@pytest.fixture(scope="module")
def reference(study, tmp_path_factory):
    place = tmp_path_factory.mktemp("reference")
    networks.write_random(study, ["inception"], place)
    width = len(np.load(place / "inception" / "theirs.npz")["mu"])
    np.savez(place / "inception" / "theirs.npz", mu=np.full(width, 3.0), sigma=np.eye(width))
    write_images(stages.data(study, "imagenet", "val"), place / "val.h5")
    val = {"val": ImageFile(place / "val.h5")}
    folders = {"inception": place / "inception"}
    write_reference(stages.reference(study), val, folders, place / "statistics.h5")
    return place / "statistics.h5"


def test_training_images_are_not_needed_where_their_moments_are_published(study, reference):
    assert stages.reference_splits(study) == ["val"]
    assert "train" not in stages.reference(study)["expects"]
    with hdf5.opened(reference, *REFERENCE) as file:
        assert file["inception"]["features"].shape[0] == 8
        assert file["inception"].attrs["images"].startswith("8 validation images")


def test_training_images_are_needed_for_moments_that_nobody_published():
    given = {"evaluation": {"real_images": "val"}}
    assert stages.reference_splits(load_study("smoke", given)) == ["train", "val"]


def test_fdr_is_of_its_own_moments_and_fid_of_the_others(reference, tmp_path):
    with hdf5.opened(reference, *REFERENCE) as real:
        features = real["inception"]["features"][:]
        with hdf5.create(tmp_path / "features.h5", label(*FEATURES, "")) as file:
            file.create_group("inception")["features"] = features
        with hdf5.opened(tmp_path / "features.h5", *FEATURES) as samples:
            space = FeatureSpace("inception", samples, real)
            (distance, near), (ratio, far) = fid([space], Options()), fdr([space], Options())
    shift = 3.0 * (3.0 - 2 * features.mean(0)).sum()  # only the means differ
    expected = (distance["fid"] + shift) / PUBLISHED["fdr_constant"]
    assert ratio["fdr_inception"] == pytest.approx(expected, rel=1e-4)
    assert "statistics ours" in near
    assert "statistics theirs" in far


def test_a_score_tells_how_many_real_images_could_not_be_read(study, reference, tmp_path):
    shutil.copy(reference.parent / "val.h5", tmp_path / "val.h5")
    with h5py.File(tmp_path / "val.h5", "a") as file:
        file.attrs[LEFT_OUT] = 3
    val = {"val": ImageFile(tmp_path / "val.h5")}
    folders = {"inception": reference.parent / "inception"}
    write_reference(stages.reference(study), val, folders, tmp_path / "statistics.h5")
    with hdf5.opened(tmp_path / "statistics.h5", *REFERENCE) as real:
        told = FeatureSpace("inception", real, real).real_images
    assert told.startswith("8 validation images (3 unreadable files left out)")
