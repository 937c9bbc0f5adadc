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
        before = begin_ids(tokenizer) if begin is None else begin
        if not context and not before:
            before = start_of_text(model, tokenizer) if begin is None else []
        rows = []
        for k, text in enumerate(continuations):
            try:
                row = split(tokenizer, context, text, begin=before, template=template)
            except (TypeError, ValueError) as error:
                raise type(error)(f"item {number}: {error}") from None
            if not row.scored.any():
                raise ValueError(f"item {number}: continuation {k}, {text!r:.40}, has no token in this vocabulary")
            if row.first == 0:
                raise ValueError(
                    f"item {number}: the first token of all would have to be scored, with nothing before it: give the "
                    "item a context, or a begin token (begin=[id])"
                )
            if int(row.ids.max()) >= vocabulary:
                raise ValueError(
                    f"item {number}: token id {int(row.ids.max())} is outside the model's vocabulary of {vocabulary}: "
                    "do model and tokenizer belong together?"
                )
            rows.append(row)
        over = 0 if limit is None else max(len(row.ids) - 1 for row in rows) - limit
        if over > 0:
            room = min(row.first - row.begin for row in rows)
            if not truncate or over > room:
                advice = (
                    "shorten it, or cut contexts on the left (truncate=True)"
                    if over <= room
                    else "what is to be scored alone is too long"
                )
                raise ValueError(
                    f"item {number} has {limit + over + 1} tokens, of which {limit + over} go in, and the model's "
                    f"context is {limit}: {advice}"
                )
            rows = [
                Split(np.delete(row.ids, span), np.delete(row.scored, span), row.begin)
                for row in rows
                for span in [slice(row.begin, row.begin + over)]
            ]
            if min(row.first for row in rows) == 0:
                raise ValueError(f"item {number}: no context would be left before what is to be scored")
        items.append(rows)
        cut.append(max(over, 0))
    return items, cut
