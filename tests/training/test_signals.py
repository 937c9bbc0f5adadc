"""What is measured inside a step: the numbers themselves, on designs of every kind, and that nothing is changed."""

from __future__ import annotations

import numpy as np
import pytest
from standin import StandIn

import llm_from_scratch as lfs
from llm_from_scratch.layers import Linear, Module
from llm_from_scratch.recipes.miniature import miniature
from llm_from_scratch.training import statistics
from llm_from_scratch.training.signals import Watch, watching

FAMILIES = ("llama-2-70b", "gpt2", "mamba-2.8b", "mixtral-8x7b", "glm-130b", "opt-350m", "falcon-7b", "stripedhyena-7b")


def tiny(name, dtype=np.float32, layers=2):
    config = miniature(name, layers=layers, width=16, heads=2, context=32, vocabulary=40)
    return lfs.build(config.pop("model_type"), seed=1, dtype=dtype, **config)


def batch(rows=4, length=12):
    rng = np.random.default_rng(0)
    return {name: rng.integers(0, 40, (rows, length)) for name in ("ids", "targets")}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_figures_are_those_of_what_passes(name):
    model = tiny(name)
    found = statistics(model, batch())
    with model.record() as seen:
        lfs.accumulate_gradients(model, batch(), threads=1)
    hidden = seen["hidden"]
    for path, states in (("embedding", hidden[0]), ("layers.0", hidden[1]), ("norm", hidden[-1])):
        if path == "norm" and model.norm is None:
            continue
        figures = found["activations"][path]
        assert figures["rms"] == pytest.approx(np.sqrt((states.astype(float) ** 2).mean()), rel=1e-5)
        assert figures["largest"] == pytest.approx(np.abs(states).max(), rel=1e-5)
        assert figures["not_finite"] == 0
    assert set(found["parameters"]) == {n for n, p in model.named_parameters() if p.grad is not None}
    for path, p in model.named_parameters():
        if p.grad is not None:
            figures = found["parameters"][path]
            assert figures["gradient"] == pytest.approx(np.linalg.norm(p.grad.astype(float)), rel=1e-5)
            assert figures["weight"] == pytest.approx(np.linalg.norm(p.data.astype(float)), rel=1e-5)
    assert "layers.1.feed_forward" in found["activations"] or name == "mamba-2.8b"


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("recompute", [False, True])
def test_looking_changes_no_bit_and_sees_the_same_with_threads_and_recomputation(name, recompute):
    model = tiny(name)
    model.recompute(recompute)
    losses, grads, seen = [], [], []
    for looks in (False, True, True):
        model.zero_grad()
        with watching(model) if looks else watching(Module()) as watch:  # with dropout, where the family has it
            losses.append(lfs.accumulate_gradients(model, batch(), threads=2, rng=np.random.default_rng(1)))
        grads.append([None if p.grad is None else p.grad.tobytes() for p in model.parameters()])
        seen.append(watch.figures())
    assert losses[0] == losses[1] == losses[2] and grads[0] == grads[1] == grads[2]
    assert seen[0] == {} and seen[1] == seen[2]
    by_threads = []
    for threads in (1, 3):
        with watching(model) as watch:
            lfs.accumulate_gradients(model, batch(), threads=threads)
        by_threads.append(watch.figures())
    assert list(by_threads[0]) == list(by_threads[1]) == list(seen[1])
    for path, figures in by_threads[0].items():
        assert figures["rms"] == pytest.approx(by_threads[1][path]["rms"], rel=1e-4)
    model.recompute(not recompute)
    with watching(model) as watch:
        lfs.accumulate_gradients(model, batch(), threads=2, rng=np.random.default_rng(1))
    assert watch.figures() == seen[1]  # what runs twice is counted once


def test_weights_and_gradients_of_the_caller_stay():
    model = tiny("llama-2-70b")
    lfs.accumulate_gradients(model, batch(), threads=1)
    before = [(p.data.copy(), p.grad.copy()) for p in model.parameters()]
    statistics(model, batch(rows=2))
    assert all(np.array_equal(p.data, w) and np.array_equal(p.grad, g) for p, (w, g) in zip(model.parameters(), before))


def test_dead_stuck_and_infinite_channels():
    values = np.random.default_rng(0).normal(size=(2, 50, 8)).astype(np.float32)
    values[..., 0], values[..., 1] = 0.0, 1e-5 * values[..., 1]
    values[..., 2] = 3.0 + 0.001 * values[..., 2]
    watch = Watch()
    for half in values:  # as shards of a batch come
        watch("part", lambda x: x, lfs.Tensor(half))
    figures = watch.figures()["part"]
    assert figures["dead"] == 2 / 8 and figures["stuck"] == 1 / 8
    values[0, 3, 4], values[1, 7, 5] = np.inf, np.nan
    watch = Watch()
    watch("part", lambda x: x, lfs.Tensor(values))
    figures = watch.figures()["part"]
    assert figures["not_finite"] == 2 and figures["rms"] is None and figures["largest"] is None


def test_order_of_arrival_does_not_matter():
    rng = np.random.default_rng(0)
    parts = [lfs.Tensor(rng.normal(size=(3, 5, 4)) * 10.0**k) for k in range(-6, 6)]
    orders = (parts, parts[::-1], [parts[i] for i in rng.permutation(12)])
    found = []
    for order in orders:
        watch = Watch()
        for part in order:
            watch("part", lambda x: x, part)
        found.append(watch._figures(watch._seen["part"]))
    assert found[0] == found[1] == found[2]


def test_adapters_frozen_parts_and_models_of_other_kinds():
    model = tiny("llama-2-70b")
    model.freeze()
    lfs.adapters.add_lora(model, rank=2, alpha=4, targets=("query",))
    found = statistics(model, batch())
    assert len(found["parameters"]) == 4 and "layers.0.mixer" in found["activations"]
    stand_in = statistics(StandIn(), {name: array % 11 for name, array in batch().items()})
    assert stand_in["activations"] == {} and len(stand_in["parameters"]) == 4

    class Own(Module):
        def __init__(self):
            rng = np.random.default_rng(0)
            self.embedding, self.layers = lfs.layers.Embedding(11, 6, rng=rng), [Linear(6, 6, rng=rng)]
            self.head = Linear(6, 11, rng=rng)

        def loss(self, batch, *, normaliser=None, rng=None):
            x = self.embedding(np.asarray(batch["ids"]))
            for layer in self.layers:
                x = layer(x)
            return lfs.cross_entropy(self.head(x), np.asarray(batch["targets"]))

    assert list(statistics(Own(), {n: a % 11 for n, a in batch().items()})["activations"]) == ["embedding", "layers.0"]


def test_batches_that_fit_no_model_are_refused():
    with pytest.raises(ValueError, match="rows"):
        statistics(tiny("gpt2"), {"ids": [[1]], "targets": [[1], [2]]})
    with pytest.raises(TypeError, match="mapping"):
        statistics(tiny("gpt2"), np.zeros((2, 2), int))
