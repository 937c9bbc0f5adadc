"""The methods that learn from pairs at once, without a reward model: DPO and its relatives."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ...alignment.dpo import dpo_loss
from ...alignment.hinge import hinge_loss
from ...alignment.ipo import ipo_loss
from ...alignment.preference import preference_objective
from ..tuning import Tuning
from .method import Method, Setup


def _direct(loss: Callable[..., Any], *names: str, lengths: bool = False) -> Callable[[Setup], Tuning]:
    """How a loss on pairs is trained; names: its settings."""

    def prepare(setup: Setup) -> Tuning:
        bound = partial(loss, **{name: setup.settings[name] for name in names})
        bound(*np.zeros((4, 1)))  # says what is wrong with them before anything is computed
        examples, training = setup.examples(setup.encoded)
        aim = preference_objective(bound, lengths=lengths and setup.settings["per_token"])
        return setup.tuning(setup.sampler(examples), aim, training)

    return prepare


# On the tales: large models are held with 0.1 (Zephyr, tau of IPO alike), and more where they learn for long.
METHODS = (
    Method(
        "dpo", "the reward is a log-ratio, so preferences train the model itself", "arXiv:2305.18290", "pairs",
        {"beta": 0.5}, _direct(dpo_loss, "beta"),
    ),
    Method(
        "cdpo", "DPO that expects a share of the preferences to be wrong", "arXiv:2305.18290 and Mitchell 2023",
        "pairs", {"beta": 0.5, "label_smoothing": 0.1}, _direct(dpo_loss, "beta", "label_smoothing"),
    ),
    Method(
        "ipo", "the margin is drawn to 1/(2 tau), and no further", "arXiv:2310.12036", "pairs",
        {"tau": 0.05, "per_token": False}, _direct(ipo_loss, "tau", lengths=True),
    ),
    Method(
        "hinge", "SLiC's hinge: pairs told apart by enough are left alone", "arXiv:2305.10425", "pairs",
        {"beta": 0.5}, _direct(hinge_loss, "beta"),
    ),
)  # fmt: skip
