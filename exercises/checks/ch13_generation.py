"""What the grader looks at in chapter 13. Nothing is hidden: read on if a message leaves you wondering.

Expected values are typed in, found by counting, or one text at a time.
"""

from __future__ import annotations

import math

import numpy as np

from llm_from_scratch.grading import check, check_close, check_equal, check_that, inputs_stay_unchanged

# --- top_p ---


@check("top_p")
def by_hand_top_p(top_p):
    """six tokens, 0.7 of the probability"""
    shares = np.array([0.05, 0.4, 0.1, 0.25, 0.15, 0.05])  # 0.4 + 0.25 = 0.65 is not enough, + 0.15 is
    expected = np.array([0, 0.5, 0, 0.3125, 0.1875, 0])
    causes = {
        "the token that crosses the border was cut off": np.array([0, 0.4 / 0.65, 0, 0.25 / 0.65, 0, 0]),
        "what is left was not made to add up to 1": np.array([0, 0.4, 0, 0.25, 0.15, 0]),
        "the least probable ones were kept": np.array([0.05, 0.4, 0.1, 0.25, 0.15, 0.05]),
        "nothing was cut off": shares,
        "the most probable one alone was kept": np.array([0, 1.0, 0, 0, 0, 0]),
    }
    check_close("the probabilities", top_p(np.log(shares) + 3.0, 0.7), expected, 1e-9, causes)


@check("top_p")
def one_is_always_left(top_p):
    """a tiny p keeps the most probable token; a p of 1 keeps all"""
    shares = np.array([0.2, 0.5, 0.3])
    check_close("with p = 1e-9", top_p(np.log(shares), 1e-9), np.array([0, 1.0, 0]), 1e-9)
    check_close("with p = 1", top_p(np.log(shares), 1.0), shares, 1e-9)
    check_close("of one token", top_p(np.array([-3.0]), 0.5), np.array([1.0]), 1e-9)


@check("top_p")
def exactly_p(top_p):
    """two of four equal tokens hold exactly a half; a millionth more takes a third one"""
    half, three = np.array([0.5, 0.5, 0, 0]), np.array([1, 1, 1, 0]) / 3
    check_close("with p = 0.5", top_p(np.zeros(4), 0.5), half, 1e-9, {"one more than p needs was kept": three})
    check_close("with p = 0.5 + 1e-7", top_p(np.zeros(4), 0.5 + 1e-7), three, 1e-9, {"p is not reached": half})


@check("top_p")
def equal_tokens(top_p):
    """forty tokens of equal probability, and more probable ones among them: the first of equal ones are kept"""
    logits = np.zeros(40)
    logits[[7, 30]] = math.log(4.0)  # two hold 4/46 each, the others 1/46
    expected = np.zeros(40)
    expected[[7, 30]] = 4.0
    expected[[0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12]] = 1.0  # 8 + 12 = 20 of 46
    check_close("the probabilities", top_p(logits, 19.5 / 46), expected / 20, 1e-9)


@check("top_p")
def far_apart(top_p):
    """logits of a thousand, and tokens that may not be drawn"""
    logits = np.array([1000.0, -np.inf, 999.0, -1000.0])
    share = 1 / (1 + math.exp(-1))
    check_close("the probabilities", top_p(logits, 0.9), np.array([share, 0, 1 - share, 0]), 1e-9)
    check_close("far below 0", top_p(logits - 2000, 0.9), np.array([share, 0, 1 - share, 0]), 1e-9)


@check("top_p")
def fewest_of_many(top_p, rng):
    """a hundred tokens: enough are kept, and without the least of them it would not be enough"""
    for p in (0.2, 0.5, 0.9, 0.99):
        logits = rng.normal(size=100) * 2
        shares = [math.exp(x) for x in logits]
        total, held, expected = math.fsum(shares), 0.0, np.zeros(100)
        for share, token in sorted(((s / total, t) for t, s in enumerate(shares)), reverse=True):
            if held >= p:
                break
            expected[token], held = share, held + share
        check_close(f"with p = {p}", top_p(logits, p), expected / held, 1e-4)


