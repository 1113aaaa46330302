"""What config/claims.yaml may hold: a small language of comparisons, in which nothing is executed.

A column is written ``TABLE.KEY``, e.g. ``table2.fid`` (with guidance), ``table4.fid`` (without),
``table3.geneval`` or ``times.t2i_hours``; a method by its name in the tables, ``METHOD@STEPS`` for
Table 3's row at another length of training. Which values are better follows from the column.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from nanogen.config.section import Section
from nanogen.config.validation import Layer, validate
from nanogen.config.yaml_files import CONFIG, read_yaml
from nanogen.errors import UserError, nearest
from nanogen.report.columns import column

TABLES = ("table1", "table2", "table3", "table4", "times")
FIDS = ("table2.fid", "table4.fid")  # with and without guidance
Columns = Annotated[list[str], Field(min_length=1)]
Quantifier = Literal["every", "most"]


class Group(Section):
    """Methods: those of families and those named, less some."""

    families: list[str] = Field(default_factory=list, description="every method of these")
    methods: list[str] = Field(default_factory=list, description="and these, by name")
    without: list[str] = Field(default_factory=list, description="but not these")


class Reach(Section):
    """How far a number may lie from what measuring again would give (half of its 95 % interval)."""

    relative: float | None = Field(None, ge=0, description="share of the number")
    images: int | None = Field(
        None, gt=0, description="the share is of so many images; it grows as fewer, by the square root"
    )
    answers: int | None = Field(
        None,
        gt=0,
        description="a mean of so many judgements in [0, 1]; the binomial interval is the widest",
    )


class Best(Section):
    """One method is the best of a group."""

    kind: Literal["best"]
    method: str
    among: str
    columns: Columns


class Order(Section):
    """Each group is better than the next: in the mean, or every method than every one."""

    kind: Literal["order"]
    groups: list[str] = Field(min_length=2)
    columns: Columns
    by: Literal["mean", "every"] = "mean"


class Place(Section):
    """A method is among the best, or the worst, share of a group, or is not."""

    kind: Literal["place"]
    method: str
    among: str
    columns: Columns
    end: Literal["best", "worst"]
    share: float = Field(gt=0, lt=1)
    inside: bool = True


class Pairs(Section):
    """Of each pair of methods the second is better, or not worse."""

    kind: Literal["pairs"]
    pairs: list[Annotated[list[str], Field(min_length=2, max_length=2)]] = Field(min_length=1)
    columns: Columns
    expect: Literal["better", "not worse"]
    of: Quantifier = "every"


class Factor(Section):
    """One column is between so many times and so many times another, method by method."""

    kind: Literal["factor"]
    group: str
    column: str
    over: str
    between: Annotated[list[float], Field(min_length=2, max_length=2)]
    of: Quantifier = "every"


class Methods(Section):
    """Which methods a correlation is over."""

    families: list[str] = Field(min_length=1)
    below: float | None = Field(None, description="only those with a smaller FID")


class Weak(Section):
    """Pearson's |r| of FID and each score is below a limit, going by its interval."""

    kind: Literal["weak"]
    fid: str
    scores: Columns
    over: Methods
    below: float = Field(gt=0, le=1)


class Weaker(Section):
    """Pearson's |r| of FID and each score is smaller over some methods than over others."""

    kind: Literal["weaker"]
    fid: str
    scores: Columns
    over: Methods
    than: Methods


class Reproduced(Section):
    """Table 1: each method's own number is not worse than the one its authors report."""

    kind: Literal["reproduced"]
    columns: Columns


Check = Annotated[
    Best | Order | Place | Pairs | Factor | Weak | Weaker | Reproduced, Field(discriminator="kind")
]


class Claim(Section):
    """One statement; it holds where all of its checks do."""

    says: str = Field(description="the statement, in a few words of this project's own")
    section: str = Field(description="where the paper makes it")
    checks: list[Check] = Field(min_length=1)


class Claims(Section):
    """The whole file."""

    format: Literal["nanogen.claims"]
    format_version: Literal[1]
    groups: dict[str, Group]
    published: dict[str, Reach] = Field(description="by column, of the paper's numbers")
    measured: dict[str, Reach] = Field(description="by column, of a study's numbers")
    claims: dict[str, Claim] = Field(min_length=1)


def _columns(check: Section) -> list[str]:
    names = ("columns", "scores", "column", "fid")
    found = [getattr(check, name, []) for name in names]
    if isinstance(check, Factor):
        found.append(check.over)
    return [c for part in found for c in ([part] if isinstance(part, str) else part)]


def _groups(check: Section) -> list[str]:
    found = [getattr(check, "groups", []), getattr(check, "among", []), getattr(check, "group", [])]
    return [g for part in found for g in ([part] if isinstance(part, str) else part)]


def _check_names(claims: Claims, where: str) -> None:
    """Columns and groups that no table and no key has: a claim about them would never be told."""
    for name, claim in claims.claims.items():
        for check in claim.checks:
            for group in _groups(check):
                if group not in claims.groups:
                    hint = nearest(group, claims.groups)
                    raise UserError(f"{where}: claim {name!r} names the unknown group {group!r}{hint}")
            for given in _columns(check):
                table, _, key = given.partition(".")
                if table not in TABLES or column(key) is None:
                    raise UserError(
                        f"{where}: claim {name!r} names the unknown column {given!r}; write TABLE.KEY "
                        f"with one of {', '.join(TABLES)} and a key of its CSV, e.g. table2.fid"
                    )
            if hasattr(check, "fid") and check.fid not in FIDS:
                raise UserError(
                    f"{where}: claim {name!r}: fid is one of {', '.join(FIDS)}, not {check.fid}"
                )


def read_claims(path: Path = CONFIG / "claims.yaml") -> Claims:
    """The claims in a file; raises UserError, in a sentence, where they are not in this language."""
    claims = validate(Claims, [Layer(str(path), read_yaml(path))])
    _check_names(claims, str(path))
    return claims
