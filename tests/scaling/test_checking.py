"""Numbers that are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from llm_from_scratch.scaling.checking import finite, number, positive, series


@pytest.mark.parametrize("value", [True, "3", None, 1j, [True], ["a"], {}, np.array(["x"]), object()])
def test_what_is_no_number(value: Any) -> None:
    with pytest.raises(TypeError, match="size must be a number"):
        finite("size", value)


@pytest.mark.parametrize("value", [float("nan"), [1.0, float("inf")], [], -1, [1, 0]])
def test_what_is_not_positive(value: Any) -> None:
    with pytest.raises(ValueError, match="size must"):
        positive("size", value)


def test_what_comes_through() -> None:
    assert finite("x", -3) == -3.0 and isinstance(finite("x", np.float32(2)), float)
    assert positive("x", 0, zero=True) == 0.0 and positive("x", [1, 2]).dtype == np.float64
    assert [array.tolist() for array in series(a=[1, 2], b=(3, 4))] == [[1, 2], [3, 4]]
    with pytest.raises(TypeError, match="one number"):
        number("x", [1.0])
    with pytest.raises(ValueError, match="a and b must be lists of one length"):
        series(a=[1, 2], b=[1])
    given = np.array([1.0, 2.0])
    positive("x", given)[0] = 9  # a copy
    assert given[0] == 1.0
