"""SmoothQuant: the same function after folding, even largest magnitudes, and an int8 product that loses less."""

import numpy as np
import pytest

from llm_from_scratch.autograd import Tensor
from llm_from_scratch.compression import smoothing_scale
from llm_from_scratch.compression.folding import fold, places
from llm_from_scratch.layers import AttentionSpec, Context, FeedForwardSpec, LayerSpec, NormSpec
from llm_from_scratch.quantization import int8


def test_magnitudes_are_shared_out():
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(n, 6)) for n in (4, 7)]
    x = rng.normal(size=(50, 6)) * [1, 100, 0.01, 3, 1, 1]
    seen, held = np.abs(x).max(axis=0), np.abs(np.vstack(weights)).max(axis=0)
    for alpha in (0.0, 0.3, 0.5, 1.0):
        scale = smoothing_scale(weights, seen, alpha=alpha)
        np.testing.assert_allclose(scale, seen**alpha / held ** (1 - alpha))
        np.testing.assert_allclose(seen / scale, (seen * held) ** (1 - alpha))
    half = smoothing_scale(weights, seen)
    np.testing.assert_allclose(seen / half, held * half)  # afterwards inputs and weights reach equally far


def test_an_input_that_is_always_zero_stays_as_it_is():
    weight = np.array([[1.0, 0.0, 2.0]], np.float32)
    scale = smoothing_scale([weight], [0.0, 5.0, 8.0])
    np.testing.assert_array_equal(scale, np.array([1, 1, 2], np.float32))
    assert scale.dtype == np.float32


def test_folded_into_a_block_the_function_stays_and_int8_loses_less():
    rng = np.random.default_rng(1)
    spec = LayerSpec.sequential(AttentionSpec(32, 4, 2, 8), FeedForwardSpec(32, 48, "silu", gated=True), NormSpec(32))
    block = spec.build(rng)
    block.mixer_norm.weight.data[[3, 17]] *= 80  # two inputs much larger than the rest
    x = Tensor(rng.normal(size=(2, 9, 32)).astype(np.float32))
    before = block(x, None, Context(np.arange(9)[None])).data
    read = block.mixer_norm(x).data.reshape(-1, 32)
    place = places(block)[0]
    matrices = [dict(block.named_modules())[path].weight.data.T for path in place.readers]
    errors = []
    for after in (False, True):
        if after:
            scale = smoothing_scale(matrices, np.abs(read).max(axis=0))
            fold(block, place, scale)
            np.testing.assert_allclose(block(x, None, Context(np.arange(9)[None])).data, before, atol=1e-5)
            read = block.mixer_norm(x).data.reshape(-1, 32)
        wanted = read @ block.mixer.query.weight.data
        got = int8.matmul(read, *int8.quantize_rows(block.mixer.query.weight.data.T), threshold=np.inf)
        errors.append(np.abs(got - wanted).mean() / np.abs(wanted).mean())
    assert errors[1] < errors[0] / 2


def test_what_does_not_fit_is_refused():
    weight = np.ones((2, 3))
    for call, error, message in (
        (lambda: smoothing_scale([], [1.0]), ValueError, "share their inputs and dtype, got none"),
        (lambda: smoothing_scale([weight, np.ones((2, 4))], np.ones(3)), ValueError, r"got \[\(2, 3\), \(2, 4\)\]"),
        (lambda: smoothing_scale([weight], np.ones(4)), ValueError, r"each of 3 inputs, got an array \(4,\)"),
        (lambda: smoothing_scale([weight], [1.0, np.nan, 1.0]), ValueError, "a finite magnitude"),
        (lambda: smoothing_scale([weight], [1.0, -1.0, 1.0]), ValueError, "a finite magnitude"),
        (lambda: smoothing_scale([weight], np.ones(3), alpha=1.5), ValueError, "0 to 1, not 1.5"),
        (lambda: smoothing_scale([weight * np.inf], np.ones(3)), ValueError, r"weight 0 at \(0, 0\) is inf"),
    ):
        with pytest.raises(error, match=message):
            call()