@check("top_p")
def keeps_float32_top_p(top_p):
    """float32 in and out"""
    logits = np.log(np.array([0.2, 0.5, 0.3], np.float32))
    check_close("the probabilities", top_p(logits, 0.6), np.array([0, 0.625, 0.375], np.float32), 1e-5)


# --- penalise ---


@check("penalise")
def by_hand_penalty(penalise):
    """five logits, three of them seen, one of these three times"""
    logits, seen = np.array([3.0, -2.0, 4.0, -5.0, 6.0]), [2, 3, 2, 4, 2]
    causes = {
        "negative logits were divided, too": np.array([3.0, -2.0, 2.0, -2.5, 3.0]),
        "a token was penalised each time it was seen": np.array([3.0, -2.0, 0.5, -10.0, 3.0]),
        "the penalty was subtracted": np.array([3.0, -2.0, 2.0, -7.0, 4.0]),
        "the others were penalised": np.array([1.5, -4.0, 4.0, -5.0, 6.0]),
        "all tokens were penalised": np.array([1.5, -4.0, 2.0, -10.0, 3.0]),
        "seen tokens became more probable": np.array([3.0, -2.0, 8.0, -2.5, 12.0]),
        "seen tokens were forbidden": np.array([3.0, -2.0, -np.inf, -np.inf, -np.inf]),
    }
    check_close("the logits", penalise(logits, seen, 2.0), np.array([3.0, -2.0, 2.0, -10.0, 3.0]), 1e-9, causes)


@check("penalise")
def nothing_seen(penalise):
    """without a text nothing changes; with a penalty of 1 nothing either"""
    logits = np.array([3.0, -2.0, 4.0])
    check_close("the logits", penalise(logits, [], 2.0), logits, 1e-9)
    check_close("the logits", penalise(logits, [0, 1, 2], 1.0), logits, 1e-9)


@check("penalise")
def large_texts(penalise, rng):
    """three hundred tokens of a text, ids as Python integers"""
    logits, seen = rng.normal(size=50) * 5, [int(t) for t in rng.integers(0, 40, 300)]
    expected = logits.copy()
    for token in range(50):
        if seen.count(token):
            expected[token] = logits[token] / 1.3 if logits[token] > 0 else logits[token] * 1.3
    causes = {"ids at the end of the vocabulary were changed": np.where(logits > 0, logits / 1.3, logits * 1.3)}
    check_close("the logits", penalise(logits, seen, 1.3), expected, 1e-9, causes)


@check("penalise")
def keeps_float32_penalty(penalise):
    """float32 in and out"""
    logits = np.array([3.0, -2.0, 5.0], np.float32)
    check_close("the logits", penalise(logits, [0, 1], 1.5), np.array([2.0, -3.0, 5.0], np.float32), 1e-5)


# --- cached_step ---


def one_text(q, k, v, keys, values, real):
    """One text at a time, in Python's own numbers, over the places that are real."""
    seen = [(key, value) for key, value, there in zip(keys, values, real) if there] + [(k, v)]
    scores = [math.fsum(float(a) * float(b) for a, b in zip(q, key)) / math.sqrt(len(q)) for key, _ in seen]
    weights = [math.exp(score - max(scores)) for score in scores]
    total = math.fsum(weights)
    return [math.fsum(w * float(value[d]) for w, (_, value) in zip(weights, seen)) / total for d in range(len(q))]


def step_of(rng, batch, tokens, width, scale=1.0):
    q, k, v = (rng.normal(size=(batch, width)) * scale for _ in range(3))
    keys, values = rng.normal(size=(2, batch, tokens, width)) * scale
    return q, k, v * 5, keys, values * 5, np.ones((batch, tokens), bool)


