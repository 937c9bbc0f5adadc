"""The true reward of single answers: what each part of it gives and takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_from_scratch.data.assistant.marking import COLOURS, IDLE, KINDS, STRANGE, UNFINISHED, Mark, measure, sentences

KNOWN = frozenset(("tom", "mouse", "fox", "kite", "red", "forest"))
RED = Mark(("red",), COLOURS - {"red"}, "The kite was red.", "Tom lost the red kite.", KNOWN)
LOST = Mark(("tom", "lost", "the", "red", "kite"), frozenset(("then",)), "First Tom lost the red kite.", "", KNOWN)
FIVE = Mark(("5",), frozenset(), "Tom had 5 kites.", "3 + 2 = 5.", KNOWN, last=True)
BEST = "The kite was red. Tom lost the red kite."


def score(text, mark=RED):
    return measure(text, mark).score


def test_the_best_answer_is_worth_one():
    assert score(BEST) == score("First Tom lost the red kite.", LOST) == score("3 + 2 = 5. Tom had 5 kites.", FIVE) == 1


def test_a_bare_word_a_sentence_and_a_sentence_with_its_detail_are_worth_more_and_more():
    assert 0.4 < score("Red.") < score("The kite was red.") < score(BEST)
    assert score("Red.") == pytest.approx(1 - 0.3 * 3 / 4 - 0.35)  # one word of four of the sentence, no detail


def test_idle_words_cost_by_their_number():
    assert score(f"Oh, how well you asked! {BEST}") == pytest.approx(IDLE / (IDLE + 5))
    assert score(f"{BEST} {BEST}") < score(BEST)  # said twice is said idly
    assert score(BEST + " Well, well." * 200) < 0.03 and not measure(BEST + " Well, well." * 200, RED).right


def test_the_first_sentence_that_tells_anything_is_the_answer():
    assert measure("Well! The kite was red. It was not blue.", RED).correct == 1
    assert not measure("The kite was blue. The kite was red.", RED).right
    assert not measure("The kite was red and blue.", RED).right


def test_of_numbers_the_last_one_counts():
    assert measure("3 + 2 = 5.", FIVE).right and measure("I had 3 and 2. It is 5", FIVE).right
    assert not measure("5 + 1 = 6.", FIVE).right and not measure("Tom had kites.", FIVE).right
    assert not measure("Tom had 15 kites.", FIVE).right  # not as part of a number


def test_what_the_prompt_does_not_know_is_strange():
    answer = "The kite was red. Tom lost the red kite in the garden."
    found = measure(answer, RED)
    assert found.strange == 1 and not found.right and found.correct == 1
    assert found.score == pytest.approx(score(answer.replace("garden", "forest")) * STRANGE)


def test_a_sentence_that_was_cut_off_is_worth_less():
    assert score(BEST[:-1]) == pytest.approx(UNFINISHED * score(BEST))


def test_part_of_a_long_answer_is_worth_part_of_it():
    parts = ["First Tom lost the red kite.", "First Tom lost the kite.", "First Tom lost.", "Then the fox came."]
    found = [score(part, LOST) for part in parts]
    assert found == sorted(found, reverse=True) and len(set(found)) == 4 and found[1] > 0.25
    assert [measure(part, LOST).right for part in parts] == [True, False, False, False]


def test_a_wrong_answer_to_the_question_is_worth_more_than_none_and_less_than_any_right_one():
    wrong = score("The kite was blue.")
    assert 0 == score("") == score("I do hope so!") == score("Tom was in the forest.") < wrong < 0.2 * score("Red.")


def test_kinds_hold_elders_and_a_name_is_found_in_small_letters():
    mark = Mark(("tom",), frozenset(("fox",)) | KINDS, "The tale is about Tom.", "", KNOWN)
    assert measure("tom.", mark).right and not measure("The mother.", mark).right


def test_sentences_end_where_they_do():
    assert sentences('Red! "Is it?" he said.\nNo') == ["Red!", '"Is it?"', "he said.", "No"]
    assert sentences("") == sentences(" \n..") == []


def test_what_is_no_text_is_refused():
    with pytest.raises(TypeError, match="an answer is a text, got NoneType"):
        measure(None, RED)


WORDS = st.sampled_from("red blue kite Tom the was . ! ? not 5 3 + = lost fox First because \n well".split(" "))


@given(st.one_of(st.text(max_size=300), st.lists(WORDS, max_size=60).map(" ".join)))
def test_any_text_has_a_score_between_zero_and_one(text):
    for mark in (RED, LOST, FIVE):
        found = measure(text, mark)
        assert 0 <= found.score <= 1 and 0 <= found.sentence <= 1 and 0 <= found.detail <= 1 and found.idle >= 0
        assert not found.right or found.score > 0.05
