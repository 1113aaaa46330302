"""Exchange with other programs: the authors' released checkpoints, the Hugging Face hub."""

from nanogen.interop.reference import load_reference
from nanogen.interop.reference_encoders import load_reference_encoder

__all__ = ["load_reference", "load_reference_encoder"]
