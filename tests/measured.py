"""A small study's metric files and model cards, in the real format, without any training."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from nanogen.config import load_study, stages
from nanogen.config.paths import Paths
from nanogen.config.study_schema import Study
from nanogen.files import label, write_json

TAGS = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
SPACES = ("inception", "convnext", "dinov2", "mae", "siglip")
FIDS = {"dinov2-b": 7.123456789, "sd-vae-mse": 9.5, "jit": 21.25}
SCORES = {"dinov2-b": 0.5, "sd-vae-mse": 0.75, "jit": 0.25}


def write_metric(paths: Paths, stage, key, values: dict[str, float]) -> None:
    write_json(*_metric(paths, stage, key, values))


def _metric(paths: Paths, stage, key, values: dict[str, float]) -> tuple[str, dict[str, object]]:
    """The path and content of a metric file."""
    task, method, variant, name = key
    header = label("metric", 1, stage["hash"])
    about = {"task": task, "method": method, "variant": variant, "metric": name}
    protocol = f"{name} by the test's protocol"
    content = {**header, **about, "values": values, "protocol": protocol, "inputs": {}}
    return paths.metric(method, task, variant, name), content


def write_smoke() -> Study:
    """Write the smoke study's results, three methods on both tasks, below the working directory."""
    study, files = _smoke()
    for path, text in files.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text, encoding="utf-8")
    return study


@cache
def _smoke() -> tuple[Study, dict[str, str]]:
    study = load_study("smoke")
    files = _contents(study, Paths(study))
    return study, {path: json.dumps(content, indent=2) + "\n" for path, content in files}


def _contents(study: Study, paths: Paths) -> Iterator[tuple[str, dict[str, object]]]:
    for method, fid in FIDS.items():
        for factor, variant in enumerate(("cfg", "nocfg", "untrained"), start=1):
            stage = stages.distribution(study, method, variant)
            for name, values in {
                "fid": {"fid": fid * factor},
                "is": {"is": 30 / fid},
                "fdr": {f"fdr_{space}": fid / n for n, space in enumerate(SPACES, 2)},
                "mind": {f"mind_{space}": fid * n for n, space in enumerate(SPACES, 2)},
                "pr": {"precision": 0.75, "recall": 1 / fid},
                "sfid": {"sfid": fid + 1},
                "accuracy": {
                    "accuracy": 3 / fid,
                    "accuracy_low": 2 / fid,
                    "accuracy_high": 4 / fid,
                    "accuracy_chance": 0.05,
                },
            }.items():
                yield _metric(paths, stage, ("imagenet", method, variant, name), values)
        score = SCORES[method]
        yield _metric(
            paths,
            stages.geneval(study, method, "cfg"),
            ("t2i", method, "cfg", "geneval"),
            {
                "geneval": score,
                **dict.fromkeys(TAGS, score),
                "image_accuracy": score,
                "prompt_accuracy": score / 2,
                "chance": 0.0625,
                **{f"chance_{tag}": 0.0625 for tag in TAGS},
            },
        )
        stage = stages.question_scores(study, method, "cfg")
        for name, key in (("dpg", "dpg_bench"), ("genai", "genai_bench")):
            values = {key: score / 2, f"chance_{key}": 0.125 * score}
            yield _metric(paths, stage, ("t2i", method, "cfg", name), values)
        simple = {"simpleeval": score, "simpleeval_low": score - 0.1, "simpleeval_high": score + 0.1}
        yield _metric(
            paths,
            stages.simpleeval(study, method, "cfg"),
            ("t2i", method, "cfg", "simpleeval"),
            {**simple, "simpleeval_chance": 0.25},
        )
        card = label("model", 1, stages.train(study, method, "t2i")["hash"])
        yield paths.trained(method, "t2i"), {**card, "quality": {"parameters": 1634221}}
