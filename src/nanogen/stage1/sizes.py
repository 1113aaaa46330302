"""Count the parameters of a tokenizer's training without allocating its networks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from nanogen.config import Study, load_model, stages
from nanogen.config.load import tokenizer_networks, trained_run
from nanogen.config.model_schema import Model
from nanogen.config.model_stage import ModelStage
from nanogen.models import encoders, timm_networks
from nanogen.models.encoders import TransformerParts
from nanogen.models.loading import LibraryNetwork
from nanogen.parameters import parameter_count
from nanogen.stage1 import vae
from nanogen.stage1.assembly import ADVERSARIES
from nanogen.stage1.phases import Phases
from nanogen.tokenizers import vit_decoder

BUILDERS = {"rae": vit_decoder.build, "vae": vae.build}


@dataclass(frozen=True)
class Size:
    """Parameters of a tokenizer's training, and its length.

    Attributes:
        name: the tokenizer.
        trained: parameters of the decoder of an RAE, or of encoder and decoder of a VAE; None for a VAE
            that is tuned from one that others publish, whose size is known once it is downloaded.
        heads: parameters of the discriminator's trained heads; 0 without a discriminator.
        frozen: parameters of the discriminator's frozen encoder.
        phases: the schedule in steps.
    """

    name: str
    trained: int | None
    heads: int
    frozen: int
    phases: Phases


def sizes(study: Study) -> Iterator[Size]:
    """Yield the size of every tokenizer that the study trains, in order of first use.

    A VAE that another one is tuned from is one of them.
    """
    runs = [trained_run(study, method, task) for task in study.tasks for method in study.methods]
    for name in dict.fromkeys(name for run in runs for name in tokenizer_networks(study, run)):
        model = load_model(study, name)
        if model.kind in BUILDERS and model.source == "build":
            yield size_of(study, name)


def size_of(study: Study, name: str) -> Size:
    """Return the size of one tokenizer's training."""
    stage = ModelStage.from_json(stages.model(study, name))
    model, keys = stage.model, stage.tokenizer_training
    assert model.data is not None
    data, judge = stages.task_data(study, model.data), stage.networks.get("discriminator")
    heads = frozen = 0
    if judge and keys.adversarial:
        frozen, width = _frozen(judge.model_dump_json())
        layers, kernel = len(keys.adversarial.layers), keys.adversarial.kernel
        heads = _heads(model.kind, width, layers, kernel)
    trained = _trained(study, name, data.resolution)
    return Size(name, trained, heads, frozen, Phases.of(keys, data.train_images))


def _trained(study: Study, name: str, resolution: int) -> int | None:
    model = load_model(study, name)
    if model.end_to_end:  # it has the architecture of the one that it starts from
        return _trained(study, model.end_to_end.start, resolution)
    if model.source != "build" and not model.architecture:
        return None
    return parameter_count(lambda: BUILDERS[model.kind](model, resolution))


@cache  # the tokenizers of a study share it
def _frozen(judge: str) -> tuple[int, int]:
    """Return the number of parameters and the token width of the discriminator's encoder.

    Args:
        judge: its configuration as JSON.
    """
    widths = []

    def make() -> LibraryNetwork:
        encoder = _encoder(Model.model_validate_json(judge))
        widths.append(TransformerParts.of(encoder).width)
        return encoder

    return parameter_count(make), widths[0]


@cache  # building spectral norms runs a slow power iteration, and most tokenizers share the result
def _heads(kind: str, width: int, layers: int, kernel: int) -> int:
    return parameter_count(lambda: ADVERSARIES[kind].heads_class(width, layers, kernel))


def _encoder(model: Model) -> LibraryNetwork:
    if timm_networks.is_timm(model.model_class) and model.model_class != timm_networks.EVA:
        return timm_networks.build(model.model_class, model.architecture)
    return encoders.build_encoder(model)
