"""NanoGen: one backbone, one training loop and one evaluation for diffusion transformers."""

__version__ = "0.1.0"
