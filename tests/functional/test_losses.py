"""Cross-entropy: reductions, ignored targets, normalisers, and every kind of wrong target."""

import math

import numpy as np
import pytest

from llm_from_scratch import functional as F
from llm_from_scratch.autograd import Tensor

RNG = np.random.default_rng(0)
LOGITS = 4 * RNG.normal(size=(2, 6, 11))
TARGETS = RNG.integers(0, 11, (2, 6))
TARGETS[0, 2] = TARGETS[1, 0] = TARGETS[1, 5] = -100
COUNT = 9


def _by_hand():
    exact = np.zeros(TARGETS.shape)
    for place in np.ndindex(TARGETS.shape):
        if TARGETS[place] != -100:
            row = LOGITS[place]
            exact[place] = math.log(sum(math.exp(v) for v in row)) - row[TARGETS[place]]
    return exact


def test_reductions():
    exact = _by_hand()
    each = F.cross_entropy(LOGITS, TARGETS, reduction="none")
    assert each.shape == TARGETS.shape
    np.testing.assert_allclose(each.data, exact, rtol=1e-12)
    assert F.cross_entropy(LOGITS, TARGETS, reduction="sum").item() == pytest.approx(exact.sum(), rel=1e-12)
    assert F.cross_entropy(LOGITS, TARGETS).item() == pytest.approx(exact.sum() / COUNT, rel=1e-12)


def test_a_normaliser_replaces_the_count():
    mean, scaled = F.cross_entropy(LOGITS, TARGETS), F.cross_entropy(LOGITS, TARGETS, normaliser=18)
    assert scaled.item() == pytest.approx(mean.item() * COUNT / 18, rel=1e-14)


def test_equal_logits_cost_the_logarithm_of_their_number():
    assert F.cross_entropy(np.zeros((3, 50)), np.array([0, 7, 49])).item() == pytest.approx(math.log(50))


def test_gradients_of_unequal_shards_add_up_to_the_gradient_of_the_whole():
    whole = Tensor(LOGITS, requires_grad=True)
    F.cross_entropy(whole, TARGETS).backward()
    for row in range(2):
        part = Tensor(LOGITS[row], requires_grad=True)
        F.cross_entropy(part, TARGETS[row], normaliser=COUNT).backward()
        np.testing.assert_allclose(part.grad, whole.grad[row], rtol=1e-12)
    assert (whole.grad[TARGETS == -100] == 0).all()


def test_the_logits_are_not_overwritten():
    logits = Tensor(LOGITS.astype(np.float32), requires_grad=True)
    F.cross_entropy(logits, TARGETS).backward()
    np.testing.assert_array_equal(logits.data, LOGITS.astype(np.float32))


def test_another_ignore_index():
    targets = np.where(TARGETS == -100, 3, TARGETS)
    a = F.cross_entropy(LOGITS, targets, ignore_index=3)
    b = F.cross_entropy(LOGITS, np.where(targets == 3, -100, targets))
    assert a.item() == b.item()
    with pytest.raises(ValueError, match="a target is -100, but ignore_index is 3"):
        F.cross_entropy(LOGITS, TARGETS, ignore_index=3)


@pytest.mark.parametrize(
    "targets, error, message",
    [
        (np.where(TARGETS == 1, 11, TARGETS) * 0 + 11, ValueError, r"target 11 at \(0, 0\)"),
        (TARGETS * 0 - 1, ValueError, "target -1 at"),
        (TARGETS[:, :5], ValueError, r"shape \(2, 5\)"),
        (TARGETS.astype(float), TypeError, "integers"),
        (TARGETS * 0 - 100, ValueError, "a mean over 0 targets is undefined"),
    ],
)
def test_wrong_targets(targets, error, message):
    with pytest.raises(error, match=message):
        F.cross_entropy(LOGITS, targets)


def test_wrong_settings():
    with pytest.raises(ValueError, match="reduction must be 'mean', 'sum' or 'none', not 'average'"):
        F.cross_entropy(LOGITS, TARGETS, reduction="average")
    with pytest.raises(ValueError, match="goes with reduction='mean'"):
        F.cross_entropy(LOGITS, TARGETS, reduction="sum", normaliser=2)
    for normaliser in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="is undefined"):
            F.cross_entropy(LOGITS, TARGETS, normaliser=normaliser)


def test_nothing_to_add_up_is_zero_for_a_sum():
    assert F.cross_entropy(LOGITS, TARGETS * 0 - 100, reduction="sum").item() == 0.0
