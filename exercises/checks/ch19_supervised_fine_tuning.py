"""What the grader looks at in chapter 19. Nothing is hidden: read on if a message leaves you wondering.

Conversations are written out; masks come from marking every token with its turn; losses are computed in float64 by
logarithms of sums, gradients by central differences of that; rows are packed by trying every row for every one.
"""

from __future__ import annotations

import numpy as np

from llm_from_scratch.grading import CheckFailed, check, check_close, check_equal, inputs_stay_unchanged

# --- llama_2_template ---

SYSTEM = {"role": "system", "content": "Be kind."}
TURNS = [
    {"role": "user", "content": "Why?"},
    {"role": "assistant", "content": "Because."},
    {"role": "user", "content": "Oh?"},
    {"role": "assistant", "content": "Yes."},
]


@check("llama_2_template")
def a_system_message(llama_2_template):
    """a system message and one question"""
    expected = "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nWhy? [/INST]"
    causes = {
        "the system message is missing": "<s>[INST] Why? [/INST]",
        "it belongs inside the first [INST]": "<<SYS>>\nBe kind.\n<</SYS>>\n\n<s>[INST] Why? [/INST]",
        "the line ends of the system part differ": "<s>[INST] <<SYS>>Be kind.<</SYS>>Why? [/INST]",
    }
    check_equal("the text", llama_2_template([SYSTEM, TURNS[0]]), expected, causes)


@check("llama_2_template")
def two_exchanges(llama_2_template):
    """two questions and two answers, with and without a system message"""
    expected = "<s>[INST] Why? [/INST] Because. </s><s>[INST] Oh? [/INST] Yes. </s>"
    causes = {
        "every user message begins with <s>": expected.replace("</s><s>", "</s>"),
        "a space stands before </s>": expected.replace(" </s>", "</s>"),
        "a space stands before an answer": expected.replace("[/INST] ", "[/INST]"),
        "an answer ends with </s>": expected.replace(" </s>", " "),
    }
    check_equal("the text", llama_2_template(TURNS), expected, causes)
    system = "<<SYS>>\nBe kind.\n<</SYS>>\n\n"
    first = expected.replace("[INST] Why", f"[INST] {system}Why")
    again = {"the system part stands in the first question only": first.replace("[INST] Oh", f"[INST] {system}Oh")}
    check_equal("the text with a system message", llama_2_template([SYSTEM, *TURNS]), first, again)


@check("llama_2_template")
def white_space(llama_2_template):
    """contents with white space at their ends, and inside"""
    said = [{"role": "user", "content": "\n Why  so? "}, {"role": "assistant", "content": " Well,\nso.\n"}]
    expected = "<s>[INST] Why  so? [/INST] Well,\nso. </s>"
    causes = {"each content is stripped": "<s>[INST] \n Why  so?  [/INST]  Well,\nso.\n </s>"}
    check_equal("the text", llama_2_template(said), expected, causes)
    system = {"role": "system", "content": " Be kind. "}
    expected = "<s>[INST] <<SYS>>\n Be kind. \n<</SYS>>\n\n\n Why  so? [/INST]"
    apart = {"system and question are stripped together": expected.replace("\n\n\n Why", "\n\nWhy")}
    check_equal("the text with a system message", llama_2_template([system, said[0]]), expected, apart)


@check("llama_2_template")
def nothing_said(llama_2_template):
    """no messages, and a single question"""
    check_equal("the text of nothing", llama_2_template([]), "")
    check_equal("the text of a question", llama_2_template(TURNS[:1]), "<s>[INST] Why? [/INST]")


# --- mask_from_roles ---


def turn(role, header, content, end):
    return {"role": role, "header": header, "content": content, "end": end}


def by_marking(turns, train_on):
    """Every token with the place of its turn and whether it is part of the header."""
    marked = [
        (k, part == "header", token)
        for k, t in enumerate(turns)
        for part in ("header", "content", "end")
        for token in t[part]
    ]
    last = max((k for k, t in enumerate(turns) if t["role"] == "assistant"), default=-1)
    ids = np.array([token for _, _, token in marked], np.int64)
    if train_on == "all":
        return ids, np.ones(len(ids), bool)
    wanted = [last] if train_on == "last" else [k for k, t in enumerate(turns) if t["role"] == "assistant"]
    return ids, np.array([k in wanted and not header for k, header, _ in marked], bool)


