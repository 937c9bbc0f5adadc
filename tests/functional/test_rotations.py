"""Rotary embedding: the property it exists for, both conventions, scaled variants, layouts and bad input."""

import numpy as np
import pytest

from llm_from_scratch import functional as F

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("dims", [8, 4])
def test_products_depend_on_distances_only(interleaved, dims):
    q, k = RNG.normal(size=(2, 1, 1, 1, 8))

    def product(m, n):
        a = F.rotary(q, positions=[m], rotary_dims=dims, interleaved=interleaved).data
        b = F.rotary(k, positions=[n], rotary_dims=dims, interleaved=interleaved).data
        return (a * b).sum()

    assert product(3, 1) == pytest.approx(product(1003, 1001), rel=1e-9)
    assert abs(product(3, 1) - product(4, 1)) > 1e-3
    assert product(0, 0) == pytest.approx((q * k).sum(), rel=1e-14)


def test_each_pair_turns_by_its_own_angle():
    """Written out as complex numbers: pair i is multiplied by exp(1j · position · base^(-2i/r))."""
    x, positions, base = RNG.normal(size=(2, 3, 5, 6)), np.arange(4, 9), 50.0
    turn = np.exp(1j * positions[:, None] * base ** (-np.arange(0, 6, 2) / 6))
    z = (x[..., 0::2] + 1j * x[..., 1::2]) * turn
    y = F.rotary(x, positions=positions, base=base, interleaved=True).data
    np.testing.assert_allclose(y, np.stack([z.real, z.imag], -1).reshape(x.shape), rtol=1e-12)
    z = (x[..., :3] + 1j * x[..., 3:]) * turn
    y = F.rotary(x, positions=positions, base=base).data
    np.testing.assert_allclose(y, np.concatenate([z.real, z.imag], -1), rtol=1e-12)


def test_the_conventions_are_one_permutation_apart():
    x = RNG.normal(size=(1, 2, 4, 8))
    order = np.arange(8).reshape(4, 2).T.ravel()  # even coordinates first, then the odd ones
    paired = F.rotary(x, positions=np.arange(4), interleaved=True).data[..., order]
    halves = F.rotary(x[..., order], positions=np.arange(4)).data
    np.testing.assert_allclose(paired, halves, rtol=1e-13)


def test_positions_may_differ_by_row():
    x = RNG.normal(size=(2, 3, 4, 6))
    positions = np.array([[0, 1, 2, 3], [7, 7, 0, 99]])
    y = F.rotary(x, positions=positions).data
    for b in range(2):
        row = F.rotary(x[b : b + 1], positions=positions[b]).data
        np.testing.assert_allclose(y[b : b + 1], row, rtol=1e-13, atol=1e-15)
    np.testing.assert_array_equal(F.rotary(x, positions=positions[:1]).data, F.rotary(x, positions=positions[0]).data)


def test_far_positions_keep_their_angles_in_float32():
    """Angles are computed in float64: in float32, position 1,000,000 would be off by 0.03 radians."""
    x = np.zeros((1, 1, 1, 4), np.float32)
    x[..., 0] = 1
    y = F.rotary(x, positions=[1_000_000]).data.ravel()
    assert y[0] == pytest.approx(np.cos(1_000_000.0), abs=1e-6)
    assert y.dtype == np.float32


def test_frequencies_of_ones_own():
    x = RNG.normal(size=(1, 1, 3, 8))
    halved = F.rotary(x, positions=np.array([0, 2, 4]), inverse_frequency=np.array([0.5, 0.05]))
    plain = F.rotary(x, positions=np.array([0, 1, 2]), inverse_frequency=np.array([1.0, 0.1]))
    np.testing.assert_allclose(halved.data, plain.data, rtol=1e-13)
    np.testing.assert_array_equal(halved.data[..., 4:], x[..., 4:])  # two pairs turn, the rest passes through


def test_the_order_of_axes_in_memory_is_kept():
    x = RNG.normal(size=(2, 5, 3, 4)).transpose(0, 2, 1, 3)  # as a projection leaves it: time before heads
    y = F.rotary(x, positions=np.arange(5)).data
    assert y.transpose(0, 2, 1, 3).flags.c_contiguous
    np.testing.assert_array_equal(y, F.rotary(x.copy(), positions=np.arange(5)).data)


@pytest.mark.parametrize(
    "settings, error, message",
    [
        ({"positions": np.arange(4)}, ValueError, r"positions \(4,\) do not fit"),
        ({"positions": np.arange(5.0)}, TypeError, "positions are integers"),
        ({"positions": np.arange(5), "rotary_dims": 3}, ValueError, "must be even"),
        ({"positions": np.arange(5), "rotary_dims": 8}, ValueError, "do not fit into heads of 6"),
        ({"positions": np.arange(5), "base": 0.0}, ValueError, "base must be a positive number"),
        ({"positions": np.arange(5), "base": float("nan")}, ValueError, "base must be a positive number"),
        (
            {"positions": np.arange(5), "rotary_dims": 4, "inverse_frequency": np.ones(3)},
            ValueError,
            "does not fit rotary_dims=4",
        ),
    ],
)
def test_bad_input(settings, error, message):
    with pytest.raises(error, match=message):
        F.rotary(np.ones((2, 3, 5, 6)), **settings)


def test_heads_and_time_are_needed():
    with pytest.raises(ValueError, match=r"needs x \(B, H, T, D\)"):
        F.rotary(np.ones((5, 6)), positions=np.arange(5))
