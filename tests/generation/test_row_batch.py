"""Rows that come and go: each request's tokens are those that it has alone, and no place stays empty."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from llm_from_scratch.generation import RowBatch, continue_rows

from .conftest import MODELS, ByteTokenizer, Stepping, model_of

HOW = [{"temperature": 0.0}, {"temperature": 1.3}, {"top_p": 0.8, "repetition_penalty": 1.2}, {"min_p": 0.1}]


def requests(vocabulary, stops=(3, 4, 5)):
    """Ten of all lengths, each with its own settings."""
    rng = np.random.default_rng(11)
    for number in range(10):
        prompt = rng.integers(0, vocabulary, (1, 9, 2, 5)[number % 4]).tolist()
        limit = (12, 3, 1, 20, 7)[number % 5]
        yield prompt, {"max_new_tokens": limit, "seed": number, "stop_tokens": list(stops), **HOW[number % len(HOW)]}


def alone(model, prompt, settings):
    return continue_rows(model, [prompt], **settings)[0].new


@pytest.mark.parametrize("places", [1, 3, 20])
def test_each_request_gets_what_it_gets_alone(places):
    model = Stepping()
    joined(model)
    batch = RowBatch(model, places)
    asked = list(requests(model.vocabulary))
    rows = [batch.add(prompt, **settings) for prompt, settings in asked]
    ended = []
    while batch.running or batch.waiting:
        assert len(batch.running) <= places
        ended += batch.step()
    assert sorted(map(id, ended)) == sorted(map(id, rows)) and all(row.ended for row in rows)
    assert [row.new for row in rows] == [alone(Stepping(), *request) for request in asked]
    assert batch.step() == []  # nothing to do is no error


@pytest.mark.parametrize("name", MODELS)
def test_each_request_gets_what_it_gets_alone_from_any_model(name):
    model = model_of(name)
    batch, asked, rows = RowBatch(model, places=3), list(requests(30)), []
    for prompt, settings in asked:  # a new one every other step, while the others are under way
        rows.append(batch.add(prompt, **settings))
        batch.step()
        batch.step()
    batch.run()
    expected = [alone(model, *request) for request in asked]
    assert [row.new for row in rows] == expected
    assert len(set(map(len, expected))) > 3 and len({token for new in expected for token in new}) > 10


def joined(model):
    """Give a stand-in's memory, a list of rows, the two operations that change them."""

    class Rows(list):
        def select(self, rows):
            self[:] = [self[row] for row in rows]

        def join(self, other):
            self += other

    model.new_memory = lambda count: Rows([] for _ in range(count))


def test_a_place_is_given_to_the_next_at_once():
    model = Stepping()
    joined(model)
    batch = RowBatch(model, places=2)
    for limit in (2, 5, 3, 1):
        batch.add([limit], max_new_tokens=limit)
    running = []
    while batch.running or batch.waiting:
        batch.step()
        running.append(len(batch.running))
    assert running == [2, 1, 2, 2, 0, 0]  # 2 and 5 begin; in the third step 3 takes the place of 2, in the last comes 1
    assert max(rows for rows, _ in model.calls) == 2


def test_the_memory_is_no_longer_than_the_longest_row():
    """However many come and go: columns that are padding in every row are dropped."""
    model = model_of("llama_gqa")
    batch = RowBatch(model, places=2)
    for number in range(12):
        batch.add([5, 6, 7][: 1 + number % 3], max_new_tokens=4 + number % 3, temperature=0.0, stop_tokens=())
    longest = []
    while batch.running or batch.waiting:
        batch.step()
        longest.append(batch._memory.length)
    assert max(longest) <= 3 + 6 + 2  # 40 tokens went by


def test_texts_are_streamed_and_stop_strings_found():
    tokenizer, shown = ByteTokenizer(), ([], [])
    model = Stepping(vocabulary=128)
    joined(model)
    batch = RowBatch(model, places=2)
    settings = {"max_new_tokens": 30, "tokenizer": tokenizer, "seed": 3}
    whole = continue_rows(Stepping(vocabulary=128), [[65]], **settings)[0].text
    rows = [
        batch.add([65], stream=pieces.append, stop_strings=stops, **settings)
        for pieces, stops in zip(shown, ([], [whole[7:9]]))
    ]
    batch.run()
    assert "".join(shown[0]) == rows[0].text == whole
    assert "".join(shown[1]) == rows[1].text == whole[: whole.index(whole[7:9])]


@pytest.mark.parametrize(
    ("prompt", "settings", "error", "message"),
    [
        ([], {}, ValueError, "empty"),
        ([1.5], {}, TypeError, "integers"),
        ([-1], {}, ValueError, "negative"),
        (7, {}, ValueError, "batch, length"),
        ([1], {"max_new_tokens": -1}, ValueError, "max_new_tokens"),
        ([1], {"max_new_tokens": True}, TypeError, "max_new_tokens"),
        ([1], {"temperature": float("nan")}, ValueError, "temperature"),
        ([1], {"num_beams": 3}, TypeError, "num_beams"),
        ([1], {"stop_strings": ["x"]}, ValueError, "tokenizer"),
        ([1], {"seed": -1}, ValueError, "seed"),
        ([40], {}, ValueError, r"token ids must lie in 0\.\.39, got 40"),
        ([1] * 9, {}, ValueError, "need 11 positions, this model has 10"),
    ],
)
def test_a_bad_request_is_refused_and_the_others_do_not_notice(prompt, settings, error, message):
    model = Stepping()
    joined(model)
    model.position_limit, model.spec = 10, SimpleNamespace(vocab_size=40)
    batch = RowBatch(model, places=2)
    good = batch.add([1, 2], max_new_tokens=6)
    batch.step()
    with pytest.raises(error, match=message):
        batch.add(prompt, **{"max_new_tokens": 3, **settings})
    batch.run()
    assert good.new == alone(Stepping(), [1, 2], {"max_new_tokens": 6})