def a_talk(rng, count=5):
    roles = ["system", *(("user", "assistant")[k % 2] for k in range(count))]
    return [
        turn(r, [1 + k], rng.integers(10, 90, rng.integers(1, 5)).tolist(), [3, 4][: 1 + k % 2])
        for k, r in enumerate(roles)
    ]


def compare(name, got, expected, causes=None):
    if not isinstance(got, tuple) or len(got) != 2:
        raise CheckFailed(f"{name}: two arrays are expected, ids and trained, got {type(got).__name__}")
    check_equal(f"{name}: ids", got[0], expected[0])
    check_equal(f"{name}: trained", got[1], expected[1], causes)


@check("mask_from_roles")
def one_answer(mask_from_roles):
    """a question and an answer, every token told apart"""
    turns = [turn("user", [1], [10, 11], [3]), turn("assistant", [2], [20, 21, 22], [3])]
    trained = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1], bool)
    causes = {
        "the token that ends the answer is trained": np.array([0, 0, 0, 0, 0, 1, 1, 1, 0], bool),
        "the header is not trained": np.array([0, 0, 0, 0, 1, 1, 1, 1, 1], bool),
        "the user's end is not trained": np.array([0, 0, 0, 1, 0, 1, 1, 1, 1], bool),
        "the mask is not shifted here": np.array([0, 0, 0, 0, 1, 1, 1, 1, 0], bool),
        "the question is trained, and not the answer": np.array([0, 1, 1, 1, 0, 0, 0, 0, 0], bool),
    }
    expected = np.array([1, 10, 11, 3, 2, 20, 21, 22, 3]), trained
    compare("a question and an answer", mask_from_roles(turns), expected, causes)


@check("mask_from_roles")
def long_talks(mask_from_roles, rng):
    """a system message and several turns"""
    for count in (2, 5, 8):
        turns = a_talk(rng, count)
        compare(f"{count} turns", mask_from_roles(turns), by_marking(turns, "assistant"))
        compare(f"{count} turns, by name", mask_from_roles(turns, train_on="assistant"), by_marking(turns, "assistant"))


@check("mask_from_roles")
def only_the_last(mask_from_roles, rng):
    """with train_on="last" the last answer, also where a question follows it"""
    for count in (4, 5):
        turns = a_talk(rng, count)
        every, last = (by_marking(turns, which) for which in ("assistant", "last"))
        causes = {"every answer is trained": every[1], "the last turn is no answer here": np.zeros(len(every[1]), bool)}
        compare(f"{count} turns", mask_from_roles(turns, train_on="last"), last, causes)


@check("mask_from_roles")
def everything_but_nothing_less(mask_from_roles, rng):
    """with train_on="all" every token"""
    turns = a_talk(rng)
    ids, trained = by_marking(turns, "all")
    causes = {
        "headers count as well": ~np.isin(
            np.arange(len(ids)),
            np.flatnonzero(
                [h for t in turns for h in [1] * len(t["header"]) + [0] * (len(t["content"]) + len(t["end"]))]
            ),
        )
    }
    compare("all", mask_from_roles(turns, train_on="all"), (ids, trained), causes)


@check("mask_from_roles")
def empty_parts(mask_from_roles):
    """no turns, turns without header or end, a turn of nothing, two answers in a row"""
    for turns in (
        [],
        [turn("assistant", [], [7], [])],
        [turn("user", [], [], []), turn("assistant", [2], [], [3]), turn("assistant", [], [9], [3])],
        [turn("user", [1], [5], [3])],
    ):
        for train_on in ("assistant", "last", "all"):
            compare(f"{len(turns)} turns, {train_on}", mask_from_roles(turns, train_on), by_marking(turns, train_on))


# --- masked_loss ---


def loss_of(logits, ids, trained, normaliser=None):
    """In float64, by logarithms of sums."""
    logits = np.asarray(logits, np.float64)
    terms = [np.logaddexp.reduce(logits[t]) - logits[t, ids[t + 1]] for t in range(len(ids) - 1) if trained[t + 1]]
    return sum(terms) / (len(terms) if normaliser is None else normaliser)


