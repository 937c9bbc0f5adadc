"""Blocks whose activations are computed again: in every family, with the gradients they would have had."""

from __future__ import annotations

import dataclasses
import tracemalloc

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.autograd.calls import intercepted
from llm_from_scratch.layers import BranchSpec, LayerSpec
from llm_from_scratch.quantization.nf4_linear import to_nf4
from llm_from_scratch.recipes.miniature import miniature

# Grouped keys, learned positions, ALiBi, a scan, experts with a loss of their own, DeepNorm, a factorised embedding,
# parallel blocks with one norm and two, layers that differ, long convolutions, relative positions are those of others.
FAMILIES = (
    "llama-2-70b",
    "gpt2",
    "bloom",
    "mamba-2.8b",
    "mixtral-8x7b",
    "glm-130b",
    "opt-350m",
    "falcon-7b",
    "gpt-neox-20b",
    "decilm-7b",
    "stripedhyena-7b",
    "gopher-280b",
)
SIZES = {"layers": 3, "width": 16, "heads": 2, "context": 32, "vocabulary": 40}


def with_dropout(spec, rate=0.2):
    """The same design, with dropout on every branch: families differ in whether their config has it."""

    def branch(b: BranchSpec) -> BranchSpec:
        return dataclasses.replace(b, dropout=rate)

    layers = tuple(LayerSpec(tuple(map(branch, layer.branches))) for layer in spec.layers)
    return dataclasses.replace(spec, layers=layers)


def tiny(name, dropout=True, dtype=np.float32, **sizes):
    spec = lfs.spec(miniature(name, **{**SIZES, **sizes}))
    model = lfs.Decoder(with_dropout(spec) if dropout else spec, np.random.default_rng(1)).astype(dtype)
    for path, parameter in model.named_parameters():
        if path.endswith("weight") and parameter.ndim == 2:  # as initialised, everything would be equally likely
            parameter.data = parameter.data * parameter.dtype.type(3)
    return model


def batch(rows=4, length=12, vocabulary=40):
    rng = np.random.default_rng(0)
    return {name: rng.integers(0, vocabulary, (rows, length)) for name in ("ids", "targets")}


def both(model, run):
    """(what `run` gives, all gradients) with activations kept and computed again."""
    found = []
    for wanted in (False, True):
        model.recompute(wanted)
        model.zero_grad()
        found.append((run(), {n: None if p.grad is None else p.grad.copy() for n, p in model.named_parameters()}))
    model.recompute(False)
    return found


def assert_equal(found):
    (value, plain), (again, recomputed) = found
    np.testing.assert_array_equal(value, again)
    for name, grad in plain.items():
        np.testing.assert_array_equal(grad, recomputed[name], err_msg=name)  # None where nothing arrived, both times


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("threads", [1, 2])
def test_gradients_are_equal_to_the_last_bit(name, threads):
    """With dropout, whose masks must be the same, and experts' balance; the generator goes on where it would have."""
    model = tiny(name)
    rngs = []

    def run():
        rngs.append(np.random.default_rng(3))
        return lfs.accumulate_gradients(model, batch(), threads=threads, rng=rngs[-1])

    assert_equal(both(model, run))
    assert rngs[0].random() == rngs[1].random()


def test_the_balance_of_experts_is_part_of_it():
    model = tiny("mixtral-8x7b")
    assert model.spec.layers[0].functions["feed_forward"].balance > 0

    def run(auxiliary):
        def once():
            loss = model.loss(batch(), auxiliary=auxiliary)
            loss.backward()
            return loss.item()

        return both(model, once)

    with_balance, without = run(True), run(False)
    assert_equal(with_balance)
    assert_equal(without)
    assert with_balance[1][0] != without[1][0]


@pytest.mark.parametrize("about", ["mask", "segments", "prefix_length", "positions"])
def test_what_a_pass_knows_reaches_the_second_run(about):
    model = tiny("glm-130b" if about == "prefix_length" else "llama-2-70b")
    more = {
        "mask": np.arange(12)[None] >= np.arange(4)[:, None],
        "segments": np.arange(12)[None] // 5 + np.zeros((4, 1), int),
        "prefix_length": np.array([3, 1, 0, 12]),
        "positions": np.arange(12)[None] + np.arange(4)[:, None],
    }[about]
    assert_equal(both(model, lambda: lfs.accumulate_gradients(model, {**batch(), about: more}, threads=2)))


