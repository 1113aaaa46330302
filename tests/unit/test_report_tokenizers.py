"""The table and the figure of tokenizers, from files in the real format."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nanogen.cli import main
from nanogen.config import load_study, stages
from nanogen.config.paths import Paths
from nanogen.data import hdf5
from nanogen.files import label, read_json, write_json
from nanogen.report.artefact_files import measured_tokenizers
from nanogen.report.tokenizers import ordered

SCORES = {
    "rae-dinov2-b": {"rfid": 1.5, "psnr": 28.25, "ssim": 0.91, "lpips": 0.05},
    "sd-vae-mse": {"rfid": 2.5, "psnr": 31.5, "ssim": 0.96, "lpips": 0.02},
}
RATES = {"encode_images_per_second": 1234.5, "decode_images_per_second": 999.6}
SHADES = {"rae-dinov2-b": 90, "sd-vae-mse": 200}  # grey value of all reconstructed pixels


def _write(study, tokenizer: str, values: dict[str, float]) -> None:
    paths, stage = Paths(study), stages.reconstruction(study, tokenizer)
    header = label("metric", 1, stage["hash"], metric="reconstruction", tokenizer=tokenizer)
    content = {"values": values, "protocol": "20 validation images", "inputs": stage["expects"]}
    write_json(paths.reconstruction(tokenizer), {**header, **content})
    with hdf5.create(
        paths.reconstructions(tokenizer), label("reconstructions", 1, stage["hash"])
    ) as file:
        file["originals"] = np.zeros((8, 32, 32, 3), np.uint8)
        file["reconstructions"] = np.full((8, 32, 32, 3), SHADES.get(tokenizer, 128), np.uint8)


@pytest.fixture
def study(tmp_path, monkeypatch):
    """The smoke study's scores below an empty working directory; the RAE is the user's own."""
    monkeypatch.chdir(tmp_path)
    study = load_study("smoke")
    for tokenizer, values in SCORES.items():
        before = {"rfid_untrained": 90.0, "psnr_untrained": 8.0} if tokenizer == "sd-vae-mse" else {}
        _write(study, tokenizer, {**values, **RATES, **before})
    return study


def made(kind: str, *options: str) -> int:
    return main([kind, "tokenizers", "--study", "smoke", "--output-prefix", "tokenizers", *options])


def test_the_table_says_what_each_tokenizer_is_and_gives_back(study):
    assert made("table") == 0
    with open("tokenizers.csv", encoding="utf-8", newline="") as handle:
        rae, vae = csv.DictReader(handle)
    assert (rae["tokenizer"], rae["family"], rae["methods"]) == ("rae-dinov2-b", "rae", "DINOv2-B")
    assert (vae["channels"], vae["latent"], vae["compression"]) == ("4", "4×8×8", "12.0")
    for row, tokenizer in ((rae, "rae-dinov2-b"), (vae, "sd-vae-mse")):
        assert {key: float(row[key]) for key in SCORES[tokenizer]} == SCORES[tokenizer]
    assert (rae["rfid_untrained"], vae["rfid_untrained"]) == ("", "90.0")


def test_the_best_are_marked_and_footnotes_tell_the_protocol(study):
    assert made("table") == 0
    page = Path("tokenizers.md").read_text()
    rae, vae = (next(x for x in page.splitlines() if f"| {name}" in x) for name in SCORES)
    assert "**1.50** | 28.25 |" in rae
    assert "2.50 | **31.50** | **0.960** | **0.020** | 1234 | 1000 | 90.00 | 8.00 |" in vae
    assert "| – | – | DINOv2-B |" in rae
    assert "20 validation images." in page
    assert "seed 2026" in page
    assert r"rae-dinov2-b & 48 & 4.0 & 48$\times$4$\times$4" in Path("tokenizers.tex").read_text()


def test_lpips_is_no_column_where_it_is_not_measured(study):
    for tokenizer, values in SCORES.items():
        _write(study, tokenizer, {k: v for k, v in {**values, **RATES}.items() if k != "lpips"})
    assert made("table") == 0
    header = Path("tokenizers.md").read_text().splitlines()[2]
    assert "SSIM" in header
    assert "LPIPS" not in header
    assert "Untrained" not in header


def test_methods_on_one_tokenizer_share_its_row(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = load_study("nano", {"methods": ["sd-vae-mse", "jit", "meanflow"]})
    _write(study, "sd-vae-mse", {**SCORES["sd-vae-mse"], **RATES})
    Path("mine.yaml").write_text("{study: nano, extends: nano, methods: [sd-vae-mse, jit, meanflow]}\n")
    assert main(["table", "tokenizers", "--study", "mine.yaml", "--output-prefix", "t"]) == 0
    assert "SD-VAE-MSE, MeanFlow" in Path("t.md").read_text()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda c: c | {"hash": "0" * 16}, "was made by another configuration"),
        (lambda c: c | {"format_version": 2}, "format version 2"),
        (lambda c: c | {"values": c["values"] | {"ssim": None}}, "ssim is None, expected a finite"),
    ],
)
def test_scores_that_do_not_fit_are_refused(study, capsys, spoil, said):
    path = Paths(study).reconstruction("sd-vae-mse")
    write_json(path, spoil(read_json(path)))
    assert made("table") == 2
    assert said in capsys.readouterr().err


def test_a_tokenizer_that_was_not_measured_is_named_with_the_command(study, capsys):
    Path(Paths(study).reconstruction("sd-vae-mse")).unlink()
    assert made("table") == 2
    assert "make it with `snakemake results/smoke/tokenizers/sd-vae-mse" in capsys.readouterr().err


def test_a_study_of_pixels_has_no_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    given = ["--study", "smoke", "--given", '{"methods": ["jit"]}', "--output-prefix", "t"]
    assert main(["table", "tokenizers", *given]) == 2
    assert "has no tokenizer" in capsys.readouterr().err


@pytest.fixture
def plotted(study):
    assert main(["table", "tokenizers", "--study", "smoke", "--output-prefix", _table(study)]) == 0
    return study


def _table(study) -> str:
    return Paths(study).table("tokenizers").removesuffix(".csv")


def test_the_figure_shows_originals_and_what_each_tokenizer_gives_back(plotted, capsys):
    assert made("figure") == 0
    said = capsys.readouterr().out
    assert "rae-dinov2-b: rFID 1.50, 28.2 dB" in said
    page = np.asarray(Image.open("tokenizers.png").convert("L"))
    line = page[int(0.7 * len(page))]
    third = len(line) // 3
    for place, shade in enumerate((0, *SHADES.values())):
        assert (line[place * third : (place + 1) * third] == shade).mean() > 0.8
    assert Path("tokenizers.pdf").read_bytes().startswith(b"%PDF")
    assert "<svg" in Path("tokenizers.svg").read_text()[:2000]


def test_images_of_another_configuration_are_refused(plotted, capsys):
    path = Paths(plotted).reconstructions("sd-vae-mse")
    with hdf5.create(path, label("reconstructions", 1, "0" * 16)) as file:
        file["originals"] = file["reconstructions"] = np.zeros((8, 32, 32, 3), np.uint8)
    assert made("figure") == 2
    assert "was made by another configuration" in capsys.readouterr().err


def test_many_tokenizers_are_shown_in_bands_that_begin_with_the_originals():
    from nanogen.report.reconstructions import Column, draw
    from nanogen.report.style import default

    grey = np.full((8, 16, 16, 3), 128, np.uint8)
    found = [
        Column("original", grey),
        *(Column(f"vae-{i}", grey, "rFID 1.00\n30.0 dB") for i in range(17)),
    ]
    figure = draw(found, default("tokenizers"))
    titles = [text.get_text() for text in figure.texts if text.get_fontweight() == "bold"]
    assert [i for i, title in enumerate(titles) if title == "original"] == [0, 10]
    assert len(titles) == 19
    assert figure.get_size_inches()[0] <= 7.01
    boxes = [text.get_window_extent() for text in figure.texts if text.get_text()]
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 + 1 for box in boxes)


def test_the_paper_has_no_reconstructions(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["figure", "tokenizers", "--published", "--output-prefix", "f"]) == 2
    assert "the paper published no reconstructions" in capsys.readouterr().err


def test_the_summary_prints_the_table(plotted, capsys):
    assert main(["summary", "--study", "smoke", "--all"]) == 0
    said = capsys.readouterr().out
    assert "Tokenizers: reconstructions of validation images" in said
    assert "sd-vae-mse" in said
    assert "31.50" in said


def test_published_raes_which_have_no_encoder_are_not_in_the_table():
    study = load_study("released-rehearsal")
    assert sorted(ordered(study)) == sorted(measured_tokenizers(study))
    assert "sd-vae-mse" in ordered(study)
    assert "rae-dinov2-b" not in ordered(study)
