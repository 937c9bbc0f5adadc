"""GPTQ against the authors' code (frozen), against the paper's plain loop, and against every possible rounding."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from llm_from_scratch import compression as C
from llm_from_scratch.quantization.grid import fit, nearest_codes

with safe_open(Path(__file__).parent / "fixtures" / "gptq.safetensors", "numpy") as file:
    FROZEN = {name: file.get_tensor(name) for name in file.keys()}
    CASES = json.loads(file.metadata()["cases"])
STALE = [n for n, case in enumerate(CASES) if case["group_size"] and case["block_size"] > case["group_size"]]


def layer(outputs=8, inputs=24, rows=200, seed=0, dtype=np.float64):
    """Weights, and inputs that move together and differ in size."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(inputs, inputs)) / 3 + np.diag(np.exp(rng.normal(size=inputs)))
    return rng.normal(size=(outputs, inputs)).astype(dtype), (rng.normal(size=(rows, inputs)) @ mix).astype(dtype)


def plain_loop(weight, hessian, bits, group_size=None, symmetric=False, damping=0.01):
    """The paper's method before any of its three speed-ups, as Optimal Brain Compression has it but in fixed order.

    Round a weight, move those that are left by the whole inverse Hessian, take the input out of the inverse.
    """
    w = weight.copy()
    inputs = w.shape[1]
    size = group_size or inputs
    inverse = np.linalg.inv(hessian + damping * np.diagonal(hessian).mean() * np.eye(inputs))
    codes, grids = [], []
    for i in range(inputs):
        if i % size == 0:
            grids.append(fit(w[:, i : i + size], bits, symmetric=symmetric))
        scale, zero = grids[-1]
        codes.append(nearest_codes(w[:, i], scale, zero, bits))
        error = (w[:, i] - (codes[-1] - zero) * scale) / inverse[i, i]
        w -= np.outer(error, inverse[i])
        inverse = inverse - np.outer(inverse[:, i], inverse[i]) / inverse[i, i]
    return np.stack(codes, axis=1), *(np.stack(parts, axis=1) for parts in zip(*grids))


def assert_same_codes(found, wanted, symmetric):
    """Equal; on a symmetric grid the largest weight of a group lies half way between two numbers, and the last digit of
    its scale decides for it, and so for those that make up for it."""
    if symmetric:
        assert (found != wanted).mean() <= 0.05
    else:
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda n: "-".join(f"{v}" for v in CASES[n].values()))
def test_the_authors_codes(number):
    case = CASES[number]
    grid = C.gptq(FROZEN["weight"], FROZEN["hessian"], **case, stale_grids=True)
    assert_same_codes(grid.codes, FROZEN[f"{number}.codes"], case["symmetric"])
    np.testing.assert_allclose(grid.scale[:, grid.group_of_input], FROZEN[f"{number}.scale"], rtol=2e-6)
    np.testing.assert_array_equal(grid.zero[:, grid.group_of_input], FROZEN[f"{number}.zero"])
    fresh = C.gptq(FROZEN["weight"], FROZEN["hessian"], **case)
    stale = number in STALE and not case["static_groups"]
    assert (fresh.codes != grid.codes).any() == stale, "their grids are stale where a block is longer than a group"


def test_their_hessian_is_ours_up_to_scale():
    ours, theirs = C.hessian(FROZEN["inputs"]), FROZEN["hessian"]
    sequences, tokens = FROZEN["inputs"].shape[:2]  # they divide by the number of sequences
    np.testing.assert_allclose(ours * tokens, theirs, rtol=1e-5, atol=1e-5 * theirs.max())
    assert sequences * tokens == 160


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize(
    "bits, group_size, block_size", [(2, None, 5), (3, 8, 128), (4, 6, 7), (8, 1, 128), (3, 24, 1)]
)
def test_the_plain_loop_of_the_paper(bits, group_size, block_size, symmetric):
    weight, inputs = layer()
    hessian = C.hessian(inputs)
    grid = C.gptq(weight, hessian, bits=bits, group_size=group_size, block_size=block_size, symmetric=symmetric)
    codes, scale, zero = plain_loop(weight, hessian, bits, group_size, symmetric)
    assert_same_codes(grid.codes, codes, symmetric)
    if not symmetric:
        np.testing.assert_allclose(grid.scale, scale, rtol=1e-9)
    np.testing.assert_array_equal(grid.zero, zero)