def gradient_of(logits, ids, trained, normaliser=None, h=1e-5):
    gradient = np.zeros(logits.shape)
    for place in np.ndindex(logits.shape):
        up, down = logits.astype(np.float64), logits.astype(np.float64)
        up[place] += h
        down[place] -= h
        gradient[place] = (loss_of(up, ids, trained, normaliser) - loss_of(down, ids, trained, normaliser)) / (2 * h)
    return gradient


def a_row(rng, length=9, words=6):
    trained = rng.random(length) < 0.5
    trained[[0, -2]], trained[-1] = (True, False), True
    return 2 * rng.normal(size=(length, words)), rng.integers(0, words, length), trained


@check("masked_loss")
def a_row_by_hand(masked_loss):
    """three tokens of which the last is trained"""
    logits = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8], [0.2, 0.2, 0.6]]))
    ids, trained = np.array([0, 1, 2]), np.array([False, False, True])
    causes = {
        "position t predicts token t + 1": -np.log(0.6),
        "the mask is about the token that is predicted": -np.log(0.25),
        "the mask is missing": -(np.log(0.25) + np.log(0.8)) / 2,
        "the sum is divided by the length": -np.log(0.8) / 3,
        "the sign is turned round": np.log(0.8),
    }
    check_close("the loss", masked_loss(logits, ids, trained)[0], float(-np.log(0.8)), 1e-9, causes)


@check("masked_loss")
def longer_rows(masked_loss, rng):
    """the first token may be marked as trained: nobody predicts it"""
    for length, words in ((9, 6), (2, 3), (30, 2)):
        logits, ids, trained = a_row(rng, length, words)
        check_close(
            f"the loss of {length} tokens",
            masked_loss(logits, ids, trained)[0],
            float(loss_of(logits, ids, trained)),
            1e-8,
        )


@check("masked_loss")
def gradient_by_differences(masked_loss, rng):
    """every entry of the gradient against central differences"""
    logits, ids, trained = a_row(rng)
    expected = gradient_of(logits, ids, trained)
    count = trained[1:].sum()
    causes = {
        "the sum is not divided": expected * count,
        "the sign is turned round": -expected,
        "the one at the target is missing": expected
        + np.where((np.eye(6)[np.roll(ids, -1)] > 0) & np.append(trained[1:], False)[:, None], 1 / count, 0),
    }
    gradient = masked_loss(logits, ids, trained)[1]
    check_close("the gradient", gradient, expected, 1e-6, causes)
    untrained = ~np.append(trained[1:], False)
    if np.any(gradient[untrained] != 0):
        raise CheckFailed("rows without a target must be exactly 0", "rows without a target are zero.")


@check("masked_loss")
def normaliser_counts(masked_loss, rng):
    """a batch in two parts, with one normaliser for both"""
    rows = [a_row(rng, length) for length in (4, 12)]
    total = float(sum(trained[1:].sum() for _, _, trained in rows))
    together = sum(loss_of(*row, total) for row in rows)
    causes = {
        "divide by the normaliser": float(sum(loss_of(*row) for row in rows)),
        "the normaliser is used beside the count": float(sum(loss_of(*row) / total for row in rows)),
    }
    check_close("the sum over both", sum(masked_loss(*row, total)[0] for row in rows), float(together), 1e-8, causes)
    check_close("the gradient", masked_loss(*rows[0], total)[1], gradient_of(*rows[0], total), 1e-6)


@check("masked_loss")
def far_apart(masked_loss, rng):
    """logits of a million and of minus a million, in different rows"""
    logits, ids, trained = a_row(rng)
    trained[1:] = True
    logits[::2] += 1e6
    logits[1::2] -= 1e6
    logits[3, ids[4]] -= 2000.0
    check_close("the loss", masked_loss(logits, ids, trained)[0], float(loss_of(logits, ids, trained)), 1e-5)


