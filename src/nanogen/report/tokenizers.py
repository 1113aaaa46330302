"""The table of tokenizers: latents, reconstruction quality, speed, and the methods that use them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nanogen.config import Run, Study, load_model, stages
from nanogen.config.paths import Paths
from nanogen.errors import UserError
from nanogen.files import check_label, read_json
from nanogen.identity import config_hash
from nanogen.report.columns import columns
from nanogen.report.rows import Row
from nanogen.report.table import Table

NAME = "tokenizers"
METRIC = ("metric", 1)
KINDS = ("rae", "vae")
SIZES = ("channels", "compression", "latent")
SCORES = ("rfid", "psnr", "ssim", "lpips", "encode_images_per_second", "decode_images_per_second")
BEFORE = ("rfid_untrained", "psnr_untrained")


@dataclass(frozen=True)
class Scores:
    """The measurements of one tokenizer."""

    values: dict[str, float]
    protocol: str
    hash: str


def ordered(study: Study) -> dict[str, list[Run]]:
    """The study's tokenizers, representation autoencoders first, with the runs that use each.

    Published RAEs are left out: they are fetched without their encoders, so nothing can be measured.
    Raises UserError if the study has no tokenizer.
    """
    found = stages.tokenizers(study)
    if not found:
        raise UserError(f"study {study.study} has no tokenizer: its methods work on pixels")
    measured = [name for name in found if load_model(study, name).released is None]
    order = sorted(measured, key=lambda name: KINDS.index(load_model(study, name).kind))
    return {name: found[name] for name in order}


def _scores(study: Study, name: str, inputs: Iterable[Path]) -> Scores:
    """Read a tokenizer's scores from its file among ``inputs`` or at its default path.

    Raises UserError if the file is missing, incomplete or made by another configuration.
    """
    usual = Path(Paths(study).reconstruction(name))
    path = next((p for p in inputs if p.parent.name == name), usual)
    if not path.exists():
        raise UserError(
            f"{path} does not exist: {name} has not been measured; make it with "
            f"`snakemake {usual} --config study={study.study}`"
        )
    content = read_json(path)
    check_label(content, path, *METRIC, stages.reconstruction(study, name)["hash"])
    values = dict(content.get("values", {}))
    for key in [k for k in SCORES if k != "lpips" or k in values]:
        if not isinstance(values.get(key), int | float) or not math.isfinite(values[key]):
            raise UserError(
                f"{path}: {key} is {values.get(key)!r}, expected a finite number; "
                "delete the file and make it again"
            )
    return Scores(values, str(content.get("protocol", "")), content["hash"])


def _row(study: Study, name: str, runs: Sequence[Run], scores: Scores) -> Row:
    model = load_model(study, name)
    if model.latent is None:
        raise UserError(f"config/models/{name}.yaml: 'latent' is missing")
    side = runs[0].data.resolution
    return {
        "tokenizer": name,
        "family": model.kind,
        "channels": model.latent[0],
        "compression": 3 * side**2 / math.prod(model.latent),
        "latent": "×".join(map(str, model.latent)),
        **{key: scores.values.get(key) for key in (*SCORES, *BEFORE)},
        "methods": ", ".join(run.title for run in runs),
        "hash": scores.hash,
    }


def table(study: Study, inputs: Iterable[Path] = ()) -> Table:
    """The study's tokenizers from the files of their scores.

    Args:
        inputs: files ``.../<tokenizer>/reconstruction.json``; those that are not given are read from
            their default paths.

    Raises UserError if a file is missing, or if the study has no tokenizer.
    """
    inputs = list(inputs)
    tokenizers = ordered(study)
    scores = {name: _scores(study, name, inputs) for name in tokenizers}
    rows = [_row(study, name, runs, scores[name]) for name, runs in tokenizers.items()]
    measured = [key for key in (*SCORES, *BEFORE) if any(row[key] is not None for row in rows)]
    return Table(
        name=NAME,
        caption=f"Reconstruction of validation images by each tokenizer, study {study.study}.",
        columns=columns(["tokenizer", *SIZES, *measured, "methods"]),
        rows=rows,
        notes=_notes(study, rows, list(scores.values())),
        identity=("family",),
        more=("hash",),
    )


def _notes(study: Study, rows: list[Row], scores: list[Scores]) -> list[str]:
    notes = ["Compression: values of an image per value of its latent."]
    if any(row["rfid_untrained"] is not None for row in rows):
        notes.append(
            "Untrained: the same network before its training, for tokenizers that the study trains; "
            "for an RAE, the untrained decoder with the same encoder."
        )
    protocols = dict.fromkeys(s.protocol for s in scores if s.protocol)
    made = config_hash(sorted(s.hash for s in scores))
    return [
        *notes,
        *(f"{text[0].upper()}{text[1:]}." for text in protocols),
        f"Study {study.study}, configuration {made}, seed {study.seed}.",
    ]
