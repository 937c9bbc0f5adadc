"""The slices that threads of an update get: together they are everything, once."""

import numpy as np
import pytest

from llm_from_scratch.training.pieces import Piece, between


@pytest.mark.parametrize("threads", [1, 2, 3, 7, 40])
def test_equal_shares_cover_every_number_once(threads):
    sizes = [5, 0, 1, 13, 7]
    total = sum(sizes)
    borders = [total * k // threads for k in range(threads + 1)]
    seen = [np.zeros(size, int) for size in sizes]
    for start, stop in zip(borders, borders[1:]):
        places = between(sizes, start, stop)
        assert sum(high - low for _, low, high in places) == stop - start
        for number, low, high in places:
            seen[number][low:high] += 1
    assert all((counts == 1).all() for counts in seen)


def test_a_part_is_a_view_that_knows_where_it_begins():
    param, grad = np.arange(10.0), np.arange(10.0) * 2
    piece = Piece(3, [param, param + 1], grad, 100, {})
    assert piece.part(0, 10) is piece and not piece.rounded
    part = piece.part(4, 7)
    assert part.first == 104 and part.number == 3 and part.grad.tolist() == [8.0, 10.0, 12.0]
    part.arrays[0][:] = -1
    assert param.tolist() == [0, 1, 2, 3, -1, -1, -1, 7, 8, 9]
