"""The Inception-v3 network that defines FID (Heusel et al. 2017, arXiv 1706.08500).

This is the 2015 network with the weights and the resizing of TensorFlow 1, as converted by
torch-fidelity.
"""

from __future__ import annotations

import io

import torch
from torch import Tensor
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

WIDTH, CLASSES = 2048, 1008


class InceptionV3(FeatureExtractorInceptionV3):
    """Map uint8 (N, 3, H, W) to pooled features (N, 2048) and logits without the bias (N, 1008)."""

    def __init__(self) -> None:
        # The parent's constructor unpickles weights, which could execute code. It gets an empty pickle
        # instead; the weights are loaded from safetensors afterwards.
        nothing = io.BytesIO()
        torch.save({}, nothing)
        nothing.seek(0)
        super().__init__("inception-v3-compat", ["2048", "logits_unbiased"], nothing)

    def load_state_dict(self, state_dict: dict[str, Tensor], *args, **kwargs):
        return super().load_state_dict(state_dict, *args, **kwargs) if state_dict else None
