"""Numbers in fewer bits: GGUF's block formats, and linear layers whose weights stay packed in memory."""

from .blocks import BLOCKS, FLOATS, Codes, decode, dequantize, quantize

__all__ = ["BLOCKS", "FLOATS", "Codes", "decode", "dequantize", "quantize"]
