"""In which order a stage of a pipeline runs its forwards and backwards, and how long it stands idle.

A schedule is a list a stage of what it does, one thing after the other. When each thing happens follows from it: a
forward waits for the one of the stage before, a backward for the one of the stage behind. `timeline` works that out,
and from it comes what papers give as formulas: the bubble, and how many micro-batches' activations are kept at once.

Sources: GPipe, Huang et al. 2018, arXiv:1811.06965; one forward one backward, Narayanan et al. 2021, arXiv:2104.04473.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple


class Action(NamedTuple):
    """What a stage does: the forward or the backward of a micro-batch, through one of its chunks of layers."""

    kind: str  # "forward" or "backward"
    micro_batch: int
    chunk: int = 0


class Done(NamedTuple):
    """An action on the clock."""

    stage: int
    action: Action
    start: float
    end: float


Schedule = list[list[Action]]
MakeSchedule = Callable[[int, int], Schedule]


def gpipe(stages: int, micro_batches: int) -> Schedule:
    """All forwards, then all backwards, last first: simple, and every activation is kept until the middle.

    >>> [f"{kind[0]}{i}" for kind, i, _ in gpipe(2, 3)[0]]
    ['f0', 'f1', 'f2', 'b2', 'b1', 'b0']
    """
    _check(stages=stages, micro_batches=micro_batches)
    forwards = [Action("forward", i) for i in range(micro_batches)]
    return [[*forwards, *(Action("backward", i) for i in reversed(range(micro_batches)))] for _ in range(stages)]


def one_forward_one_backward(stages: int, micro_batches: int) -> Schedule:
    """As few forwards as fill the pipeline, then a backward after each forward: never more than `stages` are kept.

    >>> [f"{kind[0]}{i}" for kind, i, _ in one_forward_one_backward(2, 3)[0]]
    ['f0', 'f1', 'b0', 'f2', 'b1', 'b2']
    """
    return interleaved(stages, micro_batches, 1)


def interleaved(stages: int, micro_batches: int, chunks: int) -> Schedule:
    """One forward one backward with several chunks of layers a stage: layers 0 and 2 here, 1 and 3 there.

    The pipeline is filled in steps of a chunk, so the bubble is smaller by that factor, and there are as many times
    more messages. With more than one chunk the number of micro-batches must be a multiple of the stages.

    >>> [f"{kind[0]}{i}.{chunk}" for kind, i, chunk in interleaved(2, 2, 2)[1]]
    ['f0.0', 'f1.0', 'f0.1', 'b0.1', 'f1.1', 'b1.1', 'b0.0', 'b1.0']
    """
    _check(stages=stages, micro_batches=micro_batches, chunks=chunks)
    if chunks > 1 and micro_batches % stages:
        raise ValueError(f"interleaving needs micro-batches in multiples of the {stages} stages, got {micro_batches}")

    def order(kind: str) -> list[Action]:
        """A group of `stages` micro-batches goes through one chunk after the other; backwards from the last."""
        group = stages if chunks > 1 else 1
        through = range(chunks) if kind == "forward" else range(chunks - 1, -1, -1)
        return [
            Action(kind, first + i, chunk) for first in range(0, micro_batches, group) for chunk in through
            for i in range(group)
        ]  # fmt: skip

    forwards, backwards = order("forward"), order("backward")
    schedule = []
    for stage in range(stages):
        ahead = (stages - 1 - stage) * (2 if chunks > 1 else 1) + (chunks - 1) * stages
        ahead = min(ahead, len(forwards))
        actions = forwards[:ahead]
        for forward, backward in zip(forwards[ahead:], backwards):
            actions += [forward, backward]
        schedule.append(actions + backwards[len(forwards) - ahead :])
    return schedule


def timeline(schedule: Sequence[Sequence[Action]], *, forward: float = 1.0, backward: float = 2.0) -> list[Done]:
    """When everything happens, if a forward and a backward of a chunk take so long and messages take no time.

    Raises ValueError where stages wait for each other for ever.
    """
    stages = len(schedule)
    chunks = 1 + max(action.chunk for actions in schedule for action in actions)
    ended: dict[tuple[str, int, int], float] = {}  # (kind, micro-batch, which of all chunks) -> time
    clock, next_one = [0.0] * stages, [0] * stages
    done: list[Done] = []
    while len(done) < sum(map(len, schedule)):
        before = len(done)
        for stage, actions in enumerate(schedule):
            while next_one[stage] < len(actions):
                action = actions[next_one[stage]]
                kind, i, chunk = action
                place = chunk * stages + stage  # chunk c of all stages stands behind chunk c - 1 of all
                needed = [("forward", i, place - 1)] if kind == "forward" and place else []
                if kind == "backward":
                    needed = [("forward", i, place)]
                    needed += [("backward", i, place + 1)] if place < stages * chunks - 1 else []
                if any(need not in ended for need in needed):
                    break
                start = max([clock[stage], *(ended[need] for need in needed)])
                clock[stage] = ended[kind, i, place] = start + (forward if kind == "forward" else backward)
                done.append(Done(stage, action, start, clock[stage]))
                next_one[stage] += 1
        if len(done) == before:
            waiting = next(stage for stage, actions in enumerate(schedule) if next_one[stage] < len(actions))
            stuck = schedule[waiting][next_one[waiting]]
            raise ValueError(f"the stages wait for each other: stage {waiting} cannot begin {stuck}")
    return done


def idle_share(done: Sequence[Done]) -> float:
    """The share of all stages' time, from the first start to the last end, in which nothing is done.

    >>> round(idle_share(timeline(gpipe(4, 8))), 4), round(bubble_fraction(4, 8), 4)
    (0.2727, 0.2727)
    """
    whole = max(d.end for d in done) - min(d.start for d in done)
    stages = 1 + max(d.stage for d in done)
    return 1 - sum(d.end - d.start for d in done) / (whole * stages)


def bubble_fraction(stages: int, micro_batches: int, chunks: int = 1) -> float:
    """(p - 1) / (v m + p - 1): the idle share of p stages with v chunks each and m micro-batches.

    (Megatron's papers divide by the time of the work alone, not of all: (p - 1) / (v m).)
    """
    _check(stages=stages, micro_batches=micro_batches, chunks=chunks)
    return (stages - 1) / (chunks * micro_batches + stages - 1)


def most_kept(actions: Sequence[Action]) -> int:
    """How many forwards of one stage wait for their backward at the same time: what it keeps activations of.

    >>> [most_kept(actions) for actions in gpipe(4, 8)], [most_kept(a) for a in one_forward_one_backward(4, 8)]
    ([8, 8, 8, 8], [4, 3, 2, 1])
    """
    kept = most = 0
    for action in actions:
        kept += 1 if action.kind == "forward" else -1
        most = max(most, kept)
    return most


def _check(**counts: int) -> None:
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"a pipeline has 1 or more {name.replace('_', '-')}, not {value!r}")
