"""What the formats have in common: reading JSON, vocabularies and merges in the byte-level alphabet, templates."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..added_tokens import AddedToken, AddedTokens
from ..byte_level import to_bytes, to_characters

FLAGS = ("normalized", "single_word", "lstrip", "rstrip")


def added_token_json(token: AddedToken) -> dict[str, Any]:
    """One entry of "added_tokens" in a tokenizer.json."""
    flags = {name: getattr(token, name) for name in FLAGS}
    return {"id": token.id, "content": token.content, **flags, "special": token.special}


def check_flags(entry: Mapping[str, Any], where: str, special: bool) -> dict[str, bool]:
    """The flags of an added token that is written out. ValueError for one that is neither true nor false."""
    for name in (*FLAGS, "special"):
        if not isinstance(entry.get(name, False), bool):
            raise ValueError(f"{where}: {name} must be true or false, got {entry[name]!r:.80}")
    normalized = entry.get("normalized", not (special or entry.get("special", False)))
    return {"normalized": normalized, **{name: entry.get(name, False) for name in FLAGS[1:]}}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a UTF-8 file. ValueError names the file and the place of the damage."""
    try:
        content = json.loads(path.read_bytes().decode("utf-8"), object_pairs_hook=_no_duplicates)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8: byte {error.object[error.start]:#04x} at offset {error.start}"
        ) from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(content).__name__}")
    return content


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {key!r} stands twice in one object")
            seen.add(key)
    return made


def check_vocabulary(vocabulary: Any, path: Path) -> dict[str, int]:
    """ValueError unless it maps strings to distinct whole numbers from 0 on."""
    if not isinstance(vocabulary, dict) or not vocabulary:
        raise ValueError(f"{path}: the vocabulary must be an object of tokens and ids, and not empty")
    owner: dict[int, str] = {}
    for token, number in vocabulary.items():
        # A lying id must not make us allocate: real vocabularies have few gaps.
        if type(number) is not int or not 0 <= number < 10 * len(vocabulary) + 100_000:
            raise ValueError(f"{path}: token {token!r} has the impossible id {number!r}")
        if number in owner:
            raise ValueError(f"{path}: tokens {owner[number]!r} and {token!r} have the same id {number}")
        owner[number] = token
    return vocabulary


def ordinary_tokens(vocabulary: Mapping[str, int]) -> dict[int, bytes]:
    """The bytes of each token by id. What is not written in the byte-level alphabet stands for itself, in UTF-8."""
    tokens = {}
    for token, number in vocabulary.items():
        spelt = to_bytes(token)
        tokens[number] = token.encode("utf-8") if spelt is None else spelt
    return tokens


def spell(token: bytes) -> str:
    """How a file would write a token if it could hold any text: as text, or in the byte-level alphabet."""
    try:
        return token.decode("utf-8")
    except UnicodeDecodeError:
        return to_characters(token)


def read_merges(lines: Iterable[Any], vocabulary: Mapping[str, int], path: Path) -> np.ndarray:
    """Merges as (m, 3) ids from "left right" strings or [left, right] pairs.

    ValueError for a merge that is malformed, stands twice, or names or makes a token that is not in the vocabulary.
    """
    rows: dict[tuple[int, int], int] = {}
    for number, line in enumerate(lines):
        parts = line.split(" ") if isinstance(line, str) else line
        if not isinstance(parts, list) or len(parts) != 2 or not all(isinstance(p, str) and p for p in parts):
            raise ValueError(f"{path}: merge {number} is {line!r}, expected two tokens")
        left, right = parts
        for token in (left, right, left + right):
            if token not in vocabulary:
                raise ValueError(
                    f"{path}: merge {number}, {left!r} + {right!r}, needs {token!r}: not in the vocabulary"
                )
        pair = (vocabulary[left], vocabulary[right])
        if pair in rows:
            raise ValueError(f"{path}: merge {number}, {left!r} + {right!r}, stands twice")
        rows[pair] = vocabulary[left + right]
    return np.array([(*pair, result) for pair, result in rows.items()], np.int32).reshape(-1, 3)


