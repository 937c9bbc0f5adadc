from __future__ import annotations

import unicodedata
from collections import Counter

import numpy as np
import pytest

from llm_from_scratch.data.curation.exact import LineCounts, digest


def test_what_a_digest_ignores():
    text = "Une fête,\n\tdeux  fêtes. "
    for same in (text.strip(), text.replace("\n", "\r\n"), unicodedata.normalize("NFD", text), " ".join(text.split())):
        assert digest(same) == digest(text)
    for other in (text.lower(), text.replace(",", ""), text.replace("ê", "e"), text + "!", text[1:], ""):
        assert digest(other) != digest(text)


def test_digests_fill_64_bits():
    found = np.array([digest(str(number)) for number in range(2000)], np.uint64)
    assert len(np.unique(found)) == 2000
    for bit in range(64):
        share = ((found >> np.uint64(bit)) & np.uint64(1)).mean()
        assert 0.44 < share < 0.56  # five standard errors
    assert digest("whale").to_bytes(8, "little").hex() == "4c5e5669aaf02488"  # the same on every machine


def test_strange_texts():
    assert digest("") == digest(" \n\u2003")
    assert digest("\ud800") != digest("\ud801")  # a lone surrogate, as JSON can hold it
    assert digest("a\0b") != digest("ab")


PAGES = [
    "Home | About\nWhales sing.\n\nAll rights reserved.",
    "Home  |  About\r\nBees dance.\r\n\r\nBees dance.\r\nAll rights reserved.\r\n",
    "Home | About\nA cafe\u0301 opens.\n",
    "A café opens.\nhome | about",
]


def counted(pages=PAGES):
    counts = LineCounts()
    for page in pages:
        counts.add(page)
    return counts


def test_lines_that_stand_in_several_places_go():
    counts = counted()
    assert [counts.without_repeated(page) for page in PAGES] == ["Whales sing.\n\n", "\r\n", "", "home | about"]
    twice = [counts.without_repeated(page, most=2) for page in PAGES]
    assert twice[0] == "Whales sing.\n\nAll rights reserved."
    assert twice[1] == "Bees dance.\r\n\r\nBees dance.\r\nAll rights reserved.\r\n"
    assert twice[2:] == ["A cafe\u0301 opens.\n", PAGES[3]]
    assert [counts.without_repeated(page, most=3) for page in PAGES] == PAGES


def test_counts_are_those_of_a_dictionary():
    rng = np.random.default_rng(0)
    pages = ["\n".join(f"line {i}" for i in rng.zipf(1.5, 50) % 400) for _ in range(40)]
    counts = counted(pages)
    by_hand = Counter(line for page in pages for line in page.splitlines())
    lines = [f"line {i}" for i in range(400)]
    assert counts.counts(lines).tolist() == [max(1, by_hand[line]) for line in lines]
    unique = [line for page in pages for line in counts.without_repeated(page).splitlines()]
    assert sorted(unique) == sorted(line for line, count in by_hand.items() if count == 1)


def test_empty_lines_never_count():
    counts = counted(["\n\n\n\na", "\n \n\nb"])
    assert counts.counts(["", " ", "a"]).tolist() == [1, 1, 1]
    assert counts.without_repeated("\n\n\na\n") == "\n\n\na\n"


def test_nothing_counted_nothing_removed():
    counts = LineCounts()
    assert counts.counts([]).tolist() == [] and counts.counts(["a"]).tolist() == [1]
    assert counts.without_repeated("a\nb") == "a\nb" and counts.without_repeated("") == ""


def test_counting_goes_on_after_looking():
    counts = counted(["a"])
    assert counts.counts(["a"]).tolist() == [1]
    counts.add("a\nb")
    assert counts.counts(["a", "b", "c"]).tolist() == [2, 1, 1]


@pytest.mark.parametrize("bad", [None, b"a", 3])
def test_what_is_no_text(bad):
    for call in (digest, LineCounts().add, LineCounts().without_repeated):
        with pytest.raises(TypeError, match="a text, a str"):
            call(bad)


@pytest.mark.parametrize("bad", [0, -1, True, 1.5, None])
def test_hostile_most(bad):
    with pytest.raises((TypeError, ValueError), match="most is"):
        counted().without_repeated("a", most=bad)
