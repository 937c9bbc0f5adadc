"""Models: the design space (`spec.py`) and one decoder that any spec describes. Families and files are rooms above."""

from .decoder import Decoder
from .spec import ModelSpec, PositionTable

__all__ = ["Decoder", "ModelSpec", "PositionTable"]
