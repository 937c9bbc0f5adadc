"""A pipeline: each rank holds some layers, micro-batches go through one rank after the other, and gradients come back.

A stage is any function of a tensor. What it reads is a leaf of its own tape, so that a backward ends there; the
gradient that arrives is sent to the rank before, whose backward goes on with it. Nothing else crosses a border.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..autograd import Tensor
from .communicator import Communicator, Message
from .schedules import MakeSchedule, one_forward_one_backward

_HEADER = 8  # whole numbers in front of an array: bytes of an entry, number of axes, their lengths
HEADER_BYTES = 8 * _HEADER


class Passed(NamedTuple):
    """What a rank has to tell of a step."""

    loss: float  # the sum over micro-batches, on the last stage; 0 on the others
    kept: int  # the most micro-batches whose activations were held at once


def run_pipeline(
    stage: Callable[[Any], Tensor],
    comm: Communicator,
    micro_batches: Sequence[Any],
    loss: Callable[[Tensor, int], Tensor],
    *,
    make_schedule: MakeSchedule = one_forward_one_backward,
) -> Passed:
    """Forward and backward of all micro-batches through this rank's stage; gradients are added to `.grad`.

    stage: on the first rank a function of a micro-batch, on the others of what the stage before gave.
    micro_batches: equally many on all ranks; only the first reads what they are.
    loss: of the last stage's output and the number of its micro-batch, summed over micro-batches in the end: each must
    be divided by what the *whole* batch has of targets, not by its own.

    Raises ValueError where there is no micro-batch, or the schedule has several chunks a stage.

    >>> from llm_from_scratch.parallel import run_ranks
    >>> def work(ranks):                                        # y = 2 (2 x) in two stages, for x = 1 and x = 2
    ...     own = Tensor([2.0], requires_grad=True)
    ...     told = run_pipeline(lambda x: own * x, ranks, [np.array([1.0]), np.array([2.0])], lambda y, i: y.sum())
    ...     return told.loss, told.kept, own.grad.tolist()
    >>> run_ranks(2, work)
    [(0.0, 2, [6.0]), (12.0, 1, [6.0])]
    """
    first, last = comm.rank == 0, comm.rank == comm.size - 1
    actions = make_schedule(comm.size, len(micro_batches))[comm.rank]
    if any(action.chunk for action in actions):
        raise ValueError("run_pipeline knows one chunk of layers a stage: a schedule with several is for `timeline`")
    mail = _Mail(comm)
    held: dict[int, tuple[Tensor | None, Tensor]] = {}
    total, kept = 0.0, 0
    for kind, i, _ in actions:
        if kind == "forward":
            x = None if first else Tensor(mail.receive(comm.rank - 1), requires_grad=True)
            y = stage(micro_batches[i] if x is None else x)
            if last:
                y = loss(y, i)
                total += y.item()
            else:
                mail.send(y.data, comm.rank + 1)
            held[i] = x, y
            kept = max(kept, len(held))
        else:
            x, y = held.pop(i)
            gradient = None if last else mail.receive(comm.rank + 1)
            if y.requires_grad:  # a first stage may be frozen
                y.backward(gradient)
            if x is not None:
                mail.send(x.grad if x.grad is not None else np.zeros_like(x.data), comm.rank - 1)
    mail.finish()
    return Passed(total, kept)


class _Mail:
    """Arrays between stages, each behind a header that says what it is.

    Nothing waits for a message to be taken: in one forward one backward two stages send to each other at the same time.
    """

    def __init__(self, comm: Communicator) -> None:
        self._comm = comm
        self._on_their_way: list[Message] = []

    def send(self, array: np.ndarray, to: int) -> None:
        header = np.zeros(_HEADER, np.int64)
        header[:2], header[2 : 2 + array.ndim] = (array.itemsize, array.ndim), array.shape
        self._on_their_way = [message for message in self._on_their_way if not message.done()]
        self._on_their_way += [self._comm.post_send(part, to) for part in (header, np.ascontiguousarray(array))]

    def receive(self, source: int) -> np.ndarray:
        itemsize, axes, *lengths = self._comm.receive(np.empty(_HEADER, np.int64), source).tolist()
        return self._comm.receive(np.empty(lengths[:axes], f"f{itemsize}"), source)

    def finish(self) -> None:
        """Return when all that was sent has been taken."""
        self._comm.wait(self._on_their_way)
