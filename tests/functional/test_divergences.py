"""The skew divergence: its two sides, its ends, and what is refused. (Losses made of it: tests/alignment.)"""

import numpy as np
import pytest

from llm_from_scratch import functional as F
from llm_from_scratch.autograd import Tensor

RNG = np.random.default_rng(0)
STUDENT, TEACHER = 2 * RNG.normal(size=(2, 4, 9))


@pytest.mark.parametrize("beta", [0.0, 1e-7, 0.3, 0.5, 0.9, 1.0])
def test_seen_from_the_other_side_it_is_that_at_one_minus_beta(beta):
    sides = []
    for first, second, share in ((STUDENT, TEACHER, beta), (TEACHER, STUDENT, 1 - beta)):
        pair = [Tensor(x, requires_grad=True) for x in (first, second)]
        divergence = F.skew_divergence(*pair, beta=share, temperature=1.3)
        divergence.sum().backward()
        sides.append((divergence.data, pair[0].grad, pair[1].grad))
    (here, student, teacher), (there, swapped_teacher, swapped_student) = sides
    for a, b in ((here, there), (student, swapped_student), (teacher, swapped_teacher)):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-8 * np.abs(a).max())


def test_a_tiny_beta_is_no_reason_to_lose_digits():
    """Far apart and with a share of 1e-200: what M is like is still known."""
    student, teacher = np.array([0.0, -900.0]), np.array([-900.0, 0.0])
    for beta in (1e-3, 1e-30, 1e-200):  # M is beta where T is, 1 - beta where S is
        found = F.skew_divergence(student, teacher, beta=beta).item()
        assert found == pytest.approx(-np.log(beta) / (1 - beta) - np.log1p(-beta) / beta, rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "settings", "error", "message"),
    [
        ((STUDENT, TEACHER[:, 1:]), {}, ValueError, "must be equal"),
        ((STUDENT, TEACHER), {"beta": 1.1}, ValueError, "beta must lie"),
        ((STUDENT, TEACHER), {"temperature": 0.0}, ValueError, "temperature"),
        ((STUDENT, TEACHER, np.ones(4)), {}, TypeError, "counts are booleans"),
        ((STUDENT, TEACHER, np.ones(3, bool)), {}, ValueError, "counts has shape"),
        ((np.arange(4), np.arange(4)), {}, TypeError, "float32 or float64"),
        ((np.full((2, 3), -np.inf), np.zeros((2, 3))), {}, ValueError, r"student's logits at \(0,\)"),
        ((np.zeros((2, 2)), np.array([[0.0, 1.0], [0.0, np.inf]])), {}, ValueError, r"teacher's logits at \(1,\)"),
    ],
)
def test_what_is_refused_is_named(arguments, settings, error, message):
    with pytest.raises(error, match=message):
        F.skew_divergence(*arguments, **{"beta": 0.5, **settings})
