"""A pipeline's step as events: who computes what when, one forward and one backward by turns (1F1B).

Every device goes through its own list in order and waits for what it needs: a forward for the stage before, a backward
for the stage behind. With `chunks`, device d of p holds the stages d, d + p, d + 2p, … (interleaving): the step begins
and ends with smaller pieces, which makes the idle share smaller by that factor, at the price of more messages.

Source: Narayanan et al. 2021, arXiv:2104.04473, section 2.2; the formula for equal stages is theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from .checking import whole

Event = tuple[bool, int, int]  # backward?, stage, micro-batch


@dataclass(frozen=True)
class Played:
    """When a step is over, how long each device computed, and of how many stages it held the activations at most."""

    seconds: float
    busy: tuple[float, ...]
    held: tuple[int, ...]

    @property
    def idle(self) -> float:
        """The share of the step in which the device that computes longest does not."""
        return max(0.0, 1 - max(self.busy) / self.seconds)


def bubble(devices: int, microbatches: int, chunks: int = 1) -> float:
    """The idle share of a step of equal stages, if messages take no time.

    >>> bubble(4, 8), bubble(4, 8, chunks=2)
    (0.2727272727272727, 0.15789473684210525)
    """
    devices, rounds = whole("devices", devices), whole("chunks", chunks) * whole("microbatches", microbatches)
    return (devices - 1) / (rounds + devices - 1)


def order(device: int, devices: int, microbatches: int, chunks: int = 1) -> list[Event]:
    """What one device does, in order.

    >>> [("B" if backward else "F") + str(m) for backward, _, m in order(0, 2, 3)]
    ['F0', 'F1', 'B0', 'F2', 'B1', 'B2']
    """
    total = microbatches * chunks
    first = devices - device - 1 if chunks == 1 else 2 * (devices - device - 1) + (chunks - 1) * devices
    first = min(first, total)

    def event(i: int, backward: bool) -> Event:
        if chunks == 1:
            return backward, device, i
        turn, place = divmod(i, devices * chunks)  # `devices` micro-batches go through all chunks, then the next ones
        chunk = chunks - 1 - place // devices if backward else place // devices
        return backward, chunk * devices + device, turn * devices + place % devices

    found = [event(i, False) for i in range(first)]
    for i in range(total - first):
        found += [event(first + i, False), event(i, True)]
    return found + [event(i, True) for i in range(total - first, total)]


def play(
    forward: Sequence[float], backward: Sequence[float], *, devices: int, microbatches: int, send: float = 0.0
) -> Played:
    """Play a step. forward, backward: seconds of each stage for a micro-batch; stage s is on device s mod devices.

    send: seconds of a message between devices; sender and receiver go on computing meanwhile. Raises ValueError for
    stages that are no multiple of the devices, and, with several stages a device, for micro-batches that are no
    multiple of the devices.

    >>> play([1.0] * 4, [2.0] * 4, devices=4, microbatches=8).seconds                 # (8 + 4 - 1) · 3
    33.0
    """
    devices, microbatches = whole("devices", devices), whole("microbatches", microbatches)
    stages = len(forward)
    if stages % devices or len(backward) != stages or not stages:
        raise ValueError(f"{stages} forwards and {len(backward)} backwards are no equal share for {devices} devices")
    chunks = stages // devices
    if chunks > 1 and microbatches % devices:
        raise ValueError(
            f"{chunks} stages a device go through {devices} micro-batches at a time: "
            f"take a multiple of {devices}, not {microbatches}"
        )
    plans = [order(device, devices, microbatches, chunks) for device in range(devices)]
    send = send if devices > 1 else 0.0
    costs = (forward, backward)
    done: tuple[list[list[float]], ...] = tuple([[] for _ in range(stages)] for _ in range(2))  # ends, by micro-batch
    clock, at, moved = [0.0] * devices, [0] * devices, True
    while moved:
        moved = False
        for device, plan in enumerate(plans):
            now, i = clock[device], at[device]
            while i < len(plan):
                back, stage, microbatch = plan[i]
                # the last stage turns round: its backward needs its own forward, which stands before it in the plan
                needed = stage + 1 if back else stage - 1
                if 0 <= needed < stages:
                    ends = done[back][needed]
                    if len(ends) <= microbatch:
                        break
                    now = max(now, ends[microbatch] + send)
                now += costs[back][stage]
                done[back][stage].append(now)  # every stage sees its micro-batches in order
                i += 1
            moved |= i > at[device]
            clock[device], at[device] = now, i
    if any(i < len(plan) for i, plan in zip(at, plans)):
        raise RuntimeError("the devices wait for each other: this order of events cannot be played")
    busy = (microbatches * sum(forward[s] + backward[s] for s in range(d, stages, devices)) for d in range(devices))
    return Played(max(clock), tuple(busy), tuple(map(_held, plans)))


def _held(plan: Sequence[Event]) -> int:
    """The most forwards at a time whose backward has not come."""
    return max(accumulate(-1 if backward else 1 for backward, _, _ in plan))
