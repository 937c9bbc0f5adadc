"""The power of the checker: what it passes, and above all what it rejects."""

from __future__ import annotations

import random
import re
from collections import defaultdict

import pytest

from llm_from_scratch.data.tales import consistency, consistency_score, summary, tell, words
from llm_from_scratch.data.tales.checking import CHECKS, FAIL, PASS

TALES = [tell(1, number) for number in range(400)]
TEXTS = [t.text for t in TALES]
SWAP = {"he": "she", "she": "he", "his": "her", "her": "his", "him": "her"}
SWAP |= {a.capitalize(): b.capitalize() for a, b in SWAP.items()}


def change_late(text: str, old: str, new: str, after: float = 0.5) -> str | None:
    """Replace a word in the later part only; None when it does not occur there."""
    cut = int(len(text) * after)
    tail = re.sub(rf"\b{old}\b", new, text[cut:])
    return None if tail == text[cut:] else text[:cut] + tail


def corrupted(corrupt) -> list[str]:
    rng = random.Random(0)
    return [text for t in TALES if (text := corrupt(t, rng)) is not None]


def test_generated_tales_pass():
    """Not one is flagged; `python -m llm_from_scratch.data.tales --checker` says the same of 10,000."""
    assert [report.reasons for t in TALES if not (report := consistency(t.text)).consistent] == []
    assert consistency_score([tell(77, number).text for number in range(1600)]) == 1
    assert set(summary(TEXTS)) == {*CHECKS, "consistent"}


def other_name(t, rng):
    return change_late(t.text, t.slots["hero"], rng.choice([n for n in words.HE_NAMES if n not in t.text]))


def heroes_exchanged(t, rng):
    return change_late(t.text, t.slots["hero"], t.slots["friend"]) if t.slots["friend"] in t.text else None


def other_thing(t, rng):
    noun = t.slots["noun"]
    return change_late(t.text, noun, rng.choice([n for n in words.THINGS if n not in t.text]))


