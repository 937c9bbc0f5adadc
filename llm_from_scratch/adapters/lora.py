"""Adding LoRA, rsLoRA or DoRA to a model: which matrices, and with which settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .adapted import Adapter, attach, check_name, is_number
from .dora import Decomposed
from .low_rank import LowRank, LowRankRows
from .places import pick, sizes


def add_lora(
    model: Any,
    rank: int = 8,
    alpha: float = 16,
    targets: str | Sequence[str] = ("query", "value"),
    name: str = "default",
    stabilized: bool = False,
    dropout: float = 0.0,
    *,
    decomposed: bool = False,
    seed: int = 0,
) -> list[str]:
    """Put a low-rank adapter beside matrices of a model; the paths of these. It alone acts and trains from now on.

    targets: names of linear layers ("query"), patterns of their paths ("layers.*.feed_forward.*"), "all-linear"; also
    "embedding" and "head". stabilized: α/√rank is the scale (rsLoRA). dropout: on what goes through the adapter, in
    passes that are given rng. decomposed: DoRA. seed: of the fresh matrices.

    ValueError where a target matches nothing, a setting is impossible, or the name is taken: nothing is changed then.

    >>> from llm_from_scratch.checkpoints import build
    >>> model = build("gpt2", n_layer=1, n_head=1, n_embd=8, vocab_size=5, n_positions=4)
    >>> add_lora(model, rank=2)
    ['layers.0.mixer.query', 'layers.0.mixer.value']
    >>> [name for name, p in model.named_parameters() if p.requires_grad][:2]
    ['layers.0.mixer.query.adapters.default.A', 'layers.0.mixer.query.adapters.default.B']
    """
    check_name(model, name)
    if isinstance(rank, bool) or not isinstance(rank, (int, np.integer)) or rank < 1:
        raise ValueError(f"LoRA: the rank is a whole number of 1 or more, not {rank!r}")
    if not is_number(alpha) or not alpha > 0:
        raise ValueError(f"LoRA: alpha is a number above 0, not {alpha!r}")
    if not is_number(dropout) or not 0 <= dropout < 1:
        raise ValueError(f"LoRA: dropout is a probability in [0, 1), not {dropout!r}")
    chosen = pick(model, targets, technique="LoRA")
    widest = max(min(sizes(module)) for module in chosen.values())
    if rank > widest:
        raise ValueError(f"LoRA: no product of rank {rank} fits: the matrices chosen have rank {widest} at most")
    rng = np.random.default_rng(seed)
    alpha = alpha if isinstance(alpha, int) else float(alpha)
    settings: dict[str, Any] = {"rank": int(rank), "alpha": alpha, "stabilized": stabilized, "dropout": float(dropout)}
    parts: dict[str, Adapter] = {}
    for path, module in chosen.items():
        if decomposed:
            parts[path] = Decomposed(module, *sizes(module), rng=rng, **settings)
        else:
            parts[path] = (LowRankRows if path == "embedding" else LowRank)(*sizes(module), rng=rng, **settings)
    attach(model, name, parts)
    return list(parts)
