"""Weight tables and layouts by themselves: against plain loops, both ways, and tables that are wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from llm_from_scratch.families import Row, WeightTable
from llm_from_scratch.families.published.layouts import AS_IS, TRANSPOSED, Fused, InterleavedRotary, Layout

RNG = np.random.default_rng(0)
IN, WIDTH, HEADS, GROUPS = 5, 4, 6, 2  # six query heads of width 4 over two key-value heads


def ours(outputs: int, bias: bool) -> np.ndarray:
    return RNG.normal(size=(outputs,) if bias else (IN, outputs))


def column(array: np.ndarray, k: int) -> np.ndarray:
    """Output k of one of our parameters: what is row k of a tensor stored (out, in)."""
    return array[..., k]


def thirds(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> list:
    return [column(part, n) for part in (q, k, v) for n in range(part.shape[-1])]


def per_head(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> list:
    heads = q.shape[-1] // WIDTH
    return [column(part, h * WIDTH + n) for h in range(heads) for part in (q, k, v) for n in range(WIDTH)]


def grouped(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> list:
    rows, share = [], HEADS // GROUPS
    for g in range(GROUPS):
        for h in range(g * share, (g + 1) * share):
            rows += [column(q, h * WIDTH + n) for n in range(WIDTH)]
        rows += [column(k, g * WIDTH + n) for n in range(WIDTH)]
        rows += [column(v, g * WIDTH + n) for n in range(WIDTH)]
    return rows


def interleaved(q: np.ndarray) -> list:
    """Pair i of each head, (i, i + width/2) in ours, as neighbours."""
    half = WIDTH // 2
    return [column(q, h * WIDTH + part * half + i) for h in range(HEADS) for i in range(half) for part in (0, 1)]


H, K = HEADS * WIDTH, GROUPS * WIDTH
CASES: list[tuple[str, Layout, list[int], Any]] = [
    ("transposed", TRANSPOSED, [H], lambda q: [column(q, n) for n in range(H)]),
    ("thirds", Fused(), [H, H, H], thirds),
    ("thirds of unequal width", Fused(), [H, K, K], thirds),
    ("per head", Fused(groups=HEADS), [H, H, H], per_head),
    ("grouped", Fused(groups=GROUPS), [H, K, K], grouped),
    ("multi-query", Fused(groups=1), [H, WIDTH, WIDTH], thirds),
    ("interleaved rotary", InterleavedRotary(HEADS), [H], interleaved),
]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("name, layout, widths, rows", CASES)
def test_layouts_against_plain_loops_both_ways(
    name: str, layout: Layout, widths: list[int], rows: Any, bias: bool
) -> None:
    parts = [ours(width, bias) for width in widths]
    expected = np.stack(rows(*parts))
    stored = np.full(layout.stored_shape([part.shape for part in parts]), np.nan)
    assert stored.shape == expected.shape
    for theirs, part in layout.pairs(stored, parts):
        theirs[...] = part
    np.testing.assert_array_equal(stored, expected)
    back = [np.full(part.shape, np.nan) for part in parts]
    for theirs, part in layout.pairs(expected, back):
        part[...] = theirs
    for part, original in zip(back, parts, strict=True):
        np.testing.assert_array_equal(part, original)


def test_gpt2_s_fused_matrix_keeps_inputs_first() -> None:
    q, k, v = (ours(H, False) for _ in range(3))
    layout = Fused(outputs_first=False)
    assert layout.stored_shape([q.shape, k.shape, v.shape]) == (IN, 3 * H)
    stored = np.empty((IN, 3 * H))
    for theirs, part in layout.pairs(stored, [q, k, v]):
        theirs[...] = part
    np.testing.assert_array_equal(stored, np.concatenate([q, k, v], axis=1))


def test_parts_that_cannot_be_fused_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be fused in 4 groups"):
        Fused(groups=4).stored_shape([(IN, 6)])
    with pytest.raises(ValueError, match="cannot be fused"):
        Fused().stored_shape([(IN, 6), (IN + 1, 6)])
    with pytest.raises(ValueError, match="not 2 heads of rotary pairs"):
        InterleavedRotary(2).stored_shape([(IN, 6)])


SHAPES = {"layers.0.up.weight": (2, 3), "layers.0.up.bias": (3,), "layers.1.up.weight": (2, 3), "norm.weight": (2,)}


def test_rows_apply_to_what_a_model_has() -> None:
    table = WeightTable(
        (
            Row("layers.{i}.up.{w}", "h.{i}.fc.{w}", TRANSPOSED),
            Row("norm.{w}", "ln.{w}"),
            Row("head.weight", "head.weight"),  # this model has none
        )
    )
    bound = {binding.theirs: (binding.ours, binding.shape) for binding in table.bind(SHAPES)}
    assert bound == {
        "h.0.fc.weight": (("layers.0.up.weight",), (3, 2)),
        "h.0.fc.bias": (("layers.0.up.bias",), (3,)),
        "h.1.fc.weight": (("layers.1.up.weight",), (3, 2)),
        "ln.weight": (("norm.weight",), (2,)),
    }


def test_tables_with_holes_and_doubles_are_refused() -> None:
    up = Row("layers.{i}.up.{w}", "h.{i}.fc.{w}", TRANSPOSED)
    with pytest.raises(ValueError, match="no row for norm.weight"):
        WeightTable((up,)).bind(SHAPES)
    with pytest.raises(ValueError, match="layers.0.up.weight is covered twice"):
        WeightTable((up, Row("norm.weight", "ln.weight"), Row("layers.{i}.up.weight", "again.{i}"))).bind(SHAPES)
    with pytest.raises(ValueError, match="there is no layers.0.gate.weight"):
        WeightTable((Row(("layers.{i}.up.{w}", "layers.{i}.gate.{w}"), "h.{i}.{w}", Fused()),)).bind(SHAPES)


def test_names_are_matched_as_they_stand() -> None:
    """A dot is a dot, a layer's number is one part of the path."""
    table = WeightTable((Row("a.{i}.weight", "x.{i}", AS_IS),))
    for name in ("aX1Xweight", "a.1.2.weight", "b.a.1.weight", "a.1.weight.more"):
        with pytest.raises(ValueError, match="no row for"):
            table.bind({name: (1,)})
    assert table.bind({"a.10.weight": (1,)})[0].theirs == "x.10"
