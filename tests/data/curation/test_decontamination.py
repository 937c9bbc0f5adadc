from __future__ import annotations

import random

import pytest

from llm_from_scratch.data.curation.decontamination import Decontamination, Met
from llm_from_scratch.data.curation.rule import Removed
from llm_from_scratch.data.curation.words import words

QUESTION = "Which of these three animals sleeps standing up in the open field at night: a horse, a cat, or a mole?"
ANSWER = "The river that runs through the old town has seven bridges, and nobody can cross them all just once."


def sentence(count, seed=0):
    dice = random.Random(seed)
    return " ".join("".join(dice.choices("abcdefghijklmnop", k=6)) for _ in range(count))


def around(middle, left=100, right=100):
    return f"{sentence(left, 1)} {middle} {sentence(right, 2)}"


def met_by_hand(text, items, ngram, shortest):
    """The items of which a run of words stands in the text."""
    found, names = words(text), set()
    for name, item in items.items():
        wanted = words(item)
        length = min(ngram, len(wanted))
        if len(wanted) < min(shortest, ngram):
            continue
        runs = {tuple(wanted[i : i + length]) for i in range(len(wanted) - length + 1)}
        if any(tuple(found[i : i + length]) in runs for i in range(len(found) - length + 1)):
            names.add(name)
    return names


def test_a_text_with_13_words_of_a_question_goes_and_one_with_12_stays():
    rule = Decontamination({"animals": QUESTION, "bridges": ANSWER})
    part = QUESTION.split()
    assert rule(around(" ".join(part[3:15]))) == around(" ".join(part[3:15]))
    removed = rule(around(" ".join(part[3:16])))
    assert removed == Removed("13 words in a row of animals", " ".join(part[3:16])[:-1])
    both = rule(around(QUESTION + " Quite so. " + ANSWER))
    assert both.reason == "21 words in a row of animals, and runs of 1 other evaluation texts"
    assert both.shown == QUESTION[:-1]


def test_case_punctuation_spacing_and_encoding_do_not_hide():
    rule = Decontamination(
        [QUESTION + " " + "Le café au lait, s'il vous plaît, à la française: où est-il, très cher ami?"]
    )
    for hidden in (
        QUESTION.upper(),
        QUESTION.replace(" ", "\n\t"),
        "*" + QUESTION.replace(" ", " *"),
        QUESTION.replace(":", " --").replace(",", ""),
        "le cafe\u0301 au lait s il vous plai\u0302t a\u0300 la franc\u0327aise ou\u0300 est il",
    ):
        assert isinstance(rule(around(hidden)), Removed), hidden
    assert not rule.met(around(QUESTION.replace("animals", "beasts").replace("night", "noon")))


@pytest.mark.parametrize(("ngram", "shortest"), [(13, 8), (3, 2), (2, 1), (8, 13), (5, 5)])
def test_which_items_are_met(ngram, shortest):
    dice = random.Random(0)
    items = {f"item {n}": " ".join(dice.choices("abcdef", k=dice.randint(0, 30))) for n in range(60)}
    rule = Decontamination(items, ngram=ngram, shortest=shortest)
    short = {name for name, item in items.items() if len(item.split()) < min(shortest, ngram)}
    assert set(rule.ignored) == short
    met = 0
    for number in range(200):
        text = " ".join(dice.choices("abcdef", k=dice.randint(0, 60)))
        if number % 2:
            text += " " + items[f"item {dice.randrange(60)}"]
        expected = met_by_hand(text, items, ngram, shortest)
        assert {one.item for one in rule.met(text)} == expected
        assert isinstance(rule(text), Removed) == bool(expected)
        met += bool(expected)
    assert met > 30


def test_short_evaluation_texts():
    rule = Decontamination({"nine": "Sixty-four squares and not one more or less!", "four": "What is the time?"})
    assert rule.ignored == ("four",)
    assert rule.met("So: sixty four squares, and not one more (or less).")[0].item == "nine"
    assert not rule.met("sixty four squares and not one more or fewer, what is the time")
    assert Decontamination({"four": "What is the time?"}, shortest=4).met("He said: what is THE time?")


def test_where_it_stands():
    rule = Decontamination({"animals": QUESTION, "bridges": ANSWER})
    text = around(f"{QUESTION} And then: {ANSWER}")
    met = rule.met(text)
    assert [one.item for one in met] == ["animals", "bridges"]
    assert [text[one.start : one.end] for one in met] == [QUESTION[:-1], ANSWER[:-1]]
    assert rule.met(QUESTION + ANSWER) == [
        Met("animals", 0, len(QUESTION) - 1),
        Met("bridges", len(QUESTION), len(QUESTION + ANSWER) - 1),
    ]
    # Two questions that share a run are both named, each with its own stretch.
    shared = Decontamination({"one": QUESTION, "two": QUESTION + " " + ANSWER})
    assert [(one.item, one.end - one.start) for one in shared.met(QUESTION)] == [
        ("one", len(QUESTION) - 1),
        ("two", len(QUESTION) - 1),
    ]


