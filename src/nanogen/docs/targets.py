"""What Snakemake can be asked for, as a page: made from the Snakefile."""

from __future__ import annotations

import re
from pathlib import Path

from nanogen.docs.markdown import code, table

INTRODUCTION = """# Targets of Snakemake

Made from the `Snakefile`. `snakemake TARGET` makes what is missing or changed, `snakemake -n TARGET`
says what that would be, `--config study=NAME` takes another study. Any file below `results/` is a
target too.
"""
# A named target stands in the Snakefile; its docstring says what it makes.
TARGET = re.compile(r'^rule (\w+):\n(?: {4}"""(.*?)""")?', re.MULTILINE | re.DOTALL)


def targets(snakefile: Path) -> dict[str, str]:
    """Named target -> what it makes, empty where its rule does not say."""
    found = TARGET.findall(snakefile.read_text(encoding="utf-8"))
    return {name: " ".join(words.split()).rstrip(".") for name, words in found}


def page(root: Path) -> str:
    """The page of the targets of the repository in ``root``, in Markdown."""
    rows = [(code(f"snakemake {name}"), words) for name, words in targets(root / "Snakefile").items()]
    return f"{INTRODUCTION}\n{table(('target', 'makes'), rows)}"