def test_beside_every_possible_rounding():
    """A row of 6 inputs in 2 bits has 4,096 roundings: GPTQ's is among the better ones."""
    every = np.array(list(itertools.product(range(4), repeat=6)))
    ranks = {"gptq": [], "nearest": []}
    for seed in range(40):
        weight, inputs = layer(outputs=1, inputs=6, rows=50, seed=seed)
        hessian = C.hessian(inputs + 2 * inputs.sum(axis=1, keepdims=True))  # much in common
        found = C.gptq(weight, hessian, bits=2, damping=0.0)
        nearest = C.round_to_nearest(weight, bits=2)
        np.testing.assert_array_equal(found.scale, nearest.scale)  # the same grid: only the choice differs
        change = (every - found.zero) * found.scale - weight
        errors = np.einsum("ni,ij,nj->n", change, hessian, change)
        for name, grid in (("gptq", found), ("nearest", nearest)):
            mine = errors[np.flatnonzero((every == grid.codes).all(axis=1))[0]]
            assert errors.min() <= mine
            ranks[name].append(int((errors < mine).sum()))
    gptq, nearest = (np.array(ranks[name]) for name in ("gptq", "nearest"))
    assert 3 * np.median(gptq) < np.median(nearest) and np.mean(gptq <= nearest) > 0.8
    assert (gptq == 0).sum() >= 8 and (gptq > 0).any(), "often the best of all, not always: it never looks back"


