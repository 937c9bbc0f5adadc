"""Attention by tiles against the plain formula, for every mask, block size and layout."""

import tracemalloc

import numpy as np
import pytest

from llm_from_scratch import functional as F
from llm_from_scratch.autograd import Tensor
from llm_from_scratch.functional import tiled_attention as tiles


def arrays(rng, batch=2, heads=4, groups=2, length=6, keys=9, width=5, value=3, dtype=np.float64):
    shapes = (batch, heads, length, width), (batch, groups, keys, width), (batch, groups, keys, value)
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


MASKS = {
    "causal": {},
    "not causal": {"causal": False},
    "scale": {"scale": 0.2},
    "window": {"window": 3},
    "window both sides": {"window": 2, "causal": False},
    "prefix": {"prefix_length": np.array([7, 2])},
    "segments": {"segments": np.array([[0, 0, 0, 0, 1, 1, 1, 2, 2], [4, 4, 4, 4, 4, 4, 4, 4, 9]])},
    "slopes": {"slopes": [0.5, 0.25, 0.125, 0.0625]},
    "key bias": {"key_bias": np.array([[-np.inf] * 5 + [0.5, 0.0, 0.0, 1.0], [0.0] * 8 + [-np.inf]])},
    "bias of each head": {"key_bias": np.random.default_rng(1).normal(size=(1, 4, 9))},
    "bias of each row and head": {"key_bias": np.where(np.random.default_rng(2).random((2, 4, 9)) < 0.2, -np.inf, 0.5)},
    "all of them": {
        "prefix_length": 5,
        "slopes": [1.0, 0.5, 0.25, 0.1],
        "segments": np.array([[0, 0, 0, 1, 1, 1, 1, 1, 1], [0] * 9]),
        "key_bias": np.where(np.arange(18).reshape(2, 9) % 4 == 0, -np.inf, 0.1),
    },
}


@pytest.fixture(params=[(128, 1 << 20), (2, 1 << 20), (3, 1)], ids=["one tile", "small blocks", "one head a tile"])
def tiling(request, monkeypatch):
    monkeypatch.setattr(tiles, "BLOCK", request.param[0])
    monkeypatch.setattr(tiles, "TILE_BYTES", request.param[1])


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("mask", MASKS, ids=str)
def test_equals_the_formula_whatever_the_tiles(mask, groups, tiling):
    q, k, v = arrays(np.random.default_rng(3), groups=groups)
    settings = {"key_offset": 3, **MASKS[mask]}
    expected = F.plain.attention(q, k, v, **settings)
    np.testing.assert_allclose(F.attention(q, k, v, **settings).data, expected, atol=1e-12)


@pytest.mark.parametrize("mask", MASKS, ids=str)
def test_gradients_do_not_depend_on_the_tiles(mask, tiling):
    def gradients():
        leaves = [Tensor(x, requires_grad=True) for x in arrays(np.random.default_rng(5))]
        y = F.attention(*leaves, key_offset=3, **MASKS[mask])
        y.backward(np.random.default_rng(6).normal(size=y.shape))
        return [leaf.grad for leaf in leaves]

    got = gradients()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "BLOCK", 128)
        patch.setattr(tiles, "TILE_BYTES", 1 << 20)
        expected = gradients()
    for ours, theirs in zip(got, expected):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_a_query_that_sees_nothing_gets_zeros_and_no_gradient():
    q, k, v = (Tensor(x, requires_grad=True) for x in arrays(np.random.default_rng(0), length=9))
    bias = np.zeros((2, 9))
    bias[0, :4] = -np.inf
    y = F.attention(q, k, v, key_bias=bias)
    assert (y.data[0, :, :4] == 0).all() and (y.data[1] != 0).all()
    y.backward(np.ones(y.shape))
    assert (q.grad[0, :, :4] == 0).all() and np.isfinite(k.grad).all()
    assert (v.grad[0, :, :4] == 0).all() and (v.grad[0, :, 4:] != 0).all()


