"""Notes on whether DPG-Bench and GenAI-Bench are measured on their own prompts or on GenEval's."""

from __future__ import annotations

from nanogen.config import Study, load_run, prompt_lists, stages
from nanogen.report.rows import Row

TITLES = {"dpg": "DPG-Bench", "genai": "GenAI-Bench"}
GENEVAL, OWN = "GenEval", "own"


def _whose(study: Study) -> dict[str, str]:
    """Metric -> benchmark whose prompts it is measured on, for the study's metrics."""
    evaluation = load_run(study, study.methods[0], "t2i").evaluation
    return {
        metric: OWN if prompt_lists.has_own_prompts(evaluation, metric) else GENEVAL
        for metric in stages.answering(study)
    }


def cells(study: Study) -> Row:
    """The cells of a CSV row on this: ``dpg_bench_prompts`` and ``genai_bench_prompts``."""
    return {f"{metric}_bench_prompts": whose for metric, whose in _whose(study).items()}


def _on_genevals(study: Study) -> list[str]:
    return [TITLES[metric] for metric, whose in _whose(study).items() if whose == GENEVAL]


def in_caption(study: Study) -> str:
    """An addition to a table's caption if a score is not measured on its benchmark's own prompts."""
    names = _on_genevals(study)
    own = "their own" if len(names) > 1 else "its own"
    return f"; {' and '.join(names)} on GenEval's prompts, not on {own}" if names else ""


def notes(study: Study) -> list[str]:
    """A footnote if a score is not measured on its benchmark's own prompts."""
    names = _on_genevals(study)
    made = ", with DPG-Bench questions generated from them" if TITLES["dpg"] in names else ""
    told = (
        f"{' and '.join(names)}: on GenEval's prompts{made}; the published numbers are on their own "
        "prompts."
    )
    return [told] * bool(names)