SETTINGS = [dict(zip(("group_size", "act_order", "static_groups", "symmetric"), values))
            for values in itertools.product([None, 4], [False, True], [False, True], [False, True])]  # fmt: skip


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_what_holds_for_all_settings(settings):
    weight, inputs = layer(seed=3)
    kept, hessian = weight.copy(), C.hessian(inputs)
    before = hessian.copy()
    grid = C.gptq(weight, hessian, bits=3, **settings)
    np.testing.assert_array_equal(weight, kept)
    np.testing.assert_array_equal(hessian, before)
    assert grid.codes.shape == weight.shape and grid.scale.shape == (8, 24 // (settings["group_size"] or 24))

    rounded = C.round_to_nearest(weight, bits=3, group_size=settings["group_size"], symmetric=settings["symmetric"])
    errors = [C.output_error(weight, g.values(), hessian) for g in (grid, rounded)]
    assert errors[0] < 0.7 * errors[1]

    for block_size in (1, 5, 24):  # only the order of sums
        again = C.gptq(weight, hessian, bits=3, **settings, block_size=block_size)
        assert_same_codes(again.codes, grid.codes, settings["symmetric"])
    for factor in (1e-9, 1e9):  # the size of the Hessian says nothing
        again = C.gptq(weight, factor * hessian, bits=3, **settings)
        assert_same_codes(again.codes, grid.codes, settings["symmetric"])
    alone = [C.gptq(row[None], hessian, bits=3, **settings).codes[0] for row in weight]  # no row knows of another
    assert_same_codes(np.stack(alone), grid.codes, settings["symmetric"])
    single = C.gptq(weight.astype(np.float32), hessian.astype(np.float32), bits=3, **settings)
    assert single.values().dtype == np.float32 and grid.values().dtype == np.float64
    assert (single.codes != grid.codes).mean() < 0.05


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_inputs_that_do_not_move_together_are_rounded_to_nearest(settings):
    weight, _ = layer(seed=4)
    same = C.gptq(weight, np.eye(24), bits=3, **settings)  # equal sizes: no order but the one that is there
    rounded = C.round_to_nearest(weight, bits=3, group_size=settings["group_size"], symmetric=settings["symmetric"])
    np.testing.assert_array_equal(same.codes, rounded.codes)
    np.testing.assert_array_equal(same.group_of_input, rounded.group_of_input)


def test_act_order_is_the_same_problem_in_another_order():
    # and so both the Hessian and its inverse belong to the new order: a factor taken before is another one
    weight, inputs = layer(seed=5)
    hessian = C.hessian(inputs)
    order = np.argsort(-np.diagonal(hessian))
    found = C.gptq(weight, hessian, bits=3, group_size=8, act_order=True)
    moved = C.gptq(weight[:, order], hessian[np.ix_(order, order)], bits=3, group_size=8)
    np.testing.assert_array_equal(found.codes[:, order], moved.codes)
    np.testing.assert_array_equal(found.group_of_input[order], np.arange(24) // 8)
    np.testing.assert_array_equal(found.scale, moved.scale)
    np.testing.assert_array_equal(found.values()[:, order], moved.values())


def test_static_groups_are_of_neighbours_with_the_grids_of_the_weights_as_they_were():
    weight, inputs = layer(seed=6)
    hessian = C.hessian(inputs)
    nearest = C.round_to_nearest(weight, bits=3, group_size=8)
    for act_order in (False, True):
        found = C.gptq(weight, hessian, bits=3, group_size=8, static_groups=True, act_order=act_order, block_size=5)
        np.testing.assert_array_equal(found.scale, nearest.scale)
        np.testing.assert_array_equal(found.zero, nearest.zero)
        np.testing.assert_array_equal(found.group_of_input, np.arange(24) // 8)


def test_groups_are_counted_over_the_whole_row_not_from_a_block_on():
    weight, inputs = layer(inputs=40, seed=7)
    weight *= np.repeat([1, 10, 100, 1000, 10000], 8)  # a wrong group's scale is wrong by a factor of ten at least
    for settings in ({}, {"static_groups": True}, {"static_groups": True, "act_order": True}):
        grid = C.gptq(weight, C.hessian(inputs), bits=4, group_size=8, block_size=16, **settings)
        np.testing.assert_array_equal(grid.group_of_input, np.arange(40) // 8)
        assert C.output_error(weight, grid.values(), C.hessian(inputs)) < 0.01


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_inputs_that_are_always_zero_get_weights_of_zero_and_disturb_no_others(settings):
    weight, inputs = layer(seed=8)
    dead = [0, 9, 10, 11, 23]
    weight[:, dead] = 0.1  # small: the grid of a whole row is taken with them
    inputs[:, dead] = 0
    values = C.gptq(weight, C.hessian(inputs), bits=4, **settings).values()
    assert np.isfinite(values).all() and (values[:, dead] == 0).all()
    if settings["group_size"] is None:
        alive = np.setdiff1d(np.arange(24), dead)
        hessian = C.hessian(inputs[:, alive])
        damping = 0.01 * (np.trace(hessian) + len(dead)) / 24 / (np.trace(hessian) / len(alive))
        alone = C.gptq(weight[:, alive], hessian, bits=4, damping=damping, **settings)
        np.testing.assert_allclose(values[:, alive], alone.values())


def test_rows_and_blocks_of_zeros():
    weight, inputs = layer(seed=9)
    weight[2] = 0
    weight[4, 8:16] = 0
    for settings in SETTINGS:
        values = C.gptq(weight, C.hessian(inputs), bits=4, **settings).values()
        assert np.isfinite(values).all() and (values[2] == 0).all()
    assert (C.gptq(np.zeros((2, 24)), C.hessian(inputs), bits=2, group_size=8).values() == 0).all()


def test_a_symmetric_range_has_two_sides_even_where_the_weights_have_one():
    weight, inputs = layer(seed=10)
    grid = C.gptq(np.abs(weight), C.hessian(inputs), bits=4, symmetric=True)
    np.testing.assert_allclose(grid.scale[:, 0], 2 * np.abs(weight).max(axis=1) / 15)
    assert (grid.zero == 8).all() and C.output_error(np.abs(weight), grid.values(), C.hessian(inputs)) < 0.01


def test_one_input_and_one_row():
    grid = C.gptq([[2.0], [-1.0]], [[3.0]], bits=2)
    np.testing.assert_allclose(grid.values(), [[2.0], [-1.0]])


def test_fewer_rows_than_inputs_are_what_damping_is_for():
    weight, inputs = layer(rows=5, dtype=np.float32)
    hessian = C.hessian(inputs)
    assert np.isfinite(C.gptq(weight, hessian, bits=4).values()).all()
    for singular in (hessian, hessian.astype(np.float64), np.ones((24, 24)), np.ones((24, 24), np.float32)):
        with pytest.raises(ValueError, match="singular with damping=0"):
            C.gptq(weight, singular, bits=4, damping=0)


def test_one_input_that_repeats_another_is_singular():
    weight, inputs = layer(dtype=np.float32)
    inputs[:, 7] = inputs[:, 3]
    for act_order in (False, True):
        with pytest.raises(ValueError, match="some inputs repeat others"):
            C.gptq(weight, C.hessian(inputs), bits=4, damping=0.0, act_order=act_order)
    C.gptq(weight, C.hessian(inputs), bits=4)


def test_inputs_of_very_different_size_are_not_singular():
    weight, inputs = layer(inputs=64, dtype=np.float32)
    inputs = inputs * np.logspace(-4, 4, 64).astype(np.float32)
    hessian = C.hessian(inputs)
    nearest = C.round_to_nearest(weight, bits=4).values()
    for act_order in (False, True):
        values = C.gptq(weight, hessian, bits=4, act_order=act_order).values()
        assert C.output_error(weight, values, hessian) < C.output_error(weight, nearest, hessian)


GOOD = np.eye(6) + 0.5


def broken(place, value):
    hessian = GOOD.copy()
    hessian[place] = value
    return hessian


@pytest.mark.parametrize(
    "hessian, settings, error, words",
    [
        (GOOD, {"bits": 0}, ValueError, "2 to 8 bits, not 0"),
        (GOOD, {"bits": 16}, ValueError, "2 to 8 bits, not 16"),
        (GOOD, {"bits": True}, ValueError, "2 to 8 bits, not True"),
        (GOOD, {"group_size": 4}, ValueError, "groups of 4 do not divide a row of 6 inputs"),
        (GOOD, {"group_size": -1}, ValueError, "None for the whole row"),
        (GOOD, {"damping": -0.1}, ValueError, "damping is a number >= 0.* not -0.1"),
        (GOOD, {"damping": np.nan}, ValueError, "not nan"),
        (GOOD, {"damping": np.inf}, ValueError, "not inf"),
        (GOOD, {"damping": "0.01"}, ValueError, "not '0.01'"),
        (GOOD, {"block_size": 0}, ValueError, "block_size is a positive whole number, not 0"),
        (GOOD[:5, :5], {}, ValueError, r"reads 6 inputs has a Hessian \(6, 6\), got \(5, 5\)"),
        (GOOD[:5], {}, ValueError, r"got \(5, 6\)"),
        (GOOD[0], {}, ValueError, r"got \(6,\)"),
        (GOOD.astype(int), {}, TypeError, "a matrix of floats, got int64"),
        (broken((2, 3), np.nan), {}, ValueError, r"entry \(2, 3\) of the Hessian is nan"),
        (broken((5, 5), np.inf), {}, ValueError, r"entry \(5, 5\) of the Hessian is inf"),
        (broken((1, 1), -1.0), {}, ValueError, r"entry \(1, 1\) of the Hessian is -1"),
        (broken((1, 2), 3.0), {}, ValueError, "not symmetric"),
        (np.zeros((6, 6)), {}, ValueError, "the Hessian is zero: no calibration text"),
        (GOOD - 1, {}, ValueError, "singular with damping=0.01"),
    ],
)
def test_refused(hessian, settings, error, words):
    weight = np.arange(12.0).reshape(2, 6)
    with pytest.raises(error, match=words):
        C.gptq(weight, hessian, **{"bits": 4, **settings})


@pytest.mark.parametrize(
    "weight, error, words",
    [
        (np.ones((2, 6), int), TypeError, "matrix of floats"),
        (np.ones(6), ValueError, r"the shape \(6,\)"),
        (np.ones((2, 3, 6)), ValueError, r"the shape \(2, 3, 6\)"),
        (np.full((2, 6), np.nan), ValueError, r"the weight at \(0, 0\) is nan"),
        (np.full((2, 6), 3e38, np.float32) * np.float32([1, -1, 1, -1, 1, -1]), ValueError, "spans more than float32"),
    ],
)
def test_weights_refused(weight, error, words):
    with pytest.raises(error, match=words):
        C.gptq(weight, GOOD, bits=4)
