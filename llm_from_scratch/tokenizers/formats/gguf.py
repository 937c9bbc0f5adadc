"""The tokenizer inside a GGUF file: byte-level BPE (`tokenizer.ggml.model` "gpt2") or SentencePiece-BPE ("llama").

For byte-level BPE the file names its pre-tokenisation by a word of llama.cpp's instead of describing it; words that are
not known here are an error, because a wrong pattern gives wrong ids without a sound. For SentencePiece it lists scores
and types of pieces, as `tokenizer.model` does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...files.gguf import GgufFile
from ..added_tokens import AddedToken
from ..pieces import Kind, Piece
from ..pre_tokenizer import PreTokenizer
from .parts import check_vocabulary, ordinary_tokens, read_merges

PRE_TOKENIZERS = {
    **dict.fromkeys(("gpt-2", "mpt", "olmo", "jais", "phi-2"), "gpt2"),
    **dict.fromkeys(("smollm", "starcoder", "refact", "command-r"), "digits"),
    **dict.fromkeys(("llama3", "llama-v3", "llama-bpe"), "cl100k"),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen"), "qwen2"),
}
"""llama.cpp's names of pre-tokenisations, and ours."""
_NORMAL, _CONTROL, _USER_DEFINED = 1, 3, 4  # of `tokenizer.ggml.token_type`
_KEY = "tokenizer.ggml."


def load(path: Path) -> dict[str, Any]:
    """The arguments of `Tokenizer` from a GGUF file."""
    try:
        return arguments(GgufFile(path).metadata)
    except ValueError as error:
        raise error if str(path) in str(error) else ValueError(f"{path}: {error}") from None


def arguments(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `Tokenizer` from a GGUF file's metadata. ValueError names what is missing or not supported."""
    kind = metadata.get(_KEY + "model")
    if kind is None:
        raise ValueError("the file holds no tokenizer: tokenizer.ggml.model is missing")
    if kind == "llama":
        return _sentencepiece(metadata)
    if kind != "gpt2":
        raise ValueError(
            f"tokenizer.ggml.model {kind!r} is neither byte-level BPE ('gpt2') nor SentencePiece ('llama')"
        )
    name = metadata.get(_KEY + "pre")
    if name not in PRE_TOKENIZERS:
        raise ValueError(f"tokenizer.ggml.pre {name!r} is not supported; known: {', '.join(PRE_TOKENIZERS)}")
    spelt = _strings(metadata, "tokens")
    types = _types(metadata, len(spelt))
    numbers = {token: number for number, token in enumerate(spelt)}
    if len(numbers) < len(spelt):
        twice = next(token for number, token in enumerate(spelt) if numbers[token] != number)
        raise ValueError(f"the token {twice!r} stands twice in the vocabulary")
    here = Path("tokenizer.ggml")  # for messages
    check_vocabulary(numbers, here)
    merges = read_merges(_strings(metadata, "merges"), numbers, here)
    added = [
        AddedToken(spelt[number], number, special=int(types[number]) == _CONTROL)
        for number in np.flatnonzero((types == _CONTROL) | (types == _USER_DEFINED)).tolist()
    ]
    contents = {token.content for token in added}
    tokens = ordinary_tokens({token: number for token, number in numbers.items() if token not in contents})
    roles = _roles(metadata, spelt, contents)
    return {
        "tokens": tokens,
        "merges": merges,
        "added_tokens": added,
        "pre_tokenizer": PreTokenizer(PRE_TOKENIZERS[name]),
        "ignore_merges": name in ("llama3", "llama-v3", "llama-bpe"),
        "post_processor": _template(metadata, roles),
        "roles": roles,
    }


def _types(metadata: Mapping[str, Any], size: int) -> np.ndarray:
    types = metadata.get(_KEY + "token_type")
    if types is None:
        types = np.full(size, _NORMAL)
    if not isinstance(types, np.ndarray) or types.shape != (size,):
        raise ValueError(f"tokenizer.ggml.token_type does not name a type for each of {size} tokens")
    return types


def _sentencepiece(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `SentencePieceTokenizer`. Without a word to the contrary a text begins with a space and bos."""
    spelt = _strings(metadata, "tokens")
    types, scores = _types(metadata, len(spelt)), metadata.get(_KEY + "scores")
    if not isinstance(scores, np.ndarray) or scores.shape != (len(spelt),) or not np.isfinite(scores).all():
        raise ValueError(f"tokenizer.ggml.scores does not give a score to each of {len(spelt)} tokens")
    wrong = next((number for number, kind in enumerate(types.tolist()) if kind not in Kind._value2member_map_), None)
    if wrong is not None:
        raise ValueError(f"tokenizer.ggml.token_type {types[wrong]} of token {spelt[wrong]!r} is unknown")
    if metadata.get(_KEY + "precompiled_charsmap") is not None:
        raise ValueError("tokenizer.ggml.precompiled_charsmap asks for a normalisation, which is not supported")
    pieces = [
        Piece(text, float(score), Kind(kind)) for text, score, kind in zip(spelt, scores.tolist(), types.tolist())
    ]
    has_bytes = any(piece.kind == Kind.BYTE for piece in pieces)
    contents = {piece.text for piece in pieces if piece.kind in (Kind.CONTROL, Kind.UNKNOWN)}
    defaults = {_KEY + "add_bos_token": True, **metadata}
    roles = _roles(defaults, spelt, contents)
    return {
        "kind": "sentencepiece",
        "pieces": pieces,
        "prefix": "always" if metadata.get(_KEY + "add_space_prefix", True) else "never",
        "squeeze": bool(metadata.get(_KEY + "remove_extra_whitespaces", False)),
        "byte_fallback": has_bytes,
        "post_processor": _template(defaults, roles),
        "roles": roles,
    }


def _roles(metadata: Mapping[str, Any], spelt: list[str], contents: Collection[str]) -> dict[str, str]:
    roles = {}
    for role, key in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")):
        number = metadata.get(f"{_KEY}{key}_token_id")
        # A file may name a token for the beginning and say that texts do not begin with it (chat models do).
        if role == "bos" and not metadata.get(_KEY + "add_bos_token", True):
            continue
        if type(number) is int and number < len(spelt) and spelt[number] in contents:
            roles[role] = spelt[number]
    return roles


def _strings(metadata: Mapping[str, Any], name: str) -> list[str]:
    value = metadata.get(_KEY + name)
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise ValueError(f"the tokenizer has no list of strings tokenizer.ggml.{name}")
    return value


def _template(metadata: Mapping[str, Any], roles: Mapping[str, str]) -> dict[str, Any] | None:
    """What add_special_tokens puts around a text, written as in `tokenizer.json`."""
    single: list[dict[str, Any]] = [{"Sequence": {"id": "A", "type_id": 0}}]
    if metadata.get(_KEY + "add_bos_token") and "bos" in roles:
        single.insert(0, {"SpecialToken": {"id": roles["bos"], "type_id": 0}})
    if metadata.get(_KEY + "add_eos_token") and "eos" in roles:
        single.append({"SpecialToken": {"id": roles["eos"], "type_id": 0}})
    return {"type": "TemplateProcessing", "single": single} if len(single) > 1 else None
