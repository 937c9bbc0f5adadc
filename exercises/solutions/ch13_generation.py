"""Chapter 13 exercises: from what a model expects to what it says.

V is the size of the vocabulary, B the number of texts side by side. float32 goes in, float32 comes out, and nothing
that was handed in is changed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from llm_from_scratch.grading import task


@task(
    points=3,
    difficulty="medium",
    minutes=20,
    hints={
        "by_hand_top_p: the token that crosses the border was cut off": "It stays: without it p is not reached. Ask "
        "what the more probable ones hold *before* it.",
        "by_hand_top_p: what is left was not made to add up to 1": "Divide by the sum of what was kept.",
        "by_hand_top_p: the least probable ones were kept": "Sort from the most probable down: np.argsort(-logits).",
        "equal_tokens": "Of equally probable ones the first comes first: a stable sort.",
        "far_apart: RuntimeWarning": "np.exp(1000) is inf: subtract the largest logit before the exponential.",
        "one_is_always_left": "Even where p is tiny the most probable token is kept.",
        "exactly_p": "Where those kept hold exactly p it is reached: before < p, not <= p, and nothing added to p.",
    },
    why="""Top-k keeps a fixed number of tokens: too many where the model is sure, too few where it is not. Top-p asks
    for a share of the probability and takes as many as that needs: from one step to the next the number kept goes from
    one to hundreds. A long tail, a thousand tokens at a ten-thousandth each and a tenth together, is cut off.""",
)
def top_p(logits: np.ndarray, p: float) -> np.ndarray:
    """The probabilities to draw from, if only the most probable tokens may be drawn whose probabilities reach p.

    logits: (V,), -inf for a token that may not be drawn; p: in (0, 1]
    returns: (V,), of the dtype of logits. Kept are the fewest of the most probable tokens that add up to at least p (of
    equally probable ones those with smaller ids); their probabilities are scaled to add up to 1, all others are 0

    >>> top_p(np.log(np.array([0.2, 0.5, 0.3])), 0.6).round(3)              # 0.5 is not enough, 0.5 + 0.3 is
    array([0.   , 0.625, 0.375])
    """
    order = np.argsort(-logits, kind="stable")
    probability = np.exp(logits[order] - logits.max())
    probability = probability / probability.sum()
    before = np.cumsum(probability) - probability
    kept = before < p
    kept[0] = True
    result = np.zeros_like(logits)
    result[order[kept]] = probability[kept] / probability[kept].sum()
    return result


@task(
    points=2,
    difficulty="easy",
    minutes=10,
    hints={
        "by_hand_penalty: negative logits were divided, too": "Halving −2 makes it −1: more probable than before.",
        "by_hand_penalty: a token was penalised each time it was seen": "Once, however often it was seen: set(seen).",
        "by_hand_penalty: the penalty was subtracted": "That is another penalty (presence). Here it is a factor.",
        "nothing_seen: IndexError": "np.array([]) is an array of floats and no index: say which dtype, or use a loop.",
    },
    why="""A logit is only known up to a constant: add 10 to all of them, and the model says the same. This penalty is
    not: it pulls a logit towards 0, wherever 0 happens to lie. So its strength depends on something that means nothing,
    which is why the same 1.2 is gentle for one model and ruinous for another.""",
)
def penalise(logits: np.ndarray, seen: Sequence[int], penalty: float) -> np.ndarray:
    """Make tokens that were seen less probable: a positive logit is divided by the penalty, another one multiplied.

    logits: (V,); seen: ids of the text so far, any number of them, also none; one that comes again counts once
    penalty: above 1; returns: (V,)

    >>> penalise(np.array([2.0, -2.0, 1.0]), [0, 1, 1], 2.0)
    array([ 1., -4.,  1.])
    """
    result = logits.copy()
    for token in set(seen):
        result[token] = result[token] / penalty if result[token] > 0 else result[token] * penalty
    return result


@task(
    points=4,
    difficulty="hard",
    minutes=35,
    hints={
        "by_hand_step: the new token does not see itself": "Append its key and value first, then attend to all.",
        "by_hand_step: the scores were not divided": "Divide by the square root of D.",
        "padding: padding is seen": "Its score is -inf before the softmax; weights zeroed later do not add up to 1.",
        "far_apart_rows: one maximum for all rows": "Subtract each row's own maximum: axis 1, keepdims.",
        "token_after_token": "What comes back must be what goes in at the next step, with the new token at its end.",
        "an_empty_cache": "With S = 0 there is the new token alone: its own value comes out.",
    },
    why="""Without a cache the hundredth token costs a hundred tokens of work. With it, a step computes one query, one
    key and one value, and reads what the others left. Padding on the left is what lets texts of unequal length go side
    by side; a weight of exactly 0 for it is what makes each of them come out as it would alone.""",
)
def cached_step(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, keys: np.ndarray, values: np.ndarray, real: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One step of one attention head for B texts side by side: what the new tokens see, and the longer cache.

    q, k, v: (B, D), of one new token in each text; keys, values: (B, S, D), of the S before, S may be 0
    real: (B, S), False where a text was filled up in front: such a place is not seen. The new token is always real
    returns: y (B, D), the mean of all values, weighted with the softmax of q · key / sqrt(D) over the text;
    keys and values (B, S + 1, D), the new ones last

    >>> one = np.ones((1, 2))
    >>> y, keys, values = cached_step(one, one, 4 * one, np.ones((1, 1, 2)), np.zeros((1, 1, 2)), np.array([[True]]))
    >>> y, keys.shape
    (array([[2., 2.]]), (1, 2, 2))
    """
    keys, values = np.concatenate([keys, k[:, None]], axis=1), np.concatenate([values, v[:, None]], axis=1)
    scores = (keys @ q[:, :, None])[:, :, 0] / math.sqrt(q.shape[1])
    seen = np.concatenate([real, np.ones((len(q), 1), bool)], axis=1)
    scores = np.where(seen, scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights = weights / weights.sum(axis=1, keepdims=True)
    return (weights[:, None] @ values)[:, 0], keys, values


@task(
    points=4,
    difficulty="hard",
    minutes=35,
    hints={
        "by_hand_shown: a part of the stop string was shown": "Hold back every ending that could be the beginning of a "
        "stop string, until it cannot be one any more.",
        "by_hand_shown: all was held back to the end": "Hold back no more than could be a beginning.",
        "by_hand_shown: what was held back is lost": "If it was no stop string, it is text like any other.",
        "false_starts": "After 'aa' of 'aab' comes another 'a': now the last two could be the beginning.",
        "many_ways_to_cut": "A piece may hold the whole stop string, and text after it. Go letter by letter.",
    },
    why="""A model writes tokens, not characters, and a stop string may begin in one token and end three later. What was
    shown cannot be taken back. So a program that streams must know, at every moment, how much of what it holds could
    still become a stop string, and show all the rest at once.""",
)
def shown(pieces: Sequence[str], stops: Sequence[str]) -> list[str]:
    """What a reader sees of a text that comes in pieces, and ends where the first stop string is complete.

    pieces: texts, some may be empty; stops: texts, none of them empty
    returns: len(pieces) + 1 texts: what is newly shown after each piece, and what is left to show when no more comes.
    No letter of the stop string is ever shown (of several that end at the same letter, the longest counts), nothing
    after it either; and every letter that cannot belong to one is shown at once

    >>> shown(["Good night. Th", "ey slept. Th", "e End", ". More"], ["The End"])
    ['Good night. ', 'They slept. ', '', '', '']
    """
    out, held, stopped = [], "", False
    for piece in pieces:
        free = ""
        for letter in "" if stopped else piece:
            held += letter
            found = [len(stop) for stop in stops if held.endswith(stop)]
            if found:
                free, held, stopped = free + held[: len(held) - max(found)], "", True
                break
            starts = [n for stop in stops for n in range(1, len(stop)) if held.endswith(stop[:n])]
            free += held[: len(held) - max(starts, default=0)]
            held = held[len(held) - max(starts, default=0) :]
        out.append(free)
    return [*out, held]


@task(
    points=3,
    difficulty="medium",
    minutes=25,
    hints={
        "by_hand_beams: the new log-probabilities were taken alone": "The score is a sum: add the beam's own.",
        "by_hand_beams: the best of each beam was taken": "All continuations of all beams compete: flatten the table.",
        "by_hand_beams: what has ended went on": "A continuation by the end token is complete: it is no open beam.",
        "ended_ones_take_no_place": "Go on until there are as many open ones as asked for.",
        "more_beams_than_wanted": "All of them may end: look at all continuations, not at twice as many as are wanted.",
        "late_ends": "An end that is not among the best `beams` continuations would not have become a beam: drop it.",
        "forbidden": "A score of -inf is impossible, not merely bad.",
    },
    why="""Twice as many candidates as beams are enough with one end token: at most every beam can end, and as many
    others are left. What has ended is set aside, and compared in the end by its score over its length to some power:
    without that the shortest wins, since every further token makes a text less probable.""",
)
def beam_step(
    scores: np.ndarray, log_probabilities: np.ndarray, end: int, beams: int
) -> tuple[list[tuple[int, int, float]], list[tuple[int, int, float]]]:
    """One step of beam search: the continuations that stay open, and those that have ended.

    scores: (K,), of the beams so far, -inf for one that is dead; K may be larger than `beams`
    log_probabilities: (K, V), of the next token in each, -inf for a forbidden one
    returns: two lists of (beam, token, score), best first, a score being the beam's plus the token's. The first: the
    best `beams` continuations by another token than `end`. The second: those by `end` that are among the best `beams`
    of all continuations. Of equal scores the smaller beam comes first, then the smaller token; -inf is in no list

    >>> open_, ended = beam_step(np.array([0.0, -1.0]), np.array([[-2.0, -1.5, -0.5], [-0.25, -3.0, -2.0]]), 2, 2)
    >>> open_
    [(1, 0, -1.25), (0, 1, -1.5)]
    >>> ended
    [(0, 2, -0.5)]
    """
    totals = (scores[:, None] + log_probabilities).reshape(-1)
    order = [int(place) for place in np.argsort(-totals, kind="stable") if totals[place] > -np.inf]
    width = log_probabilities.shape[1]
    best = [(place // width, place % width, float(totals[place])) for place in order]
    still_open = [entry for entry in best if entry[1] != end][:beams]
    return still_open, [entry for entry in best[:beams] if entry[1] == end]


@task(
    points=3,
    difficulty="medium",
    minutes=25,
    hints={
        "by_hand_bug: the program as it was found": "Work out how often token 0 comes out if p = (0.5, 0.5) and the "
        "draft always says 0.",
        "by_hand_bug: one is drawn from q after a refusal": "What the draft says too often was refused; what is "
        "missing is where p is larger than q.",
        "as_if_without_a_draft": "All of it together must be p: what is kept, min(p, q), and what is drawn afterwards.",
        "keeps_what_is_liked": "Where p is at least q the guess is kept in any case.",
        "never_what_p_forbids": "A token with p = 0 never comes out, whatever the draft says.",
    },
    why="""Kept are min(p, q) of every token: too little, by exactly max(0, p − q), of those that the draft underrates.
    That is what must be drawn after a refusal. Drawing from p there looks right, every token is one that the model
    likes, and nothing crashes; but all together more comes out of what both like. Only counting shows it.""",
)
def accept(p: np.ndarray, q: np.ndarray, guess: int, u: float, w: float) -> int:
    """Find the bug: the token that comes next, if a draft guessed one. It must be distributed as p, and is not.

    p, q: (V,), the probabilities of the model and of the draft, each adding up to 1; guess: what the draft drew from q
    u, w: numbers drawn evenly from [0, 1), u for the question whether the guess is kept, w for drawing another: of
    weights in a row the first whose running sum is above w times their total. Here is the program as it was found:

        def accept(p, q, guess, u, w):
            if u < p[guess] / q[guess]:
                return guess
            return int(np.searchsorted(np.cumsum(p), w, side="right"))

    It runs, its texts look fine, and a draft that is nearly as good as the model hides the fault. Write it right.

    >>> accept(np.array([0.5, 0.25, 0.25]), np.array([1.0, 0.0, 0.0]), 0, 0.4, 0.9)     # 0.4 < 0.5 / 1: it is kept
    0
    >>> accept(np.array([0.5, 0.25, 0.25]), np.array([1.0, 0.0, 0.0]), 0, 0.6, 0.1)     # it is not, nor comes it again
    1
    """
    if u < p[guess] / q[guess]:
        return guess
    running = np.cumsum(np.maximum(p - q, 0))
    return int(np.searchsorted(running, w * running[-1], side="right"))
