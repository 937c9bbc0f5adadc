"""What comparisons say: of values, shapes, types, keys, and which mistake leads there."""

from __future__ import annotations

import functools
from collections import Counter

import numpy as np
import pytest

from llm_from_scratch.grading import (
    CheckBroken,
    CheckFailed,
    check_close,
    check_equal,
    check_raises,
    check_separate,
    check_that,
)

WANT = np.array([[1.0, 2.0], [3.0, -4.0]])


def failure(function, *args, **kwargs) -> str:
    with pytest.raises(CheckFailed) as caught:
        function(*args, **kwargs)
    return f"{caught.value.message} | {caught.value.cause}"


@pytest.mark.parametrize(
    "got, words",
    [
        (np.zeros((2, 2)), "y[0, 0]: expected 1, got 0 (first of 4 wrong values out of 4) | the answer"),
        (-WANT, "the sign is flipped"),
        (WANT * 0.5, "every value is 0.5 times the right one"),
        (WANT.T, "y[0, 1]: expected 2, got 3 (first of 2 wrong values out of 4) | the answer is transposed"),
        (WANT[::-1], "stand in another order"),
        (WANT * np.nan, "got nan (first of 4 wrong values out of 4, all of them NaN) | NaN comes of"),
        (WANT + np.array([[0, 0], [0, 1e-5]]), "y[1, 1]: expected -4, got -3.99999"),
        (WANT + 1e-9, "expected 1.0, got 1.000000001"),
        (WANT.astype(np.float32), "must have dtype float64, got float32"),
        (WANT.astype(int), "must have dtype float64, got int64. | an integer array cannot hold fractions"),
        (WANT.ravel(), "must have shape (2, 2), got (4,)"),
        (WANT[None], "an axis of length 1 was lost or added"),
        (WANT.tolist(), "must be a numpy array, not a list"),
        (None, "y is None. | is there a `return`"),
        (np.ma.masked_array(WANT), "must be a numpy array, not a MaskedArray"),
        (3.0, "must be a numpy array, not a float"),
    ],
)  # fmt: skip
def test_check_close_says_what_is_wrong(got, words):
    assert words in failure(check_close, "y", got, WANT, 1e-10)


def test_check_close_does_not_lose_imaginary_parts():
    z = np.array([1.0 + 2.0j])
    with pytest.raises(CheckBroken, match="real and imaginary"):
        check_close("z", z.real + 3j, z, tolerance=1e-6)


def test_check_close_names_the_mistake_that_leads_there():
    causes = {"far": WANT + 5, "the half is missing": WANT + 0.1}
    assert "| the half is missing." in failure(check_close, "y", WANT + 0.1 + 1e-5, WANT, 1e-6, causes)


@pytest.mark.parametrize("expected", [np.zeros(3), np.array([1e-5]), np.array([1.0, np.inf]), np.array([]), 0.0])
def test_a_comparison_without_power_is_refused(expected):
    with pytest.raises(CheckBroken):
        check_close("y", expected, expected, 1e-6)


def test_numbers():
    check_close("y", np.float64(2.0), 2.0, 1e-9)
    check_close("y", 2, 2.0, 1e-9)
    check_close("y", np.float32(2.0), np.array(2.0, np.float32), 1e-9)  # as NumPy's sum over everything gives it
    assert "must be a number, not a bool" in failure(check_close, "y", True, 1.0, 1e-9)
    assert "must be a number, not a str" in failure(check_close, "y", "2", 2.0, 1e-9)
    assert "expected 2, got nan" in failure(check_close, "y", float("nan"), 2.0, 1e-9)


class YesToAll(list):
    def __eq__(self, other):
        return True


@pytest.mark.parametrize(
    "got, expected, words",
    [
        ([1, 3], [1, 2], "y[1]: expected 2, got 3"),
        ([1], [1, 2], "y must have 2 entries, got 1"),
        ((1, 2), [1, 2], "y must be a list, not a tuple. | wrap it in list"),
        ([True, 2], [1, 2], "y[0] must be an int, not a bool"),
        ([np.int64(1)], [1], "y[0] must be an int, not a NumPy int64."),
        ({"a": 1, "b": 2}, {"a": 1}, "y['b'] should not be there; it is 2"),
        ({}, {"a": 1}, "y['a'] is missing: expected 1"),
        ([("a", 1)], {"a": 1}, "y must be a dict, not a list"),
        (None, {}, "y is None"),
        ("caf", "café", "y: expected 'café', got 'caf'"),
        (np.array([0.0, 1e-300]), np.zeros(2), "y[1]: expected 0, got 1e-300, where equality is exact"),
        (YesToAll([5]), [1], "must be a list, not a YesToAll"),
    ],
)
def test_check_equal_says_what_is_wrong(got, expected, words):
    assert words in failure(check_equal, "y", got, expected)


