"""Which scores rise when a model is trained for one of them?

    python bench/resistance.py [--study nano] [--method sd-vae-mse] [--steps 400] [--output FILE.json]

Run it in the folder that contains ``results/<study>``. The training of the text-to-image model is
continued twice, for equally many steps: on its own training images, which shows the effect of more
training alone, and on scenes drawn for exactly the prompts of GenEval. All three models sample the
images of all prompts from the same noise and are scored by GenEval and SimpleEval. A score that can be
trained for rises in the last row, but not in the row before it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from nanogen.backbones import Condition, load
from nanogen.config import PIXELS, load_model, load_run, load_study, stages, terms
from nanogen.config.paths import Paths
from nanogen.config.sample_stage import SampleStage
from nanogen.config.study_schema import Study
from nanogen.config.train_stage import TrainStage
from nanogen.data.scenes.render import render
from nanogen.errors import UserError
from nanogen.identity import seed_for
from nanogen.metrics import geneval, simpleeval
from nanogen.metrics.detector import load_detector
from nanogen.metrics.weak_scorer import load_weak_scorer
from nanogen.models.text_features import TextEncoder
from nanogen.prompts.files import GENEVAL, of_benchmark
from nanogen.prompts.ideal_scenes import scene_of
from nanogen.prompts.prompts import prompts_of
from nanogen.prompts.simpleeval import BENCHMARK
from nanogen.sampling.generate import Generator, batches, labels_of
from nanogen.stage2.batches import Batches, Dataset
from nanogen.stage2.dataset import TrainingData
from nanogen.stage2.learner import Learner
from nanogen.tokenizers import load_tokenizer
from nanogen.tokenizers.pixels import Pixels
from nanogen.training.ema import EMA
from nanogen.training.processes import Processes, processes

SCENES_PER_PROMPT = 16
DRAWN_AT_ONCE = 50


class Texts:
    """Text features of prompts, as conditions."""

    def __init__(self, encoder: TextEncoder, texts: Sequence[str], tokens: int):
        ids, _ = encoder.token_ids(texts)
        self.features = [torch.from_numpy(row)[:tokens] for row in encoder.features(ids)]

    def __call__(self, rows: np.ndarray) -> Condition:
        chosen = [self.features[row] for row in rows]
        tokens = pad_sequence(chosen, batch_first=True)
        lengths = torch.tensor([len(row) for row in chosen])
        return Condition(tokens=tokens, mask=torch.arange(tokens.shape[1]) < lengths[:, None])


class PromptedScenes:
    """Training data: scenes that show what the prompts ask for, captioned by the prompts."""

    def __init__(self, prompts: Sequence[dict], texts: Texts, tokenizer: Any, side: int, seed: int):
        rows = np.repeat(np.arange(len(prompts)), SCENES_PER_PROMPT)
        generators = [np.random.default_rng(seed_for(seed, "resistance", i)) for i in range(len(rows))]
        drawn = zip(rows, generators, strict=True)
        images = np.stack([render(scene_of(prompts[row], rng), side)[0] for row, rng in drawn])
        with torch.no_grad():
            self.x = tokenizer.encode(torch.from_numpy(images)).float()
        self.rows, self.texts = rows, texts

    def __len__(self) -> int:
        return len(self.rows)

    def load(self, rows: np.ndarray, draws: np.ndarray) -> tuple[Tensor, Condition]:
        return self.x[rows], self.texts(self.rows[rows])

    def features(self, rows: np.ndarray) -> dict[str, Tensor]:
        return {}

    def ahead(self, windows: Mapping[int, np.ndarray]) -> None:
        """Do nothing: all data is in memory."""


class Bench:
    """A finished study's text-to-image run, with the networks that sample and judge its images."""

    def __init__(self, study: Study, method: str, group: Processes):
        run, paths = load_run(study, method, "t2i"), Paths(study)
        simple = run.evaluation.simpleeval
        if terms.caches(run) or terms.networks(run) or run.objective.kind != "flow-matching":
            raise UserError(f"{method}: only methods of plain flow matching are trained on here")
        if simple is None or run.evaluation.detector is None or run.data.source != "scenes":
            raise UserError(f"study {study.study} does not measure GenEval and SimpleEval of scenes")
        self.group = group
        self.train = TrainStage.from_json(stages.train(study, method, "t2i"))
        self.stage = SampleStage.from_json(stages.sample(study, method, "t2i", "cfg"))
        self.prompts = prompts_of(stages.prompts(study), Path())
        folder = Path(paths.trained(method, "t2i")).parent
        self.trained = load(folder)
        tokenizer = run.tokenizer
        self.tokenizer = (
            Pixels(run.data.resolution)
            if tokenizer == PIXELS
            else load_tokenizer(paths.model(tokenizer), load_model(study, tokenizer))
        )
        name = str(run.conditioner.model)
        encoder = TextEncoder(Path(paths.model(name)), load_model(study, name))
        self.texts = Texts(encoder, [p["prompt"] for p in self.prompts], run.conditioner.tokens)
        self.detector, self.scorer = (
            load_one(paths.model(judge), load_model(study, judge))
            for load_one, judge in (
                (load_detector, run.evaluation.detector),
                (load_weak_scorer, simple.scorer),
            )
        )
        self.own = PromptedScenes(
            [self.prompts[i] for i in of_benchmark(self.prompts, GENEVAL)],
            self.texts,
            self.tokenizer,
            run.data.resolution,
            study.seed,
        )
        cached = None if tokenizer == PIXELS else Path(paths.latents("t2i", tokenizer))
        images, text = Path(paths.data("t2i", "train")), Path(paths.text("t2i", name))
        self.general = TrainingData(self.train, cached, images, text)

    def trained_on(self, source: Dataset, steps: int, rate: float) -> nn.Module:
        """The model after more steps on ``source``, with a constant rate; its averaged weights."""
        training = self.train.training
        keys = {"learning_rate": rate, "final_learning_rate": rate, "warmup_steps": 0}
        optimizer = training.optimizer.model_copy(update=keys)
        stage = replace(self.train, training=training.model_copy(update={"optimizer": optimizer}))
        learner = Learner(stage, self.group, None)
        learner.model.load_state_dict(self.trained.state_dict())
        learner.ema = EMA(learner.model, training.ema)
        drawn = Batches(source, stage)
        for step in range(steps):
            learner.step(step + 1, drawn.at(step).to(self.group.device))
        learner.model.load_state_dict(learner.ema.state())
        return learner.model

    def drawn(self, model: nn.Module) -> tuple[np.ndarray, np.ndarray]:
        """Images of all prompts, uint8, and the index of each image's prompt."""
        labels = labels_of(self.stage, self.prompts)
        generator = Generator(self.stage, model, self.tokenizer, self.group.device)
        parts = batches(len(labels), DRAWN_AT_ONCE, self.group)
        return np.concatenate([generator(i, self.texts(labels[i])) for i in parts]), labels

    def scores(self, model: nn.Module) -> dict[str, float]:
        """``geneval`` and ``simpleeval`` with the ends of their intervals, and SimpleEval's levels."""
        images, labels = self.drawn(model)
        own, simple = ([*of_benchmark(self.prompts, name)] for name in (GENEVAL, BENCHMARK))
        first = simple[0]  # GenEval's prompts come first
        at = labels < first
        asked = [self.prompts[i] for i in own]
        seen = zip(labels[at], self.detector(images[at]), strict=True)
        right = np.array([geneval.judge(asked[p], found)[0] for p, found in seen])
        shares = simpleeval.per_prompt(right, labels[at], len(own))
        tags = np.array([prompt["tag"] for prompt in asked])
        by_tag = [shares[tags == tag] for tag in dict.fromkeys(tags)]
        low, high = simpleeval.interval(by_tag, self.stage.seed, "resistance")
        choices = simpleeval.Choices([self.prompts[i] for i in simple])
        of_image = labels[~at] - first
        chosen = choices.right(self.scorer(images[~at], choices.texts), of_image)
        return {
            "geneval": float(np.mean([part.mean() for part in by_tag])),
            "geneval_low": low,
            "geneval_high": high,
            **simpleeval.summarise(
                simpleeval.per_prompt(chosen, of_image, len(choices)), choices.levels, self.stage.seed
            ),
        }


