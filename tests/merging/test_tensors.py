"""Models as dictionaries and as arrays, their number formats, and what is refused."""

import ml_dtypes
import numpy as np
import pytest
from merging_cases import random_model

import llm_from_scratch.merging as M
from llm_from_scratch.merging.tensors import PIECE, check_sum, elementwise, over_tensors

SHAPES = (("w", (3, 4)), ("b", (5,)), ("conv", (6, 1, 4)), ("scalar", ()), ("empty", (0, 3)), ("one", (1,)))
CALLS = {
    "linear": lambda base, a, b: M.linear([base, a, b], [1, 2, 0.5]),
    "slerp": lambda base, a, b: M.slerp(a, b, 0.3),
    "task_arithmetic": lambda base, a, b: M.task_arithmetic(base, [a, b], [0.5, -1.0], scale=0.7),
    "fisher": lambda base, a, b: M.fisher([a, b], [_sizes(a), _sizes(base)], [1, 2]),
    "ties authors": lambda base, a, b: M.ties(base, [a, b], None, density=0.5),
    "ties mergekit": lambda base, a, b: M.ties(base, [a, b], [1, 0.5], density=0.5, dialect="mergekit"),
    "ties peft": lambda base, a, b: M.ties(base, [a, b], [1, 0.5], density=0.5, dialect="peft"),
    "dare linear": lambda base, a, b: M.dare(base, [a, b], [1, 0.5], density=0.5, rng=3),
    "dare ties": lambda base, a, b: M.dare(
        base, [a, b], [1, 0.5], density=0.5, rng=3, rescale="mergekit", then="ties", trim=0.5
    ),
    "model_stock": lambda base, a, b: M.model_stock(base, [a, b]),
    "greedy_soup": lambda base, a, b: M.greedy_soup([a, b], lambda model: 1.0),
    "wise_ft": lambda base, a, b: M.wise_ft(base, a, 0.4),
    "fuse": lambda base, a, b: M.fuse(base, [a, b]) if isinstance(base, dict) else M.uniform_soup([a, b]),
}


def _sizes(model):
    return {k: abs(v) for k, v in model.items()} if isinstance(model, dict) else abs(model)


