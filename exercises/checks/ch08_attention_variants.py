"""What the grader looks at in chapter 8. Nothing is hidden: read on if a message leaves you wondering.

Expected attention is computed for one query at a time, from the definition; expected buffers by keeping a list of all
tokens ever written.
"""

from __future__ import annotations

import math

import numpy as np

from llm_from_scratch.grading import CheckFailed, check, check_close, check_equal, inputs_stay_unchanged


def plain(q, k, v, reads=None, causal=True, scale=None):
    """One query at a time; reads[a] is the key-value head of query head a."""
    heads, shared = q.shape[1], k.shape[1]
    reads = [a * shared // heads for a in range(heads)] if reads is None else reads
    y = np.zeros(q.shape)
    for b, a, t in np.ndindex(q.shape[:3]):
        keys, values = k[b, reads[a]], v[b, reads[a]]
        seen = t + 1 if causal else len(keys)
        scores = [float(q[b, a, t] @ keys[j]) * (scale or 1 / math.sqrt(q.shape[-1])) for j in range(seen)]
        weights = [math.exp(s - max(scores)) for s in scores]
        y[b, a, t] = sum(w * values[j] for j, w in enumerate(weights)) / sum(weights)
    return y


def drawn(rng, heads, shared, length=5, width=4):
    return [rng.normal(size=(2, n, length, width)) * 1.5 for n in (heads, shared, shared)]


# --- grouped_attention ---


@check("grouped_attention")
def one_head_each(grouped_attention, rng):
    """K = H: plain multi-head attention, causal, scaled by 1/sqrt(D)"""
    q, k, v = drawn(rng, 3, 3)
    causes = {
        "the causal mask is missing": plain(q, k, v, causal=False),
        "scores are not divided by sqrt(D)": plain(q, k, v, scale=1.0),
        "scores are divided by D": plain(q, k, v, scale=0.25),
    }
    check_close("y", grouped_attention(q, k, v), plain(q, k, v), 1e-9, causes)


@check("grouped_attention")
def which_head_reads_which(grouped_attention, rng):
    """H = 6, K = 2: heads 0, 1, 2 read key-value head 0, the others head 1"""
    q, k, v = drawn(rng, 6, 2)
    causes = {
        "query heads were dealt out in turns: 0, 1, 0, 1 ...": plain(q, k, v, [0, 1, 0, 1, 0, 1]),
        "all of them read head 0": plain(q, k, v, [0] * 6),
    }
    check_close("y", grouped_attention(q, k, v), plain(q, k, v), 1e-9, causes)


@check("grouped_attention")
def multi_query(grouped_attention, rng):
    """K = 1: all heads share one"""
    q, k, v = drawn(rng, 4, 1)
    check_close("y", grouped_attention(q, k, v), plain(q, k, v), 1e-9)


@check("grouped_attention")
def large_scores(grouped_attention):
    """scores of 1000 and more do not overflow"""
    q = np.full((1, 2, 3, 4), 40.0)
    k, v = np.full((1, 1, 3, 4), 40.0), np.arange(12.0).reshape(1, 1, 3, 4)
    check_close("y", grouped_attention(q, k, v), plain(q, k, v), 1e-9)


@check("grouped_attention")
def rows_far_apart(grouped_attention, rng):
    """queries with scores near -1e6 and others near 1e6: each row has its own maximum, and -inf hides the future"""
    q, k, v = np.zeros((2, 4, 4, 4)), np.zeros((2, 2, 4, 4)), rng.normal(size=(2, 2, 4, 4)) * 2
    q[..., 0], q[..., 1], k[..., 0] = -1000.0, 1.0, 2000.0
    q[..., 1::2, 0] = 1000.0
    q[..., 2, 1] = 1000.0
    k[..., 1] = rng.uniform(-4, 4, size=(2, 2, 4))
    check_close("y", grouped_attention(q, k, v), plain(q, k, v), 1e-7)


@check("grouped_attention")
def the_future_is_hidden(grouped_attention, rng):
    """a last key with a score of 15,000 for every query moves no earlier answer"""
    q, k, v = drawn(rng, 4, 2)
    q[..., 0], k[..., -1, :] = 1.0, 0.0
    k[..., -1, 0] = 30_000.0
    got = np.asarray(grouped_attention(q, k, v))
    check_close("the answers before the last", got[:, :, :-1], plain(q, k, v)[:, :, :-1], 1e-9)


@check("grouped_attention")
def smallest_sizes(grouped_attention, rng):
    """one row of a batch, one token, one head, width 1"""
    for batch, heads, shared, length, width in ((1, 4, 2, 3, 4), (3, 1, 1, 1, 1), (1, 2, 1, 2, 1)):
        q, k, v = (rng.normal(size=(batch, n, length, width)) for n in (heads, shared, shared))
        sizes = f"B = {batch}, H = {heads}, K = {shared}, T = {length}, D = {width}"
        check_close(f"y for {sizes}", grouped_attention(q, k, v), plain(q, k, v), 1e-9)


@check("grouped_attention")
def keeps_float32(grouped_attention, rng):
    """float32 in, float32 out"""
    q, k, v = (x.astype(np.float32) for x in drawn(rng, 4, 2))
    check_close("y", grouped_attention(q, k, v), plain(q, k, v).astype(np.float32), 1e-4)


# --- window_mask ---


def seen(queries, keys, window, offset):
    rows = [
        [j <= offset + t and (window is None or offset + t < j + window) for j in range(keys)] for t in range(queries)
    ]
    return np.array(rows)


@check("window_mask")
def by_hand(window_mask):
    """5 queries, a window of 3"""
    expected = np.array([[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1]], bool)
    causes = {
        "the window holds one key too many": seen(5, 5, 4, 0),
        "the window holds one key too few": seen(5, 5, 2, 0),
        "there is no window": seen(5, 5, None, 0),
        "True and False changed places": ~expected,
    }
    check_equal("the mask", window_mask(5, 5, 3), expected, causes)


@check("window_mask")
def no_window(window_mask):
    """window None is causal and nothing else"""
    check_equal("the mask", window_mask(4, 4), seen(4, 4, None, 0))


@check("window_mask")
def with_remembered_keys(window_mask):
    """3 queries behind 4 remembered keys"""
    causes = {
        "queries are counted from 0": seen(3, 7, 3, 0),
        "the window is counted without the offset: query t stands at offset + t there, too": seen(3, 7, 7, 4),
    }
    check_equal("the mask", window_mask(3, 7, 3, offset=4), seen(3, 7, 3, 4), causes)
    check_equal("the mask without a window", window_mask(3, 7, offset=4), seen(3, 7, None, 4))


@check("window_mask")
def smallest_and_largest(window_mask):
    """a window of 1: each query sees itself alone; one as wide as the text, and wider; one query, one key"""
    causes = {"a window of 1 is a window, not none": seen(4, 4, None, 0)}
    check_equal("the mask with a window of 1", window_mask(4, 4, 1), seen(4, 4, 1, 0), causes)
    for queries, keys, window, offset in (
        (4, 4, 4, 0),
        (4, 4, 9, 0),
        (2, 6, 1, 4),
        (2, 6, 6, 4),
        (1, 1, 1, 0),
        (1, 9, 3, 8),
    ):
        name = f"window_mask({queries}, {keys}, {window}, offset={offset})"
        causes = {
            "the offset moves the window's end, too: 0 <= i - j < window, with i counted from it": seen(
                queries, keys, window + offset, offset
            )
        }
        check_equal(name, window_mask(queries, keys, window, offset), seen(queries, keys, window, offset), causes)


# --- rolling_write ---


def write(rolling_write, window, chunks):
    """The learner's slots after several writes, and what came back each time."""
    slots, written, held = np.full((window, 2), 99.0), 0, []
    for chunk in chunks:
        result = rolling_write(slots, written, chunk)
        if type(result) is not tuple or len(result) != 2:
            raise CheckFailed(f"the result must be two arrays, got {type(result).__name__}.", "return slots, held")
        slots, back = result
        held.append(back)
        written += len(chunk)
    return slots, held


def tokens(count, start=0):
    return np.stack([np.arange(start, start + count) / 3 + 1, np.arange(start, start + count) * 10.0 + 1], axis=1)


@check("rolling_write")
def a_short_prompt(rolling_write):
    """fewer tokens than slots: exactly these come back"""
    _, held = write(rolling_write, 6, [tokens(4)])
    check_close("the tokens held", held[0], tokens(4), 1e-12)


@check("rolling_write")
def after_the_wrap(rolling_write):
    """one token at a time, past the end of the buffer: the last ones come back, oldest first"""
    slots, held = write(rolling_write, 4, [tokens(1, t) for t in range(7)])
    causes = {"they come back in the order of their slots": np.asarray(slots, dtype=float)}
    check_close("the tokens held", held[-1], tokens(4, 3), 1e-12, causes)


@check("rolling_write")
def the_slots(rolling_write):
    """the token at position p lies in slot p % W"""
    slots, _ = write(rolling_write, 4, [tokens(1, t) for t in range(7)])
    check_close("the slots", slots, tokens(7)[[4, 5, 6, 3]], 1e-12)


@check("rolling_write")
def a_long_prompt(rolling_write):
    """11 tokens at once into 4 slots, then 3 more"""
    slots, held = write(rolling_write, 4, [tokens(11), tokens(3, 11)])
    check_close("the tokens held after 11", held[0], tokens(4, 7), 1e-12)
    check_close("the tokens held after 14", held[1], tokens(4, 10), 1e-12)
    check_close("the slots", slots, tokens(14)[[12, 13, 10, 11]], 1e-12)


@check("rolling_write")
def smallest_buffers(rolling_write):
    """a window of 1, a width of 1, nothing to write, exactly as many tokens as slots"""
    slots, held = write(rolling_write, 1, [tokens(1), tokens(3, 1), tokens(1, 4)])
    check_close("the slot of a window of 1", slots, tokens(1, 4), 1e-12)
    check_close("the token held", held[1], tokens(1, 3), 1e-12)
    slots, held = rolling_write(np.array([[4.0], [1.0], [2.0]]), 4, np.array([[5.0], [6.0]]))
    check_close("the slots of width 1", slots, np.array([[4.0], [5.0], [6.0]]), 1e-12)
    check_close("the tokens held of width 1", held, np.array([[4.0], [5.0], [6.0]]), 1e-12)
    slots, held = write(rolling_write, 4, [tokens(4), tokens(4, 4), tokens(1, 8)])
    check_close("the tokens held after 4 + 4", held[1], tokens(4, 4), 1e-12)
    check_close("the slots after 4 + 4 + 1", slots, tokens(9)[[8, 5, 6, 7]], 1e-12)
    _, held = write(rolling_write, 4, [tokens(6), tokens(0)])
    check_close("the tokens held after nothing was written", held[1], tokens(4, 2), 1e-12)


@check("rolling_write")
def two_buffers_in_turns(rolling_write):
    """two texts, each with slots of its own, a token of each in turns"""
    state = [np.zeros((3, 2)), np.zeros((3, 2))]
    for t in range(5):
        for number, start in enumerate((0, 100)):
            state[number], held = rolling_write(state[number], t, tokens(1, start + t))
            right = tokens(min(3, t + 1), start + max(0, t - 2))
            check_close(f"text {number + 1}: the tokens held after {t + 1}", held, right, 1e-12)


# --- cache_bytes ---


@check("cache_bytes")
def multi_head(cache_bytes):
    """LLaMA-7B with 4,096 tokens: exactly 2 GiB"""
    causes = {"keys or values are missing": 2**30, "a number has 4 bytes instead of 2": 2**32}
    check_equal("the bytes", cache_bytes([32] * 32, 128, 4096), 2**31, causes)


@check("cache_bytes")
def layers_differ(cache_bytes):
    """key-value heads of each layer"""
    check_equal("the bytes", cache_bytes([4, 2, 1], 8, 10), 2240)
    check_equal("the bytes of nine layers of one head", cache_bytes([1] * 9, 2, 4), 288)


@check("cache_bytes")
def windows(cache_bytes):
    """layers with and without a window, a text shorter and longer than it"""
    check_equal("the bytes of 10 tokens", cache_bytes([1, 1], 4, 10, [None, 6]), 2 * 4 * 16 * 2)
    check_equal("the bytes of 3 tokens", cache_bytes([1, 1], 4, 3, [None, 6]), 2 * 4 * 6 * 2)
    check_equal(
        "the bytes of windows 1 and 7, 5 tokens", cache_bytes([2, 3], 4, 5, [1, 7]), 2 * 4 * (2 * 1 + 3 * 5) * 2
    )
    check_equal("the bytes of 20 tokens, three windows", cache_bytes([3, 1, 5], 2, 20, [4, None, 9]), 616)
    check_equal("the bytes of no token", cache_bytes([3, 1], 2, 0, [4, None]), 0)


@check("cache_bytes")
def other_formats(cache_bytes):
    """float32 takes twice as much"""
    check_equal("the bytes", cache_bytes([2], 16, 5, bytes_each=4), 1280)


# --- average_heads ---


def averaged(matrix, heads, shared, groups):
    """groups[c]: the heads whose mean becomes head c."""
    size = matrix.shape[1] // heads
    places = [(c, d) for c in range(shared) for d in range(size)]
    return np.array([[np.mean([row[a * size + d] for a in groups[c]]) for c, d in places] for row in matrix])


def neighbours(heads, shared):
    return [range(c * heads // shared, (c + 1) * heads // shared) for c in range(shared)]


@check("average_heads")
def groups_of_neighbours(average_heads, rng):
    """six heads become two: 0, 1, 2 and 3, 4, 5"""
    matrix = rng.normal(size=(5, 24)) * 3
    causes = {
        "heads were averaged in turns: 0, 2, 4 and 1, 3, 5": averaged(matrix, 6, 2, [(0, 2, 4), (1, 3, 5)]),
        "the first of each group was taken": averaged(matrix, 6, 2, [(0,), (3,)]),
        "this is the sum, not the mean": 3 * averaged(matrix, 6, 2, neighbours(6, 2)),
        "columns were averaged as if a head's were not side by side": matrix.reshape(5, 4, 3, 2).mean(2).reshape(5, 8),
    }
    check_close("the matrix", average_heads(matrix, 6, 2), averaged(matrix, 6, 2, neighbours(6, 2)), 1e-12, causes)


@check("average_heads")
def one_for_all(average_heads, rng):
    """four heads become one"""
    matrix = rng.normal(size=(3, 8)) * 3
    check_close("the matrix", average_heads(matrix, 4, 1), averaged(matrix, 4, 1, neighbours(4, 1)), 1e-12)


@check("average_heads")
def nothing_to_do(average_heads, rng):
    """as many heads as before: the same matrix; heads of width 1, a single row"""
    matrix = rng.normal(size=(3, 8)) * 3
    check_close("the matrix", average_heads(matrix, 4, 4), matrix, 1e-12)
    narrow = rng.normal(size=(1, 4)) * 3
    check_close("heads of width 1", average_heads(narrow, 4, 2), averaged(narrow, 4, 2, neighbours(4, 2)), 1e-12)


@check("average_heads")
def stays_float32(average_heads, rng):
    """float32 in, float32 out"""
    matrix = (rng.normal(size=(3, 8)) * 3).astype(np.float32)
    expected = averaged(matrix, 4, 2, neighbours(4, 2)).astype(np.float32)
    check_close("the matrix", average_heads(matrix, 4, 2), expected, 1e-5)


# --- repaired_step ---


def one_step(q, written, reads, window):
    """Attention of one query a head over the last keys and values ever written, [(K, D) pairs]."""
    y, seen = np.zeros(q.shape), written if window is None else written[-window:]
    for a, query in enumerate(q):
        scores = [float(query @ k[reads[a]]) / math.sqrt(len(query)) for k, _ in seen]
        weights = [math.exp(s - max(scores)) for s in scores]
        y[a] = sum(w * v[reads[a]] for w, (_, v) in zip(weights, seen)) / sum(weights)
    return y


def stacked(written, which, window=None):
    """What is to be kept, (K, S, D)."""
    kept = written if window is None else written[-window:]
    return np.stack([pair[which] for pair in kept], axis=1)


def write_on(step, rng, heads, shared, steps, window, spread=1.5):
    """The learner's steps from an empty memory, each against the definition; the first that differs is told."""
    keys, values, written = np.zeros((shared, 0, 4)), np.zeros((shared, 0, 4)), []
    for number in range(steps):
        q, k, v = (rng.normal(size=(n, 4)) * spread for n in (heads, shared, shared))
        result = step(q, k, v, keys, values, window)
        if type(result) is not tuple or len(result) != 3:
            raise CheckFailed(
                f"the result must be three arrays, got {type(result).__name__}.", "return y, keys, values"
            )
        y, keys, values = result
        written.append((k, v))
        groups, turns = [a * shared // heads for a in range(heads)], [a % shared for a in range(heads)]
        causes = {"heads are dealt out in turns: 0, 1, 0, 1 ...": one_step(q, written, turns, window)}
        if window is not None:
            causes["a query sees one key too many"] = one_step(q, written, groups, window + 1)
            causes["a query sees one key too few"] = one_step(q, written, groups, max(1, window - 1))
            causes["there is no window"] = one_step(q, written, groups, None)
        what = f"of token {number + 1}, H = {heads}, K = {shared}, window {window}"
        check_close(f"y {what}", y, one_step(q, written, groups, window), 1e-9, causes)
        repeated = np.repeat(stacked(written, 0, window), heads // shared, axis=0)
        why = {"a shared head was repeated in what is kept": repeated} if shared < heads else {}
        check_close(f"the keys kept {what}", keys, stacked(written, 0, window), 1e-12, why)
        check_close(f"the values kept {what}", values, stacked(written, 1, window), 1e-12)


@check("repaired_step")
def one_or_all(repaired_step, rng):
    """one key-value head for each, and one for all, without a window: here the script was right"""
    write_on(repaired_step, rng, 3, 3, 4, None)
    write_on(repaired_step, rng, 3, 1, 4, None)


@check("repaired_step")
def by_groups_of_neighbours(repaired_step, rng):
    """H = 6, K = 2: heads 0, 1, 2 read key-value head 0"""
    write_on(repaired_step, rng, 6, 2, 4, None)
    write_on(repaired_step, rng, 4, 2, 3, None)


@check("repaired_step")
def at_the_windows_edge(repaired_step, rng):
    """windows of 3 and 2, ten tokens: the memory grows to the window and no further"""
    write_on(repaired_step, rng, 3, 3, 10, 3)
    write_on(repaired_step, rng, 4, 2, 6, 2)


@check("repaired_step")
def the_first_token(repaired_step, rng):
    """an empty memory; a window of 1; a window that is never reached"""
    write_on(repaired_step, rng, 2, 1, 1, None)
    write_on(repaired_step, rng, 2, 2, 3, 1)
    write_on(repaired_step, rng, 2, 1, 3, 50)


@check("repaired_step")
def a_longer_memory(repaired_step, rng):
    """a memory that holds more than the window: it is cut to it"""
    written = [tuple(rng.normal(size=(2, 1, 4)) * 1.5) for _ in range(6)]
    q, (k, v) = rng.normal(size=(2, 4)), tuple(rng.normal(size=(2, 1, 4)))
    y, keys, _ = repaired_step(q, k, v, stacked(written, 0), stacked(written, 1), 3)
    written.append((k, v))
    check_close("y", y, one_step(q, written, [0, 0], 3), 1e-9)
    check_close("the keys kept", keys, stacked(written, 0, 3), 1e-12)


@check("repaired_step")
def heads_far_apart(repaired_step, rng):
    """heads whose scores lie near -1e6 and 1e6: each has its own maximum"""
    q, k, v = np.zeros((4, 4)), np.zeros((2, 4)), rng.normal(size=(2, 4))
    q[:, 0], q[:, 1], k[:, 0] = [-1000.0, 1000.0, -1000.0, 1000.0], 1.0, 2000.0
    before = [(k + np.eye(4)[1] * n, rng.normal(size=(2, 4)) * 2) for n in (1.0, 3.0)]
    y, _, _ = repaired_step(q, k, v, stacked(before, 0), stacked(before, 1))
    check_close("y", y, one_step(q, [*before, (k, v)], [0, 0, 1, 1], None), 1e-7)


@check("repaired_step")
def two_texts_in_turns(repaired_step, rng):
    """two texts, each with a memory of its own, a token of each in turns"""
    memories, told = [[np.zeros((1, 0, 4))] * 2 for _ in range(2)], [[], []]
    for _ in range(4):
        for number in (0, 1):
            q, k, v = (rng.normal(size=(n, 4)) * 1.5 for n in (2, 1, 1))
            y, *memories[number] = repaired_step(q, k, v, *memories[number], 3)
            told[number].append((k, v))
            check_close(f"text {number + 1}: y", y, one_step(q, told[number], [0, 0], 3), 1e-9)


@check("repaired_step")
def float32_stays(repaired_step, rng):
    """float32 in, float32 out"""
    q, k, v = (rng.normal(size=(n, 4)).astype(np.float32) for n in (2, 1, 1))
    y, _, _ = repaired_step(q, k, v, np.ones((1, 2, 4), np.float32), np.ones((1, 2, 4), np.float32))
    expected = one_step(q, [*[(np.ones((1, 4)), np.ones((1, 4)))] * 2, (k, v)], [0, 0], None)
    check_close("y", y, expected.astype(np.float32), 1e-5)


inputs_stay_unchanged("grouped_attention", "rolling_write", "cache_bytes", "average_heads", "repaired_step")