def template(post_processor: Any, added: AddedTokens) -> tuple[list[int], list[int]]:
    """The ids that a post-processor puts before and after a text. ValueError names what is not supported."""
    if post_processor is None:
        return [], []
    kind = post_processor.get("type") if isinstance(post_processor, Mapping) else post_processor
    if kind == "ByteLevel":  # concerns offsets only
        return [], []
    if kind == "Sequence":
        steps = post_processor.get("processors")
        if not isinstance(steps, list):
            raise ValueError("post_processor of type Sequence needs a list named 'processors'")
        # After one template the library takes what comes for a pair of texts.
        made = [template(step, added) for step in steps]
        if (
            sum(isinstance(step, Mapping) and step.get("type") in ("TemplateProcessing", "Sequence") for step in steps)
            > 1
        ):
            raise ValueError("post_processor of type Sequence with several templates is not supported")
        return next((sides for sides in made if sides != ([], [])), ([], []))
    if kind != "TemplateProcessing":
        raise ValueError(
            f"post_processor {kind!r:.80} is not supported: expected ByteLevel, TemplateProcessing or Sequence"
        )
    single = post_processor.get("single")
    if not isinstance(single, list) or not all(isinstance(item, Mapping) and len(item) == 1 for item in single):
        raise ValueError("post_processor TemplateProcessing needs a list of objects named 'single'")
    sides: tuple[list[int], list[int]] = ([], [])
    texts = 0
    for item in single:
        ((name, value),) = item.items()
        what = value.get("id") if isinstance(value, Mapping) else None
        if name == "Sequence" and what == "A":
            texts += 1
        elif name == "SpecialToken" and isinstance(what, str):
            sides[min(texts, 1)].extend(_template_ids(what, post_processor, added))
        else:
            raise ValueError(f"post_processor TemplateProcessing: {item!r:.120} is not supported for a single text")
    if texts != 1:
        raise ValueError(
            f"post_processor TemplateProcessing holds the text {texts} times, which is not supported: expected once"
        )
    return sides


def _template_ids(name: str, post_processor: Mapping[str, Any], added: AddedTokens) -> list[int]:
    """The ids of one name in a template: those that the file lists beside it, else the added token's."""
    listed = post_processor.get("special_tokens")
    if listed is None:
        if name not in added.by_content:
            raise ValueError(f"post_processor names {name!r}, which is not an added token")
        return [added.by_content[name].id]
    entry = listed.get(name) if isinstance(listed, Mapping) else None
    ids = entry.get("ids") if isinstance(entry, Mapping) else None
    if not isinstance(ids, list) or not all(type(number) is int and 0 <= number < 1 << 31 for number in ids):
        raise ValueError(f"post_processor names {name!r}, for which its special_tokens list no ids")
    return ids


def template_of(roles: Mapping[str, str], bos: bool, eos: bool) -> dict[str, Any]:
    """What add_special_tokens puts around a text, be it nothing, written as in `tokenizer.json`."""
    single: list[dict[str, Any]] = [{"Sequence": {"id": "A", "type_id": 0}}]
    if bos and roles.get("bos"):
        single.insert(0, {"SpecialToken": {"id": roles["bos"], "type_id": 0}})
    if eos and roles.get("eos"):
        single.append({"SpecialToken": {"id": roles["eos"], "type_id": 0}})
    return {"type": "TemplateProcessing", "single": single}


def template_json(described: Mapping[str, Any] | None, added: AddedTokens) -> dict[str, Any] | None:
    """A template with the ids of its tokens beside it and one for pairs, as the library `tokenizers` wants it."""
    if described is None or described.get("type") != "TemplateProcessing" or "special_tokens" in described:
        return None if described is None else dict(described)
    names = [item["SpecialToken"]["id"] for item in described["single"] if "SpecialToken" in item]
    second = [{kind: {**value, "type_id": 1} for kind, value in item.items()} for item in described["single"]]
    for item in second:
        if "Sequence" in item:
            item["Sequence"]["id"] = "B"
    ids = {name: added.by_content[name].id for name in names}
    return {
        **described,
        "pair": described.get("pair") or [*described["single"], *second],
        "special_tokens": {name: {"id": name, "ids": [number], "tokens": [name]} for name, number in ids.items()},
    }
