"""What the added terms of an objective need: heads of the backbone, caches, frozen networks.

Combinations without a meaning are refused here, when the configuration is read.
"""

from __future__ import annotations

from typing import Any

from nanogen.config.schema import Run, Term
from nanogen.config.train_stage import Heads
from nanogen.errors import UserError, nearest

# term -> the part of its encoder's cached features that it reads
CACHED = {"reg": "cls", "repa": "patches"}
# terms that run their encoder on the predicted image, which must therefore be an image
IN_PIXELS = ("lpips", "features")
NAMES = (*CACHED, *IN_PIXELS, "internal-guidance")
# terms whose losses have changed since older versions, with the number of their current version
REVISED = {"features": 2}
# the same for what bfloat16 rounds in a training: the residual stream is no longer rounded
ROUNDED = {"residual": 2}
REPA_HEADS = {"mse-linear": "linear", "cosine-mlp": "mlp", "cosine-conv": "conv"}


def caches(run: Run) -> dict[str, str]:
    """Return part of the cached features (``cls``, ``patches``) -> the encoder that it comes from."""
    terms = run.objective.terms
    return {part: str(terms[name].encoder) for name, part in CACHED.items() if name in terms}


def networks(run: Run) -> dict[str, str]:
    """Return term -> the frozen network that it runs in every training step."""
    terms = run.objective.terms
    return {name: str(terms[name].encoder) for name in IN_PIXELS if name in terms}


def revised_terms(run: Run) -> dict[str, int]:
    """The terms whose losses have changed since older versions."""
    return {name: REVISED[name] for name in run.objective.terms if name in REVISED}


def revisions(run: Run) -> dict[str, dict[str, int]]:
    """The key ``revised`` of a stage whose losses have changed since older versions."""
    found = revised_terms(run) | (ROUNDED if run.training.precision == "bf16" else {})
    return {"revised": found} if found else {}


def encoders(run: Run) -> list[str]:
    """Every frozen network that the terms need, once."""
    return list(dict.fromkeys([*caches(run).values(), *networks(run).values()]))


def backbone_keys(run: Run, widths: dict[str, int]) -> dict[str, Any]:
    """Keys that the terms add to the backbone's; ``widths`` are those of the encoders, by name."""
    terms = run.objective.terms
    reg, repa, guidance = map(terms.get, ("reg", "repa", "internal-guidance"))
    return Heads(
        cls_width=widths[str(reg.encoder)] if reg else None,
        repa_depth=repa.depth if repa else None,
        repa_width=widths[str(repa.encoder)] if repa else None,
        repa_head=REPA_HEADS[repa.head] if repa else None,
        guidance_depth=guidance.depth if guidance else None,
    ).keys()


def check(run: Run, pixels: bool, where: str) -> None:
    """Raise UserError for terms that do not fit the run; ``pixels`` means that it has no tokenizer."""
    terms = run.objective.terms
    for name, term in terms.items():
        if name not in NAMES:
            raise UserError(f"{where}: unknown objective.terms.{name}{nearest(name, NAMES)}")
        _check_encoder(name, term, where)
        _check_depth(name, term, run.backbone.encoder_depth, where)
    for name in IN_PIXELS:
        if name in terms and not pixels:
            raise UserError(
                f"{where}: objective.terms.{name} compares images, but {run.tokenizer} makes latents; "
                "it needs tokenizer: pixels"
            )
    if {"reg", "repa"} <= terms.keys() and terms["reg"].encoder != terms["repa"].encoder:
        raise UserError(
            f"{where}: with REG, REPA aligns the cls token too; give objective.terms.repa.encoder and "
            "objective.terms.reg.encoder the same encoder"
        )
    if "reg" in terms and "repa" in terms and terms["repa"].head == "cosine-conv":
        raise UserError(
            f"{where}: with REG, REPA aligns the cls token too, which is not a cell of a grid; give "
            "objective.terms.repa.head mse-linear or cosine-mlp"
        )
    for key in ("internal_guidance", "internal_unconditional"):
        scale = getattr(run.sampling, key)
        if scale not in (1, None) and "internal-guidance" not in terms:
            raise UserError(
                f"{where}: sampling.{key} {scale} needs the head that objective.terms.internal-guidance "
                "trains"
            )


def _check_encoder(name: str, term: Term, where: str) -> None:
    if name != "internal-guidance" and term.encoder is None:
        raise UserError(
            f"{where}: objective.terms.{name}.encoder must name a frozen network, a file in "
            "config/models"
        )


def _check_depth(name: str, term: Term, blocks: int, where: str) -> None:
    if name not in ("repa", "internal-guidance"):
        return
    if term.depth is None or not 1 <= term.depth <= blocks:
        raise UserError(
            f"{where}: objective.terms.{name}.depth {term.depth} must be one of the encoder's blocks, 1 "
            f"to {blocks} (backbone.encoder_depth)"
        )
