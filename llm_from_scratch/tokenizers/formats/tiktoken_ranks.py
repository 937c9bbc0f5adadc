"""Rank files in the manner of tiktoken, such as `qwen.tiktoken`: on each line a token in base64 and its rank.

A rank is the token's id, and the lower goes first when neighbours are joined; a word that is a token is that token.
The file holds neither the pattern that cuts text into words nor special tokens: these belong to the name of the file,
and for XGen (GPT-2's ranks with more tokens behind them) to the `tokenizer_config.json` beside it.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..added_tokens import AddedToken
from ..pre_tokenizer import PreTokenizer
from .common import spell
from .surroundings import Surroundings

END_OF_TEXT = "<|endoftext|>"
LONGEST = 4096  # bytes of a token (published ones have 128 or so): how it is joined takes time with the square of them


@dataclass(frozen=True)
class _Known:
    """What goes with a file of ranks. special: names that follow the ranks, or how far behind them their ids are."""

    pattern: str
    special: list[str] | dict[str, int] = field(default_factory=lambda: [END_OF_TEXT])
    normalizer: str | None = None


KNOWN = {
    "qwen": _Known(
        "qwen2", [END_OF_TEXT, "<|im_start|>", "<|im_end|>", *(f"<|extra_{n}|>" for n in range(205))], "NFC"
    ),
    **dict.fromkeys(("r50k_base", "gpt2"), _Known("gpt2")),
    "cl100k_base": _Known(
        "cl100k",
        {END_OF_TEXT: 1, "<|fim_prefix|>": 2, "<|fim_middle|>": 3, "<|fim_suffix|>": 4, "<|endofprompt|>": 20},
    ),
    "o200k_base": _Known("o200k", {END_OF_TEXT: 1, "<|endofprompt|>": 20}),
}
"""Files by the first part of their names."""

_XGEN_CODE = (
    "fim_prefix fim_middle fim_suffix fim_pad filename gh_stars issue_start issue_comment issue_closed jupyter_start "
    "jupyter_text jupyter_code jupyter_output empty_output commit_before commit_msg commit_after reponame dummy_0 "
    "dummy_1 dummy_2 dummy_3 sep eom"
).split()
XGEN_SIZE = 51200


def load(path: Path, around: Surroundings) -> dict[str, Any]:
    """The arguments of `byte_bpe.parts`. ValueError names the line that is damaged, or what is unknown."""
    name = path.name.split(".")[0]
    if name not in KNOWN:
        raise ValueError(
            f"{path}: a rank file holds no pattern, and none is known for {name!r}; rename it to what it is, "
            f"one of {', '.join(f'{known}.tiktoken' for known in KNOWN)}"
        )
    known = KNOWN[name]
    ranks = read_ranks(path)
    size = len(ranks)
    if isinstance(known.special, dict):
        special = {token: size + distance for token, distance in known.special.items()}
    else:
        special = {token: size + n for n, token in enumerate(known.special)}
    if around.tokenizer_class == "XgenTokenizer":
        if known.pattern != "gpt2":
            raise ValueError(f"{path}: XGen's tokenizer stands on GPT-2's ranks, r50k_base.tiktoken")
        _add_xgen(ranks, special)
    merges, order = ranked_merges(ranks)
    return {
        "tokens": {number: token for token, number in ranks.items()},
        "vocabulary": {spell(token): number for token, number in ranks.items()},
        "begin_end": (False, False),
        "merges": merges,
        "ranks": order,
        "added_tokens": [AddedToken(token, number) for token, number in special.items()],
        "pre_tokenizer": PreTokenizer(known.pattern),
        "ignore_merges": True,
        "normalizer": known.normalizer,
        "roles": {"eos": END_OF_TEXT, **({"bos": END_OF_TEXT} if known.pattern == "gpt2" else {})},
    }


def _add_xgen(ranks: dict[bytes, int], special: dict[str, int]) -> None:
    """XGen's tokens behind GPT-2's: runs of spaces and tabs, which text may hold, then special ones up to 51,200."""
    number = len(ranks) + len(special)
    for sign, longest in ((b" ", 31), (b"\t", 9)):
        for length in range(longest, 1, -1):
            ranks[sign * length] = number  # a run that GPT-2 has keeps only this number
            number += 1
    for name in _XGEN_CODE:
        special[f"<{name}>"] = number
        number += 1
    for mask in range(XGEN_SIZE - number, 0, -1):
        special[f"<mask_{mask}>"] = number
        number += 1


def read_ranks(path: Path) -> dict[bytes, int]:
    """The tokens of a rank file. ValueError unless the ranks are 0, 1, 2 ... and every byte is a token.

    Both a damaged line and a line that is missing are named.
    """
    ranks: dict[bytes, int] = {}
    owner: dict[int, int] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        parts = line.split()
        if len(parts) != 2 or not parts[1].isdigit() or len(parts[1]) > 9:
            raise ValueError(f"{path} line {number}: expected a token in base64 and its rank, got {line[:60]!r}")
        try:
            token = base64.b64decode(parts[0], validate=True)
        except binascii.Error as error:
            raise ValueError(f"{path} line {number}: {parts[0][:60]!r} is not base64: {error}") from None
        rank = int(parts[1])
        if not token:
            raise ValueError(f"{path} line {number}: the token is empty")
        if len(token) > LONGEST:
            raise ValueError(f"{path} line {number}: a token of {len(token):,} bytes; up to {LONGEST:,} are read")
        if token in ranks:
            raise ValueError(f"{path} line {number}: the token {token!r} stands twice")
        if rank in owner:
            raise ValueError(f"{path} line {number}: rank {rank} was given on line {owner[rank]}")
        ranks[token], owner[rank] = rank, number
    if not ranks:
        raise ValueError(f"{path} holds no ranks")
    gap = next((rank for rank in range(len(owner)) if rank not in owner), None)
    if gap is not None:
        raise ValueError(f"{path}: rank {gap} is missing, though there are ranks up to {max(owner)}")
    missing = next((byte for byte in range(256) if bytes([byte]) not in ranks), None)
    if missing is not None:
        raise ValueError(f"{path}: the byte {missing:#04x} has no rank")
    return ranks


def ranked_merges(ranks: dict[bytes, int]) -> tuple[np.ndarray, np.ndarray]:
    """Every way to join two tokens into a third -> merges (m, 3) int32 and which goes first (m,) int32.

    >>> ranked_merges({b"a": 0, b"b": 1, b"ab": 2, b"aab": 4, b"aa": 3})
    (array([[0, 1, 2],
            [0, 0, 3],
            [0, 2, 4],
            [3, 1, 4]], dtype=int32), array([2, 3, 4, 4], dtype=int32))
    """
    rows = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        ways = ((ranks.get(token[:i]), ranks.get(token[i:])) for i in range(1, len(token)))
        rows += sorted((left, right, rank) for left, right in ways if left is not None and right is not None)
    merges = np.array(rows, np.int32).reshape(-1, 3)
    return merges, np.ascontiguousarray(merges[:, 2])
