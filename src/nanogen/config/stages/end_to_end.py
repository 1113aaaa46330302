"""The backbone that a VAE is tuned together with, as keys of a ``train`` stage."""

from __future__ import annotations

from typing import Any

from nanogen.config.checks import check_heads
from nanogen.config.load import load_model, trained_run
from nanogen.config.model_schema import Model
from nanogen.config.schema import Backbone, Conditioner, Objective
from nanogen.config.study_schema import Study
from nanogen.config.terms import REPA_HEADS
from nanogen.config.tokenizer_schema import EndToEnd
from nanogen.config.train_stage import Heads
from nanogen.config.validation import Layer, validate
from nanogen.errors import UserError


def joint(study: Study, config: Model) -> dict[str, Any]:
    """The keys of a ``train`` stage for the backbone that is tuned together with this VAE.

    Raises UserError if the VAE that it starts from, the encoder or the depth do not fit.
    """
    keys = config.end_to_end
    assert keys is not None
    where = f"config/models/{config.name}.yaml (end_to_end)"
    _check_start(study, config, keys, where)
    base = f"study {study.study}"
    backbone = validate(Backbone, [Layer(base, study.backbone), Layer(where, keys.backbone)])
    objective = validate(Objective, [Layer(base, study.objective), Layer(where, keys.objective)])
    _check_backbone(config, backbone, objective, where)
    width, head = _width(study, keys.encoder, where), REPA_HEADS[keys.head]
    heads = Heads(repa_depth=keys.depth, repa_width=width, repa_head=head)
    return {
        "seed": study.seed,
        "method": config.name,
        "task": config.data,
        "latent": list(config.latent or ()),
        "text_width": None,
        "conditioner": _labels(study, config, where).model_dump(mode="json"),
        "backbone": {
            **backbone.model_dump(mode="json"),
            **heads.keys(),
        },
        "objective": objective.model_dump(mode="json"),
        "training": {"condition_dropout": keys.condition_dropout},
    }


def _check_start(study: Study, config: Model, keys: EndToEnd, where: str) -> None:
    start = load_model(study, keys.start)
    if (start.kind, start.model_class, start.latent) != ("vae", config.model_class, config.latent):
        raise UserError(
            f"{where}: start {keys.start} is a {start.model_class} of latents {start.latent}, but "
            f"{config.name} is a {config.model_class} of latents {config.latent}; tuning changes neither"
        )


def _check_backbone(config: Model, backbone: Backbone, objective: Objective, where: str) -> None:
    assert config.end_to_end is not None
    assert config.latent is not None
    depth = config.end_to_end.depth
    if depth > backbone.encoder_depth:
        raise UserError(
            f"{where}: depth {depth} must be one of the encoder's blocks, 1 to {backbone.encoder_depth}"
        )
    _, rows, columns = config.latent
    if rows % backbone.patch or columns % backbone.patch:
        raise UserError(
            f"{where}: backbone.patch {backbone.patch} does not divide the latent {rows}x{columns}"
        )
    check_heads(backbone, where)
    if objective.kind != "flow-matching" or objective.terms:
        raise UserError(
            f"{where}: a VAE is tuned by flow matching and REPA alone; set objective.kind and "
            "objective.terms of the study for its methods instead"
        )


def _labels(study: Study, config: Model, where: str) -> Conditioner:
    """The backbone is conditioned on classes; captions would tie the tuning to a text encoder."""
    assert config.data is not None
    conditioner = trained_run(study, study.methods[0], config.data).conditioner
    if conditioner.kind != "label":
        raise UserError(f"{where}: 'data' {config.data} has no classes; name a task that has")
    return conditioner


def _width(study: Study, encoder: str, where: str) -> int:
    model = load_model(study, encoder)
    if model.kind != "encoder" or model.width is None:
        raise UserError(f"{where}: encoder {encoder} is not a vision encoder with a 'width'")
    return model.width