def test_gradients_for_embeddings_and_frozen_parts():
    """Adapters in a frozen, packed base; and what stands in place of the embedding's rows."""
    model = tiny("llama-2-70b", width=64)
    to_nf4(model)
    model.freeze()
    lfs.adapters.add_lora(model, rank=2, alpha=4, targets=("query", "value"), dropout=0.3)
    for name, p in model.named_parameters():
        if p.requires_grad and name.endswith("B"):
            p.data = np.random.default_rng(5).normal(size=p.shape).astype(np.float32)
    found = both(model, lambda: lfs.accumulate_gradients(model, batch(), threads=1, rng=np.random.default_rng(2)))
    assert_equal(found)
    assert sum(grad is not None for grad in found[1][1].values()) == 2 * 2 * 3
    leaves = []

    def run():
        leaves.append(lfs.Tensor(model.embed(batch()["ids"]).data, requires_grad=True))
        loss = model.loss({"embeddings": leaves[-1], "targets": batch()["targets"]})
        loss.backward()
        return loss.item()

    assert_equal(both(model, run))
    assert leaves[0].grad.any() and np.array_equal(leaves[0].grad, leaves[1].grad)


@pytest.mark.parametrize("lowest, runs", [(0, 6), (1, 5), (2, 4)])
def test_what_is_frozen_below_runs_once(lowest, runs):
    """Three layers, of which those from `lowest` on train; without anything that could be learned below."""
    model = tiny("llama-2-70b", dropout=False)
    model.freeze(lambda path, _: path.startswith(("embedding", *(f"layers.{n}." for n in range(lowest)))))
    counted = []

    def run():
        counted.append(0)
        with intercepted({f"layers.{n}": layer for n, layer in enumerate(model.layers)}, count):
            loss = model.loss(batch())
            loss.backward()
        return loss.item()

    def count(name, call, *args):
        counted[-1] += 1
        return call(*args)

    assert_equal(both(model, run))
    assert counted == [3, runs]


def test_layers_of_another_s_own_and_unequal_depths_keep_less():
    """What is held between the passes: of a plain call all activations, of this one the blocks' inputs."""
    kept = {}
    for layers in (2, 6):
        for wanted in (False, True):
            model = tiny("llama-2-70b", dropout=False, layers=layers, width=32)
            model.recompute(wanted)
            data = batch(rows=8, length=32)
            model.loss(data).backward()  # compiles
            tracemalloc.start()
            loss = model.loss(data)
            kept[layers, wanted] = tracemalloc.get_traced_memory()[0]
            loss.backward()
            kept[layers, wanted, "peak"] = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    inputs = 8 * 32 * 32 * 4
    assert kept[6, True] - kept[2, True] < 4 * (inputs + 40_000)
    assert kept[6, False] - kept[2, False] > 4 * 10 * inputs
    assert kept[6, True, "peak"] < 0.6 * kept[6, False, "peak"]


def test_recordings_and_patches_work():
    model = tiny("llama-2-70b", dropout=False)

    def recorded():
        with model.record(gradients=True) as seen:
            model.loss(batch()).backward()
        assert len(seen["hidden"]) == 4 and len(seen["attention"]) == 3
        return np.concatenate([h.grad.ravel() for h in seen["hidden"]] + [a.grad.ravel() for a in seen["attention"]])

    assert_equal(both(model, recorded))
    steer = lfs.Tensor(np.ones(16, np.float32), requires_grad=True)

    def patched():
        steer.grad = None
        with model.patch("layers.1.mixer", lambda out: out * 0.5 + steer):
            loss = model.loss(batch())
            loss.backward()
        return np.append(steer.grad, loss.item())

    assert_equal(both(model, patched))


def test_a_patch_that_is_not_the_same_twice_is_an_error():
    model, rng = tiny("llama-2-70b", dropout=False), np.random.default_rng(0)
    model.recompute()
    with model.patch("layers.1.mixer", lambda out: out * np.float32(rng.random())):
        loss = model.loss(batch())
        with pytest.raises(ValueError, match="a patch that is not the same each time"):
            loss.backward()


def test_learned_prefixes_are_refused_by_name_and_prompts_are_not():
    model = tiny("llama-2-70b", dropout=False)
    lfs.adapters.add_prefix(model, 3)
    model.recompute()
    with pytest.raises(ValueError, match=r"learned prefix.*recompute\(False\).*add_prompt"):
        model.loss(batch())
    assert model.generate(batch()["ids"][:1, :4], max_new_tokens=2).shape == (1, 6)  # nothing trains: nothing to refuse
    prompted = tiny("llama-2-70b", dropout=False)
    lfs.adapters.add_prompt(prompted, 3)
    assert_equal(both(prompted, lambda: lfs.accumulate_gradients(prompted, batch(), threads=1)))


def test_the_switch_says_what_held_before_and_takes_nothing_else():
    model = tiny("gpt2")
    assert model.recompute() is False and model.recompute(False) is True and model.recompute() is False
    with pytest.raises(TypeError, match="True or False, not 1"):
        model.recompute(1)
    ids = batch()["ids"]
    with lfs.no_grad():
        memory = model.new_memory(4)
        assert np.allclose(model.step(ids, memory), model(ids).data[:, -1], atol=1e-5)


def test_a_memory_that_the_caller_keeps_is_extended_once():
    model = tiny("llama-2-70b", dropout=False)
    model.recompute()
    memory, ids = model.new_memory(4), batch()["ids"]
    logits = model(ids[:, :5], memory=memory)
    logits.sum().backward()
    assert memory.length == 5
