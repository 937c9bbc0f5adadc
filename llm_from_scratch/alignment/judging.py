"""RLAIF: preferences whose labels a model gives, and which may be unsure.

A judge sees each pair of answers in both orders; the mean of its two verdicts says which is better, and with what
probability. A reward model is then trained on that probability itself, by cross-entropy: a judge in doubt pulls the two
rewards together, where a label of 0 or 1 would push them apart (`reward_pair_loss(…, preference=)`, and
`pair_example(…, preference=)`). Methods that take plain pairs, such as DPO, take the same rows.

Source: Bai et al. 2022 (Constitutional AI), arXiv:2212.08073, section 4; Lee et al. 2023 (RLAIF), arXiv:2309.00267.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..scoring.judge import Comparison, Judge, verdicts


def judged_preferences(judge: Judge, comparisons: Sequence[Comparison], *, doubt: float = 0.0) -> list[dict[str, Any]]:
    """A preference for each comparison (prompt, answer, other answer), as `read_preferences` gives them, labelled.

    Each is {"prompt", "chosen", "rejected"} (messages), "preference", the probability, at least 1/2, that the chosen
    one is better, and "bias", what standing in front added to an answer. doubt: pairs whose preference is within this
    of 1/2 are left out; exact ties always are, for there nothing is chosen.

    Raises ValueError, naming the item, for answers that are equal or empty (before anyone is asked) and for a judge
    that chooses neither.

    >>> def longer(prompt, first, second):                # and a little for what stands in front
    ...     return 0.9 if len(first) > len(second) else 0.3
    >>> (pair,) = judged_preferences(longer, [([{"role": "user", "content": "Who?"}], "Tom", "Tom the cat")])
    >>> pair["chosen"], round(pair["preference"], 3), round(pair["bias"], 3)
    ([{'role': 'assistant', 'content': 'Tom the cat'}], 0.8, 0.1)
    """
    if not 0 <= doubt < 0.5:
        raise ValueError(f"doubt is how far from 1/2 a preference must be, in [0, 0.5), not {doubt}")
    for number, (_, first, second) in enumerate(comparisons):
        if not first.strip() or not second.strip():
            raise ValueError(f"item {number}: an answer is empty: leave the pair out")
        if first == second:
            raise ValueError(f"item {number}: both answers are {first!r:.60}: a judge has nothing to compare")
    found = []
    for (prompt, first, second), verdict in zip(comparisons, verdicts(judge, comparisons)):
        sure = verdict.probability
        if sure == 0.5 or abs(sure - 0.5) < doubt:
            continue
        chosen, rejected = (first, second) if sure > 0.5 else (second, first)
        found.append({
            "prompt": list(prompt),
            "chosen": [{"role": "assistant", "content": chosen}],
            "rejected": [{"role": "assistant", "content": rejected}],
            "preference": max(sure, 1 - sure),
            "bias": verdict.bias,
        })  # fmt: skip
    return found
