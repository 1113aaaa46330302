"""Count the parameters of a tokenizer's training without allocating its networks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from nanogen.config import PIXELS, Study, load_model, stages
from nanogen.config.load import trained_run
from nanogen.config.model_schema import Model
from nanogen.config.model_stage import ModelStage
from nanogen.models import encoders, timm_networks
from nanogen.models.encoders import TransformerParts
from nanogen.models.loading import LibraryNetwork
from nanogen.parameters import parameter_count
from nanogen.stage1 import rae, vae
from nanogen.stage1.assembly import ADVERSARIES
from nanogen.stage1.phases import Phases

BUILDERS = {"rae": rae.build, "vae": vae.build}


@dataclass(frozen=True)
class Size:
    """Parameters of a tokenizer's training, and its length.

    Attributes:
        name: the tokenizer.
        trained: parameters of the decoder of an RAE, or of encoder and decoder of a VAE.
        heads: parameters of the discriminator's trained heads; 0 without a discriminator.
        frozen: parameters of the discriminator's frozen encoder.
        phases: the schedule in steps.
    """

    name: str
    trained: int
    heads: int
    frozen: int
    phases: Phases


def sizes(study: Study) -> Iterator[Size]:
    """Yield the size of every tokenizer that the study trains, in order of first use."""
    names: dict[str, None] = {}
    for task in study.tasks:
        names |= dict.fromkeys(trained_run(study, m, task).tokenizer for m in study.methods)
    for name in names:
        if name != PIXELS and load_model(study, name).source == "build":
            yield size_of(study, name)


def size_of(study: Study, name: str) -> Size:
    """Return the size of one tokenizer's training."""
    stage = ModelStage.from_json(stages.model(study, name))
    model, keys = stage.model, stage.tokenizer_training
    assert model.data is not None
    # a tokenizer that is tuned end to end has the architecture of the one that it starts from
    network = load_model(study, model.end_to_end.start) if model.end_to_end else model
    data, judge = stages.task_data(study, model.data), stage.networks.get("discriminator")
    heads = frozen = 0
    trained = parameter_count(lambda: BUILDERS[network.kind](network, data.resolution))
    if judge and keys.adversarial:
        frozen, width = _frozen(judge)
        layers, kernel = len(keys.adversarial.layers), keys.adversarial.kernel
        heads = _heads(model.kind, width, layers, kernel)
    return Size(name, trained, heads, frozen, Phases.of(keys, data.train_images))


def _frozen(judge: Model) -> tuple[int, int]:
    """Return the number of parameters and the token width of the discriminator's encoder."""
    widths = []

    def make() -> LibraryNetwork:
        encoder = _encoder(judge)
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
