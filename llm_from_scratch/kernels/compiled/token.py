"""The program of one token, run by one thread or by several that share every step's work.

Shares of a step are taken one by one from a counter, and a step is over when as many are done as there are: no thread
ever waits for another to *come*, only for one that has taken a share to finish it. A thread that the operating system
takes off its core in the middle of a share, because another program wants it, is waited for, once: whoever waited too
long notes it, and the caller takes all shares that are left, while helpers leave the job. `kernels.team` then asks
fewer of them for a while.

Threads meet at a board, some int64 words in shared memory: see `kernels.team`.
"""

from __future__ import annotations

import numpy as np
from numba import carray

from ..dispatch import compiled
from . import calls, products
from .atomics import GIVES_WAY, _sched_yield, add, breathe, doubles, exchange, floats, load, nanoseconds, store, whole
from .token_attention import attend
from .token_steps import add_norm, convolve, normed, project, recur, route, scan

WIDTH, NUMBERS = 32, 4  # columns of a step's row, and of its numbers
BREATHS = 1500  # about 30 µs of waiting in a loop, before the core is offered to others
# Words of the board: apart where several write.
OPEN, JOB, COUNTERS, HELPERS, LATE, INSIDE, ASLEEP = 0, 8, 9, 10, 12, 16, 24


@compiled
def wait_a_little(turns):
    """Wait: in a loop at first, then letting other programs have the core."""
    if turns < BREATHS or not GIVES_WAY:
        breathe()
    else:
        _sched_yield()


@compiled
def _waits_too_long(word, enough, patience, leaves):
    """Wait until the word says enough; whether that took longer than `patience` nanoseconds. leaves: not to the end."""
    turns, began, late = 0, np.int64(0), False
    while load(word) < enough:
        if turns == BREATHS:
            began = nanoseconds()
        elif turns > BREATHS and not late and nanoseconds() - began > patience:
            late = True
            if leaves:
                break
        wait_a_little(turns)
        turns += 1
    return late