@check("cached_step")
def by_hand_step(cached_step):
    """two tokens in the cache, width 4, so that scores are halved"""
    unit = 2 * math.log(3)
    q = np.array([[1.0, 0, 0, 0]])
    keys = np.array([[[unit, 0, 0, 0], [0, 5.0, 0, 0]]])  # scores log 3 and 0: weights 3 and 1
    values = np.array([[[10.0, 0, 0, 0], [0, 10.0, 0, 0]]])
    k, v = np.array([[0, 0, 7.0, 0]]), np.array([[0, 0, 10.0, 0]])  # score 0: weight 1
    y, new_keys, new_values = cached_step(q, k, v, keys, values, np.array([[True, True]]))
    causes = {
        "the new token does not see itself": np.array([[7.5, 2.5, 0, 0]]),
        "the scores were not divided": np.array([[90 / 11, 10 / 11, 10 / 11, 0]]),
        "divided by D, not by its root": np.array([[10 * 3**0.5, 10, 10, 0]]) / (2 + 3**0.5),
        "the mean without weights": np.array([[10 / 3, 10 / 3, 10 / 3, 0]]),
        "the new token sees itself alone": v,
    }
    check_close("y", y, np.array([[6.0, 2.0, 2.0, 0]]), 1e-9, causes)
    check_close("keys", new_keys, np.concatenate([keys, k[:, None]], axis=1), 1e-9)
    check_close("values", new_values, np.concatenate([values, v[:, None]], axis=1), 1e-9)


@check("cached_step")
def an_empty_cache(cached_step, rng):
    """the first token of a text sees itself"""
    q, k, v, keys, values, real = step_of(rng, 3, 0, 4)
    y, new_keys, _ = cached_step(q, k, v, keys, values, real)
    check_close("y", y, v, 1e-9)
    check_close("keys", new_keys, k[:, None], 1e-9)


@check("cached_step")
def padding(cached_step, rng):
    """texts of unequal length side by side: what stands in front of a shorter one is not seen, however loud it is"""
    q, k, v, keys, values, real = step_of(rng, 4, 5, 6)
    for row, missing in enumerate((0, 2, 5, 3)):
        real[row, :missing] = False
        keys[row, :missing], values[row, :missing] = 1e4 * q[row], 1000.0
    keys[3, 3:], k[3] = keys[3, 3:] - 1e5 * q[3], k[3] - 1e5 * q[3]  # and what is real may score little
    k[2] = -1e12 * q[2]  # the only real one of its text
    y, new_keys, _ = cached_step(q, k, v, keys, values, real)
    one_by_one = list(zip(q, k, v, keys, values, real))
    expected = np.array([one_text(*row) for row in one_by_one])
    seen = np.array([one_text(*row[:5], np.ones(5, bool)) for row in one_by_one])
    loud = np.where(np.arange(4)[:, None] == 2, 1000.0, expected)
    causes = {
        "padding is seen": seen,
        "the values of padding are 0, but it has a weight": expected * 0,
        "padding is seen where what is real scores less than the mask: it must be -inf, not a large number": loud,
    }
    check_close("y", y, expected, 1e-7, causes)
    check_equal("the shape of keys", new_keys.shape, (4, 6, 6))


@check("cached_step")
def far_apart_rows(cached_step, rng):
    """texts whose scores lie far apart"""
    q, k, v, keys, values, real = step_of(rng, 3, 4, 4)
    keys[0], k[0] = keys[0] + 600 * np.sign(q[0]), k[0] + 600 * np.sign(q[0])
    keys[1], k[1] = keys[1] - 9000 * np.sign(q[1]), k[1] - 9000 * np.sign(q[1])
    y = cached_step(q, k, v, keys, values, real)[0]
    check_close("y", y, np.array([one_text(*row) for row in zip(q, k, v, keys, values, real)]), 1e-7)


@check("cached_step")
def token_after_token(cached_step, rng):
    """six tokens fed one by one, two texts in turns: each sees what it was fed"""
    q, k, v, _, _, _ = step_of(rng, 12, 0, 4)
    caches = [(np.zeros((1, 0, 4)), np.zeros((1, 0, 4)))] * 2
    for n in range(12):
        text, rows = n % 2, list(range(n % 2, n, 2))
        real = np.ones((1, len(rows)), bool)
        y, *cache = cached_step(q[n : n + 1], k[n : n + 1], v[n : n + 1], *caches[text], real)
        caches[text] = tuple(cache)
        expected = np.array([one_text(q[n], k[n], v[n], k[rows], v[rows], real[0])])
        check_close(f"y of token {n // 2} of text {text}", y, expected, 1e-7)


