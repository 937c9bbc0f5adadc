"""Recipes as mergekit made them the custom, a YAML file: what is merged, how, and with which settings where.

    merge_method: ties                   or slices, in place of models:
    base_model: path/to/base             slices:
    models:                                - sources:
      - model: path/to/poet                    - model: path/to/base
        parameters: {density: 0.5,               layer_range: [0, 24]
                     weight: 1.0}          - sources: …
    parameters: {normalize: true}
    dtype: bfloat16

A setting is looked for beside the model, then in its slice, then in the recipe. This module reads and checks the form;
`methods` knows which settings a method has, `running` looks at the models.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .recipe_values import check_setting

DTYPES = ("float16", "bfloat16", "float32", "float64")
_KEYS = (
    "merge_method", "models", "slices", "base_model", "parameters", "dtype", "out_dtype", "tokenizer_source",
)  # fmt: skip
_ELSEWHERE = ("modules", "tokenizer", "chat_template", "name")  # mergekit has these


@dataclass(frozen=True)
class Source:
    """A model and its layers [start, stop) (None: all), with settings of its own."""

    model: str
    layers: tuple[int, int] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Slice:
    """Sources that become layers of the result together."""

    sources: tuple[Source, ...]
    base: str | None
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """A recipe as it is written. text: the file's content; folder: where it stands."""

    method: str
    slices: tuple[Slice, ...]
    base: str | None
    parameters: Mapping[str, Any]
    dtype: str | None
    tokenizer_source: str | None
    text: str
    folder: Path

    def models(self) -> list[str]:
        """All that it names, each once: the base first."""
        named = [source.model for part in self.slices for source in part.sources]
        bases = [self.base, *(part.base for part in self.slices)]
        return list(dict.fromkeys([*(base for base in bases if base), *named]))

    def settings(self) -> Iterable[tuple[str, Mapping[str, Any], bool]]:
        """All its settings, with where they stand, and whether beside a model."""
        yield "parameters", self.parameters, False
        for part in self.slices:
            yield "a slice's parameters", part.parameters, False
            for source in part.sources:
                yield f"parameters of {source.model}", source.parameters, True


def read_recipe(path: Any) -> Recipe:
    """The recipe in a YAML file. Raises FileNotFoundError, or ValueError saying where its form is wrong."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no recipe at {path}: a YAML file with merge_method and models was expected")
    text = path.read_text(encoding="utf-8")
    try:
        content = yaml.load(text, _Loader)
        return _recipe(content, text, path.parent)
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from None


def _recipe(content: Any, text: str, folder: Path) -> Recipe:
    _check_keys("a recipe", content, _KEYS)
    method = _text("merge_method", content.get("merge_method"))
    base = None if content.get("base_model") is None else _text("base_model", content["base_model"])
    if ("models" in content) == ("slices" in content):
        raise ValueError("either models or slices say what is merged: give one of them")
    if "models" in content:
        entries = [_source(f"models[{k}]", entry, False) for k, entry in _entries("models", content["models"])]
        if base and base not in [entry.model for entry in entries]:
            entries.append(Source(base))
        slices = [Slice(tuple(entries), base)]
    else:
        slices = [_slice(f"slices[{k}]", entry, base) for k, entry in _entries("slices", content["slices"])]
    for part in slices:
        names = [source.model for source in part.sources]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"{twice[0]} is there twice among what is merged with each other")
    dtypes = [content[key] for key in ("out_dtype", "dtype") if content.get(key) is not None]
    if any(dtype not in DTYPES for dtype in dtypes):
        raise ValueError(f"dtype is one of {', '.join(DTYPES)}, not {next(d for d in dtypes if d not in DTYPES)!r}")
    tokenizer = content.get("tokenizer_source")
    return Recipe(
        method, tuple(slices), base, _parameters("parameters", content.get("parameters")), next(iter(dtypes), None),
        None if tokenizer is None else _text("tokenizer_source", tokenizer), text, folder,
    )  # fmt: skip


def _slice(where: str, entry: Any, base: str | None) -> Slice:
    _check_keys(where, entry, ("sources", "base_model", "parameters"))
    sources = [_source(f"{where}.sources[{k}]", item, True) for k, item in _entries("sources", entry.get("sources"))]
    lengths = [stop - start for start, stop in (source.layers or (0, 0) for source in sources)]
    if len(set(lengths)) > 1:
        raise ValueError(f"{where}: the sources of a slice give equally many layers, not {lengths}")
    own = entry.get("base_model", base)
    return Slice(tuple(sources), own, _parameters(f"{where}.parameters", entry.get("parameters")))


def _source(where: str, entry: Any, sliced: bool) -> Source:
    _check_keys(where, entry, ("model", "layer_range", "parameters") if sliced else ("model", "parameters"))
    layers = entry.get("layer_range")
    if sliced:
        counts = isinstance(layers, list) and len(layers) == 2 and all(type(number) is int for number in layers)
        if not counts or not 0 <= layers[0] < layers[1]:
            raise ValueError(f"{where}: layer_range is [first, behind the last], such as [0, 24]; got {layers!r}")
    name = _text(f"{where}: model", entry.get("model"))
    return Source(name, tuple(layers) if sliced else None, _parameters(where, entry.get("parameters")))


def _parameters(where: str, content: Any) -> dict[str, Any]:
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ValueError(f"{where}: parameters are names with values, not {content!r}")
    for name, setting in content.items():
        check_setting(f"{where}: {name}", setting)
    return content


def _entries(what: str, content: Any) -> Iterable[tuple[int, Any]]:
    if not isinstance(content, list) or not content:
        raise ValueError(f"{what}: a list of at least one entry was expected, got {content!r}")
    return enumerate(content)


def _check_keys(where: str, content: Any, known: tuple[str, ...]) -> None:
    if not isinstance(content, dict):
        raise ValueError(f"{where} consists of keys with values ({', '.join(known)}), not of {str(content)[:80]!r}")
    for key in content:
        if key in known:
            continue
        near = difflib.get_close_matches(str(key), known, n=1)
        hint = f", did you mean {near[0]!r}?" if near else ""
        hint = " (mergekit's, but not read here)" if key in _ELSEWHERE else hint
        raise ValueError(f"{where}: the key {key!r} is not known{hint}; there are {', '.join(known)}")


def _text(what: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{what} must be given, as text; got {value!r}")
    return value


class _Loader(yaml.SafeLoader):
    """YAML without code in it, and without a key that stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = [key for key in keys if keys.count(key) > 1 and key != "<<"]
        if twice:
            raise ValueError(f"the key {twice[0]!r} stands twice in line {node.start_mark.line + 1} and below")
        return super().construct_mapping(node, deep)
