"""The public names of a package whose modules take long to import: each is loaded when it is first used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def loaded_when_used(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package. homes: {public name: the module of the package where it lives}.

    >>> find, names = loaded_when_used("llm_from_scratch.data", {"tale": "tales"})
    >>> find("tale").__name__, "tale" in names()
    ('tale', True)
    """

    def find(name: str) -> Any:
        if name in homes:
            return getattr(importlib.import_module(f".{homes[name]}", package), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return find, lambda: sorted({*vars(sys.modules[package]), *homes})
