"""Attention by tiles against the plain formula, for every mask, block size and layout."""

import tracemalloc

import numpy as np
import pytest

from llm_from_scratch import functional as F
from llm_from_scratch.autograd import Tensor
from llm_from_scratch.functional import tiled_attention
from llm_from_scratch.kernels import sharing
from llm_from_scratch.kernels import whole_attention as kernels
from llm_from_scratch.kernels.dispatch import backend


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


def whole(q, k, v, key_offset, **mask):
    """The formula with the T x S matrix in one piece."""
    (heads, length), keys, width = q.shape[1:3], k.shape[2], q.shape[3]
    k, v = (np.repeat(x, heads // k.shape[1], axis=1) for x in (k, v))
    i, j = key_offset + np.arange(length)[:, None], np.arange(keys)
    scores = mask.get("scale", width**-0.5) * q @ k.swapaxes(2, 3)
    scores = scores - np.multiply.outer(np.array(mask.get("slopes", [0.0] * heads)), abs(i - j))
    bias = np.array(mask.get("key_bias", np.zeros((1, keys))))
    scores = scores + (bias[:, None, None] if bias.ndim == 2 else bias[:, :, None])
    seen = (j <= i) if mask.get("causal", True) else np.ones((length, keys), bool)
    seen = seen & (abs(i - j) < mask.get("window", 10**9))
    seen = seen | (j < np.array(mask.get("prefix_length", 0))[..., None, None])
    if "segments" in mask:
        seen = seen & (mask["segments"][:, key_offset : key_offset + length, None] == mask["segments"][:, None])
    scores = np.where(seen if seen.ndim == 2 else seen[:, None], scores, -np.inf)
    largest = scores.max(-1, keepdims=True)
    weights = np.exp(scores - np.where(np.isneginf(largest), 0, largest))
    total = weights.sum(-1, keepdims=True)
    return weights / np.where(total > 0, total, 1) @ v


def long_masks(rng, keys):
    """As MASKS, over strips, tiles and ends that fit into neither."""
    segments = np.sort(rng.integers(0, 4, (2, keys)))
    hidden = np.where(rng.random((2, keys)) < 0.2, -np.inf, rng.normal(size=(2, keys)))
    hidden[0, :70] = hidden[1, -30:] = -np.inf  # padding in front and behind
    return {
        **{name: mask for name, mask in MASKS.items() if name in ("causal", "not causal", "scale", "window", "slopes")},
        "wide window": {"window": 70, "causal": False},
        "prefix": {"prefix_length": np.array([keys - 7, 30])},
        "segments": {"segments": segments},
        "key bias": {"key_bias": hidden},
        "bias of each head": {"key_bias": rng.normal(size=(1, 4, keys))},
        "all of them": {"prefix_length": 50, "slopes": [1.0, 0.5, 0.25, 0.1], "segments": segments, "key_bias": hidden},
    }


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("mask", MASKS, ids=str)
def test_equals_the_formula(mask, groups):
    q, k, v = arrays(np.random.default_rng(3), groups=groups)
    settings = {"key_offset": 3, **MASKS[mask]}
    expected = F.plain.attention(q, k, v, **settings)
    np.testing.assert_allclose(F.attention(q, k, v, **settings).data, expected, atol=1e-12)
    np.testing.assert_allclose(whole(q, k, v, **settings), expected, atol=1e-12)


@pytest.mark.parametrize("length, keys", [(1, 1), (1, 60), (3, 300), (5, 5), (48, 192), (49, 193), (101, 410)])
def test_equals_the_formula_over_any_number_of_strips_and_tiles(length, keys):
    rng = np.random.default_rng(length)
    for name, mask in long_masks(rng, keys).items():
        if name == "prefix":
            mask = {"prefix_length": np.minimum(np.abs(mask["prefix_length"]), keys)}
        if name == "all of them":
            mask = {**mask, "prefix_length": min(50, keys)}
        q, k, v = arrays(rng, length=length, keys=keys, width=9, value=17)
        found = F.attention(q, k, v, key_offset=keys - length, **mask).data
        np.testing.assert_allclose(found, whole(q, k, v, keys - length, **mask), atol=1e-12, err_msg=name)


@pytest.mark.parametrize("length, keys", [(1, 60), (49, 193), (101, 410)])
def test_gradients_over_strips_and_tiles_are_those_of_the_twin(length, keys, monkeypatch):
    rng = np.random.default_rng(length)
    for mask in ("causal", "wide window", "prefix", "segments", "key bias", "all of them"):
        settings = long_masks(rng, keys)[mask]
        q, k, v = arrays(rng, length=length, keys=keys, width=9, value=17)
        leaves = [Tensor(x, requires_grad=True) for x in (q, k, v)]
        y = F.attention(*leaves, key_offset=keys - length, **settings)
        dy = rng.normal(size=y.shape)
        y.backward(dy)
        masks = tiled_attention._masking(q, k, v, True, *(settings.get(n) for n in NAMES), keys - length)
        if "causal" in settings:
            masks = masks._replace(causal=settings["causal"])
        for block in (7, 128):
            monkeypatch.setattr(kernels, "BLOCK", block)
            saved = kernels.attend.__wrapped__(q, k, v, keys - length, *masks)
            wanted = kernels.attend_backward.__wrapped__(dy, q, k, v, *saved, (True,) * 3, keys - length, *masks)
            for leaf, gradient in zip(leaves, wanted):
                np.testing.assert_allclose(leaf.grad, gradient, atol=1e-11, err_msg=mask)


NAMES = ("scale", "window", "prefix_length", "segments", "slopes", "key_bias")


@pytest.mark.parametrize("layout", ["heads last", "a cache with room", "every second", "read-only", "broadcast"])
def test_any_layout_gives_the_same_bytes(layout):
    q, k, v = arrays(np.random.default_rng(7), length=60, keys=60, dtype=np.float32)
    wanted = F.attention(q, k, v).data
    if layout == "heads last":
        q, k, v = (np.ascontiguousarray(x.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3) for x in (q, k, v))
    if layout == "a cache with room":
        k, v = (np.concatenate([x, np.full_like(x, np.nan)], axis=2)[:, :, :60] for x in (k, v))
    if layout == "every second":
        q, k, v = (np.repeat(x, 2, axis=3)[..., ::2] for x in (q, k, v))
    if layout == "broadcast":
        wanted = F.attention(q[:1].repeat(2, 0), k[:1].repeat(2, 0), v).data
        q, k = (np.broadcast_to(x[:1], x.shape) for x in (q, k))
    if layout == "read-only":
        q.flags.writeable = k.flags.writeable = False
    assert np.array_equal(F.attention(q, k, v).data, wanted)


def test_threads_change_no_byte(monkeypatch):
    def run(threads):
        monkeypatch.setattr(sharing, "product_threads", lambda: threads)
        leaves = [Tensor(x, requires_grad=True) for x in arrays(np.random.default_rng(8), length=260, keys=260)]
        y = F.attention(*leaves)
        y.backward(np.ones(y.shape))
        return [y.data, *(leaf.grad for leaf in leaves)]

    for threads in (2, 3):
        assert all(np.array_equal(a, b) for a, b in zip(run(1), run(threads)))


@pytest.mark.skipif(backend() == "numpy", reason="NumPy's products differ in the last digits with their number of rows")
@pytest.mark.parametrize("settings", [{}, {"window": 33}, {"slopes": [1.0, 0.5, 0.25, 0.1]}], ids=str)
def test_a_row_is_the_same_to_the_bit_in_any_chunk_beside_any_padding(settings):
    q, k, v = arrays(np.random.default_rng(9), length=150, keys=150, width=16, value=16, dtype=np.float32)
    alone = F.attention(q[:1], k[:1], v[:1], **settings).data
    assert np.array_equal(F.attention(q, k, v, **settings).data[:1], alone)
    for start, stop in ((0, 5), (5, 53), (53, 150), (100, 107), (0, 1), (77, 78), (60, 64), (149, 150)):
        chunk = F.attention(q[:1, :, start:stop], k[:1, :, :stop], v[:1, :, :stop], key_offset=start, **settings).data
        assert np.array_equal(chunk, alone[:, :, start:stop])
    for before, behind in ((1, 0), (37, 0), (0, 50), (13, 5)):
        widths = ((0, 0), (0, 0), (before, behind), (0, 0))
        padded = [np.pad(x[:1], widths, constant_values=0.7) for x in (q, k, v)]
        bias = np.pad(np.zeros((1, 150), np.float32), ((0, 0), (before, behind)), constant_values=-np.inf)
        found = F.attention(*padded, key_bias=bias, **settings).data[:, :, before : before + 150]
        assert np.array_equal(found, alone), (before, behind)


def test_hostile_masks_are_refused_before_a_loop_indexes_with_them():
    q, k, v = arrays(np.random.default_rng(0))
    masks = tiled_attention._masking(q, k, v, *[True, *[None] * 6], 3)
    for wrong in (
        {"prefix": np.array([10, 0])},
        {"prefix": np.array([1])},
        {"slopes": np.ones(3)},
        {"key_bias": np.zeros((3, 1, 9))},
        {"segments": np.zeros((2, 8), np.int64)},
    ):
        with pytest.raises(ValueError, match="do not fit together"):
            kernels.attend(q, k, v, 3, *masks._replace(**wrong))


def test_a_query_that_sees_nothing_gets_zeros_and_no_gradient():
    q, k, v = (Tensor(x, requires_grad=True) for x in arrays(np.random.default_rng(0), length=9))
    bias = np.zeros((2, 9))
    bias[0, :4] = -np.inf
    y = F.attention(q, k, v, key_bias=bias)
    assert (y.data[0, :, :4] == 0).all() and (y.data[1] != 0).all()
    y.backward(np.ones(y.shape))
    assert (q.grad[0, :, :4] == 0).all() and np.isfinite(k.grad).all()
    assert (v.grad[0, :, :4] == 0).all() and (v.grad[0, :, 4:] != 0).all()


def test_queries_whose_window_lies_behind_the_last_key_get_zeros():
    q, k, v = arrays(np.random.default_rng(0), length=60, keys=10, dtype=np.float32)
    for length in (60, 3):
        for _ in range(3):  # in memory that held something else
            was = np.full((*q.shape[:2], length, v.shape[3]), np.nan, np.float32)
            del was
            y = F.attention(q[:, :, :length], k, v, causal=False, window=2, key_offset=30).data
            assert not y.any()


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
