"""The schema of config/claims.yaml: a small language of comparisons, in which nothing is executed.

A column is written ``TABLE.KEY``, e.g. ``table2.fid`` (with guidance), ``table4.fid`` (without),
``table3.geneval`` or ``times.t2i_hours``. A method is written as its name in the tables, or as
``METHOD@STEPS`` for its row of Table 3 at another training length. The column determines whether higher
or lower values are better.
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
    """A group of methods, chosen by family and by name."""

    families: list[str] = Field(default_factory=list, description="families with all their methods")
    methods: list[str] = Field(default_factory=list, description="further methods, by name")
    without: list[str] = Field(default_factory=list, description="methods to leave out")


class Reach(Section):
    """How far a repeated measurement may be from a number whose table gives no 95 % interval."""

    relative: float | None = Field(None, ge=0, description="the reach, as a share of the number")
    images: int | None = Field(
        None, gt=0, description="images that the share refers to; it scales with 1 / sqrt(images)"
    )
    answers: int | None = Field(
        None,
        gt=0,
        description="judgements in [0, 1] in the mean; the reach is binomial, as if independent",
    )


class Best(Section):
    """A method is the best of a group."""

    kind: Literal["best"]
    method: str
    among: str
    columns: Columns


class Order(Section):
    """Each group is better than the next: its mean, or every one of its methods, than the next's."""

    kind: Literal["order"]
    groups: list[str] = Field(min_length=2)
    columns: Columns
    by: Literal["mean", "every"] = "mean"


class Place(Section):
    """A method is, or with ``inside: false`` is not, in the best or worst ``share`` of a group."""

    kind: Literal["place"]
    method: str
    among: str
    columns: Columns
    end: Literal["best", "worst"]
    share: float = Field(gt=0, lt=1)
    inside: bool = True


class Pairs(Section):
    """The second method of each pair is better, or not worse, than the first."""

    kind: Literal["pairs"]
    pairs: list[Annotated[list[str], Field(min_length=2, max_length=2)]] = Field(min_length=1)
    columns: Columns
    expect: Literal["better", "not worse"]
    of: Quantifier = "every"


class Factor(Section):
    """The ratio of two columns is in an interval, for every or most methods of a group."""

    kind: Literal["factor"]
    group: str
    column: str
    over: str
    between: Annotated[list[float], Field(min_length=2, max_length=2)]
    of: Quantifier = "every"


class Methods(Section):
    """The methods that a correlation is computed over."""

    families: list[str] = Field(min_length=1)
    below: float | None = Field(None, description="only methods with a smaller FID")


class Weak(Section):
    """Pearson's |r| of FID and each score is below a limit, judged by its interval."""

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
    """Each method's own number in Table 1 is not worse than the one that its authors report."""

    kind: Literal["reproduced"]
    columns: Columns


Check = Annotated[
    Best | Order | Place | Pairs | Factor | Weak | Weaker | Reproduced, Field(discriminator="kind")
]


class Claim(Section):
    """One statement, which holds if all of its checks hold."""

    says: str = Field(description="the statement, paraphrased in a few words")
    section: str = Field(description="the section of the paper that makes it")
    checks: list[Check] = Field(min_length=1)


class Claims(Section):
    """The content of config/claims.yaml."""

    format: Literal["nanogen.claims"]
    format_version: Literal[1]
    groups: dict[str, Group]
    published: dict[str, Reach] = Field(description="reach of the paper's numbers, by column")
    measured: dict[str, Reach] = Field(description="reach of a study's numbers, by column")
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
    """Raise UserError for an unknown group or column: a claim about it could never be decided."""
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
    """Read the claims in a file; raises UserError if they do not follow this schema."""
    claims = validate(Claims, [Layer(str(path), read_yaml(path))])
    _check_names(claims, str(path))
    return claims
