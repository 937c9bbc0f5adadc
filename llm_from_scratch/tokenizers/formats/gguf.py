"""The tokenizer inside a GGUF file: byte-level BPE (`tokenizer.ggml.model` "gpt2") or SentencePiece-BPE ("llama").

For byte-level BPE the file names its pre-tokenisation by a word of llama.cpp's instead of describing it; words that are
not known here are an error, because a wrong pattern gives wrong ids without a sound. For SentencePiece it lists scores
and types of pieces, as `tokenizer.model` does. What a file leaves unsaid is as the llama.cpp library has it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...files.gguf import GgufFile
from ..added_tokens import AddedToken
from ..checks import flag
from ..ends import TURN_ENDS, template_of
from ..pieces import Kind, Piece
from ..pre_tokenizer import PreTokenizer
from .common import check_vocabulary, ordinary_tokens, read_merges

_LLAMA_3 = ("llama3", "llama-v3", "llama-bpe")
PRE_TOKENIZERS = {
    **dict.fromkeys(("gpt-2", "mpt", "olmo", "jais", "phi-2"), "gpt2"),
    **dict.fromkeys(("smollm", "starcoder", "refact", "command-r"), "digits"),
    **dict.fromkeys((*_LLAMA_3, "dbrx", "smaug-bpe"), "cl100k"),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen"), "qwen2"),
    **dict.fromkeys(("bloom", "gpt3-finnish"), "bloom"),
}
"""llama.cpp's names of pre-tokenisations, and ours."""
_KEY = "tokenizer.ggml."
NFC = _KEY + "normalizer.nfc"
"""A key of ours, for tokenizers that compose letters and their marks first; the llama.cpp library never does."""
_ROLES = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
_ENDS = ("eos", "eot", "eom", "fim_pad", "fim_rep", "fim_sep")  # roles of tokens after which nothing is generated
# Ids that a SentencePiece file need not give. (Byte-level files that give none have none here.)
_SENTENCEPIECE = {_KEY + "bos_token_id": 1, _KEY + "eos_token_id": 2, _KEY + "unknown_token_id": 0}


def load(path: Path) -> dict[str, Any]:
    """The arguments of a tokenizer's parts from a GGUF file."""
    return arguments(GgufFile(path).metadata)


