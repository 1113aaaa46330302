"""PixelGen's LPIPS term: a learned distance between the predicted clean image and the true one
(Ma et al. 2026, arXiv 2602.02493). The distances are those of `nanogen.models.perceptual`.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from nanogen.backbones.embeddings import sent
from nanogen.config.schema import Term
from nanogen.errors import UserError
from nanogen.objectives.flow_matching import FlowMatching, Predicted


def mean_below(
    distance: Callable[[Tensor, Tensor], Tensor], predicted: Predicted, t_below: float
) -> Tensor:
    """Mean over all samples of the clean prediction's distance, which counts as zero unless t < t_below.

    The others are left out of the frozen network's batch: with the shift of times they are about half.
    It is no mean over those that count, because their number differs between processes. They are found
    on the CPU, where their times were drawn, so that nothing waits for the device.
    """
    near = sent((predicted.times < t_below).nonzero()[:, 0], predicted.clean.device)
    images, targets = predicted.clean[near], predicted.batch.x[near]
    if not len(near):  # networks of the libraries do not take an empty batch
        return images.sum()
    return distance(images, targets).sum() / len(predicted.t)


class Perceptual:
    """The distance of the predicted clean image, only where there is little noise."""

    def __init__(self, keys: Term, base: FlowMatching, network: nn.Module | None):
        if network is None:
            raise UserError("the term lpips compares with a frozen network: give --network NAME=DIR")
        self.distance, self.t_below = network, keys.t_below

    def __call__(self, predicted: Predicted) -> Tensor:
        return mean_below(self.distance, predicted, self.t_below)
