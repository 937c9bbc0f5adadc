"""What stands beside a tokenizer's own file in a checkpoint: roles, added tokens, what goes around a text.

Read here once for all formats, in the transformers library's order:

1. `tokenizer_config.json`: roles ("bos_token" ... a string or a token written out), `additional_special_tokens`,
   `add_bos_token`, `add_eos_token`, `add_prefix_space`, and `added_tokens_decoder` (id -> token), whose flags go before
   those of `tokenizer.json`.
2. `special_tokens_map.json`: its roles go before those of 1, as long as 1 has no `added_tokens_decoder`; after that
   (files since September 2023 say all in one place) it only fills in roles that 1 does not name.
3. `added_tokens.json` (token -> id), unless there is an `added_tokens_decoder`.
4. The format's own defaults.

A role or additional special token that is in the vocabulary becomes a special token under its id. One that is nowhere
is added behind the last id, as the transformers library does: the model then needs a row more. `null` takes a role
away. `add_bos_token` and `add_eos_token` are the checkpoint's word on what `add_special_tokens` does, also where
`tokenizer.json` says otherwise; a template with more than these two tokens (GLM's) is left alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...files.strict_json import read_json_object
from ..added_tokens import AddedToken, AddedTokens
from ..byte_level import to_bytes
from ..checks import flag
from ..ends import template, template_of
from ..pieces import Kind, Piece
from .common import FLAGS, check_flags

ROLES = ("bos", "eos", "unk", "pad")
_OTHER_ROLES = ("sep", "cls", "mask")  # no role here, but special tokens all the same
MOST = 100_000_000  # no vocabulary is as large


@dataclasses.dataclass(frozen=True)
class Wish:
    """A token that a file names. id: if it says one; flags: if it says them; rules: do they go before others?"""

    content: str
    id: int | None
    special: bool
    flags: Mapping[str, bool] | None
    where: str
    rules: bool = False


class Surroundings:
    """The files beside a tokenizer's own, checked; ValueError names the file and what in it is wrong."""

    def __init__(self, directory: Path):
        self.settings_path = directory / "tokenizer_config.json"
        self.settings = _read(self.settings_path)
        one_place = "added_tokens_decoder" in self.settings
        special_map_path = directory / "special_tokens_map.json"
        special_map = _read(special_map_path)
        self.tokens: list[Wish] = []
        named: dict[str, Any] = {}  # by role; several lists under one name are joined
        places: dict[str, Path] = {}
        for path, content in ((self.settings_path, self.settings), (special_map_path, special_map)):
            for role in (*ROLES, *_OTHER_ROLES):
                key = f"{role}_token"
                if key in content and not (one_place and path is special_map_path and key in self.settings):
                    named[role], places[role] = content[key], path
        extra = [
            (token, path)
            for path, content in ((self.settings_path, self.settings), (special_map_path, special_map))
            if path is self.settings_path or not one_place
            for token in _extra(content, path)
        ]
        special = [
            _token(value, place, f"{role}_token") for role, value in named.items() if (place := places[role]) and value
        ]
        special += [_token(value, path, "additional_special_tokens") for value, path in extra]
        self.roles: dict[str, str | None] = {
            role: _token(value, places[role], f"{role}_token").content if value else None
            for role, value in named.items()
            if role in ROLES
        }
        contents = {wish.content for wish in special}
        if one_place:
            self.tokens += _decoder(self.settings["added_tokens_decoder"], contents, self.settings_path)
        else:
            self.tokens += _added(directory / "added_tokens.json", contents)
        self.tokens += special

    def flag(self, name: str) -> bool | None:
        """A setting that is true or false, or None where the file does not say."""
        return flag(self.settings, name, None, f"{self.settings_path}: ")

    @property
    def tokenizer_class(self) -> str:
        """The class that the file names, without "Fast"."""
        name = self.settings.get("tokenizer_class")
        return name.removesuffix("Fast") if isinstance(name, str) else ""


def _read(path: Path) -> dict[str, Any]:
    return read_json_object(path) if path.is_file() else {}


def _token(value: Any, path: Path, key: str) -> Wish:
    """A special token as a string or written out."""
    if isinstance(value, str) and value:
        return Wish(value, None, True, None, f"{path}: {key}")
    if isinstance(value, dict) and isinstance(value.get("content"), str) and value["content"]:
        return Wish(value["content"], None, True, check_flags(value, f"{path}: {key}", True), f"{path}: {key}")
    raise ValueError(f"{path}: {key} must be a token, a string or an object with 'content', got {value!r:.80}")


def _extra(content: Mapping[str, Any], path: Path) -> Iterator[Any]:
    for key in ("additional_special_tokens", "extra_special_tokens"):
        value = content.get(key) or []
        value = list(value.values()) if isinstance(value, dict) else value
        if not isinstance(value, list):
            raise ValueError(f"{path}: {key} must be a list of tokens, got {value!r:.80}")
        yield from value


