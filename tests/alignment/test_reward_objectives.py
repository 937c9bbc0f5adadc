"""Training reward models: examples, objectives that add up however they are divided, and that they learn."""

import numpy as np
import pytest

from llm_from_scratch import TrainingSettings, accumulate_gradients, build, train
from llm_from_scratch.alignment import (
    RewardModel,
    RewardPairs,
    RewardRankings,
    ValueHead,
    pair_accuracy,
    pair_example,
    ranking_example,
    reward_all_pairs_loss,
    reward_pair_loss,
    reward_ranking_loss,
)
from llm_from_scratch.data import ExampleSampler, collate, example_batches

rng = np.random.default_rng(0)


def model(seed=1, dtype=np.float64, scale=0.5):
    decoder = build("llama", vocab_size=19, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                    intermediate_size=24, seed=seed, dtype=dtype)  # fmt: skip
    head = ValueHead(16, scale=scale, rng=np.random.default_rng(3)) if scale else None
    return RewardModel(decoder, head)


def row(length):
    return rng.integers(0, 19, size=length)


PAIRS = [pair_example(row(3 + k % 3), row(6 - k % 4), margin=0.2 * k, preference=0.6 + 0.1 * k) for k in range(5)]
RANKINGS = [ranking_example([row(2 + k) for k in range(size)], places=4) for size in (4, 2, 3, 4)]


def rewards_alone(reward_model, example, name):
    return reward_model.rewards({"ids": example[f"{name}_ids"][None]}).data[0]


def test_pairs_are_the_loss_of_each_answer_alone():
    m = model()
    chosen, rejected = (np.array([rewards_alone(m, e, name) for e in PAIRS]) for name in ("chosen", "rejected"))
    margin, preference = (np.array([e[name] for e in PAIRS], np.float64) for name in ("margin", "preference"))
    wanted = reward_pair_loss(chosen, rejected, margin=margin, preference=preference).item()
    for threads in (1, 3):
        found = accumulate_gradients(m, collate(PAIRS, pad_id=2), objective=RewardPairs(), threads=threads)
        assert found == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize(("kind", "loss"), [("all pairs", reward_all_pairs_loss), ("places", reward_ranking_loss)])
def test_rankings_of_unequal_length(kind, loss):
    m = model()
    mask = np.arange(4) < np.array([[4], [2], [3], [4]])
    rewards = np.array([
        [rewards_alone(m, e, f"answer{k}") if mask[n, k] else 0.0 for k in range(4)] for n, e in enumerate(RANKINGS)
    ])  # fmt: skip
    for threads in (1, 2):
        found = accumulate_gradients(m, collate(RANKINGS), objective=RewardRankings(kind), threads=threads)
        assert found == pytest.approx(loss(rewards, mask).item(), rel=1e-9)


@pytest.mark.parametrize(
    ("aim", "examples"), [(RewardPairs(), PAIRS), (RewardRankings("places"), RANKINGS), (RewardRankings(), RANKINGS)]
)
def test_the_gradient_is_the_slope(aim, examples):
    m = model()
    accumulate_gradients(m, collate(examples), objective=aim, threads=2)
    trained = [p for p in m.parameters() if p.grad is not None]
    directions = [np.random.default_rng(k).normal(size=p.shape) for k, p in enumerate(trained)]
    slope, ends = sum(float((p.grad * d).sum()) for p, d in zip(trained, directions)), []
    for step in (1e-6, -2e-6):
        for p, d in zip(trained, directions):
            p.data = p.data + step * d
        ends.append(aim(m, collate(examples), normaliser=len(examples)).item())
    assert abs(slope) > 1e-3 and (ends[0] - ends[1]) / 2e-6 == pytest.approx(slope, rel=1e-5)


def test_it_learns_which_answers_are_better():
    """Better is the answer with more sevens: unseen pairs are told apart after a few steps."""
    draw = np.random.default_rng(4)

    def pairs(count):
        made = []
        while len(made) < count:
            a, b = (draw.integers(3, 10, size=draw.integers(3, 8)) for _ in range(2))
            if abs(lead := (a == 7).sum() - (b == 7).sum()) >= 2:
                a, b = (a, b) if (a == 7).sum() > (b == 7).sum() else (b, a)
                made.append(pair_example([1, *a, 2], [1, *b, 2], margin=0.1 * abs(lead)))
        return made

    m = model(dtype=np.float32, scale=0.0)
    held_out = list(example_batches(pairs(100), 50))
    assert pair_accuracy(m, held_out) == 0.5  # all tie at the start
    settings = TrainingSettings(steps=60, learning_rate=1e-2, threads=1)
    train(m, ExampleSampler(pairs(400), 20), settings, objective=RewardPairs(), progress=False)
    assert pair_accuracy(m, held_out) > 0.9


def test_what_is_refused():
    with pytest.raises(ValueError, match="both answers of the pair are the same 2 tokens"):
        pair_example([5, 6], [5, 6])
    with pytest.raises(ValueError, match="rejected: a row of token ids was expected"):
        pair_example([5, 6], [])
    with pytest.raises(ValueError, match="a ranking here has 2 to 3 answers, got 4"):
        ranking_example([[1], [2], [3], [4]], places=3)
    with pytest.raises(ValueError, match="kind must be one of all pairs, places; got 'k-wise'"):
        RewardRankings("k-wise")
