"""A block without its activations: what it computed on the way is computed again in the backward pass."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

from ..autograd import Tensor
from ..autograd.rerun import rerun
from .context import Context, drawing


def recomputed(layer: Any, x: Tensor, context: Context) -> Tensor:
    """`layer(x, None, context)` of which only x is kept: x (B, T, hidden) -> (B, T, hidden), with the same gradients.

    Dropout draws the same masks in both runs, the generator stands afterwards where it would have stood, and what the
    layer leaves for a loss of its own (the balance of a mixture) passes its gradient on. Under `no_grad` it is the
    layer's call and nothing more; so it is for a layer that neither trains nor stands above what does, which keeps
    nothing for a backward pass.
    """
    if not x.requires_grad and not any(parameter.requires_grad for parameter in layer.parameters()):
        return layer(x, None, context)
    start = copy.deepcopy(context.rng)
    first: list[Any] = []

    def run(x: Tensor) -> tuple[Tensor, ...]:
        own = context
        if context.rng is not None or context.auxiliary is not None:
            auxiliary: list[Any] | None = None if context.auxiliary is None else []
            own = dataclasses.replace(context, rng=copy.deepcopy(start), auxiliary=auxiliary)
        with drawing(own.rng):
            y = layer(x, None, own)
        routed = own.auxiliary or []
        if not first:
            first.append((own.rng, routed))
        return (y, *(entry.logits for entry in routed))

    y, *logits = rerun(run, x, uses=[parameter for parameter in layer.parameters() if parameter.requires_grad])
    (rng, routed), first[0] = first[0], None
    if context.rng is not None:
        context.rng.bit_generator.state = rng.bit_generator.state
    if context.auxiliary is not None:
        context.auxiliary.extend(entry._replace(logits=tensor) for entry, tensor in zip(routed, logits))
    return y
