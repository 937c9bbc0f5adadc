"""The opening of every generation: what was asked for is checked before the first step, and rows are made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from .rows import Row
from .stepping import Stepper, check_positions, vocabulary_size
from .streaming import Decodes


def open_rows(
    model: Stepper,
    ids: Any,
    *,
    max_new_tokens: int,
    stop_tokens: int | Iterable[int] | None = None,
    stop_strings: Iterable[str] = (),
    tokenizer: Decodes | None = None,
    seed: int | Sequence[int] | np.random.Generator = 0,
    mask: Any = None,
    stream: Callable[[Any], object] | None = None,
) -> list[Row]:
    """A row for each of ids (B, T), which are filled up on the left where the mask (B, T) says so.

    stop_tokens: None are those of the model (`end_tokens`). seed: row r draws from `default_rng(seed + r)`, so that it
    can be repeated alone; or one seed a row; or a Generator. stream: for one row only. The rest: see `Row`.

    Raises TypeError or ValueError for empty prompts, ids that are no token ids, negative counts, impossible settings
    and, where the model's positions are limited, a length beyond them.
    """
    ids, real = _check_prompt(ids, mask, vocabulary_size(model))
    about: dict[str, Any] = {
        "max_new_tokens": whole_number("max_new_tokens", max_new_tokens),
        "stop_tokens": _token_list(getattr(model, "end_tokens", ()) if stop_tokens is None else stop_tokens),
        "stop_strings": [stop_strings] if isinstance(stop_strings, str) else list(stop_strings),
        "tokenizer": tokenizer,
        "stream": stream,
    }
    if about["stop_strings"] and tokenizer is None:
        raise ValueError("stop strings are found in text: pass tokenizer= as well")
    if stream is not None and len(ids) != 1:
        raise ValueError(f"streaming shows one row as it arrives, the batch has {len(ids)}")
    check_positions(model, int(real.sum(axis=1).max()), about["max_new_tokens"])
    generators = _generators(seed, len(ids))
    return [Row(ids[r][real[r]], rng=rng, **about) for r, rng in enumerate(generators)]


def _check_prompt(ids: Any, mask: Any, vocabulary: int | None) -> tuple[np.ndarray, np.ndarray]:
    array = np.asarray(ids)
    if array.ndim != 2:
        raise ValueError(f"ids must have the shape (batch, length), got {array.shape}; put a single prompt in a list")
    if array.size == 0:
        raise ValueError(
            f"the prompt is empty (ids have shape {array.shape}): give at least one token to continue from"
        )
    if array.dtype.kind not in "iu":
        raise TypeError(f"ids must be integers, got {array.dtype}")
    if int(array.min()) < 0:
        raise ValueError(f"token ids cannot be negative, got {int(array.min())}")
    if vocabulary is not None and int(array.max()) >= vocabulary:
        raise ValueError(f"token ids must lie in 0..{vocabulary - 1}, got {int(array.max())}")
    real = np.ones(array.shape, bool) if mask is None else np.asarray(mask)
    if real.shape != array.shape:
        raise ValueError(f"the mask has shape {real.shape}, the ids {array.shape}: they must be equal")
    if real.dtype != bool:
        if real.dtype.kind not in "iuf" or not np.isin(real, (0, 1)).all():
            raise ValueError("a mask holds True and False (or 1 and 0)")
        real = real.astype(bool)
    if not real[:, -1].all() or np.any(real[:, :-1] & ~real[:, 1:]):
        raise ValueError(
            "prompts of unequal length are filled up on the left: a row of the mask is False …, then True to its end"
        )
    return array.astype(np.int64), real


def _generators(seed: Any, batch: int) -> list[np.random.Generator]:
    if isinstance(seed, np.random.Generator):
        return [seed] if batch == 1 else [np.random.default_rng(s) for s in seed.integers(0, 2**63, size=batch)]
    if isinstance(seed, (int, np.integer)) and not isinstance(seed, bool):
        seed = [int(seed) + r for r in range(batch)]
    seeds = list(seed) if isinstance(seed, (list, tuple, np.ndarray)) else None
    if seeds is None or len(seeds) != batch:
        raise ValueError(
            f"seed must be a whole number, a Generator, or one seed for each of the {batch} rows; got {seed!r}"
        )
    return [np.random.default_rng(whole_number("seed", s)) for s in seeds]


def _token_list(tokens: int | Iterable[int]) -> list[int]:
    if isinstance(tokens, (int, np.integer)):
        tokens = [int(tokens)]
    return [whole_number("a stop token", token) for token in tokens]


def whole_number(name: str, value: Any) -> int:
    """The value, 0 or more; TypeError or ValueError by this name if it is no such number."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < 0:
        raise ValueError(f"{name} must not be negative, got {value}")
    return int(value)