def test_a_row_to_which_no_token_is_left_fails_alone():
    model = Stepping(vocabulary=3)
    joined(model)
    batch = RowBatch(model, places=2)
    settings = {"max_new_tokens": 6, "seed": 2}
    stuck = batch.add([1], no_repeat_ngram_size=1, **settings)  # two more tokens, and there is none
    good, waiting = batch.add([2], **settings), batch.add([0], **settings)
    ended = []
    while batch.running or batch.waiting:
        ended += batch.step()
    assert sorted(stuck.seen) == [0, 1, 2] and stuck.ended and ended[0] is stuck and len(ended) == 3
    assert "after 3 tokens every next one would repeat" in str(stuck.failure)
    for row, prompt in ((good, [2]), (waiting, [0])):
        assert row.failure is None and row.new == alone(Stepping(vocabulary=3), prompt, settings)


def test_who_stops_listening_ends_alone():
    """What a stream raises is raised when all rows have their token: the others go on with nothing lost."""
    for silent in (2, 4):
        model, heard = Stepping(), []
        joined(model)

        def listen(token, silent=silent, heard=heard):
            heard.append(token)
            if len(heard) == silent:
                raise ConnectionError("nobody is there")

        batch = RowBatch(model, places=3)
        settings = {"max_new_tokens": 4, "stop_tokens": ()}
        rows = [batch.add([n], seed=n, **settings, **({"stream": listen} if n == 1 else {})) for n in range(5)]
        with pytest.raises(ConnectionError, match="nobody is there") as caught:
            batch.run()
        assert rows[1].ended and len(rows[1].new) == silent == len(heard) and rows[1].failure is caught.value
        batch.run()
        for n, row in enumerate(rows):
            assert row.new == alone(Stepping(), [n], {"seed": n, **settings})[: silent if n == 1 else 4]


def test_a_prompt_that_cannot_be_read_costs_the_others_nothing():
    model = Stepping()
    joined(model)
    step, full = model.step, True

    def tight(ids, memory, mask=None):
        if full and np.shape(ids)[1] > 3:
            raise MemoryError("too long a prompt")
        return step(ids, memory, mask)

    model.step = tight
    batch = RowBatch(model, places=2)
    asked = [([n] * (7 if n == 2 else 1), {"seed": n, "max_new_tokens": 3 + n, "stop_tokens": ()}) for n in range(4)]
    rows = [batch.add(prompt, **settings) for prompt, settings in asked]
    with pytest.raises(MemoryError):
        batch.run()
    full = False
    batch.run()
    assert [row.new for row in rows] == [alone(Stepping(), *request) for request in asked]


def test_a_request_may_be_given_up():
    model = Stepping()
    joined(model)
    batch = RowBatch(model, places=2)
    settings = {"max_new_tokens": 5, "stop_tokens": ()}
    rows = [batch.add([n], seed=n, **settings) for n in range(5)]
    batch.step()
    given_up = ValueError("given up")
    rows[0].fail(given_up)
    rows[3].fail(given_up)  # which still waits
    model.calls.clear()
    ended = []
    while batch.running or batch.waiting:
        ended += batch.step()
    assert ended == [rows[1], rows[2], rows[4]] and max(count for count, _ in model.calls) == 2
    assert model.calls[:2] == [(1, 1), (1, 1)]  # the place that was left is given away at once
    for n, row in enumerate(rows):
        assert row.new == alone(Stepping(), [n], {"seed": n, **settings})[: {0: 1, 3: 0}.get(n, 5)]
    rows = [batch.add([n], seed=n, **settings) for n in range(2)]
    batch.step()
    for row in rows:
        row.fail(given_up)
    assert batch.step() == [] and not batch.running


@pytest.mark.parametrize(("places", "error"), [(0, ValueError), (-1, ValueError), (True, TypeError), (1.5, TypeError)])
def test_impossible_numbers_of_places(places, error):
    with pytest.raises(error, match="place"):
        RowBatch(Stepping(), places)


def test_a_request_for_nothing_has_ended():
    batch = RowBatch(Stepping())
    assert batch.add([1], max_new_tokens=0).ended and not batch.waiting


def test_a_memory_without_join_is_refused_by_name():
    batch = RowBatch(Stepping(), places=2)  # its memory is a plain list
    batch.add([1], max_new_tokens=5)
    batch.step()
    batch.add([2], max_new_tokens=5)
    with pytest.raises(TypeError, match=r"list needs join\(other\)"):
        batch.step()
