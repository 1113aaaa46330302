"""Intervals over prompts, and how tables use them: which scores differ, which are above chance."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from measured import SCORES, write_smoke

from nanogen.cli import main
from nanogen.config.paths import Paths
from nanogen.metrics.geneval import Verdict, intervals, summarise
from nanogen.report import noise, terminal
from nanogen.report.explorer import page
from nanogen.report.rows import read_rows
from nanogen.statistics.prompts import group, interval


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    held = 0
    for repeat in range(100):
        of_prompt = rng.beta(2, 3, 60)  # images of one prompt are alike
        right = rng.random((60, 4)) < of_prompt[:, None]
        low, high = interval([group(right.ravel(), np.repeat(np.arange(60), 4))], "a test", repeat)
        held += low <= 0.4 <= high
    assert held >= 88  # 95 are expected; fewer than 88 happen by chance once in 500 times


def test_more_images_of_the_same_prompts_tell_nothing_new():
    of_prompt = np.tile([0.0, 1.0], 20)
    one, many = (
        interval([group(np.repeat(of_prompt, n), np.repeat(np.arange(40), n))], "a test") for n in (1, 9)
    )
    assert many == pytest.approx(one)


def test_prompts_with_more_images_count_more():
    lopsided = group(np.array([1, 1, 1, 0]), [0, 0, 0, 1])
    assert lopsided.mean == 0.75
    assert interval([lopsided], "a test") == (0, 1)


def test_images_that_are_all_right_are_no_proof_of_perfection():
    low, high = interval([group(np.ones(32), np.repeat(np.arange(16), 2))], "a test")
    assert (low, high) == pytest.approx((0.8064, 1), abs=1e-4)  # Wilson, 16 of 16
    low, high = interval([group(np.zeros(16), np.arange(16))], "a test")
    assert (low, high) == pytest.approx((0, 0.1936), abs=1e-4)


def test_one_prompt_has_no_interval():
    assert interval([group(np.array([0.0, 1.0]), [3, 3])], "a test") is None


def test_geneval_has_an_interval_for_its_score_and_each_tag():
    rng = np.random.default_rng(2)
    verdicts = [
        Verdict(p, tag, bool(rng.random() < chance))
        for p, (tag, chance) in enumerate([("colors", 0.9), ("position", 0.2)] * 40)
    ]
    verdicts.append(Verdict(len(verdicts), "counting", True))
    values, ends = summarise(verdicts), intervals(verdicts)
    assert "counting_low" not in ends  # a single prompt
    assert "geneval_low" not in ends
    values, ends = summarise(verdicts[:-1]), intervals(verdicts[:-1])
    for name in ("geneval", "colors", "position"):
        assert ends[f"{name}_low"] < values[name] < ends[f"{name}_high"]
    images = intervals(verdicts[:-1], "images")
    assert images["geneval_low"] < ends["geneval_low"] + 0.05  # over images, tags are not strata


# ------------------------------------------------------------------------- tables, terminal, explorer


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_smoke()


def _with_intervals(study, half: float, chance: float) -> None:
    """Give every text-to-image score of the study this interval and chance level."""
    for method, score in SCORES.items():
        for metric, key, by_chance in (
            ("geneval", "geneval", "chance"),
            ("dpg", "dpg_bench", "chance_dpg_bench"),
            ("genai", "genai_bench", "chance_genai_bench"),
            ("simpleeval", "simpleeval", "simpleeval_chance"),
        ):
            path = Path(Paths(study).metric(method, "t2i", "cfg", metric))
            content = json.loads(path.read_text())
            content["values"] |= {
                key: score,
                f"{key}_low": score - half,
                f"{key}_high": score + half,
                by_chance: chance,
            }
            path.write_text(json.dumps(content))


def _table3() -> str:
    prefix = "results/smoke/tables/table3"
    assert main(["table", "table3", "--study", "smoke", "--output-prefix", prefix]) == 0
    return Path(f"{prefix}.md").read_text(encoding="utf-8")


def _cells(text: str) -> dict[str, str]:
    """GenEval's cells, by method."""
    lines = (line.split("|") for line in text.splitlines() if line.startswith("| "))
    return {line[1].strip(): line[4].strip() for line in lines}