def test_check_equal_accepts_what_is_equal():
    check_equal("y", Counter("aab"), {"a": 2, "b": 1})
    check_equal("y", [(1, b"x"), np.zeros(2)], [(1, b"x"), np.zeros(2)])
    assert "| twice." in failure(check_equal, "y", [2, 2], [1, 1], {"twice": [2, 2]})


def test_the_small_helpers():
    check_that(np.bool_(True), "fine")
    assert failure(check_that, False, "too long", "cut it") == "too long | cut it"
    with pytest.raises(CheckBroken):
        check_that([1], "a list is no condition")  # type: ignore[arg-type]
    check_raises("x", ValueError, int, "x")
    assert "it raised TypeError" in failure(check_raises, "x", ValueError, int, None)
    x = np.zeros(3)
    check_separate("y", x.copy(), x)
    assert "very array" in failure(check_separate, "y", x[1:], x)


@pytest.mark.parametrize(
    "got, want, words",
    [
        (np.zeros(2), np.ones(2), "y, blocks of [2, 2], at [0]: expected 1, got 0"),
        (np.ones(2, bool), np.zeros(2, bool), "y, blocks of [2, 2], at [0]: expected False, got True"),
        (True, False, "y, blocks of [2, 2]: expected False, got True"),
        (np.float64("inf"), 1.0, "an overflow or a division by zero"),
    ],
)
def test_messages_are_readable(got, want, words):
    compare = check_equal if np.asarray(want).dtype == bool else functools.partial(check_close, tolerance=1e-9)
    assert words in failure(compare, "y, blocks of [2, 2]", got, want)


def test_wrong_values_in_float32_do_not_read_like_a_wrong_dtype():
    message = failure(check_close, "y", np.zeros(2, np.float32), np.ones(2, np.float32), 1e-4)
    assert "The dtype, float32, is right; the values are not." in message


def test_nan_beside_wrong_numbers_is_counted_and_matches_the_cause_that_has_it():
    off = np.array([np.nan, 1.0, 2.0])
    message = failure(
        check_close, "y", off, np.array([1.0, 2.0, 3.0]), 1e-9, {"the mask is one off": off, "zero": off * 0}
    )
    assert "(first of 3 wrong values out of 3, 1 of them NaN) | the mask is one off." in message


def test_the_nearest_cause_speaks_and_equal_ones_together():
    right = np.array([1.0, 200.0])
    causes = {"near": right + [0.0, 5.01], "exact": right + [0.0, 5.0]}
    assert failure(check_close, "y", right + [0.0, 5.0], right, 1e-9, causes).endswith("| exact.")
    causes = {"one": right + 5, "other": right + 5}
    assert failure(check_close, "y", right + 5, right, 1e-9, causes).endswith("| one; or: other.")


def test_causes_are_tried_even_where_the_shape_differs():
    assert failure(check_equal, "y", np.zeros(2), np.zeros(3), {"cut": np.zeros(2)}).endswith("| cut.")


def test_keys_that_pretend():
    class Any:
        def __hash__(self):
            return hash("a")

        def __eq__(self, other):
            return True

    assert "the key 'a' of y must be a str, not an Any" in failure(check_equal, "y", {Any(): 1}, {"a": 1})


def test_an_answer_that_is_all_but_right_is_no_missing_factor():
    want = np.array([3.0, 4.0])
    for have in (want / (1 + 1e-6), want.astype(np.float32).astype(np.float64) + 1e-7):
        with pytest.raises(CheckFailed) as caught:
            check_close("y", have, want, tolerance=1e-9)
        assert "all but right" in caught.value.cause
    with pytest.raises(CheckFailed) as caught:
        check_close("y", want * 2, want, tolerance=1e-9)
    assert "2 times the right one" in caught.value.cause
