"""Answers that are written: the model continues a context, what it says up to a stop is compared with what is right."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.encoding import find_template
from ..generation import end_tokens, generate
from ..scoring.intervals import bootstrap
from ..scoring.matching import ExactMatch, normalized
from ..tokenizers import Tokenizer
from ..tokenizers.ends import begin_ids
from ..training.workers import one_blas_thread
from .fitting import check_left_to_right, context_limit
from .items import check_questions
from .kept import Kept

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
_SMALL = 20_000_000  # parameters: below, a second thread of the matrix products waits longer than it works


@dataclass(frozen=True)
class Generated(ExactMatch):
    """value: the share of answers that are right; matches (N,): which.

    texts: what the model wrote; answers: what of it was compared; truncated: how many contexts lost their beginning.
    """

    texts: list[str]
    answers: list[str]
    truncated: int


def last_number(text: str) -> str:
    """The last number in a text, without separators of thousands and trailing zeros; "" if there is none.

    >>> last_number("So 3 + 1,000 = 1,003.50 in all."), last_number("none")
    ('1003.5', '')
    """
    found = _NUMBER.findall(text)
    number = found[-1].replace(",", "") if found else ""
    return number.rstrip("0").rstrip(".") if "." in number else number


def generation_accuracy(
    model: Any,
    tokenizer: Tokenizer,
    items: Sequence[Mapping[str, Any]],
    *,
    max_new_tokens: int = 64,
    stop: Sequence[str] = ("\n",),
    extract: Callable[[str], str] = lambda text: text,
    normalize: Callable[[str], str] = normalized,
    template: Any = None,
    truncate: bool = False,
    temperature: float = 0.0,
    seed: int = 0,
    cache: Any = None,
    progress: Callable[[int], object] = lambda count: None,
) -> Generated:
    """Let the model continue each item {"context", "answer": a text or several} and compare what it writes.

    A text ends before the first of `stop`, at a token that ends texts, or after `max_new_tokens`. extract: what of it,
    and of the right answer, is compared, such as `last_number`; after that, `normalize`. temperature, seed: greedy by
    default; item k draws from seed + k. cache: a file in which texts are kept one by one, so that an interrupted call
    goes on. progress: called with the number of items done.

    Raises ValueError or TypeError, naming the item, before anything is computed: for an item without a right answer,
    and a context that leaves no room for the answer (truncate=True cuts it on the left).

    >>> class Sums:                                       # says "4." and ends
    ...     config, spec, parameter_count = {}, None, 0
    ...     def new_memory(self, batch_size):
    ...         return iter([*tokenizer.encode("4. "), 0])
    ...     def step(self, ids, memory, mask=None):
    ...         return np.eye(300)[[next(memory)]]
    >>> tokenizer = Tokenizer.train("a", 260, special_tokens=["<|endoftext|>"])
    >>> items = [{"context": "2 + 2 =", "answer": "4"}, {"context": "2 + 3 =", "answer": ["5", "five"]}]
    >>> result = generation_accuracy(Sums(), tokenizer, items)
    >>> float(result), result.matches.tolist()
    (0.5, [True, False])
    """
    check_left_to_right(model)
    questions = check_questions(items)
    limit = context_limit(model)
    prompts, cut = [], 0
    for number, question in enumerate(questions):
        before = begin_ids(tokenizer)
        try:
            if isinstance(question.context, str):
                ids = tokenizer.encode(question.context)
            else:
                before, ids = [], find_template(tokenizer, template).encode(tokenizer, question.context)
        except (TypeError, ValueError) as error:
            raise type(error)(f"item {number}: {error}") from None
        over = 0 if limit is None else len(before) + len(ids) + max_new_tokens - limit
        if over > 0 and (not truncate or over >= len(ids)):
            raise ValueError(
                f"item {number} has {len(before) + len(ids)} tokens, and an answer of {max_new_tokens} would exceed "
                f"the model's context of {limit}: shorten it, lower max_new_tokens, or cut contexts on the left "
                "(truncate=True)"
            )
        for answer in question.answers:
            if not normalize(extract(answer)):
                raise ValueError(f"item {number}: nothing is left of the right answer {answer!r:.60} to compare with")
        prompts.append([*before, *ids[max(over, 0) :]])
        cut += over > 0
    stops = end_tokens(model, tokenizer)
    kept = Kept.of(cache, model)
    texts, found, matches = [], [], np.zeros(len(questions), bool)
    for number, (question, ids) in enumerate(zip(questions, prompts)):
        draws = None if temperature == 0 else seed + number
        key = kept.key(ids, stops, list(stop), max_new_tokens, temperature, draws)
        text = kept.get(key)
        if text is None:
            text = _continued(model, tokenizer, ids, stops, stop, max_new_tokens, temperature, seed + number)
            kept.put(key, text)
        progress(number + 1)
        texts.append(text)
        found.append(extract(text))
        matches[number] = normalize(found[-1]) in {normalize(extract(answer)) for answer in question.answers}
    mean = bootstrap(matches, seed)
    return Generated(mean.value, mean.interval, mean.count, matches, texts, found, cut)


def _continued(
    model: Any,
    tokenizer: Any,
    ids: list[int],
    stops: Any,
    stop: Sequence[str],
    room: int,
    temperature: float,
    seed: int,
) -> str:
    pieces: list[str] = []  # streamed, because a token may hold the end of an answer and the beginning of a stop
    settings: dict[str, Any] = {"stop_tokens": stops, "stop_strings": stop, "tokenizer": tokenizer, "seed": seed}

    def run() -> None:
        generate(model, [ids], max_new_tokens=room, temperature=temperature, stream=pieces.append, **settings)

    if model.parameter_count < _SMALL:
        with one_blas_thread():
            run()
    else:
        run()
    return "".join(pieces).strip()
