"""Parts of a call shared out among threads: all are done, once, and nothing goes on after an error."""

import threading

import pytest
from threadpoolctl import threadpool_limits

from llm_from_scratch.kernels import sharing


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_unit_is_done_once_by_as_many_threads_as_products_use(threads, monkeypatch):
    monkeypatch.setattr(sharing, "product_threads", lambda: threads)
    done, who = [], set()

    def work(first, last):
        done.extend(range(first, last))
        who.add(threading.current_thread().name)

    sharing.share(7, work)
    assert sorted(done) == list(range(7))
    assert len(who) <= threads
    sharing.share(0, work)
    sharing.share(3, work, alone=True)
    assert sorted(done) == sorted([*range(7), *range(3)])


def test_products_limited_to_one_thread_limit_this_too():
    with threadpool_limits(1, user_api="blas"):
        assert sharing.product_threads() == 1


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_in_any_part_is_raised_when_all_have_ended(failing, monkeypatch):
    monkeypatch.setattr(sharing, "product_threads", lambda: 2)
    ended = []

    def work(first, last):
        if first == failing:
            raise ArithmeticError(f"part {first}")
        ended.append(first)

    with pytest.raises(ArithmeticError, match=f"part {failing}"):
        sharing.share(2, work)
    assert ended == [1 - failing]
