"""One step of each optimiser: a hundred of PyTorch's, slices, subnormal numbers, and what a gradient is asked first."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from llm_from_scratch.kernels import optimizers

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
FROZEN = Path(__file__).with_name("fixtures") / "optimizers.safetensors"
ADAM = {"lr": 3e-3, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "weight_decay": 0.1}
SGD = {"lr": 3e-3, "momentum": 0.9, "weight_decay": 0.1}
LION = {"lr": 3e-3, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.1}
STEPS = {  # function, arrays of state, settings, whether it counts its steps
    "adamw": (optimizers.adamw, 2, ADAM, True),
    "adam": (optimizers.adam, 2, ADAM, True),
    "sgd": (optimizers.sgd, 1, SGD, False),
    "nesterov": (optimizers.sgd, 1, {**SGD, "nesterov": True}, False),
    "lion": (optimizers.lion, 1, LION, False),
}
BOTH = pytest.mark.parametrize("version", ["kernel", "twin"])


def take_step(name, version, param, grad, state, number=1, **changed):
    function, _, settings, counts = STEPS[name]
    settings = {**settings, **({"step": number} if counts else {}), **changed}
    (function if version == "kernel" else function.__wrapped__)(param, grad, *state, **settings)


@BOTH
@DTYPES
@pytest.mark.parametrize("name", ["adamw", "adam", "sgd", "nesterov"])
def test_a_hundred_steps_follow_pytorch(name, dtype, version):
    kind, frozen = np.dtype(dtype).name, load_file(FROZEN)
    param, gradients = frozen[f"{kind}.start"].copy(), frozen[f"{kind}.gradients"]
    state = [np.zeros_like(param) for _ in range(STEPS[name][1])]
    wanted = dict(zip((1, 2, 10, 100), frozen[f"{kind}.{name}"], strict=True))
    for number, gradient in enumerate(gradients, 1):
        # half the gradient, scaled up again: clipping is folded into the update
        take_step(name, version, param, gradient / 2, state, number, grad_scale=2.0)
        if number in wanted:
            np.testing.assert_allclose(param, wanted[number], atol=1e-6 if dtype == np.float32 else 1e-14, rtol=0)
    assert {x.dtype for x in (param, *state)} == {np.dtype(dtype)}


@BOTH
def test_lion_follows_its_algorithm_number_by_number(version):
    rng = np.random.default_rng(0)
    param, m = rng.normal(size=30), np.zeros(30)
    weights, means = list(param), [0.0] * 30
    for gradient in rng.normal(size=(20, 30)):
        take_step("lion", version, param, gradient, [m])
        for i, g in enumerate(gradient):
            direction = float(np.sign(0.9 * means[i] + 0.1 * g))
            weights[i] -= 3e-3 * (direction + 0.1 * weights[i])
            means[i] = 0.99 * means[i] + 0.01 * g
    np.testing.assert_allclose(param, weights, atol=1e-14, rtol=0)
    np.testing.assert_allclose(m, means, atol=1e-14, rtol=0)


@BOTH
def test_where_lion_knows_no_direction_only_decay_moves_the_weight(version):
    param = np.array([2.0, 2.0, 2.0])
    with np.errstate(invalid="ignore"):
        take_step("lion", version, param, np.array([0.0, 1.0, np.nan]), [np.zeros(3)], lr=0.5, weight_decay=0.2)
    np.testing.assert_array_equal(param, [1.8, 1.3, np.nan])


@DTYPES
@pytest.mark.parametrize("name", STEPS)
def test_slices_step_as_the_whole_does(name, dtype):
    rng = np.random.default_rng(0)
    whole = [(rng.normal(size=1001) ** 2).astype(dtype) for _ in range(2 + STEPS[name][1])]
    parts = [array.copy() for array in whole]
    take_step(name, "kernel", *whole[:2], whole[2:], 3)
    for piece in (slice(0, 500), slice(500, 1001)):
        cut = [array[piece] for array in parts]
        take_step(name, "kernel", *cut[:2], cut[2:], 3)
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(a, b)


@BOTH
@DTYPES
@pytest.mark.parametrize("name", STEPS)
def test_no_subnormal_number_is_left(name, dtype, version):
    tiny, n = np.finfo(dtype).tiny, 40
    param, *state = (np.full(n, tiny * dtype(1.01)) for _ in range(1 + STEPS[name][1]))
    gradient = np.zeros(n, dtype)
    gradient[::2] = np.sqrt(tiny) / 8  # whose square is subnormal
    take_step(name, version, param, gradient, state, lr=0.0, weight_decay=0.0)
    for array in state:
        assert not ((array != 0) & (np.abs(array) < tiny)).any()
    assert (state[0][1::2] == 0).all() and (state[0][::2] > 0).all()
    assert all((second == 0).all() for second in state[1:])
    take_step(name, version, param, np.zeros(n, dtype), [np.zeros(n, dtype) for _ in state], lr=0.5, weight_decay=0.5)
    assert not ((param != 0) & (np.abs(param) < tiny)).any()


def test_arguments_that_do_not_fit_are_refused():
    ones, settings = np.ones(4), {**ADAM, "step": 1}
    given = {"param": ones.copy(), "grad": ones, "m": ones.copy(), "v": ones.copy()}
    for name in given:
        for wrong in (np.ones(3), np.ones((4, 1))):
            with pytest.raises(ValueError, match="of one length"):
                optimizers.adamw(**{**given, name: wrong}, **settings)
            with pytest.raises(ValueError, match="of one length"):
                optimizers.adamw(*{**given, name: wrong}.values(), **settings)
    with pytest.raises(ValueError, match="counts from 1"):
        optimizers.adam(**given, **{**settings, "step": 0})
    with pytest.raises(ValueError, match="of one length"):
        optimizers.sgd(ones.copy(), ones, np.ones(5), **SGD)
    with pytest.raises(ValueError, match="of one length"):
        optimizers.lion(ones.copy(), ones, m=np.ones(5), **LION)


@BOTH
@DTYPES
def test_one_entry_beyond_the_limit_is_found_wherever_it_stands(dtype, version):
    within = optimizers.within if version == "kernel" else optimizers.within.__wrapped__
    x = np.random.default_rng(0).uniform(-1.0, 1.0, 300).astype(dtype)
    assert within(x, 1.0) is True and within(x[:0], 1.0) is True
    for place in (0, 1, 31, 32, 150, 298, 299):
        for wrong in (np.nan, -np.nan, np.inf, -np.inf, 1.0001, -1.0001):
            spoilt = x.copy()
            spoilt[place] = wrong
            assert within(spoilt, 1.0) is False
    assert within(np.array([np.finfo(dtype).max]), np.inf) is True  # a limit beyond all finite numbers bounds none
    assert within(np.array([-np.inf, np.nan], dtype)[:1], np.inf) is False


def test_sum_of_squares_adds_up_in_float64():
    x = np.full(3_000_000, 0.1, np.float32)
    assert optimizers.sum_of_squares(x) == pytest.approx(3_000_000 * float(np.float32(0.1)) ** 2, rel=1e-10)
    assert type(optimizers.sum_of_squares(x)) is float
    assert np.isnan(optimizers.sum_of_squares(np.array([1.0, np.nan])))
