"""The first of alike texts stays, and what was kept is all there is to remember."""

import random

import pytest

from llm_from_scratch.data.curation.remembering import Exact, Memory, Near


def told(memory, texts, rules):
    """The number of the earlier one for each text, kept texts numbered as they are kept."""
    kept, answers = 0, []
    for text in texts:
        last = memory.place(kept, [rule.key(text) for rule in rules])[-1]
        answers.append(last)
        kept += last[1] is None
    return answers


def test_the_rule_that_knows_is_named_and_later_ones_do_not_look():
    rules = [Exact(), Near(ngram=2)]
    long = " ".join(f"word{number}" for number in range(200))
    answers = told(Memory(rules), [long, "other text here", "  " + long, long + " more"], rules)
    assert answers == [("near", None), ("near", None), ("exact", 0), ("near", 0)]


def test_what_was_kept_brings_the_memory_back():
    rng = random.Random(0)
    rules = [Exact(), Near(ngram=1, threshold=0.5)]
    texts = [" ".join(rng.choices("abcdefghijkl", k=rng.choice([1, 2, 6, 10]))) for _ in range(300)]
    whole = told(Memory(rules), texts, rules)
    assert {name for name, earlier in whole if earlier is not None} == {"exact", "near"}
    for cut in (1, 50, 150):
        again = Memory(rules)
        kept = [text for text, (_, earlier) in zip(texts[:cut], whole) if earlier is None]
        for number, text in enumerate(kept):
            assert again.place(number, [rule.key(text) for rule in rules])[-1] == ("near", None)
        answers = []
        for text in texts[cut:]:
            answers.append(again.place(len(kept), [rule.key(text) for rule in rules])[-1])
            if answers[-1][1] is None:
                kept.append(text)
        assert answers == whole[cut:]


def test_no_rule_remembers_nothing():
    assert Memory([]).place(0, []) == []


@pytest.mark.parametrize("settings", [{"threshold": 0}, {"threshold": 1.5}, {"ngram": 0}, {"permutations": 0}])
def test_settings_that_cannot_be(settings):
    with pytest.raises(ValueError):
        Near(**settings)
