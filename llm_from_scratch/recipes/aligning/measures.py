"""What every method of alignment is measured by, so that their curves can lie in one picture.

On held-out pairs: the accuracy and the margin of the reward that the model implies. On answers that it samples: their
length, their KL from the reference in nats an answer, and their true score where that can be computed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...alignment.references import accuracy, implicit_rewards
from ...scoring.answers import sample
from ...scoring.likelihoods import log_likelihoods, model_digest
from ..questions import Questions


class AnswerMeasures:
    """Called with a model: {"accuracy", "margin", "kl", "length", and of the tales "true_score"}.

    setup: the `Setup` of the run. Answers are sampled with the same random numbers each time, so that a difference is
    the model's.
    """

    def __init__(self, setup: Any, *, asked: Callable[[Any], Any] = lambda prompt: prompt) -> None:
        self.setup = setup
        self.beta = float(setup.settings.get("beta", 1.0))
        held_out = setup.source.held_out
        self.pairs = setup.encoded([{**pair, "prompt": asked(pair["prompt"])} for pair in held_out])
        self.prompts = [asked(pair["prompt"]) for pair in held_out[: setup.settings["prompts"]]]
        limit = setup.settings["max_new_tokens"]
        likeliest = Questions(setup.tokenizer, self.prompts, {}, template=setup.template, max_new_tokens=limit)
        self.samples = likeliest.samples
        self._last: tuple[str, dict[str, float]] | None = None

    def __call__(self, model: Any) -> dict[str, float]:
        digest = model_digest(model)
        if self._last is None or self._last[0] != digest:  # before the first step and after the last it is asked twice
            self._last = digest, self._measured(model)
        return self._last[1]

    def _measured(self, model: Any) -> dict[str, float]:
        setup = self.setup
        chosen, rejected = implicit_rewards(model, self.pairs, beta=self.beta, threads=setup.threads)
        settings = {"max_new_tokens": setup.settings["max_new_tokens"], "template": setup.template}
        found = sample(model, setup.tokenizer, self.prompts, temperature=1.0, seed=setup.settings["seed"], **settings)
        examples = [one.example for one in found]
        ours, theirs = (log_likelihoods(one, examples, threads=setup.threads) for one in (model, setup.reference))
        figures = {
            "accuracy": accuracy(chosen, rejected),
            "margin": float((chosen - rejected).mean()),
            "kl": float((ours - theirs).mean()),
            "length": float(np.mean([len(one.ids) for one in found])),
        }
        if setup.source.score is not None:
            figures["true_score"] = float(np.mean([setup.source.score(k, one.text) for k, one in enumerate(found)]))
        return figures
