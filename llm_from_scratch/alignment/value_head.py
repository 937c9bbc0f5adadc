"""A head that gives numbers in place of logits: the reward of an answer, or what a critic expects at every token.

A reward model is a decoder of any family and a vector that its last states are multiplied with. The reward of an answer
is what stands at its last real token, which the mask says. (That of the first padding token, or the one before the
first id that equals the padding's, is another number wherever padding and end share an id.)
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..autograd import Tensor, no_grad
from ..checkpoints import from_pretrained
from ..checkpoints.saving import save_pretrained
from ..files.strict_json import json_entry, read_json_object
from ..layers import Linear, Module
from ..layers.initialization import ZEROS, Normal

HEAD = "value_head.json"
FORMAT = "llm_from_scratch value head 1"


class ValueHead(Linear):
    """States (..., D) to one number each, (...). scale: the spread of its initial weights; 0 begins with zeros.

    >>> ValueHead(4)(Tensor(np.ones((2, 3, 4), np.float32))).shape
    (2, 3)
    """

    def __init__(self, width: int, *, scale: float = 0.0, rng: np.random.Generator | None = None) -> None:
        if scale and rng is None:
            raise ValueError("a head that does not begin with zeros needs rng=, a NumPy Generator")
        zeros = np.random.default_rng(0)  # asked for, never drawn from: without one there would be placeholders
        super().__init__(width, 1, init=Normal(scale) if scale else ZEROS, rng=rng or zeros)

    def __call__(self, x: Tensor) -> Tensor:
        return super().__call__(x).reshape(*x.shape[:-1])


class RewardModel(Module):
    """A decoder and a value head: numbers for answers, or for every token of them (then it is called a critic).

    model: any decoder; it is trained with the head unless it is frozen. head: by default zeros, so that all answers tie
    at the start.
    """

    def __init__(self, model: Any, head: ValueHead | None = None) -> None:
        self.model = model
        self.head = ValueHead(model.embedding_width) if head is None else head
        width = self.head.weight.shape[0]
        if width != model.embedding_width:
            raise ValueError(f"the head reads states of width {width}, the model's have {model.embedding_width}")
        if self.head.dtype != model.dtype:
            self.head.astype(model.dtype)

    def values(self, batch: Mapping[str, Any], *, rng: np.random.Generator | None = None) -> Tensor:
        """A number for each token, from that token and those before it: (B, T).

        batch: "ids" (B, T), and "mask" (B, T), False for padding; it may be left out where there is none.
        """
        ids, real = _tokens(batch)
        # Padding on the right is seen by nobody: there is nothing to mask, and nothing is slower for it.
        padded_left = bool(np.any(real[:, 1:] & ~real[:, :-1]))
        return self.head(self.model.states({"ids": ids, "mask": real} if padded_left else {"ids": ids}, rng=rng))

    def rewards(self, batch: Mapping[str, Any], *, rng: np.random.Generator | None = None) -> Tensor:
        """The number at each row's last real token: (B,). ValueError for a row without one."""
        _, real = _tokens(batch)
        empty = np.flatnonzero(~real.any(axis=1))
        if empty.size:
            raise ValueError(f"row {empty[0]} has no real token: its mask is all False")
        last = real.shape[1] - 1 - real[:, ::-1].argmax(axis=1)
        return self.values(batch, rng=rng)[np.arange(len(real)), last]

    def center(self, batches: Iterable[Mapping[str, Any]]) -> float:
        """Shift the rewards so that their mean over these answers is 0; the mean that it was.

        Comparisons leave the constant open; InstructGPT takes that for which demonstrations score 0.
        """
        with no_grad():
            mean = float(np.concatenate([self.rewards(batch).data for batch in batches]).mean())
        assert self.head.bias is not None
        self.head.bias.data = self.head.bias.data - self.head.bias.dtype.type(mean)
        return mean

    def copy(self) -> RewardModel:
        """Another one with weights of its own."""
        return copy.deepcopy(self)

    def describe(self) -> dict[str, Any]:
        """What is needed to build it again, weights aside."""
        return {"value_head": FORMAT, "model": self.model.describe()}

    def check_saving(self) -> None:
        """ValueError if `save_pretrained` would refuse it as it is."""
        self.model.check_saving()

    def save_pretrained(self, directory: str | os.PathLike[str], **settings: Any) -> None:
        """Write the decoder as it is written alone, and the head beside it as value_head.json: all or nothing.

        `RewardModel.from_pretrained` reads both, `lfs.from_pretrained` the decoder.
        """
        numbers = {name: parameter.data.reshape(-1).tolist() for name, parameter in self.head.named_parameters()}
        text = json.dumps({"format": FORMAT, **numbers}, allow_nan=False) + "\n"
        save_pretrained(self.model, directory, texts={**settings.pop("texts", {}), HEAD: text}, **settings)

    @classmethod
    def from_pretrained(cls, directory: str | os.PathLike[str], dtype: Any = None) -> RewardModel:
        """What `save_pretrained` wrote. ValueError where there is no head, or it belongs to another decoder."""
        path = Path(directory) / HEAD
        if not path.exists():
            raise ValueError(
                f"{directory} has no {HEAD}: it is no reward model; RewardModel(model) puts a new head on a decoder"
            )
        content = read_json_object(path)
        if json_entry(content, "format", "text", path) != FORMAT:
            raise ValueError(f"{path}: 'format' must be {FORMAT!r}, got {content['format']!r}")
        model = from_pretrained(directory, dtype)
        head = ValueHead(model.embedding_width).astype(model.dtype)
        for name, parameter in head.named_parameters():
            try:
                numbers = np.array(content[name], parameter.dtype).reshape(parameter.shape)
            except (KeyError, TypeError, ValueError):
                raise ValueError(f"{path}: {name!r} must be {parameter.size} numbers, as the model beside it") from None
            if not np.isfinite(numbers).all():
                raise ValueError(f"{path}: {name!r} holds numbers that are not finite")
            parameter.data = numbers
        return cls(model, head)


def _tokens(batch: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """ids and which of them are real, both (B, T)."""
    if "ids" not in batch or not set(batch) <= {"ids", "mask"}:
        raise ValueError(f"a batch of answers has 'ids' and may have 'mask'; got {sorted(batch)}")
    ids = np.asarray(batch["ids"])
    real = np.ones(ids.shape, bool) if batch.get("mask") is None else np.asarray(batch["mask"]).astype(bool)
    if ids.ndim != 2 or real.shape != ids.shape:
        raise ValueError(f"ids and mask must both be (rows, tokens); got {ids.shape} and {real.shape}")
    return ids, real
