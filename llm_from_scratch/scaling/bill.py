"""What a design costs: parameters by part, bytes to load, memory per token, FLOPs. Nothing is allocated.

The parts say themselves what they compute and remember, and what of it is counted: see `layers/described.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..layers.block import is_feed_forward
from ..models.decoder import Decoder
from ..models.spec import ModelSpec

# Bits a parameter, scales included: a block of 32 has one of 16 bits (GGUF), one of 64 has one of 32 (NF4) or, doubly
# quantised, one of 8 and a share of a second one.
BITS = {
    "float32": 32.0, "bfloat16": 16.0, "float16": 16.0, "Q8_0": 8.5, "int8": 8.0, "Q4_0": 4.5, "NF4": 4.5,
    "NF4, double": 4 + 8 / 64 + 32 / (64 * 256), "int4": 4.0,
}  # fmt: skip
PRECISIONS = {"float32": "float32", "bfloat16": "bfloat16", "int8": "Q8_0", "4-bit": "Q4_0"}  # what `costs` lists
TRAINING_BYTES = 16  # float32: weight, gradient, AdamW's two averages; mixed: 2 + 2 + 4 + 4 + 4 comes to the same
_FAR = 2**40  # behind any window


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
    head_flops_per_token: int
    training_bytes: int

    @property
    def forward_flops_per_token(self) -> int:
        """One token through the model, on the average of a whole context."""
        return self.matrix_flops_per_token + self.attention_flops_per_token

    def step_flops(self, tokens: float, *, recompute: bool = False) -> dict[str, float]:
        """Of training on `tokens`, pass by pass: forward; backward (twice as much: a matrix is used for the gradient of
        its input, and again for its own); recompute: the layers' forward once more, where activations are not kept.
        """
        forward = float(self.forward_flops_per_token * tokens)
        again = (forward - self.head_flops_per_token * tokens) * recompute
        return {"forward": forward, "backward": 2 * forward, "recompute": again, "total": 3 * forward + again}

    def training_flops(self, tokens: float) -> dict[str, float]:
        """Forward and backward over `tokens`: the rule of thumb 6ND, and counted (three times the forward)."""
        return {"6ND": 6.0 * self.active_parameters * tokens, "counted": 3.0 * self.forward_flops_per_token * tokens}


def costs(spec: ModelSpec, *, length: int | None = None) -> Costs:
    """The bill of a model at sequences of `length` tokens (default: its context).

    parts: parameters by part. active_parameters: those that one token uses (fewer with experts). memory_per_token:
    bytes in bfloat16 that generation keeps for each token (the key-value cache), memory_fixed: those that do not grow
    (the state of a scan or a convolution; windows count as fixed, at their full width); memory_before_windows: bytes
    that each token takes until the first window is full; memory_at_length: what is kept after `length` tokens; None
    where a mixer does not say. training_bytes: weights, gradients and AdamW's averages, without activations.

    >>> from llm_from_scratch.checkpoints import spec
    >>> bill = costs(spec("llama-2-7b"))
    >>> bill.parameters, bill.memory_per_token                    # 2 · 32 layers · 4096 · 2 bytes
    (6738415616, 524288)
    >>> f"{bill.training_flops(2e12)['6ND']:.3g}"
    '8.09e+22'
    """
    length = spec.context_length if length is None else length
    model = Decoder(spec)
    parts: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        parts[_part(name)] = parts.get(_part(name), 0) + parameter.size
    total = sum(parts.values())
    idle = sum(getattr(module, "idle_parameter_count", 0) for _, module in model.named_modules())
    attention = spec.attention_flops(length)
    per_token = fixed = growing = whole = None
    if spec.memory_bytes(length) is not None:
        far, whole = _memory(spec, _FAR), _memory(spec, length)
        per_token = _memory(spec, _FAR + 1) - far
        fixed = far - _FAR * per_token
        growing = _memory(spec, 2) - _memory(spec, 1)
    return Costs(
        parts=parts,
        parameters=total,
        active_parameters=total - idle,
        bytes_to_load={name: total * BITS[kind] / 8 for name, kind in PRECISIONS.items()},
        memory_per_token=per_token,
        memory_fixed=fixed,
        memory_before_windows=growing,
        memory_at_length=whole,
        matrix_flops_per_token=(spec.flops(length) - attention) // length,
        attention_flops_per_token=round(attention / length),
        head_flops_per_token=2 * (spec.embedding_size or spec.hidden_size) * spec.vocab_size,
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


def _memory(spec: ModelSpec, length: int) -> int:
    """Bytes after `length` tokens: keys and values in bfloat16, states in float32."""
    return (spec.memory_bytes(length) or 0) - spec.cache_bytes(length) // 2
