"""Examples of blank infilling: what is taken out comes back as targets, statistics of the mix, errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_from_scratch.data import BlankTokens, infilling_batch, mask_rest, mask_spans, short_spans

SPECIAL = BlankTokens(mask=1, gmask=2, start=3, end=4, pad=9)


def restored(example) -> list[int]:
    """The text again, from the context and what is to be written, by positions alone."""
    context, n = example.ids[: example.prefix_length].tolist(), example.prefix_length
    starts = [t for t in range(n, len(example.ids)) if example.ids[t] == SPECIAL.start]
    contents = {}
    for start, stop in zip(starts, [*starts[1:], len(example.ids)]):
        written = example.targets[start:stop].tolist()
        assert written[-1] == SPECIAL.end and written[:-1] == example.ids[start + 1 : stop].tolist()
        place = int(example.positions[start])
        if context[-1] == SPECIAL.gmask:
            assert example.positions[start:stop].tolist() == list(range(n, n + stop - start))
            place = n - 1
        else:
            assert set(example.positions[start:stop].tolist()) == {place} and context[place] == SPECIAL.mask
        contents[place] = written[:-1]
    assert example.positions[:n].tolist() == list(range(n)) and (example.targets[:n] == -100).all()
    return [token for i, old in enumerate(context) for token in contents.get(i, [old])]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(10, 99), min_size=2, max_size=60), st.integers(0, 2**32 - 1), st.floats(0.05, 0.5))
def test_what_is_taken_out_is_what_is_to_be_written(text, seed, share):
    rng = np.random.default_rng(seed)
    spans = short_spans(len(text), rng, share=share)
    example = mask_spans(text, spans, SPECIAL)
    assert restored(example) == text and len(example.ids) == len(text) + 2 * len(spans)
    assert sum(b - a for a, b in spans) == max(1, int(share * len(text)))
    cut = int(rng.integers(0, len(text)))
    example = mask_rest(text, cut, SPECIAL)
    assert restored(example) == text and example.prefix_length == cut + 1


def test_spans_are_as_long_and_as_spread_as_announced():
    rng = np.random.default_rng(0)
    drawn = [short_spans(400, rng) for _ in range(300)]
    lengths = np.array([b - a for spans in drawn for a, b in spans])
    assert all(sum(b - a for a, b in spans) == 60 for spans in drawn)
    # Poisson(3) given that it is not 0 has the mean 3 / (1 - e⁻³) = 3.157; cutting the last span lowers it a little.
    assert 2.95 < lengths.mean() < 3.16
    shares = np.bincount(lengths, minlength=5)[1:5] / len(lengths)
    poisson = np.array([3, 4.5, 4.5, 3.375]) * np.exp(-3) / (1 - np.exp(-3))
    np.testing.assert_allclose(shares, poisson, atol=0.03)
    covered = np.zeros(400)
    for spans in drawn:
        for a, b in spans:
            covered[a:b] += 1
    assert covered.mean() == pytest.approx(0.15 * 300)
    fifths = covered.reshape(5, 80).mean(axis=1) / 300
    np.testing.assert_allclose(fifths, 0.15, atol=0.01)
    assert np.mean([spans == sorted(spans) for spans in drawn]) < 0.05  # in random order


def test_the_published_mix():
    rng = np.random.default_rng(1)
    batch = infilling_batch([list(range(10, 30))] * 2000, SPECIAL, rng)
    assert set(batch) == {"ids", "targets", "positions", "mask", "prefix_length"}
    suffixes = (batch["ids"] == SPECIAL.gmask).sum(axis=1)
    assert set(suffixes.tolist()) == {0, 1}
    assert 0.67 < suffixes.mean() < 0.73
    cuts = batch["prefix_length"][suffixes == 1] - 1
    assert cuts.min() == 1 and cuts.max() == 19 and abs(cuts.mean() - 10) < 0.5
    only = infilling_batch([list(range(10, 30))] * 50, SPECIAL, rng, short=1.0)
    assert not (only["ids"] == SPECIAL.gmask).any()


def test_equal_generators_give_equal_batches_and_rows_are_padded():
    texts = [[10, 11, 12], list(range(20, 40))]
    one, two, other = (infilling_batch(texts, SPECIAL, np.random.default_rng(s), length=30) for s in (5, 5, 6))
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert not np.array_equal(one["ids"], other["ids"])
    for name, filler in (("ids", SPECIAL.pad), ("targets", -100), ("positions", 0)):
        assert one[name].shape == (2, 30) and one[name].dtype == np.int64
        assert (one[name][~one["mask"]] == filler).all()
    assert one["mask"].dtype == bool and (np.diff(one["mask"].astype(int), axis=1) <= 0).all()
    assert ((one["targets"] != -100).sum(axis=1) > 0).all()


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: BlankTokens(1, 1, 3, 4), ValueError, "four different ids"),
        (lambda: BlankTokens(1, 2, 3, -4), ValueError, "integers of 0 or more; got -4"),
        (lambda: BlankTokens(1, 2, 3, True), ValueError, "got True"),
        (lambda: mask_spans([5, 6, 7], [], SPECIAL), ValueError, "at least one"),
        (lambda: mask_spans([5, 6, 7], [(1, 1)], SPECIAL), ValueError, "0 <= start < stop <= 3"),
        (lambda: mask_spans([5, 6, 7], [(1, 4)], SPECIAL), ValueError, "0 <= start < stop <= 3"),
        (lambda: mask_spans([5, 6, 7, 8], [(0, 2), (1, 3)], SPECIAL), ValueError, "between two blanks"),
        (lambda: mask_spans([5, 6, 7, 8], [(2, 3), (0, 2)], SPECIAL), ValueError, "between two blanks"),
        (lambda: mask_spans([5, 3, 7], [(0, 1)], SPECIAL), ValueError, "holds 3 at 1"),
        (lambda: mask_rest([5, -6], 1, SPECIAL), ValueError, "holds -6 at 1"),
        (lambda: mask_rest([5, 6], 2, SPECIAL), ValueError, r"cut must lie in 0\.\.1"),
        (lambda: mask_rest([5.0, 6.0], 1, SPECIAL), TypeError, "integers, got float64"),
        (lambda: mask_rest([[5, 6]], 1, SPECIAL), ValueError, r"shape \(1, 2\)"),
        (lambda: short_spans(1, np.random.default_rng(0)), ValueError, "no room"),
        (lambda: short_spans(9, np.random.default_rng(0), share=0.6), ValueError, r"share must lie in \(0, 0.5\]"),
        (lambda: short_spans(9, np.random.default_rng(0), mean=0), ValueError, "mean length be positive"),
        (lambda: infilling_batch([], SPECIAL, np.random.default_rng(0)), ValueError, "at least one sequence"),
        (lambda: infilling_batch([[5, 6], [7]], SPECIAL, np.random.default_rng(0)), ValueError, "sequence 1: 1 tokens"),
        (lambda: infilling_batch([[5, 2]], SPECIAL, np.random.default_rng(0)), ValueError, "sequence 0: .* holds 2"),
        (
            lambda: infilling_batch([[5, 6]], SPECIAL, np.random.default_rng(0), short=2),
            ValueError,
            "short is a chance",
        ),
        (lambda: infilling_batch([[5, 6]], SPECIAL, np.random.default_rng(0), length=3), ValueError, "rows of 3"),
    ],
)
def test_errors_say_what_is_wrong(call, error, message):
    with pytest.raises(error, match=message):
        call()
