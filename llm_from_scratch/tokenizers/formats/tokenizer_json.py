"""`tokenizer.json`, the file of the library `tokenizers`: read as one of three kinds of tokenizer, and written.

Byte-level BPE and LLaMA's kind have fast parts of their own, the rest is a pipeline. What changes the ids and
is not known here is an error that names it, never passed over: models of type WordPiece and WordLevel, the
post-processors and pre-tokenizers of BERT and RoBERTa, dropout, prefixes and suffixes of words.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

from ...files.strict_json import read_json_object
from ..added_tokens import AddedToken
from ..byte_bpe import ByteEncoder
from ..byte_level import to_bytes, to_characters
from ..character_bpe import CharacterBPE
from ..checks import flag
from ..decoders import TokenDecoder
from ..normalizers import Normalizer
from ..parts import Parts
from ..pipeline import NameDecoder, WordEncoder
from ..pre_tokenizer import PreTokenizer
from ..steps import Steps, flat
from ..unigram import Unigram
from . import sentencepiece_json
from .common import bpe_json, check_flags, check_vocabulary, document, ordinary_tokens, read_merges
from .surroundings import MOST, Surroundings


def load(path: Path, around: Surroundings) -> dict[str, Any]:
    """The arguments of a tokenizer."""
    content = read_json_object(path)
    if not isinstance(content.get("model"), dict):
        raise ValueError(f"{path} has no 'model': it is no tokenizer.json")
    for name in ("truncation", "padding"):
        if content.get(name) is not None:
            warnings.warn(f"{path} asks for {name}, which is ignored here: ids are returned as they are", stacklevel=5)
    try:
        added = [_added_token(entry) for entry in _list(content, "added_tokens")]
        return _arguments(_prefixed(content, around), added, path)
    except ValueError as error:
        raise error if str(path) in str(error) else ValueError(f"{path}: {error}") from None


def _arguments(content: dict[str, Any], added: list[AddedToken], path: Path) -> dict[str, Any]:
    Steps(content.get("pre_tokenizer"))  # whichever kind it becomes: what is not known is named
    TokenDecoder(content.get("decoder"))
    if content.get("normalizer") is not None:
        Normalizer(content["normalizer"])
    described = content["model"]
    kind = described.get("type", "Unigram" if isinstance(described.get("vocab"), list) else "BPE")
    if kind == "Unigram":
        model: Any = _unigram(described)
        vocabulary = model.ids
    elif kind == "BPE":
        vocabulary = check_vocabulary(described.get("vocab"), path)
        _check_bpe(described)
        merges = read_merges(_list(described, "merges"), vocabulary, path)
        model = None
    else:
        raise ValueError(f"model type {kind!r:.80} is not supported: expected BPE or Unigram")
    _check_added(added, vocabulary)
    common = {
        "vocabulary": vocabulary,
        "added_tokens": added,
        "post_processor": content.get("post_processor"),
    }
    if model is None and _is_byte_level(content, vocabulary, added):
        pre_tokenizer = PreTokenizer.from_json(content.get("pre_tokenizer"))
        return {
            **common,
            "tokens": ordinary_tokens(vocabulary),
            "merges": merges,
            "pre_tokenizer": pre_tokenizer,
            "ignore_merges": described.get("ignore_merges", False),
            "normalizer": "NFC" if _steps(content.get("normalizer")) else None,
        }
    if model is None and sentencepiece_json.is_sentencepiece(content, added):
        return {**common, **sentencepiece_json.arguments(content, vocabulary, merges, added)}
    if model is None:
        unknown = described.get("unk_token")
        model = CharacterBPE(
            vocabulary,
            merges,
            unknown=None if unknown is None else vocabulary[unknown],
            fuse=described.get("fuse_unk", False),
            byte_fallback=described.get("byte_fallback", False),
            ignore_merges=described.get("ignore_merges", False),
        )
    parts = {name: content.get(name) for name in ("normalizer", "pre_tokenizer", "decoder")}
    return {**common, **parts, "kind": "pipeline", "model": model, "described": described}


def _prefixed(content: dict[str, Any], around: Surroundings) -> dict[str, Any]:
    """`add_prefix_space` of tokenizer_config.json goes before that of a ByteLevel which stands alone."""
    wished, described = around.flag("add_prefix_space"), content.get("pre_tokenizer")
    if wished is not None and isinstance(described, dict) and described.get("type") == "ByteLevel":
        return {**content, "pre_tokenizer": {**described, "add_prefix_space": wished}}
    return content


def _list(content: dict[str, Any], name: str) -> list[Any]:
    value = content.get(name) or []
    if not isinstance(value, list):
        raise ValueError(f"{name!r} must be a list")
    return value


def _check_bpe(model: dict[str, Any]) -> None:
    for name in ("continuing_subword_prefix", "end_of_word_suffix", "dropout"):
        if model.get(name):
            raise ValueError(f"model setting {name}={model[name]!r:.80} is not supported")
    for name in ("fuse_unk", "byte_fallback", "ignore_merges"):
        if model.get(name) is None:
            model.pop(name, None)
        flag(model, name, False, "model setting ")
    unknown = model.get("unk_token")
    if unknown is not None and (not isinstance(unknown, str) or unknown not in model["vocab"]):
        raise ValueError(f"unk_token {unknown!r:.80} is not in the vocabulary")


def _unigram(model: dict[str, Any]) -> Unigram:
    entries, unknown = model.get("vocab"), model.get("unk_id")
    if not isinstance(entries, list) or not entries:
        raise ValueError("a Unigram vocabulary must be a list of pieces and their scores, and not empty")
    for number, entry in enumerate(entries):
        if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[0], str):
            raise ValueError(f"piece {number} is {entry!r:.80}, expected a text and a score")
        if type(entry[1]) not in (int, float) or not math.isfinite(entry[1]):
            raise ValueError(f"piece {number}, {entry[0]!r:.80}, has the score {entry[1]!r:.80}, expected a number")
    if len({text for text, _ in entries}) < len(entries):
        raise ValueError("a piece stands twice in the vocabulary")
    if unknown is not None and (type(unknown) is not int or not 0 <= unknown < len(entries)):
        raise ValueError(f"unk_id is {unknown!r:.80}, but there are {len(entries)} pieces")
    pieces = [(text, float(score)) for text, score in entries]
    return Unigram(pieces, unknown, byte_fallback=flag(model, "byte_fallback", False, "model setting "))


def _added_token(entry: Any) -> AddedToken:
    if not isinstance(entry, dict) or not isinstance(entry.get("content"), str) or type(entry.get("id")) is not int:
        raise ValueError(f"an added token needs a content and an id, got {entry!r:.120}")
    if not 0 <= entry["id"] <= MOST:
        raise ValueError(f"added token {entry['content']!r:.80} has the impossible id {entry['id']}")
    flags = check_flags(entry, f"added token {entry['content']!r:.80}", False)
    return AddedToken(entry["content"], entry["id"], entry.get("special", False), **flags)


def _check_added(added: list[AddedToken], vocabulary: dict[str, int]) -> None:
    owner = {number: text for text, number in vocabulary.items()}
    seen = {""}
    for token in added:
        if token.content in seen:
            raise ValueError(f"duplicate or empty added token {token.content!r}: give each once")
        seen.add(token.content)
        if vocabulary.get(token.content, token.id) != token.id:
            raise ValueError(f"{token.content!r} is {token.id} as an added token, {vocabulary[token.content]} else")
        if owner.get(token.id, token.content) != token.content:
            raise ValueError(f"the added token {token.content!r} has the id {token.id} of another token")


def _is_byte_level(content: dict[str, Any], vocabulary: dict[str, int], added: list[AddedToken]) -> bool:
    """Is it what `byte_bpe` does, and no more? ValueError where only a half of the file speaks of bytes."""
    model, steps, decoder = content["model"], flat(content.get("pre_tokenizer")), content.get("decoder")
    inner = decoder.get("decoders") if isinstance(decoder, dict) and decoder.get("type") == "Sequence" else None
    decoders = list(map(_kind, inner if isinstance(inner, list) else [decoder]))
    count = sum(_kind(step) == "ByteLevel" for step in steps)
    if count > 1:
        raise ValueError("pre_tokenizer: two ByteLevel steps")
    if not count and "ByteLevel" in decoders:
        raise ValueError(
            "pre_tokenizer has no ByteLevel step, and the decoder has one: this is not a byte-level tokenizer"
        )
    if count and model.get("byte_fallback"):
        raise ValueError("byte_fallback marks a SentencePiece tokenizer, a ByteLevel step another kind")
    if not count or decoders not in (["ByteLevel"], ["ByteLevel", "Fuse"]):
        return False
    if _steps(content.get("normalizer")) not in ([], ["NFC"]):
        return False
    # A token that is not written in the byte-level alphabet is never met there, and must not be taken for another.
    strange = [t for t in vocabulary.keys() - {token.content for token in added} if to_bytes(t) is None]
    return not any(
        model.get("ignore_merges") or to_characters(token.encode("utf-8")) in vocabulary for token in strange
    )


def _steps(normalizer: Any) -> list[Any]:
    """The kinds of a normalizer's steps."""
    described = normalizer.get("normalizers") if _kind(normalizer) == "Sequence" else [normalizer]
    return [_kind(step) for step in described or () if step is not None] if isinstance(described, list) else [described]


