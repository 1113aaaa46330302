"""Exchange with other programs: the authors' released checkpoints, the Hugging Face hub."""

from nanogen.interop.reference import load_reference

__all__ = ["load_reference"]