def table(rows: dict[str, dict[str, float]]) -> str:
    levels = [key for key in next(iter(rows.values())) if key.startswith("simpleeval_")]
    levels = [key for key in levels if not key.endswith(("_low", "_high"))]
    heads = ["GenEval", "95 %", "SimpleEval", "95 %", *(key.split("_")[1] for key in levels)]
    lines = [f"| model | {' | '.join(heads)} |", "|---|" + "---:|" * len(heads)]
    for name, row in rows.items():
        cells = []
        for key in ("geneval", "simpleeval"):
            cells += [f"{row[key]:.3f}", f"{row[f'{key}_low']:.3f} to {row[f'{key}_high']:.3f}"]
        cells += [f"{row[key]:.3f}" for key in levels]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def measured(args: argparse.Namespace) -> dict[str, dict[str, float]]:
    with processes() as group:
        bench = Bench(load_study(args.study), args.method, group)
        rows = {"as trained": bench.scores(bench.trained)}
        for name, source in (
            (f"{args.steps} steps more on the training images", bench.general),
            (f"{args.steps} steps more on GenEval's prompts", bench.own),
        ):
            rows[name] = bench.scores(bench.trained_on(source, args.steps, args.rate))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", default="nano", help="a finished study (default: nano)")
    parser.add_argument("--method", default="sd-vae-mse", help="(default: sd-vae-mse)")
    parser.add_argument("--steps", type=int, default=400, help="(default: 400)")
    parser.add_argument("--rate", type=float, default=5e-4, help="learning rate (default: 5e-4)")
    parser.add_argument("--output", type=Path, help="write the rows as JSON")
    args = parser.parse_args()
    started = time.monotonic()
    try:
        rows = measured(args)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print(table(rows))
    print(f"\n{args.method} of study {args.study}, {time.monotonic() - started:.0f} s")
    if args.output:
        about = {key: getattr(args, key) for key in ("study", "method", "steps", "rate")}
        args.output.write_text(json.dumps({**about, "rows": rows}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
