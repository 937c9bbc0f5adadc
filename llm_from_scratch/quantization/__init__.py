"""Numbers in fewer bits: GGUF's block formats, NF4 and FP4, and linear layers whose weights stay packed in memory."""

from . import fp4, nf4
from .blocks import BLOCKS, FLOATS, Codes, decode, dequantize, quantize
from .grid import Grid
from .grid_linear import GridLinear, GridWeight
from .nf4_linear import NF4Linear, NF4Weight, to_nf4
from .packed import PackedEmbedding, PackedLinear, PackedWeight, packed_linear
from .packed_block import PackedBlock, is_plain

__all__ = [
    "BLOCKS",
    "FLOATS",
    "Codes",
    "Grid",
    "GridLinear",
    "GridWeight",
    "NF4Linear",
    "NF4Weight",
    "PackedBlock",
    "PackedEmbedding",
    "PackedLinear",
    "PackedWeight",
    "decode",
    "dequantize",
    "fp4",
    "is_plain",
    "nf4",
    "packed_linear",
    "quantize",
    "to_nf4",
]
