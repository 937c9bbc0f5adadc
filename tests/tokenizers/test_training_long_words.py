"""Learning from one long word (a genome, Chinese, base64): work that grows with the text, not with its square."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from llm_from_scratch.kernels import bpe_training
from llm_from_scratch.tokenizers import Tokenizer, naive


def _genome(length: int) -> str:
    return "".join(np.array(list("ACGT"))[np.random.default_rng(0).integers(0, 4, length)])


@pytest.mark.parametrize("kind", ["sentencepiece", "byte-level"])
def test_sixteen_times_the_text_takes_no_hundred_times_as_long(kind: str) -> None:
    text = _genome(480_000)
    Tokenizer.train(text[:1000], 300, kind=kind)  # compiles

    def seconds(length: int) -> float:
        began = time.perf_counter()
        Tokenizer.train(text[:length], 300, kind=kind)
        return time.perf_counter() - began

    assert seconds(480_000) < 100 * max(0.01, min(seconds(30_000) for _ in range(3)))


def test_a_merge_visits_the_places_of_its_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    visited = []
    arrive = bpe_training._Text._arrive

    def counted(self: Any, i: int | None) -> Any:
        visited.append(i)
        return arrive(self, i)

    monkeypatch.setattr(bpe_training._Text, "_arrive", counted)
    word = np.frombuffer(_genome(3000).encode(), np.uint8)
    letters = np.frombuffer(b"ACGT", np.uint8)
    symbols = np.searchsorted(letters, word).astype(np.int32)
    for name in ("learn_merges", "learn_pieces"):
        visited.clear()
        rest = (0, 200, 1, False) if name == "learn_merges" else (200, 1, 16)
        made = getattr(bpe_training, name).__wrapped__(
            symbols, np.array([3000]), np.array([1]), letters, np.arange(1, 5), *rest
        )
        assert len(made) == 200 and len(visited) < 3 * 3000  # at most two a merge that happens, and 3000 at first


@pytest.mark.parametrize("text", ["a" * 37, "ab" * 20 + "a" * 9, "aab" * 7 + "aaaaaaa", "abcabc" * 5 + "abab"])
def test_runs_of_one_pair_are_merged_from_the_left(text: str) -> None:
    tokenizer = Tokenizer.train(text, 256 + 12, ties="lexicographic")
    made = [(tokenizer.id_to_bytes(a), tokenizer.id_to_bytes(b)) for a, b, _ in tokenizer.merges.tolist()]
    assert made == naive.learn({text.encode(): 1}, 12)[: len(made)] and len(made) > 3
