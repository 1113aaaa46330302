"""Internal guidance: a head on an inner block learns the same output; sampling moves away from it."""

from __future__ import annotations

from torch import Tensor, nn

from nanogen.config.schema import Term
from nanogen.objectives.flow_matching import FlowMatching, Predicted


class InternalGuidance:
    """Mean squared error of the inner head's velocity (`nanogen.sampling.solvers.Guidance`)."""

    def __init__(self, keys: Term, base: FlowMatching, network: nn.Module | None):
        self.velocity_of = base.velocity_of

    def __call__(self, predicted: Predicted) -> Tensor:
        assert predicted.output.base is not None
        velocity = self.velocity_of(predicted.output.base, predicted.image.x_t, predicted.t)
        return (velocity - predicted.image.velocity).square().mean()
