"""One short file a family, found by being here: it reads a published config into a spec and lists the weights.

A family file defines

    MODEL_TYPES   the `model_type` words of config.json that it answers to; the first is the one written when saving
    ARCHITECTURE  the class name that config.json gives under "architectures"
    DEFAULTS      the published config keys with their published defaults
    spec_from_config(config: Config) -> ModelSpec
    weights_from_config(config: Config) -> WeightTable

and may define

    SIZES         {name: config keys} of the released models, named like "llama-2-70b", "mistral-7b", "falcon-40b"
    ALIASES       {other spelling: key} of config keys that were renamed; read under either, written under the key
    respell       (config) -> config, where an early release said something in a way that ALIASES cannot express
    AS_SAVED      {key: value} that config.json says of any saved model, whatever the model was built with
    FACTS         {name: facts} for the map of the year, only for a release that `zoo/releases.py` does not have
    UNPUBLISHED   {heading of the map: where its word comes from} for what neither paper nor file says; the map marks it

and nothing else is touched: files whose name starts with an underscore are helpers. See `llama.py` for an example.
The map (`zoo`) derives architecture from the spec, so that a family appears in it by being here; what cannot be
derived (month, licence, training tokens, openness of data, tokenizer, descent) stands in `zoo/releases.py`.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType, ModuleType
from typing import Any

from ..models.spec import ModelSpec
from .published.config import Config, current_to_2023
from .published.weights import Row, WeightTable

__all__ = ["Family", "Row", "WeightTable", "all_families", "find_family", "find_release"]


@dataclass(frozen=True)
class Family:
    """What a family file says."""

    name: str
    model_types: tuple[str, ...]
    architecture: str
    defaults: Mapping[str, Any]
    sizes: Mapping[str, Mapping[str, Any]]
    aliases: Mapping[str, str]
    facts: Mapping[str, Mapping[str, Any]]
    respell: Callable[[dict[str, Any]], dict[str, Any]]
    as_saved: Mapping[str, Any]
    unpublished: Mapping[str, str]
    spec_from_config: Callable[[Config], ModelSpec]
    weights_from_config: Callable[[Config], WeightTable]

    def complete(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The config in the spelling of 2023, the family's defaults filled in, and the family's first model_type."""
        own = {"model_type": self.model_types[0], "architectures": [self.architecture]}
        # A file saved from the bare body names another class, an early release another type.
        return {**own, **self.defaults, **self._respelled(self.respell(current_to_2023(config))), **own}

    def _respelled(self, config: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in config.items():
            key = self.aliases.get(name, name)
            if key in found and found[key] != value and None not in (found[key], value):
                raise ValueError(f"{self.name} config: {key} is there twice, as {found[key]!r} and as {value!r}")
            found[key] = found.get(key) if value is None else value
        return found

    def spec(self, config: Mapping[str, Any]) -> ModelSpec:
        """The spec a config describes; ValueError or TypeError naming the option that is wrong or not supported."""
        options = Config(self.complete(config), self.name)
        spec = self.spec_from_config(options)
        options.finish()
        return spec

    def weights(self, config: Mapping[str, Any]) -> WeightTable:
        """The weight table of a config."""
        return self.weights_from_config(Config(self.complete(config), self.name))


@functools.cache
def all_families() -> Mapping[str, Family]:
    """Every family in this directory, by its file's name."""
    names = sorted(
        module.name for module in pkgutil.iter_modules(__path__) if not (module.ispkg or module.name[0] == "_")
    )
    families = {name: _family(importlib.import_module(f"{__name__}.{name}")) for name in names}
    owners: dict[str, str] = {}
    for name, family in families.items():
        for word in (*family.model_types, *family.sizes):
            if owners.setdefault(word, name) != name:
                raise ValueError(f"the families {owners[word]} and {name} both claim the name {word!r}")
    return MappingProxyType(families)


def find_family(model_type: Any) -> Family:
    """The family that answers to a `model_type`; ValueError listing the known ones."""
    for family in all_families().values():
        if model_type in family.model_types:
            return family
    known = sorted(word for family in all_families().values() for word in family.model_types)
    raise ValueError(f"model_type {model_type!r} is not a family known here; known: {', '.join(known)}")


def find_release(name: Any) -> tuple[Family, dict[str, Any]]:
    """The family and the config keys of a released size, or of a model_type with its defaults; ValueError lists all.

    >>> family, config = find_release("pythia-1b")
    >>> family.name, config["hidden_size"]
    ('gpt_neox', 2048)
    """
    names: list[str] = []
    for family in all_families().values():
        if name in family.model_types:
            return family, {"model_type": name}
        if name in family.sizes:
            return family, dict(family.sizes[name])
        names += [*family.model_types, *family.sizes]
    raise ValueError(f"no model is called {name!r}; known: {', '.join(dict.fromkeys(names))}")


def _family(module: ModuleType) -> Family:
    name = module.__name__.rpartition(".")[2]
    needed = ("MODEL_TYPES", "ARCHITECTURE", "DEFAULTS", "spec_from_config", "weights_from_config")
    missing = [attribute for attribute in needed if not hasattr(module, attribute)]
    if missing:
        raise ValueError(f"the family file {name}.py does not define {', '.join(missing)}")
    types, architecture, defaults, spec, weights = (getattr(module, attribute) for attribute in needed)
    sizes, aliases, facts = (getattr(module, attribute, {}) for attribute in ("SIZES", "ALIASES", "FACTS"))
    respell = getattr(module, "respell", dict)
    as_saved, unpublished = (getattr(module, attribute, {}) for attribute in ("AS_SAVED", "UNPUBLISHED"))
    return Family(
        name, tuple(types), architecture, defaults, sizes, aliases, facts, respell, as_saved, unpublished, spec, weights
    )
