"""Modules that own parameters: what a decoder is assembled from."""

from .attention import Attention, AttentionSpec
from .basic import Embedding, Linear, Norm, NormSpec
from .block import Block, BranchSpec, LayerSpec
from .context import Context, KeyValueCache, ModelMemory
from .feed_forward import FeedForward, FeedForwardSpec
from .initialization import Constant, Normal, XavierNormal
from .module import Module
from .positions import LearnedPositions, Rotary

__all__ = [
    "Attention",
    "AttentionSpec",
    "Block",
    "BranchSpec",
    "Constant",
    "Context",
    "Embedding",
    "FeedForward",
    "FeedForwardSpec",
    "KeyValueCache",
    "LayerSpec",
    "LearnedPositions",
    "Linear",
    "ModelMemory",
    "Module",
    "Norm",
    "NormSpec",
    "Normal",
    "Rotary",
    "XavierNormal",
]
