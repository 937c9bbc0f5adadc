"""AI feedback in the world of tales, where the truth of a label can be computed."""

import math

import numpy as np
import pytest

from llm_from_scratch.alignment import judged_preferences, pair_example, reward_pair_loss
from llm_from_scratch.autograd import Tensor
from llm_from_scratch.data.assistant import tasks
from llm_from_scratch.scoring import position_bias, verdicts


def pairs(count=300):
    """Pairs of answers of unequal true score, in random order, and by how much the first is better."""
    rng, found, truth = np.random.default_rng(0), [], []
    for task in tasks(41):
        first, second = (task.answers[k] for k in rng.permutation(len(task.answers))[:2])
        if task.score(first) != task.score(second):
            found.append((list(task.messages), first, second))
            truth.append(task.score(first) - task.score(second))
        if len(found) == count:
            return found, np.array(truth)


PAIRS, TRUTH = pairs()
DIFFERENCE = {pair[1:]: d for pair, d in zip(PAIRS, TRUTH)} | {pair[:0:-1]: -d for pair, d in zip(PAIRS, TRUTH)}


def judge_of(bias, sharpness=6.0, noise=0.5, seed=0):
    """P(first) = sigmoid(sharpness · true difference + noise + bias of the place in front)."""
    rng = np.random.default_rng(seed)

    def judge(prompt, first, second):
        return 1 / (1 + math.exp(-(sharpness * DIFFERENCE[first, second] + noise * rng.normal() + bias)))

    return judge


def right(preferences):
    """The share whose chosen answer is truly the better one."""
    return np.mean([DIFFERENCE[p["chosen"][0]["content"], p["rejected"][0]["content"]] > 0 for p in preferences])


def test_averaging_orders_removes_the_bias_of_place():
    one_order = [judge_of(4.0)(*pair) for pair in PAIRS]
    alone = np.mean((np.array(one_order) > 0.5) == (TRUTH > 0))
    both = judged_preferences(judge_of(4.0), PAIRS)
    assert alone < 0.75 and right(both) > 0.95 and len(both) == len(PAIRS)
    # and the labels are those of a judge without bias, to what the noise allows
    unbiased = right(judged_preferences(judge_of(0.0), PAIRS))
    assert abs(right(both) - unbiased) < 0.03
    assert position_bias(verdicts(judge_of(4.0), PAIRS)).interval[0] > 0.2
    low, high = position_bias(verdicts(judge_of(0.0), PAIRS)).interval
    assert low < 0 < high


def test_preferences_have_the_shape_of_files_and_an_honest_probability():
    found = judged_preferences(judge_of(1.0), PAIRS)
    assert all(0.5 < p["preference"] <= 1 for p in found)
    assert {tuple(p) for p in found} == {("prompt", "chosen", "rejected", "preference", "bias")}
    assert found[0]["prompt"] == PAIRS[0][0] and found[0]["chosen"][0]["role"] == "assistant"
    sure = [p for p in found if p["preference"] > 0.8]
    unsure = [p for p in found if p["preference"] < 0.6]
    assert right(sure) > right(unsure)
    kept = judged_preferences(judge_of(1.0), PAIRS, doubt=0.3)
    assert kept == [p for p in found if p["preference"] >= 0.8]


def test_ties_choose_nothing():
    assert judged_preferences(lambda *pair: 0.5, PAIRS) == []
    assert judged_preferences(lambda *pair: 1.0, PAIRS) == []  # always the place in front


def test_pairs_that_cannot_be_judged_are_refused_before_anyone_is_asked():
    def never(*pair):
        raise AssertionError("asked")

    prompt = [{"role": "user", "content": "?"}]
    with pytest.raises(ValueError, match="item 1: both answers are 'same'"):
        judged_preferences(never, [(prompt, "a", "b"), (prompt, "same", "same")])
    with pytest.raises(ValueError, match="item 0: an answer is empty"):
        judged_preferences(never, [(prompt, "a", " ")])
    with pytest.raises(ValueError, match="doubt is how far"):
        judged_preferences(never, [], doubt=0.5)
    with pytest.raises(ValueError, match="item 0: the judge answered 'neither' and chose neither"):
        judged_preferences(lambda *pair: "neither", [(prompt, "a", "b")])


def test_a_reward_model_that_agrees_with_the_judge_is_where_the_loss_rests():
    """With soft labels the gradient is 0 where sigmoid(r - r') is the judge's probability; with hard ones it is not."""
    found = judged_preferences(judge_of(0.0), PAIRS[:50])
    sure = np.array([p["preference"] for p in found])
    chosen = Tensor(np.log(sure / (1 - sure)), requires_grad=True)
    rejected = np.zeros(len(sure))
    reward_pair_loss(chosen, rejected, preference=sure).backward()
    np.testing.assert_allclose(chosen.grad, 0.0, atol=1e-15)
    chosen.grad = None
    reward_pair_loss(chosen, rejected).backward()
    np.testing.assert_allclose(chosen.grad, -(1 - sure) / len(sure), rtol=1e-10)
    example = pair_example([1, 2], [1, 3], preference=found[0]["preference"])
    assert example["preference"] == np.float32(found[0]["preference"])