@check("cached_step")
def keeps_float32_step(cached_step, rng):
    """float32 in and out"""
    q, k, v, keys, values, real = step_of(rng, 2, 3, 4)
    q, k, v, keys, values = (array.astype(np.float32) for array in (q, k, v, keys, values))
    found = cached_step(q, k, v, keys, values, real)
    expected = np.array([one_text(*row) for row in zip(q, k, v, keys, values, real)], np.float32)
    check_close("y", found[0], expected, 1e-4)
    check_close("keys", found[1], np.concatenate([keys, k[:, None]], axis=1), 1e-4)


# --- shown ---


@check("shown")
def by_hand_shown(shown):
    """a stop string in three pieces, and one that only begins"""
    pieces, stops = ["Well", ", user", " said: Us", "e", "r", ": hi", " you"], ["User:"]
    expected = ["Well", ", user", " said: ", "", "", "", "", ""]
    causes = {
        "a part of the stop string was shown": ["Well", ", user", " said: Us", "e", "r", "", "", ""],
        "all was held back to the end": ["", "", "", "", "", "", "", "Well, user said: "],
        "nothing was stopped": ["Well", ", user", " said: ", "", "", "User: hi", " you", ""],
        "the stop string was shown, too": ["Well", ", user", " said: ", "", "", "User:", "", ""],
        "it went on after the stop string": ["Well", ", user", " said: ", "", "", "", " you", ""],
    }
    check_equal("what is shown", list(shown(pieces, stops)), expected, causes)
    lost = {"what was held back is lost": ["O", "n", "ce", ""]}
    check_equal("what is shown", list(shown(["O", "n", "ce U"], ["User:"])), ["O", "n", "ce ", "U"], lost)
    check_equal("with no stop string", list(shown(["a", "", "b"], [])), ["a", "", "b", ""])


@check("shown")
def false_starts(shown):
    """what looked like the beginning was not, but its end is"""
    check_equal("with 'aab'", list(shown(["aa", "a", "ab", "c"], ["aab"])), ["", "a", "a", "", ""])
    check_equal("with 'abac'", list(shown(["aba", "bac", "x"], ["abac"])), ["", "ab", "", ""])


@check("shown")
def several_stops(shown):
    """of two that end at the same letter the longer one, of others the one that is complete first"""
    check_equal("'nd' and 'The End'", list(shown(["x The En", "d"], ["nd", "The End"])), ["x ", "", ""])
    check_equal("one inside the other", list(shown(["abcdef"], ["bcdef", "cd"])), ["ab", ""])
    check_equal("a single letter", list(shown(["ab\nc", "d"], ["\n"])), ["ab", "", ""])


@check("shown")
def many_ways_to_cut(shown, rng):
    """random texts of three letters, cut anywhere: no letter too many, and none too late"""
    for _ in range(60):
        text = "".join(rng.choice(list("abc"), size=40))
        stops = ["".join(rng.choice(list("abc"), size=int(rng.integers(2, 6)))) for _ in range(2)]
        ends = sorted((text.find(stop) + len(stop), -len(stop)) for stop in stops if stop in text)
        whole = text[: ends[0][0] + ends[0][1]] if ends else text
        cuts = [0, *sorted(int(c) for c in rng.integers(0, 41, 6)), 40]
        got = list(shown([text[a:b] for a, b in zip(cuts, cuts[1:])], stops))
        about = f"of {text!r} with {stops}"
        check_equal(f"the number of texts {about}", len(got), len(cuts))
        check_equal(f"all that is shown {about}", "".join(got), whole)
        for number, cut in enumerate(cuts[1:], start=1):
            if not ends or cut < ends[0][0]:
                sure = next(i for i in range(cut + 1) if i == cut or any(s.startswith(text[i:cut]) for s in stops))
                check_equal(f"shown of the first {cut} letters {about}", "".join(got[:number]), text[:sure])


# --- beam_step ---


