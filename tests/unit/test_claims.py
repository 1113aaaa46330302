"""The paper's claims: verdicts on its own tables and on a study's, and refused claim files."""

import csv
import json
import shutil

import pytest
import yaml

from nanogen.claims import table as claims_table
from nanogen.claims import verdict
from nanogen.claims.numbers import Numbers
from nanogen.claims.schema import Claims, read_claims
from nanogen.claims.table import numbers_of
from nanogen.cli import main
from nanogen.config import load_run, load_study
from nanogen.config.yaml_files import CONFIG
from nanogen.errors import UserError
from nanogen.files import label, write_json

PUBLISHED = {
    "reproduced-fid": "holds",
    "reproduced-is": "fails",  # PixelGen's 123.5 against 131.7
    "best-fid": "holds",
    "e2e-before-rae": "holds",
    "best-rae": "cannot be told",  # 1.74 and 1.78
    "traditional-vae-lag": "holds",
    "pixel-behind-latent": "holds",
    "meanflow-behind": "holds",
    "spatialpe": "cannot be told",
    "metrics-disagree": "cannot be told",
    "category-order": "holds",
    "e2e-tuning": "cannot be told",  # GenAI-Bench differs by less than 1600 answers resolve
    "no-strong-correlation": "cannot be told",
    "no-strong-correlation-unguided": "cannot be told",
    "frontier": "cannot be told",
    "pixel-inflates": "cannot be told",
    "public-ahead": "holds",
    "longer-training": "holds",
    "comparable-cost": "cannot be told",  # the paper gives times in a figure only
    "meanflow-slow": "cannot be told",
}


@pytest.fixture(scope="module")
def published():
    return {row["claim"]: row for row in claims_table.table(None).rows}


def test_the_verdicts_on_the_papers_own_numbers(published):
    assert {name: row["verdict"] for name, row in published.items()} == PUBLISHED


def test_the_numbers_stand_beside_the_verdict(published):
    assert "FLUX.2-VAE 1.37 better than FLUX.2-VAE + REG 1.44" in published["best-fid"]["numbers"]
    assert "PixelGen 123.5 worse than reported 131.7" in published["reproduced-is"]["numbers"]
    assert "SpatialPE-L 0.535, place 21 of 21" in published["spatialpe"]["numbers"]
    assert (
        "FLUX.2-VAE at 200K 0.625 worse than FLUX.2-VAE 0.675" in published["longer-training"]["numbers"]
    )
    assert "r −0.555, −0.845 to −0.126, 21 methods" in published["no-strong-correlation"]["numbers"]


def test_at_face_value_the_paper_contradicts_itself_only_on_the_frontier_and_one_is(published):
    told = {name: row["face_value"] for name, row in published.items()}
    assert {name for name, verdict in told.items() if verdict == "fails"} == {
        "frontier",
        "reproduced-is",
    }
    assert told["spatialpe"] == told["e2e-tuning"] == told["no-strong-correlation"] == "holds"


def _claims(check, **groups):
    reach = {"fid": {"relative": 0.1}, "geneval": {"answers": 400}}
    content = {
        "format": "nanogen.claims", "format_version": 1, "published": reach, "measured": reach,
        "groups": {name: {"families": families} for name, families in groups.items()},
        "claims": {"claim": {"says": "so", "section": "1", "checks": [check]}},
    }  # fmt: skip
    return Claims.model_validate(content)


def _judged(check, rows, **groups):
    claims = _claims(check, **groups)
    table = [{"method": m, "name": m, "family": f, "fid": fid} for m, f, fid in rows]
    (found,) = verdict.judge(Numbers({"table2": table}, claims, claims.measured))
    return found.verdict


BEST = {"kind": "best", "method": "a", "among": "all", "columns": ["table2.fid"]}
ORDER = {"kind": "order", "groups": ["vae", "rae"], "columns": ["table2.fid"], "by": "every"}
PLACE = {
    "kind": "place", "method": "a", "among": "all", "columns": ["table2.fid"], "end": "best",
    "share": 0.34,
}  # fmt: skip
PAIRS = {"kind": "pairs", "pairs": [["b", "a"]], "columns": ["table2.fid"], "expect": "better"}


@pytest.mark.parametrize("check", [BEST, ORDER, PLACE, PAIRS])
@pytest.mark.parametrize(
    ("own", "expected"),
    [(5.0, "holds"), (20.0, "fails"), (10.5, "cannot be told"), (None, "cannot be told")],
)
def test_a_comparison_holds_fails_or_is_within_the_reach_of_both_numbers(check, own, expected):
    rows = [("a", "vae", own), ("b", "rae", 10.0), ("c", "rae", 11.0)]
    found = _judged(check, rows, all=["vae", "rae"], vae=["vae"], rae=["rae"])
    assert found == expected


def _scored(check, rows):
    """Judge a check of GenEval and FID by rows (family, FID, GenEval, half of GenEval's interval)."""
    tables = {"table2": [], "table3": []}
    for place, (family, fid, score, half) in enumerate(rows):
        about = {"method": f"m{place}", "name": f"m{place}", "family": family}
        ends = {} if half is None else {"geneval_low": score - half, "geneval_high": score + half}
        tables["table2"].append({**about, "fid": fid})
        tables["table3"].append({**about, "geneval": score, **ends})
    claims = _claims(check)
    (found,) = verdict.judge(Numbers(tables, claims, claims.measured))
    return found


WEAKER = {
    "kind": "weaker", "fid": "table2.fid", "scores": ["table3.geneval"],
    "over": {"families": ["rae"]}, "than": {"families": ["rae", "vae"]},
}  # fmt: skip
ABOVE = {"kind": "pairs", "pairs": [["m0", "m1"]], "columns": ["table3.geneval"], "expect": "better"}
ROWS = [("rae" if k % 2 else "vae", 2.0 + k, 0.9 - 0.02 * (k if k % 2 else -k), None) for k in range(16)]


