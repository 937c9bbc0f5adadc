"""What supervised tuning learns from, and how it is seen to have learned: a file, the tales, or a made-up format."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from .. import data as readers
from ..data import assistant
from ..tokenizers import Tokenizer
from . import made_up_format
from .beginning import stepping_over, steps_of, tokens_of

Dialogue = Sequence[Mapping[str, Any]]
TRAINING_SEED, HELD_OUT_SEED = 19_000, 19_999  # of the tales: other seeds have other tales
_APART = 10**12  # between the held-out seeds: no run's own reaches so far


@dataclasses.dataclass(frozen=True)
class Taught:
    """dialogues: to learn from, anew at each call, perhaps without end. held_out: others, whose loss is measured.

    prompts: questions to which answers are generated. marks: as for `Questions`, nothing where nobody knows what is
    right. epochs, tokens: how long one learns if nobody says; longest: tokens of an answer.
    """

    dialogues: Callable[[], Iterator[Dialogue]]
    held_out: Sequence[Dialogue]
    prompts: Sequence[Dialogue]
    marks: Mapping[str, Sequence[Callable[[str], float]]]
    tokens: int | None = None
    epochs: float = 3.0
    longest: int = 48


def open_taught(data: str, *, seed: int, held_out: int, held_out_seed: int = 0) -> Taught:
    """ "tales", "format", or the path of a file of dialogues in any of the usual shapes. "tales:arithmetic,problem":
    these kinds of `data.assistant.KINDS` alone, a specialist's.

    held_out_seed: another one gives other held-out tales and words, for a last look at what nobody has looked at yet.
    """
    if held_out < 1:
        raise ValueError(f"held_out is how many are kept for measuring, at least 1; got {held_out}")
    if data.partition(":")[0] == "tales":
        special = data.partition(":")[2].split(",") if ":" in data else None
        turns = 1 if special else 4  # later turns of a dialogue are of any kind
        kinds, asked_for = special or assistant.TAUGHT_KINDS, special or assistant.QUESTION_KINDS
        training = stepping_over(HELD_OUT_SEED, TRAINING_SEED + seed)
        unseen = HELD_OUT_SEED + _APART * held_out_seed
        told = assistant.dialogues(unseen, kinds=kinds, turns=turns)
        asked = list(itertools.islice(assistant.tasks(unseen, kinds=asked_for), held_out))
        return Taught(
            lambda: assistant.dialogues(training, kinds=kinds, turns=turns),
            list(itertools.islice(told, min(held_out, 100))),
            [list(task.messages) for task in asked],
            {"questions_right": [task.right for task in asked]},
            tokens=1_500_000,
        )
    if data == "format":
        examples = made_up_format.dialogues(seed)
        questions = made_up_format.questions(min(held_out, 100), held_out_seed)
        return Taught(
            lambda: iter(examples),
            [],
            [prompt for prompt, _ in questions],
            {"in_the_format": [partial(made_up_format.follows, word) for _, word in questions]},
            epochs=3.0,
            longest=24,
        )
    if held_out_seed:
        raise ValueError(f"held_out_seed is for tales and format; what is held out of {data} is drawn by the seed")
    dialogues = list(readers.read_dialogues(data))
    if len(dialogues) < 5:
        raise ValueError(f"{data} has {len(dialogues)} dialogues: at least 5 are needed, some of them to measure on")
    order = np.random.default_rng(seed).permutation(len(dialogues)).tolist()
    kept = min(held_out, len(dialogues) // 5)
    rest = [dialogues[k] for k in order[:kept]]
    return Taught(lambda: (dialogues[k] for k in order[kept:]), rest, [before_last_answer(d) for d in rest], {})


def examples_of(
    taught: Taught, tokenizer: Tokenizer, s: Mapping[str, Any], about: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], int]:
    """As many examples as are wanted (or there are), and the number of steps.

    s: a run's settings, of which "tokens", "steps" and "batch" are read; about: as `dialogue_examples` takes it.
    """
    tokens, steps, batch = s["tokens"] or taught.tokens, s["steps"], s["batch"]
    source = taught.dialogues()
    examples: list[dict[str, Any]] = []
    seen, passed = 0, 0
    while some := list(itertools.islice(source, 256)):
        made = readers.dialogue_examples(tokenizer, some, **about)
        examples += made
        seen, passed = seen + len(some), passed + sum(map(tokens_of, made))
        if (steps is not None and len(examples) >= steps * batch) or (steps is None and tokens and passed >= tokens):
            break
    if steps is None:
        steps = steps_of(tokens or round(taught.epochs * passed), examples, min(batch, len(examples)))
    return examples, steps


def before_last_answer(dialogue: Dialogue) -> Dialogue:
    """What the last answer of a dialogue answers."""
    last = max(k for k, message in enumerate(dialogue) if message["role"] == "assistant")
    return dialogue[:last]
