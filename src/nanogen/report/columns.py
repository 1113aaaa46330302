"""The columns of tables: their headings, how values are printed, and which direction is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nanogen.config import metrics
from nanogen.report.noise import interval
from nanogen.report.rows import Row, Value
from nanogen.text import one_line

DASH = "–"
EXTRACTORS = {
    "inception": "Incep.",
    "convnext": "ConvNeXt",
    "dinov2": "DINOv2",
    "mae": "MAE",
    "siglip": "SigLIP",
    "clip": "CLIP",
    metrics.OF_SIX: "mean of 6",
}
P_VALUES = ("p_value", "permutation_p")
FID_AT = "fid_at_"  # a sweep's column per guidance scale
VERDICTS = {True: "holds", False: "fails", None: "cannot be told"}


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        digits: decimals in print; None: text, or an integer printed as it is.
        better: the direction in which values are ranked; None: they are not ranked.
        group: heading shared with neighbouring columns, e.g. ``FDr``.
        alone: the heading can be understood without that of its group.
        wide: holds sentences, which are broken into lines if the format allows it.
        chance: the key of a row's chance level for this column; empty: none.
        with_interval: a row's interval, ``<key>_low`` and ``<key>_high``, is printed in the cell.
    """

    key: str
    heading: str
    digits: int | None = None
    better: Literal["lower", "higher"] | None = None
    group: str = ""
    alone: bool = False
    wide: bool = False
    chance: str = ""
    with_interval: bool = False

    @property
    def arrow(self) -> str:
        return {"lower": " ↓", "higher": " ↑", None: ""}[self.better]

    @property
    def title(self) -> str:
        """The whole heading on one line, with the arrow."""
        whole = self.heading if self.alone else f"{self.group} {self.heading}".strip()
        return whole + self.arrow


_FIXED = (
    Column("name", "Method"),
    Column("tokenizer", "Tokenizer"),
    Column("source", "Numbers"),
    Column("epochs", "Epochs"),
    Column("iterations", "Iters"),
    Column("params", "#Params"),
    Column("prediction", "Pred."),
    Column("nfe", "NFE"),
    Column("guidance", "Guidance"),
    Column("guidance_scale", "Scale", 1),
    Column("best_scale", "Best scale", 2),
    Column("fid_untrained", "FID untrained", 2),
    Column("channels", "Channels"),
    Column("compression", "Compression", 1),
    Column("latent", "Latent"),
    Column("rfid", "rFID", 2, "lower"),
    Column("psnr", "PSNR", 2, "higher"),
    Column("ssim", "SSIM", 3, "higher"),
    Column("lpips", "LPIPS", 3, "lower"),
    Column("encode_images_per_second", "encode", 0, group="Images/s"),
    Column("decode_images_per_second", "decode", 0, group="Images/s"),
    Column("rfid_untrained", "rFID", 2, group="Untrained"),
    Column("psnr_untrained", "PSNR", 2, group="Untrained"),
    Column("methods", "Methods"),
    Column("imagenet_hours", "ImageNet", 2, "lower", "Hours per 100K steps"),
    Column("t2i_hours", "Text-to-image", 2, "lower", "Hours per 100K steps"),
    Column("ratio", "Ratio", 2),
    Column("axes", "Axes"),
    Column("imagenet_rank", "FID", group="Rank"),
    Column("t2i_rank", "GenEval", group="Rank"),
    Column("verdict", "Verdict"),
    Column("face_value", "At face value"),
    Column("published_verdict", "Verdict", group="Published"),
    Column("section", "Section"),
    Column("measure", "Score"),
    Column("seeds", "Seeds"),
    Column("mean", "Mean", 3),
    Column("mean_low", "from", 3, group="95 %"),
    Column("mean_high", "to", 3, group="95 %"),
    Column("deviation", "SD", 3),
    Column("minimum", "Min", 3),
    Column("maximum", "Max", 3),
)
_SCORES = [score for metric in metrics.METRICS if not metric.per_extractor for score in metric.scores]
_BY_KEY = {
    column.key: column
    for column in (
        *_FIXED,
        *(
            Column(
                s.key,
                s.heading,
                s.digits,
                s.better,
                s.group,
                s.alone,
                chance=s.chance,
                with_interval=bool(s.chance) and not s.detail,
            )
            for s in _SCORES
        ),
        *(
            Column(f"{s.key}_unguided", s.heading, s.digits, s.better, "Unguided")
            for s in metrics.main_scores("imagenet")
        ),
        *(
            Column(f"published_{s.key}", s.heading, s.digits, group="Published")
            for s in _SCORES
            if s.published
        ),
    )
}
_PER_EXTRACTOR = {s.key: s for m in metrics.METRICS if m.per_extractor for s in m.scores}


def column(key: str) -> Column | None:
    """The column for a key of a CSV file, e.g. ``fdr_inception``; None for keys that are not printed."""
    if key.startswith(FID_AT):
        return Column(key, key.removeprefix(FID_AT), 2, group="FID at scale")
    family, _, extractor = key.partition("_")
    if family in _PER_EXTRACTOR and extractor:
        score, heading = _PER_EXTRACTOR[family], EXTRACTORS.get(extractor, extractor)
        return Column(key, heading, score.digits, score.better, score.heading)
    return _BY_KEY.get(key)


def columns(keys: list[str]) -> list[Column]:
    """The printed columns among ``keys``, in that order."""
    return [found for found in map(column, keys) if found is not None]


def printed(column: Column, value: Value) -> str:
    """A cell as tables print it: rounded like the paper's numbers, a dash if there is no value."""
    if value is None:
        return DASH
    if column.key == "guidance":
        return {"yes": "✓", "no": "×"}.get(str(value), str(value))
    if isinstance(value, str):
        return one_line(value)
    if column.key in P_VALUES and value < 0.001:
        return "< 0.001"
    if column.digits is not None:
        return f"{value:.{column.digits}f}"
    if column.key == "params" and value >= 1e9:
        return f"{value / 1e9:.0f}B"
    if column.key == "params":
        return f"{value / 1e6:.0f}M" if value >= 1e8 else f"{value / 1e6:.2f}M"
    if column.key == "iterations" and value >= 1000 and value % 1000 == 0:
        return f"{value // 1000}K"
    return str(value)


def cell(column: Column, row: Row) -> str:
    """A row's cell as tables print it; with its 95 % interval in brackets if the column shows those."""
    text, ends = printed(column, row.get(column.key)), interval(column.key, row)
    if ends is None or not column.with_interval:
        return text
    return f"{text} [{', '.join(printed(column, end) for end in ends)}]"
