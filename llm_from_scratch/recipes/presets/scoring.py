"""What a reward model of an earlier stage thinks of answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...alignment.value_head import RewardModel
from ...autograd import no_grad
from ...data.examples import collate
from .opening import Opened
from .preset import Message

_CHUNK = 64


def scores_of(opened: Opened, stage: str, prompts: Sequence[Sequence[Message]], texts: Sequence[str]) -> np.ndarray:
    """The rewards (N,) of one answer to each prompt; an answer that says nothing gets the lowest of the others."""
    model = RewardModel.from_pretrained(opened.start.done[stage])
    return rewards_of(model, opened, prompts, texts)


def rewards_of(
    model: RewardModel, opened: Opened, prompts: Sequence[Sequence[Message]], texts: Sequence[str]
) -> np.ndarray:
    """`scores_of` by a reward model that is open."""
    said = [k for k, text in enumerate(texts) if text.strip()]
    if not said:
        return np.zeros(len(texts))
    found = np.full(len(texts), np.nan)
    for at in range(0, len(said), _CHUNK):
        rows = [opened.encode(prompts[k], texts[k]) for k in said[at : at + _CHUNK]]
        batch = collate([{"ids": ids, "mask": np.ones(len(ids), bool)} for ids in rows], multiple=16)
        with no_grad():
            found[said[at : at + _CHUNK]] = model.rewards(batch).data
    return np.where(np.isnan(found), np.nanmin(found), found)
