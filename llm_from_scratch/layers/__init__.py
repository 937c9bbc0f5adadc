"""Modules that own parameters: what a decoder is assembled from."""

from .attention import Attention, AttentionSpec
from .basic import Embedding, Linear, Norm, NormSpec
from .block import Block, BranchSpec, LayerSpec
from .context import Context, Visibility, real_tokens
from .described import Described
from .feed_forward import FeedForward, FeedForwardSpec
from .hyena import Hyena, HyenaSpec, ModalFilter, ModalFilterSpec
from .initialization import Constant, Normal, XavierNormal
from .invariants import check_mixer
from .mamba import Mamba, MambaSpec, ScanMemory
from .memory import KeyValueCache, Memory, RollingCache
from .mixture import Mixture, MixtureSpec, balancing_loss
from .model_memory import ModelMemory
from .module import Initializer, Module, StoredWeight, parameter
from .positions import DynamicNTK, LearnedPositions, Rotary, SteppedNTK, alibi_slopes
from .recording import Recording
from .relative_attention import RelativeAttention, RelativeAttentionSpec, RelativeCache

__all__ = [
    "Attention",
    "AttentionSpec",
    "Block",
    "BranchSpec",
    "Constant",
    "Context",
    "Described",
    "DynamicNTK",
    "Embedding",
    "FeedForward",
    "FeedForwardSpec",
    "Hyena",
    "HyenaSpec",
    "Initializer",
    "KeyValueCache",
    "LayerSpec",
    "LearnedPositions",
    "Linear",
    "Mamba",
    "MambaSpec",
    "Memory",
    "Mixture",
    "MixtureSpec",
    "ModalFilter",
    "ModalFilterSpec",
    "ModelMemory",
    "Module",
    "Norm",
    "NormSpec",
    "Normal",
    "Recording",
    "RelativeAttention",
    "RelativeAttentionSpec",
    "RelativeCache",
    "RollingCache",
    "Rotary",
    "ScanMemory",
    "SteppedNTK",
    "StoredWeight",
    "Visibility",
    "XavierNormal",
    "alibi_slopes",
    "balancing_loss",
    "check_mixer",
    "parameter",
    "real_tokens",
]
