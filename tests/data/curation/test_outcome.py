"""What a worker tells of a document: every rule that looked, what it did, and the piece that shows it."""

from dataclasses import dataclass, field

import pytest

from llm_from_scratch.data.curation import outcome as module
from llm_from_scratch.data.curation.outcome import EXAMPLES, Treatment, clipped, common, difference, measured
from llm_from_scratch.data.curation.records import JSON, TEXT, Record, Skipped
from llm_from_scratch.data.curation.rule import Removed


@dataclass(frozen=True)
class Replace:
    """A rule for tests: one word for another."""

    old: str
    new: str
    name: str = "replace"
    does: str = "replaces"

    def __call__(self, text):
        return text.replace(self.old, self.new)


@dataclass(frozen=True)
class Forbid:
    word: str
    name: str = "forbid"
    does: str = "forbids"

    def __call__(self, text):
        return Removed(f"it says {self.word}", self.word) if self.word in text else text


@dataclass(frozen=True)
class Length:
    name: str = "length"
    seen: list = field(default_factory=list)

    def key(self, text):
        return len(text)


def record(data, kind=TEXT, place="here"):
    return Record(place, "origin", kind, data if isinstance(data, bytes) else data.encode(), 0, (0, 0, 1, 1))


def test_rules_apply_in_order_until_one_removes():
    treat = Treatment([Replace("cat", "lion"), Forbid("lion"), Replace("x", "y", name="never")])
    outcome = treat(record("the cat sat"))
    assert outcome.passed == ["replace", "forbid"] and outcome.changed == [("replace", 1)]
    assert outcome.removed == ("forbid", "it says lion") and not outcome.line and not outcome.keys
    assert outcome.characters == 11 and outcome.measures == (measured("the cat sat"), ())
    changed, removed = outcome.examples
    assert changed[:2] == ("replace", "changed") and changed[3]["before"] == "the cat sat"
    assert removed[3] == {"place": "here", "reason": "it says lion", "shown": "lion", "beginning": "the lion sat"}


def test_what_stays_is_a_line_with_all_that_came_with_it():
    treat = Treatment([Replace("a", "é")], remembering=[Length()])
    row = treat(record('{"id": 1, "text": "an apple", "tags": [null]}', JSON))
    assert row.line == '{"id": 1, "text": "én épple", "tags": [null]}\n'.encode() and row.keys == [8]
    assert treat.keys_of(row.line) == row.keys
    assert treat(record("plain", place="a.txt")).line == '{"text": "pléin", "source": "a.txt"}\n'.encode()
    assert treat(record("", place="a.txt")).line == b'{"text": "", "source": "a.txt"}\n'


def test_extraction_is_for_pages_alone_and_histograms_begin_after_it():
    treat = Treatment([], extraction=Replace("<html>", "", name="html"))
    page, text = treat(record("<html>words", TEXT)), treat(record("about <html>"))
    assert page.passed == ["html"] and page.measures[0] == measured("words") and page.characters == 11
    assert text.passed == [] and text.line.startswith(b'{"text": "about <html>"')
    gone = Treatment([], extraction=Forbid("html", name="html"))(record("<html>words"))
    assert gone.removed[0] == "html" and gone.measures is None


def test_what_cannot_be_read_says_why():
    skipped = Treatment([])(Skipped("a.bin", "in", "binary", "byte 0x00 at offset 3", 7, (0, 1, 0, 0)))
    assert skipped.skipped == ("binary", "byte 0x00 at offset 3") and skipped.size == 7
    assert Treatment([])(record(b"\xff")).skipped == ("not UTF-8", "byte 0xff at offset 0")


def test_a_rule_that_fails_is_named_with_the_document():
    class Broken:
        name = "broken"

        def __call__(self, text):
            raise KeyError("x")

    class Missing(Broken):
        def __call__(self, text):
            raise ImportError("pip install something")

    with pytest.raises(ValueError, match=r"the rule broken failed on here \(KeyError: 'x'\).*--without broken"):
        Treatment([Broken()])(record("text"))
    with pytest.raises(ValueError, match="the rule broken: pip install something. Or go on without it"):
        Treatment([], extraction=Missing())(record(b"<html>", TEXT))


def test_examples_are_the_same_whoever_saw_what():
    places = [f"document {number}" for number in range(500)]
    one = Treatment([])
    orders = {place: order for place in places if (order := one.wanted("r", "removed", place)) is not None}
    best = sorted(orders, key=orders.get)[:EXAMPLES]
    for parts in (2, 7):
        workers = [Treatment([]) for _ in range(parts)]
        found = {
            place: order
            for number, place in enumerate(places)
            if (order := workers[number % parts].wanted("r", "removed", place)) is not None
        }
        assert sorted(found, key=found.get)[:EXAMPLES] == best
    assert len(orders) < 60 and not set(best) <= set(places[:20]), "few are made, and from everywhere"


def test_languages_of_a_sample(monkeypatch):
    answers = {"bonjour": ("fr", 0.9), "hm": ("pl", 0.3)}
    monkeypatch.setattr(module, "identify_language", answers.get)
    treat = Treatment([], languages=True)
    assert treat(record("bonjour", place="a")).language[1] == "fr"
    assert treat(record("hm", place="b")).language[1] == "unsure"
    monkeypatch.setattr(module, "SAMPLED", 2)
    later = [treat(record("bonjour", place=f"c{number}")).language for number in range(50)]
    assert later.count(None) > 30 and Treatment([])(record("bonjour")).language is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ""),
        ("a", ""),
        ("", "a"),
        ("abc", "abc"),
        ("aaaa", "aa"),
        ("x" * 900 + "a" + "y" * 900, "x" * 900 + "b" + "y" * 900),
    ],
)
def test_differences_are_short_and_show_what_differs(before, after):
    shown = difference(before, after)
    assert max(map(len, shown)) < 300 and (shown[0] == shown[1]) == (before == after)


def test_common_beginnings():
    assert common("abcd", "abxd") == 2 and common("", "a") == 0 and common("aa", "aaa") == 2
    assert clipped("a\n" * 50).count("\n") == 7 and clipped("short") == "short"


def test_measures():
    assert measured("two words\nhere")[:5] == (14, 3, 2, 12, 14) and measured("é")[4] == 2
    assert measured("他走了 home")[1:4] == (4, 1, 7)  # words as the rules of quality count them
    assert measured("")[:4] == (0, 0, 1, 0)


def test_a_text_of_which_a_rule_leaves_nothing_is_removed():
    outcome = Treatment([Replace("x", " "), Replace("y", "z", name="never")])(record("x x"))
    assert outcome.removed == ("replace", "nothing is left of it") and not outcome.line
    assert outcome.passed == ["replace"] and outcome.examples[0][3]["beginning"] == "x x"
