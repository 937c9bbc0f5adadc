"""Bottleneck adapters: after a mixer or a feed-forward part, a small network learns what to add to what it gives.

    h + W_up σ(W_down h + b_down) + b_up

W_up begins as zero, so that at first nothing changes. "houlsby" puts one after both parts of every layer, "pfeiffer"
after the feed-forward part only. The part may be of any kind, also a state-space mixer or a mixture of experts.

Sources: Houlsby et al. 2019, arXiv:1902.00751; Pfeiffer et al. 2020, arXiv:2005.00247.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Tensor
from ..layers import Constant, Linear, Normal
from ..layers.block import is_feed_forward
from ..layers.feed_forward import ACTIVATIONS
from .adapted import Adapter, attach, check_name
from .places import functions

PLACEMENTS = ("houlsby", "pfeiffer")


class Bottleneck(Adapter):
    """Around a function of a layer: what it gives, (B, T, width), and what the network makes of that."""

    technique = "bottleneck"

    def __init__(self, width: int, size: int, *, activation: str, rng: np.random.Generator | None) -> None:
        self.down = Linear(width, size, init=Normal(width**-0.5), rng=rng)
        self.up = Linear(size, width, init=Constant(0.0), rng=rng)
        self.activation = activation

    def __call__(self, inner: Any, *inputs: Any) -> Tensor:
        h = inner(*inputs)
        return h + self.up(ACTIVATIONS[self.activation](self.down(h)))


def add_bottleneck(
    model: Any,
    size: int = 16,
    placement: str = "houlsby",
    name: str = "default",
    *,
    activation: str = "gelu",
    seed: int = 0,
) -> list[str]:
    """Put a bottleneck of `size` after the parts of every layer; the paths of these. They alone act and train.

    placement: "houlsby" (mixer and feed-forward part) or "pfeiffer" (feed-forward part). ValueError for another, for a
    size below 1, for a layer without such a part, or where the name is taken.
    """
    check_name(model, name)
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
        raise ValueError(f"bottleneck: the size is a whole number of 1 or more, not {size!r}")
    if placement not in PLACEMENTS:
        raise ValueError(f"bottleneck: the placement is one of {', '.join(PLACEMENTS)}, not {placement!r}")
    if activation not in ACTIVATIONS:
        raise ValueError(f"bottleneck: the activation is one of {', '.join(ACTIVATIONS)}, not {activation!r}")
    there = [path for path in functions(model) if placement == "houlsby" or is_feed_forward(path.rpartition(".")[2])]
    if not there:
        raise ValueError("bottleneck: no layer of this model has a feed-forward part: use placement='houlsby'")
    rng = np.random.default_rng(seed)
    width = model.spec.hidden_size
    parts: dict[str, Adapter] = {path: Bottleneck(width, int(size), activation=activation, rng=rng) for path in there}
    attach(model, name, parts)
    return there
