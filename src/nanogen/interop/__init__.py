"""Exchange with other programs: the authors' released files and the Hugging Face Hub."""

from nanogen.interop.checkpoint import export_checkpoint, import_checkpoint
from nanogen.interop.rae import export_rae, import_rae
from nanogen.interop.reference import load_reference
from nanogen.interop.reference_encoders import load_reference_encoder

__all__ = [
    "export_checkpoint",
    "export_rae",
    "import_checkpoint",
    "import_rae",
    "load_reference",
    "load_reference_encoder",
]
