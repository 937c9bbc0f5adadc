"""`tokenizer.json` of SentencePiece tokenizers, in the two ways in which it is published.

The older one puts "▁" in front and in place of spaces with a normalizer (Prepend, Replace), the newer one with a
pre-tokenizer (Metaspace, which puts none before a space). Both list merges of pairs, oldest first. Steps that are not
known here are errors that name them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import regex

from ..added_tokens import AddedToken
from ..pieces import SPACE, Kind, Piece, byte_of
from .parts import added_token_json

if TYPE_CHECKING:
    from ..sentencepiece import SentencePieceTokenizer

_REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
_PREPEND = {"type": "Prepend", "prepend": SPACE}
# What `squeeze` is in this file: before and after the steps above.
_SQUEEZE_BEFORE = [
    {"type": "Replace", "pattern": {"Regex": r"\A +"}, "content": ""},
    {"type": "Replace", "pattern": {"Regex": " +"}, "content": " "},
]
_SQUEEZE_AFTER = [{"type": "Replace", "pattern": {"Regex": SPACE + r"+\z"}, "content": ""}]


def is_sentencepiece(content: dict[str, Any]) -> bool:
    """Does the file describe this kind? It falls back to bytes, or knows "▁" by a normalizer or pre-tokenizer."""
    model = content.get("model") or {}
    spaces = _steps(content.get("normalizer"), "normalizers") + _steps(content.get("pre_tokenizer"), "pretokenizers")
    for kind in (step.get("type") for step in spaces):
        if kind is not None and not isinstance(kind, str):
            raise ValueError(f"a normalizer or pre_tokenizer: its type must be a word, not {kind!r:.60}")
    kinds = {step.get("type") for step in spaces}
    return "ByteLevel" not in kinds and (
        bool(model.get("byte_fallback")) or bool(kinds & {"Metaspace", "Prepend"}) or _REPLACE in spaces
    )


def _steps(described: Any, name: str) -> list[dict[str, Any]]:
    if isinstance(described, dict) and described.get("type") == "Sequence":
        steps = described.get(name)
        return [step for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []
    return [described] if isinstance(described, dict) else []


def arguments(
    content: dict[str, Any], vocabulary: dict[str, int], merges: np.ndarray, added: list[AddedToken], path: Path
) -> dict[str, Any]:
    """The arguments of `SentencePieceTokenizer` from what `tokenizer_json.load` has read and checked."""
    model = content["model"]
    byte_fallback = bool(model.get("byte_fallback", False))
    try:
        settings = _spaces(content)
        settings["inline"] = _inline(content, model, vocabulary)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    unknown = model.get("unk_token")
    if unknown is not None and unknown not in vocabulary:
        raise ValueError(f"{path}: unk_token {unknown!r} is not in the vocabulary")
    if SPACE not in vocabulary and not byte_fallback and unknown is None:
        raise ValueError(f"{path}: spaces become {SPACE!r}, for which the vocabulary has neither a token nor bytes")
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
    """Where spaces are put in front, from the normalizer, the pre-tokenizer and the decoder."""
    steps = [dict(step) for step in _steps(content.get("normalizer"), "normalizers")]
    if content.get("normalizer") is not None and not steps:
        raise ValueError(f"normalizer {content['normalizer']!r} is not supported")
    squeeze = bool(steps) and steps[:2] == _SQUEEZE_BEFORE
    if squeeze:
        if steps[-1:] != _SQUEEZE_AFTER:
            raise ValueError("normalizer takes away spaces at one end of a text only, which is not supported")
        steps = steps[2:-1]
    metaspace = [
        step for step in _steps(content.get("pre_tokenizer"), "pretokenizers") if step.get("type") == "Metaspace"
    ]
    prefix, double, words = "never", True, None
    for step in steps:
        if step == _PREPEND and prefix == "never":
            prefix = "always"
        elif step != _REPLACE:
            shown = f"{step.get('type')}" + (f" of {step.get('pattern')!r}" if step.get("type") == "Replace" else "")
            raise ValueError(f"normalizer {shown} is not supported for SentencePiece: expected Prepend and Replace")
    replaced = _REPLACE in steps
    if len(metaspace) > 1 or (metaspace and steps):
        raise ValueError("normalizer and pre_tokenizer both replace spaces, which is not supported")
    if metaspace:
        step = metaspace[0]
        if step.get("replacement", SPACE) != SPACE:
            raise ValueError(
                f"pre_tokenizer Metaspace replaces spaces by {step.get('replacement')!r}: expected {SPACE!r}"
            )
        # Older files say add_prefix_space where newer ones name a scheme.
        scheme = step.get("prepend_scheme", "always" if step.get("add_prefix_space", True) else "never")
        if scheme not in ("always", "first", "never"):
            raise ValueError(f"pre_tokenizer Metaspace has the unknown prepend_scheme {scheme!r}")
        prefix, double, words = scheme, False, "each" if step.get("split", True) else None
    elif not replaced:
        raise ValueError(
            "neither normalizer nor pre_tokenizer replaces spaces: not a SentencePiece tokenizer known here"
        )
    for step in _steps(content.get("decoder"), "decoders"):
        if step.get("type") not in ("Replace", "ByteFallback", "Fuse", "Strip", "Metaspace"):
            raise ValueError(f"decoder {step.get('type')!r} is not supported for SentencePiece")
    return {"prefix": prefix, "double_prefix": double, "words": words, "squeeze": squeeze}


def _inline(content: dict[str, Any], model: dict[str, Any], vocabulary: dict[str, int]) -> list[str]:
    """User-defined pieces, which `to_json` writes as a Split of these strings, whole words going before merges."""
    steps = [step for step in _steps(content.get("pre_tokenizer"), "pretokenizers") if step.get("type") != "Metaspace"]
    found: list[str] = []
    for step in steps:
        pattern = step.get("pattern")
        if step.get("type") != "Split" or step.get("behavior") != "Isolated" or step.get("invert"):
            raise ValueError(f"pre_tokenizer step {step.get('type')!r} is not supported for SentencePiece")
        written = pattern.get("Regex") if isinstance(pattern, dict) else None
        texts = [regex.sub(r"\\(.)", r"\1", part) for part in regex.split(r"(?<!\\)\|", written or "")]
        if not written or any(text not in vocabulary for text in texts) or _alternatives(texts) != written:
            raise ValueError(f"pre_tokenizer Split of {pattern!r} is not supported: expected strings of the vocabulary")
        found += texts
    if bool(model.get("ignore_merges", False)) != bool(found):
        raise ValueError("ignore_merges is not supported for SentencePiece but for user-defined pieces")
    return found


def _alternatives(texts: list[str]) -> str:
    return "|".join(
        regex.sub(r"([^\w<>])", r"\\\1", text) for text in sorted(texts, key=lambda text: (-len(text), text))
    )


def to_json(tokenizer: SentencePieceTokenizer) -> dict[str, Any]:
    """The content of `tokenizer.json`."""
    pieces = tokenizer.pieces
    inline = set(tokenizer.inline)
    added = sorted(tokenizer.added_tokens.by_id.values(), key=lambda token: token.id)
    pre_tokenizer: dict[str, Any] | None = None
    steps: list[dict[str, Any]] = []
    if tokenizer.double_prefix:
        steps = [*([_PREPEND] if tokenizer.prefix == "always" else []), _REPLACE]
        if tokenizer.squeeze:
            steps = [*_SQUEEZE_BEFORE, *steps, *_SQUEEZE_AFTER]
        if inline:
            pattern = {"Regex": _alternatives(list(inline))}
            pre_tokenizer = {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}
    else:
        each = tokenizer.pre_tokenizer.rule == "each"  # type: ignore[attr-defined]
        scheme = {"prepend_scheme": tokenizer.prefix, "split": each}
        pre_tokenizer = {"type": "Metaspace", "replacement": SPACE, **scheme}
    if tokenizer.prefix == "first" and tokenizer.double_prefix:
        raise ValueError("tokenizer.json cannot say: a space before a text that begins with one, but only at its start")
    decoder = [
        {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
        *([{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if tokenizer.prefix != "never" else []),
    ]
    unknown = next((piece.text for piece in pieces if piece.kind == Kind.UNKNOWN), None)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added_token_json(token, normalized=False) for token in added if token.content not in inline],
        "normalizer": {"type": "Sequence", "normalizers": steps} if steps else None,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": _with_ids(tokenizer),
        "decoder": {"type": "Sequence", "decoders": decoder},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": unknown,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": tokenizer.fuse_unknown,
            "byte_fallback": tokenizer.byte_fallback,
            "ignore_merges": bool(inline),
            "vocab": {piece.text: number for number, piece in enumerate(pieces) if piece.text},
            "merges": [
                [pieces[left].text, pieces[right].text]
                for left, right, _ in tokenizer.merges.tolist()
                if max(left, right) < len(pieces)
            ],
        },
    }


def _with_ids(tokenizer: SentencePieceTokenizer) -> dict[str, Any] | None:
    """The template with the ids of its tokens beside it, as the library `tokenizers` wants it."""
    described = tokenizer.post_processor
    if described is None or described.get("type") != "TemplateProcessing" or "special_tokens" in described:
        return None if described is None else dict(described)
    names = [item["SpecialToken"]["id"] for item in described["single"] if "SpecialToken" in item]
    ids = {name: tokenizer.added_tokens.by_content[name].id for name in names}
    second = [{kind: {**value, "type_id": 1} for kind, value in item.items()} for item in described["single"]]
    for item in second:
        if "Sequence" in item:
            item["Sequence"]["id"] = "B"
    return {
        **described,
        "pair": described.get("pair") or [*described["single"], *second],
        "special_tokens": {name: {"id": name, "ids": [number], "tokens": [name]} for name, number in ids.items()},
    }
