"""Numbers in fewer bits: GGUF's block formats, and linear layers whose weights stay packed in memory."""

from .blocks import BLOCKS, FLOATS, Codes, decode, dequantize, quantize
from .packed import PackedEmbedding, PackedLinear, PackedWeight, packed_linear

__all__ = [
    "BLOCKS", "FLOATS", "Codes", "PackedEmbedding", "PackedLinear", "PackedWeight", "decode", "dequantize",
    "packed_linear", "quantize",
]  # fmt: skip
