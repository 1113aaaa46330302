r"""The numbers that a text quotes, as LaTeX commands: ``\publishedBestFid``, ``\measuredMethods`` ...

A text with ``\publishedCorrelationGenevalGuidedLatentSpace`` instead of -0.555 follows the tables. Names
consist of letters only, as LaTeX requires; digits are spelled out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from nanogen.config.study_schema import Study
from nanogen.errors import UserError
from nanogen.report import paper_tables
from nanogen.report.columns import VERDICTS, columns, printed
from nanogen.report.finished_tables import Tables, of_first_seeds, published_tables
from nanogen.report.render import tex_escaped
from nanogen.report.rows import Row, read_rows
from nanogen.report.table import UNRANKED, Table, marks

DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
# table -> suffix of the names of its numbers
TABLES = {"table2": "Guided", "table4": "Unguided", "table3": ""}
GUIDANCE = {"yes": "Guided", "no": "Unguided"}
DERIVED = ("correlations", "claims")
NEEDS = ("method", "name", "family")
NONE = "--"
Commands = dict[str, str]


def command_name(*parts: str) -> str:
    """Build a LaTeX command's name from words: ``published``, ``dpg_bench`` gives ``publishedDpgBench``.

    The case of the first word is kept.
    """
    spelled = (re.sub(r"\d", lambda digit: f" {DIGITS[int(digit[0])]} ", part) for part in parts)
    words = [word for part in spelled for word in re.split(r"[^A-Za-z]+", part) if word]
    return words[0] + "".join(word[0].upper() + word[1:] for word in words[1:])


def commands(study: Study, inputs: Iterable[Path]) -> Commands:
    """Every command and its text: the paper's numbers, then the study's.

    Args:
        inputs: tables (CSV); the paper's are in a folder ``published``.
    """
    files = list(inputs)
    paper = {path.stem: path for path in files if path.parent.name == "published"}
    own = {path.stem: path for path in files if path.parent.name != "published"}
    tables = {n: of_first_seeds(read_rows(own[n], needs=NEEDS)) for n in TABLES if n in own}
    found = {
        **_of("published", published_tables(TABLES), paper),
        **_of("measured", tables, own),
        "measuredStudy": tex_escaped(study.study),
        "measuredSeed": str(study.seed),
    }
    if not tables:
        raise UserError(f"numbers of study {study.study} need one of its tables: {', '.join(TABLES)}")
    return found


def _of(source: str, tables: Tables, files: dict[str, Path]) -> Commands:
    derived = {name: read_rows(files[name]) for name in DERIVED if name in files}
    return {
        **_counts(source, tables),
        **{key: text for name, rows in tables.items() for key, text in _best(source, name, rows)},
        **dict(_correlations(source, derived.get("correlations", []))),
        **_claims(source, derived.get("claims", [])),
    }


def _counts(source: str, tables: Tables) -> Commands:
    """The number of methods, in total and with latents; public models are not counted."""
    families: dict[str, str] = {}
    for rows in tables.values():
        families |= {str(row["method"]): str(row["family"]) for row in rows}
    ranked = [family for family in families.values() if family != UNRANKED]
    latent = sum(family in paper_tables.LATENT_FAMILIES for family in ranked)
    return {
        command_name(source, "methods"): str(len(ranked)),
        command_name(source, "methods latent"): str(latent),
    }


def _best(source: str, name: str, rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """The best value of every ranked column, and the method (or all methods) with that value."""
    shown = [column for column in columns(list(rows[0])) if column.better]
    found = marks(Table(name, "", shown, list(rows)))
    for column in shown:
        best = [i for (i, key), mark in found.items() if (key, mark) == (column.key, "best")]
        if best:
            key = command_name(source, "best", column.key, TABLES[name])
            yield key, printed(column, rows[best[0]][column.key])
            yield f"{key}Method", tex_escaped(", ".join(str(rows[i]["name"]) for i in best))


def _correlations(source: str, rows: Iterable[Row]) -> Iterator[tuple[str, str]]:
    """Pearson's r with FID, the ends of its interval and the number of methods; a dash if there are too
    few methods, so that a text that quotes it still compiles."""
    for row in rows:
        if row.get("subset") or row.get("axis") != "fid":
            continue
        about = (str(row["metric"]), GUIDANCE[str(row["guidance"])], str(row["name"]))
        key = command_name(source, "correlation", *about)
        yield f"{key}N", str(row["n"])
        for end, column in (("", "pearson"), ("Low", "pearson_low"), ("High", "pearson_high")):
            value = row.get(column)
            known = isinstance(value, int | float)
            yield f"{key}{end}", rf"\ensuremath{{{value:.3f}}}" if known else NONE


def _claims(source: str, rows: Sequence[Row]) -> Commands:
    """Every claim's verdict, and the number of claims with each verdict."""
    if not rows:
        return {}
    told = Counter(str(row["verdict"]) for row in rows)
    counted = {command_name(source, "claims", word): str(told[word]) for word in VERDICTS.values()}
    verdicts = {str(row["claim"]): tex_escaped(str(row["verdict"])) for row in rows}
    each = {command_name(source, "claim", claim): verdict for claim, verdict in verdicts.items()}
    return {command_name(source, "claims"): str(len(rows)), **counted, **each}


def text(found: Commands) -> str:
    """Return a file for ``\\input``: one command per line, sorted by name."""
    head = "% Numbers for the text, made from the tables. Write \\name{} before a space."
    lines = [rf"\newcommand{{\{name}}}{{{value}}}" for name, value in sorted(found.items())]
    return "\n".join([head, *lines, ""])
