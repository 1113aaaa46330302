"""REG: a frozen encoder's class token is diffused together with the image (paper, section 2).

See Wu et al. 2025, "Representation Entanglement for Generation", arXiv 2507.01467.
"""

from __future__ import annotations

from torch import Tensor, nn

from nanogen.config.schema import Term
from nanogen.objectives.flow_matching import FlowMatching, Predicted


class Reg:
    """Mean squared error of the class token's velocity, which the network predicts directly."""

    def __init__(self, keys: Term, base: FlowMatching, network: nn.Module | None):
        pass

    def __call__(self, predicted: Predicted) -> Tensor:
        """Sum the errors of all heads that predict it: the last one, and that of internal guidance."""
        assert predicted.cls is not None
        wanted, heads = predicted.cls.velocity, [predicted.output, predicted.output.base]
        made = [head.cls for head in heads if head and head.cls is not None]
        errors = [(cls.float() - wanted).square().mean() for cls in made]
        return sum(errors[1:], errors[0])