def _kind(described: Any) -> Any:
    return described.get("type") if isinstance(described, dict) else described


def pipeline_json(parts: Parts) -> dict[str, Any]:
    """The content of `tokenizer.json` for a pipeline: its parts as they were read."""
    splitter, encoder, decoder = parts.splitter, parts.encoder, parts.decoder
    assert isinstance(splitter, Steps) and isinstance(encoder, WordEncoder) and isinstance(decoder, NameDecoder)
    return document(
        parts,
        normalizer=parts.added.normalizer and parts.added.normalizer.described,
        pre_tokenizer=splitter.described,
        decoder=decoder.steps.described,
        model=encoder.described,
    )


def to_json(parts: Parts) -> dict[str, Any]:
    """The content of `tokenizer.json` for byte-level BPE."""
    added, splitter, encoder = parts.added.by_id, parts.splitter, parts.encoder
    assert isinstance(splitter, PreTokenizer) and isinstance(encoder, ByteEncoder)
    spelt = {
        n: to_characters(token)
        for n, token in enumerate(parts.vocabulary.bytes)
        if token is not None and n not in added
    }
    # The library gives an added token the next free id unless the vocabulary has it.
    end = 1 + max(spelt, default=-1)
    behind = sorted(number for number in added if number >= end)
    in_order = behind == list(range(end, end + len(behind))) and len(spelt) == end - sum(n < end for n in added)
    used = set(encoder.merges.ravel().tolist())
    spelt |= {n: token.content for n, token in added.items() if n < end or n in used or not in_order}
    pairs = [[spelt[left], spelt[right]] for left, right, _ in encoder.merges.tolist()]
    made = document(
        parts,
        normalizer=parts.added.normalizer and parts.added.normalizer.described,
        pre_tokenizer=splitter.to_json(),
        decoder={"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        model=bpe_json(
            {spelt[number]: number for number in sorted(spelt)},
            pairs if any(" " in token for pair in pairs for token in pair) else list(map(" ".join, pairs)),
            ignore_merges=encoder.ignore_merges,
        ),
    )
    nothing = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
    return made | {"post_processor": made["post_processor"] or nothing}