def other_colour(t, rng):
    if t.slots["thing"] not in t.text[: len(t.text) // 2]:
        return None
    colour = rng.choice([c for c in words.COLOURS if c != t.slots["colour"]])
    return change_late(t.text, t.slots["thing"], f"{colour} {t.slots['noun']}")


def other_pronouns(t, rng):
    text = re.sub(r"\b(" + "|".join(SWAP) + r")\b", lambda match: SWAP[match.group()], t.text)
    return None if text == t.text else text


def other_kind(t, rng):
    kind = rng.choice([k for k in words.ANIMALS if k not in t.text])
    return change_late(t.text, f"(the|little) {t.slots['kind']}", rf"\1 {kind}")


def other_place(t, rng):
    place = rng.choice([p for p in words.PLACES if p not in t.text])
    return change_late(t.text, f"the {t.slots['place']}", f"the {place}", after=0.65)


def cut_between_sentences(t, rng):
    sentences = re.split(r"(?<=[.!?]) ", t.text)
    return " ".join(sentences[: int(len(sentences) * rng.uniform(0.4, 0.85))])


def cut_anywhere(t, rng):
    return t.text[: int(len(t.text) * rng.uniform(0.4, 0.95))]


def shuffled_words(t, rng):
    tokens = t.text.split(" ")
    rng.shuffle(tokens)
    return " ".join(tokens)


def shuffled_sentences(t, rng):
    sentences = re.split(r"(?<=[.!?]) ", t.text)
    rng.shuffle(sentences)
    return " ".join(sentences)


def spliced_from_two(t, rng):
    other = rng.choice(TALES)
    return "\n\n".join(t.text.split("\n\n")[:2] + other.text.split("\n\n")[2:]) if other is not t else None


def in_a_loop(t, rng):
    sentences = re.split(r"(?<=[.!?]) ", t.text)
    return " ".join(sentences[:6] + sentences[5:6] * 4 + sentences[-2:])


@pytest.mark.parametrize(
    "corrupt, most, enough",
    [
        (other_name, 0.02, 300),
        (heroes_exchanged, 0.05, 300),
        (other_thing, 0.02, 60),
        (other_colour, 0.02, 50),
        (other_pronouns, 0.02, 300),
        (other_kind, 0.15, 40),
        (other_place, 0.05, 40),
        (cut_between_sentences, 0.05, 400),
        (cut_anywhere, 0.02, 400),
        (shuffled_words, 0.0, 400),
        (shuffled_sentences, 0.02, 400),
        (spliced_from_two, 0.025, 390),
        (in_a_loop, 0.15, 400),
    ],
)
def test_corrupted_tales_are_rejected(corrupt, most, enough):
    texts = corrupted(corrupt)
    assert len(texts) >= enough
    assert consistency_score(texts) <= most


@pytest.mark.parametrize("order", [1, 2])
def test_a_chain_of_words_is_rejected(order):
    """What a model of two or three words' memory writes, locally fluent, is not a tale."""
    followers = defaultdict(list)
    for text in TEXTS:
        tokens = ["<s>"] * order + text.split(" ") + ["</s>"]
        for i in range(order, len(tokens)):
            followers[tuple(tokens[i - order : i])].append(tokens[i])
    rng = random.Random(0)
    written = []
    for _ in range(100):
        tokens = ["<s>"] * order
        while tokens[-1] != "</s>" and len(tokens) < 250:
            tokens.append(rng.choice(followers[tuple(tokens[-order:])]))
        written.append(" ".join(tokens[order:-1]))
    assert consistency_score(written) <= 0.02


def test_nothing_is_gained_by_writing_little():
    for text in ("", "   \n", "The end.", "Once there was a fox named Tom. From that day on, Tom was happy."):
        report = consistency(text)
        assert not report.consistent
    assert consistency("").score == 0.0 and consistency_score([]) == 0.0
    assert set(consistency("").results.values()) == {FAIL}
    assert summary([])["consistent"] == 0.0


GOOD = (
    "Once there was a small duck named Finn. He lived in a hut near the sea. He had a golden flute, and every day "
    "he played a song for the stars. One day, Finn met a small fox by the river. The fox listened and clapped. "
    '"Please play your golden flute again," said the fox. So Finn played by the river all evening, and {end}'
)


def test_a_story_of_ones_own_passes():
    """The checker knows the words and the conventions of the tales, not their plots."""
    report = consistency(GOOD.format(end="from that day on, Finn and the fox were friends."))
    assert report.consistent and report.reasons == ()
    assert report.results["colours"] == report.results["places"] == PASS


@pytest.mark.parametrize(
    "end, check, reason",
    [
        ("Bruno was happy.", "names", "Bruno comes from nowhere"),
        ("a bear named Tim was happy.", "names", "Tim is introduced after Finn"),
        ("Finn the bear was happy.", "kinds", "Finn is a duck, not a bear"),
        ("the little bear was happy.", "kinds", "Finn is a duck, not a bear"),
        ("the owl and Finn were happy.", "kinds", "no owl was introduced"),
        ("the duck was happy.", "kinds", "no duck was introduced"),
        ("a young owl came near. Finn was happy.", "kinds", "a second character, the owl, beside the fox"),
        ("the butterfly was happy.", "kinds", "no butterfly was introduced"),
        ("Finn asked his mother. His uncle was happy.", "kinds", "mother and then uncle"),
        ("Finn asked the mother. He was happy.", "kinds", "nobody said whose mother it is"),
        ("Finn was happy. Then she smiled.", "pronouns", "Finn is called she"),
        ("Finn was happy with the silver flute.", "colours", "golden and then silver"),
        ("Finn was happy with the grey flute.", "colours", "golden and then grey"),
        ("Finn was happy with the golden stone.", "colours", "golden is said of 'stone'"),
        ("Finn was happy. He gave the golden kite to the fox.", "things", "flute and then kite"),
        ("the pie made Finn happy.", "things", "nobody said where the pie comes from"),
        ("a pie and a cake made Finn happy.", "things", "pie and then cake"),
        ("Finn was happy in the forest.", "places", "river and then forest"),
        ("Finn was happy in the kitchen.", "places", "river and then kitchen"),
        ("Finn was happy in the hut near the castle.", "places", "hut near the sea and then hut near the castle"),
        ("Finn was coatooed.", "words", "'coatooed'"),
        ("Finn was happy §.", "words", "'§'"),
        ("Finn was tired and", "ending", "stops in the middle of a sentence"),
        ("Finn was tired.", "ending", "without an ending"),
        ('Finn was happy. "Good night.', "form", "quotation is not closed"),
        ("Finn was a happy owl and an friend.", "form", "'an friend'"),
        ("Finn was was happy.", "form", "'was was'"),
        ("Finn and Finn were happy.", "form", "'Finn and Finn'"),
        ("Finn was\nhappy.", "form", "a line ends"),
        ("Finn was happy. He was happy. He was happy.", "form", "twice in a row"),
    ],
)
def test_each_check_catches_its_own_fault(end, check, reason):
    report = consistency(GOOD.format(end=end))
    assert report.results[check] == FAIL
    assert any(text.startswith(f"{check}: ") and reason in text for text in report.reasons)


@pytest.mark.parametrize(
    "title, reason",
    [
        ("Finn the duck and the golden flute", None),
        ("Finn the duck and the golden flute by the river", None),
        ("Finn the duck", None),
        ("Finn the duck and the golden flute in the forest", "places: forest and then river"),
        ("Tim the duck and the golden flute", "hero: the title promises Tim the duck"),
        ("Finn the bear and the golden flute", "hero: the title promises Finn the bear"),
        ("Finn the duck and the silver flute", "colours: silver and then golden"),
        ("Finn the duck and the golden kite", "things: kite and then flute"),
        ("Finn the duck and the golden stone", "colours: golden is said of 'stone'"),
        ("A golden flute", "hero: the title 'A golden flute' is not: Name"),
    ],
)
def test_the_title_has_to_agree(title, reason):
    tale = GOOD.format(end="from that day on, Finn and the fox were friends.")
    report = consistency(f"{title}\n\n{tale}")
    assert (reason is None and report.consistent) or any(said.startswith(str(reason)) for said in report.reasons)


def test_whatever_is_written_gets_a_report_and_garbage_fails():
    rng = random.Random(5)
    signs = "aAeEthT  .,!?\"'\n\n-_0129éß狐\u200b\x00named\t"
    for _ in range(300):
        text = "".join(rng.choice(signs) for _ in range(rng.randrange(400)))
        assert not consistency(text).consistent
    for tokens in (
        ["a"],
        ["named", "a", "Tim"],
        ["the", "little", "fox", "'s", "red"],
        ['"', "\n\n", "kite", "near the"],
    ):
        for _ in range(100):
            assert not consistency(" ".join(rng.choices(tokens, k=rng.randrange(120)))).consistent


def test_only_text_is_taken():
    with pytest.raises(TypeError, match="text of one tale, got list"):
        consistency(["a tale"])
