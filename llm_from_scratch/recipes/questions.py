"""Held-out questions, asked of a model as it stands: what it answers, and which share of that is right."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..scoring.answers import answer
from ..scoring.likelihoods import model_digest
from ..tokenizers import Tokenizer

_SHOWN = 2  # answers before and after


class Questions:
    """Called with a model, the means of `marks`; `samples` are its first answers.

    prompts: lists of messages. marks: {name: for each prompt what says of an answer whether it is right, or how good}.
    settings: as `answer` takes them (template, max_new_tokens). One model is asked once, however often its answers are
    looked at: that is before the first step and after the last several times.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        prompts: Sequence[Sequence[Mapping[str, Any]]],
        marks: Mapping[str, Sequence[Callable[[str], float]]],
        **settings: Any,
    ) -> None:
        self.tokenizer, self.prompts, self.marks, self.settings = tokenizer, prompts, marks, settings
        self._last: tuple[str, list[str]] = ("", [])

    def __call__(self, model: Any) -> dict[str, float]:
        texts = self.answers(model)
        return {n: float(np.mean([mark(text) for mark, text in zip(m, texts)])) for n, m in self.marks.items()}

    def answers(self, model: Any, count: int | None = None) -> list[str]:
        """The likeliest answers, to all prompts or to the first so many."""
        wanted = self.prompts[:count]
        digest = model_digest(model)
        if self._last[0] != digest or len(self._last[1]) < len(wanted):
            self._last = digest, answer(model, self.tokenizer, wanted, **self.settings)
        return self._last[1][: len(wanted)]

    def samples(self, model: Any) -> list[dict[str, str]]:
        """The first prompts' last lines, and the answers to them."""
        texts = self.answers(model, None if self.marks else _SHOWN)
        return [{"asked": last_line(prompt), "answer": text} for prompt, text in zip(self.prompts[:_SHOWN], texts)]


def last_line(prompt: Sequence[Mapping[str, Any]]) -> str:
    """The end of a prompt, for people: the last line of it that is not empty.

    >>> last_line([{"role": "user", "content": "There was a fox.\\n\\nWho was there?\\n"}])
    'Who was there?'
    """
    lines = [line for line in str(prompt[-1]["content"]).splitlines() if line.strip()]
    return lines[-1] if lines else ""
