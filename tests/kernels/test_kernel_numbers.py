"""Where the kernels are delicate: long sums, masks, subnormal numbers, wrong ids."""

import numpy as np
import pytest

from llm_from_scratch.kernels import embedding, losses, norms, rotary, softmax

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


# Norms


def test_variance_survives_a_large_mean():
    x = (1000.0 + np.random.default_rng(0).normal(size=(4, 512))).astype(np.float32)
    y, _, inverse_std = norms.layer_norm(x, None, None, 1e-5)
    exact = 1 / np.sqrt(x.astype(np.float64).var(-1) + 1e-5)
    np.testing.assert_allclose(inverse_std, exact, rtol=1e-4)
    assert abs(y.std() - 1) < 1e-3


def test_weight_gradients_over_many_rows_stay_accurate_in_float32():
    rng = np.random.default_rng(0)
    x, dy = (rng.normal(size=(20_000, 8)).astype(np.float32) for _ in range(2))
    weight = np.ones(8, np.float32)
    _, inverse_rms = norms.rms_norm(x, weight, 0.0)
    _, dweight = norms.rms_norm_backward(dy, x, weight, inverse_rms)
    x64 = x.astype(np.float64)
    exact = (dy * x64 / np.sqrt((x64 * x64).mean(-1, keepdims=True))).sum(0)
    np.testing.assert_allclose(dweight, exact, atol=3e-6 * np.sqrt(20_000))


def test_norm_gradients_that_nobody_needs_are_none():
    x, weight = np.ones((2, 3)), np.ones(3)
    _, mean, inverse_std = norms.layer_norm(x, weight, weight, 1e-5)
    for needs in ((True, False, False), (False, True, False), (False, False, True), (False, False, False)):
        given = norms.layer_norm_backward(x, x, weight, mean, inverse_std, needs)
        assert tuple(g is not None for g in given) == needs
    for needs in ((True, False), (False, True)):
        given = norms.rms_norm_backward(x, x, weight, inverse_std, needs)
        assert tuple(g is not None for g in given) == needs


@pytest.mark.parametrize("shape", [(), (3, 0)])
def test_norms_need_a_last_axis(shape):
    with pytest.raises(ValueError, match="last axis"):
        norms.rms_norm(np.zeros(shape), None, 1e-6)


def test_a_weight_that_does_not_fit_is_an_error():
    with pytest.raises(ValueError, match=r"expected \(3,\)"):
        norms.rms_norm(np.ones((2, 3)), np.ones(2), 1e-6)
    with pytest.raises(ValueError, match=r"expected \(3,\)"):
        norms.layer_norm(np.ones((2, 3)), np.ones(3), np.ones(4), 1e-6)


# Softmax


@DTYPES
def test_masked_rows_and_far_entries_are_exact_zeros(dtype):
    x = np.full((3, 40), -np.inf, dtype)
    x[1, 3] = 2.0
    x[2] = np.linspace(-3000, 0, 40)
    y = softmax.softmax(x)
    assert (y[0] == 0).all()
    assert y[1, 3] == 1 and y[1].sum() == 1
    assert (y[2, :20] == 0).all() and y[2, -1] == 1
    assert np.isneginf(softmax.log_softmax(x)[0]).all()
    assert softmax.log_softmax(x)[1, 3] == 0


@DTYPES
def test_softmax_returns_no_subnormal_numbers(dtype):
    lowest = np.log(np.finfo(dtype).tiny)
    x = np.linspace(lowest - 20, lowest + 8, 400).astype(dtype)
    x[0] = 0
    y = softmax.softmax(np.concatenate([x, np.zeros(50, dtype)]))
    assert not ((y > 0) & (y < np.finfo(dtype).tiny)).any()
    assert (y == 0).any() and (y[350:400] > 0).any()


@DTYPES
def test_nan_spoils_its_own_row_only(dtype):
    x = np.zeros((3, 20), dtype)
    x[1, 7] = np.nan
    y = softmax.softmax(x)
    assert np.isnan(y[1]).all() and np.isfinite(y[[0, 2]]).all()


# Cross-entropy


def _logits(dtype, rows=9, columns=33):
    rng = np.random.default_rng(0)
    targets = rng.integers(0, columns, rows)
    targets[2] = targets[5] = losses.IGNORED
    return (rng.normal(size=(rows, columns)) * 10).astype(dtype), targets


@DTYPES
def test_cross_entropy_in_place_equals_out_of_place(dtype):
    logits, targets = _logits(dtype)
    _, log_sum_exp = losses.cross_entropy(logits, targets)
    dlosses = np.random.default_rng(1).normal(size=len(targets)).astype(dtype)
    kept = logits.copy()
    fresh = losses.cross_entropy_backward(dlosses, logits, targets, log_sum_exp)
    np.testing.assert_array_equal(logits, kept)
    given = losses.cross_entropy_backward(dlosses, logits, targets, log_sum_exp, logits)
    assert given is logits
    np.testing.assert_array_equal(given, fresh)


