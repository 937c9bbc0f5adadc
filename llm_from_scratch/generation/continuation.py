"""Continue sequences over anything that can `step`: what is asked for is checked, tokens are found, and handed back.

How tokens are found is a file each: drawn one by one (`token_by_token.py`), guessed ahead by a faster model
(`speculative.py`), by beam search (`beams.py`) or by contrastive search (`contrastive.py`). Rows of a batch are
independent: each has its own random numbers, stops on its own, and comes out as it would alone.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from ..kernels.threads import available_cores, resolve_threads, token_threads
from .beams import search_beams
from .contrastive import add_contrasting_tokens
from .opening import open_rows, whole_number
from .rows import Row
from .sampling import Sampling
from .speculative import Speculation, add_speculated_tokens, check_draft
from .stepping import Stepper, check_positions
from .token_by_token import add_tokens

_ABOUT = set(inspect.signature(open_rows).parameters)


def generate(model: Stepper, ids: Any, *, pad_token: int | None = None, **settings: Any) -> np.ndarray:
    """Continue every row of ids (B, T) by up to `max_new_tokens` tokens -> (B, T + N).

    settings: see `continue_rows`. N is what the longest row needed; shorter ones are filled up with `pad_token`
    (default: the first stop token, or 0). Tokens that hold any part of a stop string are left out.

    >>> class Counter:                                   # always expects the next number
    ...     def new_memory(self, batch_size):
    ...         return None
    ...     def step(self, ids, memory, mask=None):
    ...         return np.eye(10)[(ids[:, -1] + 1) % 10] * 50
    >>> generate(Counter(), [[3, 4], [6, 7]], max_new_tokens=4, stop_tokens=[9])
    array([[3, 4, 5, 6, 7, 8],
           [6, 7, 8, 9, 9, 9]])
    """
    pad = None if pad_token is None else whole_number("pad_token", pad_token)
    rows = continue_rows(model, ids, **settings)
    if pad is None:
        pad = next(iter(rows[0].stop_tokens), 0)
    ids = np.asarray(ids, np.int64)
    result = np.full((len(rows), ids.shape[1] + max(len(row.kept) for row in rows)), pad, np.int64)
    result[:, : ids.shape[1]] = ids
    for line, row in zip(result, rows):
        line[ids.shape[1] :][: len(row.kept)] = row.kept
    return result


def generate_text(
    model: Stepper,
    tokenizer: Any,
    prompt: str,
    *,
    max_new_tokens: int,
    **settings: Any,
) -> str:
    """Continue a text: encode the prompt, generate, and return the new text (without the prompt).

    settings: see `continue_rows`. With stop strings the text ends exactly before the one that was found, also where a
    token straddles that border. Raises ValueError for an empty prompt.
    """
    ids = list(tokenizer.encode(prompt))
    if not ids:
        raise ValueError("the prompt is empty: the model needs at least one token to continue from")
    return continue_rows(model, [ids], max_new_tokens=max_new_tokens, tokenizer=tokenizer, **settings)[0].text


def continue_rows(
    model: Any,
    ids: Any,
    *,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    repetition_penalty: float = 1.0,
    min_p: float | None = None,
    typical_p: float | None = None,
    no_repeat_ngram_size: int | None = None,
    num_beams: int = 1,
    length_penalty: float = 1.0,
    penalty_alpha: float | None = None,
    draft_model: Stepper | None = None,
    num_assistant_tokens: int | None = None,
    speculation: Speculation | None = None,
    stream: Callable[[Any], object] | None = None,
    threads: int | None = None,
    **about: Any,
) -> list[Row]:
    """Continue every row of ids (B, T) by up to `max_new_tokens` tokens: the rows, with their new tokens and text.

    temperature, top_k, top_p, min_p, typical_p: how to draw, and repetition_penalty, no_repeat_ngram_size: what to
    avoid, see `Sampling`; temperature 0 is greedy.
    num_beams: above 1, search for the continuation that is most probable as a whole, with so many beginnings open;
    nothing is drawn then. length_penalty: above 0 the search favours long ones, below 0 short ones, see `beams.py`.
    penalty_alpha: contrastive search, among the `top_k` most probable tokens (2 or more), see `contrastive.py`; nothing
    is drawn. 0.6 with a top_k of 4 is the authors' choice.
    draft_model: a faster model with the same tokens, which guesses `num_assistant_tokens` (default 5) at once for this
    one to keep or not, see `speculative.py`. speculation: counts how often it guesses right.
    stream: for a batch of one, called with each piece of text (with a tokenizer) or each token as it comes.
    threads: how many share the work of a token, at most one a core; None: all cores, or what `token_threads` says.
    about, see `open_rows` and `Row`: `stop_tokens`, with the first of which a row ends (default: what ends a text of
    this model; () never ends one); `stop_strings` and `tokenizer`; `mask` (B, T), where prompts are filled up on the
    left; `seed`: row r draws from `default_rng(seed + r)`.

    Raises TypeError or ValueError for what cannot be, before the first step.
    """
    for name in about:
        if name not in _ABOUT:
            raise TypeError(f"generation has no setting {name!r}: see `continue_rows` for those that it has")
    sampling = Sampling(temperature, top_k, top_p, repetition_penalty, min_p, typical_p, no_repeat_ngram_size)
    num_beams = _check_beams(sampling, num_beams, length_penalty, stream)
    guesses = _check_guesses(draft_model, num_assistant_tokens, speculation, num_beams)
    contrast = _check_contrast(model, sampling, penalty_alpha, {"num_beams": num_beams > 1, "draft_model": draft_model})
    sharing = _sharing(threads)
    rows = open_rows(model, ids, max_new_tokens=max_new_tokens, stream=stream, **about)
    if contrast is not None:  # which reads the last candidates too
        check_positions(model, max(len(row.seen) for row in rows) + 1, max_new_tokens)
    if draft_model is not None:
        check_draft(model, draft_model, [len(row.seen) for row in rows], max_new_tokens)
    with sharing:
        if max_new_tokens and num_beams > 1:
            search_beams(model, rows, sampling, num_beams=num_beams, length_penalty=length_penalty)
        elif max_new_tokens and contrast is not None:
            add_contrasting_tokens(model, rows, **contrast)
        elif max_new_tokens and draft_model is not None:
            add_speculated_tokens(model, draft_model, rows, sampling, guesses, speculation or Speculation())
        elif max_new_tokens:
            add_tokens(model, rows, sampling)
    return rows


def _sharing(threads: int | None) -> AbstractContextManager[None]:
    """A block in which so many threads share the work of a token. ValueError for fewer than one or more than cores."""
    if threads is None:  # whoever calls may have said it
        return nullcontext()
    if resolve_threads(threads) > available_cores():
        raise ValueError(f"threads={threads} is more than the {available_cores()} cores that there are: leave it out")
    return token_threads(threads)


def _check_beams(sampling: Sampling, num_beams: Any, length_penalty: Any, stream: Any) -> int:
    if whole_number("num_beams", num_beams) == 0:
        raise ValueError("num_beams must be at least 1 (1 is no beam search), got 0")
    if isinstance(length_penalty, bool) or not isinstance(length_penalty, (int, float, np.integer, np.floating)):
        raise TypeError(f"length_penalty must be a number, got {length_penalty!r}")
    if not np.isfinite(length_penalty):
        raise ValueError(f"length_penalty must be finite, got {length_penalty}")
    if num_beams == 1 and length_penalty != 1:
        raise ValueError(f"length_penalty={length_penalty} compares beams: it needs num_beams of 2 or more")
    if num_beams > 1 and sampling.drawing:
        raise ValueError(
            f"beam search draws nothing, so {' and '.join(sampling.drawing)} would do nothing: leave them out, or "
            "num_beams"
        )
    if num_beams > 1 and stream is not None:
        raise ValueError("beams are known when the search is over: there is nothing to stream, take the result")
    return int(num_beams)


def _check_contrast(model: Any, sampling: Sampling, alpha: Any, others: dict[str, Any]) -> dict[str, Any] | None:
    """The settings of a contrastive search; None if there is none."""
    if alpha is None:
        return None
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float, np.integer, np.floating)):
        raise TypeError(f"penalty_alpha must be a number or None, got {alpha!r}")
    if not 0 < alpha <= 1:
        raise ValueError(f"penalty_alpha must lie in (0, 1] (None is no contrastive search), got {alpha}")
    if sampling.top_k is None or sampling.top_k < 2:
        raise ValueError(f"contrastive search chooses among top_k candidates: pass 2 or more, got {sampling.top_k}")
    rest = dataclasses.replace(sampling, top_k=None)
    useless = [*rest.drawing, *(name for name, asked in others.items() if asked not in (None, False))]
    if useless:
        raise ValueError(f"contrastive search (penalty_alpha) draws nothing and goes alone: leave out {useless[0]}")
    if not hasattr(model, "step_states"):
        raise TypeError(f"contrastive search compares states: {type(model).__name__} has no `step_states` to show them")
    greedy = dataclasses.replace(rest, temperature=0.0)
    return {"sampling": greedy, "penalty_alpha": float(alpha), "top_k": int(sampling.top_k)}


def _check_guesses(draft_model: Any, number: Any, speculation: Any, num_beams: int) -> int:
    """How many tokens a draft guesses at once."""
    given = {"num_assistant_tokens": number, "speculation": speculation}
    for name, value in given.items():
        if draft_model is None and value is not None:
            raise ValueError(f"{name} is about tokens that a draft guesses: pass draft_model= as well, or leave it out")
    if draft_model is not None and num_beams > 1:
        raise ValueError(
            "a draft guesses for one text at a time, beams are several: leave out draft_model or num_beams"
        )
    if not isinstance(speculation, (Speculation, type(None))):
        raise TypeError(f"speculation must be a Speculation() to count in, got {speculation!r}")
    number = 5 if number is None else whole_number("num_assistant_tokens", number)
    if number == 0:
        raise ValueError("num_assistant_tokens must be at least 1, got 0: for no guesses leave out draft_model")
    return number
