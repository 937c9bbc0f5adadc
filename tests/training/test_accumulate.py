from __future__ import annotations

import threading

import numpy as np
import pytest
from standin import StandIn
from threadpoolctl import threadpool_info

import llm_from_scratch as lfs
from llm_from_scratch.autograd.rerun import rerun
from llm_from_scratch.training import accumulate_gradients


def uneven_batch(rows=5, columns=7, seed=0):
    """Rows with very different numbers of targets, one with none."""
    rng = np.random.default_rng(seed)
    ids, targets = rng.integers(0, 11, size=(2, rows, columns))
    for row in range(rows):
        targets[row, rng.integers(0, columns) :] = -100
    targets[1] = -100
    targets[0] = rng.integers(0, 11, size=columns)
    return ids, targets


def gradients_of(run):
    model = StandIn(seed=4)
    loss = run(model)
    return loss, {name: p.grad for name, p in model.named_parameters()}


def big_batch(model, ids, targets):
    loss = model.loss({"ids": ids, "targets": targets})
    loss.backward()
    return loss.item()


@pytest.mark.parametrize("threads", [1, 2, 3, 5, 9, None])
def test_shards_add_up_to_the_big_batch(threads):
    ids, targets = uneven_batch()
    expected_loss, expected = gradients_of(lambda m: big_batch(m, ids, targets))
    loss, found = gradients_of(lambda m: accumulate_gradients(m, ids, targets, threads=threads))
    assert loss == pytest.approx(expected_loss, rel=1e-13)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-11, atol=1e-15, err_msg=name)


def test_micro_batches_are_weighted_by_their_targets():
    ids, targets = uneven_batch(8)
    expected_loss, expected = gradients_of(lambda m: big_batch(m, ids, targets))
    count = int((targets != -100).sum())

    def in_pieces(model):
        parts = [slice(0, 1), slice(1, 5), slice(5, 8)]
        return sum(
            accumulate_gradients(model, ids[p], targets[p], normaliser=count)
            for p in parts
            if (targets[p] != -100).any()
        )

    loss, found = gradients_of(in_pieces)
    assert loss == pytest.approx(expected_loss, rel=1e-13)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-11, atol=1e-15)


def test_gradients_are_added_to_what_is_there():
    ids, targets = uneven_batch()
    _, once = gradients_of(lambda m: accumulate_gradients(m, ids, targets))
    _, twice = gradients_of(lambda m: [accumulate_gradients(m, ids, targets) for _ in range(2)])
    for name in once:
        np.testing.assert_allclose(twice[name], 2 * once[name], rtol=1e-12)


def test_repeats_to_the_byte_with_dropout_and_threads():
    ids, targets = uneven_batch()

    def run():
        model = StandIn(seed=4, dtype=np.float32, dropout=0.5)
        accumulate_gradients(model, ids, targets, threads=2, rng=np.random.default_rng(7))
        return [p.grad.tobytes() for p in model.parameters()]

    assert run() == run()
    model = StandIn(seed=4, dtype=np.float32)
    accumulate_gradients(model, ids, targets, threads=2)
    assert run() != [p.grad.tobytes() for p in model.parameters()]  # dropout did something


def test_an_error_in_any_shard_reaches_the_caller_and_changes_nothing():
    ids, targets = uneven_batch()
    for row in (0, 4):
        bad = ids.copy()
        bad[row, 2] = 11
        model = StandIn()
        model.head.grad = np.ones_like(model.head.data)
        with pytest.raises(ValueError, match="id 11"):
            accumulate_gradients(model, bad, targets, threads=2)
        assert (model.head.grad == 1).all() and model.embedding.grad is None


def test_one_row_runs_here_and_many_rows_run_in_threads_with_one_blas_thread_each():
    class Spy(StandIn):
        def loss(self, batch, **settings):
            blas = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
            seen.append((threading.current_thread().name, blas))
            return super().loss(batch, **settings)

    before = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
    here = threading.current_thread().name
    ids, targets = uneven_batch()
    seen = []
    accumulate_gradients(Spy(), ids[:1], targets[:1], threads=4)
    assert [name for name, _ in seen] == [here] and seen[0][1] == before
    seen = []
    accumulate_gradients(Spy(), ids[[0, 2]], targets[[0, 0]], threads=4)
    assert len({name for name, _ in seen}) == 2 and all(blas == {1} for _, blas in seen)
    assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} == before


@pytest.mark.parametrize(
    ("ids", "targets", "more", "error", "message"),
    [
        ([[1, 2]], [[1]], {}, ValueError, "targets"),
        ([1, 2], [1, 2], {}, ValueError, "batch, length"),
        (np.zeros((0, 3), int), np.zeros((0, 3), int), {}, ValueError, "at least 1"),
        ([[1, 2]], [[-100, -100]], {}, ValueError, "no target"),
        ([[1.0, 2.0]], [[1, 2]], {}, TypeError, "integers"),
        ([[1, 2]], [[1, 2]], {"normaliser": 0}, ValueError, "normaliser"),
        ([[1, 2]], [[1, 2]], {"threads": 0}, ValueError, "threads"),
        ([[1, 2]], [[1, 2]], {"mask": [[1]]}, ValueError, "mask"),
    ],
)
def test_bad_batches_are_refused(ids, targets, more, error, message):
    with pytest.raises(error, match=message):
        accumulate_gradients(StandIn(), ids, targets, **more)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("recompute", [False, True])
def test_parameters_are_told_when_their_gradient_is_complete(threads, recompute):
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 8}
    model = lfs.build("llama", **sizes, vocab_size=11, tie_word_embeddings=True, seed=0)
    ids = np.arange(30).reshape(3, 10) % 11
    lfs.accumulate_gradients(model, ids, ids, threads=threads)  # there is a gradient already: this one comes on top
    told = {}
    model.recompute(recompute)
    loss = lfs.accumulate_gradients(
        model, ids, ids, threads=threads, finished=lambda p: told.setdefault(p, []).append(p.grad.copy())
    )
    other = lfs.build("llama", **sizes, vocab_size=11, tie_word_embeddings=True, seed=0)
    for _ in range(2):
        wanted = lfs.accumulate_gradients(other, ids, ids, threads=threads)
    assert loss == wanted and set(told) == set(model.parameters())
    for (name, mine), theirs in zip(model.named_parameters(), other.parameters()):
        (then,) = told[mine]
        assert np.array_equal(then, mine.grad) and np.array_equal(mine.grad, theirs.grad), name


def test_a_gradient_after_the_last_use_is_noticed():
    hidden = lfs.Tensor(np.array([2.0]), requires_grad=True)

    @lfs.objective(count=lambda batch: len(batch["x"]))
    def forgets(model, batch, *, normaliser, rng=None):
        (y,) = rerun(lambda y: (y * hidden,), lfs.Tensor(batch["x"]), uses=[])
        return (y * hidden).sum() / normaliser

    with pytest.raises(RuntimeError, match="uses"):
        lfs.accumulate_gradients(None, {"x": np.ones(1)}, objective=forgets, threads=1, finished=lambda p: None)
