"""One short file a family, found by being here: it reads a published config into a spec and lists the weights.

A family file defines

    MODEL_TYPES   the `model_type` words of config.json that it answers to; the first is the one written when saving
    ARCHITECTURE  the class name that config.json gives under "architectures"
    DEFAULTS      the published config keys with their published defaults
    spec_from_config(config: Config) -> ModelSpec
    weights_from_config(config: Config) -> WeightTable

and may define

    SIZES         {name: config keys} of the released models, named like "llama-2-70b", "mistral-7b", "falcon-40b"
    SIZE_KEYS     {size: config key} where they are not those of `published/sizes.py`, such as {"layers": "n_layer"}
    resized       (config, sizes) -> config keys that follow when a released model is made small, beyond those of sizes
    from_scratch  (sizes) -> config keys that a small model trained from nothing should have otherwise than the released
    ALIASES       {other spelling: key} of config keys that were renamed; read under either, written under the key
    respell       (config) -> config, where an early release said something in a way that ALIASES cannot express
    AS_SAVED      {key: value} that config.json says of any saved model, whatever the model was built with
    FACTS         {name: facts} for the map of the year, only for a release that `zoo/releases.py` does not have
    UNPUBLISHED   {heading of the map: where its word comes from} for what neither paper nor file says; the map marks it

and nothing else is touched: files whose name starts with an underscore are helpers. See `llama.py` for an example. A
file of your own need not lie here: see `register`.
The map (`zoo`) derives architecture from the spec, so that a family appears in it by being here; what cannot be
derived (month, licence, training tokens, openness of data, tokenizer, descent) stands in `zoo/releases.py`.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from ..models.spec import ModelSpec
from .published.config import Config, current_to_2023
from .published.sizes import USUAL_KEYS
from .published.weights import Row, WeightTable

__all__ = ["Family", "Row", "WeightTable", "all_families", "find_family", "find_release", "forget", "register"]

VARIABLE = "LLM_FROM_SCRATCH_FAMILIES"
_registered: dict[Path, None] = {}  # in order


@dataclass(frozen=True)
class Family:
    """What a family file says. size_keys: the config key of every size that the family has."""

    name: str
    model_types: tuple[str, ...]
    architecture: str
    defaults: Mapping[str, Any]
    spec_from_config: Callable[[Config], ModelSpec]
    weights_from_config: Callable[[Config], WeightTable]
    size_keys: Mapping[str, str]
    sizes: Mapping[str, Mapping[str, Any]]
    aliases: Mapping[str, str]
    as_saved: Mapping[str, Any]
    facts: Mapping[str, Mapping[str, Any]]
    unpublished: Mapping[str, str]
    respell: Callable[[dict[str, Any]], dict[str, Any]]
    resized: Callable[[Mapping[str, Any], Mapping[str, int]], dict[str, Any]]
    from_scratch: Callable[[Mapping[str, int]], dict[str, Any]]

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
    """Every family by its file's name: those of this directory, and your own (see `register`)."""
    names = sorted(
        module.name for module in pkgutil.iter_modules(__path__) if not (module.ispkg or module.name[0] == "_")
    )
    modules = {name: importlib.import_module(f"{__name__}.{name}") for name in names}
    for path in (*map(Path, filter(None, os.environ.get(VARIABLE, "").split(os.pathsep))), *_registered):
        if path.stem in modules:
            raise ValueError(f"there is a family file {path.stem}.py already: {path} needs another name")
        modules[path.stem] = _imported(path)
    families = {name: _family(module) for name, module in modules.items()}
    owners: dict[str, str] = {}
    for name, family in families.items():
        for word in (*family.model_types, *family.sizes):
            if owners.setdefault(word, name) != name:
                raise ValueError(f"the families {owners[word]} and {name} both claim the name {word!r}")
    return MappingProxyType(families)


def register(path: str | os.PathLike[str]) -> Family:
    """Add a family file of your own, wherever it lies; it may import its neighbours as the files here do.

    For the commands, name it in the environment: LLM_FROM_SCRATCH_FAMILIES=olmo.py (several as in PATH). Registered
    again, a file is read again. Raises ValueError, TypeError or whatever the file itself raises; then it is not added.
    """
    added = Path(path).resolve()
    _registered[added] = None
    all_families.cache_clear()
    try:
        return all_families()[added.stem]
    except BaseException:
        forget(path)
        raise


def forget(path: str | os.PathLike[str]) -> None:
    """Take a registered file back."""
    _registered.pop(Path(path).resolve(), None)
    all_families.cache_clear()


def _imported(path: Path) -> ModuleType:
    if path.suffix != ".py" or not path.stem.isidentifier() or not path.is_file():
        raise ValueError(f"{path} is not a family file: expected one that exists, named like olmo.py")
    name = f"{__name__}.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # it ends in .py
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


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
    return Family(
        name=name,
        model_types=tuple(module.MODEL_TYPES),
        architecture=module.ARCHITECTURE,
        defaults=module.DEFAULTS,
        spec_from_config=module.spec_from_config,
        weights_from_config=module.weights_from_config,
        size_keys=_size_keys(name, module.DEFAULTS, getattr(module, "SIZE_KEYS", {})),
        sizes=getattr(module, "SIZES", {}),
        aliases=getattr(module, "ALIASES", {}),
        as_saved=getattr(module, "AS_SAVED", {}),
        facts=getattr(module, "FACTS", {}),
        unpublished=getattr(module, "UNPUBLISHED", {}),
        respell=getattr(module, "respell", dict),
        resized=getattr(module, "resized", lambda config, sizes: {}),
        from_scratch=getattr(module, "from_scratch", lambda sizes: {}),
    )


def _size_keys(name: str, defaults: Mapping[str, Any], own: Mapping[str, str]) -> dict[str, str]:
    for size, key in own.items():
        if size not in USUAL_KEYS:
            raise ValueError(f"{name}.py: SIZE_KEYS has {size!r}; sizes are {', '.join(USUAL_KEYS)}")
        if key not in defaults:
            raise ValueError(f"{name}.py: SIZE_KEYS calls {size} {key!r}, which DEFAULTS does not have")
    keys = {size: key for size, key in {**USUAL_KEYS, **own}.items() if key in defaults}
    for size in ("layers", "width", "vocabulary"):
        if size not in keys:
            raise ValueError(
                f"{name}.py: DEFAULTS has no {USUAL_KEYS[size]}; SIZE_KEYS has to say what {size} is called"
            )
    return keys
