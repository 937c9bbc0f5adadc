"""Steps: limits where they can be reckoned by hand, tendencies, memory, and every refusal."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from llm_from_scratch.checkpoints import spec
from llm_from_scratch.scaling.bill import costs
from llm_from_scratch.scaling.cluster import Cluster, cluster_of
from llm_from_scratch.scaling.energy import ACCELERATORS, Accelerator
from llm_from_scratch.scaling.layer_work import Efficiency
from llm_from_scratch.scaling.parallel_run import Run, parameters_of
from llm_from_scratch.scaling.pipeline_events import bubble, play
from llm_from_scratch.scaling.run_memory import _held, memory_of
from llm_from_scratch.scaling.simulator import OPTIMIZER_BYTES, simulate

GPT = spec(
    {"model_type": "gpt2", "n_embd": 1024, "n_layer": 24, "n_head": 16, "n_positions": 1024, "vocab_size": 50304}
)
EXACT = Efficiency(1.0, 0.0, 1.0)
ENDLESS = Accelerator("endless memory", 312e12, 0, math.inf, 1e30, {})
INFINITE = {"link": math.inf, "network": math.inf, "link_latency": 0.0, "network_latency": 0.0}


def test_one_accelerator_only_computes() -> None:
    cluster = Cluster(ENDLESS, 1, 1)
    step = simulate(Run(GPT, 8, micro_batch=2), cluster, efficiency=EXACT)
    assert step.parts["tensor"] == step.parts["bubble"] == step.parts["data"] == 0 == step.bubble
    # three times the forward, and half a forward of attention for the scores that are made again
    bill = costs(GPT, length=1024)
    flops = 8 * 1024 * (3 * bill.forward_flops_per_token + bill.attention_flops_per_token / 2)
    assert step.seconds == pytest.approx(flops / 312e12, rel=1e-5)
    assert step.tokens_per_second_per_gpu == pytest.approx(8 * 1024 / step.seconds)
    # the papers' count has all pairs of tokens, masked ones too
    extra = 3 * (GPT.attention_flops(1024) / 1024) * (1 - 2 / 1025)
    assert step.mfu == pytest.approx(
        (3 * bill.forward_flops_per_token + extra) * 8192 / step.seconds / 312e12, rel=1e-3
    )
    assert step.hfu == step.mfu


def test_endless_links_leave_the_bubble() -> None:
    even = GPT.replace(vocab_size=1)  # the head makes the last stage longer
    cluster = Cluster(ENDLESS, 1, 4, **INFINITE)
    for chunks, microbatches in ((1, 8), (2, 8), (3, 12)):
        run = Run(even, microbatches, pipeline=4, chunks=chunks)
        step = simulate(run, cluster, efficiency=EXACT)
        assert step.parts["tensor"] == step.parts["data"] == 0
        assert step.bubble == pytest.approx(bubble(4, microbatches, chunks), rel=2e-3)
        assert step.parts["bubble"] / (step.parts["compute"] + step.parts["bubble"]) == pytest.approx(step.bubble)
    parallel = simulate(Run(GPT, 16, tensor=4, data=4), Cluster(ENDLESS, 2, 8, **INFINITE), efficiency=EXACT)
    alone = simulate(Run(GPT, 1), Cluster(ENDLESS, 1, 1), efficiency=EXACT)
    assert parallel.seconds == pytest.approx(alone.seconds, rel=1e-6)  # 16 times the texts on 16 times the accelerators


def test_sums_and_reductions_are_the_closed_formulas() -> None:
    cluster = Cluster(ACCELERATORS["a100"], 2, 8, link_latency=0, network_latency=0, link_share=1)
    run = Run(GPT, 8, tensor=4, data=4, overlap=False)
    step, sent = simulate(run, cluster), 2 * 1024 * 1024
    # two sums a layer forward, two backward, one of the embedding and one for the head, for 2 micro-batches
    assert step.parts["tensor"] == pytest.approx(2 * (4 * 24 + 2) * 2 * 3 / 4 * sent / 300e9)
    twice = simulate(dataclasses.replace(run, recompute="full"), cluster)
    assert twice.parts["tensor"] == pytest.approx(2 * (6 * 24 + 2) * 2 * 3 / 4 * sent / 300e9)
    parameters = costs(GPT).parameters / 4
    assert step.parts["data"] == pytest.approx(2 * 3 / 4 * 2 * parameters / 50e9)  # 2 of 4 ranks in a node: 4 rings
    assert step.parts["optimizer"] == pytest.approx(OPTIMIZER_BYTES * parameters / (2039e9 * 0.8))
    shared = simulate(dataclasses.replace(run, zero=1), cluster)
    assert shared.parts["optimizer"] == pytest.approx(step.parts["optimizer"] / 4)
    everything = simulate(dataclasses.replace(run, zero=3), cluster)
    assert everything.parts["data"] == pytest.approx(2 * 3 * 3 / 4 * 2 * parameters / 50e9)  # each micro-batch
    hidden = simulate(dataclasses.replace(run, overlap=True, micro_batch=2), cluster)
    assert hidden.parts["data"] == pytest.approx(step.parts["data"] / 24)  # of the last layer


def test_parallel_blocks_sum_once() -> None:
    cluster = Cluster(ACCELERATORS["a100"], 1, 8, link_latency=0, link_share=1)
    step = simulate(Run(spec("falcon-40b"), 1, tensor=8), cluster, check_memory=False)
    assert step.parts["tensor"] == pytest.approx((2 * 60 + 2) * 2 * 7 / 8 * 2 * 2048 * 8192 / 300e9)


def test_tendencies() -> None:
    def speed(gpus: int = 64, network: float = 200e9, **settings: Any) -> float:
        degrees = settings.get("tensor", 1) * settings.get("pipeline", 1)
        run = Run(spec("llama-13b"), settings.pop("batch", 64), data=gpus // degrees, **settings)
        return simulate(run, cluster_of(gpus, network=network), check_memory=False).tokens_per_second_per_gpu

    assert speed(network=10e9) < speed(network=100e9) <= speed(network=1e12)
    assert speed(recompute="full") < speed(recompute="selective") < speed()
    assert speed(flash=False) < speed()
    assert speed(tensor=8) < speed(tensor=2) < speed(tensor=1, zero=1)
    assert speed(pipeline=8, batch=64) < speed(pipeline=8, batch=512)  # a smaller bubble
    assert speed(pipeline=8, batch=64) < speed(pipeline=8, batch=64, chunks=5)
    assert speed(overlap=False) < speed()
    assert speed(precision="float32") < speed(precision="tensorfloat32") < speed()
    wide = Run(spec("llama-65b"), 64, tensor=8, data=8), Run(spec("llama-65b"), 64, tensor=16, data=4)
    inside, outside = (simulate(run, cluster_of(64), check_memory=False).tokens_per_second_per_gpu for run in wide)
    assert outside < 0.9 * inside  # two nodes wide


def test_memory_is_counted_and_shared() -> None:
    parameters = costs(GPT).parameters
    whole = memory_of(Run(GPT, 4, data=4))
    assert whole["weights"] == whole["gradients"] == 2 * parameters and whole["optimizer"] == 12 * parameters
    for stage, divided in ((1, {"optimizer"}), (2, {"optimizer", "gradients"})):
        found = memory_of(Run(GPT, 4, data=4, zero=stage))
        for name in ("weights", "gradients", "optimizer"):
            assert found[name] == pytest.approx(whole[name] / (4 if name in divided else 1))
    third = memory_of(Run(GPT, 4, data=4, zero=3))
    assert third["weights"] == pytest.approx(whole["weights"] / 4 + 2 * whole["weights"] / 24)
    kept, selective, full = (memory_of(Run(GPT, 1, recompute=how, flash=False))["activations"]
                             for how in ("none", "selective", "full"))  # fmt: skip
    assert full < selective < kept
    none, logits = (memory_of(Run(GPT.replace(vocab_size=size), 1)) for size in (1, 50_304))
    assert logits["activations"] - none["activations"] == 2 * 4 * 1024 * 50_303  # float32, and their gradient
    halved = memory_of(Run(GPT.replace(vocab_size=500_000), 2, pipeline=2))  # they stand on the last device
    assert halved["activations"] == 2 * 4 * 1024 * 500_000 + (none["activations"] - 2 * 4 * 1024) / 2
    halves = memory_of(Run(GPT, 4, tensor=2, sequence_parallel=True))
    assert halves["activations"] == pytest.approx(whole["activations"] / 2, rel=1e-6)
    few, many = (memory_of(Run(spec("llama-13b"), batch, pipeline=4))["activations"] for batch in (2, 100))
    assert 1.9 < many / few < 2.1  # 1F1B holds four micro-batches, however many there are


def test_one_rank_has_nothing_to_gather():
    assert memory_of(Run(GPT, 4, zero=3)) == memory_of(Run(GPT, 4))


def test_tied_matrices_stand_at_both_ends_of_a_pipeline() -> None:
    run = Run(spec("bloom-176b"), 96, 1, tensor=4, pipeline=12, data=8, recompute="full")
    assert [len(layers) for layers in run.layers_of_stages] == [5, *[6] * 10, 5]  # as the model was trained
    assert [len(layers) for layers in Run(spec("gpt-neox-20b"), 4, pipeline=4).layers_of_stages] == [11] * 4
    assert [i for layers in run.layers_of_stages for i in layers] == list(range(70))
    table = 50304 * 1024
    for tied in (True, False):
        first, last = parameters_of(Run(GPT.replace(tied=tied), 2, pipeline=2))
        total = costs(GPT.replace(tied=tied)).parameters
        assert first + last == total + table * tied  # of a tied matrix both ends have a copy
        assert first - last == 1024 * 1024 - 2 * 1024  # positions here, the last norm there


def test_time_of_a_run() -> None:
    step = simulate(Run(spec("llama-7b"), 64, data=8, zero=1), cluster_of(8))
    assert step.fits and step.days(1e12) == pytest.approx(step.gpu_hours(1e12) / 8 / 24)
    assert step.gpu_hours(1e12) == pytest.approx(1e12 / step.tokens_per_second_per_gpu / 3600)
    with pytest.raises(ValueError, match="tokens must be more than 0"):
        step.days(0)


def test_a_mixture_and_a_state_space_run() -> None:
    mixture = simulate(Run(spec("mixtral-8x7b"), 8, tensor=8, length=1024), cluster_of(8), check_memory=False)
    dense = simulate(Run(spec("mistral-7b"), 8, tensor=8, length=1024), cluster_of(8), check_memory=False)
    assert mixture.tokens_per_second_per_gpu < dense.tokens_per_second_per_gpu
    assert simulate(Run(spec("mamba-130m"), 8, data=8, length=1024), cluster_of(8)).mfu > 0.1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"global_batch": 10, "data": 4}, "no whole number of micro-batches for each of 4 data-parallel ranks: take a "
                                          "multiple of 4 · 1 = 4"),
        ({"pipeline": 5}, "24 layers, or 26 places .* 5 stages .*1, 2, 3, 4, 6, 8, 12, 13, 24 would do"),
        ({"zero": 4}, "zero must be one of 0, 1, 2, 3; got 4"),
        ({"zero": True}, "zero must be one of"),
        ({"zero": 2, "pipeline": 2}, "zero is 0 or 1, not 2"),
        ({"recompute": "some"}, "recompute must be one of none, selective, full"),
        ({"recompute": None}, "recompute must be one of"),
        ({"chunks": 2}, "needs a pipeline"),
        ({"chunks": 2, "pipeline": 4, "global_batch": 6}, "a multiple of 4 micro-batches"),
        ({"tensor": 0}, "tensor must be a whole number of at least 1, got 0"),
        ({"data": True}, "data must be a whole number"),
        ({"micro_batch": 1.5}, "micro_batch must be a whole number"),
        ({"length": -1}, "length must be a whole number"),
        ({"length": 2000}, "length is 2000, but the model has 1024 positions"),
    ],
)  # fmt: skip
def test_runs_that_are_none(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Run(**{"spec": GPT, "global_batch": 8} | settings)


def test_memory_holds_what_the_played_pipeline_holds() -> None:
    for devices, microbatches, chunks in ((1, 3, 1), (4, 2, 1), (4, 12, 1), (4, 8, 2), (4, 4, 3), (2, 12, 6)):
        run = Run(GPT, microbatches, pipeline=devices, chunks=chunks)
        stages = [1.0] * devices * chunks
        played = play(stages, stages, devices=devices, microbatches=microbatches)
        assert tuple(_held(run, device) for device in range(devices)) == played.held


def test_refusals() -> None:
    with pytest.raises(TypeError, match="run must be a Run, not str"):
        simulate("llama-7b", cluster_of(8))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="cluster must be a Cluster, not int"):
        simulate(Run(GPT, 8), 8)  # type: ignore[arg-type]
    for wrong, message in (({"matrix_share": 1.2}, "at most 1"), ({"memory_share": 0}, "more than 0"),
                           ({"size": -1}, "at least 0"), ({"size": math.nan}, "finite")):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            Efficiency(**wrong)
    with pytest.raises(TypeError, match="spec must be a ModelSpec"):
        Run("llama-7b", 8)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="tensor 2 · pipeline 2 · data 1 = 4 accelerators, but the cluster has 8"):
        simulate(Run(GPT, 8, tensor=2, pipeline=2), cluster_of(8))
    with pytest.raises(ValueError, match="16 heads cannot be divided among 3"):
        simulate(Run(GPT, 8, tensor=3), cluster_of(3))
    with pytest.raises(ValueError, match="computes in .* not in 'float8'"):
        simulate(Run(GPT, 8, precision="float8", data=8), cluster_of(8))


def test_what_does_not_fit_is_told_with_what_would() -> None:
    run = Run(spec("llama-7b"), 64, data=8)
    with pytest.raises(ValueError, match=r"has 80 GB, the run takes .* too much: weights 13.48 GB.*zero 1 would do"):
        simulate(run, cluster_of(8))
    step = simulate(run, cluster_of(8), check_memory=False)
    assert not step.fits and step.needed > step.capacity
    advised = simulate(dataclasses.replace(run, zero=1), cluster_of(8))
    assert advised.fits
    with pytest.raises(ValueError, match="raise the tensor or pipeline degree"):
        simulate(Run(spec("bloom-176b"), 8, data=8, recompute="full", zero=3), cluster_of(8, "rtx4090"))
