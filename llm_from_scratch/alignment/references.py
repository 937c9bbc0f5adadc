"""What the reference thinks of the answers: asked once before training, and kept beside the data.

The reference is the model that preferences are learned from; it does not change, so a number an answer is all that a
run needs of it, and no second model has to stand in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..scoring.likelihoods import log_likelihoods

SIDES = ("chosen", "rejected")
Example = dict[str, Any]


def reference_pairs(reference: Any, pairs: Sequence[Mapping[str, Any]], **settings: Any) -> list[Example]:
    """Pairs with "reference_chosen" and "reference_rejected", the reference's log-probabilities of both answers.

    pairs: as `encode_pairs` gives them. settings: those of `log_likelihoods`, such as cache="some/directory".

    >>> from llm_from_scratch.checkpoints import build
    >>> model = build("gpt2", n_layer=1, n_head=1, n_embd=4, vocab_size=4, n_positions=8)
    >>> model.embedding.weight.data[:] = 0.0                   # every token is as likely as any other
    >>> pair = {"chosen_ids": [0, 1], "chosen_targets": [-100, 3], "rejected_ids": [0], "rejected_targets": [2]}
    >>> round(float(reference_pairs(model, [pair])[0]["reference_chosen"]), 3)
    -1.386
    """
    found = log_likelihoods(reference, sides(pairs), **settings).reshape(2, -1)
    return [
        {**pair, "reference_chosen": chosen, "reference_rejected": rejected}
        for pair, chosen, rejected in zip(pairs, *found)
    ]


def reference_answers(reference: Any, examples: Sequence[Mapping[str, Any]], **settings: Any) -> list[Example]:
    """Single answers {"ids", "targets", …} with "reference", the reference's log-probability of each."""
    found = log_likelihoods(reference, examples, **settings)
    return [{**example, "reference": value} for example, value in zip(examples, found)]


def sides(pairs: Sequence[Mapping[str, Any]]) -> list[Example]:
    """All chosen answers, then all rejected ones, as examples of their own."""
    return [{name: pair[f"{side}_{name}"] for name in ("ids", "targets")} for side in SIDES for pair in pairs]


def check_reference(model: Any, reference: Any, tokenizer: Any = None, reference_tokenizer: Any = None) -> None:
    """ValueError where the two could not mean the same by an id: other vocabularies, or tokenizers that differ.

    tokenizer, reference_tokenizer: where both are known, they must have the same tokens under the same ids.
    """
    sizes = [getattr(getattr(one, "spec", None), "vocab_size", None) for one in (model, reference)]
    if None not in sizes and sizes[0] != sizes[1]:
        raise ValueError(
            f"the reference has a vocabulary of {sizes[1]:,} tokens, the model one of {sizes[0]:,}: "
            "log-probabilities can only be compared token by token, so take the model that the training begins from"
        )
    if tokenizer is None or reference_tokenizer is None:
        return
    ours, theirs = (_tokens(one) for one in (tokenizer, reference_tokenizer))
    differing = next((k for k in sorted(ours.keys() | theirs.keys()) if ours.get(k) != theirs.get(k)), None)
    if differing is not None:
        raise ValueError(
            f"the reference's tokenizer is another: token {differing} is {theirs.get(differing)!r} there, "
            f"{ours.get(differing)!r} here; take the model that the training begins from"
        )


def _tokens(tokenizer: Any) -> dict[int, bytes]:
    return {number: tokenizer.decode_bytes([number]) for number in range(tokenizer.vocab_size)}


def implicit_rewards(
    model: Any, pairs: Sequence[Mapping[str, Any]], *, beta: float = 1.0, **settings: Any
) -> tuple[np.ndarray, np.ndarray]:
    """beta times the log-ratio of the chosen and of the rejected answers, (N,) and (N,): what the model implies.

    pairs: from `reference_pairs`. settings: those of `log_likelihoods`.
    """
    ours = log_likelihoods(model, sides(pairs), **settings).reshape(2, -1)
    theirs = np.array([[float(pair[f"reference_{side}"]) for pair in pairs] for side in SIDES])
    chosen, rejected = beta * (ours - theirs)
    return chosen, rejected


def accuracy(chosen: np.ndarray, rejected: np.ndarray) -> float:
    """The share of pairs whose chosen answer has the higher reward; a tie counts one half, as a coin would.

    >>> accuracy(np.array([1.0, 0.0, 2.0, 2.0]), np.array([0.0, 0.0, 3.0, 2.0]))
    0.5
    """
    if chosen.shape != rejected.shape or chosen.ndim != 1 or not len(chosen):
        raise ValueError(
            f"rewards of as many chosen as rejected answers, at least one; got {chosen.shape}, {rejected.shape}"
        )
    if not (np.isfinite(chosen).all() and np.isfinite(rejected).all()):
        raise ValueError("rewards must be finite")
    return float(((chosen > rejected) + 0.5 * (chosen == rejected)).mean())
