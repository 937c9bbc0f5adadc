"""SLERP: closed forms in the plane, lengths, and the cases in which the arc is a line."""

import numpy as np
import pytest

import llm_from_scratch.merging as M
from llm_from_scratch.merging.spherical import cosine
from llm_from_scratch.merging.tensors import PIECE


def _turned(angle, length=1.0):
    return length * np.array([np.cos(angle), np.sin(angle)])


@pytest.mark.parametrize("t", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_on_the_circle_the_angle_goes_evenly(t):
    np.testing.assert_allclose(M.slerp(_turned(0.3), _turned(1.7), t), _turned(0.3 + 1.4 * t), rtol=1e-12)


def test_vectors_are_not_made_unit_vectors():
    a, b, t, angle = _turned(0.0, 2.0), _turned(1.0, 5.0), 0.4, 1.0
    expected = (np.sin(0.6 * angle) * a + np.sin(0.4 * angle) * b) / np.sin(angle)
    np.testing.assert_allclose(M.slerp(a, b, t), expected, rtol=1e-12)


def test_tensors_are_flattened_and_each_has_its_angle():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3, 4, 5))
    np.testing.assert_allclose(M.slerp(a, b, 0.3).reshape(-1), M.slerp(a.reshape(-1), b.reshape(-1), 0.3), rtol=1e-14)
    rows = np.stack([M.slerp(x, y, 0.3) for x, y in zip(a, b)])
    assert np.abs(rows - M.slerp(a, b, 0.3)).max() > 1e-3
    both = M.slerp({"x": a, "y": 2 * b}, {"x": b, "y": a}, 0.3)
    np.testing.assert_array_equal(both["x"], M.slerp(a, b, 0.3))


@pytest.mark.parametrize("sign", [1, -1])
def test_parallel_and_opposite_vectors_take_the_line(sign):
    a = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(M.slerp(a, sign * 3 * a, 0.25), 0.75 * a + 0.25 * sign * 3 * a)
    near = _turned(0.03)  # its cosine is 0.99955: still the line; at 0.033 it is 0.99946
    np.testing.assert_array_equal(M.slerp(_turned(0.0), near, 0.5), (_turned(0.0) + near) / 2)
    far = M.slerp(_turned(0.0), _turned(0.033), 0.5)
    np.testing.assert_allclose(np.linalg.norm(far), 1, rtol=1e-12)
    assert np.linalg.norm((_turned(0.0) + near) / 2) < 1 - 1e-5


def test_a_tensor_without_length_has_no_direction():
    b = np.array([3.0, 4.0])
    np.testing.assert_allclose(M.slerp(np.zeros(2), b, 0.5), np.sin(np.pi / 4) * b)  # as at a right angle
    np.testing.assert_array_equal(M.slerp(np.zeros(2), np.zeros(2), 0.5), [0, 0])


def test_the_cosine_of_long_vectors_is_summed_over_all_pieces():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 2 * PIECE + 5)).astype(np.float32)
    expected = np.dot(a.astype(float), b) / np.linalg.norm(a.astype(float)) / np.linalg.norm(b.astype(float))
    assert cosine(a, b) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("t", [-0.1, 1.1, float("nan")])
def test_t_lies_between_the_models(t):
    with pytest.raises(ValueError, match="^t must"):
        M.slerp(np.ones(2), np.ones(2), t)
