"""SteerLM: what an answer is like, predicted in words and numbers, becomes part of the prompt that asks for it.

A first model learns to rate answers; with its ratings every dialogue is rewritten so that the prompt says what the
answer is like; a second model learns these, and is later asked for the best there is. The scheme is HelpSteer's: five
attributes from 0 to 4, written as `helpfulness:4,correctness:4,…`. Sources: Dong et al. 2023, arXiv:2310.05344; Wang et
al. 2023, arXiv:2311.09528. One deviation: theirs stands after a special token at the head of the answer, ours on a last
line of the user's message, which any chat template can say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

Message = dict[str, str]
ATTRIBUTES = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
HIGHEST = 4
QUESTION = "Rate the answer."


def write_attributes(ratings: Mapping[str, int]) -> str:
    """HelpSteer's five ratings in their order; ValueError naming one that is missing, unknown or not from 0 to 4.

    >>> write_attributes(dict(correctness=4, helpfulness=3, coherence=4, complexity=0, verbosity=2))
    'helpfulness:3,correctness:4,coherence:4,complexity:0,verbosity:2'
    """
    if set(ratings) != set(ATTRIBUTES):
        missing, unknown = sorted(set(ATTRIBUTES) - set(ratings)), sorted(set(ratings) - set(ATTRIBUTES))
        raise ValueError(f"ratings are of {', '.join(ATTRIBUTES)}; missing {missing}, unknown {unknown}")
    for name, value in ratings.items():
        if isinstance(value, bool) or not 0 <= value <= HIGHEST or value != int(value):
            raise ValueError(f"{name} must be a whole number from 0 to {HIGHEST}, got {value!r}")
    return ",".join(f"{name}:{int(ratings[name])}" for name in ATTRIBUTES)


def read_attributes(text: str) -> dict[str, int]:
    """The inverse of `write_attributes`; ValueError for a text that is not of that form.

    >>> read_attributes("helpfulness:3,correctness:4,coherence:4,complexity:0,verbosity:2")["correctness"]
    4
    """
    found = re.fullmatch(",".join(rf"{name}:([0-{HIGHEST}])" for name in ATTRIBUTES), text.strip())
    if found is None:
        raise ValueError(f"expected ratings such as {write_attributes(dict.fromkeys(ATTRIBUTES, 4))}, got {text!r}")
    return dict(zip(ATTRIBUTES, map(int, found.groups())))


def rating_prompt(messages: Sequence[Message]) -> list[Message]:
    """What the attribute model is asked: a dialogue that ends with an answer, and the request to rate it."""
    _checked(messages, "assistant")
    return [*messages, {"role": "user", "content": QUESTION}]


def rating_dialogue(messages: Sequence[Message], ratings: Mapping[str, int]) -> list[Message]:
    """What the attribute model learns (its last answer alone): the rating in words.

    >>> chat = [{"role": "user", "content": "2 + 3?"}, {"role": "assistant", "content": "5"}]
    >>> rating_dialogue(chat, dict.fromkeys(ATTRIBUTES, 4))[-1]["content"]
    'helpfulness:4,correctness:4,coherence:4,complexity:4,verbosity:4'
    """
    return [*rating_prompt(messages), {"role": "assistant", "content": write_attributes(ratings)}]


def with_attributes(messages: Sequence[Message], ratings: Mapping[str, int]) -> list[Message]:
    """The dialogue or prompt whose last message of the user says what the answer is, or shall be, like.

    >>> with_attributes([{"role": "user", "content": "2 + 3?"}], dict.fromkeys(ATTRIBUTES, 4))[0]["content"]
    '2 + 3?\\nhelpfulness:4,correctness:4,coherence:4,complexity:4,verbosity:4'
    """
    if not len(messages):
        raise ValueError("there are no messages")
    at = len(messages) - 1 - (messages[-1]["role"] == "assistant")
    if at < 0 or messages[at]["role"] != "user":
        raise ValueError("the last message, or the one before a last answer, must be the user's")
    asked = {**messages[at], "content": f"{messages[at]['content']}\n{write_attributes(ratings)}"}
    return [*messages[:at], asked, *messages[at + 1 :]]


def annotated(
    dialogues: Sequence[Sequence[Message]], predict: Callable[[list[list[Message]]], list[str]]
) -> tuple[list[list[Message]], int]:
    """Dialogues conditioned on the ratings that the attribute model gives their last answers, and how many it left out.

    predict: rating prompts -> texts. A dialogue whose rating cannot be read is left out and counted.

    >>> chat = [{"role": "user", "content": "2 + 3?"}, {"role": "assistant", "content": "6"}]
    >>> texts = ["helpfulness:1,correctness:0,coherence:4,complexity:0,verbosity:1", "well"]
    >>> made, unread = annotated([chat, chat], lambda prompts: texts)
    >>> made[0][0]["content"].splitlines()[1], len(made), unread
    ('helpfulness:1,correctness:0,coherence:4,complexity:0,verbosity:1', 1, 1)
    """
    made = []
    for messages, text in zip(dialogues, predict([rating_prompt(m) for m in dialogues]), strict=True):
        try:
            ratings = read_attributes(text)
        except ValueError:
            continue
        made.append(with_attributes(messages, ratings))
    return made, len(dialogues) - len(made)


def _checked(messages: Sequence[Message], role: str) -> None:
    if not len(messages) or messages[-1]["role"] != role:
        raise ValueError(f"a dialogue to be rated must end with an answer of the {role}")
