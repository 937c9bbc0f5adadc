"""Every part of a step: compiled code against its formula, alone and shared out among threads."""

import numpy as np
import pytest

from llm_from_scratch.kernels import packed
from llm_from_scratch.kernels.dispatch import backend
from llm_from_scratch.kernels.threads import token_threads
from llm_from_scratch.kernels.token import Program
from llm_from_scratch.kernels.token_attention import Attend
from llm_from_scratch.kernels.token_matrices import Matrix, NormStep, address, vector
from llm_from_scratch.kernels.token_steps import AddNorm, Convolve, Product, Recur, Route, Scan

needs_numba = pytest.mark.skipif(backend() == "numpy", reason="there is no compiled code in this mode")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def given(rng, size):
    x = vector(size)
    x[:] = rng.normal(size=size)
    return x


def numbers(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


def codes(rng, inputs, outputs, four_bits, shifted, bias=None):
    tiles = -(-outputs // 64)
    low, high = (0, 16) if four_bits else (-100, 100)
    packed_codes = packed.pack_codes(rng.integers(low, high, (tiles, inputs, 64)).astype(np.int8), four_bits)
    scale = numbers(rng, tiles, inputs // 8, 64) / (10 if four_bits else 100)
    minimum = numbers(rng, *scale.shape) if shifted else np.zeros((0, 0, 0), np.float32)
    return Matrix(inputs, outputs, codes=packed_codes, scale=scale, minimum=minimum, bias=bias)


def _matrices(rng):
    for inputs, outputs in ((8, 5), (24, 64), (72, 400), (64, 1100), (13, 130)):
        yield Matrix(inputs, outputs, numbers(rng, inputs, outputs), bias=numbers(rng, outputs))
        yield Matrix(inputs, outputs, numbers(rng, outputs, inputs), transposed=True)
        if inputs % 8 == 0:
            for four_bits in (True, False):
                yield codes(rng, inputs, outputs, four_bits, outputs > 100, numbers(rng, outputs))


def _norms(rng, size):
    weight, bias = numbers(rng, size), numbers(rng, size)
    yield None
    yield NormStep(size, 1e-5, weight)
    yield NormStep(size, 1e-3, weight, plus_one=True, eps_outside=True)
    yield NormStep(size, 1e-5, weight, bias, centred=True)
    yield NormStep(size, 1e-5, centred=True)


def _products(rng):
    for matrix in _matrices(rng):
        for norm in _norms(rng, matrix.inputs):
            yield Product(given(rng, matrix.inputs), [matrix], vector(matrix.outputs), norm)
    for activation in ("silu", "gelu", "gelu_tanh", "relu", "softplus"):
        one, other = Matrix(16, 70, numbers(rng, 16, 70)), codes(rng, 16, 70, True, True)
        x = given(rng, 16)
        yield Product(x, [one], vector(70), activation=activation)
        for pair in ((one, other), (other, one), (other, other)):
            yield Product(x, [pair[0]], vector(70), None, [pair[1]], activation, given(rng, 70), 0.5)
    three, choice = [Matrix(16, 20, numbers(rng, 16, 20)) for _ in range(3)], np.array([2])
    factor = np.array([0.25], np.float32)
    yield Product(given(rng, 16), three, vector(20), None, three[::-1], "silu", choice=choice, factor=factor)


def _attentions(rng):
    plain = {"heads": 6, "groups": 2, "scale": 0.3}
    norm = NormStep(8, 1e-5, numbers(rng, 8))
    both = {"query_norm": NormStep(48, 1e-5, numbers(rng, 48)), "key_norm": NormStep(16, 1e-5, centred=True)}
    turned = {"pairs": 3, "cos": numbers(rng, 3), "sin": numbers(rng, 3)}
    slopes = numbers(rng, 6)
    for settings in (
        {}, turned, {**turned, "interleaved": True}, {"clip": 0.5}, {"query_norm": norm, "key_norm": norm}, both,
        {"slopes": slopes}, {"slopes": slopes, "bfloat16_slopes": True, "places": np.arange(3, 20), "factor": 1.7},
    ):  # fmt: skip
        parts = (given(rng, 48), given(rng, 16), given(rng, 16), vector(48))
        yield Attend(*parts, **{**plain, **settings})
    biases = numbers(rng, 48), numbers(rng, 48)
    parts = (given(rng, 48), given(rng, 48), given(rng, 48), vector(48))
    yield Attend(*parts, 6, 6, 0.3, biases=biases, distances=numbers(rng, 6, 30, 8))


def _others(rng):
    for norm in list(_norms(rng, 20))[1:]:
        yield AddNorm(given(rng, 20), norm, vector(20), given(rng, 20), 1.5)
        yield AddNorm(given(rng, 20), norm, vector(20))
    for scores in (given(rng, 7), np.ones(7, np.float32)):  # of equals the lower number comes first
        yield Route(scores, np.zeros(3, np.int64), np.zeros(3, np.float32))
    for channels, width in ((5, 4), (200, 2), (200, 1)):
        for bias in (None, numbers(rng, channels)):
            yield Convolve(given(rng, channels), numbers(rng, channels, width), bias, vector(channels), "silu")
    for channels in (5, 200):
        arrays = given(rng, channels), np.abs(given(rng, channels)), numbers(rng, channels, 3)
        rest = given(rng, 3), given(rng, 3), given(rng, channels), given(rng, channels), vector(channels)
        yield Scan(*arrays, *rest)
        modes = 0.5 * numbers(rng, channels, 2, 2), numbers(rng, channels, 2, 2)
        yield Recur(given(rng, 3 * channels), *modes, given(rng, channels), vector(channels))


def _remember(part, rng):
    """A memory as it would be bound; the arrays that change."""
    if isinstance(part, Attend):
        width = part.q.size // part.heads
        part.start, part.stop = 3, 20
        part.keys, part.values = numbers(rng, 1, part.groups, 25, width), numbers(rng, 1, part.groups, 25, width)
        return [part.keys, part.values]
    if isinstance(part, (Convolve, Scan, Recur)):
        shapes = {
            Convolve: lambda: part.weight.T[1:].shape,
            Scan: lambda: part.logs.shape,
            Recur: lambda: part.poles.shape,
        }
        part.memory = numbers(rng, *shapes[type(part)]())
        return [part.memory]
    return [part.chosen, part.weights] if isinstance(part, Route) else []


def _all(rng):
    return [*_products(rng), *_attentions(rng), *_others(rng)]


@needs_numba
@pytest.mark.parametrize("threads", [1, 3])
def test_compiled_parts_equal_their_formulas(rng, threads, monkeypatch):
    monkeypatch.setattr("llm_from_scratch.kernels.token._WORTH_HELP", 0)
    for part in _all(rng):
        program = Program([[part]])
        changed = _remember(part, rng)
        before = [array.copy() for array in changed]
        bound = {name: getattr(part, name) for name in ("keys", "values") if hasattr(part, name)}
        with token_threads(threads):
            program.run()
        out = part.weights if isinstance(part, Route) else part.out
        found = [out.copy(), *(array.copy() for array in changed)]
        for array, old in zip(changed, before):
            array[...] = old
        for name, value in bound.items():
            setattr(part, name, value)
        out[:] = 0
        part.formula()
        for one, other in zip(found, [out, *changed]):
            np.testing.assert_allclose(
                one, other, rtol=2e-5, atol=2e-5 * max(1, np.abs(other).max(initial=0)), err_msg=type(part).__name__
            )


@needs_numba
@pytest.mark.parametrize("threads", [1, 2])
def test_a_step_of_several_inputs_norms_and_splits_each_of_them(rng, threads, monkeypatch):
    monkeypatch.setattr("llm_from_scratch.kernels.token._WORTH_HELP", 0)
    parts = []
    for norm in (NormStep(64, 1e-5, numbers(rng, 64)), None, NormStep(64, 1e-3, centred=True)):
        for matrix in (codes(rng, 64, 130, True, False), Matrix(64, 130, numbers(rng, 64, 130))):
            parts.append(Product(given(rng, 64), [matrix], vector(130), norm))
    program = Program([parts, parts[::-1]])
    with token_threads(threads):
        program.run()
    for part in parts:
        found = part.out.copy()
        part.formula()
        np.testing.assert_allclose(found, part.out, rtol=2e-5, atol=2e-4)


@needs_numba
def test_steps_wait_for_one_another(rng, monkeypatch):
    """A long chain of small products, each of which needs all of the one before: a missing wait would be seen."""
    monkeypatch.setattr("llm_from_scratch.kernels.token._WORTH_HELP", 0)
    x = given(rng, 256)
    steps = []
    for _ in range(60):
        matrix = Matrix(256, 1024, numbers(rng, 256, 1024) / 16)
        back = Matrix(1024, 256, numbers(rng, 1024, 256) / 32)
        inner, out = vector(1024), vector(256)
        steps += [[Product(x, [matrix], inner, NormStep(256, 1e-5))], [Product(inner, [back], out, residual=x)]]
        x = out
    program = Program(steps)
    with token_threads(1):
        program.run()
    alone = x.copy()
    for threads in (2, 3, 2):
        for _ in range(30):
            for part in program.parts:
                part.out[:] = np.nan
            with token_threads(threads):
                program.run()
            np.testing.assert_array_equal(x, alone)


def test_the_work_is_known(rng):
    matrix = Matrix(4, 3, numbers(rng, 4, 3))
    assert Program([[Product(given(rng, 4), [matrix], vector(3), None, [matrix], "silu")]]).work == 24


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Matrix(3, 4, np.zeros((4, 3), np.float32)), "values must be float32"),
        (lambda: Matrix(3, 4, np.zeros((3, 4))), "float32"),
        (lambda: NormStep(3, 1e-5, np.zeros(4, np.float32)), "weight must be float32"),
        (lambda: Product(vector(3), [Matrix(4, 2, np.zeros((4, 2), np.float32))], vector(2)), "does not fit"),
        (lambda: Product(vector(4), [Matrix(4, 2, np.zeros((4, 2), np.float32))], vector(2), NormStep(3, 0.0)), "norm"),
        (lambda: address(np.zeros((4, 4), np.float32)[:, ::2]), "contiguous"),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
