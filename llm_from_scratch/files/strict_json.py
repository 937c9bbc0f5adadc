"""JSON from files of unknown origin, held to the standard: checkpoints' headers, indexes and configs."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def strict_json(text: bytes) -> Any:
    """JSON as the standard has it: UTF-8, no key twice, no NaN, no integer of thousands of digits.

    Raises ValueError for anything else (RecursionError for thousands of nested brackets).

    >>> strict_json(b'{"a": 1, "a": 2}')
    Traceback (most recent call last):
    ValueError: 'a' occurs twice
    """

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in found:
            if key in result:
                raise ValueError(f"{key!r} occurs twice")
            result[key] = value
        return result

    def integer(digits: str) -> int:
        if len(digits) > 40:
            raise ValueError(f"an integer of {len(digits)} digits")
        return int(digits)

    def constant(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    return json.loads(text.decode("utf-8"), object_pairs_hook=pairs, parse_constant=constant, parse_int=integer)


def finite_json(value: Any) -> Any:
    """The same with null in place of what JSON has no number for, and lists for tuples.

    >>> finite_json({"loss": math.nan, "seen": (1, 2.5)})
    {'loss': None, 'seen': [1, 2.5]}
    """
    if isinstance(value, dict):
        return {name: finite_json(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite_json(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_json_object(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The JSON object in a file; ValueError naming the file when it holds anything else."""
    path = Path(path)
    try:
        content = strict_json(path.read_bytes())
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise ValueError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a JSON {type(content).__name__}, an object was expected")
    return content


_KINDS: dict[str, tuple[type, ...]] = {
    "an object": (dict,), "text": (str,), "a whole number": (int,), "a number": (int, float),
    "a number or null": (int, float, type(None)),
}  # fmt: skip


def json_entry(content: Mapping[str, Any], key: str, kind: str, where: object, least: float | None = None) -> Any:
    """`content[key]`, which must be of this kind; ValueError naming `where` and the key for anything else.

    >>> json_entry({"step": 3, "loss": "low"}, "step", "a whole number", "state.json", least=0)
    3
    >>> json_entry({"step": 3, "loss": "low"}, "loss", "a number", "state.json")
    Traceback (most recent call last):
    ValueError: state.json: 'loss' must be a number, got 'low'
    """
    if key not in content:
        raise ValueError(f"{where}: {key!r} is missing ({kind} was expected)")
    value = content[key]
    fits = isinstance(value, _KINDS[kind]) and not isinstance(value, bool)
    if fits and isinstance(value, float):
        fits = math.isfinite(value)  # 1e400 is JSON
    if not fits or (least is not None and value is not None and value < least):
        wanted = kind if least is None else f"{kind} of at least {least}"
        raise ValueError(f"{where}: {key!r} must be {wanted}, got {repr(value)[:80]}")
    return value
