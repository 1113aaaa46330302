"""A study's networks with random weights, as if it had trained them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from nanogen.config import stages
from nanogen.config.model_stage import ModelStage
from nanogen.config.study_schema import Study
from nanogen.models.card import write_card
from nanogen.small_networks.random_networks import write_random_network


def write_random(study: Study, names: Iterable[str], place: Path) -> None:
    """Write the networks, one folder each, below ``place``; the study gives their source as random."""
    for name in names:
        stage = ModelStage.from_json(stages.model(study, name))
        (place / name).mkdir()
        write_random_network(replace(stage, resolution=32), place / name)
        write_card(place / name, stage, {}, 0.0)
