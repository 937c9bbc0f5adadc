"""Every number counts what its name says, and nothing depends on when it was seen."""

import json
import random

from llm_from_scratch.data.curation.outcome import EXAMPLES, Outcome, measured
from llm_from_scratch.data.curation.tally import OTHERS, Tally


def outcome(number, **entries):
    text = "word " * (number % 7 + 1)
    values = {"characters": len(text), "measures": (measured(text), measured(text)), "passed": ["a", "b"]}
    return Outcome(f"place {number}", f"source {number % 3}", (0, 0, 0, number), 10, **{**values, **entries})


def test_one_by_one():
    tally = Tally(["a", "b"])
    tally.add(outcome(1))
    tally.add(outcome(2, changed=[("a", -3)], removed=("b", "12 words, fewer than 50")))
    tally.add(outcome(3, removed=("a", "7.5% of it, more than 3%"), passed=["a"]))
    tally.add(outcome(4, skipped=("binary", "a zero")))
    numbers = tally.numbers
    assert numbers["documents"] == {"read": 3, "kept": 1} and numbers["bytes_read"] == 40
    assert numbers["characters"] == {"read": 10 + 15 + 20, "kept": 10}
    a, b = numbers["rules"]["a"], numbers["rules"]["b"]
    assert (a["seen"], a["removed"], a["removed_characters"], a["changed"], a["added_characters"]) == (3, 1, 20, 1, -3)
    assert (b["seen"], b["removed"], b["removed_characters"]) == (2, 1, 12)
    assert b["reasons"] == {"… words, fewer than …": {"count": 1}} and list(a["reasons"]) == ["…% of it, more than …%"]
    assert numbers["skipped"] == {
        "binary": {"count": 1, "bytes": 10, "examples": [{"place": "place 4", "detail": "a zero"}]}
    }
    assert numbers["sources"]["source 1"] == {
        "read": 1, "kept": 1, "skipped": 1, "characters": 10, "characters_kept": 10
    }  # fmt: skip


def test_going_on_from_json_is_the_same():
    rng = random.Random(0)
    outcomes = []
    for number in range(300):
        extra = {
            "examples": [("a", "removed", rng.randrange(10**6), {"place": str(number)})],
            "language": (number * 7919 % 300, "en"),
        }
        extra["removed"] = ("b", f"{number} times") if number % 3 == 0 else None
        outcomes.append(outcome(number, **extra))
    whole, half = Tally(["a", "b"]), Tally(["a", "b"])
    for one in outcomes:
        whole.add(one)
    for one in outcomes[:150]:
        half.add(one)
    again = Tally(["a", "b"], json.loads(json.dumps(half.numbers)))
    for one in outcomes[150:]:
        again.add(one)
    assert json.dumps(again.numbers) == json.dumps(whole.numbers)
    shown = whole.numbers["rules"]["a"]["examples"]["removed"]
    least = sorted(example[2] for one in outcomes for example in one.examples)[:EXAMPLES]
    assert [example["order"] for example in shown] == least


def test_a_document_stands_between_its_edges():
    tally = Tally([])
    tally.add(Outcome("x", "x", (0, 0, 0, 1), 1, measures=(measured("abcd " * 10), measured("ab"))))
    words = tally.numbers["histograms"]["words"]
    place, after = words["before"].index(1), words["after"].index(1)
    assert words["edges"][place - 1] <= 10 < words["edges"][place]
    assert words["edges"][after - 1] <= 1 < words["edges"][after]
    letters = tally.numbers["histograms"]["characters per word"]
    place = letters["before"].index(1)
    assert letters["edges"][place - 1] <= 4 < letters["edges"][place]
    assert all(
        histogram["edges"] == sorted(set(histogram["edges"])) for histogram in tally.numbers["histograms"].values()
    )


def test_an_empty_text_and_thousands_of_sources():
    tally = Tally([])
    for number in range(2000):
        tally.add(Outcome("x", f"s{number}", (0, 0, 0, 1), 1, measures=(measured(""), measured(""))))
    assert len(tally.numbers["sources"]) == 101 and tally.numbers["sources"][OTHERS]["read"] == 1900
    assert len(json.dumps(tally.numbers)) < 40_000
