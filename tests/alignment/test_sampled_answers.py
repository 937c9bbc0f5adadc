"""Answers as they are sampled: the same however they are divided, with their ends."""

import numpy as np
import pytest

from llm_from_scratch import build
from llm_from_scratch.alignment import sample_answers, sampled_answers

TINY = dict(vocab_size=19, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24)


def prompts(count, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(3, 19, size=rng.integers(1, 7)) for _ in range(count)]


@pytest.mark.parametrize("family", ["llama", "mamba"])
def test_an_answer_does_not_depend_on_its_company(family, monkeypatch):
    tiny = TINY if family == "llama" else dict(vocab_size=19, hidden_size=16, num_hidden_layers=1, state_size=4)
    policy, asked = build(family, seed=2, dtype=np.float64, **tiny), prompts(9)
    settings = dict(end_tokens=[2], max_new_tokens=12, seed=(5, 1))
    whole = sample_answers(policy, asked, **settings)
    monkeypatch.setattr(sampled_answers, "_CHUNK", 2)
    for threads in (1, 3):
        for one, other in zip(whole, sample_answers(policy, asked, threads=threads, **settings)):
            assert one.tolist() == other.tolist()
    others = sample_answers(policy, asked, **{**settings, "seed": (5, 2)})
    assert any(a.tolist() != b.tolist() for a, b in zip(whole, others))


def test_an_answer_has_its_end_or_was_cut_off():
    policy = build("llama", seed=2, dtype=np.float64, **TINY)
    answers = sample_answers(policy, prompts(60), end_tokens=[2, 7], max_new_tokens=10)
    ended = [a[-1] in (2, 7) for a in answers]
    assert 0 < sum(ended) < 60
    for answer, end in zip(answers, ended):
        assert not np.isin(answer[:-1], (2, 7)).any() and (end or len(answer) == 10)


def test_the_policy_is_sampled_from_at_the_temperature():
    policy = build("llama", seed=2, dtype=np.float64, **TINY)
    logits = policy([[5]]).data[0, -1]
    for temperature in (1.0, 0.3):
        firsts = [a[0] for a in sample_answers(policy, [np.array([5])] * 4000, end_tokens=[2], max_new_tokens=1,
                                               temperature=temperature)]  # fmt: skip
        wanted = np.exp(logits / temperature)
        found = np.bincount(firsts, minlength=19) / 4000
        assert np.abs(found - wanted / wanted.sum()).max() < 0.035
