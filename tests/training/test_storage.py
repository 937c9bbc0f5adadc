"""Weights and optimiser states in two bytes a number: what is stored so, what that saves, what stays the same."""

from __future__ import annotations

import dataclasses
import tracemalloc
from functools import partial

import numpy as np
import pytest
from standin import StandIn, sampler, validation

import llm_from_scratch as lfs
from llm_from_scratch.alignment import dpo_loss
from llm_from_scratch.alignment.preference import preference_objective
from llm_from_scratch.autograd import BFloat16Tensor, Tensor
from llm_from_scratch.autograd.bfloat16 import BFLOAT16
from llm_from_scratch.data.sampler import BatchSampler
from llm_from_scratch.files.sharded import read_safetensors
from llm_from_scratch.recipes.miniature import miniature
from llm_from_scratch.training import TrainingSettings, train
from llm_from_scratch.training.checkpoint import latest_checkpoint
from llm_from_scratch.training.storage import store, stored_as

FAMILIES = ("llama-2-70b", "gpt2", "mamba-2.8b", "mixtral-8x7b", "glm-130b", "opt-350m", "stripedhyena-7b")
SIZES = {"layers": 2, "width": 32, "heads": 2, "context": 32, "vocabulary": 60}


def tiny(name="llama-2-70b", **sizes):
    config = miniature(name, **{**SIZES, **sizes})
    return lfs.build(config.pop("model_type"), seed=1, **config)


def settings(**changes):
    chosen = {"steps": 6, "learning_rate": 0.01, "checkpoint_every": 2, "threads": 1, "storage": "bfloat16"}
    return TrainingSettings(**{**chosen, **changes})


def batches(seed=0, vocabulary=60, batch_size=4):
    return BatchSampler(np.cumsum(np.arange(4000) % 7) % vocabulary, batch_size, 16, seed=seed)


class Same:
    """The same batch again and again."""

    def __init__(self, batch):
        self.batch = batch

    def __next__(self):
        return self.batch


def run(model, directory=None, data=None, **changes):
    more = {key: changes.pop(key) for key in ("on_step", "optimizer", "objective") if key in changes}
    return train(model, data or batches(), settings(**changes), directory=directory, progress=False, **more)


@pytest.mark.parametrize("name", FAMILIES)
def test_matrices_are_stored_and_what_is_few_is_not(name):
    model = tiny(name)
    names, weights = set(store(model)), dict(model.named_parameters())
    exempt = {"log_decay", "A_log", "decay_log"}
    for path, p in weights.items():
        assert isinstance(p, BFloat16Tensor) == (path in names)
        assert (path in names) <= (p.ndim >= 2)
    assert 0 < len(names) < len(weights) and exempt.isdisjoint(path.rpartition(".")[2] for path in names)
    assert store(model) == [] and set(store(model, "float32")) == names and model.nbytes == 4 * model.parameter_count


@pytest.mark.parametrize("name", FAMILIES)
def test_a_run_ends_with_the_model_that_it_saves(name, tmp_path):
    """Whose matrices are bfloat16 in the file and whose other numbers are float32; all families, tied heads too."""
    model = tiny(name)
    run(model, tmp_path / "run")
    assert all(type(p) is Tensor for p in model.parameters())
    again = lfs.from_pretrained(tmp_path / "run")
    for (path, p), q in zip(model.named_parameters(), again.parameters(), strict=True):
        np.testing.assert_array_equal(p.data, q.data, err_msg=path)
        if p.ndim >= 2 and path.endswith("weight"):
            np.testing.assert_array_equal(p.data, p.data.astype(BFLOAT16).astype(np.float32))
    kinds = {array.dtype for array in read_safetensors(tmp_path / "run" / "model.safetensors").values()}
    assert BFLOAT16 in kinds and kinds <= {BFLOAT16, np.dtype(np.float32)}
    again.save_pretrained(tmp_path / "half", dtype="bfloat16")
    half = lfs.from_pretrained(tmp_path / "half")
    assert np.array_equal(half.embedding.weight.data, model.embedding.weight.data)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lion"])
@pytest.mark.parametrize("stochastic", [True, False])
def test_a_resumed_run_writes_the_same_bytes(optimizer, stochastic, tmp_path):
    class Killed(Exception):
        pass

    def kill(step, loss, model):
        if step == 5:
            raise Killed

    changes = {"optimizer": optimizer, "stochastic_rounding": stochastic}
    chosen = settings(**changes)
    for directory, on_step in (("whole", None), ("broken", kill)):
        try:
            train(tiny(), batches(), chosen, directory=tmp_path / directory, on_step=on_step, progress=False)
        except Killed:
            train(tiny(), batches(), chosen, directory=tmp_path / directory, resume=True, progress=False)
    for path in ("log.jsonl", "step-6/model.safetensors", "step-6/optimizer.safetensors", "model.safetensors"):
        assert (tmp_path / "whole" / path).read_bytes() == (tmp_path / "broken" / path).read_bytes()
    with pytest.raises(ValueError, match="storage: bfloat16, now float32"):
        train(
            tiny(), batches(), dataclasses.replace(chosen, storage="float32"), directory=tmp_path / "whole", resume=True
        )


