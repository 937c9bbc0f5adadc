"""Models: the design space (`spec.py`), one decoder that any spec describes, families, and weights from and to disk."""

from .decoder import Decoder
from .families import all_families, find_family, find_release
from .lineage import record_lineage
from .pretrained import build, from_pretrained, spec
from .saving import export_gradients, export_weights, save_pretrained
from .spec import ModelSpec, PositionTable
from .weights import Row, WeightTable

__all__ = [
    "Decoder",
    "ModelSpec",
    "PositionTable",
    "Row",
    "WeightTable",
    "all_families",
    "build",
    "export_gradients",
    "export_weights",
    "find_family",
    "find_release",
    "from_pretrained",
    "record_lineage",
    "save_pretrained",
    "spec",
]
