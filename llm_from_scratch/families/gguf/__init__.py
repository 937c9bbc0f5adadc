"""GGUF, the layout of the llama.cpp library, as a second published layout of families that have another.

`facts.py` says how a file's metadata are a config, `rows.py` how its tensors are our parameters, and
`architectures.py` which architectures there are. Each table is read both ways: reading and writing cannot disagree.
"""

from .architectures import ARCHITECTURES, architecture_of, find_architecture
from .facts import Architecture, Header

__all__ = ["ARCHITECTURES", "Architecture", "Header", "architecture_of", "find_architecture"]
