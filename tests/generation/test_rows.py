"""A row ends itself, shows what is certain, and keeps nothing of a stop string."""

import numpy as np
import pytest

from llm_from_scratch.generation import Row, left_padded

from .conftest import Letters

PROMPTS = [[5, 6, 7], np.array([4]), (8, 3)]


def filled(row, tokens):
    for token in tokens:
        row.add(token)
    return row


@pytest.mark.parametrize(
    ("settings", "tokens", "new", "kept", "text"),
    [
        ({"max_new_tokens": 3}, [1, 2, 3], [1, 2, 3], [1, 2, 3], "bcd"),
        ({"max_new_tokens": 3, "stop_tokens": [2]}, [1, 2], [1, 2], [1, 2], "b"),
        ({"max_new_tokens": 9, "stop_strings": ["cd"]}, [1, 2, 3], [1, 2, 3], [1], "b"),
        ({"max_new_tokens": 3, "stop_strings": ["de"]}, [1, 2, 3], [1, 2, 3], [1, 2, 3], "bcd"),  # a beginning only
    ],
)
def test_what_ends_a_row_and_what_is_left(settings, tokens, new, kept, text):
    shown = []
    row = Row([0, 0], tokenizer=Letters(), stream=shown.append, **settings)
    for count in range(1, len(tokens) + 1):
        assert row.would_end(tokens[:count]) == (count == len(tokens))
    for token in tokens:
        assert not row.ended
        row.add(token)
    assert row.ended and (row.new, row.kept, row.text, "".join(shown)) == (new, kept, text, text)
    assert row.seen == [0, 0, *new]
    with pytest.raises(ValueError, match="has ended"):
        row.add(1)
    # what the row would do does not depend on where it stands
    assert row.would_end(tokens) and not row.would_end(tokens[:-1])


def test_a_row_that_cannot_go_on_says_why_and_shows_what_was_held_back():
    shown, why = [], ValueError("no token is left")
    row = filled(Row([0], max_new_tokens=9, tokenizer=Letters(), stop_strings=["cd"], stream=shown.append), [1, 2])
    assert shown == ["b"] and row.failure is None
    row.fail(why)
    assert row.ended and row.failure is why and "".join(shown) == row.text == "bc" and row.kept == [1, 2]


def test_a_row_of_no_tokens_has_ended_and_text_needs_a_tokenizer():
    row = Row([3], max_new_tokens=0)
    assert row.ended and row.kept == []
    with pytest.raises(ValueError, match="tokenizer"):
        print(row.text)


def test_rows_are_filled_up_on_the_left():
    ids, real = left_padded(PROMPTS)
    assert ids.tolist() == [[5, 6, 7], [0, 0, 4], [0, 8, 3]] and ids.dtype == np.int64
    assert real.tolist() == [[True] * 3, [False, False, True], [False, True, True]]
