"""Numbers in fewer bits: GGUF's block formats, NF4 and FP4, and linear layers whose weights stay packed in memory."""

from . import fp4, int8, nf4
from .affine import Quantized, absmax_quantize, zero_point_quantize
from .blocks import BLOCKS, FLOATS, WRITTEN, Codes, decode, dequantize, quantize
from .grid import Grid, round_to_grid
from .grid_linear import GridLinear, GridWeight
from .int8_linear import Int8Linear, Int8Weight, to_int8
from .nf4_linear import NF4Linear, NF4Weight, to_nf4
from .number_formats import FORMATS, FloatFormat, IntegerFormat, TableFormat
from .packed import PackedEmbedding, PackedLinear, PackedWeight, packed_linear

__all__ = [
    "BLOCKS",
    "Codes",
    "FLOATS",
    "FORMATS",
    "FloatFormat",
    "Grid",
    "GridLinear",
    "GridWeight",
    "Int8Linear",
    "Int8Weight",
    "IntegerFormat",
    "NF4Linear",
    "NF4Weight",
    "PackedEmbedding",
    "PackedLinear",
    "PackedWeight",
    "Quantized",
    "TableFormat",
    "WRITTEN",
    "absmax_quantize",
    "decode",
    "dequantize",
    "fp4",
    "int8",
    "nf4",
    "packed_linear",
    "quantize",
    "round_to_grid",
    "to_int8",
    "to_nf4",
    "zero_point_quantize",
]
