"""Documents of a batch: their losses and gradients, one by one, and where they stand in the text."""

from __future__ import annotations

import math

import numpy as np
import pytest
from spiking import corpus, sampler, tiny

import llm_from_scratch as lfs
from llm_from_scratch.data.sampler import Origin
from llm_from_scratch.data.stages import Stage, StagedSampler
from llm_from_scratch.training import next_token
from llm_from_scratch.training.replay import Remembering
from llm_from_scratch.training.suspects import LEAST_TOKENS, Piece, pieces, placed, pulling


def remembered(tokens, batches=3, mode="epochs"):
    walk = Remembering(sampler(tokens, mode), batches)
    for _ in range(batches):
        next(walk)
    return walk.batches


@pytest.mark.parametrize("name", ["llama-2-70b", "mamba-2.8b", "gpt2"])
def test_losses_are_those_of_each_document_alone(name):
    model, kept = tiny(name), remembered(corpus())
    found = pieces(model, kept[-1:], kept[:-1])
    batch = kept[-1]["batch"]
    assert len(found) >= 4
    for piece in found:
        part = slice(piece.first, piece.last)
        alone = {key: batch[key][piece.row : piece.row + 1, part] for key in ("ids", "targets")}
        assert len(np.unique(batch["segments"][piece.row, part])) == 1 and piece.tokens == piece.last - piece.first
        with lfs.no_grad():
            loss = model.loss(alone).item()
        if name != "gpt2":  # learned positions: those of the row
            assert piece.loss == pytest.approx(loss, rel=1e-4)


def test_gradients_of_all_pieces_add_up_to_that_of_the_step():
    """Seen by its length: of one piece it is the whole, of several no more than the sum."""
    model, kept = tiny(), remembered(corpus(), 1)
    batch = {key: array[:1, :] for key, array in kept[0]["batch"].items()}
    batch["segments"] = np.zeros_like(batch["segments"])
    (piece,) = pulling(model, [{"batch": batch}], pieces(model, [{"batch": batch}], []), next_token, 16)
    lfs.accumulate_gradients(model, batch, threads=1)
    assert piece.gradient == pytest.approx(lfs.training.grad_norm(model.parameters()), rel=1e-5)
    assert piece.pull == 1.0


def test_weights_gradients_and_batches_stay_as_they_are():
    model, kept = tiny(), remembered(corpus())
    lfs.accumulate_gradients(model, kept[0]["batch"], threads=1)
    before = [(p.data.copy(), p.grad.copy()) for p in model.parameters()]
    arrays = {name: array.copy() for name, array in kept[-1]["batch"].items()}
    pulling(model, kept[-1:], pieces(model, kept[-1:], kept[:-1]), next_token, 64)
    for p, (weight, grad) in zip(model.parameters(), before):
        assert np.array_equal(p.data, weight) and np.array_equal(p.grad, grad)
    assert all(np.array_equal(arrays[name], array) for name, array in kept[-1]["batch"].items())


@pytest.mark.parametrize("mode", ["epochs", "documents", "random"])
def test_a_piece_is_found_again_in_the_text(mode):
    tokens, model = corpus(), tiny()
    begins = np.flatnonzero(tokens == 0)
    for kept in remembered(tokens, 3, mode):
        for piece in pieces(model, [kept], []):
            there = placed(piece, kept["origins"])
            ids = kept["batch"]["ids"][piece.row, piece.first : piece.last]
            assert np.array_equal(tokens[there.start : there.start + len(ids)], ids)
            assert begins[there.document] <= there.start < begins[there.document + 1]


def test_a_piece_of_a_mixture_is_found_again_in_its_source():
    texts, model = {"a": corpus(), "b": corpus()[5:]}, tiny()
    stages = [Stage(16, 3, batches=2, weights={"a": 0.5, "b": 0.5}), Stage(24, 2)]
    walk = Remembering(StagedSampler(texts, stages, separator=0, seed=3), 4)
    for _ in range(4):
        next(walk)
    sources = set()
    for kept in walk.batches:
        for piece in pieces(model, [kept], []):
            there = placed(piece, kept["origins"])
            tokens, begins = texts[there.source], np.flatnonzero(texts[there.source] == 0)
            ids = kept["batch"]["ids"][piece.row, piece.first : piece.last]
            assert np.array_equal(tokens[there.start : there.start + len(ids)], ids)
            assert there.document == max(np.searchsorted(begins, there.start, side="right") - 1, 0)
            sources.add(there.source)
    assert sources == {"a", "b"}


def test_what_the_sampler_does_not_say_is_not_made_up():
    piece = Piece(0, 2, 3, 9, 6, 1.0, 0.0)
    rows = [Origin(corpus(), start) for start in (5, 6, 7)]
    assert placed(piece, []) == piece == placed(piece, rows[:1])
    there = placed(piece, rows)
    assert (there.document, there.start, there.source) == (None, 10, None)


def test_targets_that_do_not_count_and_short_pieces():
    model, (kept,) = tiny(), remembered(corpus(), 1)
    batch = dict(kept["batch"])
    batch["targets"] = batch["targets"].copy()
    batch["targets"][0, :13] = -100
    found = pieces(model, [{"batch": batch}], [])
    assert not [piece for piece in found if piece.row == 0 and piece.tokens < LEAST_TOKENS]
    batch["targets"][:] = -100
    assert pieces(model, [{"batch": batch}], []) == []
    assert pulling(model, [{"batch": batch}], [], next_token, 1) == []


def test_models_and_batches_without_tokens_have_no_documents():
    (kept,) = remembered(corpus(), 1)
    assert (
        pieces(object(), [kept], []) == [] and pieces(tiny(), [{"batch": {"chosen_ids": np.zeros((1, 2))}}], []) == []
    )


def test_a_loss_that_is_not_finite_stands_out_first():
    fine, wild, broken = (Piece(0, 0, 0, 9, 9, loss, dev) for loss, dev in ((1.0, 0.0), (9.0, 8.0), (math.nan, 0.0)))
    assert (fine.stands_out, wild.stands_out, broken.stands_out) == (False, True, True)
    assert broken.strangeness == math.inf and Piece(0, 0, 0, 9, 9, 1.0, 0.0, pull=5.0).stands_out
    model, (kept,) = tiny(), remembered(corpus(), 1)
    token = int(kept["batch"]["ids"][2, 5])
    weights = model.embedding.weight.data.copy()
    weights[token] = np.nan
    model.embedding.weight.data = weights
    found = pulling(model, [kept], pieces(model, [kept], []), next_token, 64)
    assert not math.isfinite(found[0].loss) and any(math.isfinite(piece.loss) for piece in found)