def _three(dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    return [random_model(rng, SHAPES, dtype) for _ in range(3)]


@pytest.mark.parametrize("call", CALLS)
def test_a_single_array_is_merged_as_in_a_dictionary(call):
    models = _three()
    whole = CALLS[call](*models)
    assert whole.keys() == models[0].keys()
    if call.startswith("dare"):  # one stream of random numbers for all tensors: only the first sees its beginning
        models = [{"w": model["w"]} for model in models]
    for name in models[0]:
        if call == "ties authors":  # its threshold is over all: the same only when there is one tensor
            whole = CALLS[call](*[{name: model[name]} for model in models])
        alone = CALLS[call](*[model[name] for model in models])
        np.testing.assert_array_equal(alone, whole[name], err_msg=name)
        assert alone.shape == models[0][name].shape


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
@pytest.mark.parametrize("call", CALLS)
def test_formats_stay_and_half_precision_is_computed_in_single(call, dtype):
    models = _three(dtype)
    before = [{name: array.copy() for name, array in model.items()} for model in models]
    found = CALLS[call](*models)
    single = CALLS[call](*[{name: array.astype(np.float32) for name, array in model.items()} for model in models])
    for name, array in found.items():
        assert array.dtype == dtype
        if np.dtype(dtype).itemsize == 2:  # the float32 result, rounded once
            np.testing.assert_array_equal(array, single[name].astype(dtype))
        elif dtype == np.float64:
            assert array.size < 2 or np.abs(array - single[name]).max() > 0  # not computed in float32
            np.testing.assert_allclose(array, single[name], rtol=0, atol=1e-5)
    for model, copy in zip(models, before):  # nothing that is given is changed
        assert all(np.array_equal(model[name], copy[name]) for name in copy)


@pytest.mark.parametrize("call", CALLS)
def test_layout_in_memory_does_not_matter(call):
    models = _three()
    turned = [{k: np.asfortranarray(v) if v.ndim else v for k, v in model.items()} for model in models]
    for name, array in CALLS[call](*models).items():
        np.testing.assert_array_equal(CALLS[call](*turned)[name], array)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused_with_their_tensor(call, value):
    models = _three()
    for number in (1,) if call == "wise_ft" else (1, 2):
        damaged = [dict(model) for model in models]
        damaged[number]["b"] = damaged[number]["b"].copy()
        damaged[number]["b"][3] = value
        with pytest.raises(ValueError, match="^b: .*not finite"):
            CALLS[call](*damaged)


@pytest.mark.parametrize("call", CALLS)
def test_models_that_differ_are_refused_with_the_first_tensor(call):
    base, a, b = _three()
    with pytest.raises(ValueError, match=r"^b has shape"):
        CALLS[call](base, {**a, "b": a["b"][:4]}, b)
    with pytest.raises(ValueError, match="conv"):
        CALLS[call](base, {name: array for name, array in a.items() if name != "conv"}, b)
    if call != "fuse":  # whose models may have heads of their own
        with pytest.raises(ValueError, match="surplus"):
            CALLS[call](base, {**a, "surplus": a["w"]}, b)
    with pytest.raises((TypeError, AttributeError, ValueError)):
        CALLS[call](base, "a model", b)


def test_integers_must_be_equal_and_are_passed_on():
    table = {"mask": np.arange(3), "w": np.ones(2)}
    found = M.linear([table, {**table, "w": np.zeros(2)}], [1, 1])
    np.testing.assert_array_equal(found["mask"], [0, 1, 2])
    with pytest.raises(ValueError, match="mask holds int64"):
        M.linear([table, {**table, "mask": np.arange(3) + 1}], [1, 1])
    with pytest.raises(TypeError, match="complex"):
        M.linear([np.ones(2, complex)] * 2, [1, 1])


def test_long_arrays_go_in_pieces_that_fit_together():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 3 * PIECE + 7))
    np.testing.assert_array_equal(elementwise(lambda p, _: p[0] - p[1], [x, y]), x - y)
    masks = [rng.random(x.shape) < 0.5]
    np.testing.assert_array_equal(elementwise(lambda p, m: p[0] * m[0], [x], masks), x * masks[0])


def test_a_result_too_large_for_its_format_is_refused():
    big = np.full(3, 60000, np.float16)
    with pytest.raises(ValueError, match="too large for float16"):
        M.linear([big, big], [1, 1], normalize=False)


@pytest.mark.parametrize("weights", [(1, -1), (0.3, -0.1, -0.2), (0.0, 0.0), (1, -0.9995)])
def test_weights_that_cancel_are_refused(weights):
    with pytest.raises(ValueError, match="cancel"):
        check_sum(weights)
    with pytest.raises(ValueError, match="cancel"):
        M.linear([np.ones(2)] * len(weights), weights)
    with pytest.raises(ValueError, match="cancel"):
        M.task_arithmetic(np.ones(2), [np.ones(2)] * len(weights), weights, normalize=True)
    np.testing.assert_allclose(M.linear([np.ones(2)] * len(weights), weights, normalize=False), sum(weights))


@pytest.mark.parametrize(
    ("weights", "error", "words"),
    [
        ([1], ValueError, "1 weights for 2 models"),
        ([1, np.nan], ValueError, "finite"),
        ([1, True], TypeError, "number"),
        (["a", 1], TypeError, "number"),
        (None, TypeError, "number"),
    ],
)
def test_weights_are_a_finite_number_each(weights, error, words):
    with pytest.raises(error, match=words):
        M.linear([np.ones(2)] * 2, weights)


def test_models_are_a_list_of_at_least_one():
    for models in (np.ones(2), {"a": np.ones(2)}, 3):
        with pytest.raises(TypeError, match="list of models"):
            M.linear(models, [1])
    with pytest.raises(ValueError, match="at least 1"):
        M.linear([], [])
    with pytest.raises(TypeError, match="all dictionaries"):
        M.linear([{"a": np.ones(2)}, np.ones(2)], [1, 1])
    with pytest.raises(TypeError, match="list"):
        over_tensors(lambda *x: x[0], {"a": [1.0]})
