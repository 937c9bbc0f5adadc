"""What a recipe's settings are for one tensor: numbers, gradients over the layers, and filters by name.

    0.5                                                     everywhere [0.0, 0.5, 1.0]
    a gradient: 0 in the first layer, 1 in the last, linear between [{filter: self_attn, value: 0.3}, {value: 0.7}]
    the first whose filter is a part of the tensor's name {value: [1, 0]}                                         the
    same as its value

Outside of the layers (embedding, last norm, head) a gradient is at its beginning, as mergekit has it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

_FILTER = {"filter", "value"}


def check_setting(where: str, setting: Any) -> None:
    """ValueError for a setting that is none of the forms above.

    >>> check_setting("density", [{"fliter": "mlp", "value": 1}])
    Traceback (most recent call last):
    ValueError: density: a choice by name has the keys filter and value, not 'fliter'
    """
    items = setting if isinstance(setting, list) else [setting]
    choices = [isinstance(item, Mapping) for item in items]
    if not items or (any(choices) and not all(choices)):
        raise ValueError(f"{where}: a number, a list of numbers, or a list of filters with values was expected")
    for item in items:
        if isinstance(item, Mapping):
            unknown = [key for key in item if key not in _FILTER]
            if unknown:
                raise ValueError(f"{where}: a choice by name has the keys filter and value, not {unknown[0]!r}")
            if "value" not in item or isinstance(item["value"], Mapping):
                raise ValueError(f"{where}: a choice by name needs a value, a number or a list of numbers")
            if not isinstance(item.get("filter"), (str, type(None))):
                raise ValueError(f"{where}: a filter is a part of tensors' names, not {item['filter']!r}")
            check_setting(where, item["value"])
        elif not isinstance(item, (bool, int, float, str)):
            raise ValueError(f"{where}: {item!r} is no value of a setting")


def value_at(setting: Any, name: str, t: float, kind: type) -> Any:
    """The setting of tensor `name`, at t (0 first layer, 1 last) of a gradient; None where no filter fits.

    kind: float, bool or str. ValueError for a value that is not of that kind.

    >>> value_at([{"filter": "mlp", "value": [0, 1]}, {"value": "1e-2"}], "layers.3.mlp.up", 0.25, float)
    0.25
    """
    if isinstance(setting, Mapping):
        setting = [setting]
    if not isinstance(setting, list):
        return _converted(setting, kind)
    if isinstance(setting[0], Mapping):
        for choice in setting:
            part = choice.get("filter")
            if part in (None, "*") or part in name:
                return value_at(choice["value"], name, t, kind)
        return None
    values = [_converted(value, kind) for value in setting]
    if kind is not float:
        return values[int(t * (len(values) - 1))]
    place = t * (len(values) - 1)
    left = min(int(place), len(values) - 1)
    right = min(left + 1, len(values) - 1)
    return (1 - (place - left)) * values[left] + (place - left) * values[right]


def filters(settings: Iterable[Any]) -> set[str]:
    """The filters that settings name."""
    found = set()
    for setting in settings:
        for choice in setting if isinstance(setting, list) else [setting]:
            if isinstance(choice, Mapping) and choice.get("filter") not in (None, "*"):
                found.add(choice["filter"])
    return found


def _converted(value: Any, kind: type) -> Any:
    if kind is float and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            number = float(value)  # YAML reads 1e-3 as text
        except ValueError:
            number = math.nan
        if math.isfinite(number):
            return number
    elif isinstance(value, kind):
        return value
    elif kind is bool and value in (0, 1):
        return bool(value)
    elif kind is str and isinstance(value, bool):
        return str(value).lower()
    raise ValueError(f"{value!r} is no {({float: 'finite number', bool: 'true or false', str: 'text'})[kind]}")