def test_a_weaker_correlation_is_told_from_eight_methods_on():
    told, untold = _scored(WEAKER, ROWS), _scored(WEAKER, ROWS[:15])
    assert (told.verdict, "8 against 16 methods" in told.numbers) == ("fails", True)
    assert (untold.verdict, untold.numbers) == ("cannot be told", "GenEval: 7 methods are too few")
    turned = {**WEAKER, "over": WEAKER["than"], "than": WEAKER["over"]}
    assert _scored(turned, ROWS[:15]).numbers == "GenEval: 7 methods are too few"


@pytest.mark.parametrize(
    ("half", "expected"), [(0.05, "holds"), (0.08, "cannot be told"), (None, "holds")]
)
def test_the_interval_of_a_table_counts_before_the_binomial_one(half, expected):
    found = _scored(ABOVE, [("vae", 9.0, 0.7, half), ("vae", 9.0, 0.8, half)])
    assert found.verdict == expected


def test_most_needs_more_than_half_whatever_the_untold_are():
    assert verdict.most([True, True, None]) is True
    assert verdict.most([True, False, None]) is None
    assert verdict.most([True, False, False, None]) is False
    assert verdict.every([True, None, False]) is False
    assert verdict.every([]) is None


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """Folder with Tables 2 and 3 of the smoke study's three methods, and its prompts."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "results/smoke"
    (folder / "tables").mkdir(parents=True)
    methods = [
        ("dinov2-b", "rae", 20.0, 0.5),
        ("sd-vae-mse", "vae", 22.0, 0.4),
        ("jit", "pixel", 50.0, 0.1),
    ]
    for name, key, at in (("table2", "fid", 2), ("table3", "geneval", 3)):
        lines = [f"{m[0]},{m[0]},{m[1]},{m[at]}" for m in methods]
        (folder / f"tables/{name}.csv").write_text(
            "\n".join([f"method,name,family,{key}", *lines]) + "\n"
        )
    content = {**label("prompts", 1, "0" * 16), "prompts": [{"prompt": "a", "tag": "colors"}] * 60}
    write_json(folder / "prompts/geneval.json", content)
    return folder


def test_a_studys_verdicts_stand_beside_the_papers(measured, tmp_path):
    out = str(tmp_path / "claims")
    assert main(["table", "claims", "--study", "smoke", "--output-prefix", out]) == 0
    with open(f"{out}.csv") as file:
        rows = {row["claim"]: row for row in csv.DictReader(file)}
    assert rows["pixel-behind-latent"]["verdict"] == "cannot be told"  # from 60 images
    assert rows["pixel-behind-latent"]["face_value"] == "holds"
    assert rows["best-fid"]["verdict"] == "cannot be told"  # the study has no such method
    assert rows["reproduced-is"]["published_verdict"] == "fails"
    assert "| cannot be told |" in (tmp_path / "claims.md").read_text()
    assert "p{7cm}" in (tmp_path / "claims.tex").read_text()


def test_each_scores_reach_counts_the_images_that_its_own_benchmark_judges(measured):
    path = measured / "prompts/geneval.json"
    content = json.loads(path.read_text())
    own = {"prompt": "b", "benchmark": "genai", "images": 9}
    write_json(path, {**content, "prompts": [*content["prompts"], own, own]})
    study = load_study("smoke")
    each = load_run(study, "jit", "t2i").evaluation.images_per_prompt
    answers = numbers_of(study).counts.answers
    assert answers == {"geneval": 60 * each, "dpg_bench": 60 * each, "genai_bench": 18}


def test_a_ratio_of_zero_has_a_reach():
    check = {
        "kind": "factor", "group": "all", "column": "table3.geneval", "over": "table2.fid",
        "between": [0.0, 2.0],
    }  # fmt: skip
    claims = _claims(check, all=["vae"])
    row = {"method": "a", "name": "a", "family": "vae"}
    tables = {"table2": [{**row, "fid": 2.0}], "table3": [{**row, "geneval": 0.0}]}
    (found,) = verdict.judge(Numbers(tables, claims, claims.measured))
    assert found.verdict == "holds"


def test_a_study_without_tables_is_told_what_makes_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["claims", "--source", "smoke"]) == 2
    assert "results/smoke/tables/table2.csv" in capsys.readouterr().err


def _changed(tmp_path, change):
    path = tmp_path / "claims.yaml"
    shutil.copy(CONFIG / "claims.yaml", path)
    content = yaml.safe_load(path.read_text())
    change(content)
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda c: c["claims"]["best-fid"]["checks"][0].update(among="everyone"),
            "unknown group 'everyone'",
        ),
        (lambda c: c["claims"]["best-fid"]["checks"][0].update(columns=["table2.fidd"]), "table2.fidd"),
        (lambda c: c["claims"]["best-fid"]["checks"][0].update(kind="eval"), "kind"),
        (lambda c: c["claims"]["best-fid"]["checks"][0].update(columns="__import__('os')"), "columns"),
        (lambda c: c["claims"]["frontier"]["checks"][0].update(fid="table2.is"), "fid is one of"),
        (lambda c: c["claims"]["best-fid"].pop("section"), "section"),
        (lambda c: c.update(format_version=2), "format_version"),
    ],
)
def test_a_file_of_another_language_is_refused_with_a_sentence(tmp_path, change, said):
    path = _changed(tmp_path, change)
    with pytest.raises(UserError) as refused:
        read_claims(path)
    assert said in str(refused.value)
    assert str(path) in str(refused.value)
