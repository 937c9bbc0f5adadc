"""Filling blanks: against the whole sequence run again at each token, batched as alone, several blanks in turn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.data import BlankTokens
from llm_from_scratch.generation import fill_blanks, generate_blank

SPECIAL = BlankTokens(mask=1, gmask=2, start=3, end=4)
CONTEXTS = [[5, 6, 1, 8, 9, 10], [7, 2], [11, 1, 12], [12, 9, 7, 8, 2]]


@pytest.fixture(scope="module")
def model() -> Any:
    sizes = dict(vocab_size=13, hidden_size=16, num_layers=2, num_attention_heads=2, inner_hidden_size=12)
    model = lfs.build("glm", dtype=np.float64, **sizes)
    rng = np.random.default_rng(4)
    for name, parameter in model.named_parameters():
        noise = rng.normal(size=parameter.shape)
        parameter.data = 0.5 * noise if parameter.ndim == 2 else 0.3 * noise + name.endswith("norm.weight")
    return model


def by_hand(model: Any, context: list[int], count: int) -> list[int]:
    """Greedy, without memory: the whole sequence again for every token."""
    blank = next(i for i, token in enumerate(context) if token in (SPECIAL.mask, SPECIAL.gmask))
    ids, written = [*context, SPECIAL.start], []
    while len(written) < count:
        new = len(ids) - len(context)
        where = range(len(context), len(ids)) if context[blank] == SPECIAL.gmask else [blank] * new
        positions = np.array([*range(len(context)), *where])
        logits = model(np.array([ids]), positions=positions, prefix_length=len(context)).data[0, -1]
        token = int(logits.argmax())
        if token == SPECIAL.end:
            break
        written.append(token)
        ids.append(token)
    return written


def test_greedy_is_what_running_everything_again_gives(model: Any) -> None:
    expected = [by_hand(model, context, 7) for context in CONTEXTS]
    assert len({tuple(written) for written in expected}) == 4 and max(map(len, expected)) > 3
    settings: dict[str, Any] = {"max_new_tokens": 7, "temperature": 0.0}
    for context, written in zip(CONTEXTS, expected):
        assert generate_blank(model, [context], SPECIAL, **settings) == [written]
    assert generate_blank(model, CONTEXTS, SPECIAL, **settings) == expected  # padded on the left, both kinds mixed


def test_where_the_model_is_told_that_tokens_stand() -> None:
    seen: list[Any] = []

    class Spy:
        def new_memory(self, batch_size: int) -> Any:
            return type("Memory", (), {"length": 0})()

        def step(self, ids: Any, memory: Any, mask: Any = None, *, positions: Any = None, prefix_length: Any = None):
            memory.length += ids.shape[1]
            seen.append((ids.tolist(), positions.tolist(), prefix_length, None if mask is None else mask.tolist()))
            return np.eye(13)[[7] * len(ids)]

    generate_blank(Spy(), [[5, 1, 6], [8, 2]], SPECIAL, max_new_tokens=3, temperature=0.0)
    assert seen == [
        ([[5, 1, 6, 3], [0, 8, 2, 3]], [[0, 1, 2, 1], [0, 0, 1, 2]], 3, [[True] * 4, [False, True, True, True]]),
        ([[7], [7]], [[1], [3]], None, None),
        ([[7], [7]], [[1], [4]], None, None),
    ]


def test_sampling_repeats_and_rows_do_not_depend_on_their_neighbours(model: Any) -> None:
    settings: dict[str, Any] = {"max_new_tokens": 5, "temperature": 1.5}
    together = fill_blanks(model, CONTEXTS, SPECIAL, seed=3, **settings)
    assert together == fill_blanks(model, CONTEXTS, SPECIAL, seed=3, **settings)
    assert together != fill_blanks(model, CONTEXTS, SPECIAL, seed=4, **settings)
    assert together[:1] == fill_blanks(model, CONTEXTS[:1], SPECIAL, seed=3, **settings)
    assert together[0][:2] == [5, 6] and together[0][-3:] == [8, 9, 10] and together[1][0] == 7


def test_several_blanks_are_filled_from_left_to_right(model: Any) -> None:
    context = [5, 1, 8, 6, 1, 9]
    first = by_hand(model, context, 3)
    second = by_hand(model, [5, *first, 8, 6, 1, 9], 3)
    assert first and second and not {1, 2, 3} & {*first, *second}
    filled = fill_blanks(model, [context, [6, 7]], SPECIAL, max_new_tokens=3, temperature=0.0)
    assert filled == [[5, *first, 8, 6, *second, 9], [6, 7]]
    assert context == [5, 1, 8, 6, 1, 9]


def test_other_stops_and_a_model_that_writes_blanks() -> None:
    class Script:
        """Writes 7, [MASK], 8, 5, 5, … whatever it reads."""

        def new_memory(self, batch_size: int) -> Any:
            return type("Memory", (), {"length": 0, "written": 0})()

        def step(self, ids: Any, memory: Any, mask: Any = None, *, positions: Any = None, prefix_length: Any = None):
            memory.length += ids.shape[1]
            memory.written += 1
            return np.eye(9)[[[7, 1, 8, 5, 5][min(memory.written, 5) - 1]] * len(ids)]

    greedy: dict[str, Any] = {"max_new_tokens": 4, "temperature": 0.0}
    assert generate_blank(Script(), [[6, 2]], SPECIAL, **greedy) == [[7, 1, 8, 5]]
    assert generate_blank(Script(), [[6, 2]], SPECIAL, stop_tokens=8, **greedy) == [[7, 1, 8]]
    assert fill_blanks(Script(), [[6, 2]], SPECIAL, **greedy) == [[6, 7, 8, 5]]


@pytest.mark.parametrize(
    "contexts, message",
    [
        ([], "no context"),
        ([[5, 6]], r"context 0 has no blank, neither 1 \(\[MASK\]\) nor 2"),
        ([[5, 1], [1, 3]], "context 1 holds the start token 3"),
        ([[]], "context 0 must be a list of token ids"),
        ([[1.5]], "context 0 must be a list of token ids, got float64"),
    ],
)
def test_contexts_are_checked(model: Any, contexts: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        generate_blank(model, contexts, SPECIAL, max_new_tokens=2)
    with pytest.raises(ValueError, match="seed must be"):
        fill_blanks(model, [[5, 1]], SPECIAL, max_new_tokens=2, seed=-1)
