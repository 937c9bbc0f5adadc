"""Short tales: what a tale's facts say, in sentences, and nothing else."""

import dataclasses

import pytest

from llm_from_scratch.data.assistant.passages import passage, sentence_case, with_article
from llm_from_scratch.data.tales import tell, vocabulary


def test_a_passage_tells_the_facts_of_its_tale_in_words_of_the_tales():
    for number in range(60):
        facts, text = tell(14, number).facts, passage(14, number).text()
        for name in ("hero", "kind", "friend", "thing", "where", "first", "then", "feeling", "why"):
            assert getattr(facts, name) in text, (name, text)
        assert facts.home.split(" ", 3)[-1] in text
        assert {word.strip(".,!?\"'") for word in text.lower().split()} <= {word.lower() for word in vocabulary()}


def test_a_sentence_can_be_left_out():
    told = passage(14, 3)
    for name, sentence in told.sentences.items():
        assert sentence in told.text() and sentence not in told.text(without=name)


def test_known_words_are_those_of_the_text_in_small_letters():
    told = passage(14, 3)
    assert told.facts.hero.lower() in told.known and told.facts.hero not in told.known
    assert dataclasses.replace(told, facts=passage(14, 4).facts).known != told.known


def test_small_things():
    assert [with_article(noun) for noun in ("owl", "fox", "orange hat")] == ["an owl", "a fox", "an orange hat"]
    assert sentence_case("in the hut") == "In the hut."
    with pytest.raises(ValueError, match="must not be negative"):
        passage(0, -1)
