"""Models from and to disk: built fresh, read from a checkpoint or a GGUF file, saved, and where they came from."""

from .gguf_saving import save_gguf
from .lineage import record_lineage
from .model import Decoder
from .pretrained import build, from_pretrained, spec
from .saving import export_gradients, export_weights, save_pretrained

__all__ = [
    "Decoder",
    "build",
    "export_gradients",
    "export_weights",
    "from_pretrained",
    "record_lineage",
    "save_gguf",
    "save_pretrained",
    "spec",
]
