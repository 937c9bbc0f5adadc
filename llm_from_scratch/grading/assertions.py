"""The comparisons that checks are written with: each says what differs, where first, and probably why.

They are strict about type, shape and dtype, and strict with the check itself: an expected array that is all
but zero, or not finite, raises `CheckBroken`, because wrong work would pass it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .causes import NAN_CAUSE, dtype_cause, likely_cause, shape_cause, type_cause
from .words import at, kind, pair, show, unfinished

# Bound before a learner's file is loaded, so that replacing numpy.allclose changes nothing here.
_abs, _argwhere, _asarray, _isfinite, _float64 = np.abs, np.argwhere, np.asarray, np.isfinite, np.float64
_array_equal, _array_type, _isnan = np.array_equal, np.ndarray, np.isnan
_errstate, _shares_memory = np.errstate, np.shares_memory
_SCALAR_TYPES = frozenset(np.sctypeDict.values())  # the exact types: a subclass may pretend to any value

NONE_CAUSE = "is there a `return` at the end of the function?"


class CheckFailed(AssertionError):
    """A learner's answer is wrong: what was seen, and the likely cause if one is known."""

    def __init__(self, message: str, cause: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cause = cause


class CheckBroken(Exception):
    """The check has no power, whatever the learner does: a fault of its author."""


def check_close(
    name: str,
    got: Any,
    expected: Any,
    tolerance: float,
    causes: Mapping[str, Any] | None = None,
) -> None:
    """Require a number or array within `tolerance` (absolute, at every entry) of `expected`.

    An expected array demands an array of its shape and dtype; a Python float demands a number. `causes` maps
    a likely mistake, in words, to the value it leads to: whoever gets that value is told the mistake.

    >>> check_close("y", np.array([1.0, 2.0]), np.array([1.0, 2.0]), tolerance=1e-6)
    >>> right, wrong = np.array([1.0, 2.0]), np.array([0.5, 1.0])
    >>> try:
    ...     check_close("y", wrong, right, tolerance=1e-6, causes={"the 2 is missing": wrong})
    ... except CheckFailed as failure:
    ...     print(failure.message, "|", failure.cause)
    y[0]: expected 1, got 0.5 (first of 2 wrong values out of 2) | the 2 is missing.
    """
    want = _asarray(expected)
    if want.size == 0 or not _isfinite(want).all():
        raise CheckBroken(f"{name}: the expected value must be finite and not empty")
    if want.dtype.kind == "c":
        raise CheckBroken(f"{name}: complex numbers are compared as real and imaginary parts, one after the other")
    if not tolerance > 0 or _abs(want).max() <= 100 * tolerance:
        raise CheckBroken(f"{name}: max|expected| must exceed 100 x tolerance, or zeros would pass")
    problem, cause = _other_type(name, got, expected, want)
    if problem:
        raise CheckFailed(problem, cause)
    have = _asarray(got)
    with _errstate(all="ignore"):
        close = _abs(have.astype(_float64) - want.astype(_float64)) <= tolerance
    if close.all():
        return
    wrong = _argwhere(~close)
    first = tuple(wrong[0])
    message = f"{at(name, first)}: {pair(want[first], have[first])}"
    if want.ndim:
        message += f" (first of {len(wrong)} wrong values out of {want.size}{_not_numbers(have, len(wrong))})"
    if isinstance(got, _array_type) and got.dtype != _float64 and got.dtype.kind == "f":
        message += f". The dtype, {got.dtype}, is right; the values are not."
    raise CheckFailed(message, likely_cause(have, want, tolerance, causes or {}))


def _not_numbers(have: Any, wrong: int) -> str:
    """How many of the wrong values are NaN or infinite."""
    strange = int((~_isfinite(have)).sum())
    if not strange:
        return ""
    which = "NaN" if _isnan(have).sum() == strange else "NaN or infinite"
    return f", all of them {which}" if strange == wrong else f", {strange} of them {which}"


def _other_type(name: str, got: Any, expected: Any, want: Any) -> tuple[str, str]:
    """Where type, shape or dtype differ, the problem and its likely cause; ("", "") if they do not."""
    if got is None:
        return f"{name} is None.", NONE_CAUSE
    if not isinstance(expected, _array_type):
        if type(got) in (float, int) or (type(got) in _SCALAR_TYPES and got.dtype.kind in "fiu"):
            return "", ""
        return f"{name} must be a number, not {kind(got)}.", unfinished(got) or "wrap it in float(...)?"
    # NumPy's own reductions hand back a scalar where a 0-d array is meant, so both will do
    if type(got) is not _array_type and not (want.ndim == 0 and type(got) in _SCALAR_TYPES):
        return f"{name} must be a numpy array, not {kind(got)}.", unfinished(got) or "wrap it in np.array(...)?"
    if got.shape != want.shape:
        return f"{name} must have shape {want.shape}, got {got.shape}.", shape_cause(got, want)
    if got.dtype != want.dtype:
        return f"{name} must have dtype {want.dtype}, got {got.dtype}.", dtype_cause(got, want)
    return "", ""


def check_equal(name: str, got: Any, expected: Any, causes: Mapping[str, Any] | None = None) -> None:
    """Require exactly this value: ints, text, bytes, arrays, and lists, tuples and dicts of them.

    >>> check_equal("ids", [1, 2], [1, 2])
    >>> check_equal("ids", [1, 3, 2], [1, 2, 2])
    Traceback (most recent call last):
    llm_from_scratch.grading.assertions.CheckFailed: ids[1]: expected 2, got 3
        (expected [1, 2, 2]
              got [1, 3, 2])
    >>> check_equal("counts", {"a": 1}, {"a": 1, "b": 2})
    Traceback (most recent call last):
    llm_from_scratch.grading.assertions.CheckFailed: counts['b'] is missing: expected 2
    """
    problem, cause = _difference(name, got, expected)
    if not problem:
        return
    if type(got) is type(expected) and isinstance(got, (list, tuple)) and "entries" not in problem:
        problem += f"\n    (expected {show(expected)}\n          got {show(got)})"
    for words, value in (causes or {}).items():
        if not _difference(name, got, value)[0]:
            cause = words + "."
            break
    raise CheckFailed(problem, cause)


def _difference(name: str, got: Any, expected: Any) -> tuple[str, str]:
    """What differs first, and the likely cause; ("", "") if nothing does."""
    if got is None and expected is not None:
        return f"{name} is None.", NONE_CAUSE
    if isinstance(expected, dict):
        return _dict_difference(name, got, expected)
    if type(got) is not type(expected):
        return f"{name} must be {kind(expected)}, not {kind(got)}.", type_cause(got, expected)
    if isinstance(expected, (list, tuple)):
        for index, (g, e) in enumerate(zip(got, expected, strict=False)):
            problem, cause = _difference(f"{name}[{index}]", g, e)
            if problem:
                return problem, cause
        if len(got) != len(expected):
            both = f"got {show(got)}, expected {show(expected)}"
            return f"{name} must have {len(expected)} entries, got {len(got)} ({both})", ""
        return "", ""
    if isinstance(expected, _array_type):
        problem, cause = _other_type(name, got, expected, expected)
        if problem or _array_equal(got, expected):
            return problem, cause
        first = tuple(_argwhere(got != expected)[0])
        if _isnan(got[first]):
            cause = NAN_CAUSE
        return f"{at(name, first)}: {pair(expected[first], got[first])}, where equality is exact", cause
    return ("", "") if got == expected else (f"{name}: expected {show(expected)}, got {show(got)}", "")


def _dict_difference(name: str, got: Any, expected: dict[Any, Any]) -> tuple[str, str]:
    if not isinstance(got, dict):  # Counter and defaultdict are dicts, and welcome
        return f"{name} must be a dict, not {kind(got)}.", type_cause(got, expected)
    plain = dict(got)
    keys = {key: key for key in plain}
    for key, value in expected.items():
        if key not in plain:
            return f"{name}[{key!r}] is missing: expected {show(value)}", ""
        for label, mine, right in (
            (f"the key {key!r} of {name}", keys[key], key),
            (f"{name}[{key!r}]", plain[key], value),
        ):
            problem, cause = _difference(label, mine, right)
            if problem:
                return problem, cause
    for key, value in plain.items():
        if key not in expected:
            return f"{name}[{show(key)}] should not be there; it is {show(value)}", ""
    return "", ""


def check_that(condition: bool, message: str, cause: str = "") -> None:
    """Require a property that needs no comparison; `message` says what was seen."""
    if not isinstance(condition, (bool, np.bool_)):
        raise CheckBroken(f"a condition must be true or false, got {condition!r}")
    if not condition:
        raise CheckFailed(message, cause)


def check_raises(name: str, error: type[Exception], function: Callable[..., Any], *args: Any, cause: str = "") -> None:
    """Require that `function(*args)` raises `error`; `name` describes the input.

    >>> check_raises("text", ValueError, int, "seven")
    >>> check_raises("text", ValueError, int, "7", cause="7 is a number.")
    Traceback (most recent call last):
    llm_from_scratch.grading.assertions.CheckFailed: text must raise ValueError; instead it returned 7
    """
    try:
        result = function(*args)
    except error:
        return
    except (NotImplementedError, CheckFailed):
        raise
    except Exception as other:
        message = f"{name} must raise {error.__name__}; it raised {type(other).__name__}: {show(str(other))}"
        raise CheckFailed(message, cause) from other
    raise CheckFailed(f"{name} must raise {error.__name__}; instead it returned {show(result)}", cause)


def check_separate(name: str, result: Any, given: Any, cause: str = "return a copy.") -> None:
    """Require that an array returned does not share memory with one handed in (use with `attempt.raw`)."""
    if result is given or (
        isinstance(result, _array_type) and isinstance(given, _array_type) and _shares_memory(result, given)
    ):
        raise CheckFailed(f"{name} is the very array that was handed in, so changing one changes the other.", cause)
