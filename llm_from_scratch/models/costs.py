"""What a model costs: parameters by part, bytes to load and to train, memory per token, FLOPs. Nothing is allocated.

What is counted, and what is a percent or so and is not, is said in `counting.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..layers import AttentionSpec, RelativeAttentionSpec
from .choices import is_feed_forward, mixers
from .counting import attention_flops, counted
from .decoder import Decoder
from .spec import ModelSpec

# Bytes a parameter. The two block formats are GGUF's Q8_0 and Q4_0: 32 numbers share a scale of 2 bytes.
PRECISIONS = {"float32": 4.0, "bfloat16": 2.0, "int8": 34 / 32, "4-bit": 18 / 32}
TRAINING_BYTES = 16  # float32: weight, gradient, AdamW's two averages; mixed: 2 + 2 + 4 + 4 + 4 comes to the same
_BFLOAT16, _FLOAT32 = 2, 4


@dataclass(frozen=True)
class Costs:
    """The bill of one model; see `costs`."""

    parts: dict[str, int]
    parameters: int
    active_parameters: int
    bytes_to_load: dict[str, float]
    memory_per_token: int | None
    memory_fixed: int | None
    memory_before_windows: int | None
    memory_at_length: int | None
    matrix_flops_per_token: int
    attention_flops_per_token: int
    training_bytes: int

    @property
    def forward_flops_per_token(self) -> int:
        """One token through the model, on the average of a whole context."""
        return self.matrix_flops_per_token + self.attention_flops_per_token

    def training_flops(self, tokens: float) -> dict[str, float]:
        """Forward and backward over `tokens`: the rule of thumb 6ND, and counted (three times the forward)."""
        return {"6ND": 6.0 * self.active_parameters * tokens, "counted": 3.0 * self.forward_flops_per_token * tokens}


def costs(spec: ModelSpec, *, length: int | None = None) -> Costs:
    """The bill of a model at sequences of `length` tokens (default: its context).

    parts: parameters by part. active_parameters: those that one token uses (fewer with experts). memory_per_token:
    bytes in bfloat16 that generation keeps for each token (the key-value cache), memory_fixed: those that do not grow
    (the state of a scan or a convolution; windows count as fixed, at their full width); memory_before_windows: bytes
    that each token takes until the first window is full; memory_at_length: what is kept after `length` tokens; None
    where a mixer is not known here. training_bytes: weights, gradients and AdamW's averages, without activations.

    >>> from llm_from_scratch.checkpoints import spec
    >>> bill = costs(spec("llama-2-7b"))
    >>> bill.parameters, bill.memory_per_token                    # 2 · 32 layers · 4096 · 2 bytes
    (6738415616, 524288)
    >>> f"{bill.training_flops(2e12)['6ND']:.3g}"
    '8.09e+22'
    """
    length = spec.context_length if length is None else length
    model = Decoder(spec)
    found = list(counted(model))
    parts: dict[str, int] = {}
    for parameter in found:
        if parameter.size:
            parts[_part(parameter.name)] = parts.get(_part(parameter.name), 0) + parameter.size
    total = sum(parts.values())
    per_token, fixed = _memory(spec)
    windows = _windows(spec)
    growing = whole = None
    if per_token is not None and fixed is not None:
        growing = per_token + sum(size for size, _ in windows)
        whole = per_token * length + fixed - sum(size * max(0, window - length) for size, window in windows)
    return Costs(
        parts=parts,
        parameters=total,
        active_parameters=round(sum(parameter.used for parameter in found)),
        bytes_to_load={name: total * size for name, size in PRECISIONS.items()},
        memory_per_token=per_token,
        memory_fixed=fixed,
        memory_before_windows=growing,
        memory_at_length=whole,
        matrix_flops_per_token=round(2 * sum(parameter.multiplied for parameter in found)),
        attention_flops_per_token=sum(attention_flops(part, length) for part in mixers(spec)),
        training_bytes=TRAINING_BYTES * total,
    )


def _part(name: str) -> str:
    if not name.startswith("layers."):
        first = name.split(".")[0]
        return "norms" if first in ("norm", "embedding_norm") else first.replace("_", " ")
    function = name.split(".")[2]
    if function.endswith(("_norm", "_norm_branch", "_norm_after")):
        return "norms"
    return "feed-forward" if is_feed_forward(function) else "mixers"


def _token(part: AttentionSpec) -> int:
    kept = 3 if isinstance(part, RelativeAttentionSpec) else 2  # key and value; there, a projected distance too
    return kept * part.key_value_heads * part.head_dim * _BFLOAT16


def _windows(spec: ModelSpec) -> list[tuple[int, int]]:
    """(bytes a token, window) of every layer that keeps a window only."""
    attentions = (part for part in mixers(spec) if isinstance(part, AttentionSpec))
    return [(_token(part), part.window) for part in attentions if part.window is not None]


def _memory(spec: ModelSpec) -> tuple[int | None, int | None]:
    """(bytes that each further token takes, bytes that do not grow), in bfloat16; a state is float32."""
    per_token = fixed = 0
    for part in mixers(spec):
        if isinstance(part, AttentionSpec):
            size = _token(part)
            if part.window is None:
                per_token += size
            else:
                fixed += size * part.window
        elif hasattr(part, "state_numbers"):
            fixed += _FLOAT32 * part.state_numbers
        elif hasattr(part, "state_size") and hasattr(part, "inner_size"):  # a scan: state and the convolution's tail
            fixed += _FLOAT32 * part.inner_size * (part.state_size + part.convolution_width - 1)
        else:
            return None, None
    return per_token, fixed
