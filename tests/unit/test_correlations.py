"""The paper's claim in numbers: the published coefficients, their wording, and bad tables."""

import csv
import json
from pathlib import Path

import pytest

from nanogen.cli import main
from nanogen.config import load_study
from nanogen.report.correlation_words import conclusion, reading, sentence

WITH = {"geneval": -0.555, "dpg_bench": -0.580, "genai_bench": -0.377}
WITHOUT = {"geneval": -0.267, "dpg_bench": -0.369, "genai_bench": -0.620}


@pytest.fixture(scope="module")
def published():
    """The rows of `nanogen correlate --source published --json`."""
    import contextlib
    import io

    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(["correlate", "--source", "published", "--json"]) == 0
    return json.loads(out.getvalue())


def _found(rows, metric, guidance, families="rae+vae", subset=None):
    asked = (metric, guidance, families, subset)
    (row,) = [
        r for r in rows
        if (r["metric"], r["guidance"], r["families"], r["subset"]) == asked
    ]  # fmt: skip
    return row


@pytest.mark.parametrize(("guidance", "expected"), [("yes", WITH), ("no", WITHOUT)])
def test_the_papers_coefficients_over_21_methods_at_three_decimals(published, guidance, expected):
    for metric, r in expected.items():
        row = _found(published, metric, guidance)
        assert row["n"] == 21
        assert round(row["pearson"], 3) == r
        assert row["pearson_low"] < r < row["pearson_high"]
        assert row["without_one_low"] < r < row["without_one_high"]
        assert row["p_value"] == pytest.approx(row["permutation_p"], abs=0.02)


def test_families_and_the_frontier_are_counted(published):
    counts = {
        "rae": 8, "vae": 13, "rae+vae": 21, "rae+vae+pixel": 24, "rae+vae+pixel+few-step": 26,
    }  # fmt: skip
    for families, n in counts.items():
        assert _found(published, "geneval", "yes", families)["n"] == n
    assert _found(published, "geneval", "yes", subset="FID < 2")["n"] == 11
    assert not [r for r in published if r["subset"] == "FID < 2" and r["guidance"] == "no"]


def test_spatialpe_matters_most_to_the_published_r_of_geneval(published):
    assert _found(published, "geneval", "yes")["most_influential"] == "SpatialPE-L"


def _tables(folder, fids, scores):
    lines = [f"{m},{m.upper()},{f},{fid},5" for m, f, fid in fids]
    for name in ("table2", "table4"):
        (folder / f"{name}.csv").write_text("\n".join(["method,name,family,fid,is", *lines]) + "\n")
    lines = [f"{m},{m.upper()},vae,{score}" for m, score in scores]
    (folder / "table3.csv").write_text("\n".join(["method,name,family,geneval", *lines]) + "\n")
    return ["--input", *(str(folder / f"{name}.csv") for name in ("table2", "table4", "table3"))]


FIDS = [(m, "vae", fid) for m, fid in zip("abcdef", (3, 5, 6, 8, 9, 11), strict=True)]


def test_a_method_without_a_score_is_left_out_counted_and_named(tmp_path):
    scores = [("a", 0.9), ("b", 0.8), ("c", ""), ("d", 0.6), ("e", "nan"), ("f", 0.3)]
    inputs = _tables(tmp_path, FIDS, scores)
    out = str(tmp_path / "out")
    assert main(["table", "correlations", "--study", "smoke", *inputs, "--output-prefix", out]) == 0
    with open(f"{out}.csv") as file:
        assert {row["n"] for row in csv.DictReader(file) if not row["subset"]} == {"4"}
    text = (tmp_path / "out.md").read_text()
    assert "left out of its lines: C, E." in text
    assert "4 methods are too few for an interval" in text


def test_a_method_that_stands_twice_is_refused(tmp_path, capsys):
    inputs = _tables(tmp_path, [*FIDS, ("a", "vae", 4)], [(m, 0.5) for m in "abcdef"])
    assert main(["correlate", "--source", "smoke", *inputs]) == 2
    assert "table2.csv has 'a' more than once" in capsys.readouterr().err


def test_no_method_with_both_numbers_is_said(tmp_path, capsys):
    inputs = _tables(tmp_path, FIDS, [("x", 0.5)])
    assert main(["correlate", "--source", "smoke", *inputs]) == 2
    assert "no method has both an FID and a text-to-image score" in capsys.readouterr().err


def test_a_study_without_tables_is_told_which_command_makes_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["correlate", "--source", "nano"]) == 2
    assert "snakemake results/nano/tables/table2.csv" in capsys.readouterr().err


