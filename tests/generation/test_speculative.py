from __future__ import annotations

import itertools

import numpy as np
import pytest

from llm_from_scratch.generation import Row, Sampling, generate, speculative
from llm_from_scratch.generation.speculative import Speculation, add_speculated_tokens, distribution

from .conftest import Letters

V, PROMPT, LENGTH = 4, [1, 3], 4


class Table:
    """A model whose logits stand in a table: of the token before and of the one before that."""

    def __init__(self, seed, spread=1.5, vocabulary=V):
        self.table = np.random.default_rng(seed).normal(size=(vocabulary, vocabulary, vocabulary)) * spread

    def new_memory(self, batch_size):
        return [[] for _ in range(batch_size)]

    def step(self, ids, memory, mask=None):
        return self.step_each(ids, memory)[:, -1]

    def step_each(self, ids, memory):
        rows = []
        for new, seen in zip(np.asarray(ids).tolist(), memory):
            start = len(seen)
            seen += new
            pairs = [([0, 0, *seen[: n + 1]])[-2:] for n in range(start, len(seen))]
            rows.append(np.array([self.table[before, last] for before, last in pairs]))
        return np.array(rows)


def told(target, draft, seed, sampling, proposals=3):
    row = Row(PROMPT, max_new_tokens=LENGTH, rng=np.random.default_rng(seed))
    add_speculated_tokens(target, draft, [row], sampling, proposals, Speculation())
    return row.new


def exact(target, sampling):
    """The probability of every continuation, token by token, as without a draft."""
    chances = {}
    for tokens in itertools.product(range(V), repeat=LENGTH):
        chance, text = 1.0, list(PROMPT)
        for token in tokens:
            logits = target.step([text], target.new_memory(1))[0]
            chance *= distribution(logits, text, sampling)[token]
            text.append(token)
        chances[tokens] = chance
    return chances


def surprise(counts, chances):
    """Chi-square of the counts under these chances, as a normal deviate (Wilson & Hilferty); rare texts are pooled."""
    runs = sum(counts.values())
    if any(chances[text] == 0 for text in counts):
        return np.inf  # a text that cannot be told
    often = [text for text, chance in chances.items() if chance * runs >= 10]
    expected = np.array([chances[text] * runs for text in often])
    found = np.array([counts.get(text, 0) for text in often], float)
    expected, found = np.append(expected, runs - expected.sum()), np.append(found, runs - found.sum())
    kept = expected > 1
    degrees = kept.sum() - 1
    chi2 = ((found - expected)[kept] ** 2 / expected[kept]).sum()
    return ((chi2 / degrees) ** (1 / 3) - (1 - 2 / (9 * degrees))) / np.sqrt(2 / (9 * degrees))


SETTINGS = {
    "plain": Sampling(),
    "temperature": Sampling(temperature=0.6),
    "top-k": Sampling(temperature=1.3, top_k=2),
    "top-p": Sampling(top_p=0.7),
    "penalty": Sampling(repetition_penalty=1.8),
    "everything": Sampling(temperature=1.2, top_k=3, top_p=0.85, repetition_penalty=1.5),
}


def deviate(sampling, runs=4_000, proposals=3):
    target, draft = Table(1), Table(2)
    counts: dict = {}
    for seed in range(runs):
        tokens = tuple(told(target, draft, seed, sampling, proposals=proposals))
        counts[tokens] = counts.get(tokens, 0) + 1
    return surprise(counts, exact(target, sampling))


@pytest.mark.parametrize("name", SETTINGS)
def test_whole_texts_have_the_distribution_that_they_have_without_a_draft(name):
    assert abs(deviate(SETTINGS[name])) < 4


@pytest.mark.parametrize("proposals", [1, 2, 7])
def test_so_they_have_however_many_tokens_are_proposed(proposals):
    assert abs(deviate(SETTINGS["everything"], runs=4_000, proposals=proposals)) < 4


FAULTS = {
    "everything is accepted": ("accepts", lambda p, q, guess, rng: True),
    "accepted where p is larger, never else": ("accepts", lambda p, q, guess, rng: p[guess] >= q[guess]),
    "accepted with probability p": ("accepts", lambda p, q, guess, rng: rng.random() < p[guess]),
    "drawn anew from p": ("residual", lambda p, q: p),
    "drawn from |p - q|": ("residual", lambda p, q: np.abs(p - q)),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ["plain", "everything"])
def test_a_fault_is_seen_with_a_tenth_of_the_runs(monkeypatch, fault, name):
    monkeypatch.setattr(speculative, *FAULTS[fault])
    assert deviate(SETTINGS[name], runs=1_000) > 6


def test_a_penalty_that_does_not_see_the_proposals_is_seen(monkeypatch):
    whole = speculative.distribution
    monkeypatch.setattr(
        speculative, "distribution", lambda logits, seen, sampling: whole(logits, seen[: len(PROMPT)], sampling)
    )
    assert deviate(SETTINGS["penalty"], runs=2_000) > 6


def words_left(model, **settings):
    """What is told without and with a draft, its error if it is one, and how the draft did."""
    told, went = [], Speculation()
    settings = {"max_new_tokens": 6, "temperature": 0.0, "no_repeat_ngram_size": 1, **settings}
    for more in ({}, {"draft_model": Table(2), "speculation": went}):
        try:
            told.append(generate(model, [[0]], **settings, **more).tolist())
        except ValueError as error:
            told.append(str(error))
    return (*told, went)


def test_a_draft_that_runs_out_of_words_ends_nothing():
    """Each of four words may come once: behind an end, or where the model goes another way, that is all the same."""
    for seed in range(20):
        for stop in ([], [1], [2], [3, 2]):
            plain, guessed, went = words_left(Table(seed), stop_tokens=stop)
            assert plain == guessed and isinstance(plain, str) == (not stop)
            assert went.tested <= went.proposed <= 3
        plain, guessed, _ = words_left(Table(seed), stop_strings=["d"], tokenizer=Letters())
        assert plain == guessed and isinstance(plain, list)


def test_nothing_is_guessed_behind_the_end_of_a_text():
    model = Table(5)
    told = generate(model, [PROMPT], max_new_tokens=9, temperature=0.0)[0, 2:].tolist()
    went, settings = Speculation(), {"max_new_tokens": 9, "temperature": 0.0, "num_assistant_tokens": 8}
    stop = told[3]
    out = generate(model, [PROMPT], draft_model=model, stop_tokens=[stop], speculation=went, **settings)
    expected = told[: told.index(stop) + 1]
    assert out[0, 2:].tolist() == expected and went.proposed == went.tested == went.accepted == len(expected) - 1


def test_a_draft_that_gives_no_numbers_is_an_error():
    draft = Table(1)
    draft.table[:] = np.nan
    with pytest.raises(ValueError, match="draft.* cannot be sampled from"):
        generate(Table(1), [PROMPT], max_new_tokens=5, draft_model=draft)
