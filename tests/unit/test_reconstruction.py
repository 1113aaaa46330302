"""Reconstructions: scores agree with other programs and do not depend on how the command is run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import networks
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from nanogen.cli import main
from nanogen.config import load_model, stages
from nanogen.data.image_import import write_images
from nanogen.data.image_sets import of_hdf5
from nanogen.data.images import ImageFile
from nanogen.data.pixels import to_unit
from nanogen.files import read_json, write_json
from nanogen.metrics.extractors import load_extractor
from nanogen.metrics.reconstruction import Codec, judge, shown_rows, values_of
from nanogen.metrics.similarity import psnr, ssim
from nanogen.models.perceptual import load_perceptual
from nanogen.tokenizers import load_tokenizer
from nanogen.tokenizers.pixels import Pixels

IMAGES = 150  # more than the features; the last batch of the networks is not full
NAMES = ("sd-vae-mse", "inception")
TIMED = {"encode_images_per_second", "decode_images_per_second"}


@pytest.fixture(scope="module")
def study(tiny):
    return tiny(
        methods=["sd-vae-mse"],
        data={"train_images": 100, "val_images": IMAGES},
        models={name: {"source": "random"} for name in NAMES},
    )


@pytest.fixture(scope="module")
def place(study, tmp_path_factory) -> Path:
    """A folder with validation images, the networks, and the stage as if the study trained the VAE."""
    place = tmp_path_factory.mktemp("reconstruction")
    networks.write_random(study, NAMES, place)
    write_images(stages.data(study, "imagenet", "val"), place / "val.h5")
    write_json(place / "stage.json", {**stages.reconstruction(study, "sd-vae-mse"), "untrained": True})
    return place


def words(place: Path, output: str, *options: str) -> list[str]:
    files = {"config": "stage.json", "val": "val.h5", "tokenizer": "sd-vae-mse"}
    files |= {"extractor": "inception", "perceptual": "inception", "output": output}
    given = [word for key, name in files.items() for word in (f"--{key}", str(place / name))]
    return ["reconstruct", *given, *options]


def found(place: Path, output: str) -> tuple[dict[str, float], np.ndarray]:
    """The scores without times, and the examples."""
    values = read_json(place / output / "reconstruction.json")["values"]
    with h5py.File(place / output / "reconstructions.h5") as file:
        examples = np.concatenate([file["originals"][:], file["reconstructions"][:]])
    return {key: value for key, value in values.items() if key not in TIMED}, examples


@pytest.fixture(scope="module")
def usual(place) -> tuple[dict[str, float], np.ndarray]:
    assert main(words(place, "usual", "--batch-size", "64")) == 0
    return found(place, "usual")


def pairs(place: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Reconstructions by the study's VAE, and the originals, both uint8."""
    tokenizer = load_tokenizer(place / "sd-vae-mse")
    originals = torch.from_numpy(np.array(ImageFile(place / "val.h5").images))
    with torch.no_grad():
        return tokenizer.decode_uint8(tokenizer.encode(originals)), originals


@pytest.mark.slow
def test_psnr_and_ssim_are_those_of_torchmetrics(place):
    from torchmetrics.functional.image import (
        peak_signal_noise_ratio,
        structural_similarity_index_measure,
    )

    # in float64, because torchmetrics loses four digits to differences in float32
    made, originals = (to_unit(images).double() for images in pairs(place))
    noisy = (originals + 0.05 * torch.randn(originals.shape)).clamp(0, 1)
    for images in (made, noisy):
        args = (images, originals)
        expected = peak_signal_noise_ratio(*args, data_range=1.0, reduction=None, dim=(1, 2, 3))
        torch.testing.assert_close(psnr(*args), expected)
        expected = structural_similarity_index_measure(*args, data_range=1.0, reduction=None)
        torch.testing.assert_close(ssim(*args), expected)
    assert ssim(noisy, originals).mean() > ssim(made, originals).mean() + 0.1


@pytest.mark.slow
def test_the_command_scores_what_other_programs_do(study, place, usual):
    from scipy.linalg import sqrtm

    values, _ = usual
    made, originals = pairs(place)
    extractor = load_extractor(place / "inception", load_model(study, "inception"))
    a, b = (extractor(images.numpy()).features.astype(np.float64) for images in (originals, made))
    covariances = np.cov(a.T), np.cov(b.T)
    cross = np.trace(sqrtm(covariances[0] @ covariances[1]).real)
    fid = ((a.mean(0) - b.mean(0)) ** 2).sum() + sum(map(np.trace, covariances)) - 2 * cross
    assert values["rfid"] == pytest.approx(fid, rel=1e-3)
    assert values["psnr"] == pytest.approx(float(psnr(to_unit(made), to_unit(originals)).mean()), 1e-5)
    assert values["ssim"] == pytest.approx(float(ssim(to_unit(made), to_unit(originals)).mean()), 1e-4)
    network = load_perceptual(place / "inception", load_model(study, "inception"))
    with torch.no_grad():
        distance = network(2 * to_unit(made) - 1, 2 * to_unit(originals) - 1)
    assert values["lpips"] == pytest.approx(float(distance.mean()), rel=1e-4)


