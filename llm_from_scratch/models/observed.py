"""A model that can be looked into: what passes is recorded, a part made to say something else, blocks run twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..autograd import Tensor
from ..layers import Module, Recording
from .patching import patched


class Observed(Module):
    """What a decoder offers to those who look inside; the decoder itself heeds `_record` and `_recompute`."""

    _record: Recording | None = None
    _recompute = False

    def recompute(self, wanted: bool = True) -> bool:
        """From now on (or, with False, no longer) blocks keep nothing for the backward pass, which runs them again.

        Training then holds the activations of one block and the inputs of all: less memory for a forward pass more.
        Gradients are the same. While something is recorded, blocks run as always. Returns what held before.
        """
        if not isinstance(wanted, bool):
            raise TypeError(f"recompute is switched by True or False, not {wanted!r}")
        before, self._recompute = self._recompute, wanted
        return before

    @contextmanager
    def record(self, gradients: bool = False) -> Iterator[Recording]:
        """Collect what passes through the model inside the block.

        Yields a dictionary: "hidden" gets the input of every layer and the final normed state, (B, T, hidden) each,
        and "attention" one map a layer, (B, H, T, S). Its `steps` hold the same apart for each pass:
        steps[0]["hidden"][2] is what layer 2 read in the first. gradients: entries are Tensors, and after
        `loss.backward()` their `.grad` says how the loss depends on them; else ndarrays. The fast path keeps nothing.
        """
        before, self._record = self._record, Recording(gradients)
        try:
            yield self._record
        finally:
            self._record = before

    @contextmanager
    def patch(self, path: str, change: Callable[[Tensor], Any], *, at: str = "output") -> Iterator[None]:
        """Inside the block, a part of the model puts out `change(what it would put out)`.

        path: of any module ("layers.1.mixer", "layers.0", "embedding"); change: from a Tensor to one of the same shape.
        at: "input" changes what the part reads instead: of "layers.1.mixer.output", all heads side by side.

        >>> from llm_from_scratch.checkpoints import build
        >>> model = build("gpt2", n_layer=1, n_head=1, n_embd=4, vocab_size=5, n_positions=8)
        >>> before = model([[3, 1]])
        >>> with model.patch("layers.0.mixer", lambda out: out * 0.0):
        ...     without = model([[3, 1]])
        >>> bool((before.data != without.data).any()), bool((model([[3, 1]]).data == before.data).all())
        (True, True)
        """
        with patched(self, path, change, at):
            yield
