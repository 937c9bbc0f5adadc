"""What each parameter of a model holds and is used for, and what attention computes: units of `costs` and `summary`.

Counted are matrix products and attention (a multiplication and an addition are two); norms, activations, rotary angles
and the softmax are a percent or so and are not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

from ..autograd import Tensor
from ..layers import AttentionSpec, RelativeAttentionSpec
from ..layers.mixture import MixtureSpec


class Counted(NamedTuple):
    """One parameter. used: how many of its numbers a token uses, multiplied: how many it is multiplied with."""

    name: str
    size: int
    used: Fraction
    multiplied: Fraction
    nbytes: int


def counted(model: Any) -> Iterator[Counted]:
    """Every parameter of a decoder, packed ones too; a tied head is a last one that holds nothing and multiplies."""
    shares = _shares(model)
    for name, weight in model.named_weights():
        shape, size = weight.shape, math.prod(weight.shape)
        nbytes = size * weight.dtype.itemsize if isinstance(weight, Tensor) else weight.nbytes
        share = next((share for prefix, share in shares.items() if name.startswith(prefix)), Fraction(1))
        multiplies = len(shape) > 1 and name.split(".")[0] not in ("embedding", "positions")
        yield Counted(name, size, share * size, share * size * multiplies, nbytes)
    if model.spec.tied:  # the head's product uses the embedding
        yield Counted("head.weight", 0, Fraction(0), Fraction(model.spec.vocab_size * model.embedding_width), 0)


def _shares(model: Any) -> dict[str, Fraction]:
    """Prefixes of parameters of which a token uses a share only: the experts of a mixture."""
    found: dict[str, Fraction] = {}
    for path, module in model.named_modules():
        spec = getattr(module, "spec", None)
        if isinstance(spec, MixtureSpec):
            found[f"{path}.experts"] = Fraction(spec.chosen, spec.experts)
    return found


def attention_flops(part: Any, length: int) -> int:
    """Scores and their use, for a token in the middle: causal attention sees (length + 1) / 2 keys on the average."""
    if not isinstance(part, AttentionSpec):
        return 0
    keys = (length + 1) / 2
    if part.window is not None and part.window < length:
        keys = part.window - part.window * (part.window - 1) / (2 * length)
    products = 3 if isinstance(part, RelativeAttentionSpec) else 2  # with keys and values; there, with distances too
    return round(2 * products * part.heads * part.head_dim * keys)
