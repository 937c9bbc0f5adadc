"""TIES: what the authors' code, peft and mergekit gave (see fixtures/), a case by hand, and weights that cancel."""

from pathlib import Path

import numpy as np
import pytest
from merging_cases import of
from safetensors.numpy import load_file

import llm_from_scratch.merging as M
from llm_from_scratch.merging.election import largest, whole_model
from llm_from_scratch.merging.tensors import PIECE

FROZEN = load_file(Path(__file__).with_name("fixtures") / "ties.safetensors")
BASE, *TUNED = (of(FROZEN, model) for model in ("base", "0", "1", "2"))
WEIGHTS = (0.5, 1.0, 0.7)


def assert_equal(found, case, atol=1e-6):
    expected = of(FROZEN, case)
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=atol, err_msg=name)


@pytest.mark.parametrize("density", [0.2, 0.5, 1.0])
def test_the_authors_code_gives_the_same(density):
    assert_equal(M.ties(BASE, TUNED, None, density=density, scale=0.6), f"authors {density}")
    assert_equal(M.ties(BASE, TUNED, [1, 1, 1], density=density, scale=0.6, normalize=False), f"authors sum {density}")
    turned = [{name: 2 * BASE[name] - model[name] for name in BASE} for model in TUNED]
    assert_equal(M.ties(BASE, turned, None, density=density), f"authors opposite {density}", 2e-6)


def test_the_frozen_case_has_ties_whose_sign_the_majority_settles():
    """Sums of exactly zero, which + for every tie would settle otherwise: the reference can tell the two apart."""
    deltas = np.stack([model["w"] - BASE["w"] for model in TUNED])
    assert (deltas.sum(0)[0] == 0).all() and (deltas[0, 0] != 0).all()
    signs = [whole_model(lambda m=models: _tensors(m), [1.0] * 3).sign for models in (TUNED, _opposite())]
    assert sorted(signs) == [-1, 1]


def _opposite():
    return [{name: 2 * BASE[name] - model[name] for name in BASE} for model in TUNED]


def _tensors(models):
    return ([BASE[name], *(model[name] for model in models)] for name in BASE)


@pytest.mark.parametrize("density", [0.2, 0.5, 1.0])
def test_peft_gives_the_same(density):
    found = M.ties(BASE, TUNED, WEIGHTS, density=density, dialect="peft")
    assert_equal({name: found[name] - BASE[name] for name in BASE}, f"peft {density}")


def test_the_dialects_differ():
    results = {
        dialect: M.ties(BASE, TUNED, [1.0] * 3, density=0.5, dialect=dialect)["w"]
        for dialect in ("authors", "mergekit", "peft")
    }
    assert np.abs(results["authors"] - results["mergekit"]).max() > 0.1
    weighted = [M.ties(BASE, TUNED, WEIGHTS, density=0.5, dialect=d)["w"] for d in ("mergekit", "peft")]
    assert np.abs(weighted[0] - weighted[1]).max() > 0.1


def test_a_case_by_hand():
    base = np.zeros(5)
    a, b = np.array([3.0, -1.0, 0.5, 2.0, -4.0]), np.array([1.0, 2.0, -0.25, 2.0, 3.0])
    # density 0.6 keeps three of five: a without -1 and 0.5, b without 1 and -0.25. Sums: 3, 2, 0, 4, -1.
    for dialect in ("mergekit", "peft"):
        found = M.ties(base, [a, b], [1, 1], density=0.6, dialect=dialect)
        np.testing.assert_array_equal(found, [3, 2, 0, 2, -4])
    # The authors keep one more: of a also -1, of b also 1. Sums: 4, 1, 0, 4, -1.
    np.testing.assert_array_equal(M.ties(base, [a, b], density=0.6), [2, 2, 0, 2, -4])
    np.testing.assert_array_equal(M.ties(base, [a, b], density=0.6, scale=0.5, normalize=False), [2, 1, 0, 2, -2])


def test_the_authors_threshold_is_over_the_whole_model():
    base = {"small": np.zeros(4), "large": np.zeros(4)}
    model = {"small": np.full(4, 0.1), "large": np.array([1.0, 2.0, 3.0, 4.0])}
    whole = M.ties(base, [model], density=0.375)
    np.testing.assert_array_equal(whole["small"], 0)
    np.testing.assert_array_equal(whole["large"], [1, 2, 3, 4])  # three of eight, and one more
    each = M.ties(base, [model], density=0.375, dialect="mergekit")
    assert [np.count_nonzero(each[name]) for name in base] == [1, 1]


