"""What the spec of a mixer or a feed-forward part says of itself, and what can be said of one that says nothing.

A class of one's own need not inherit from `Described`, nor know any of its questions: `ask` falls back on the answers
below. It has to know `build`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np


class Described:
    """Base of the specs of mixers and feed-forward parts: what each may be asked, and what is answered if it is silent.

    Counted are matrix products and attention (a multiplication and an addition are two FLOPs); norms, activations,
    rotary angles and the softmax are a percent or so and are not. Memory is that of one row, in float32.
    """

    def build(self, rng: np.random.Generator | None) -> Any:
        """The module itself; without rng, of placeholders."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it is built")

    def words(self) -> str:
        """What it is, in a few words without sizes: by default the name of its class.

        >>> class EchoStateSpec(Described):
        ...     pass
        >>> EchoStateSpec().words()
        'echo state'
        """
        return class_in_words(type(self))

    def positions(self) -> str:
        """How it knows where tokens stand, or "" if it is not told."""
        return ""

    def sizes(self) -> dict[str, Any]:
        """{heading: number or word}, such as {"heads": 12}."""
        return {}

    def biases(self) -> dict[str, bool]:
        """{what could have a bias: whether it has}."""
        return {}

    def flops(self, length: int) -> int:
        """Forward, of all `length` tokens of a sequence, from an empty memory; a token's, on the average, / length.

        By default every entry of every matrix is used once for each token.
        """
        matrices = (weight.shape for weight in self.build(None).parameters() if len(weight.shape) > 1)
        return 2 * length * sum(int(np.prod(shape)) for shape in matrices)

    def attention_flops(self, length: int) -> int:
        """Those of `flops` that compare tokens with each other, and grow faster than the sequence."""
        return 0

    def memory_bytes(self, length: int) -> int | None:
        """Bytes that generation keeps after `length` tokens; None where it remembers, but does not say how much."""
        return 0 if self.build(None).new_memory() is None else None

    def cache_bytes(self, length: int) -> int:
        """Those of `memory_bytes` that are keys and values, which may be kept in 16 bits; states are not."""
        return 0


def ask(part: Any, question: str, *settings: Any) -> Any:
    """What `part` answers to a question of `Described`, or what is answered for any where it has no such method.

    >>> class Mine:
    ...     words = "not a method, and so no answer"
    ...     def flops(self, length):
    ...         return 7 * length
    >>> ask(Mine(), "flops", 3), ask(Mine(), "words"), ask(Mine(), "sizes")
    (21, 'mine', {})
    """
    answer = getattr(type(part), question, None)
    return (answer if callable(answer) else getattr(Described, question))(part, *settings)


class Whole:
    """Something made of parts: what it remembers and computes is what they do together."""

    @property
    def parts(self) -> Iterable[Any]:
        """What it is made of."""
        raise NotImplementedError

    def flops(self, length: int) -> int:
        """Forward, of all `length` tokens of a sequence: matrix products and attention (see `Described`)."""
        return sum(ask(part, "flops", length) for part in self.parts)

    def attention_flops(self, length: int) -> int:
        """Those of `flops` that compare tokens with each other."""
        return sum(ask(part, "attention_flops", length) for part in self.parts)

    def memory_bytes(self, length: int) -> int | None:
        """Bytes that generation keeps for a row after `length` tokens, in float32; None where a part does not say."""
        found = [ask(part, "memory_bytes", length) for part in self.parts]
        return None if None in found else sum(found)

    def cache_bytes(self, length: int) -> int:
        """Those of `memory_bytes` that are keys and values."""
        return sum(ask(part, "cache_bytes", length) for part in self.parts)


def class_in_words(kind: type) -> str:
    """RelativeAttentionSpec -> relative attention."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.__name__.removesuffix("Spec")).lower()
