"""The methods that learn from answers by themselves, each good or bad: KTO, C-RLFT, APA and AWR.

A preference makes two of them. These do not sample while they train: they learn from the answers that they are given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...alignment.checking import not_negative
from ...alignment.graded import KtoObjective, apa_objective, awr_objective, crlft_objective
from ...alignment.kto import kto_loss
from ...alignment.pairs import encode_answer
from ...alignment.references import SIDES, reference_answers
from ...scoring.likelihoods import log_likelihoods
from ..tuning import Tuning
from .method import Method, Setup

Preferences = Sequence[Mapping[str, Any]]


def _answers(setup: Setup, preferences: Preferences) -> list[dict[str, Any]]:
    """Both answers of each preference, the chosen one first; which it is stands in "desirable"."""
    found = []
    for number, preference in enumerate(preferences):
        for side in SIDES:
            example = _encoded(setup, preference["prompt"], preference[side], f"pair {number}, {side}")
            found.append({**example, "desirable": side == "chosen"})
    return found


def _encoded(setup: Setup, prompt: Any, answer: Any, what: str) -> dict[str, Any]:
    try:
        example = encode_answer(setup.tokenizer, prompt, answer, template=setup.template)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{what}: {error}") from None
    if setup.context is not None and len(example["ids"]) > setup.context:
        raise ValueError(f"{what}: {len(example['ids'])} tokens do not fit into the context of {setup.context}")
    return example


def _kto(setup: Setup) -> Tuning:
    def referenced(examples: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return reference_answers(setup.model, examples, cache=setup.cache, threads=setup.threads, report=setup.say)

    s = setup.settings
    own = {name: s[name] for name in ("beta", "desirable_weight", "undesirable_weight")}
    kto_loss(np.zeros(1), np.zeros(1), [True], 0.0, **own)  # says what is wrong with them before anything is computed
    examples, training = setup.examples(lambda preferences: referenced(_answers(setup, preferences)))
    few = setup.preferences(s["mismatched"] + 1)
    mismatched = referenced([
        _encoded(setup, one["prompt"], other["chosen"], "a pair") for one, other in zip(few, few[1:])
    ])  # fmt: skip
    aim = KtoObjective(mismatched, estimate=s["estimate"], **own)
    return setup.tuning(setup.sampler(examples, 2 * s["batch"]), aim, training, on_step=aim.on_step)


def _crlft(setup: Setup) -> Tuning:
    s = setup.settings

    not_negative("other_weight", s["other_weight"])

    def condition(prompt: Any, name: str) -> list[Any]:
        """Who answers stands at the beginning of the last turn, as OpenChat writes it."""
        return [*prompt[:-1], {**prompt[-1], "content": f"{s[name]} {prompt[-1]['content']}"}]

    def make(preferences: Preferences) -> list[dict[str, Any]]:
        both = [
            {"prompt": condition(one["prompt"], name), "chosen": one[side], "rejected": one[side]}
            for one in preferences
            for side, name in zip(SIDES, ("expert", "other"))
        ]
        rows = [row for row in _answers(setup, both) if row.pop("desirable")]
        weights = [1.0, s["other_weight"]] * len(preferences)
        return [{**row, "weight": np.float32(weight)} for row, weight in zip(rows, weights)]

    examples, training = setup.examples(make)
    aim = crlft_objective(per_sequence=s["per_sequence"])
    sampler = setup.sampler(examples, 2 * s["batch"])
    return setup.tuning(sampler, aim, training, asked=lambda prompt: condition(prompt, "expert"))


def _advantages(setup: Setup, initial: bool) -> Any:
    """Answers whose tokens all have the advantage of the answer: a half above the pair's mean, or a half below."""

    def make(preferences: Preferences) -> list[dict[str, Any]]:
        rows = _answers(setup, preferences)
        if initial:
            settings: dict[str, Any] = {"cache": setup.cache, "threads": setup.threads, "report": setup.say}
            found = log_likelihoods(setup.model, rows, per_token=True, **settings)
            rows = [{**row, "initial": values.astype(np.float32)} for row, values in zip(rows, found)]
        return [
            {**row, "advantages": np.full(len(row["ids"]), 0.5 if row.pop("desirable") else -0.5, np.float32)}
            for row in rows
        ]

    return make


def _apa(setup: Setup) -> Tuning:
    aim = apa_objective(scale=setup.settings["scale"])
    examples, training = setup.examples(_advantages(setup, initial=True))
    return setup.tuning(setup.sampler(examples, 2 * setup.settings["batch"]), aim, training)


def _awr(setup: Setup) -> Tuning:
    aim = awr_objective(scale=setup.settings["scale"])
    examples, training = setup.examples(_advantages(setup, initial=False))
    return setup.tuning(setup.sampler(examples, 2 * setup.settings["batch"]), aim, training)


METHODS = (
    Method(
        "kto", "good and bad answers without partners, worth less the more there is of it", "arXiv:2402.01306",
        "pairs", {"beta": 0.1, "desirable_weight": 1.0, "undesirable_weight": 1.0, "estimate": 16, "mismatched": 256},
        _kto,
    ),
    Method(
        "crlft", "OpenChat: who answers stands in the prompt and weighs the loss", "arXiv:2309.11235", "pairs",
        {"other_weight": 0.1, "expert": "Expert:", "other": "Other:", "per_sequence": False}, _crlft,
    ),
    Method(
        "apa", "Starling: the log-ratio is drawn to advantage / scale", "arXiv:2306.02231", "pairs", {"scale": 0.5},
        _apa,
    ),
    Method(
        "awr", "the likelihood, weighted by exp(advantage / scale)", "arXiv:1910.00177", "pairs", {"scale": 0.5}, _awr
    ),
)  # fmt: skip