@compiled(inline="always")
def _share(row, number, matrices, norms, eps, scratch, split, prepared, share):
    """Do one share of one step. prepared, before and afterwards: 2 · which input is normed in scratch, + 1 if split."""
    kind = row[0]
    if kind == 0:
        x = carray(floats(row[3]), (row[4],))
        if prepared >> 1 != row[2]:
            prepared = 2 * row[2]
            if row[5] >= 0:
                normed(norms[row[5]], eps[row[5]], x, scratch[: x.size])
        if row[5] >= 0:
            x = scratch[: x.size]
        if not prepared & 1 and (matrices[row[6], 0] >= 2 or (row[7] >= 0 and matrices[row[7], 0] >= 2)):
            prepared += 1
            words, scales, sums = split
            scales, sums = scales[: -(-x.size // products.BLOCK)], sums[: x.size // 8]
            products.split_activations(x, words[: 2 * x.size], scales, sums)
        project(row, number, matrices, x, split, share)
    elif kind == 1:
        attend(row, number, norms, eps, share)
    elif kind == 2:
        add_norm(row, number, norms, eps)
    elif kind == 3:
        route(row)
    elif kind == 4:
        convolve(row, share)
    elif kind == 5:
        scan(row, share)
    elif kind == 6:
        recur(row, share)
    else:
        calls.call(row[3], row[4], share)
    return prepared


@compiled(inline="always")
def _work(job, counters, helps):
    """Run a job: alone (counters 0), or together with other threads that run it with the same counters.

    job: addresses and sizes, as `kernels.token.Program` lays them down. helps: a thread that may leave it. The answer
    is whether another thread was late; a helper has left the job then.
    """
    told = carray(whole(job), (13,))
    steps, parts = told[0], told[1]
    rows = carray(whole(told[2]), (parts, WIDTH))
    numbers = carray(doubles(told[3]), (parts, NUMBERS))
    begins = carray(whole(told[4]), (steps + 1,))
    shares = carray(whole(told[5]), (steps,))
    matrices = carray(whole(told[6]), (told[7], 9))
    norms = carray(whole(told[8]), (told[9], 6))
    eps = carray(doubles(told[10]), (told[9],))
    scratch = np.empty(told[11], np.float32)
    split = (
        np.empty(2 * told[11], np.int16),
        np.empty(told[11] // products.BLOCK + 1, np.float32),
        np.empty(told[11] // 8 + 1, np.float32),
    )
    late = False
    for step in range(steps):
        count, prepared = shares[step], np.int64(-2)
        counter = counters + 16 * step
        at_once = count if late else np.int64(1)  # shares that this thread takes from the counter
        next_share, end = np.int64(0), count if counters == 0 else np.int64(0)
        while True:
            if next_share == end:
                if counters == 0:
                    break
                next_share = add(counter, at_once)
                if next_share >= count:
                    break
                end = min(next_share + at_once, count)
            part, share = begins[step], next_share
            while share >= rows[part, 1]:
                share -= rows[part, 1]
                part += 1
            prepared = _share(rows[part], numbers[part], matrices, norms, eps, scratch, split, prepared, share)
            next_share += 1
            if counters:
                add(counter + 8, 1)
        if counters and _waits_too_long(counter + 8, count, told[12], helps):
            late = True
            if helps:
                break
    return late


@compiled
def perform(board, job, counters, thread, helpers, patience):
    """All that a thread does at a board; one function, for whatever calls `_work` has its machine code made anew.

    thread 0, board 0: run a job alone. thread 0: run it with up to so many helpers, and say whether all of them have
    left it. It is run alone, and the answer is no, if one is still inside with the job before: then this machine has
    other things to do than to help. LATE on the board says whether anybody waited too long for another. Other threads
    help: they work whenever the board is open (an odd number), and leave after waiting for long; then they are noted as
    asleep, and whoever takes the note away wakes them.
    """
    inside, asleep = board + 8 * INSIDE, board + 8 * (ASLEEP + 8 * thread)
    seen = np.int64(0)
    while True:
        number, turns = np.int64(0), 0
        if thread:
            while True:
                number = load(board + 8 * OPEN)
                if number & 1 and number != seen:
                    add(inside, 1)  # from now on nobody puts up another job
                    if load(board + 8 * OPEN) == number:
                        seen = number
                        if thread <= load(board + 8 * HELPERS):
                            break
                    add(inside, -1)
                    turns = 0
                wait_a_little(turns)
                turns += 1
                if turns >= patience:
                    store(asleep, 1)
                    number = load(board + 8 * OPEN)
                    if not (number & 1 and number != seen and exchange(asleep, 0)):
                        return False
                    turns = 0  # work came at the last moment
            job, counters = load(board + 8 * JOB), load(board + 8 * COUNTERS)
        elif board:
            if load(inside):
                counters = np.int64(0)
                store(board + 8 * LATE, 1)
            else:
                carray(whole(counters), (16 * carray(whole(job), (1,))[0],))[:] = 0
                store(board + 8 * JOB, job)
                store(board + 8 * COUNTERS, counters)
                store(board + 8 * HELPERS, helpers)
                number = load(board + 8 * OPEN) + 1
                store(board + 8 * OPEN, number)
        if _work(job, counters, thread > 0):
            store(board + 8 * LATE, 1)
        if thread:
            add(inside, -1)
            continue
        if not number:
            return False
        store(board + 8 * OPEN, number + 1)
        turns = 0  # helpers end with the last step too: worth a moment, for then the next token finds them ready
        while load(inside) and turns < BREATHS:
            breathe()
            turns += 1
        return load(inside) == 0


@compiled
def wake(board, thread):
    """Whether this helper is asleep; whoever is told so has to wake it."""
    asleep = board + 8 * (ASLEEP + 8 * thread)
    return load(asleep) != 0 and exchange(asleep, 0) != 0