def _decoder(content: Any, special: set[str], path: Path) -> Iterator[Wish]:
    where = f"{path}: added_tokens_decoder"
    if not isinstance(content, dict):
        raise ValueError(f"{where} must be an object of ids and tokens, got {type(content).__name__}")
    for key, value in content.items():
        if not key.isascii() or not key.isdigit() or len(key) > 9 or int(key) > MOST:
            raise ValueError(f"{where} has the impossible id {key!r:.80}")
        if not isinstance(value, dict) or not isinstance(value.get("content"), str) or not value["content"]:
            raise ValueError(f"{where}: token {key} must be an object with a content, got {value!r:.80}")
        named = value["content"] in special
        flags = check_flags(value, f"{where}: token {key}", named)
        yield Wish(value["content"], int(key), named or value.get("special", False), flags, where, rules=True)


def _added(path: Path, special: set[str]) -> Iterator[Wish]:
    for content, number in _read(path).items():
        if type(number) is not int or not 0 <= number <= MOST:
            raise ValueError(f"{path}: token {content!r:.80} has the impossible id {number!r:.80}")
        if not content:
            raise ValueError(f"{path}: token {number} is empty")
        yield Wish(content, number, content in special, None, str(path))


def surround(made: dict[str, Any], around: Surroundings) -> dict[str, Any]:
    """The arguments of a tokenizer, completed by what stands beside its file.

    made: as a format returns them, and besides "vocabulary" (token -> id, as its file writes tokens), and, from formats
    that have no post-processor of their own, "begin_end", whether a text gets a begin and an end token by default.
    """
    made = dict(made)
    vocabulary: Mapping[str, int] = made.pop("vocabulary")
    added = {token.content: token for token in made.get("added_tokens", ())}
    taken = {number: content for content, number in vocabulary.items()}
    taken |= {token.id: token.content for token in added.values()}
    behind = max(taken, default=-1) + 1
    roles = {**made.get("roles", {}), **around.roles}
    for wish in sorted(around.tokens, key=lambda wish: (wish.id is None, wish.id or 0)):
        before = added.get(wish.content)
        number = before.id if before is not None else vocabulary.get(wish.content)
        if number is None:
            number = behind if wish.id is None else wish.id
            if number in taken and not _rename(made, number):
                raise ValueError(f"{wish.where} gives {wish.content!r} the id {number}, which is {taken[number]!r}")
            taken[number] = wish.content
            behind = max(behind, number + 1)
        elif wish.id is not None and wish.id != number:
            raise ValueError(f"{wish.where} gives {wish.content!r} the id {wish.id}, but it has {number} already")
        flags: Mapping[str, bool] | None = wish.flags
        special = wish.special
        if before is not None and not wish.rules:
            flags, special = {name: getattr(before, name) for name in FLAGS}, special or before.special
        added[wish.content] = AddedToken(wish.content, number, special, **(flags or {"normalized": not special}))
    for content in roles.values():  # the format's own
        if content and content not in added and content in vocabulary:
            added[content] = AddedToken(content, vocabulary[content])
    made["added_tokens"] = sorted(added.values(), key=lambda token: token.id)
    made["roles"] = {role: token for role, token in roles.items() if token}
    if "tokens" in made:  # what is not written in the byte-level alphabet, or is special, is no ordinary token
        alone = {token.id for token in added.values() if to_bytes(token.content) is None}
        alone |= {token.id for token in added.values() if token.special and len(token.content) > 1}
        made["tokens"] = {number: token for number, token in made["tokens"].items() if number not in alone}
    if "pieces" in made:  # found in the text as it stands, so that each stretch between them is a new beginning
        made["added_tokens"] = [dataclasses.replace(token, normalized=False) for token in made["added_tokens"]]
        controls = {token.content for token in added.values() if token.special}
        made["pieces"] = [
            dataclasses.replace(piece, kind=Kind.CONTROL)
            if piece.kind == Kind.NORMAL and piece.text in controls
            else piece
            for piece in made["pieces"]
        ]
    made["post_processor"] = _post_processor(made, around)
    return made


def _rename(made: dict[str, Any], number: int) -> bool:
    """May an added token take this id? The place of a SentencePiece piece that no text is made of."""
    pieces = made.get("pieces", ())
    if number >= len(pieces) or pieces[number].kind in (Kind.NORMAL, Kind.BYTE):
        return False
    old = pieces[number].text
    made["pieces"] = [*pieces[:number], Piece("", 0.0, Kind.UNUSED), *pieces[number + 1 :]]
    made["roles"] = {role: token for role, token in made.get("roles", {}).items() if token != old}
    return True


def _post_processor(made: dict[str, Any], around: Surroundings) -> Mapping[str, Any] | None:
    """What `add_special_tokens` adds, as `tokenizer.json` writes it."""
    begin, end = around.flag("add_bos_token"), around.flag("add_eos_token")
    default = made.pop("begin_end", None)
    described = made.get("post_processor")
    roles = made["roles"]
    if default is None:
        if begin is None and end is None:
            return described
        before, after = template(described, AddedTokens(made["added_tokens"]))
        ids = {token.content: token.id for token in made["added_tokens"]}
        first, last = [ids.get(roles.get("bos", ""))], [ids.get(roles.get("eos", ""))]
        if before not in ([], first) or after not in ([], last):
            return described
        default = (bool(before), bool(after))
        if (default[0] if begin is None else begin, default[1] if end is None else end) == default:
            return described
    if begin is end is None and default == (False, False):
        return None  # nobody has said anything
    return template_of(roles, default[0] if begin is None else begin, default[1] if end is None else end)
