"""Attention over a sequence that is divided among ranks: pieces of all heads are exchanged for whole rows of some.

Two all-to-alls around an attention that never learns of it. There must be a head for every rank, which ring attention
does not ask; in return any attention will do, with windows, slopes and packed documents.
Source: Jacobs et al. 2023 (DeepSpeed-Ulysses), arXiv:2309.14509.
"""

from __future__ import annotations

from typing import Any

from .. import functional as F
from ..autograd import Tensor
from .collectives import swap_axes_of_shards
from .communicator import Communicator
from .shares import share


def swapped_attention(q: Tensor, k: Tensor, v: Tensor, *, comm: Communicator, **settings: Any) -> Tensor:
    """`functional.attention` of pieces: q (B, H, T / size, D), k, v (B, K, T / size, ·) -> (B, H, T / size, ·).

    settings: as there, about the whole row. slopes (H,) are those of all heads. ValueError where the heads, or the
    key-value heads, cannot be shared out among ranks.

    >>> from llm_from_scratch.parallel import run_ranks
    >>> import numpy as np
    >>> same = np.zeros((1, 2, 1, 1))                           # equal scores: a query averages what it sees
    >>> values = lambda ranks: same + ranks.rank
    >>> run_ranks(2, lambda ranks: swapped_attention(same, same, values(ranks), comm=ranks).data.ravel().tolist())
    [[0.0, 0.0], [0.5, 0.5]]
    """
    heads = share(q.shape[1], comm, "heads")
    share(k.shape[1], comm, "key-value heads")
    if settings.get("slopes") is not None:
        settings["slopes"] = settings["slopes"][heads]
    q, k, v = (swap_axes_of_shards(x, comm=comm, split=1, join=2) for x in (q, k, v))
    return swap_axes_of_shards(F.attention(q, k, v, **settings), comm=comm, split=2, join=1)