@DTYPES
def test_ignored_rows_count_for_nothing_even_with_nan(dtype):
    logits, targets = _logits(dtype)
    logits[2] = np.nan
    values, log_sum_exp = losses.cross_entropy(logits, targets)
    gradient = losses.cross_entropy_backward(np.ones_like(values), logits, targets, log_sum_exp)
    assert values[2] == values[5] == 0 and np.isfinite(values).all() and (values[[0, 1, 3]] > 0).all()
    assert (gradient[[2, 5]] == 0).all()
    np.testing.assert_allclose(gradient[[0, 1, 3]].sum(-1), 0, atol=1e-5)


@pytest.mark.parametrize("bad", [33, -1, -101, 2**40])
def test_a_target_out_of_range_is_an_error_before_anything_is_overwritten(bad):
    logits, targets = _logits(np.float32)
    _, log_sum_exp = losses.cross_entropy(logits, targets)
    targets[7] = bad
    kept = logits.copy()
    with pytest.raises(ValueError, match=rf"targets\[7\] is {bad}: expected 0 to 32, or -100"):
        losses.cross_entropy(logits, targets)
    with pytest.raises(ValueError, match=rf"targets\[7\] is {bad}"):
        losses.cross_entropy_backward(np.ones(9, np.float32), logits, targets, log_sum_exp, logits)
    np.testing.assert_array_equal(logits, kept)


def test_cross_entropy_shapes_must_fit():
    logits, targets = _logits(np.float64)
    with pytest.raises(ValueError, match="are needed"):
        losses.cross_entropy(logits, targets[:-1])
    with pytest.raises(ValueError, match="does not fit"):
        losses.cross_entropy_backward(np.ones(3), logits, targets, np.ones(9))


# Embedding and rotary


@pytest.mark.parametrize("bad", [-1, 4, 2**40])
def test_an_id_out_of_range_is_an_error(bad):
    with pytest.raises(ValueError, match=rf"ids\[2\] is {bad}, but the table has rows 0 to 3"):
        embedding.embedding_backward(np.ones((3, 2)), np.array([0, 3, bad]), 4)


def test_embedding_needs_one_id_a_row():
    with pytest.raises(ValueError, match="one id a row"):
        embedding.embedding_backward(np.ones((3, 2)), np.array([0, 1]), 4)


@pytest.mark.parametrize("interleaved", [False, True])
def test_rotary_reads_strided_views_in_place_and_keeps_their_layout(interleaved):
    fused = np.random.default_rng(0).normal(size=(2, 5, 3, 4, 6))  # query, key and value in one array
    angles = np.random.default_rng(1).normal(size=(5, 2))
    view = fused[:, :, 1].transpose(0, 2, 1, 3)[:, :, ::-1].transpose(0, 2, 1, 3)  # backwards in time as well
    for x in (fused[:, :, 1], fused[:, ::2, 1], view):
        cos, sin = np.cos(angles[: x.shape[1]]), np.sin(angles[: x.shape[1]])
        y = rotary.rotary(x, cos, sin, interleaved)
        np.testing.assert_allclose(
            y,
            rotary.rotary.__wrapped__(np.array(x, order="C"), cos, sin, interleaved),
            rtol=1e-12,
            atol=1e-15,
        )
        back = rotary.rotary(y, cos, -sin, interleaved)
        np.testing.assert_allclose(back, x, atol=1e-14)
    heads_first = np.ones((2, 4, 5, 6)).transpose(0, 2, 1, 3)
    y = rotary.rotary(heads_first, np.cos(angles), np.sin(angles), interleaved)
    assert y.transpose(0, 2, 1, 3).flags.c_contiguous


def test_rotary_accepts_read_only_and_broadcast_input():
    x = np.broadcast_to(np.random.default_rng(0).normal(size=(1, 3, 1, 4)), (2, 3, 5, 4))
    angles = np.random.default_rng(1).normal(size=(3, 2))
    y = rotary.rotary(x, np.cos(angles), np.sin(angles), False)
    np.testing.assert_allclose(
        y, rotary.rotary.__wrapped__(x.copy(), np.cos(angles), np.sin(angles), False), atol=1e-14
    )


def test_rotary_tables_must_fit():
    x = np.ones((1, 3, 1, 4))
    for shape in ((2, 2), (3, 3), (2, 3, 2)):
        with pytest.raises(ValueError, match="do not fit"):
            rotary.rotary(x, np.ones(shape), np.ones(shape), False)
