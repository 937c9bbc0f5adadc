"""`tokenizer.json` of SentencePiece tokenizers, in the two ways in which it is published.

The older one puts "▁" in front and in place of spaces with a normalizer (Prepend, Replace), the newer one with a
pre-tokenizer (Metaspace, which puts none before a space). Both list merges of pairs, oldest first. Steps that are not
known here are errors that name them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import regex

from ..added_tokens import AddedToken
from ..borders import SPACE, Borders
from ..parts import Parts
from ..pieces import Kind, Piece, PieceEncoder, byte_of
from ..steps import prepend_scheme
from .common import bpe_json, document

_REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
_PREPEND = {"type": "Prepend", "prepend": SPACE}
# What `squeeze` is in this file: before and after the steps above.
_SQUEEZE_BEFORE = [
    {"type": "Replace", "pattern": {"Regex": r"\A +"}, "content": ""},
    {"type": "Replace", "pattern": {"Regex": " +"}, "content": " "},
]
_SQUEEZE_AFTER = [{"type": "Replace", "pattern": {"Regex": SPACE + r"+\z"}, "content": ""}]


class _Unlike(ValueError):
    """The file says something that this kind of tokenizer does not do."""


def is_sentencepiece(content: dict[str, Any], added: list[AddedToken]) -> bool:
    """Is it what `sentencepiece` does, and no more?"""
    try:
        settings = _spaces(content)
        inline = _inline(content, content["model"], content["model"]["vocab"])
    except _Unlike:
        return False
    prefixed = settings["prefix"] != "never"
    if content.get("decoder") != {"type": "Sequence", "decoders": _decoders(prefixed)}:
        return False
    if content.get("normalizer") is not None and any(token.normalized for token in added):
        return False  # they are looked for in the normalised text
    return not {token.content for token in added} & set(inline)


def _decoders(prefixed: bool) -> list[dict[str, Any]]:
    return [
        {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
        *([{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if prefixed else []),
    ]


def _steps(described: Any, name: str) -> list[dict[str, Any]]:
    if isinstance(described, dict) and described.get("type") == "Sequence":
        steps = described.get(name)
        if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
            raise _Unlike
        return steps
    if described is not None and not isinstance(described, dict):
        raise _Unlike
    return [described] if described is not None else []


def arguments(
    content: dict[str, Any], vocabulary: dict[str, int], merges: np.ndarray, added: list[AddedToken]
) -> dict[str, Any]:
    """The arguments of `sentencepiece.parts` from what `tokenizer_json.load` has read and checked."""
    model = content["model"]
    byte_fallback = bool(model.get("byte_fallback", False))
    settings = {**_spaces(content), "inline": _inline(content, model, vocabulary)}
    unknown = model.get("unk_token")
    if SPACE not in vocabulary and not byte_fallback and unknown is None:
        raise ValueError(f"spaces become {SPACE!r}, for which the vocabulary has neither a token nor bytes")
    # Numbers are assigned from the vocabulary; what is left of the range is a gap.
    pieces = [Piece("", 0.0, Kind.UNUSED)] * (max(vocabulary.values()) + 1)
    special = {token.content for token in added if token.special}
    ranks: dict[int, int] = {}
    for rank, result in enumerate(merges[:, 2].tolist()):
        ranks.setdefault(result, rank)
    for text, number in vocabulary.items():
        if text == unknown:
            kind = Kind.UNKNOWN
        elif byte_fallback and byte_of(text) is not None:
            kind = Kind.BYTE
        elif text in special:
            kind = Kind.CONTROL
        else:
            kind = Kind.USER_DEFINED if text in settings["inline"] else Kind.NORMAL
        if text:
            pieces[number] = Piece(text, -float(ranks.get(number, len(merges) + number)) if kind == 1 else 0.0, kind)
    for text in settings["inline"]:
        added = [*added, AddedToken(text, vocabulary[text], special=False)]
    return {
        "kind": "sentencepiece",
        "pieces": pieces,
        "merges": merges,
        "added_tokens": added,
        "byte_fallback": byte_fallback,
        "unknown_text": None,
        "fuse_unknown": bool(model.get("fuse_unk", False)),
        "post_processor": content.get("post_processor"),
        **settings,
    }


def _spaces(content: dict[str, Any]) -> dict[str, Any]:
    """Where spaces are put in front, from the normalizer and the pre-tokenizer."""
    steps = _steps(content.get("normalizer"), "normalizers")
    squeeze = steps[:2] == _SQUEEZE_BEFORE
    if squeeze:
        if steps[-1:] != _SQUEEZE_AFTER:
            raise _Unlike
        steps = steps[2:-1]
    metaspace = [
        step for step in _steps(content.get("pre_tokenizer"), "pretokenizers") if step.get("type") == "Metaspace"
    ]
    if not metaspace and steps in ([_REPLACE], [_PREPEND, _REPLACE]):
        return {"prefix": "always" if steps[0] == _PREPEND else "never", "squeeze": squeeze}
    if len(metaspace) != 1 or steps or squeeze or metaspace[0].get("replacement", SPACE) != SPACE:
        raise _Unlike
    scheme, split = prepend_scheme(metaspace[0]), metaspace[0].get("split", True)
    if not isinstance(split, bool):
        raise _Unlike
    return {"prefix": scheme, "double_prefix": False, "words": "each" if split else None}


def _inline(content: dict[str, Any], model: dict[str, Any], vocabulary: dict[str, int]) -> list[str]:
    """User-defined pieces, which `to_json` writes as a Split of these strings, whole words going before merges."""
    steps = [step for step in _steps(content.get("pre_tokenizer"), "pretokenizers") if step.get("type") != "Metaspace"]
    found: list[str] = []
    for step in steps:
        pattern = step.get("pattern")
        if step.get("type") != "Split" or step.get("behavior") != "Isolated" or step.get("invert"):
            raise _Unlike
        written = pattern.get("Regex") if isinstance(pattern, dict) else None
        texts = [regex.sub(r"\\(.)", r"\1", part) for part in regex.split(r"(?<!\\)\|", written or "")]
        if not written or any(text not in vocabulary for text in texts) or _alternatives(texts) != written:
            raise _Unlike
        found += texts
    if bool(model.get("ignore_merges", False)) != bool(found):
        raise _Unlike
    return found


def _alternatives(texts: list[str]) -> str:
    return "|".join(
        regex.sub(r"([^\w<>])", r"\\\1", text) for text in sorted(texts, key=lambda text: (-len(text), text))
    )


def to_json(parts: Parts) -> dict[str, Any]:
    """The content of `tokenizer.json`."""
    borders, encoder = parts.splitter, parts.encoder
    assert isinstance(borders, Borders) and isinstance(encoder, PieceEncoder)
    pieces = encoder.pieces
    inline = {parts.added.by_id[number].content for number in borders.inline}
    pre_tokenizer: dict[str, Any] | None = None
    steps: list[dict[str, Any]] = []
    if borders.double_prefix:
        steps = [*([_PREPEND] if borders.prefix == "always" else []), _REPLACE]
        if borders.squeeze:
            steps = [*_SQUEEZE_BEFORE, *steps, *_SQUEEZE_AFTER]
        if inline:
            pattern = {"Regex": _alternatives(list(inline))}
            pre_tokenizer = {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}
    else:
        scheme = {"prepend_scheme": borders.prefix, "split": borders.rule == "each"}
        pre_tokenizer = {"type": "Metaspace", "replacement": SPACE, **scheme}
    if borders.prefix == "first" and borders.double_prefix:
        raise ValueError("tokenizer.json cannot say: a space before a text that begins with one, but only at its start")
    merges = [
        [pieces[left].text, pieces[right].text]
        for left, right, _ in encoder.merges.tolist()
        if max(left, right) < len(pieces)
    ]
    made = document(
        parts,
        normalizer={"type": "Sequence", "normalizers": steps} if steps else None,
        pre_tokenizer=pre_tokenizer,
        decoder={"type": "Sequence", "decoders": _decoders(borders.prefix != "never")},
        model=bpe_json(
            {piece.text: number for number, piece in enumerate(pieces) if piece.text},
            merges,
            unk_token=next((piece.text for piece in pieces if piece.kind == Kind.UNKNOWN), None),
            fuse_unk=encoder.fuse,
            byte_fallback=encoder.byte_fallback,
            ignore_merges=bool(inline),
        ),
    )
    made["added_tokens"] = [token for token in made["added_tokens"] if token["content"] not in inline]
    return made
