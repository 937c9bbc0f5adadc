"""Seconds and bytes as people read them."""

import pytest

from llm_from_scratch.bench.quantities import duration, mebibytes


@pytest.mark.parametrize("seconds, words", [(1.0, "1.00 s"), (99.94, "99.9 s"), (164.2, "164 s"), (0.00999, "9.99 ms"),
                                            (5e-7, "0.5 µs"), (0.9996, "1,000 ms"), (1642.0, "1,642 s")])  # fmt: skip
def test_durations_have_three_digits_or_all_before_the_point(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize("size, words", [(0, "0.0 MiB"), (10 * 2**20, "10 MiB"), (1.25 * 2**20, "1.2 MiB"),
                                         (9.96 * 2**20, "10.0 MiB"), (5000 * 2**20, "5,000 MiB")])  # fmt: skip
def test_bytes_are_whole_mebibytes_and_tenths_of_few(size, words):
    assert mebibytes(size) == words
