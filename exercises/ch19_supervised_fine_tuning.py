"""Chapter 19 exercises: how a conversation becomes something to train on.

Text and small arrays; nothing here needs a model. float32 goes in, float32 comes out, and nothing that was handed in is
changed.

Replace each `raise NotImplementedError(...)` by your code, in any order, and run as often as you like:

    python -m llm_from_scratch grade ch19              # add --dir FOLDER if this file stands elsewhere
    python -m llm_from_scratch grade ch19 --hint       # one more step of advice for each --hint
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


# Task 1 of 4: medium, about 20 minutes, 2 points
def llama_2_template(messages: Sequence[dict[str, str]]) -> str:
    r"""A conversation as LLaMA-2-chat reads it.

    messages: each with "role" and "content"; perhaps one from the system, then user and assistant in turns, the user
        first. Not changed.

    A question is "<s>[INST] ", its content, " [/INST]"; an answer is a space, its content, a space and "</s>". A system
    message does not stand by itself: it goes in front of the first question's content, as "<<SYS>>\n", the message as
    it is, "\n<</SYS>>\n\n". Contents of questions (together with a system part) and answers are stripped of white space
    at their ends.

    >>> llama_2_template([{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Why?"}])
    '<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nWhy? [/INST]'
    >>> llama_2_template([{"role": "user", "content": "Why? "}, {"role": "assistant", "content": "So."}])
    '<s>[INST] Why? [/INST] So. </s>'
    """
    raise NotImplementedError("llama_2_template")


# Task 2 of 4: medium, about 20 minutes, 3 points
def mask_from_roles(turns: Sequence[dict[str, Any]], train_on: str = "assistant") -> tuple[np.ndarray, np.ndarray]:
    """A conversation as one row of ids, and which of them are trained.

    turns: each with "role" and three lists of ids: "header" (who speaks), "content", "end" (that the turn is over).
        May be empty, and so may each of the lists.
    train_on: "assistant": content and end of every turn of the assistant; "last": of its last turn only; "all": every
        token
    returns: ids (T,) int64, trained (T,) bool; all turns in their order, each as header, content, end

    >>> turns = [{"role": "user", "header": [1], "content": [7, 8], "end": [3]},
    ...          {"role": "assistant", "header": [2], "content": [9], "end": [3]}]
    >>> ids, trained = mask_from_roles(turns)
    >>> ids.tolist(), trained.astype(int).tolist()
    ([1, 7, 8, 3, 2, 9, 3], [0, 0, 0, 0, 0, 1, 1])
    """
    raise NotImplementedError("mask_from_roles")


# Task 3 of 4: medium, about 25 minutes, 3 points
def masked_loss(
    logits: np.ndarray, ids: np.ndarray, trained: np.ndarray, normaliser: float | None = None
) -> tuple[float, np.ndarray]:
    """The loss of a conversation on its trained tokens, and its gradient.

    logits: (T, V), what the model expects after each token
    ids: (T,); trained: (T,) bool. Token t + 1 is a target of position t if it is trained; the first token is nobody's
    normaliser: what the sum is divided by; None: the number of targets (there is at least one)
    returns: the sum over the targets of -log p(target) / normaliser, and its gradient, (T, V), in the logits' dtype.
        Must not overflow, however large the logits

    >>> logits = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8], [0.2, 0.2, 0.6]]))
    >>> loss, gradient = masked_loss(logits, np.array([0, 1, 2]), np.array([False, False, True]))
    >>> round(loss, 4), gradient.round(2).tolist()                        # only "2 after 1" counts: -log 0.8
    (0.2231, [[0.0, 0.0, 0.0], [0.1, 0.1, -0.2], [0.0, 0.0, 0.0]])
    """
    raise NotImplementedError("masked_loss")


# Task 4 of 4: medium, about 25 minutes, 3 points
def pack_dialogues(
    dialogues: Sequence[tuple[np.ndarray, np.ndarray]], context: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Conversations side by side in rows of `context` places.

    dialogues: (ids, targets) each, two arrays of equal length, at least 1. There is at least one.
    context: how many places a row has
    returns: ids (0 where empty), targets (-100) and segments (-1), each (rows, context) int64

    Each conversation goes, in the order in which they come, behind what is already in the first row that has room for
    all of it; if none has, a new row is begun. segments numbers the conversations of a row: 0, 1, … A conversation
    longer than the context is a ValueError.

    >>> pairs = [(np.array([5, 6, 7]), np.array([6, 7, -100])), (np.array([8, 9]), np.array([9, -100]))]
    >>> ids, targets, segments = pack_dialogues(pairs, 6)
    >>> ids.tolist(), targets.tolist(), segments.tolist()
    ([[5, 6, 7, 8, 9, 0]], [[6, 7, -100, 9, -100, -100]], [[0, 0, 0, 1, 1, -1]])
    """
    raise NotImplementedError("pack_dialogues")