@check("beam_step")
def by_hand_beams(beam_step):
    """two beams, four tokens, token 3 ends"""
    scores = np.array([-1.0, -4.0])
    table = np.array([[-3.0, -4.5, -8.0, -1.5], [-5.0, -0.25, -6.0, -3.0]])
    # sums: -4, -5.5, -9, -2.5 (end) and -9, -4.25, -10, -7 (end)
    expected = [(0, 0, -4.0), (1, 1, -4.25)], [(0, 3, -2.5)]
    causes = {
        "the new log-probabilities were taken alone": ([(1, 1, -0.25), (0, 0, -3.0)], [(0, 3, -1.5)]),
        "what has ended went on": ([(0, 3, -2.5), (0, 0, -4.0)], [(0, 3, -2.5)]),
        "an end took the place of an open beam": ([(0, 0, -4.0)], [(0, 3, -2.5)]),
        "the best of each beam was taken": ([(0, 0, -4.0), (1, 1, -4.25)], [(0, 3, -2.5), (1, 3, -7.0)]),
        "the worst were kept": ([(1, 2, -10.0), (0, 2, -9.0)], []),
    }
    got = beam_step(scores, table, 3, 2)
    check_equal("open and ended", tuple(list(part) for part in got), expected, causes)


@check("beam_step")
def all_from_one_beam(beam_step):
    """a beam that is far ahead has all continuations; another end token, three beams"""
    scores = np.array([-1.0, -50.0, -60.0])
    table = np.array([[-9.0, -1.0, -3.0, -2.0], [-0.5, -1.0, -2.0, -4.0], [-0.5, -1.0, -2.0, -4.0]])
    expected = [(0, 1, -2.0), (0, 3, -3.0), (0, 2, -4.0)], []
    got = beam_step(scores, table, 0, 3)
    causes = {"the best of each beam was taken": ([(0, 1, -2.0), (1, 1, -51.0), (2, 1, -61.0)], [])}
    check_equal("open and ended", tuple(list(part) for part in got), expected, causes)


@check("beam_step")
def ended_ones_take_no_place(beam_step):
    """both best continuations end: two others stay open"""
    table = np.array([[-0.25, -3.0, -4.0], [-0.5, -2.0, -5.0]])
    got = beam_step(np.array([0.0, 0.0]), table, 0, 2)
    expected = [(1, 1, -2.0), (0, 1, -3.0)], [(0, 0, -0.25), (1, 0, -0.5)]
    check_equal("open and ended", tuple(list(part) for part in got), expected)


@check("beam_step")
def more_beams_than_wanted(beam_step):
    """six beams of which the five best all end, for two"""
    scores = np.array([0.0, -0.5, -1.0, -1.5, -2.0, -9.0])
    table = np.full((6, 4), -20.0)
    table[:, 3], table[5] = -0.25, [-1.0, -2.0, -3.0, -4.0]
    got = beam_step(scores, table, 3, 2)
    expected = [(5, 0, -10.0), (5, 1, -11.0)], [(0, 3, -0.25), (1, 3, -0.75)]
    causes = {"only twice as many as were wanted were looked at": ([], expected[1])}
    check_equal("open and ended", tuple(list(part) for part in got), expected, causes)


@check("beam_step")
def late_ends(beam_step):
    """an end in third place is none for two beams"""
    table = np.array([[-3.0, -1.0, -2.0, -4.0]])
    got = beam_step(np.array([-1.0]), table, 0, 2)
    causes = {"every end was kept": ([(0, 1, -2.0), (0, 2, -3.0)], [(0, 0, -4.0)])}
    check_equal("open and ended", tuple(list(part) for part in got), ([(0, 1, -2.0), (0, 2, -3.0)], []), causes)


@check("beam_step")
def forbidden(beam_step):
    """-inf is in no list, even where fewer are left than asked for"""
    table = np.array([[-np.inf, -1.0, -np.inf], [-np.inf, -np.inf, -2.0]])
    got = beam_step(np.array([0.0, -1.0]), table, 0, 4)
    check_equal("open and ended", tuple(list(part) for part in got), ([(0, 1, -1.0), (1, 2, -3.0)], []))
    got = beam_step(np.array([-1.0, -np.inf]), np.full((2, 2), -0.5), 0, 4)
    causes = {"dead beams go on": ([(0, 1, -1.5), (1, 1, -np.inf)], [(0, 0, -1.5), (1, 0, -np.inf)])}
    check_equal("with a dead beam", tuple(list(part) for part in got), ([(0, 1, -1.5)], [(0, 0, -1.5)]), causes)