def arguments(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a tokenizer's parts from a GGUF file's metadata. ValueError names what is missing or unknown."""
    kind = metadata.get(_KEY + "model")
    if kind is None:
        raise ValueError("the file holds no tokenizer: tokenizer.ggml.model is missing")
    if isinstance(kind, str) and kind == "llama":
        return _sentencepiece(metadata)
    if not isinstance(kind, str) or kind != "gpt2":
        raise ValueError(
            f"tokenizer.ggml.model {kind!r:.60} is neither byte-level BPE ('gpt2') nor SentencePiece ('llama')"
        )
    name = metadata.get(_KEY + "pre")
    if not isinstance(name, str) or name not in PRE_TOKENIZERS:
        raise ValueError(f"tokenizer.ggml.pre {name!r:.60} is not supported; known: {', '.join(PRE_TOKENIZERS)}")
    spelt = _strings(metadata, "tokens")
    types = _types(metadata, spelt)
    # What is not used, and an empty one, leaves a gap.
    numbers = {token: number for number, token in enumerate(spelt) if types[number] != Kind.UNUSED}
    twice = next((spelt[n] for n, kind in enumerate(types) if kind != Kind.UNUSED and numbers[spelt[n]] != n), None)
    if twice is not None:
        raise ValueError(f"the token {twice!r} stands twice in the vocabulary")
    here = Path("tokenizer.ggml")  # for messages
    check_vocabulary(numbers, here)
    merges = read_merges(_strings(metadata, "merges", least=0), numbers, here)
    added = [
        AddedToken(spelt[number], number, special=kind == Kind.CONTROL)
        for number, kind in enumerate(types)
        if kind in (Kind.CONTROL, Kind.USER_DEFINED)
    ]
    contents = {token.content for token in added}
    tokens = ordinary_tokens({token: number for token, number in numbers.items() if token not in contents})
    return {
        "tokens": tokens,
        "merges": merges,
        "added_tokens": added,
        "pre_tokenizer": PreTokenizer(PRE_TOKENIZERS[name]),
        "ignore_merges": name in _LLAMA_3,
        "normalizer": "NFC" if flag(metadata, NFC, False, "") else None,
        **_around(metadata, spelt, contents, begins=name in _LLAMA_3),
    }


def model_ids(metadata: Mapping[str, Any], size: int) -> dict[str, Any]:
    """What begins and what ends a text, for a model with `size` embeddings, in the words of config.json.

    A text ends with tokens that have such a role, and with those whose names say so.

    >>> model_ids({"tokenizer.ggml.tokens": ["a", "<|im_end|>", "!"], "tokenizer.ggml.eot_token_id": 2}, 3)
    {'bos_token_id': None, 'eos_token_id': [2, 1]}
    """
    kind = metadata.get(_KEY + "model")
    if isinstance(kind, str) and kind == "llama":
        metadata = {**_SENTENCEPIECE, **metadata}
    spelt = metadata.get(_KEY + "tokens")
    roles = [_token_id(metadata, role, size) for role in _ENDS]
    named = [number for number, text in enumerate(spelt if isinstance(spelt, list) else ()) if text in TURN_ENDS]
    ends = list(dict.fromkeys([*(number for number in roles if number is not None), *named]))
    return {
        "bos_token_id": _token_id(metadata, "bos", size),
        "eos_token_id": ends[0] if len(ends) == 1 else ends or None,
    }


def _token_id(metadata: Mapping[str, Any], role: str, size: int) -> int | None:
    """The id under `tokenizer.ggml.ROLE_token_id`; None where there is none, or 2^32 - 1, which stands for none.

    ValueError for what is no id of a vocabulary of this size.
    """
    key = f"{_KEY}{role}_token_id"
    number = metadata.get(key)
    if number is None or (type(number) is int and number == 2**32 - 1):
        return None
    if type(number) is not int or not 0 <= number < size:
        raise ValueError(f"{key} must be an id of the {size:,} tokens, not {number!r:.60}")
    return number


def _types(metadata: Mapping[str, Any], spelt: list[str]) -> list[Kind]:
    """What each token is for, as its type says; but what ends a turn by its name is a control token, and an empty one
    is not used.
    """
    types = metadata.get(_KEY + "token_type")
    if types is None:
        types = np.full(len(spelt), Kind.NORMAL)
    if not isinstance(types, np.ndarray) or types.shape != (len(spelt),) or types.dtype.kind not in "iu":
        raise ValueError(f"tokenizer.ggml.token_type does not name a type for each of {len(spelt)} tokens")
    kinds = []
    for text, number in zip(spelt, types.tolist(), strict=True):
        if number not in Kind._value2member_map_:
            raise ValueError(f"tokenizer.ggml.token_type {number} of token {text!r} is unknown")
        kinds.append(Kind.CONTROL if text in TURN_ENDS else Kind(number) if text else Kind.UNUSED)
    return kinds


def _sentencepiece(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `sentencepiece.parts`. Without a word to the contrary a text begins with a space and bos."""
    spelt = _strings(metadata, "tokens")
    types, scores = _types(metadata, spelt), metadata.get(_KEY + "scores")
    if not isinstance(scores, np.ndarray) or scores.shape != (len(spelt),) or not np.isfinite(scores).all():
        raise ValueError(f"tokenizer.ggml.scores does not give a score to each of {len(spelt)} tokens")
    if metadata.get(_KEY + "precompiled_charsmap") is not None:
        raise ValueError("tokenizer.ggml.precompiled_charsmap asks for a normalisation, which is not supported")
    pieces = [Piece(text, float(score), kind) for text, score, kind in zip(spelt, scores.tolist(), types, strict=True)]
    for number, piece in enumerate(pieces):  # a name that stands for none
        if piece.kind == Kind.UNUSED and piece.text == f"[PAD{number}]":
            pieces[number] = Piece("", 0.0, Kind.UNUSED)
    while pieces and not pieces[-1].text:  # rows that the embedding has beyond the vocabulary
        pieces.pop()
    contents = {piece.text for piece in pieces if piece.kind in (Kind.CONTROL, Kind.UNKNOWN)}
    return {
        "kind": "sentencepiece",
        "pieces": pieces,
        "prefix": "always" if flag(metadata, _KEY + "add_space_prefix", True, "") else "never",
        "squeeze": flag(metadata, _KEY + "remove_extra_whitespaces", False, ""),
        "byte_fallback": Kind.BYTE in types,
        "inline": (),  # the text after a user-defined token is a new beginning, as after a special one
        **_around({**_SENTENCEPIECE, **metadata}, spelt, contents, begins=True),
    }


def _around(
    metadata: Mapping[str, Any], spelt: list[str], contents: Collection[str], *, begins: bool
) -> dict[str, Any]:
    """Roles, and what add_special_tokens puts around a text, be it nothing, written as in `tokenizer.json`.

    begins: whether a text begins with bos where the file does not say it.
    """
    begins, ends = flag(metadata, _KEY + "add_bos_token", begins, ""), flag(metadata, _KEY + "add_eos_token", False, "")
    roles: dict[str, str] = {}
    for role, key in _ROLES.items():
        number = _token_id(metadata, key, len(spelt))
        # A file may name a token for the beginning and say that texts do not begin with it (chat models do).
        kept = role != "bos" or metadata.get(_KEY + "add_bos_token") is not False
        if number is not None and kept and spelt[number] in contents:
            roles[role] = spelt[number]
    return {"roles": roles, "post_processor": template_of(roles, begins, ends)}


def _strings(metadata: Mapping[str, Any], name: str, least: int = 1) -> list[str]:
    value = metadata.get(_KEY + name)
    if not isinstance(value, list) or len(value) < least or not all(isinstance(item, str) for item in value):
        raise ValueError(f"the tokenizer has no list of strings tokenizer.ggml.{name}")
    return value
