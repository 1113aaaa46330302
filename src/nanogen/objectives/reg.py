"""REG: the frozen encoder's cls feature is diffused beside the image (paper, section 2; Wu et al. 2025,
"Representation Entanglement for Generation", arXiv 2507.01467)."""

from __future__ import annotations

from torch import Tensor, nn

from nanogen.config.schema import Term
from nanogen.objectives.flow_matching import FlowMatching, Predicted


class Reg:
    """Mean squared error of the cls feature's velocity, which the network always predicts as such."""

    def __init__(self, keys: Term, base: FlowMatching, network: nn.Module | None):
        pass

    def __call__(self, predicted: Predicted) -> Tensor:
        """Over every head that predicts it: the network's own, and internal guidance's."""
        assert predicted.cls is not None
        wanted, heads = predicted.cls.velocity, [predicted.output, predicted.output.base]
        made = [head.cls for head in heads if head and head.cls is not None]
        errors = [(cls.float() - wanted).square().mean() for cls in made]
        return sum(errors[1:], errors[0])