@check("beam_step")
def equal_scores(beam_step):
    """twenty beams of ten equal tokens: the smaller beam first, then the smaller token"""
    scores, table = np.full(20, -1.0), np.full((20, 10), -2.0)
    table[:, 4] = -5.0
    got, ended = beam_step(scores, table, 2, 12)
    tokens = [0, 1, 3, 5, 6, 7, 8, 9]
    check_equal("open", list(got), [(0, t, -3.0) for t in tokens] + [(1, t, -3.0) for t in tokens[:4]])
    check_equal("ended", list(ended), [(0, 2, -3.0), (1, 2, -3.0)])


# --- accept ---


@check("accept")
def by_hand_bug(accept):
    """the draft says nothing but 0, the model wants 0, 1 and 2 in shares of 0.5, 0.25 and 0.25"""
    p, q = np.array([0.5, 0.25, 0.25]), np.array([1.0, 0.0, 0.0])
    got = [accept(p, q, 0, u, w) for u in (0.49, 0.51, 0.99) for w in (0.1, 0.4, 0.6, 0.9)]
    causes = {
        "the program as it was found": [0] * 4 + [0, 0, 1, 2] * 2,
        "one is drawn from q after a refusal": [0] * 12,
        "the guess is always kept": [0] * 12,
        "the most probable one is taken after a refusal": [0] * 4 + [1] * 8,
        "the weights were not divided by their sum": [0] * 4 + [1, 2, 3, 3] * 2,
    }
    check_equal("tokens for u = 0.49, 0.51, 0.99 and four w", got, [0] * 4 + [1, 1, 2, 2] * 2, causes)


@check("accept")
def keeps_what_is_liked(accept):
    """a guess that the model likes at least as much as the draft does is kept for any u"""
    p, q = np.array([0.7, 0.2, 0.1]), np.array([0.4, 0.2, 0.4])
    got = [accept(p, q, guess, u, 0.5) for guess in (0, 1) for u in (0.0, 0.5, 0.999999)]
    check_equal("the tokens", got, [0, 0, 0, 1, 1, 1])
    check_equal("the third, kept a quarter of the time", [accept(p, q, 2, u, 0.5) for u in (0.24, 0.26)], [2, 0])


@check("accept")
def never_what_p_forbids(accept):
    """a guess that the model gives no probability is never kept, even for u = 0; nor drawn for w = 0"""
    p, q = np.array([0.0, 0.5, 0.0, 0.5]), np.array([0.5, 0.25, 0.25, 0.0])
    got = [accept(p, q, guess, 0.0, w) for guess in (0, 2) for w in (0.0, 0.3, 0.34, 0.999999)]
    check_equal("the tokens", got, [1, 1, 3, 3] * 2)


@check("accept")
def as_if_without_a_draft(accept, rng):
    """counted over all guesses and a grid of u and w, the tokens come as often as p says"""
    grid = (np.arange(15) + 0.5) / 15
    drawn = rng.permutation([0.1, 0.2, 0.3, 0.4])
    for p, q in ((np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.4, 0.3, 0.2, 0.1])), (drawn, drawn[::-1])):
        often = np.zeros(4)
        for guess in range(4):
            for u in grid:
                for w in grid:
                    often[accept(p, q, guess, u, w)] += q[guess] / 225
        worst = int(np.abs(often - p).argmax())
        check_that(
            abs(often[worst] - p[worst]) < 0.04,
            f"token {worst} comes with a probability of {often[worst]:.3f}, the model gives it {p[worst]:.3f}",
        )


@check("accept")
def a_plain_integer(accept):
    """the token comes back as an int, kept or drawn"""
    p, q = np.array([0.5, 0.5]), np.array([0.9, 0.1])
    got = [accept(p, q, 0, u, 0.5) for u in (0.1, 0.9)]
    check_equal("the tokens", got, [0, 1])
    check_that(all(isinstance(token, int) for token in got), f"these are {[type(t).__name__ for t in got]}, not int")


inputs_stay_unchanged("top_p", "penalise", "cached_step", "beam_step", "accept")
