"""Numbers as people write them."""

from __future__ import annotations

import pytest

from llm_from_scratch.scaling.quantities import in_bytes, in_letters, parse_quantity


@pytest.mark.parametrize(
    "text, value",
    [
        ("1e21", 1e21),
        ("5.76E+23", 5.76e23),
        ("300B", 3e11),
        (" 1.4 t", 1.4e12),
        ("70_000", 7e4),
        ("1,000k", 1e6),
        ("1,234,567.5", 1234567.5),
        ("7g", 7e9),
    ],
)
def test_what_is_understood(text: str, value: float) -> None:
    assert parse_quantity(text) == pytest.approx(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "B",
        "-1",
        "1e",
        "nan",
        "inf",
        "seven",
        "1.2.3",
        "3X",
        "1e999",
        "0",
        "0B",
        "1e21 1e22",
        "1,5e21",
        "1,4T",
        "10,00",
        "1000,000",
        "1,000,00",
        ",5",
    ],
)
def test_what_is_not(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number such as|must be more than 0"):
        parse_quantity(text)


def test_a_comma_for_a_point_is_told() -> None:
    """Read as a separator of thousands it would be a budget ten times as large."""
    with pytest.raises(ValueError, match=r"'1,5e21' is not a number .*did you mean 1.5e21\?"):
        parse_quantity("1,5e21")


@pytest.mark.parametrize("text", ["-1", "-1e21", "-300B", "0", "1e999"])
def test_a_number_is_not_called_none_for_its_sign_or_size(text: str) -> None:
    with pytest.raises(ValueError, match=f"{text} must be more than 0 and finite"):
        parse_quantity(text)


@pytest.mark.parametrize("value", [1.0, 512.0, 999.6, 1e3, 6.74e9, 999.9e9, 1e12, 3.3e14])
def test_letters_are_read_back(value: float) -> None:
    assert parse_quantity(in_letters(value)) == pytest.approx(value, rel=5e-3)
    assert in_bytes(value).split()[1] in ("bytes", "kB", "MB", "GB", "TB")
