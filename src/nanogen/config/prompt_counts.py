"""How many prompts and images a study's text-to-image evaluation has, before anything is fetched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nanogen.config import Study, load_run, prompt_lists, stages, variants
from nanogen.config.load import load_prompt_file
from nanogen.config.yaml_files import available
from nanogen.prompts import prompts
from nanogen.prompts.caption_sets import SETS
from nanogen.prompts.stage import PromptsStage

READERS = {
    "geneval": prompts.geneval_prompts,
    "dpg": prompts.dpg_prompts,
    "genai": prompts.genai_prompts,
}
GENAI_PROMPTS = 1600  # as published
TITLES = {"geneval": "GenEval", "simpleeval": "SimpleEval", "dpg": "DPG-Bench", "genai": "GenAI-Bench"}
TITLES |= {name: of.title for name, of in SETS.items()}


@dataclass(frozen=True)
class Asked:
    """Number of a benchmark's prompts and of images per prompt.

    ``prompts`` is None if the number is known only after the download.
    """

    benchmark: str
    prompts: int | None
    images: int

    def __str__(self) -> str:
        count = "an unknown number of" if self.prompts is None else self.prompts
        return f"{count} prompts of {TITLES[self.benchmark]} x {self.images}"


def asked(study: Study) -> list[Asked]:
    """The benchmarks whose prompts every text-to-image sample set is drawn from, in order.

    Raises UserError for a list of prompts that cannot be read.
    """
    evaluation = load_run(study, study.methods[0], "t2i").evaluation
    lists = {name: named for name, (_, named) in prompt_lists.own_lists(evaluation).items()}
    rows = prompt_lists.rows(evaluation)
    stage = PromptsStage.from_json(stages.prompts(study))
    each = evaluation.images_per_prompt

    def count(benchmark: str, named: str | None) -> int | None:
        if named is None and benchmark == "genai":
            return GENAI_PROMPTS
        if named in available("prompts"):
            return load_prompt_file(named).prompts
        return len(READERS[benchmark](stage, Path()))

    found = [Asked("geneval", count("geneval", evaluation.prompts), each)]
    if evaluation.simpleeval:
        found.append(Asked("simpleeval", evaluation.simpleeval.prompts, 1))
    images = {"dpg": each, "genai": prompts.GENAI_IMAGES}
    own = [name for name in images if name in lists or name in rows]
    found += [Asked(name, count(name, lists.get(name)), images[name]) for name in own]
    captions = evaluation.captions
    return found + [Asked(name, captions.prompts, 1) for name in captions.given]


def images_per_set(study: Study) -> int:
    """Return the number of images in a text-to-image sample set, for known numbers of prompts."""
    return sum((part.prompts or 0) * part.images for part in asked(study))


def images_of_prompts(study: Study) -> str:
    """Return a sentence with the number of images that a study draws from prompts, by benchmark."""
    found = asked(study)
    per_set = images_per_set(study)
    unknown = any(part.prompts is None for part in found)
    sets = sum(
        len(variants.with_steps(load_run(study, method, "t2i"), variants.GUIDED))
        for method in (*study.trainings, *study.public)
    )
    least = "at least " if unknown else ""
    decided = prompt_lists.rows(load_run(study, study.methods[0], "t2i").evaluation)
    rows = f" Rows of {', '.join(decided.values())} determine the final number." if decided else ""
    return (
        f"Images of prompts: {', '.join(map(str, found))}; {least}{per_set} in each of {sets} sample "
        f"sets, {least}{sets * per_set} in all.{rows}"
    )
