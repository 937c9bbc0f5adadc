"""A model as a judge of two answers: which is better, asked in both orders.

A judge is called with a prompt and two answers and says how probable it is that the first is better. A language model
becomes one by being asked "A or B?": the softmax over the logits of these two tokens is its verdict. Models prefer a
place besides an answer, so both orders are asked and averaged; half their difference is the position bias.
Source: Bai et al. 2022 (Constitutional AI), arXiv:2212.08073; Lee et al. 2023 (RLAIF), arXiv:2309.00267.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.encoding import find_template
from ..generation import left_padded
from ..tokenizers.chat_template import ChatTemplate
from .intervals import Estimate, bootstrap

Prompt = Sequence[Mapping[str, Any]]
Comparison = tuple[Prompt, str, str]  # a prompt and two answers to it
Judge = Callable[[Prompt, str, str], float]

QUESTION = (
    "Here is a conversation and two answers to it.\n\n{prompt}\n\n[A] {first}\n\n[B] {second}\n\n"
    "Which answer is better? Reply with A or B alone."
)


@dataclass(frozen=True)
class Verdict:
    """How probable it is that the first answer is the better one: shown in front, and shown behind.

    >>> verdict = Verdict(0.9, 0.7)                       # it likes the first answer, and whatever stands in front
    >>> round(verdict.probability, 2), round(verdict.bias, 2)
    (0.8, 0.1)
    """

    in_front: float
    behind: float

    @property
    def probability(self) -> float:
        """The mean of both orders: what standing in front adds cancels."""
        return (self.in_front + self.behind) / 2

    @property
    def bias(self) -> float:
        """What standing in front adds to an answer's probability."""
        return (self.in_front - self.behind) / 2

    @property
    def score(self) -> float:
        """1 if the first answer wins, 0 if it loses; 0.5 where neither order prefers one, or they contradict."""
        votes = np.sign(self.in_front - 0.5) + np.sign(self.behind - 0.5)
        return float(np.sign(votes) + 1) / 2