@pytest.mark.parametrize("splits", [[1] * 9, [4, 5], [1, 7, 1]])
@pytest.mark.parametrize("settings", [{}, {"window": 3}, {"slopes": [1.0, 0.5, 0.25, 0.1]}], ids=str)
def test_any_split_into_chunks_gives_the_same(splits, settings):
    q, k, v = arrays(np.random.default_rng(1), length=9)
    whole = F.attention(q, k, v, **settings).data
    start, parts = 0, []
    for n in splits:
        end = start + n
        parts.append(F.attention(q[:, :, start:end], k[:, :, :end], v[:, :, :end], key_offset=start, **settings).data)
        start = end
    np.testing.assert_allclose(np.concatenate(parts, axis=2), whole, atol=1e-12)


def test_far_below_the_maximum_is_exactly_zero():
    q = np.ones((1, 1, 1, 1), np.float32)
    k = np.array([0.0, -200.0], np.float32).reshape(1, 1, 2, 1)
    weights = F.attention_weights(q, k, key_offset=1)
    assert weights.ravel().tolist() == [1.0, 0.0]


def test_memory_grows_with_the_length_not_its_square():
    def peak(length):
        made = arrays(np.random.default_rng(0), 1, 4, 4, length, length, 8, 8, np.float32)
        q, k, v = (Tensor(x, requires_grad=True) for x in made)
        F.attention(q, k, v)  # compiles outside the measurement
        tracemalloc.start()
        y = F.attention(q, k, v)
        y.backward(np.ones(y.shape, np.float32))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    small, large = peak(1024), peak(4096)
    assert large < 4.6 * small  # 16 times if any head kept its T x T
    assert large < 4 * 4096 * 4096 * 4 / 6  # far less than the scores of the four heads


def test_float32_stays_close_to_float64():
    q, k, v = arrays(np.random.default_rng(2), length=300, keys=300)
    exact = F.attention(q, k, v).data
    single = F.attention(*(x.astype(np.float32) for x in (q, k, v)))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single.data, exact, atol=5e-6)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"q": np.ones((2, 4, 6))}, r"\(batch, heads, tokens, width\)"),
        ({"q": np.ones((2, 3, 6, 5))}, "3 query heads cannot share 2"),
        ({"k": np.ones((2, 2, 9, 4))}, "do not fit together"),
        ({"q": np.ones((2, 4, 0, 5))}, "over nothing"),
        ({"key_offset": 4}, "need 10 keys, got 9"),
        ({"key_offset": -1}, "key_offset must be an integer >= 0"),
        ({"window": 0}, "window must be an integer >= 1"),
        ({"window": 2.0}, "window must be an integer"),
        ({"window": 2, "prefix_length": 3}, "cannot be combined"),
        ({"prefix_length": 10}, r"0\.\.9"),
        ({"scale": np.nan}, "scale must be finite"),
        ({"slopes": [1.0]}, r"slopes must have shape \(4,\)"),
        ({"slopes": [1.0, 1.0, np.inf, 1.0]}, "finite"),
        ({"key_bias": np.full((2, 9), np.nan)}, "finite or -inf"),
        ({"key_bias": np.zeros((2, 3, 9))}, "key_bias must have shape"),
        ({"key_bias": np.zeros((3, 4, 9))}, "key_bias must have shape"),
        ({"segments": np.zeros((2, 9))}, "segments must have shape"),
        ({"segments": np.zeros((2, 6), int)}, "segments must have shape"),
    ],
)
def test_bad_input_is_named(change, message):
    q, k, v = arrays(np.random.default_rng(0))
    inputs = {"q": q, "k": k, "v": v, **change}
    settings = {n: x for n, x in inputs.items() if n not in ("q", "k", "v")}
    with pytest.raises(ValueError, match=message):
        F.attention(inputs["q"], inputs["k"], inputs["v"], **settings)
