"""`tokenizer.model`, SentencePiece's own file: a protocol buffer that lists the pieces with their scores.

Only BPE models are read (unigram models choose pieces by probability, which is another algorithm). The message is
described here field by field, as far as it concerns us; the library `protobuf` does the reading.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from ...files.atomic import atomic_write
from ..borders import Borders
from ..parts import Parts
from ..pieces import Kind, Piece, PieceEncoder
from ..sentencepiece import PieceDecoder
from .surroundings import Surroundings

MODEL_TYPES = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}

# Message: name -> (number, type, default). A type in capitals is a message of this list.
_FIELDS: dict[str, dict[str, tuple[int, str, str | None]]] = {
    "Piece": {"piece": (1, "string", None), "score": (2, "float", None), "type": (3, "int32", "1")},
    "Trainer": {
        "model_type": (3, "int32", "1"),
        "vocab_size": (4, "int32", "8000"),
        "treat_whitespace_as_suffix": (24, "bool", "false"),
        "byte_fallback": (35, "bool", "false"),
        "unk_id": (40, "int32", "0"),
        "bos_id": (41, "int32", "1"),
        "eos_id": (42, "int32", "2"),
        "pad_id": (43, "int32", "-1"),
        "unk_surface": (44, "string", " \u2047 "),
        "unk_piece": (45, "string", "<unk>"),
        "bos_piece": (46, "string", "<s>"),
        "eos_piece": (47, "string", "</s>"),
        "pad_piece": (48, "string", "<pad>"),
    },
    "Normalizer": {
        "name": (1, "string", None),
        "precompiled_charsmap": (2, "bytes", None),
        "add_dummy_prefix": (3, "bool", "true"),
        "remove_extra_whitespaces": (4, "bool", "true"),
        "escape_whitespaces": (5, "bool", "true"),
    },
    "Model": {
        "pieces": (1, "Piece", None),
        "trainer_spec": (2, "Trainer", None),
        "normalizer_spec": (3, "Normalizer", None),
        "denormalizer_spec": (5, "Normalizer", None),
    },
}


@functools.cache
def _model_class() -> Any:
    """The class of the message, made in a pool of its own: another reader of such files may be loaded beside."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    types = {"string": field.TYPE_STRING, "bytes": field.TYPE_BYTES, "float": field.TYPE_FLOAT,
             "int32": field.TYPE_INT32, "bool": field.TYPE_BOOL}  # fmt: skip
    package = "llm_from_scratch.sentencepiece"
    file = descriptor_pb2.FileDescriptorProto(name="pieces.proto", package=package, syntax="proto2")
    for message, fields in _FIELDS.items():
        described = file.message_type.add(name=message)
        for name, (number, kind, default) in fields.items():
            label = field.LABEL_REPEATED if name == "pieces" else field.LABEL_OPTIONAL
            added = described.field.add(name=name, number=number, label=label)
            if kind in types:
                added.type = types[kind]
                if default is not None:
                    added.default_value = default
            else:
                added.type, added.type_name = field.TYPE_MESSAGE, f".{package}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.Model"))


