"""The words for activations in published configs, and ours. Two GELUs exist: exact (erf) and by tanh, 5e-4 apart."""

from __future__ import annotations

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