def test_of_equal_entries_so_many_stay_as_the_density_says():
    start, tuned = np.zeros(7), np.array([1.0, -1.0, 1.0, 2.0, -1.0, 1.0, 0.0])
    np.testing.assert_array_equal(largest(start, tuned, 3), [1, 1, 0, 1, 0, 0, 0])
    np.testing.assert_array_equal(largest(start, tuned, 0), np.zeros(7))
    np.testing.assert_array_equal(largest(start, tuned, 7), np.ones(7))
    zeros = np.zeros(2 * PIECE)
    assert np.count_nonzero(largest(zeros, np.ones(2 * PIECE), PIECE + 3)) == PIECE + 3  # also across pieces


def test_peft_keeps_none_and_mergekit_one_of_what_the_density_leaves_nothing():
    base, model = {"one": np.zeros(1)}, {"one": np.ones(1)}
    assert M.ties(base, [model], [1], density=0.4, dialect="peft")["one"] == 0
    assert M.ties(base, [model], [1], density=0.4, dialect="mergekit")["one"] == 1


@pytest.mark.parametrize("shape", [(5, 1, 4), (3, 1, 1), (1, 1), ()])
@pytest.mark.parametrize("dialect", ["authors", "mergekit", "peft"])
def test_tensors_of_any_shape_such_as_mambas_convolution(shape, dialect):
    rng = np.random.default_rng(0)
    base, a, b = rng.normal(size=(3, *shape))
    found = M.ties(base, [a, b], None, density=0.5, dialect=dialect)
    flat = M.ties(base.reshape(-1), [a.reshape(-1), b.reshape(-1)], None, density=0.5, dialect=dialect)
    np.testing.assert_array_equal(found, flat.reshape(shape))


def test_density_may_differ_from_model_to_model():
    found = M.ties(BASE["w"], [m["w"] for m in TUNED], [1] * 3, density=[1e-9, 1.0, 1e-9], dialect="peft")
    np.testing.assert_allclose(found, TUNED[1]["w"], rtol=0, atol=1e-6)


def test_weights_that_cancel_where_they_divide_are_refused():
    """mergekit divides by 3e-17 here, where all three agree, and gives entries near 1e8."""
    rng = np.random.default_rng(0)
    base, *models = rng.normal(size=(4, 1000))
    with pytest.raises(ValueError, match="0.3, -0.1, -0.2 cancel"):
        M.ties(base, models, (0.3, -0.1, -0.2), density=0.5, dialect="mergekit")
    with pytest.raises(ValueError, match="0.5, -0.5 cancel"):  # two of three: they agree somewhere
        M.ties(base, models, (0.5, -0.5, 0.9), density=0.5, dialect="mergekit")
    with pytest.raises(ValueError, match="16 models"):
        M.ties(base, [base] * 18, [1.0, -2.0] * 9, density=0.5, dialect="mergekit")
    for normalize, dialect in ((False, "mergekit"), (True, "peft")):  # where weights do not divide they may cancel
        found = M.ties(base, models, (0.3, -0.1, -0.2), density=0.5, normalize=normalize, dialect=dialect)
        assert np.abs(found).max() < 10
    many = M.ties(base, [models[0]] * 18, [0.5] * 18, density=1, dialect="mergekit")  # weights of one sign never do
    np.testing.assert_allclose(many, models[0])


@pytest.mark.parametrize("density", [0, 0.0, -0.1, 1.0001, 20, float("nan")])
def test_a_density_outside_is_refused(density):
    for dialect in ("authors", "mergekit", "peft"):
        with pytest.raises(ValueError, match="density"):
            M.ties(np.zeros(3), [np.ones(3)], None, density=density, dialect=dialect)


def test_what_a_dialect_does_not_know_is_refused():
    with pytest.raises(ValueError, match="authors' dialect knows no weights"):
        M.ties(np.zeros(3), [np.ones(3)] * 2, [1, 2], density=0.5)
    with pytest.raises(ValueError, match="dialect must be"):
        M.ties(np.zeros(3), [np.ones(3)], None, density=0.5, dialect="paper")
    with pytest.raises(ValueError, match="2 weights for 1"):
        M.ties(np.zeros(3), [np.ones(3)], [1, 1], density=0.5, dialect="peft")
