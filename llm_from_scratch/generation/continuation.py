"""Continue sequences token by token, over anything that can `step`.

The prompt goes in as one chunk, then each new token alone; the memory of the thing that steps holds the rest. Rows of a
batch are independent: each has its own random numbers, stops on its own, and comes out as it would alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from .sampling import Sampling
from .streaming import Decodes, TextStream


class Stepper(Protocol):
    """What generation asks of a model.

    It may also have `position_limit` (how many positions it has, or None) and `end_tokens` (ids that end a text).
    """

    def new_memory(self, batch_size: int) -> Any:
        """An empty memory for so many rows."""

    def step(self, ids: Any, memory: Any, mask: Any = None) -> np.ndarray:
        """Continue `memory` by ids (B, T); logits after the last of them, (B, V)."""


def generate(
    model: Stepper,
    ids: Any,
    *,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    repetition_penalty: float = 1.0,
    stop_tokens: int | Iterable[int] | None = None,
    stop_strings: Iterable[str] = (),
    tokenizer: Decodes | None = None,
    pad_token: int | None = None,
    seed: int | Sequence[int] | np.random.Generator = 0,
    mask: Any = None,
    stream: Callable[[Any], object] | None = None,
) -> np.ndarray:
    """Continue every row of ids (B, T) by up to `max_new_tokens` tokens -> (B, T + N).

    temperature, top_k, top_p, repetition_penalty: how to choose, see `Sampling`; temperature 0 is greedy.
    stop_tokens: a row ends with the first of these, which is part of the result; default: what ends a text of this
    model (`end_tokens`), and () never ends one. stop_strings: a row ends where one becomes complete in its new text
    (needs `tokenizer`); tokens that hold any part of it are left out.
    N is what the longest row needed; shorter ones are filled up with `pad_token` (default: the first stop token, or 0).
    mask (B, T): for prompts of unequal length, filled up on the left; True or 1 marks real tokens.
    seed: row r draws from `default_rng(seed + r)`, so that it can be repeated alone; or one seed a row; or a Generator.
    stream: for a batch of one, called with each piece of text (with a tokenizer) or each token as it comes; a stop
    token is not shown.

    Raises TypeError or ValueError for empty prompts, ids that are no token ids, negative counts, impossible settings
    and, where the model's positions are limited, a length beyond them: all before the first step.

    >>> class Counter:                                   # always expects the next number
    ...     def new_memory(self, batch_size):
    ...         return None
    ...     def step(self, ids, memory, mask=None):
    ...         return np.eye(10)[(ids[:, -1] + 1) % 10] * 50
    >>> generate(Counter(), [[3, 4], [6, 7]], max_new_tokens=4, stop_tokens=[9])
    array([[3, 4, 5, 6, 7, 8],
           [6, 7, 8, 9, 9, 9]])
    """
    sampling = Sampling(temperature, top_k, top_p, repetition_penalty)
    ids, real = _check_prompt(ids, mask)
    batch, length = ids.shape
    max_new_tokens = _whole_number("max_new_tokens", max_new_tokens)
    stops = _token_list(getattr(model, "end_tokens", ()) if stop_tokens is None else stop_tokens)
    pad = _whole_number("pad_token", pad_token) if pad_token is not None else (stops[0] if stops else 0)
    strings = _string_list(stop_strings)
    if strings and tokenizer is None:
        raise ValueError("stop strings are found in text: pass tokenizer= as well")
    if stream is not None and batch != 1:
        raise ValueError(f"streaming shows one row as it arrives, the batch has {batch}")
    limit = getattr(model, "position_limit", None)
    needed = int(real.sum(axis=1).max()) + max_new_tokens - 1  # the last token is chosen, never fed back
    if limit is not None and max_new_tokens and needed > limit:
        raise ValueError(
            f"a prompt of {int(real.sum(axis=1).max())} tokens and {max_new_tokens} new ones need {needed} positions, "
            f"this model has {limit}: shorten the prompt or ask for fewer tokens"
        )
    generators = _generators(seed, batch)
    if max_new_tokens == 0:
        return ids

    rows = [_Row(ids[r][real[r]], tokenizer, strings) for r in range(batch)]
    memory = model.new_memory(batch)
    logits = model.step(ids, memory, None if real.all() else real)
    running = list(range(batch))  # the rows that the memory holds, in its order
    for number in range(max_new_tokens):
        chosen = np.full((len(running), 1), pad, np.int64)
        for place, r in enumerate(running):
            row = rows[r]
            if row.ended:
                continue
            token = sampling.choose(logits[place], row.seen, generators[r])
            chosen[place, 0] = token
            shown = row.add(token, stops)
            if stream is not None and shown is not None and shown != "":
                stream(shown)
        going = [place for place, r in enumerate(running) if not rows[r].ended]
        if not going or number == max_new_tokens - 1:
            break
        if len(going) <= len(running) / 2 and hasattr(memory, "select"):  # half of the work would be for nothing
            memory.select(going)
            running, chosen = [running[place] for place in going], chosen[going]
        logits = model.step(chosen, memory)
    for row in rows:
        rest = row.finish()
        if stream is not None and rest:
            stream(rest)
    result = np.full((batch, length + max(len(row.kept) for row in rows)), pad, np.int64)
    result[:, :length] = ids
    for r, row in enumerate(rows):
        result[r, length : length + len(row.kept)] = row.kept
    return result


def generate_text(
    model: Stepper,
    tokenizer: Any,
    prompt: str,
    *,
    max_new_tokens: int,
    stream: Callable[[str], object] | None = None,
    **settings: Any,
) -> str:
    """Continue a text: encode the prompt, generate, and return the new text (without the prompt).

    settings: as for `generate`. With stop strings the text ends exactly before the one that was found, also where a
    token straddles that border. Raises ValueError for an empty prompt.
    """
    ids = list(tokenizer.encode(prompt))
    if not ids:
        raise ValueError("the prompt is empty: the model needs at least one token to continue from")
    pieces: list[str] = []

    def collect(piece: str) -> None:
        pieces.append(piece)
        if stream is not None:
            stream(piece)

    generate(model, [ids], max_new_tokens=max_new_tokens, tokenizer=tokenizer, stream=collect, **settings)
    return "".join(pieces)


class _Row:
    """One sequence on its way: what was seen, what is kept, whether it has ended."""

    def __init__(self, prompt: np.ndarray, tokenizer: Decodes | None, strings: list[str]) -> None:
        self.seen: list[int] = prompt.tolist()
        self.new: list[int] = []
        self.ended = False
        self.text = None if tokenizer is None else TextStream(tokenizer, strings, self.seen)

    def add(self, token: int, stops: list[int]) -> Any:
        """Note a new token; what may be shown of it (text, or the token itself without a tokenizer)."""
        self.seen.append(token)
        self.new.append(token)
        if token in stops:
            self.ended = True
            return None
        if self.text is None:
            return token
        shown = self.text.push(token)
        self.ended = self.text.stopped
        return shown

    def finish(self) -> str:
        return "" if self.text is None else self.text.finish()

    @property
    def kept(self) -> list[int]:
        if self.text is None or not self.text.stopped:
            return self.new
        return self.new[: self.text.kept]


def _check_prompt(ids: Any, mask: Any) -> tuple[np.ndarray, np.ndarray]:
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
    return [np.random.default_rng(_whole_number("seed", s)) for s in seeds]


def _token_list(tokens: int | Iterable[int]) -> list[int]:
    if isinstance(tokens, (int, np.integer)):
        tokens = [int(tokens)]
    return [_whole_number("a stop token", token) for token in tokens]


def _string_list(strings: Iterable[str]) -> list[str]:
    if isinstance(strings, str):
        return [strings]
    return list(strings)


def _whole_number(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < 0:
        raise ValueError(f"{name} must not be negative, got {value}")
    return int(value)
