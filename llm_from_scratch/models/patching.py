"""A part of a model made to put out something else for a while, to see what depends on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..autograd import Tensor
from ..autograd.tensor import as_tensor
from ..layers import Module


@contextmanager
def patched(model: Module, path: str, change: Callable[[Tensor], Any]) -> Iterator[None]:
    """Inside the block, the part at `path` puts out `change(what it would put out)`; see `Decoder.patch`."""
    modules = dict(model.named_modules())
    if path not in modules or not path:
        raise ValueError(f"there is no part {path!r}; parts are {', '.join(sorted(set(modules) - {''})[:8])}, …")
    part = modules[path]
    kind = type(part)

    def changed(module: Any, *args: Any, **kwargs: Any) -> Tensor:
        out = kind.__call__(module, *args, **kwargs)
        new = as_tensor(change(out))
        if new.shape != out.shape or new.dtype != out.dtype:
            raise ValueError(
                f"the patch of {path} made {new.dtype}{new.shape} of {out.dtype}{out.shape}: keep shape and dtype"
            )
        return new

    # Python looks a call up on the class: the part gets one of its own meanwhile, and keeps its place and name.
    part.__class__ = type(kind.__name__, (kind,), {"__call__": changed})
    try:
        yield
    finally:
        part.__class__ = kind
