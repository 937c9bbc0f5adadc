"""What every run of tuning begins with: a model with its tokenizer and template, and how long so many tokens take."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ..alignment.distillation import check_vocabulary, distil
from ..checkpoints import from_pretrained
from ..data.encoding import encode_dialogue, find_template
from ..files.download import find_model
from ..scoring.likelihoods import model_digest
from ..tokenizers import Tokenizer
from ..tokenizers.chat_template import ChatTemplate
from ..training import Objective, TrainingSettings
from .settings import MEMORY

LARGE = 20_000_000  # parameters from which on a model is taught gently, and asked less, for it answers slowly


def open_model(name: str | os.PathLike[str], *, packed: bool = False) -> tuple[Any, Tokenizer]:
    """The model and its tokenizer: of a directory, of a .gguf file, or of a model to fetch ("smollm2").

    packed: keep the quantised matrices of a .gguf file as they are, for something that trains beside them.
    """
    path = find_model(name)
    return from_pretrained(path, packed=packed and path.suffix.lower() == ".gguf"), Tokenizer.from_pretrained(path)


def taught_by(name: str | os.PathLike[str], model: Any, **how: Any) -> tuple[Objective, str]:
    """The objective of learning from a teacher's distributions (`distil`, with its settings), and the teacher's digest.

    ValueError for a teacher of another vocabulary, before anything is learned.
    """
    teacher, _ = open_model(name)
    check_vocabulary(model, teacher)
    teacher.freeze()
    return distil(teacher, **how), model_digest(teacher)


def is_large(model: Any) -> bool:
    """Whether it has `LARGE` parameters or more."""
    return model.parameter_count >= LARGE


def chosen_template(tokenizer: Tokenizer, named: str | None, own: str = "tales") -> ChatTemplate:
    """The template that is named; else the tokenizer's own; else `own`, which suits what is done; else "tales".

    The last two are of no use to a tokenizer without the token that they end answers with. ValueError where none is.
    """
    if named is not None or tokenizer.chat_template is not None:
        return find_template(tokenizer, named)
    for name in (own, "tales"):
        if ends_with_a_token(tokenizer, found := find_template(tokenizer, name)):
            return found
    raise ValueError(
        "this tokenizer came without a chat template, and has no token for the end of an answer as the usual one "
        "writes it: name another with --template, such as alpaca, vicuna or zephyr, which write the tokenizer's own end"
    )


def ends_with_a_token(tokenizer: Tokenizer, template: ChatTemplate) -> bool:
    """Whether what ends an answer is a special token, at which a model can stop."""
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    ids, trained = encode_dialogue(tokenizer, talk, template=template)
    return int(ids[trained][-1]) in tokenizer.special_tokens.values()


def tokens_of(example: Mapping[str, Any]) -> int:
    """How many tokens of an example pass through the model: those of all its rows of ids."""
    return sum(len(row) for name, row in example.items() if name.endswith("ids"))


def steps_of(tokens: int, examples: Sequence[Mapping[str, Any]], batch: int, *, of: int | None = None) -> int:
    """How many steps of `batch` things make about so many tokens, at least one.

    examples: some, to see how long they are; they are of so many things (`of`), if not of one each.

    >>> steps_of(60, [{"ids": [1, 2]}, {"ids": [1, 2, 3, 4]}], batch=5)
    4
    """
    length = sum(map(tokens_of, examples)) / (of or len(examples))
    return max(1, round(tokens / (length * batch)))


def stepping_over(held_out: int, seed: int) -> int:
    """A seed to train with, which is never that of what is held out.

    >>> [stepping_over(9, seed) for seed in (7, 8, 9, 10)]
    [7, 8, 10, 11]
    """
    return seed + (seed >= held_out)


def training_settings(
    settings: Mapping[str, Any], steps: int, lr: float, *, warmup: int, evaluations: int, **more: Any
) -> TrainingSettings:
    """How a run trains, by its settings "threads", "seed", "checkpoint_every" and those of `MEMORY` that it has.

    evaluations: how often it is measured on the way. more: further fields of `TrainingSettings`, and others in place
    of these.
    """
    every = max(1, -(-steps // evaluations))
    own: dict[str, Any] = {
        "final_learning_rate": lr / 20,
        "warmup": min(steps, warmup),
        "betas": (0.9, 0.98),
        "evaluate_every": every,
        "checkpoint_every": every if settings["checkpoint_every"] is None else settings["checkpoint_every"],
    }
    own |= {name: settings[name] for name in ("threads", "seed")}
    own |= {name: settings[name] for name in MEMORY if name in settings}  # a run that was begun earlier has none
    return TrainingSettings(**{"steps": steps, "learning_rate": lr, **own, **more})
