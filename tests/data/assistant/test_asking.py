"""How a callable is asked, and what of its lists is an item."""

import pytest

from llm_from_scratch.data.assistant.asking import counted, put, without_number


def test_a_text_is_a_users_message_and_a_dialogue_is_passed_on_as_a_copy():
    seen = []
    dialogue = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    assert put(lambda messages: seen.append(messages) or "  So. \n", "Why?") == "So."
    assert put(lambda messages: seen.append(messages) or "So.", dialogue) == "So."
    assert seen == [[{"role": "user", "content": "Why?"}], dialogue] and seen[1] is not dialogue


@pytest.mark.parametrize("answer", [None, 3, b"So.", ["So."]])
def test_what_is_no_text_is_refused(answer):
    with pytest.raises(TypeError, match=rf"must return a text, got {type(answer).__name__}"):
        put(lambda messages: answer, "Why?")


def test_numbers_of_a_list_are_no_part_of_its_items():
    lines = ["1. Why?", " 12) Why?", "3: Why?", "- Why?", "* Why?", "Why?"]
    assert {without_number(line) for line in lines} == {"Why?"}
    assert without_number("3 + 4 = 7") == "3 + 4 = 7" and without_number("2nd") == "2nd"


def test_only_what_was_dropped_is_counted():
    assert counted({"a": 0, "b": 2, "c": 1}) == "2 b, 1 c" and counted({"a": 0}) == "nothing"
