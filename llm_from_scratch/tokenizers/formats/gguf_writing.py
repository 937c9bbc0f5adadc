"""A tokenizer as the metadata of a GGUF file, for the llama.cpp library and for `gguf.py` beside.

The format names a pre-tokenisation by a word, has no normaliser, and tells spaces and ends of a text by three flags: a
tokenizer that it cannot tell is refused, whether by its settings or because what was written reads back as another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..borders import Borders
from ..byte_bpe import ByteEncoder
from ..byte_level import to_characters
from ..ends import TURN_ENDS
from ..parts import Parts
from ..pieces import Kind, Piece, PieceEncoder
from ..pre_tokenizer import PreTokenizer
from .gguf import NFC, arguments

_KEY = "tokenizer.ggml."
_ROLES = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
_NONE = 2**32 - 1  # an id that stands for none
_FURTHER_ENDS = ("eot", "eom")  # roles for the ids that end a text beside eos
# The word that is written for a pattern, by whether a word that is a token is that token, whatever the merges say.
_WORDS = {("cl100k", True): "llama-bpe", ("cl100k", False): "dbrx", ("gpt2", False): "gpt-2",
          ("digits", False): "smollm", ("qwen2", False): "qwen2", ("bloom", False): "bloom"}  # fmt: skip


def tokenizer_metadata(tokenizer: Any, vocab_size: int, end_tokens: Sequence[int] = ()) -> dict[str, Any]:
    """What a file says of a tokenizer and its chat template.

    vocab_size: the model's, which may have more rows than the tokenizer has tokens. end_tokens: the ids at which the
    model's own files end a text. ValueError for a tokenizer that does not fit, or that GGUF cannot hold.
    """
    if tokenizer.vocab_size > vocab_size:
        raise ValueError(
            f"the tokenizer has {tokenizer.vocab_size:,} tokens, the model's embedding only {vocab_size:,} rows: "
            "they do not belong together"
        )
    parts: Parts = tokenizer.parts
    writers = {"byte-level": _byte_level, "sentencepiece": _sentencepiece}
    if parts.kind not in writers:
        raise _unable(f"the kind {parts.kind!r} (unigram models, and steps that a tokenizer.json spells out)")
    for token in parts.added.by_id.values():
        flags = [flag for flag in ("lstrip", "rstrip", "single_word") if getattr(token, flag)]
        if flags:
            raise _unable(f"the flag {flags[0]} of the added token {token.content!r}")
    found = writers[parts.kind](parts, vocab_size) | _ends(parts, end_tokens)
    for text, kind in zip(found[_KEY + "tokens"], found[_KEY + "token_type"].tolist(), strict=True):
        if text in TURN_ENDS and kind != Kind.CONTROL:
            raise _unable(f"{text!r} as ordinary text: readers take what has this name for the end of a turn")
    _check(found)
    template = tokenizer.chat_template
    if template is not None:
        found["tokenizer.chat_template"] = template.source
        others = {name: source for name, source in template.sources.items() if source != template.source}
        found |= {f"tokenizer.chat_template.{name}": source for name, source in others.items()}
        found |= {"tokenizer.chat_templates": list(others)} if others else {}
    return found


def _unable(what: str) -> ValueError:
    return ValueError(f"a GGUF file cannot hold this tokenizer: it has no words for {what}")


def _kinds(parts: Parts, size: int) -> np.ndarray:
    """What each id is for; one without a token, and rows of the model behind the last, are not used."""
    vocabulary = parts.vocabulary
    kinds = np.full(size, Kind.UNUSED, np.int32)
    kinds[[number for number, token in enumerate(vocabulary.bytes) if token is not None]] = Kind.NORMAL
    for number, token in parts.added.by_id.items():
        kinds[number] = Kind.CONTROL if token.special else Kind.USER_DEFINED
    return kinds


def _byte_level(parts: Parts, size: int) -> dict[str, Any]:
    splitter, encoder, vocabulary = parts.splitter, parts.encoder, parts.vocabulary
    if not isinstance(splitter, PreTokenizer) or not isinstance(encoder, ByteEncoder):
        raise _unable(f"a {type(splitter).__name__} with a {type(encoder).__name__}")
    pattern = str(splitter.pattern)
    word = _WORDS.get((pattern, encoder.ignore_merges)) or _WORDS.get((pattern, not encoder.ignore_merges))
    if word is None:
        known = ", ".join(dict.fromkeys(name for name, _ in _WORDS))
        raise _unable(f"the pre-tokenisation {splitter.pattern!r:.60}; it has for {known}")
    if (pattern, encoder.ignore_merges) not in _WORDS:
        _check_reachable(encoder, splitter, vocabulary.ids)
    names = [f"[PAD{number}]" for number in range(size)]
    for number, token in enumerate(vocabulary.bytes):
        if token is not None:
            names[number] = parts.added.by_id[number].content if number in parts.added.by_id else to_characters(token)
    # Files rank pairs; some formats rank what a pair makes, and pairs that make the same stand side by side then.
    merges = encoder.merges if encoder.ranks is None else encoder.merges[np.argsort(encoder.ranks, kind="stable")]
    merges = merges[~np.isin(merges[:, 2], list(vocabulary.special))]  # no text becomes one of these
    spelt = [to_characters(token or b"") for token in vocabulary.bytes]
    found: dict[str, Any] = {
        _KEY + "model": "gpt2",
        _KEY + "pre": word,
        _KEY + "tokens": names,
        _KEY + "token_type": _kinds(parts, size),
        _KEY + "merges": [f"{spelt[left]} {spelt[right]}" for left, right, _ in merges.tolist()],
    }
    if parts.added.normalizer is not None:
        found[NFC] = True
    return found


def _check_reachable(encoder: ByteEncoder, splitter: PreTokenizer, ids: Any) -> None:
    """ValueError for a token that its own merges do not make, where a file cannot say that it is one all the same."""
    plain = ByteEncoder(ids, encoder.merges, ignore_merges=False, ranks=encoder.ranks)
    for token, number in ids.items():
        try:
            words = splitter.split(token.decode("utf-8"))
        except UnicodeDecodeError:
            continue  # part of a character: never a word
        if len(words[1]) == 1 and plain(words).tolist() != [number]:
            raise _unable(f"a word that is a token though its merges make another of it ({token!r})")


def _sentencepiece(parts: Parts, size: int) -> dict[str, Any]:
    borders, encoder = parts.splitter, parts.encoder
    if not isinstance(borders, Borders) or not isinstance(encoder, PieceEncoder):
        raise _unable(f"a {type(borders).__name__} with a {type(encoder).__name__}")
    if borders.prefix == "first" or not borders.double_prefix:
        raise _unable("a space in front of the text alone, not behind special tokens (legacy: false)")
    if not encoder.byte_fallback:
        raise _unable("characters that become the unknown piece instead of bytes")
    pieces = [*encoder.pieces, *[Piece("", 0.0, Kind.UNUSED)] * (size - len(encoder.pieces))]
    for number, token in parts.added.by_id.items():
        if pieces[number].kind != Kind.UNKNOWN:
            kind = Kind.CONTROL if token.special else Kind.USER_DEFINED
            pieces[number] = Piece(token.content, pieces[number].score, kind)
    scores = {number: piece.score for number, piece in enumerate(pieces)}
    if not encoder.from_scores:
        scores |= _scores_of(encoder)
    return {
        _KEY + "model": "llama",
        _KEY + "pre": "default",
        _KEY + "tokens": [piece.text or f"[PAD{number}]" for number, piece in enumerate(pieces)],
        _KEY + "scores": np.array([scores[number] for number in range(size)], np.float32),
        _KEY + "token_type": np.array([piece.kind for piece in pieces], np.int32),
        _KEY + "add_space_prefix": borders.prefix != "never",
        _KEY + "remove_extra_whitespaces": borders.squeeze,
    }


def _scores_of(encoder: PieceEncoder) -> dict[int, float]:
    """Scores that give the merges of a file that lists pairs: the sooner a piece is made, the higher."""
    results = encoder.merges[:, 2].tolist()
    order = list(dict.fromkeys(results))
    scores = {number: -float(place) for place, number in enumerate(order)}
    scored = [
        Piece(piece.text, scores.get(number, -float(len(order))), piece.kind)
        for number, piece in enumerate(encoder.pieces)
    ]
    made = PieceEncoder(scored, byte_fallback=encoder.byte_fallback).merges
    grouped = [results[i] for i in range(len(results)) if i == 0 or results[i] != results[i - 1]]
    if grouped != order or {tuple(row) for row in made.tolist()} != {tuple(row) for row in encoder.merges.tolist()}:
        raise _unable("merges whose order no scores of pieces can give")
    return {number: piece.score for number, piece in enumerate(scored)}


def _ends(parts: Parts, end_tokens: Sequence[int]) -> dict[str, Any]:
    """Ids of special tokens by role, and whether a text begins and ends with them."""
    ids, added = dict(parts.ends.ids), parts.added.by_id
    for role, around in (("bos", parts.ends.before), ("eos", parts.ends.after)):
        if role not in ids and len(around) == 1 and around[0] in added:  # what stands there has the role
            ids[role] = around[0]
    found: dict[str, Any] = {f"{_KEY}{key}_token_id": ids[role] for role, key in _ROLES.items() if role in ids}
    if parts.kind == "sentencepiece":  # whose roles have ids even where a file gives none
        found = {f"{_KEY}{_ROLES[role]}_token_id": _NONE for role in ("bos", "eos", "unk")} | found
    before, after = ([ids[role]] if role in ids else [] for role in ("bos", "eos"))
    if parts.ends.before not in ([], before) or parts.ends.after not in ([], after):
        raise _unable("what stands around a text: only the tokens of the roles bos and eos can")
    found |= {_KEY + "add_bos_token": bool(parts.ends.before), _KEY + "add_eos_token": bool(parts.ends.after)}
    if not parts.ends.before and parts.kind == "byte-level" and not getattr(parts.encoder, "ignore_merges", False):
        del found[_KEY + "add_bos_token"]  # as it is without a word, and with one some readers take bos for absent
    named = {number for number, token in added.items() if token.content in TURN_ENDS}
    unsaid = [number for number in end_tokens if number != ids.get("eos") and number not in named]
    if "eos" not in ids and unsaid:
        found[f"{_KEY}eos_token_id"] = unsaid.pop(0)
    if len(unsaid) > len(_FURTHER_ENDS):
        raise _unable(f"{len(unsaid)} tokens that end a text beside eos")
    return found | {f"{_KEY}{role}_token_id": number for role, number in zip(_FURTHER_ENDS, unsaid)}


def _check(metadata: dict[str, Any]) -> None:
    """ValueError if who reads the metadata finds no tokenizer in it."""
    try:
        arguments(metadata)
    except ValueError as error:
        raise ValueError(f"a GGUF file cannot hold this tokenizer: {error}") from None
