"""Learning from one long word (a genome, base64) takes time that grows with the text; words told to be tokens."""

from __future__ import annotations

import time
from pathlib import Path
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
        began = time.process_time()
        Tokenizer.train(text[:length], 300, kind=kind)
        return time.process_time() - began

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


QUESTION = "Who took the hat? The dog knew who, and why. Where is it, whole or not? 1234\nwho is whose\n" * 5


@pytest.mark.parametrize(
    ("kind", "added", "first"),
    [("byte-level", ["Who", " who", "why"], 2), ("sentencepiece", ["Who", "who", "why"], 5)],
)
def test_added_tokens_are_whole_wherever_they_stand_and_not_special(
    kind: str, added: list[str], first: int, tmp_path: Path
) -> None:
    tokenizer = Tokenizer.train(
        QUESTION, 340, kind=kind, special_tokens=["<|end|>", "<|user|>"], added_tokens=added, roles={"eos": "<|end|>"}
    )
    assert [tokenizer.token_to_id(text) for text in added] == [first, first + 1, first + 2]
    assert not set(added) & set(tokenizer.special_tokens) and tokenizer.eos_id == first - 2
    ids = tokenizer.encode("Who took what, who, the whole and whyever?<|user|>")
    assert [ids.count(number) for number in range(first, first + 3)] == [1, 2, 1]  # not special: no leave is needed
    assert first - 1 not in ids
    assert tokenizer.decode(tokenizer.encode(QUESTION), skip_special_tokens=True) == QUESTION
    learnt = [tokenizer.id_to_bytes(number).decode("utf-8", "replace") for number in range(first + 3, len(tokenizer))]
    assert not any(text in piece for text in added for piece in learnt)
    tokenizer.save(tmp_path)
    again = Tokenizer.from_pretrained(tmp_path)
    assert again.added_tokens.by_id == tokenizer.added_tokens.by_id
    assert again.encode(QUESTION) == tokenizer.encode(QUESTION) and again.eos_id == tokenizer.eos_id


def test_pieces_are_cut_at_added_tokens_as_at_the_user_defined_symbols_of_sentencepiece() -> None:
    """What follows one is no new beginning; the pieces that the library learns from the same text."""
    tokenizer = Tokenizer.train("ab<x>ab\nab<x>ab ab<x>", 270, kind="sentencepiece", added_tokens=["<x>"])
    assert [piece.text for piece in tokenizer.pieces][260:] == ["ab", "▁ab", "a", "b", "▁"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"added_tokens": ["7"]}, "added token '7' is a single character"),
        ({"added_tokens": ["who", "who"]}, "'who' is given twice"),
        ({"added_tokens": ["<s>"], "special_tokens": ["<s>"]}, "'<s>' is given twice"),
        ({"added_tokens": ["the hat"], "kind": "sentencepiece"}, "added token 'the hat' holds a space"),
        ({"added_tokens": ["who"], "vocab_size": 256}, "at least 257 .256 bytes, 0 special and 1 added tokens"),
        ({"added_tokens": ["who"], "roles": {"eos": "who"}}, "roles maps"),
    ],
)
def test_added_tokens_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Tokenizer.train("text", **{"vocab_size": 300, **settings})