def _row(low, high, **more):
    return {
        "score": "GenEval", "metric": "geneval", "guidance": "yes", "name": "Latent space", "n": 21,
        "pearson": (low + high) / 2, "pearson_low": low, "pearson_high": high, **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(-0.9, -0.75, "strong"), (-0.6, 0.2, "not strong"), (-0.9, -0.1, "open"), (0.1, 0.8, "open")],
)
def test_an_interval_is_read_by_whether_it_holds_strong_values(low, high, expected):
    assert reading(_row(low, high)) == expected


def test_the_words_follow_from_the_interval():
    assert "excludes 0 and reaches past −0.700: a strong one is not ruled out" in sentence(
        _row(-0.9, -0.1)
    )
    assert "includes 0 and stays within −0.700 and 0.700: it is not strong" in sentence(_row(-0.5, 0.2))
    assert "lies beyond −0.700: the correlation is strong" in sentence(_row(-0.9, -0.75))
    assert conclusion([_row(-0.6, 0.1), _row(-0.5, 0.1)]).startswith('"No strong correlation" holds')
    assert "is neither shown nor refuted" in conclusion([_row(-0.9, -0.1), _row(-0.5, 0.1)])
    assert "does not hold" in conclusion([_row(-0.9, -0.8), _row(-0.5, 0.1)])
    assert conclusion([{**_row(0, 0), "pearson_low": None}]).startswith("Too few methods")


def test_the_published_words_say_that_21_methods_settle_nothing(capsys):
    assert main(["correlate", "--source", "published"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert '"No strong correlation" is neither shown nor refuted: over 21 methods' in said
    assert "excludes 0 for 2." in said


@pytest.mark.parametrize("name", ["sensitivity", "influence"])
def test_the_other_tables_of_the_paper_hold_its_coefficients(name, tmp_path):
    assert main(["table", name, "--published", "--output-prefix", str(tmp_path / "t")]) == 0
    text = (tmp_path / "t.md").read_text()
    assert all(f"{r:.3f}" in text for r in (*WITH.values(), *WITHOUT.values()))
    assert (tmp_path / "t.tex").read_text().count(r"\\") > 20


@pytest.mark.slow
def test_the_figure_has_a_panel_per_score_and_every_format(tmp_path):
    from nanogen.config.study_schema import FigureStyle
    from nanogen.report import correlation_figure, style

    drawn, said = correlation_figure.figure(None, [], FigureStyle(height=5))
    assert [axes.get_title(loc="left") for axes in drawn.axes] == ["GenEval", "DPG-Bench", "GenAI-Bench"]
    labels = [label.get_text() for label in drawn.axes[0].get_yticklabels()]
    assert "Latent space (21)" in labels
    assert "FDr SigLIP ↓" in labels
    assert len(said) == 2
    assert len(style.save(drawn, str(tmp_path / "f"))) == 3


def test_coefficients_without_an_interval_are_not_drawn(tmp_path):
    from nanogen.report import correlation_figure, style

    families = ["vae"] * 5 + ["pixel"] * 2 + ["few-step"] * 3
    fids = [(m, f, 3 + i) for i, (m, f) in enumerate(zip("abcdefghij", families, strict=True))]
    inputs = _tables(tmp_path, fids, [(m, 0.9 - 0.05 * fid) for m, _, fid in fids])
    paths = [Path(path) for path in inputs[1:]]
    drawn, _ = correlation_figure.figure(load_study("smoke"), paths, style.default("correlations"))
    labels = [label.get_text() for label in drawn.axes[0].get_yticklabels()]
    assert labels[:2] == ["ImageNet FID, over", "All methods (10)"]
    assert not [label for label in labels if "(5)" in label or "(7)" in label]


def test_a_study_with_few_latents_is_told_of_by_all_its_methods(tmp_path):
    families = ["vae"] * 5 + ["pixel"] * 2 + ["few-step"] * 3
    fids = [(m, f, 3 + i) for i, (m, f) in enumerate(zip("abcdefghij", families, strict=True))]
    inputs = _tables(tmp_path, fids, [(m, 0.9 - 0.05 * fid) for m, _, fid in fids])
    out = str(tmp_path / "out")
    assert main(["table", "correlations", "--study", "smoke", *inputs, "--output-prefix", out]) == 0
    assert (
        "GenEval, with guidance, all methods (n = 10): r = −1.000" in (tmp_path / "out.md").read_text()
    )