@check("masked_loss")
def keeps_float32_of_logits(masked_loss, rng):
    """float32 in, a float32 gradient out"""
    logits, ids, trained = a_row(rng)
    logits = logits.astype(np.float32)
    expected = gradient_of(logits, ids, trained, 3.0).astype(np.float32)
    check_close("the gradient", masked_loss(logits, ids, trained, 3.0)[1], expected, 1e-4)


# --- pack_dialogues ---


def some_dialogues(rng, lengths):
    made = []
    for length in lengths:
        ids = rng.integers(1, 90, length)
        targets = np.where(rng.random(length) < 0.5, np.roll(ids, -1), -100)
        targets[-1] = -100
        made.append((ids, targets))
    return made


def by_trying(dialogues, context):
    rows = []
    for pair in dialogues:
        for row in rows:
            if sum(len(ids) for ids, _ in row) + len(pair[0]) <= context:
                row.append(pair)
                break
        else:
            rows.append([pair])
    made = []
    for row in rows:
        ids = np.concatenate([ids for ids, _ in row])
        targets = np.concatenate([targets for _, targets in row])
        numbers = np.concatenate([np.full(len(ids), k) for k, (ids, _) in enumerate(row)])
        empty = context - len(ids)
        made.append([np.append(a, np.full(empty, f)) for a, f in ((ids, 0), (targets, -100), (numbers, -1))])
    return tuple(np.array([row[k] for row in made], np.int64) for k in range(3))


def compare_rows(got, expected, causes=None):
    if not isinstance(got, tuple) or len(got) != 3:
        raise CheckFailed(f"three arrays are expected, ids, targets and segments, got {type(got).__name__}")
    for name, mine, theirs in zip(("ids", "targets", "segments"), got, expected):
        check_equal(
            name, mine, theirs, {words: value[name] for words, value in (causes or {}).items() if name in value}
        )


@check("pack_dialogues")
def fills_rows_in_order(pack_dialogues, rng):
    """lengths 4, 3, 2, 1, 3 in rows of 6: the first row with room"""
    dialogues = some_dialogues(rng, (4, 3, 2, 1, 3))
    expected = by_trying(dialogues, 6)
    check_equal("the number of rows", len(pack_dialogues(dialogues, 6)[0]), 3)
    alone = by_trying(dialogues, 6)[0].copy()
    causes = {"the first row with room": {"ids": np.roll(alone, 1, axis=0)}}
    compare_rows(pack_dialogues(dialogues, 6), expected, causes)


@check("pack_dialogues")
def padding(pack_dialogues, rng):
    """empty places: ids 0, targets -100, segments -1"""
    dialogues = some_dialogues(rng, (3, 2))
    expected = by_trying(dialogues, 4)
    empty = expected[2] < 0
    causes = {
        "empty places have no targets: -100": {"targets": np.where(empty, 0, expected[1])},
        "empty places are nobody's: -1": {"segments": np.where(empty, 0, expected[2])},
    }
    compare_rows(pack_dialogues(dialogues, 4), expected, causes)


@check("pack_dialogues")
def exact_fit(pack_dialogues, rng):
    """as many as fit, to the last place; conversations of one token; a single one"""
    for lengths, context in (((3, 3), 6), ((6,), 6), ((1, 1, 1), 2), ((5, 1, 5, 1), 6), ((1,), 1)):
        dialogues = some_dialogues(rng, lengths)
        compare_rows(pack_dialogues(dialogues, context), by_trying(dialogues, context))


@check("pack_dialogues")
def many(pack_dialogues, rng):
    """forty conversations of any length"""
    dialogues = some_dialogues(rng, rng.integers(1, 30, 40))
    compare_rows(pack_dialogues(dialogues, 32), by_trying(dialogues, 32))


@check("pack_dialogues")
def too_long_is_refused(pack_dialogues, rng):
    """a conversation longer than the context"""
    for lengths in ((7,), (2, 7)):
        try:
            got = pack_dialogues(some_dialogues(rng, lengths), 6)
        except ValueError:
            continue
        raise CheckFailed(
            f"7 tokens in a context of 6 must raise ValueError, got {type(got).__name__}",
            "it was cut in silence, or given a row that is too long.",
        )


inputs_stay_unchanged("llama_2_template", "mask_from_roles", "masked_loss", "pack_dialogues")