def test_threads_change_only_the_last_digits_of_sums(tmp_path):
    """Rounding draws by place, not by thread: with gradients that are the same, so is every byte (see rounding)."""
    losses = [run(tiny(), threads=threads).loss for threads in (1, 2)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_a_snapshot_and_what_is_held_between_steps_take_half():
    """Weights, m and v are 12 bytes a number in float32, 6 here; seen by tracemalloc, from before the model is made."""
    held = {}
    for storage in ("float32", "bfloat16"):

        def look(step, loss, model, storage=storage):
            if step == 3:
                held[storage] = tracemalloc.get_traced_memory()[0]

        run(tiny(width=64), steps=1, storage=storage)  # compiles
        tracemalloc.start()
        try:
            model = tiny(width=64)
            run(model, steps=3, storage=storage, on_step=look)
        finally:
            tracemalloc.stop()
    numbers = model.parameter_count
    saved = held["float32"] - held["bfloat16"]
    assert 0.95 * 6 * numbers < saved < 1.02 * 6 * numbers


def test_snapshots_are_half_as_large(tmp_path):
    sizes = {}
    for storage in ("float32", "bfloat16"):
        run(tiny(width=64), tmp_path / storage, storage=storage)
        snapshot = latest_checkpoint(tmp_path / storage)
        sizes[storage] = sum(path.stat().st_size for path in snapshot.glob("*.safetensors"))
    assert 0.49 < sizes["bfloat16"] / sizes["float32"] < 0.55


def test_to_the_nearest_a_slow_run_stands_still_and_by_chance_it_does_not():
    moved = {}
    for stochastic in (True, False):
        model = tiny()
        store(model)
        before = {name: p.data for name, p in model.named_parameters()}
        run(model, learning_rate=1e-6, weight_decay=0.0, steps=20, schedule="constant", stochastic_rounding=stochastic)
        large = {n: np.abs(a) > 2.0**-7 for n, a in before.items()}  # where the next number is 3e-5 away and more
        parts = [(p.data != before[n])[large[n]] for n, p in model.named_parameters() if p.ndim == 2]
        moved[stochastic] = np.concatenate(parts).mean()
    assert moved[False] == 0 and moved[True] > 0.05


def test_a_model_stays_as_it_was_stored_before(tmp_path):
    """`train` widens what it has narrowed and nothing else."""
    model = tiny()
    store(model)
    run(model)
    assert isinstance(model.embedding.weight, BFloat16Tensor)
    plain = tiny()
    with pytest.raises(ZeroDivisionError), stored_as(plain, "bfloat16"):
        assert isinstance(plain.embedding.weight, BFloat16Tensor)
        raise ZeroDivisionError
    assert type(plain.embedding.weight) is Tensor
    numbers = plain.embedding.weight.data
    with stored_as(plain, "float32"):
        assert plain.embedding.weight.data is numbers


def test_no_half_of_a_stored_model_becomes_float64():
    model = tiny()
    store(model)
    with pytest.raises(TypeError, match="embedding.weight is stored in bfloat16 and computes in float32, not float64"):
        model.astype(np.float64)
    assert {p.dtype for p in model.parameters()} == {np.dtype(np.float32)}
    assert model.astype(np.float32) is model and model.embedding.weight.stored.dtype == BFLOAT16


def test_frozen_weights_and_adapters():
    """What does not train is not rounded; an adapter's two matrices are stored so, and can be merged afterwards."""
    model = tiny()
    model.freeze()
    base = {name: p.data.copy() for name, p in model.named_parameters()}
    lfs.adapters.add_lora(model, rank=2, alpha=4, targets=("query", "value"))
    kinds = []
    run(
        model,
        on_step=lambda step, loss, m: kinds.append({n for n, p in m.named_parameters() if p.stored.dtype == BFLOAT16}),
    )
    assert len(kinds[0]) == 8 and all(name[-1] in "AB" for name in kinds[0])
    for name, p in model.named_parameters():
        if name in base:
            assert np.array_equal(p.data, base[name])
    lfs.merge_adapter(model)


def test_preferences_train_in_two_bytes():
    rng = np.random.default_rng(0)
    sides = ("chosen", "rejected")
    pairs = {f"{side}_{part}": rng.integers(0, 60, (2, 8)) for side in sides for part in ("ids", "targets")}
    pairs |= {f"reference_{side}": np.array([-30.0, -31.0]) for side in sides}
    model, aim = tiny(), preference_objective(partial(dpo_loss, beta=0.1))
    outcome = run(model, data=Same(pairs), steps=8, objective=aim)
    assert outcome.loss < 0.9 * run(tiny(), data=Same(pairs), steps=1, objective=aim).loss


def test_another_optimiser_rounds_by_chance_too():
    made = []

    def make(groups):
        made.append(lfs.training.SGD(groups, lr=0.01))
        return made[-1]

    run(tiny(), optimizer=make, seed=4)
    assert made[0].rounding_seed == 4
    run(tiny(), optimizer=make, stochastic_rounding=False)
    assert made[1].rounding_seed is None


def test_other_numbers_and_other_words_are_refused():
    with pytest.raises(TypeError, match="embedding is float64"):
        train(StandIn(seed=1), sampler(), settings(steps=1), validation=validation, progress=False)
    model = StandIn(seed=1, dtype=np.float32)
    with pytest.raises(ValueError, match="one of float32, bfloat16; got 'float16'"):
        store(model, "float16")
    for wrong in ("float16", None, 16):
        with pytest.raises(ValueError, match="storage must be one of float32, bfloat16"):
            settings(storage=wrong)
    for name in ("stochastic_rounding", "recompute"):
        with pytest.raises(TypeError, match=f"{name} is True or False, got 1"):
            settings(**{name: 1})


def test_any_model_with_named_parameters():
    model = StandIn(seed=1, dtype=np.float32)
    train(model, sampler(), settings(steps=3), validation=validation, progress=False)
    assert type(model.head) is Tensor and np.array_equal(
        model.head.data, model.head.data.astype(BFLOAT16).astype(np.float32)
    )
