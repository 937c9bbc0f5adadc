"""Ratings in words, read back; in the prompt of an answer, and as what a second model learns to say."""

import itertools

import pytest

from llm_from_scratch.alignment.attributes import (
    ATTRIBUTES,
    annotated,
    rating_dialogue,
    rating_prompt,
    read_attributes,
    with_attributes,
    write_attributes,
)

BEST = dict.fromkeys(ATTRIBUTES, 4)
CHAT = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]
WORDS = "helpfulness:4,correctness:4,coherence:4,complexity:4,verbosity:4"


def test_written_and_read_is_what_it_was():
    for values in itertools.islice(itertools.product(range(5), repeat=5), 0, None, 17):
        ratings = dict(zip(ATTRIBUTES, values))
        assert read_attributes(write_attributes(ratings)) == ratings
        assert write_attributes(dict(reversed(ratings.items()))) == write_attributes(ratings)


@pytest.mark.parametrize(
    "ratings", [{**BEST, "verbosity": 5}, {**BEST, "verbosity": -1}, {**BEST, "verbosity": 1.5}, {**BEST, "wit": 1},
                {**BEST, "verbosity": True}, {}]
)  # fmt: skip
def test_other_ratings_are_refused(ratings):
    with pytest.raises(ValueError, match="verbosity must be a whole number|ratings are of"):
        write_attributes(ratings)


@pytest.mark.parametrize(
    "text", ["", WORDS[:-1], WORDS[:-1] + "5", WORDS + ",", "x" + WORDS, WORDS.replace(":4", ": 4")]
)
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError, match="expected ratings such as helpfulness:4"):
        read_attributes(text)


def test_the_rating_stands_before_the_answer_it_is_of():
    assert with_attributes(CHAT, BEST) == [CHAT[0], {"role": "user", "content": f"u\n{WORDS}"}, CHAT[2]]
    assert with_attributes(CHAT[:2], BEST) == with_attributes(CHAT, BEST)[:2]  # trained and asked in the same words
    assert CHAT[1]["content"] == "u"
    assert rating_dialogue(CHAT, BEST) == [*rating_prompt(CHAT), {"role": "assistant", "content": WORDS}]
    assert rating_prompt(CHAT)[:3] == CHAT and rating_prompt(CHAT)[3]["role"] == "user"


@pytest.mark.parametrize("messages", [[], CHAT[:1], CHAT[2:]])
def test_dialogues_without_a_user_before_the_answer_are_refused(messages):
    with pytest.raises(ValueError, match="no messages|must be the user's"):
        with_attributes(messages, BEST)


def test_annotation_asks_about_each_answer_and_counts_what_it_cannot_read():
    def predict(prompts):
        assert prompts == [rating_prompt(CHAT)] * 3
        return [WORDS, "good", WORDS.replace("4", "0")]

    made, unread = annotated([CHAT] * 3, predict)
    assert unread == 1 and made == [with_attributes(CHAT, BEST), with_attributes(CHAT, dict.fromkeys(ATTRIBUTES, 0))]
    with pytest.raises(ValueError, match="must end with an answer"):
        rating_prompt(CHAT[:2])
