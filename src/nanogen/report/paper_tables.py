"""The paper's own numbers, Tables 1 to 4, kept as CSV in config/published."""

from __future__ import annotations

from functools import cache

from nanogen.config.schema import PublicRun, Run
from nanogen.config.yaml_files import CONFIG
from nanogen.errors import UserError, nearest
from nanogen.report.columns import columns
from nanogen.report.rows import Row, read_rows
from nanogen.report.table import Table

ITERATIONS = 100_000  # Table 3 has methods at two lengths; figures compare all at this one
LATENT_FAMILIES = ("rae", "vae")
CAPTIONS = {
    "table1": "Published reproducibility on ImageNet 256 x 256: each method as its authors report it "
    "and as the paper reproduces it.",
    "table2": "Published results on ImageNet 256 x 256 with classifier-free guidance at each "
    "method's best scale.",
    "table3": "Published text-to-image results.",
    "table4": "Published results on ImageNet 256 x 256 without guidance.",
}
NOTES = {
    "table1": "Source: the paper's Table 1, each method at its own size, schedule and protocol.",
    "table2": "Source: the paper's Table 2. 80 epochs, about 615M parameters, 50,000 images, "
    "guidance on [0.0, 0.9].",
    "table3": "Source: the paper's Table 3. Guidance scale 6.0; public models are not ranked.",
    "table4": "Source: the paper's Table 4. As Table 2, but without guidance.",
}


@cache
def _rows(name: str) -> tuple[Row, ...]:
    return tuple(read_rows(CONFIG / "published" / f"{name}.csv", needs=["method"]))


def rows(name: str) -> list[Row]:
    """Rows of ``table1`` to ``table4`` in the paper's order; raises UserError for other names."""
    if name not in CAPTIONS:
        raise UserError(f"unknown table {name!r}{nearest(name, CAPTIONS)}")
    return [dict(row) for row in _rows(name)]


def comparable(name: str) -> list[Row]:
    """The table with one row per method: Table 3 at 100,000 iterations, the others unchanged.

    Public models, whose iterations the paper does not give, are in it.
    """
    return [row for row in rows(name) if row.get("iterations") in (None, ITERATIONS)]


def of_run(name: str, run: Run | PublicRun, steps: int | None) -> Row:
    """The published row of a run's method; empty if the paper has none.

    For a few-step method the paper prints one row per number of steps (``meanflow-nfe2``).
    """
    known = {row["method"]: row for row in comparable(name)}
    return known.get(run.method) or known.get(f"{run.method}-nfe{steps}") or {}


def reproduction(run: Run) -> list[Row]:
    """Table 1's rows of a run's method: as reported by its authors, and as reproduced by the paper.

    Raises UserError if Table 1 does not contain the method.
    """
    found = [row for row in rows("table1") if row["method"] == run.method]
    if not found:
        known = list(dict.fromkeys(str(row["method"]) for row in rows("table1")))
        raise UserError(
            f"study {run.study}: report.reproduction is set, but Table 1 has no method {run.method}; "
            f"it has {', '.join(known)}"
        )
    return found


def reproduced_variant(run: Run) -> str:
    """The sample set that Table 1 scores for a method: ``cfg`` with guidance, ``nocfg`` without."""
    return "cfg" if reproduction(run)[0]["guidance"] == "yes" else "nocfg"


def rank(method: str, steps: int = 1, table: str = "table2") -> int:
    """A method's position in a table of the paper; methods that it does not contain come last."""
    order = [row["method"] for row in _rows(table)]
    names = (method, f"{method}-nfe{steps}")
    return next((order.index(name) for name in names if name in order), len(order))


def table(name: str) -> Table:
    """A published table, ready to be written."""
    found = rows(name)
    first = name == "table1"
    return Table(
        name=name,
        caption=CAPTIONS[name],
        columns=columns(list(found[0])),
        rows=found,
        grouped_by="space" if first else "family",
        notes=[NOTES[name]],
        identity=("method", "space") if first else ("method", "family"),
    )
