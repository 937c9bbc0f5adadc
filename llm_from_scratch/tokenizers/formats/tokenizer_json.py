"""`tokenizer.json`, the file of the library `tokenizers`, for byte-level BPE; SentencePiece's is handed on.

What changes the ids and is not known here is an error that names it, never passed over.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...files.atomic import write_json
from ..added_tokens import AddedToken
from ..byte_level import to_characters
from ..pieces import Borders
from ..pre_tokenizer import PreTokenizer
from . import sentencepiece_json, sentencepiece_model
from .parts import added_token_json, check_vocabulary, ordinary_tokens, read_json, read_merges

if TYPE_CHECKING:
    from ..tokenizer import Tokenizer

ROLES = ("bos", "eos", "pad", "unk")


def load(path: Path) -> dict[str, Any]:
    """The arguments of `Tokenizer`; the roles of special tokens from `tokenizer_config.json` beside it, if there."""
    content = read_json(path)
    model = content.get("model")
    if not isinstance(model, dict):
        raise ValueError(f"{path} has no 'model': it is no tokenizer.json")
    _check_model(model, path)
    vocabulary = check_vocabulary(model.get("vocab"), path)
    merges = read_merges(_list(model, "merges", path), vocabulary, path)
    added = [_added_token(entry, path) for entry in _list(content, "added_tokens", path)]
    for token in added:
        if vocabulary.get(token.content, token.id) != token.id:
            raise ValueError(
                f"{path}: {token.content!r} is {token.id} as an added token, {vocabulary[token.content]} else"
            )
    contents = {token.content for token in added}
    tokens = ordinary_tokens({token: n for token, n in vocabulary.items() if token not in contents})
    for token in added:
        if token.id in tokens:
            raise ValueError(f"{path}: the added token {token.content!r} has the id {token.id} of another token")
    for name in ("truncation", "padding"):
        if content.get(name) is not None:
            warnings.warn(f"{path} asks for {name}, which is ignored here: ids are returned as they are", stacklevel=4)
    if sentencepiece_json.is_sentencepiece(content):
        made = sentencepiece_json.arguments(content, vocabulary, merges, added, path)
        return {**made, "roles": _roles(path.parent, contents)}
    if model.get("byte_fallback"):
        raise ValueError(f"{path}: byte_fallback marks a SentencePiece tokenizer, a ByteLevel step another kind")
    try:
        pre_tokenizer = PreTokenizer.from_json(content.get("pre_tokenizer"))
        return {
            "tokens": tokens,
            "merges": merges,
            "added_tokens": added,
            "pre_tokenizer": pre_tokenizer,
            "ignore_merges": bool(model.get("ignore_merges", False)),
            "normalizer": _normalizer(content.get("normalizer")),
            "post_processor": content.get("post_processor"),
            "roles": _roles(path.parent, contents),
        }
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _list(content: dict[str, Any], name: str, path: Path) -> list[Any]:
    value = content.get(name) or []
    if not isinstance(value, list):
        raise ValueError(f"{path}: {name!r} must be a list")
    return value


def _check_model(model: dict[str, Any], path: Path) -> None:
    kind = model.get("type", "BPE")
    if kind != "BPE":
        raise ValueError(f"{path}: model type {kind!r} is not supported: expected BPE")
    for name in ("continuing_subword_prefix", "end_of_word_suffix", "dropout"):
        if model.get(name):
            raise ValueError(f"{path}: model setting {name}={model[name]!r} is not supported")


def _added_token(entry: Any, path: Path) -> AddedToken:
    if not isinstance(entry, dict) or not isinstance(entry.get("content"), str) or type(entry.get("id")) is not int:
        raise ValueError(f"{path}: an added token needs a content and an id, got {entry!r}")
    if not 0 <= entry["id"] < 100_000_000:
        raise ValueError(f"{path}: added token {entry['content']!r} has the impossible id {entry['id']}")
    for name in ("single_word", "lstrip", "rstrip"):
        if entry.get(name):
            raise ValueError(f"{path}: added token {entry['content']!r} sets {name}, which is not supported")
    special = bool(entry.get("special", False))
    return AddedToken(entry["content"], entry["id"], special, bool(entry.get("normalized", not special)))


def _normalizer(described: Any) -> str | None:
    steps = described.get("normalizers", []) if _kind(described) == "Sequence" else [described]
    kinds = [_kind(step) for step in steps if step is not None]
    if kinds in ([], ["NFC"]):
        return kinds[0] if kinds else None
    raise ValueError(f"normalizer {' + '.join(map(str, kinds))} is not supported: expected none, or NFC")


def _kind(described: Any) -> Any:
    return described.get("type") if isinstance(described, dict) else described


def _roles(directory: Path, contents: set[str]) -> dict[str, str]:
    path = directory / "tokenizer_config.json"
    if not path.is_file():
        return {}
    settings = read_json(path)
    roles = {}
    for role in ROLES:
        token = settings.get(f"{role}_token")
        if isinstance(token, dict):  # an added token written out
            token = token.get("content")
        if isinstance(token, str) and token in contents:
            roles[role] = token
    return roles


def save_directory(tokenizer: Tokenizer, directory: Path) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json`, each whole or not at all."""
    directory.mkdir(parents=True, exist_ok=True)
    if isinstance(tokenizer.pre_tokenizer, Borders):
        pieces: Any = tokenizer
        write_json(directory / "tokenizer.json", sentencepiece_json.to_json(pieces))
        if pieces.from_scores:
            sentencepiece_model.save(pieces, directory / "tokenizer.model")
    else:
        write_json(directory / "tokenizer.json", to_json(tokenizer))
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        **{f"{role}_token": token for role, token in tokenizer.roles.items()},
    }
    write_json(directory / "tokenizer_config.json", settings)


def to_json(tokenizer: Tokenizer) -> dict[str, Any]:
    """The content of `tokenizer.json`."""
    added = sorted(tokenizer.added_tokens.by_id.values(), key=lambda token: token.id)
    spelt = {number: to_characters(token) for token, number in tokenizer.vocabulary.items()}
    # Special tokens of low ids stand in the vocabulary too, as the library writes them itself.
    first = min(spelt)
    spelt |= {token.id: token.content for token in added if token.id < first}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added_token_json(token, normalized=token.normalized) for token in added],
        "normalizer": {"type": tokenizer.normalizer} if tokenizer.normalizer else None,
        "pre_tokenizer": tokenizer.pre_tokenizer.to_json(),
        "post_processor": tokenizer.post_processor
        or {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": tokenizer.ignore_merges,
            "vocab": {spelt[number]: number for number in sorted(spelt)},
            "merges": [f"{spelt[left]} {spelt[right]}" for left, right, _ in tokenizer.merges.tolist()],
        },
    }
