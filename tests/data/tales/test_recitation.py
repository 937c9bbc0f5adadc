from __future__ import annotations

import itertools
import random

import pytest

from llm_from_scratch.data.tales import tales
from llm_from_scratch.data.tales.recitation import Recitation, Recited


def by_trying_all(texts: list[str], text: str, window: int) -> Recited:
    words, longest, recited = text.split(), 0, set()
    for start, stop in itertools.combinations(range(len(words) + 1), 2):
        run = words[start:stop]
        if any(run == known[k : k + len(run)] for known in map(str.split, texts) for k in range(len(known))):
            longest = max(longest, len(run))
            recited |= set(range(start, stop)) if len(run) >= window else set()
    return Recited(longest, len(recited) / max(1, len(words)))


def test_it_finds_what_trying_all_runs_finds():
    rng = random.Random(0)
    for _ in range(200):
        texts = [" ".join(rng.choices("abc", k=rng.randrange(12))) for _ in range(rng.randrange(5))]
        text, window = " ".join(rng.choices("abcd", k=rng.randrange(12))), rng.randrange(1, 5)
        assert Recitation(texts, window).of(text) == by_trying_all(texts, text, window)


def test_a_training_tale_is_recited_and_half_of_one_by_half():
    training = list(itertools.islice(tales(3), 200))
    known = Recitation(training)
    length = len(training[17].split())
    assert known.of(training[17]) == Recited(length, 1.0)
    half = " ".join(training[17].split()[: length // 2])
    assert known.of(half + " zebra" * (length - length // 2)) == Recited(length // 2, (length // 2) / length)
    assert known.of("") == Recited(0, 0.0) and known.of("zebra") == Recited(0, 0.0)
    fresh = known.summary(itertools.islice(tales(4), 30))
    assert 5 < fresh["run"] < 40 and fresh["share"] < 0.5 and fresh["longest"] >= fresh["run"]


def test_a_run_does_not_cross_from_one_text_into_the_next():
    known = Recitation(["a b", "c d"], window=2)
    assert known.of("a b c d") == Recited(2, 1.0) and known.of("b c") == Recited(1, 0.0)
    assert known.of("a B") == Recited(1, 0.0)  # capital letters count


def test_one_text_for_a_list_and_no_window_are_refused():
    with pytest.raises(TypeError, match="put it in a list"):
        Recitation("a tale")
    with pytest.raises(ValueError, match="at least 1 word, got 0"):
        Recitation([], window=0)
