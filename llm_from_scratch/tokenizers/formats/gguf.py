"""The tokenizer inside a GGUF file, for byte-level BPE (`tokenizer.ggml.model` "gpt2").

The file names its pre-tokenisation by a word of llama.cpp's instead of describing it; words that are not known here are
an error, because a wrong pattern gives wrong ids without a sound.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...files.gguf import GgufFile
from ..added_tokens import AddedToken
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
    if kind != "gpt2":
        raise ValueError(f"tokenizer.ggml.model {kind!r} is not byte-level BPE ('gpt2'), which this class reads")
    name = metadata.get(_KEY + "pre")
    if name not in PRE_TOKENIZERS:
        raise ValueError(f"tokenizer.ggml.pre {name!r} is not supported; known: {', '.join(PRE_TOKENIZERS)}")
    spelt = _strings(metadata, "tokens")
    types = metadata.get(_KEY + "token_type")
    if types is None:
        types = np.full(len(spelt), _NORMAL)
    if not isinstance(types, np.ndarray) or types.shape != (len(spelt),):
        raise ValueError(f"tokenizer.ggml.token_type does not name a type for each of {len(spelt)} tokens")
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
    roles = {}
    for role, key in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")):
        number = metadata.get(f"{_KEY}{key}_token_id")
        # A file may name a token for the beginning and say that texts do not begin with it (chat models do).
        if role == "bos" and not metadata.get(_KEY + "add_bos_token", True):
            continue
        if type(number) is int and number < len(spelt) and spelt[number] in contents:
            roles[role] = spelt[number]
    return {
        "tokens": tokens,
        "merges": merges,
        "added_tokens": added,
        "pre_tokenizer": PreTokenizer(PRE_TOKENIZERS[name]),
        "ignore_merges": name in ("llama3", "llama-v3", "llama-bpe"),
        "post_processor": _template(metadata, roles),
        "roles": roles,
    }


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
