"""The work of a layer: FLOPs equal what the spec counts, tensor ranks share it, and times have the right limits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from llm_from_scratch.checkpoints import spec
from llm_from_scratch.scaling.energy import ACCELERATORS, Accelerator
from llm_from_scratch.scaling.layer_work import SCORE_PASSES, Efficiency, Work, head_work, layer_work, model_flops

FAMILIES = ["gpt2", "llama-2-70b", "falcon-40b", "falcon-7b", "mixtral-8x7b", "mistral-7b", "bloom-176b", "glm-130b"]


@pytest.mark.parametrize("name", [*FAMILIES, "mamba-130m"])
def test_flops_are_those_of_the_spec(name: str) -> None:
    found, length, rows = spec(name), 512, 3
    works = [layer_work(layer, found.hidden_size, rows=rows, length=length) for layer in found.layers]
    total = sum(work.forward.flops for work in works) + head_work(found, tokens=rows * length).flops
    routers = sum(2 * rows * length * found.hidden_size * 8 for _ in works) if name.startswith("mixtral") else 0
    assert total - routers == pytest.approx(
        rows * found.flops(length), rel=2e-2 if routers or "mamba" in name else 1e-6
    )
    for work in works:  # twice as much backward, but for attention, whose scores a fused kernel makes again
        assert work.matrices.backward().flops == pytest.approx(2 * work.matrices.flops)
        assert work.attention_backward.flops == pytest.approx(2.5 * work.attention.flops)


@pytest.mark.parametrize("flash", [True, False])
@pytest.mark.parametrize("name", ["gpt2", "llama-2-70b", "falcon-40b", "mixtral-8x7b"])
def test_ranks_share_the_work(name: str, flash: bool) -> None:
    found, ranks = spec(name), 4
    one, part = (
        layer_work(
            found.layers[0], found.hidden_size, rows=2, length=256, tensor=tensor, flash=flash, split_sequence=True
        )
        for tensor in (1, ranks)
    )
    router = 2 * 2 * 256 * found.hidden_size * 8 if name.startswith("mixtral") else 0
    assert ranks * (part.forward.flops - router) == pytest.approx(one.forward.flops - router)
    assert ranks * part.kept == pytest.approx(one.kept, rel=1e-2 if not router else 0.1)
    assert ranks * part.elementwise.moved == pytest.approx(one.elementwise.moved)
    assert part.sums == len(found.layers[0].branches)


def test_a_fused_kernel_leaves_out_scores_and_half_the_products() -> None:
    layer, length = spec("gpt2").layers[0], 1024
    fused, plain = (layer_work(layer, 768, rows=1, length=length, flash=flash) for flash in (True, False))
    assert fused.attention.flops == pytest.approx(plain.attention.flops / 2, rel=2e-3)
    assert fused.scores == 0 and plain.scores == 5 * 12 * length**2  # 5 a s² b bytes, as Korthikanti et al. count
    assert plain.attention.moved == 2 * SCORE_PASSES * 12 * length**2
    assert fused.remembered("none") == fused.kept == plain.remembered("selective")
    assert plain.remembered("none") == plain.kept + plain.scores
    assert plain.remembered("full") == 2 * length * 768
    # 34 bytes a token and unit of width, without dropout's masks: 16 numbers of two bytes (memory.activation_memory)
    assert fused.kept == 2 * length * 768 * 16


def test_recomputation_adds_a_forward() -> None:
    work = layer_work(spec("gpt2").layers[0], 768, rows=1, length=128, flash=False)
    none, selective, full = (work.backward(how).flops for how in ("none", "selective", "full"))
    assert selective - none == work.attention.flops and full - none == work.forward.flops


def test_times() -> None:
    endless = Accelerator("endless memory", 1e12, 0, 1, 1e30, {})
    exact = Efficiency(1.0, 0.0, 1.0)
    work = Work(((2.0, 64, 32, 16),), 100.0)
    assert work.seconds(endless, exact) == pytest.approx(2 * 2 * 64 * 32 * 16 / 1e12)
    assert work.seconds(endless, Efficiency(0.5, 0.0, 1.0)) == pytest.approx(2 * work.seconds(endless, exact))
    small = Efficiency(1.0, 16.0, 1.0)
    assert work.seconds(endless, small) == pytest.approx(
        work.seconds(endless, exact) * (1 + 16 / 64 + 16 / 32 + 16 / 16)
    )
    slow = Accelerator("slow memory", 1e30, 0, 1, 1e9, {})
    assert work.seconds(slow, exact) == pytest.approx((100 + 2 * 2 * (64 * 32 + 32 * 16 + 64 * 16)) / 1e9)
    shares = Work(((1.0, 4096, 4096, 4096),)).seconds(ACCELERATORS["a100"], Efficiency(np.array([0.5, 1.0]), 10.0))
    assert shares.shape == (2,) and shares[0] == pytest.approx(2 * shares[1])


def test_large_products_come_near_the_share() -> None:
    chip, how = ACCELERATORS["a100"], Efficiency()
    shares = []
    for n in (128, 1024, 8192):
        work = Work(((1.0, n, n, n),))
        shares.append(work.flops / work.seconds(chip, how) / chip.flops)
    assert shares == sorted(shares) and shares[-1] == pytest.approx(how.matrix_share, rel=0.02)


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("falcon-7b", 2, "71 heads cannot be divided among 2"),
        ("gpt2", 5, "12 heads cannot be divided among 5"),
        ("mamba-130m", 2, "not a MambaSpec: take 1"),
    ],
)
def test_what_cannot_be_divided(name: str, tensor: int, message: str) -> None:
    found = spec(name)
    with pytest.raises(ValueError, match=message):
        layer_work(found.layers[0], found.hidden_size, rows=1, length=16, tensor=tensor)


def test_key_value_heads_are_copied_or_shared_out() -> None:
    layer = spec("llama-2-70b").layers[0]  # 8 of them
    assert layer_work(layer, 8192, rows=1, length=8, tensor=16).matrices.products[0][3] == (4 + 2 * 1) * 128
    assert layer_work(layer, 8192, rows=1, length=8, tensor=4).matrices.products[0][3] == (16 + 2 * 2) * 128


def test_units_that_do_not_divide() -> None:
    config = {"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 102}
    with pytest.raises(ValueError, match="102 feed-forward units cannot be divided among 4"):
        layer_work(spec(config).layers[0], 64, rows=1, length=8, tensor=4)


@pytest.mark.parametrize("config", [
    {"model_type": "gpt2", "n_embd": 6144, "n_layer": 48, "n_head": 64, "n_positions": 2048, "vocab_size": 51200},
    {"model_type": "gpt2", "n_embd": 2304, "n_layer": 24, "n_head": 24, "n_positions": 2048, "vocab_size": 51200},
])  # fmt: skip
def test_model_flops_are_megatrons_formula(config: dict[str, Any]) -> None:
    found, s = model_flops(spec(config), 2048), 2048
    h, layers, vocabulary = config["n_embd"], config["n_layer"], config["vocab_size"]
    formula = 72 * layers * h * h * (1 + s / (6 * h) + vocabulary / (12 * layers * h))  # a token, without recomputation
    assert 3 * (found["layers"] + found["head"]) == pytest.approx(formula, rel=1e-12)
    windowed = model_flops(spec("mistral-7b"), 8192)["attention"]
    assert windowed == pytest.approx(32 * 4 * 4096 * 4096) and math.isfinite(windowed)
