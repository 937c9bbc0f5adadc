"""C-RLFT against the formula as loops; the weighting is that of the authors' training code: over the summed weights."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from llm_from_scratch.alignment import crlft_loss
from llm_from_scratch.autograd import Tensor, gradcheck

MASK = np.array([[1, 1, 0, 0], [0, 1, 1, 1], [1, 0, 0, 1]], bool)
WEIGHTS = np.array([1.0, 0.1, 0.4])


def log_p(seed=0, dtype=np.float64):
    return -np.random.default_rng(seed).gamma(1.0, 2.0, size=MASK.shape).astype(dtype)


def as_loops(x, mask, weights, per_sequence):
    above = below = 0.0
    for row, real, weight in zip(x, mask, weights):
        tokens = [-value for value, one in zip(row, real) if one]
        above += weight * (sum(tokens) / len(tokens) if per_sequence else sum(tokens))
        below += weight * (1 if per_sequence else len(tokens))
    return above / below


@pytest.mark.parametrize("per_sequence", [False, True])
def test_is_the_formula_and_its_slope(per_sequence):
    loss = partial(crlft_loss, mask=MASK, weights=WEIGHTS, per_sequence=per_sequence)
    assert loss(log_p()).item() == pytest.approx(as_loops(log_p(), MASK, WEIGHTS, per_sequence), rel=1e-13)
    assert gradcheck(loss, log_p()) < 1e-6
    assert loss(log_p(dtype=np.float32)).dtype == np.float32
    assert loss(log_p(), mask=MASK.astype(float)).item() == loss(log_p()).item()
    assert loss(log_p(), weights=WEIGHTS * 7).item() == pytest.approx(loss(log_p()).item(), rel=1e-13)
    one = crlft_loss(log_p()[1:2], MASK[1:2], [0.3], per_sequence=per_sequence).item()
    assert one == pytest.approx(-log_p()[1, 1:].mean(), rel=1e-13)


def test_long_answers_count_more_only_when_it_is_over_tokens():
    x, mask = -np.array([[1.0, 1.0, 1.0], [4.0, 0.0, 0.0]]), [[1, 1, 1], [1, 0, 0]]
    assert crlft_loss(x, mask, [1, 1]).item() == pytest.approx(7 / 4)
    assert crlft_loss(x, mask, [1, 1], per_sequence=True).item() == pytest.approx(5 / 2)


@pytest.mark.parametrize("per_sequence", [False, True])
def test_what_is_masked_or_weighs_nothing_does_not_matter(per_sequence):
    for junk in (-1e4, np.nan, -np.inf):
        leaf = Tensor(np.where(MASK, log_p(), junk), requires_grad=True)
        loss = crlft_loss(leaf, MASK, [1.0, 0.0, 0.4], per_sequence=per_sequence)
        loss.backward()
        rows = [0, 2]
        assert loss.item() == pytest.approx(as_loops(log_p()[rows], MASK[rows], [1.0, 0.4], per_sequence), rel=1e-13)
        assert (leaf.grad[~MASK] == 0).all() and (leaf.grad[1] == 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": [1.0, -0.1, 0.4]}, "the weight of answer 1 is -0.1: weights are finite, at least 0"),
        ({"weights": [1.0, 0.1, np.nan]}, "the weight of answer 2 is nan"),
        ({"weights": np.zeros(3)}, "all weights are 0: there is nothing to learn from"),
        ({"weights": [1.0, 0.1]}, r"the weights have the shape \(2,\), expected one for each of 3 answers"),
        ({"mask": MASK & [[True], [False], [True]]}, "row 1 is masked altogether"),
        ({"mask": np.zeros_like(MASK)}, "row 0 is masked altogether"),
        ({"mask": MASK[:, :3]}, r"the mask has the shape \(3, 3\), log_probabilities \(3, 4\)"),
        ({"mask": MASK * 0.5}, "a mask holds only True and False"),
        ({"log_probabilities": log_p()[0]}, r"must have the shape \(N, T\), none of it 0; got \(4,\)"),
        ({"log_probabilities": np.zeros((0, 4))}, r"must have the shape \(N, T\), none of it 0; got \(0, 4\)"),
        ({"log_probabilities": np.where(MASK, np.nan, 0.0)}, r"log_probabilities\[0, 0\] is nan"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        crlft_loss(**{"log_probabilities": log_p(), "mask": MASK, "weights": WEIGHTS, **change})
