"""Items made into rows of tokens that fit a model: begin token, context, continuation; refused or cut on the left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..families.glm import MODEL_TYPES as FILLING
from ..tokenizers import Tokenizer
from ..tokenizers.ends import begin_ids
from .items import Context
from .splitting import Split, split


def context_limit(model: Any) -> int | None:
    """How many tokens the model may be given: its positions, or the longest text it was made for."""
    limit = getattr(model, "position_limit", None)
    return getattr(getattr(model, "spec", None), "context_length", None) if limit is None else limit


def check_left_to_right(model: Any) -> None:
    """ValueError for a model that fills blanks instead of continuing texts."""
    if dict(getattr(model, "config", None) or {}).get("model_type") in FILLING:
        raise ValueError(
            "GLM fills blanks in a context that sees itself in both directions, it does not continue texts: how likely "
            "a continuation is cannot be asked of it as of a model that reads from left to right"
        )


def start_of_text(model: Any, tokenizer: Tokenizer) -> list[int]:
    """What a text with nothing before it begins with: the begin token, else the one that ends texts, else nothing."""
    begin = begin_ids(tokenizer)
    known = [tokenizer.bos_id, getattr(model, "begin_token", None), tokenizer.eos_id]
    return begin or [token for token in known if token is not None][:1]


def fit(
    model: Any,
    tokenizer: Tokenizer,
    pairs: Sequence[tuple[Context, Sequence[str]]],
    *,
    begin: list[int] | None = None,
    template: Any = None,
    truncate: bool = False,
) -> tuple[list[list[Split]], list[int]]:
    """For each (context, continuations) a row a continuation, and how many tokens of each item's context were cut.

    begin: what stands before a text, by default what the tokenizer says; an empty context always needs something
    (`start_of_text`). truncate: contexts that are too long lose their first tokens, the begin token aside, for all
    continuations of an item the same number. ValueError, naming the item, for what is too long and what cannot be
    scored.
    """
    check_left_to_right(model)
    limit, vocabulary = context_limit(model), model.spec.vocab_size
    items, cut = [], []
    for number, (context, continuations) in enumerate(pairs):
        before = begin
        if before is None:
            before = begin_ids(tokenizer) or ([] if context else start_of_text(model, tokenizer))
        try:
            rows = [split(tokenizer, context, text, begin=before, template=template) for text in continuations]
            for text, row in zip(continuations, rows):
                _check(text, row, vocabulary)
            over = 0 if limit is None else max(0, max(len(row.ids) for row in rows) - 1 - limit)
            if over:
                _check_cutting(rows, over, limit or 0, truncate)
        except (TypeError, ValueError) as error:
            raise type(error)(f"item {number}: {error}") from None
        gone = [slice(row.begin, row.begin + over) for row in rows]
        items.append([Split(np.delete(r.ids, g), np.delete(r.scored, g), r.begin) for r, g in zip(rows, gone)])
        cut.append(over)
    return items, cut


def _check(text: str, row: Split, vocabulary: int) -> None:
    if not row.scored.any():
        raise ValueError(f"{text!r:.40} has no token in this vocabulary")
    if row.first == 0:
        raise ValueError(
            "the first token of all would have to be scored, with nothing before it: give the item a context, or a "
            "begin token (begin=[id])"
        )
    if int(row.ids.max()) >= vocabulary:
        raise ValueError(
            f"token id {int(row.ids.max())} is outside the model's vocabulary of {vocabulary}: do model and tokenizer "
            "belong together?"
        )


def _check_cutting(rows: list[Split], over: int, limit: int, truncate: bool) -> None:
    """ValueError unless `over` tokens may and can be cut, so that something is left before what is scored."""
    long = f"{limit + over + 1} tokens, of which {limit + over} go in, and the model's context is {limit}"
    if min(row.first - row.begin for row in rows) < over or min(row.first for row in rows) <= over:
        raise ValueError(f"{long}: what is to be scored alone is too long")
    if not truncate:
        raise ValueError(f"{long}: shorten it, or cut contexts on the left (truncate=True)")
