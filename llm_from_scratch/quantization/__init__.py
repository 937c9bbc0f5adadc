"""Numbers in fewer bits: GGUF's block formats, and linear layers whose weights stay packed in memory."""

from .blocks import BLOCKS, FLOATS, Codes, decode, dequantize, quantize
from .packed import PackedEmbedding, PackedLinear, PackedWeight, packed_linear
from .packed_block import PackedBlock, is_plain

__all__ = [
    "BLOCKS", "FLOATS", "Codes", "PackedBlock", "PackedEmbedding", "PackedLinear", "PackedWeight", "decode",
    "dequantize", "is_plain", "packed_linear", "quantize",
]  # fmt: skip
