"""The comparisons that checks are written with: each says what differs, where first, and probably why.

They are strict about type, shape and dtype, and strict with the check itself: an expected array that is all
but zero, or not finite, raises `CheckBroken`, because wrong work would pass it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

# Bound before a learner's file is loaded, so that replacing numpy.allclose changes nothing here.
_abs, _argwhere, _asarray, _isfinite, _float64 = np.abs, np.argwhere, np.asarray, np.isfinite, np.float64
_array_equal, _array_type, _scalar_type, _sort = np.array_equal, np.ndarray, np.generic, np.sort
_errstate, _shares_memory = np.errstate, np.shares_memory

NONE_CAUSE = "is there a `return` at the end of the function?"
NON_FINITE_CAUSE = "0 / 0, an overflow, or the root or logarithm of a negative number made it non-finite."


class CheckFailed(AssertionError):
    """A learner's answer is wrong: what was seen, and the likely cause if one is known."""

    def __init__(self, message: str, cause: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cause = cause


class CheckBroken(Exception):
    """The check has no power, whatever the learner does: a fault of its author."""


def show(value: Any, limit: int = 100) -> str:
    """A value on one short line.

    >>> show(np.float32(0.1)), show([1, 2]), show("x" * 200, limit=20)
    ('0.1', '[1, 2]', "'xxxxxxxxxx ...xxxx'")
    """
    if isinstance(value, (float, np.floating)):
        return f"{float(value):.7g}"
    try:
        text = " ".join(repr(value).split())
    except Exception as error:  # a learner's own class may have a broken __repr__
        text = f"<{type(value).__name__} whose repr fails: {type(error).__name__}>"
    return text if len(text) <= limit else text[: limit - 9] + " ..." + text[-5:]


def _kind(value: Any) -> str:
    if type(value) is _array_type:
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _pair(expected: Any, got: Any) -> str:
    left, right = show(expected), show(got)
    if left == right:  # the difference hides behind the rounding
        left, right = repr(float(expected)), repr(float(got))
    return f"expected {left}, got {right}"


def _index(index: Any) -> str:
    return "" if len(index) == 0 else "[" + ", ".join(str(int(i)) for i in index) + "]"


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
    _same_type(name, got, expected, want)
    have = _asarray(got)
    with _errstate(all="ignore"):
        close = _abs(have.astype(_float64) - want.astype(_float64)) <= tolerance
    if close.all():
        return
    wrong = _argwhere(~close)
    first = tuple(wrong[0])
    message = f"{name}{_index(first)}: {_pair(want[first], have[first])}"
    if want.ndim:
        message += f" (first of {len(wrong)} wrong values out of {want.size})"
    raise CheckFailed(message, _likely_cause(have, want, tolerance, causes or {}))


def _same_type(name: str, got: Any, expected: Any, want: Any) -> None:
    if got is None:
        raise CheckFailed(f"{name} is None.", NONE_CAUSE)
    if isinstance(expected, _array_type):
        # NumPy's own reductions hand back a scalar where a 0-d array is meant, so both will do
        if type(got) is not _array_type and not (want.ndim == 0 and isinstance(got, _scalar_type)):
            raise CheckFailed(f"{name} must be a numpy array, not {_kind(got)}.", "wrap it in np.array(...)?")
        if got.shape != want.shape:
            cause = ""
            if sorted(got.shape) == sorted(want.shape):
                cause = "the axes are in another order."
            elif got.size == want.size:
                cause = "an axis of length 1 was lost or added: keepdims=True, or reshape?"
            raise CheckFailed(f"{name} must have shape {want.shape}, got {got.shape}.", cause)
        if got.dtype != want.dtype:
            raise CheckFailed(f"{name} must have dtype {want.dtype}, got {got.dtype}.", _dtype_cause(got, want))
    elif isinstance(got, bool) or not isinstance(got, (float, np.floating, int)):
        raise CheckFailed(f"{name} must be a number, not {_kind(got)}.", "wrap it in float(...)?")


def _dtype_cause(got: Any, want: Any) -> str:
    if want.dtype == np.float32 and got.dtype == np.float64:
        return (
            "a float64 array or NumPy scalar crept into the arithmetic (np.sqrt(2.0) and np.zeros(n) are "
            "float64; a plain Python float does no harm)."
        )
    if want.dtype.kind == "f" and got.dtype.kind in "iu":
        return "an integer array cannot hold fractions: convert it to float first."
    return ""


def _likely_cause(have: Any, want: Any, tolerance: float, causes: Mapping[str, Any]) -> str:
    def matches(other: Any, within: float = tolerance) -> bool:
        other = _asarray(other)
        with _errstate(all="ignore"):
            return other.shape == have.shape and bool((_abs(have - other) <= within).all())

    for words, value in causes.items():
        # it need not fit to the last digit, only far better than it fits the right answer
        if _asarray(value).shape == want.shape and matches(value, max(tolerance, 0.01 * _abs(value - want).max())):
            return words + "."
    if not _isfinite(have).all():
        return NON_FINITE_CAUSE
    if matches(np.zeros_like(want)):
        return "the answer is zero everywhere."
    if matches(-want):
        return "the sign is flipped."
    ratio = float(have.flat[_abs(want).argmax()]) / float(want.flat[_abs(want).argmax()])
    if want.size > 1 and abs(ratio) > 1e-3 and matches(ratio * want):
        return f"every value is {ratio:.4g} times the right one: a missing or surplus factor?"
    if want.ndim >= 2 and want.shape[-1] == want.shape[-2] and matches(want.swapaxes(-1, -2)):
        return "the answer is transposed."
    if want.size > 1 and _abs(_sort(have, axis=None) - _sort(want, axis=None)).max() <= tolerance:
        return "the values are right but stand in another order."
    return ""


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
        return f"{name} must be {_kind(expected)}, not {_kind(got)}.", _type_cause(got, expected)
    if isinstance(expected, (list, tuple)):
        for index, (g, e) in enumerate(zip(got, expected, strict=False)):
            problem, cause = _difference(f"{name}[{index}]", g, e)
            if problem:
                return problem, cause
        if len(got) != len(expected):
            at = f"got {show(got)}, expected {show(expected)}"
            return f"{name} must have {len(expected)} entries, got {len(got)} ({at})", ""
        return "", ""
    if isinstance(expected, _array_type):
        _same_type(name, got, expected, expected)
        if _array_equal(got, expected):
            return "", ""
        first = tuple(_argwhere(got != expected)[0])
        cause = "" if _isfinite(got).all() else NON_FINITE_CAUSE
        return f"{name}{_index(first)}: {_pair(expected[first], got[first])}, where equality is exact", cause
    return ("", "") if got == expected else (f"{name}: expected {show(expected)}, got {show(got)}", "")


def _dict_difference(name: str, got: Any, expected: dict[Any, Any]) -> tuple[str, str]:
    if not isinstance(got, dict):  # Counter and defaultdict are dicts, and welcome
        return f"{name} must be a dict, not {_kind(got)}.", _type_cause(got, expected)
    plain = dict(got)
    for key, value in expected.items():
        if key not in plain:
            return f"{name}[{key!r}] is missing: expected {show(value)}", ""
        problem, cause = _difference(f"{name}[{key!r}]", plain[key], value)
        if problem:
            return problem, cause
    for key, value in plain.items():
        if key not in expected:
            return f"{name}[{show(key)}] should not be there; it is {show(value)}", ""
    return "", ""


def _type_cause(got: Any, expected: Any) -> str:
    if isinstance(got, _scalar_type) and isinstance(expected, (int, float)):
        return f"a NumPy number stands where a Python one belongs: {type(expected).__name__}(...)."
    if isinstance(expected, list) and hasattr(got, "__iter__"):
        return "wrap it in list(...)."
    return ""


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
    except NotImplementedError:
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