def test_every_item_of_equal_ones_is_named():
    rule = Decontamination([QUESTION] * 50)
    assert {one.item for one in rule.met(QUESTION)} == {f"item {number}" for number in range(50)}


def test_cutting_takes_the_window_and_nothing_else():
    rule = Decontamination([QUESTION], cut=True)
    left, right = sentence(100, 1), sentence(100, 2)
    start = len(left) + 1
    text = f"{left} {QUESTION} {right}"
    end = start + len(QUESTION) - 1
    assert rule.pieces(text) == [text[: start - 200].strip(), text[end + 200 :].strip()]
    assert rule(text) == "\n\n".join(rule.pieces(text))
    assert rule.pieces(left) == [left] and rule(left) == left
    assert not rule.met(rule(text))


def test_pieces_shorter_than_the_window_go():
    rule = Decontamination([QUESTION], cut=True)
    pad = "x" * 200
    assert rule.pieces(f"{'y' * 199} {pad[:-1]} {QUESTION[:-1]} {pad[:-1]}{'z' * 200}") == ["z" * 200]
    assert rule.pieces(f"{'y' * 200} {pad[:-1]} {QUESTION[:-1]} {pad[:-1]}{'z' * 199}") == ["y" * 200]
    nothing = rule(f"short {QUESTION} short")
    assert nothing == Removed("21 words in a row of item 0, cut, and no piece is left", QUESTION[:-1])


def test_a_text_in_more_than_ten_pieces_goes():
    rule = Decontamination([QUESTION], cut=True)
    for times, pieces in ((1, 2), (9, 10), (10, 0)):
        text = sentence(120) + f" {QUESTION} {sentence(120)}" * times
        assert len(rule.pieces(text)) == pieces
        assert isinstance(rule(text), Removed) == (pieces == 0)


def test_stretches_that_are_close_are_cut_once():
    rule = Decontamination([QUESTION, ANSWER], cut=True)
    text = around(f"{QUESTION} {ANSWER}")
    assert len(rule.pieces(text)) == 2
    assert not rule.met(rule(text))
    inside = " ".join(QUESTION.split()[2:11])  # of an item that lies in another one, nothing comes back
    text = around(QUESTION)
    assert Decontamination([QUESTION, inside], cut=True).pieces(text) == rule.pieces(text)


def test_runs_that_only_touch_are_no_longer_run():
    rule = Decontamination(["a b c d e f"], ngram=3)
    assert [(one.start, one.end) for one in rule.met("d e f a b c")] == [(0, 5), (6, 11)]
    assert rule("d e f a b c").reason == "3 words in a row of item 0"


def test_texts_that_are_shorter_than_a_run_and_empty():
    rule = Decontamination([QUESTION])
    for text in ("", " ", "Which of these", "?!", "\ud800"):
        assert rule(text) == text and rule.met(text) == []


def test_a_rule_that_could_never_remove_is_refused():
    for items in ([], {}, ["", "too short"], ["?!"]):
        with pytest.raises(ValueError, match=f"none of {len(items)} evaluation texts has 8 words"):
            Decontamination(items)


def test_hostile_items():
    for bad in (QUESTION, b"bytes"):
        with pytest.raises(TypeError, match="several evaluation texts, got a single one"):
            Decontamination(bad)
    for bad in (None, 3, b"bytes"):
        with pytest.raises(TypeError, match=f"evaluation text 'item 1' is no text but {type(bad).__name__}"):
            Decontamination([QUESTION, bad])


@pytest.mark.parametrize("setting", ["ngram", "shortest", "window", "most_pieces"])
@pytest.mark.parametrize("bad", [0, -1, True, 1.5, None])
def test_hostile_settings(setting, bad):
    with pytest.raises((TypeError, ValueError), match=f"{setting} is"):
        Decontamination([QUESTION], **{setting: bad})


@pytest.mark.parametrize("bad", [None, b"a", 3])
def test_what_is_no_text(bad):
    rule = Decontamination([QUESTION])
    for call in (rule, rule.met, rule.pieces):
        with pytest.raises(TypeError, match="decontamination works on a text"):
            call(bad)


def test_it_is_a_rule():
    rule = Decontamination(iter([QUESTION]))
    assert rule.name == "decontamination" and rule.does
    assert QUESTION not in repr(rule)
    assert rule.items == {"item 0": QUESTION}