def verdicts(judge: Judge, comparisons: Sequence[Comparison]) -> list[Verdict]:
    """Ask about each comparison in both orders.

    judge: called with (prompt, first, second), gives the probability that the first is better; one that has a method
    `many` for a list of such triples, as `ModelJudge` has, is asked all at once. Raises ValueError, naming the item,
    where a judge gives no number from 0 to 1.

    >>> def longer(prompt, first, second):                # prefers length, and a little what stands in front
    ...     return 0.55 if len(first) == len(second) else 0.9 if len(first) > len(second) else 0.2
    >>> [round(v.probability, 3) for v in verdicts(longer, [([], "long one", "short"), ([], "ab", "cd")])]
    [0.85, 0.5]
    """
    asked = [order for prompt, a, b in comparisons for order in ((prompt, a, b), (prompt, b, a))]
    many = getattr(judge, "many", None)
    said = list(many(asked)) if many is not None else [judge(*order) for order in asked]
    if len(said) != len(asked):
        raise ValueError(f"the judge was asked {len(asked)} times and answered {len(said)} times")
    numbers = [_probability(answer, number // 2) for number, answer in enumerate(said)]
    return [Verdict(front, 1 - swapped) for front, swapped in zip(numbers[::2], numbers[1::2])]


def position_bias(found: Sequence[Verdict], seed: int = 0) -> Estimate:
    """What standing in front adds, on average: 0 for a judge that looks at answers only, 0.5 for one that never does.

    >>> position_bias([Verdict(0.75, 0.25), Verdict(0.5, 0.0)]).value
    0.25
    """
    return bootstrap([verdict.bias for verdict in found], seed)


def _probability(answer: Any, item: int) -> float:
    number = answer.item() if isinstance(answer, (np.generic, np.ndarray)) and np.size(answer) == 1 else answer
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number <= 1:
        raise ValueError(
            f"item {item}: the judge answered {answer!r} and chose neither; "
            "the probability that the first answer is better was expected, a number from 0 to 1"
        )
    return float(number)


def written(question: str, prompt: Prompt, first: str, second: str) -> str:
    """The question with a prompt and two answers in their places.

    >>> written("{prompt} | {first} | {second}", [{"role": "user", "content": "Is {first} red?"}], "yes", "no")
    'user: Is {first} red? | yes | no'
    """
    told = "\n".join(f"{message['role']}: {message['content']}" for message in prompt)
    parts = {"prompt": told, "first": first, "second": second}
    return re.sub(r"\{(prompt|first|second)\}", lambda found: parts[found[1]], question)  # at once: answers have braces


def judge_by_text(
    ask: Callable[[str], str], *, question: str = QUESTION, labels: tuple[str, str] = ("A", "B")
) -> Judge:
    """A judge that is asked in words and answers in words: `ask` gets a text and gives one.

    The reply's first word decides; where it is neither label, `verdicts` raises a ValueError with the reply in it.

    >>> judge = judge_by_text(lambda text: "B, because it is longer")
    >>> judge([], "no", "yes"), judge_by_text(lambda text: "Both are fine.")([], "no", "yes")
    (0.0, 'Both are fine.')
    """
    _check_question(question)

    def judge(prompt: Prompt, first: str, second: str) -> Any:
        reply = ask(written(question, prompt, first, second))
        word = re.match(r"\W*(\w+)", reply) if isinstance(reply, str) else None
        chosen = word[1].lower() if word else ""
        first_label, second_label = (label.strip().lower() for label in labels)
        return 1.0 if chosen == first_label else 0.0 if chosen == second_label else reply

    return judge


def _check_question(question: str) -> None:
    missing = [name for name in ("{prompt}", "{first}", "{second}") if name not in question]
    if missing:
        raise ValueError(f"the judge's question lacks {', '.join(missing)}: it could not see what it judges")


class ModelJudge:
    """A language model that is shown both answers and asked for a letter.

    question:  the text it is asked, with {prompt}, {first} and {second} in it
    labels:    what it is to say for the first and for the second; their first tokens are compared
    template:  the chat template (a name, a text in Jinja, or None for the tokenizer's own) that the question is
               rendered with, as the user's turn, up to where the model speaks
    least:     the probability that both labels together must have, or the judge has answered neither: a ValueError

    An answer cannot forge the model's special tokens: it is encoded as plain text.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        template: ChatTemplate | str | None = None,
        question: str = QUESTION,
        labels: tuple[str, str] = ("A", "B"),
        least: float = 0.01,
        batch_size: int = 16,
    ) -> None:
        _check_question(question)
        if not 0 <= least < 1:
            raise ValueError(f"least is a probability below 1, not {least}")
        tokens = [tokenizer.encode(label) for label in labels]
        if len(labels) != 2 or not all(tokens) or tokens[0][0] == tokens[1][0]:
            raise ValueError(
                f"the labels {labels} must begin with different tokens, or the judge cannot tell them apart"
            )
        self.model, self.tokenizer, self.template = model, tokenizer, find_template(tokenizer, template)
        self.question, self.labels, self.least, self.batch_size = question, labels, least, batch_size
        self._tokens = [ids[0] for ids in tokens]

    def __call__(self, prompt: Prompt, first: str, second: str) -> float:
        """The probability that the first answer, shown in front, is the better one: one order alone."""
        return self.many([(prompt, first, second)])[0]

    def many(self, comparisons: Sequence[Comparison]) -> list[float]:
        """As a call, for several at once. Raises ValueError naming the item where the judge answers neither."""
        encoded = [self._encoded(number, *comparison) for number, comparison in enumerate(comparisons)]
        said = [0.0] * len(encoded)
        order = sorted(range(len(encoded)), key=lambda k: len(encoded[k]))  # similar lengths share a batch
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            ids, real = left_padded([encoded[k] for k in chosen])
            logits = self.model.step(ids, self.model.new_memory(len(chosen)), None if real.all() else real)
            for row, k in enumerate(chosen):
                said[k] = self._first(logits[row].astype(np.float64), k)
        return said

    def _encoded(self, item: int, prompt: Prompt, first: str, second: str) -> list[int]:
        asked = [{"role": "user", "content": written(self.question, prompt, first, second)}]
        ids = self.template.encode(self.tokenizer, asked)
        context = getattr(getattr(self.model, "spec", None), "context_length", None)
        if context is not None and len(ids) > context:
            raise ValueError(f"item {item}: the judge's question has {len(ids)} tokens, its context is {context}")
        return ids

    def _first(self, logits: np.ndarray, item: int) -> float:
        scores = np.exp(logits - logits.max())
        shares = scores[self._tokens] / scores.sum()
        if not shares.sum() >= max(self.least, 1e-30):
            likeliest = self.tokenizer.decode([int(logits.argmax())])
            raise ValueError(
                f"item {item}: the judge answers neither {self.labels[0]!r} nor {self.labels[1]!r}: together they have "
                f"probability {shares.sum():.2g}, at least {self.least} was expected; it would rather say {likeliest!r}"
            )
        return float(shares[0] / shares.sum())
