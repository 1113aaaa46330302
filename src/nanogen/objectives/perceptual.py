"""PixelGen's LPIPS term: a perceptual distance between the predicted clean image and the true one.

See Ma et al. 2026, arXiv 2602.02493. The distances are those of `nanogen.models.perceptual`.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from nanogen.config.schema import Term
from nanogen.errors import UserError
from nanogen.objectives.flow_matching import FlowMatching, Predicted
from nanogen.transfer import sent


def mean_below(
    distance: Callable[[Tensor, Tensor], Tensor], predicted: Predicted, t_below: float
) -> Tensor:
    """Return the mean distance of the clean prediction, where samples with t >= t_below count as zero.

    The frozen network is only applied to the samples with t < t_below, about half of them with shifted
    times. The mean is over all samples, because the number of these samples differs between processes.
    They are chosen on the CPU, where the times are drawn, so nothing waits for the device.
    """
    near = sent((predicted.times < t_below).nonzero()[:, 0], predicted.clean.device)
    images, targets = predicted.clean[near], predicted.batch.x[near]
    if not len(near):  # networks of the libraries do not accept an empty batch
        return images.sum()
    return distance(images, targets).sum() / len(predicted.t)


class Perceptual:
    """Perceptual distance of the predicted clean image, for samples with little noise."""

    def __init__(self, keys: Term, base: FlowMatching, network: nn.Module | None):
        if network is None:
            raise UserError("the term lpips needs a frozen network: give --network NAME=DIR")
        self.distance, self.t_below = network, keys.t_below

    def __call__(self, predicted: Predicted) -> Tensor:
        return mean_below(self.distance, predicted, self.t_below)
