"""NanoGen: one backbone, one training loop and one evaluation for diffusion transformers."""

__version__ = "0.2.0"