def load(path: Path, around: Surroundings) -> dict[str, Any]:
    """The arguments of `sentencepiece.parts`. A text begins with the begin token, as LLaMA has it.

    Whether also when a file beside it says otherwise, is seen to by `surroundings`.
    """
    from google.protobuf.message import DecodeError

    model = _model_class()()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise ValueError(f"{path} is damaged or no SentencePiece model: {error}") from None
    for part, missing in (
        ("pieces", not model.pieces),
        ("trainer_spec", not model.HasField("trainer_spec")),
        ("normalizer_spec", not model.HasField("normalizer_spec")),
    ):
        if missing:
            raise ValueError(f"{path} is damaged, cut short or no SentencePiece model: it holds no {part}")
    trainer, normalizer = model.trainer_spec, model.normalizer_spec
    if trainer.model_type != 2:
        kind = MODEL_TYPES.get(trainer.model_type, trainer.model_type)
        raise ValueError(f"{path} is a SentencePiece model of type {kind!r}: only 'bpe' is supported")
    for wish, unsupported in (
        ("spaces as suffixes (treat_whitespace_as_suffix)", trainer.treat_whitespace_as_suffix),
        ("spaces that are left as they are (escape_whitespaces false)", not normalizer.escape_whitespaces),
        (f"the normalisation {normalizer.name!r}: only 'identity' is", normalizer.precompiled_charsmap),
        ("a denormaliser", model.denormalizer_spec.precompiled_charsmap),
    ):
        if unsupported:
            raise ValueError(
                f"{path} asks for {wish} {'supported' if wish.endswith('is') else 'which is not supported'}"
            )
    pieces = []
    for number, entry in enumerate(model.pieces):
        try:
            text = entry.piece
        except UnicodeDecodeError as error:
            text = error.object
        if not isinstance(text, str):  # some versions of protobuf raise, some hand out the bytes
            raise ValueError(f"{path}: piece {number} is not UTF-8: {text!r}")
        if entry.type not in Kind._value2member_map_:
            raise ValueError(f"{path}: piece {number}, {text!r}, has the unknown type {entry.type}")
        if entry.type == Kind.UNUSED:
            raise ValueError(f"{path}: piece {number}, {text!r}, is marked as unused, which is not supported")
        if entry.score != entry.score:
            raise ValueError(f"{path}: piece {number}, {text!r}, has a score that is no number")
        pieces.append(Piece(text, entry.score, Kind(entry.type)))
    has_bytes = any(piece.kind == Kind.BYTE for piece in pieces)
    if has_bytes != trainer.byte_fallback:
        raise ValueError(
            f"{path}: byte_fallback is {trainer.byte_fallback}, but there are {'' if has_bytes else 'no '}byte pieces"
        )
    if not any(piece.kind == Kind.UNKNOWN for piece in pieces):
        raise ValueError(f"{path}: no piece is marked as the unknown one")
    return {
        "vocabulary": {piece.text: number for number, piece in enumerate(pieces)},
        "kind": "sentencepiece",
        "pieces": pieces,
        **_prefix(normalizer.add_dummy_prefix, around),
        "squeeze": normalizer.remove_extra_whitespaces,
        "byte_fallback": trainer.byte_fallback,
        "unknown_text": trainer.unk_surface,
        "roles": _roles(model, pieces),
        "begin_end": (True, False),
    }


def _prefix(dummy: bool, around: Surroundings) -> dict[str, Any]:
    """Where a space is put in front. `legacy: false` (LLaMA 2): not again behind a special token."""
    wished = around.flag("add_prefix_space")
    if not (dummy if wished is None else wished):
        return {"prefix": "never"}
    return {"prefix": "first", "double_prefix": False} if around.flag("legacy") is False else {"prefix": "always"}


def _roles(model: Any, pieces: list[Piece]) -> dict[str, str]:
    numbers = {role: getattr(model.trainer_spec, f"{role}_id") for role in ("unk", "bos", "eos", "pad")}
    for role, number in numbers.items():
        if number >= len(pieces):
            raise ValueError(f"{role}_id is {number}, but there are {len(pieces)} pieces")
    return {
        role: pieces[number].text
        for role, number in numbers.items()
        if 0 <= number < len(pieces) and pieces[number].kind in (Kind.CONTROL, Kind.UNKNOWN)
    }


def save(parts: Parts, path: Path) -> None:
    """Write `tokenizer.model`, which the library `sentencepiece` opens. Only for a tokenizer made from scores."""
    borders, encoder, decoder = parts.splitter, parts.encoder, parts.decoder
    assert isinstance(borders, Borders) and isinstance(encoder, PieceEncoder) and isinstance(decoder, PieceDecoder)
    pieces = encoder.pieces
    model = _model_class()()
    ids = {piece.text: number for number, piece in enumerate(pieces)}
    for piece in pieces:
        model.pieces.add(piece=piece.text, score=piece.score, type=int(piece.kind))
    trainer, normalizer = model.trainer_spec, model.normalizer_spec
    trainer.model_type, trainer.vocab_size = 2, len(pieces)
    trainer.byte_fallback = encoder.byte_fallback
    if decoder.unknown_text is not None:
        trainer.unk_surface = decoder.unknown_text
    for role in ("unk", "bos", "eos", "pad"):
        name = parts.ends.roles.get(role)
        setattr(trainer, f"{role}_id", ids.get(name, -1) if name else -1)
        if name:
            setattr(trainer, f"{role}_piece", name)
    normalizer.name = "identity"
    normalizer.add_dummy_prefix = borders.prefix != "never"
    normalizer.remove_extra_whitespaces = borders.squeeze
    with atomic_write(path, "wb") as file:
        file.write(model.SerializeToString(deterministic=True))
