"""The page of Snakemake's targets, generated from the Snakefile."""

from __future__ import annotations

import re
from pathlib import Path

from nanogen.docs.markdown import code, table

INTRODUCTION = """# Targets of Snakemake

Generated from the `Snakefile`. `snakemake TARGET` makes what is missing or out of date,
`snakemake -n TARGET` only lists these steps, and `--config study=NAME` selects another study. Any file
below `results/` is a target too.
"""
# A named target is a rule in the Snakefile; its docstring describes what it makes.
TARGET = re.compile(r'^rule (\w+):\n(?: {4}"""(.*?)""")?', re.MULTILINE | re.DOTALL)


def targets(snakefile: Path) -> dict[str, str]:
    """Return named target -> what it makes; empty if the rule has no docstring."""
    found = TARGET.findall(snakefile.read_text(encoding="utf-8"))
    return {name: " ".join(words.split()).rstrip(".") for name, words in found}


def page(root: Path) -> str:
    """Return the page for the repository in ``root`` in Markdown."""
    rows = [(code(f"snakemake {name}"), words) for name, words in targets(root / "Snakefile").items()]
    return f"{INTRODUCTION}\n{table(('target', 'makes'), rows)}"
