"""The power of the checker: what it passes, and above all what it rejects."""

from __future__ import annotations

import random
import re
from collections import defaultdict

import pytest

from llm_from_scratch.data.tales import consistency, consistency_score, summary, tell, words
from llm_from_scratch.data.tales.checking import CHECKS, FAIL, NOT_APPLICABLE, PASS

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
    assert consistency_score(TEXTS) >= 0.99
    assert consistency_score([tell(77, number).text for number in range(600)]) >= 0.99
    assert min(summary(TEXTS).values()) >= 0.99
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
    "Once there was a shy wolf named Zorro. He lived near the sea. He had a golden trumpet, and every day "
    "he played a tune for the waves. One day, Zorro met a small girl named Anna. Anna listened to Zorro and clapped. "
    '"Please play it again," said Anna. So Zorro played all evening, and {end}'
)


def test_a_story_of_ones_own_passes():
    """The checker knows the conventions, not the plots: names, kinds and things of one's own are welcome."""
    report = consistency(GOOD.format(end="from that day on, Zorro and Anna were friends."))
    assert report.consistent and report.reasons == ()
    assert report.results["things"] == NOT_APPLICABLE and report.results["names"] == PASS


@pytest.mark.parametrize(
    "end, check, reason",
    [
        ("Bruno was happy.", "names", "Bruno comes from nowhere"),
        ("Zorro the bear was happy.", "kinds", "Zorro is a wolf, not a bear"),
        ("Anna and Anna were friends.", "form", "'Anna and Anna'"),
        ("the fox and Zorro were happy.", "kinds", "no fox was introduced"),
        ("Anna came near. Anna was happy. He smiled at Zorro.", "pronouns", "'He' does not fit"),
        ("Zorro was happy. Then she smiled.", "pronouns", "'she' does not fit"),
        ("Zorro was happy. He gave the kite to Anna.", "things", "nobody said where the kite comes from"),
        ("Zorro was happy in the forest.", "places", "the forest comes from nowhere"),
        ("Zorro was tired and", "ending", "stops in the middle of a sentence"),
        ("Zorro was tired.", "ending", "without an ending"),
        ('Zorro was happy. "Good night.', "form", "quotation is not closed"),
        ("Zorro was a happy owl and an friend.", "form", "'an friend'"),
        ("Zorro was was happy.", "form", "'was was'"),
        ("Zorro was happy. He was happy. He was happy.", "form", "twice in a row"),
    ],
)
def test_each_check_catches_its_own_fault(end, check, reason):
    report = consistency(GOOD.format(end=end))
    assert report.results[check] == FAIL
    assert any(text.startswith(f"{check}: ") and reason in text for text in report.reasons)


def test_only_text_is_taken():
    with pytest.raises(TypeError, match="text of one tale, got list"):
        consistency(["a tale"])
