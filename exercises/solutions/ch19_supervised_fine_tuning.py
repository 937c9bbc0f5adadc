"""Chapter 19 exercises: how a conversation becomes something to train on.

Text and small arrays; nothing here needs a model. float32 goes in, float32 comes out, and nothing that was handed in is
changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from llm_from_scratch.grading import task


@task(
    points=2,
    difficulty="medium",
    minutes=20,
    hints={
        "a_system_message: it belongs inside the first [INST]": (
            "LLaMA 2 has no turn for the system: its message stands inside the first user message, between <<SYS>> and "
            "<</SYS>>, with line ends as the example shows."
        ),
        "two_exchanges: every user message begins with <s>": (
            "The text of an exchange is '<s>[INST] question [/INST] answer </s>', and each exchange begins anew."
        ),
        "white_space: each content is stripped": (
            "Strip the contents, not the text: the spaces around [INST] and the answer are the template's own."
        ),
        "white_space: system and question are stripped together": (
            "The question comes behind the system part: strip the two as one text."
        ),
    },
    why="""The format of LLaMA-2-chat is the hardest of the year, and people got it wrong in every possible way: a
    system message of its own, one <s> for the whole text, no space before </s>. The answers get a little worse each
    time, and no error appears. There is no prompt for the answer either: [/INST] is where it begins, which is why the
    space after it belongs to what the model has to say.""",
)
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
    text, system = "", ""
    for message in messages:
        if message["role"] == "system":
            system = f"<<SYS>>\n{message['content']}\n<</SYS>>\n\n"
        elif message["role"] == "user":
            text += f"<s>[INST] {(system + message['content']).strip()} [/INST]"
            system = ""
        else:
            text += f" {message['content'].strip()} </s>"
    return text


@task(
    points=3,
    difficulty="medium",
    minutes=20,
    hints={
        "one_answer: the token that ends the answer is trained": (
            "The model has to stop by itself: what ends an answer is the assistant's to say."
        ),
        "one_answer: the header is not trained": "'<|assistant|>' is written for the model, not by it.",
        "only_the_last: the last answer, wherever it stands": (
            "After the last answer somebody may have asked again. Find the last turn of the assistant first."
        ),
        "everything_but_nothing_less: all tokens": "With train_on='all' headers, questions and ends count as well.",
        "ValueError: need at least one array to concatenate": "A conversation may have no turns: begin with nothing.",
    },
    why="""The mask decides what the model imitates. Train it on the questions, and half of its capacity goes into
    guessing what users say; leave out the end of an answer, and it has never seen how one stops, so that it goes on,
    and asks itself the next question. Both look like a model of poor quality and are one wrong number.""",
)
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
    answers = [number for number, turn in enumerate(turns) if turn["role"] == "assistant"]
    chosen = set(answers[-1:] if train_on == "last" else answers)
    ids: list[int] = []
    trained: list[bool] = []
    for number, turn in enumerate(turns):
        said = [*turn["content"], *turn["end"]]
        ids += [*turn["header"], *said]
        trained += [train_on == "all"] * len(turn["header"])
        trained += [train_on == "all" or number in chosen] * len(said)
    return np.array(ids, np.int64), np.array(trained, bool)


@task(
    points=3,
    difficulty="medium",
    minutes=25,
    hints={
        "a_row_by_hand: position t predicts token t + 1": (
            "targets[t] is ids[t + 1] if that token is trained. Ask the mask about the token that is predicted."
        ),
        "far_apart: RuntimeWarning: overflow": "Subtract each row's maximum before np.exp.",
        "normaliser_counts: divide by the normaliser": (
            "The sum over the targets is divided by the normaliser that is handed in, which counts the targets of the "
            "whole batch; only where it is None by the targets of this row."
        ),
        "gradient_by_differences: rows without a target are zero": (
            "(p - one at the target) / normaliser where there is a target, and exactly 0 elsewhere."
        ),
        "keeps_float32_of_logits: must have dtype float32, got float64": (
            "An integer array divided by a count is float64. Let the logits' dtype decide."
        ),
    },
    why="""The shift, the mask and the count: three places for the mistakes that cost the field the most. In 2024 it
    came out that most libraries had averaged the averages of accumulated batches for years, so that short answers
    weighed more the more memory was saved. A normaliser that the caller hands in makes a batch in parts equal to the
    batch.""",
)
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
    places = np.flatnonzero(trained[1:])
    targets = ids[1:][places]
    count = len(places) if normaliser is None else float(normaliser)
    rows = logits[places] - logits[places].max(axis=-1, keepdims=True)
    shares = np.exp(rows)
    sums = shares.sum(axis=-1, keepdims=True)
    loss = float((np.log(sums[:, 0]) - rows[np.arange(len(places)), targets]).sum()) / count
    shares /= sums
    shares[np.arange(len(places)), targets] -= 1
    gradient = np.zeros_like(logits)
    gradient[places] = shares / count
    return loss, gradient


@task(
    points=3,
    difficulty="medium",
    minutes=25,
    hints={
        "fills_rows_in_order: the first row with room": (
            "Look through the rows from the first on, each time. A row that was passed over may still take a short one."
        ),
        "padding: empty places": "Ids 0, targets -100, segments -1, wherever no conversation stands.",
        "exact_fit: as many as fit": "A row of `context` places takes exactly `context` tokens: compare with <=.",
        "too_long_is_refused: must raise ValueError": (
            "A conversation that does not fit must not be cut in silence: raise ValueError."
        ),
        "ValueError: could not broadcast": "Write to row[start : start + length], and remember how full each row is.",
    },
    why="""Packing buys back the places that padding wastes, more than half of them where lengths differ much, and puts
    a trap in their stead: attention and scans must be told where one conversation ends, or every second answer is
    trained with somebody else's tale in view. The numbers of the segments are that knowledge; -1 says that a place
    belongs to nobody.""",
)
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
    used: list[int] = []
    members: list[int] = []
    places = []
    for ids, _ in dialogues:
        if len(ids) > context:
            raise ValueError(f"a conversation of {len(ids)} tokens does not fit a context of {context}")
        row = next((k for k, taken in enumerate(used) if taken + len(ids) <= context), len(used))
        if row == len(used):
            used.append(0)
            members.append(0)
        places.append((row, used[row], members[row]))
        used[row] += len(ids)
        members[row] += 1
    made = [np.full((len(used), context), filling, np.int64) for filling in (0, -100, -1)]
    for (row, start, number), (ids, targets) in zip(places, dialogues):
        for array, values in zip(made, (ids, targets, number)):
            array[row, start : start + len(ids)] = values
    return made[0], made[1], made[2]
