"""Ranks as threads: messages keep their order, errors end everybody."""

import numpy as np
import pytest

from llm_from_scratch.parallel import run_ranks


def test_messages_of_a_sender_come_in_order_and_by_tag():
    def work(ranks):
        if ranks.rank == 0:
            for number in range(3):
                ranks.send(np.array([number]), 1)
            ranks.send(np.array([99]), 1, tag=5)
            return []
        special = ranks.receive(np.empty(1, np.int64), 0, tag=5)
        several = [np.empty(1, np.int64) for _ in range(3)]
        posted = [ranks.post_receive(into, 0) for into in several]
        ranks.wait(posted[::-1])  # asked in another order than posted
        return [int(special[0]), *(int(into[0]) for into in several)]

    assert run_ranks(2, work) == [[], [99, 0, 1, 2]]


def test_what_was_sent_may_change():
    def work(ranks):
        array = np.zeros(3)
        if ranks.rank == 0:
            ranks.send(array, 1)
            array[:] = 7
            return 0.0
        return float(ranks.receive(array, 0).sum())

    assert run_ranks(2, work) == [0.0, 0.0]


def test_the_first_error_ends_all_ranks():
    def work(ranks):
        if ranks.rank == 1:
            raise OSError("the disk is full")
        ranks.barrier()

    with pytest.raises(OSError, match="disk is full"):
        run_ranks(3, work)


def test_a_message_of_another_size_is_an_error():
    def work(ranks):
        if ranks.rank == 0:
            ranks.send(np.zeros(3), 1)
        else:
            ranks.receive(np.zeros(2), 0)

    with pytest.raises(ValueError, match="24 bytes came where 16"):
        run_ranks(2, work)


def test_messages_need_an_array_that_can_be_filled():
    for into in (np.zeros((4, 4))[:, 0], np.broadcast_to(np.zeros(1), (4,))):
        with pytest.raises(ValueError, match="contiguous"):
            run_ranks(2, lambda ranks, into=into: ranks.receive(into, 0) if ranks.rank else None)


@pytest.mark.parametrize("size", [0, -1, True, 1.5, "2", None])
def test_an_impossible_number_of_ranks_is_refused(size):
    with pytest.raises(ValueError, match="whole number of at least 1"):
        run_ranks(size, lambda ranks: None)
