"""Modules that own parameters: what a decoder is assembled from."""

from .attention import Attention, AttentionSpec
from .basic import Embedding, Linear, Norm, NormSpec
from .block import Block, BranchSpec, LayerSpec
from .context import Context, KeyValueCache, ModelMemory, RollingCache
from .feed_forward import FeedForward, FeedForwardSpec
from .hyena import Hyena, HyenaSpec, ModalFilter, ModalFilterSpec
from .initialization import Constant, Normal, XavierNormal
from .invariants import check_mixer
from .mamba import Mamba, MambaSpec, ScanMemory
from .mixture import Mixture, MixtureSpec, balancing_loss
from .module import Module
from .positions import DynamicNTK, LearnedPositions, Rotary, SteppedNTK
from .relative_attention import RelativeAttention, RelativeAttentionSpec, RelativeCache

__all__ = [
    "Attention",
    "AttentionSpec",
    "Block",
    "BranchSpec",
    "Constant",
    "Context",
    "DynamicNTK",
    "Embedding",
    "FeedForward",
    "FeedForwardSpec",
    "Hyena",
    "HyenaSpec",
    "KeyValueCache",
    "LayerSpec",
    "LearnedPositions",
    "Linear",
    "Mamba",
    "MambaSpec",
    "Mixture",
    "MixtureSpec",
    "ModalFilter",
    "ModalFilterSpec",
    "ModelMemory",
    "Module",
    "Norm",
    "NormSpec",
    "Normal",
    "RelativeAttention",
    "RelativeAttentionSpec",
    "RelativeCache",
    "RollingCache",
    "Rotary",
    "ScanMemory",
    "SteppedNTK",
    "XavierNormal",
    "balancing_loss",
    "check_mixer",
]