def test_a_score_stands_beside_its_interval_and_its_chance_level(study):
    _with_intervals(study, 0.05, 0.1)
    text = _table3()
    assert _cells(text)["SD-VAE-MSE"] == "**0.750 [0.700, 0.800]**"
    assert _cells(text)["DINOv2-B"] == "<u>0.500 [0.450, 0.550]</u>"
    assert "| GenEval ↑ | GenEval chance | DPG-Bench ↑ | DPG-Bench chance |" in text
    assert "GenEval above chance for all 3 methods" in text
    assert noise.AT_CHANCE not in text
    row = read_rows("results/smoke/tables/table3.csv")[0]
    assert (row["geneval_low"], row["geneval_high"]) == pytest.approx((0.45, 0.55))
    assert (row["dpg_bench_low"], row["chance_dpg_bench"]) == pytest.approx((0.45, 0.1))
    shown = Path("results/smoke/tables/table3.html").read_text(encoding="utf-8")
    assert "<td><b>0.750</b> <small>[0.700, 0.800]</small></td>" in shown
    assert r"\textbf{0.750 [0.700, 0.800]}" in Path("results/smoke/tables/table3.tex").read_text()


def test_nothing_is_marked_within_noise_of_the_next(study):
    _with_intervals(study, 0.2, 0.1)  # 0.75, 0.5 and 0.25 +- 0.2: a difference of 0.25 has +- 0.28
    assert _cells(_table3())["SD-VAE-MSE"] == "0.750 [0.550, 0.950]"
    _with_intervals(study, 0.17, 0.1)  # +- 0.24
    assert _cells(_table3())["SD-VAE-MSE"] == "**0.750 [0.580, 0.920]**"


def test_nothing_is_marked_that_is_not_above_chance(study):
    _with_intervals(study, 0.001, 0.9)  # far apart, and all below chance
    assert _cells(_table3())["SD-VAE-MSE"] == "0.750 [0.749, 0.751]"


@pytest.mark.parametrize("width", [50, 80, 120, 150])
def test_a_terminal_of_any_width_shows_whole_cells(study, width):
    from rich.console import Console

    _with_intervals(study, 0.05, 0.1)
    _table3()
    console = Console(width=width, record=True, file=io.StringIO())
    shown = terminal.from_csv(Path("results/smoke/tables/table3.csv"))
    console.print(terminal.rich_table(shown, width, plain=True))
    text = console.export_text()
    assert "…" not in text
    assert "0.750 [0.700, 0.800]" in text


def test_a_study_at_chance_says_so_wherever_it_is_read(study, capsys):
    _with_intervals(study, 0.5, 0.3)
    text = _table3()
    assert f"> **{noise.AT_CHANCE}.**" in text
    assert "GenEval above chance for none of 3 methods" in text
    assert f"{noise.AT_CHANCE}." in Path("results/smoke/tables/table3.html").read_text("utf-8")
    assert f"{noise.AT_CHANCE}." in Path("results/smoke/tables/table3.tex").read_text("utf-8")
    for table in ("table2", "table4"):
        prefix = f"results/smoke/tables/{table}"
        assert main(["table", table, "--study", "smoke", "--output-prefix", prefix]) == 0
    capsys.readouterr()
    assert main(["summary", "--study", "smoke"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert noise.AT_CHANCE in shown
    assert "DPG-Bench above chance for none of 3 methods; GenAI-Bench above chance for none" in shown
    sources = page.content(study)["sources"]
    assert [source["key"] for source in sources] == ["published", "smoke"]  # it opens on the first
    assert sources[1]["warning"] == f"{noise.AT_CHANCE}."
    _with_intervals(study, 0.02, 0.3)
    _table3()
    first = page.content(study)["sources"][0]
    assert (first["key"], first["warning"]) == ("smoke", "")
    assert "GenEval above chance for 2 of 3 methods" in first["chance"]
    rows = {row["method"]: row for row in first["rows"]}
    assert rows["jit"]["intervals"]["t2i"]["geneval"] == pytest.approx((0.23, 0.27))
