"""What the settings say about memory holds while a run lasts, and only then."""

from __future__ import annotations

import numpy as np
import pytest
from standin import StandIn, sampler

import llm_from_scratch as lfs
from llm_from_scratch.alignment.value_head import RewardModel
from llm_from_scratch.data.sampler import BatchSampler
from llm_from_scratch.training import TrainingSettings, train
from llm_from_scratch.training.budget import seconds_per_step
from llm_from_scratch.training.memory import saving_memory


def tiny(**more):
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    return lfs.build("llama", **sizes, vocab_size=40, seed=1, **more)


def batches():
    return BatchSampler(np.cumsum(np.arange(2000) % 7) % 40, 4, 16, seed=0)


def settings(**changes):
    return TrainingSettings(**{"steps": 4, "threads": 1, "checkpoint_every": 2, **changes})


def test_recomputing_changes_no_byte_of_a_run(tmp_path):
    for name, wanted in (("kept", False), ("again", True)):
        model = tiny()
        seen = []
        train(model, batches(), settings(recompute=wanted, micro_batches=2), directory=tmp_path / name, progress=False,
              on_step=lambda step, loss, m, seen=seen: seen.append(m._recompute))  # fmt: skip
        assert set(seen) == {wanted} and model.recompute(False) is False
    for path in ("log.jsonl", "model.safetensors", "step-4/optimizer.safetensors"):
        assert (tmp_path / "kept" / path).read_bytes() == (tmp_path / "again" / path).read_bytes()


def test_decoders_inside_of_other_models_are_switched_too():
    model = RewardModel(tiny())
    with pytest.raises(ZeroDivisionError), saving_memory(model, settings(recompute=True)):
        assert model.model._recompute
        raise ZeroDivisionError
    assert not model.model._recompute
    model.model.recompute()
    with saving_memory(model, settings(recompute=True)):
        pass
    assert model.model._recompute  # it was on before


def test_a_model_without_blocks_is_refused_by_name():
    with pytest.raises(TypeError, match=r"StandIn has no part with recompute\(\)"):
        train(StandIn(), sampler(), settings(recompute=True), progress=False)


def test_measuring_a_step_leaves_the_weights_as_they_were():
    model = tiny()
    before = [p.data.copy() for p in model.parameters()]
    chosen = settings(storage="bfloat16", recompute=True)
    assert seconds_per_step(model, batches(), chosen, seconds=0.0) > 0
    for p, array in zip(model.parameters(), before):
        assert np.array_equal(p.data, array) and p.grad is None and type(p) is lfs.Tensor
