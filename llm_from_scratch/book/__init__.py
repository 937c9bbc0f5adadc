"""What the chapters share: figure style, real source on the page, proofs of equality, timings, small diagrams.

Everything here prints or draws; nothing computes what a chapter teaches. The machinery that executes notebooks and
compares their outputs is beside it (`python -m llm_from_scratch.book --help`) and is not imported from here.
"""

from .conversations import draw_mask, draw_segments
from .diagrams import draw_graph, where_it_sits
from .hearing import draw_reach, draw_sharing
from .prose import caught, close, show_source, table
from .speed import compare_speed
from .style import COLOURS, use_style
from .vector import show_svg

__all__ = [
    "COLOURS",
    "caught",
    "close",
    "compare_speed",
    "draw_graph",
    "draw_mask",
    "draw_reach",
    "draw_segments",
    "draw_sharing",
    "show_source",
    "show_svg",
    "table",
    "use_style",
    "where_it_sits",
]
