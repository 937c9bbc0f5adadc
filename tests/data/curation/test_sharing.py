"""Processes take documents in turns and give outcomes in order; one that dies is reported, not waited for."""

import dataclasses
import os
import signal

import pytest

from llm_from_scratch.data.curation import sharing
from llm_from_scratch.data.curation.chain import Chain
from llm_from_scratch.data.curation.gopher import GopherQuality
from llm_from_scratch.data.curation.records import TEXT, Record
from llm_from_scratch.data.curation.remembering import Exact
from llm_from_scratch.data.curation.sharing import Sharing

CHAIN = Chain((GopherQuality(least_words=2, least_stop_words=0), Exact()))


def records(count):
    return [Record(f"{n}", "in", TEXT, b"word " * (n % 5), 0, (0, 0, n, n)) for n in range(count)]


@pytest.fixture
def pair(monkeypatch):
    monkeypatch.setattr(sharing, "_BATCH", 30)
    shared = Sharing(CHAIN, 2)
    yield shared
    shared.close()


def test_in_order_and_equal_to_one(pair):
    one = Sharing(CHAIN, 1)
    # A worker cannot know that another one has enough examples; `Tally` keeps the same of either.
    plain = [[dataclasses.replace(outcome, examples=[]) for outcome in apply(records(100))] for apply in (pair, one)]
    assert plain[0] == plain[1] and len(plain[0]) == 100
    lines = [outcome.line for outcome in one(records(50)) if outcome.line]
    assert list(pair.keys(lines)) == list(one.keys(lines)) and len(lines) == 30
    assert list(pair([])) == []


def test_only_a_few_batches_are_read_ahead(pair):
    taken = []

    def endless():
        for record in records(10_000):
            taken.append(record)
            yield record

    outcomes = pair(endless())
    next(outcomes)
    assert len(taken) < 150
    outcomes.close()


def test_a_worker_that_dies_is_reported(pair):
    outcomes = pair(records(1000))
    next(outcomes)
    for process in list(pair._pool._processes):
        os.kill(process, signal.SIGKILL)
    with pytest.raises(MemoryError, match="a worker process was ended.*the same command goes on"):
        list(outcomes)


def test_what_goes_wrong_in_a_worker_arrives(pair):
    bad = Record("bad", "in", "unknown", None, 0, (0, 0, 0, 0))
    with pytest.raises(TypeError):
        list(pair([bad]))
