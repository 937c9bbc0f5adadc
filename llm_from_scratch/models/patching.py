"""A part of a model made to read or put out something else for a while, to see what depends on it; or only watched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ..autograd import Tensor
from ..autograd.calls import intercepted
from ..autograd.tensor import as_tensor
from ..layers import Module

READS, PUTS_OUT = "input", "output"


@contextmanager
def patched(model: Module, path: str, change: Callable[[Tensor], Any], at: str = PUTS_OUT) -> Iterator[None]:
    """Inside the block, the part at `path` puts out, or reads, what `change` makes of it; see `Decoder.patch`."""
    if at not in (READS, PUTS_OUT):
        raise ValueError(f"a patch is at the '{READS}' or the '{PUTS_OUT}' of a part, not at {at!r}")

    def changed(x: Tensor) -> Tensor:
        new = as_tensor(change(x))
        if new.shape != x.shape or new.dtype != x.dtype:
            raise ValueError(
                f"the patch of {path} made {new.dtype}{new.shape} of {x.dtype}{x.shape}: keep shape and dtype"
            )
        return new

    def around(_: str, call: Callable[..., Tensor], x: Any, *args: Any, **kwargs: Any) -> Tensor:
        if at == PUTS_OUT:
            return changed(call(x, *args, **kwargs))
        if not isinstance(x, Tensor):
            raise ValueError(f"{path} reads {type(x).__name__}, no Tensor that a patch could change: patch its output")
        return call(changed(x), *args, **kwargs)

    with intercepted(parts(model, [path]), around):
        yield


@contextmanager
def watched(model: Module, paths: Iterable[str]) -> Iterator[dict[str, tuple[Any, Any]]]:
    """Inside the block, what each of the parts read and put out at its last call: (input, output) by path.

    >>> from llm_from_scratch.checkpoints import build
    >>> model = build("gpt2", n_layer=1, n_head=1, n_embd=4, vocab_size=5, n_positions=8)
    >>> with watched(model, ["layers.0.mixer"]) as seen:
    ...     _ = model([[3, 1]])
    >>> [x.shape for x in seen["layers.0.mixer"]]
    [(1, 2, 4), (1, 2, 4)]
    """
    seen: dict[str, tuple[Any, Any]] = {}

    def around(path: str, call: Callable[..., Any], x: Any, *args: Any, **kwargs: Any) -> Any:
        out = call(x, *args, **kwargs)
        seen[path] = x, out
        return out

    with intercepted(parts(model, paths), around):
        yield seen


def parts(model: Module, paths: Iterable[str]) -> dict[str, Module]:
    """The modules at these paths; ValueError for a path that leads to none."""
    modules = dict(model.named_modules())
    for path in (paths := list(paths)):
        if path not in modules or not path:
            raise ValueError(f"there is no part {path!r}; parts are {', '.join(sorted(set(modules) - {''})[:8])}, …")
    return {path: modules[path] for path in paths}
