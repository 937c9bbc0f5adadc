"""Task arithmetic: addition, negation, scale."""

import numpy as np

import llm_from_scratch.merging as M

RNG = np.random.default_rng(2)
BASE, A, B = RNG.normal(size=(3, 7))


def test_task_vectors_are_added_to_the_base():
    expected = BASE + 0.7 * (0.5 * (A - BASE) + 2 * (B - BASE))
    np.testing.assert_allclose(M.task_arithmetic(BASE, [A, B], [0.5, 2], scale=0.7), expected, rtol=1e-13)
    mean = BASE + 0.7 * (0.5 * (A - BASE) + 2 * (B - BASE)) / 2.5
    np.testing.assert_allclose(M.task_arithmetic(BASE, [A, B], [0.5, 2], scale=0.7, normalize=True), mean, rtol=1e-13)


def test_what_was_learnt_is_taken_away_and_given_back():
    np.testing.assert_allclose(M.task_arithmetic(BASE, [A], [-1]), 2 * BASE - A, rtol=1e-13)
    np.testing.assert_allclose(M.task_arithmetic(BASE, [A], [1]), A, rtol=1e-13)
    np.testing.assert_array_equal(M.task_arithmetic(BASE, [A, B], [0, 0]), BASE)
