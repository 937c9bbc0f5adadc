"""Answers sampled from a policy, many side by side, as ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..generation import continue_prompts
from ..training.objectives import IGNORE
from ..training.workers import one_blas_thread, resolve_threads, run_over

_CHUNK = 64  # rows that are sampled, or read, side by side


def sample_answers(
    policy: Any,
    prompts: Sequence[np.ndarray],
    *,
    end_tokens: Sequence[int],
    max_new_tokens: int,
    temperature: float = 1.0,
    seed: Sequence[int] = (0,),
    threads: int | None = 1,
) -> list[np.ndarray]:
    """An answer to each prompt, as ids: with the token that ends it, or `max_new_tokens` long where it was cut off.

    Row r draws from a generator of (*seed, r), so that neither chunks nor threads decide what comes out.
    """
    answers: list[np.ndarray] = [np.empty(0, np.int64)] * len(prompts)

    def sample(rows: slice) -> None:
        seeds = [int(np.random.SeedSequence((*seed, r)).generate_state(1, np.uint64)[0] >> 1)
                 for r in range(*rows.indices(len(prompts)))]  # fmt: skip
        answers[rows] = continue_prompts(
            policy, prompts[rows], stop_tokens=end_tokens, max_new_tokens=max_new_tokens, temperature=temperature,
            seed=seeds,
        )  # fmt: skip

    in_chunks(len(prompts), resolve_threads(threads), sample)
    return answers


def answer_row(prompt: np.ndarray, answer: np.ndarray) -> dict[str, np.ndarray]:
    """Prompt and answer as an example: only the answer's tokens are targets.

    >>> answer_row(np.array([5, 6]), np.array([7, 8]))["targets"].tolist()
    [-100, 7, 8, -100]
    """
    targets = np.full(len(prompt) + len(answer), IGNORE, np.int64)
    targets[len(prompt) - 1 : -1] = answer
    return {"ids": np.concatenate([prompt, answer]), "targets": targets}


def in_chunks(rows: int, threads: int, work: Callable[[slice], Any]) -> None:
    """Call `work` for slices of at most 64 rows, in threads; the slices do not depend on their number."""
    slices = [slice(start, min(start + _CHUNK, rows)) for start in range(0, rows, _CHUNK)]
    if threads == 1 or len(slices) == 1:
        for part in slices:
            work(part)
        return
    with one_blas_thread():
        run_over(slices, [list(range(k, len(slices), threads)) for k in range(threads)], work)
