"""Our own layout, for a model that no published family describes: `spec.json`, and safetensors under our own names.

A spec is dataclasses within dataclasses, and so is its JSON: {"kind": "module:Class", "fields": {…}}, a tuple as a
list, other lists and dictionaries marked as such. A file imports nothing: a class of one's own has to be imported
(or defined) by whoever reads it, and a class is found only if it is a dataclass.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import models
from ..families import find_family
from ..families.published.weights import Row, WeightTable
from ..files.strict_json import json_entry, read_json_object
from ..models.spec import ModelSpec

SPEC = "spec.json"
FORMAT = "llm_from_scratch spec 1"
_PLAIN = (type(None), bool, int, str)


def encode(value: Any, where: str = "spec") -> Any:
    """A spec as JSON can hold it; ValueError naming the field that it cannot.

    >>> from llm_from_scratch.layers import NormSpec
    >>> encode((NormSpec(8, "rms"), 0.5))[0]["kind"], encode(float("inf"))
    ('llm_from_scratch.layers:NormSpec', {'kind': 'float', 'value': 'inf'})
    """
    value = value.item() if isinstance(value, np.generic) else value
    if type(value) in _PLAIN:
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"kind": "float", "value": str(value)}
    if type(value) in (tuple, list):
        items = [encode(item, f"{where}[{number}]") for number, item in enumerate(value)]
        return items if type(value) is tuple else {"kind": "list", "items": items}
    if isinstance(value, Mapping) and all(type(key) is str for key in value):
        return {"kind": "dict", "items": {key: encode(item, f"{where}[{key!r}]") for key, item in value.items()}}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
        encoded = {name: encode(item, f"{where}.{name}") for name, item in fields.items()}
        return {"kind": _kind(type(value), where), "fields": encoded}
    raise ValueError(
        f"{where} is a {type(value).__name__}, which {SPEC} cannot hold: it holds dataclasses, numbers, text, None, "
        "and tuples, lists and dictionaries of these"
    )


def decode(data: Any, where: str = "spec") -> Any:
    """The spec again, made by calling its classes; ValueError for what they, or this layout, do not know."""
    if type(data) in (*_PLAIN, float):
        return data
    if isinstance(data, list):
        return tuple(decode(item, f"{where}[{number}]") for number, item in enumerate(data))
    kind = json_entry(data, "kind", "text", where)
    if kind == "float":
        return float(json_entry(data, "value", "text", where))
    if kind == "list":
        return list(decode(data.get("items", []), where))
    if kind == "dict":
        items = json_entry(data, "items", "an object", where)
        return {key: decode(item, f"{where}[{key!r}]") for key, item in items.items()}
    cls = _class(kind, where)
    fields = json_entry(data, "fields", "an object", where)
    unknown = sorted(fields.keys() - {f.name for f in dataclasses.fields(cls) if f.init})
    if unknown:
        raise ValueError(f"{where}: {cls.__name__} has no field {unknown[0]!r}")
    values = {name: decode(item, f"{where}.{name}") for name, item in fields.items()}
    try:
        return cls(**values)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: {error}") from None


def describe(spec: ModelSpec) -> dict[str, Any]:
    """What `spec.json` says of a spec; ValueError where it would not be read as what it is."""
    encoded = encode(spec)
    if encode(decode(encoded)) != encoded:
        raise ValueError(f"the spec changes when its classes are called again with its fields: {SPEC} cannot hold it")
    return {"format": FORMAT, "spec": encoded}


class Description(NamedTuple):
    """What our own weights in a directory are, and the file that says so; quantization: see `checkpoints.quantized`."""

    path: Path
    spec: ModelSpec
    config: dict[str, Any]
    generation_config: dict[str, Any]
    quantization: dict[str, Any]


def read_description(directory: Path) -> Description | None:
    """What a directory says of weights under our own names.

    That is `spec.json`, or the state of a training run's checkpoint, of whatever family the model is; None where there
    is neither. ValueError naming the file for what is damaged or not known.
    """
    path, state = directory / SPEC, directory / "state.json"
    if path.exists():
        content = read_json_object(path)
    elif state.exists() and not (directory / "config.json").exists():  # earlier checkpoints had one
        path, content = state, json_entry(read_json_object(state), "model", "an object", state)
    else:
        return None
    try:
        more = {
            key: json_entry(content, key, "an object", "what it says of the model") if key in content else {}
            for key in ("config", "generation_config", "quantization")
        }
        if path != state and content.get("format") != FORMAT:
            raise ValueError(f"'format' must be {FORMAT!r}, got {content.get('format')!r}")
        if "spec" not in content and (path == state or more["quantization"]):
            return Description(path, find_family(more["config"].get("model_type")).spec(more["config"]), **more)
        if content.get("format") != FORMAT:
            raise ValueError(f"'format' must be {FORMAT!r}, got {content.get('format')!r}")
        spec = decode(content.get("spec"))
        if not isinstance(spec, ModelSpec):
            raise ValueError(f"a ModelSpec was expected, 'spec' is a {type(spec).__name__}")
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path}: {error}") from None
    return Description(path, spec, **more)


def placeholder(spec: ModelSpec) -> models.Decoder:
    """The model without its weights; ValueError where a class of one's own cannot be built so."""
    try:
        return models.Decoder(spec)
    except Exception as error:
        raise ValueError(
            f"the model cannot be built without a generator ({type(error).__name__}: {error}): the build(rng) of a "
            "spec must leave placeholders when rng is None, as layers.module.parameter does"
        ) from error


def table_of(names: Iterable[str]) -> WeightTable:
    """Every parameter under its own name."""
    return WeightTable(tuple(Row(name, name) for name in names))


def _kind(cls: type, where: str) -> str:
    """ "module:Class", by the shortest path: our own files may move within a room without anybody noticing."""
    if "<locals>" in cls.__qualname__:
        raise ValueError(
            f"{where}: the class {cls.__name__} is defined inside a function, where no file can name it; move it to "
            "the top level of its module"
        )
    parts = cls.__module__.split(".")
    for length in range(1, len(parts)):
        module = ".".join(parts[:length])
        if module in sys.modules and vars(sys.modules[module]).get(cls.__qualname__) is cls:
            return f"{module}:{cls.__qualname__}"
    return f"{cls.__module__}:{cls.__qualname__}"


def _class(kind: str, where: str) -> type:
    """The dataclass of that name among the modules that are imported already."""
    name, _, path = kind.partition(":")
    found: Any = sys.modules.get(name)
    if found is None:
        raise ValueError(f"{where}: the class {path} of the module {name} is not known here: import {name} first")
    for part in path.split("."):
        found = vars(found).get(part) if isinstance(found, type) or found is sys.modules[name] else None
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        hint = "define or import it in the program that reads" if name == "__main__" else "was it renamed or moved?"
        raise ValueError(f"{where}: the module {name} has no dataclass {path}: {hint}")
    return found


def to_text(content: Any) -> str:
    """As it is written to a file."""
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