def test_a_perfect_tokenizer_loses_nothing(study, place):
    folder, model = place / "inception", load_model(study, "inception")
    network = load_perceptual(folder, model)
    by = {"psnr": psnr, "ssim": ssim, "lpips": lambda a, b: network(2 * a - 1, 2 * b - 1)}
    codec = Codec("pixels", Pixels(32), torch.device("cpu"))
    images = of_hdf5(place / "val.h5", "validation images")
    extractor = load_extractor(folder, model)
    values = values_of(*judge({codec: by}, images, 0, shown_rows(IMAGES), extractor, 64))
    assert values["rfid"] == pytest.approx(0, abs=1e-6)
    assert values["ssim"] == pytest.approx(1, abs=1e-12)
    assert values["lpips"] == 0
    assert values["psnr"] == pytest.approx(100)


def test_before_its_training_a_tokenizer_is_another_network(usual):
    values, examples = usual
    assert values["rfid_untrained"] != values["rfid"]
    assert values["psnr_untrained"] != values["psnr"]
    assert examples.shape == (16, 32, 32, 3)


@pytest.mark.parametrize("batch", ["1", "7"])
def test_the_batch_size_changes_no_score(place, usual, batch):
    assert main(words(place, f"by-{batch}", "--batch-size", batch)) == 0
    values, examples = found(place, f"by-{batch}")
    assert values == usual[0]
    assert np.array_equal(examples, usual[1])


@pytest.mark.slow
def test_two_processes_score_what_one_does(place, usual):
    launch = [sys.executable, "-m", "nanogen", "launch", "--processes", "2", "--"]
    done = subprocess.run([*launch, *words(place, "two")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    values, examples = found(place, "two")
    assert values == pytest.approx(usual[0], rel=1e-9)
    assert {k: v for k, v in values.items() if "rfid" not in k} == {
        k: v for k, v in usual[0].items() if "rfid" not in k
    }
    assert np.array_equal(examples, usual[1])


def test_the_file_says_how_it_was_measured(study, place, usual):
    content = read_json(place / "usual" / "reconstruction.json")
    stage = stages.reconstruction(study, "sd-vae-mse")
    assert content["hash"] == stage["hash"]
    assert content["inputs"] == stage["expects"]
    assert all(content["values"][name] > 0 for name in TIMED)
    for part in ("150 validation images", "96 features", "data range 1", "LPIPS", "32 images at a time"):
        assert part in content["protocol"]


# ---------------------------------------------------------------------------------- refused


def refused(place: Path, capsys, *options: str, **changes) -> str:
    """Return the error message of the command for a stage with these changes."""
    write_json(place / "other.json", {**read_json(place / "stage.json"), **changes})
    given = words(place, "refused", *options)
    given[given.index("--config") + 1] = str(place / "other.json")
    assert main(given) == 2
    assert not (place / "refused").exists()
    return capsys.readouterr().err


@pytest.mark.parametrize("role", ["val", "tokenizer", "extractor", "perceptual"])
def test_files_of_another_configuration_are_refused(place, capsys, role):
    expects = read_json(place / "stage.json")["expects"] | {role: "0" * 16}
    assert "this study expects 0000000000000000" in refused(place, capsys, expects=expects)


def test_a_batch_of_nothing_and_a_missing_network_are_refused(place, capsys):
    assert "--batch-size 0: it must be at least 1" in refused(place, capsys, "--batch-size", "0")
    given = words(place, "refused")
    at = given.index("--perceptual")
    assert main(given[:at] + given[at + 2 :]) == 2
    assert "give --perceptual" in capsys.readouterr().err


def test_a_tokenizer_of_broken_weights_is_refused(place, capsys):
    path = place / "sd-vae-mse" / "diffusion_pytorch_model.safetensors"
    whole = path.read_bytes()
    weights = load_file(path)
    weights["decoder.conv_out.bias"][:] = torch.nan
    save_file(weights, path, {"format": "pt"})
    try:
        assert "the reconstructions of sd-vae-mse are not finite" in refused(place, capsys)
    finally:
        path.write_bytes(whole)


def test_a_study_has_the_tokenizers_of_its_methods(tiny):
    few = tiny(methods=["meanflow", "jit", "sd-vae-mse", "dinov2-b"])
    found = {name: [run.method for run in runs] for name, runs in stages.tokenizers(few).items()}
    assert found == {"sd-vae-mse": ["meanflow", "sd-vae-mse"], "rae-dinov2-b": ["dinov2-b"]}
    assert stages.tokenizers(tiny(methods=["jit"])) == {}
