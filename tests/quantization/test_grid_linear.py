"""Matrices on a grid in models: exactly the grid's numbers, however used, in the bits that they are said to take."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch import adapters as A
from llm_from_scratch.layers import Linear
from llm_from_scratch.quantization import Grid, GridLinear, GridWeight, grid_linear, packed_linear
from llm_from_scratch.quantization.grid import round_to_grid
from llm_from_scratch.recipes.technique_table import VOCABULARY, small_model

SHAPES = [(64, 64, 32), (70, 40, 8), (5, 33, 11), (1, 9, None), (130, 48, 16), (64, 1, None), (3, 88, 88)]


def grid_of(outputs: int, inputs: int, group: int | None, bits: int, mixed: bool = False, seed: int = 0) -> Grid:
    """A random matrix rounded; mixed: with its inputs in any groups, as act-order leaves them."""
    weight = np.random.default_rng(seed).normal(size=(outputs, inputs)).astype(np.float32)
    grid = round_to_grid(weight, bits=bits, group_size=group)
    if mixed:
        order = np.random.default_rng(seed).permutation(inputs)
        grid = Grid(grid.codes, grid.scale, grid.zero, grid.group_of_input[order], bits)
    return grid


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_weight_is_the_grid_in_whatever_pieces(shape: Any, bits: int, mixed: bool, monkeypatch: Any) -> None:
    grid = grid_of(*shape, bits, mixed)
    weight = GridWeight.of(grid)
    wanted = grid.values().T
    assert weight.shape == wanted.shape and weight.bits == bits
    np.testing.assert_array_equal(weight.expand(), wanted)
    for panel in (1, 5000, 2**19):
        monkeypatch.setattr(grid_linear, "_PANEL", panel)
        for rows in (0, 1, 3, 20):
            rng = np.random.default_rng(rows)
            for dtype, exact in ((np.float32, 1e-5), (np.float64, 1e-6)):  # a scale is a float32 in either
                x, y = rng.normal(size=(rows, shape[1])).astype(dtype), rng.normal(size=(rows, shape[0])).astype(dtype)
                for found, expected in ((weight.matmul(x), x @ wanted), (weight.transposed_matmul(y), y @ wanted.T)):
                    assert found.dtype == dtype and found.shape == expected.shape
                    np.testing.assert_allclose(found, expected, atol=exact * (1 + np.abs(expected).max(initial=0)))


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_bits_are_counted_as_held(bits: int) -> None:
    weight = GridWeight.of(grid_of(192, 576, 64, bits))
    assert weight.order is None and 8 * weight.nbytes == 192 * 576 * (bits + 40 / 64)
    layer = GridLinear(weight, lfs.Tensor(np.zeros(192, np.float32)))
    assert layer.nbytes == weight.nbytes + 4 * 192 and layer.parameter_count == 577 * 192
    mixed = GridWeight.of(grid_of(192, 576, 64, bits, mixed=True))
    assert mixed.nbytes == weight.nbytes + 4 * 576


@pytest.mark.parametrize("rows", [1, 9])
@pytest.mark.parametrize("mixed", [False, True])
def test_gradients(rows: int, mixed: bool) -> None:
    rng, weight = np.random.default_rng(0), GridWeight.of(grid_of(5, 12, 4, 3, mixed))
    lfs.gradcheck(
        lambda x, bias: packed_linear(x, bias, weight=weight), rng.normal(size=(rows, 12)), rng.normal(size=5)
    )


@pytest.mark.parametrize("family", ["llama", "gpt2", "mixtral", "mamba", "glm"])
def test_adapters_learn_beside_it_and_can_be_written_into_its_numbers(family: str, tmp_path: Any) -> None:
    model = small_model(family)
    ids = np.random.default_rng(0).integers(1, VOCABULARY, (2, 12))
    model.replace(
        lambda path, module: type(module) is Linear and not path.endswith(".router"),
        lambda module: GridLinear.of(module, round_to_grid(module.weight.data.T, bits=4)),
    )
    model.freeze()
    A.add_lora(model, 2, targets="all-linear")
    batch = {"ids": ids[:, :-1], "targets": ids[:, 1:]}
    optimizer, losses = lfs.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-2), []
    for _ in range(6):
        optimizer.zero_grad()
        losses.append(lfs.accumulate_gradients(model, batch))
        optimizer.step()
    assert losses[-1] < losses[0] - 0.02
    beside = model(ids).data
    with pytest.raises(ValueError, match="keeps its matrix packed"):
        lfs.merge_adapter(model)
    lfs.save_adapter(model, tmp_path / "adapter")
    lfs.merge_adapter(model, dequantize=True)
    np.testing.assert_allclose(model(ids).data, beside, atol=2e-4)


@pytest.mark.parametrize("mixed", [False, True])
def test_it_comes_back_from_its_parts_and_no_others(mixed: bool) -> None:
    weight = GridWeight.of(grid_of(70, 24, 12, 3, mixed))
    again = GridWeight.of_parts(weight.arrays(), weight.fields())
    np.testing.assert_array_equal(again.expand(), weight.expand())
    arrays, fields = weight.arrays(), weight.fields()
    order = arrays["order"]  # groups of 12 are filled up to 16
    for wrong, message in (
        ({"order": order + np.int32(1)}, "does not name each of 24 inputs once"),
        ({"order": order[:-1]}, r"int32 \(31,\)"),
        ({"codes": arrays["codes"][:1]}, "does not fit codes"),
        ({"codes": arrays["codes"].astype(np.int8)}, "codes must be uint8"),
        ({"scale": arrays["scale"].astype(np.float64)}, "float64 scales"),
        ({"zero": arrays["zero"].astype(np.int8)}, "zero must be uint8"),
    ):
        with pytest.raises(ValueError, match=message):
            GridWeight.of_parts({**arrays, **wrong}, fields)
    with pytest.raises(ValueError, match="are not 129 outputs"):
        GridWeight.of_parts(arrays, {**fields, "outputs": 129})


def test_what_does_not_fit_is_refused() -> None:
    layer = Linear(12, 5, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"the grid is \(5, 8\), the layer's matrix \(outputs, inputs\) \(5, 12\)"):
        GridLinear.of(layer, grid_of(5, 8, None, 4))
    with pytest.raises(ValueError, match="codes of 2, 3, 4, 8 bits are packed, not of 5"):
        GridWeight.of(grid_of(5, 8, None, 5))
    with pytest.raises(ValueError, match=r"does not fit a weight of \(in, out\) = \(8, 5\)"):
        packed_linear(np.ones((1, 9), np.float32), weight=GridWeight.of(grid_of(5, 8, None, 4)))
