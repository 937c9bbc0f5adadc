"""Many processes, one training run: what ranks say to one another, and what is built on it.

    mpi_exchange(timeout=300)        for `train(exchange=…)` in a program that mpiexec has started (needs mpi4py)
    RankExchange(communicator)       the same over any communicator
    run_ranks(size, work)            ranks as threads of this process, to try things out
    Communicator                     messages and collectives; `bytes_sent`
    launched()                       whether mpiexec or srun started this process, and as which of how many

Every rank runs the same program with the same model and data, and computes its rows of each batch. A model can be
divided as well: by features and heads (`split_*.py`), by tokens (`sequence_*.py`), by layers (`pipeline.py`,
`schedules.py`). The names are loaded when first used, so that asking whether there are ranks at all costs nothing.
"""

from __future__ import annotations

from ..public_names import loaded_when_used

_HOMES = {
    "ColumnLinear": "split_linear",
    "Communicator": "communicator",
    "RankExchange": "exchange",
    "RowLinear": "split_linear",
    "SplitAttention": "split_block",
    "SplitFeedForward": "split_block",
    "VocabularyEmbedding": "split_vocabulary",
    "VocabularyHead": "split_vocabulary",
    "bubble_fraction": "schedules",
    "copy_to_ranks": "collectives",
    "gather_copies": "collectives",
    "gather_shards": "collectives",
    "gpipe": "schedules",
    "idle_share": "schedules",
    "interleaved": "schedules",
    "launched": "launch",
    "most_kept": "schedules",
    "mpi_exchange": "mpi",
    "one_forward_one_backward": "schedules",
    "ring_attention": "sequence_ring",
    "run_pipeline": "pipeline",
    "run_ranks": "threads",
    "scatter_sums": "collectives",
    "split_layers": "split_block",
    "sum_over_ranks": "collectives",
    "swap_axes_of_shards": "collectives",
    "swapped_attention": "sequence_swap",
    "timeline": "schedules",
    "vocabulary_cross_entropy": "split_vocabulary",
}
__all__ = list(_HOMES)

__getattr__, __dir__ = loaded_when_used(__name__, _HOMES)
