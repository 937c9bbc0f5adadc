"""Holds out text for validation, document by document, and writes both sides as token files.

A document's side is decided by a hash of its text, so that the same text is never on both sides, in whatever
order or number the documents come. Long documents are cut once instead: one book gives training and
validation text too.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ..files.atomic import atomic_write
from ..tokenizers import Tokenizer
from .tales import DELIMITER
from .token_file import TokenFile, TokenWriter, open_tokens

LONG = 20_000  # characters; the end of a longer document is held out, not the whole
TRAIN, VALIDATION = "train.tokens", "validation.tokens"
Span = tuple[int, int]  # from, to


def split_documents(documents: Iterable[str], fraction: float = 0.1, seed: int = 0) -> Iterator[tuple[str, bool]]:
    """Yield (text, held out?) for each document, or for the two parts of one.

    fraction: the share held out, from 0 (nothing) to below 1; for short documents it holds on average. A
    document of more than 20,000 characters, or the only document there is, is cut at a line end (or, in one
    long line, at a space) and its last part held out.

    >>> list(split_documents(["a\\nb\\nc\\nd\\n"], fraction=0.25))
    [('a\\nb\\nc\\n', False), ('d\\n', True)]
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"the validation fraction must be at least 0 and below 1, got {fraction}")
    return _split(documents, fraction, seed)


def _split(documents: Iterable[str], fraction: float, seed: int) -> Iterator[tuple[str, bool]]:
    # A fraction of 2**64, compared as whole numbers: the same on every platform.
    threshold = int(fraction * 2**32) << 32
    waiting: str | None = None
    count = 0
    for count, document in enumerate(documents, start=1):
        if count == 1:
            waiting = document  # how it is treated depends on whether it is the only one
            continue
        if waiting is not None:
            yield from _place(waiting, fraction, threshold, seed, len(waiting) > LONG)
            waiting = None
        yield from _place(document, fraction, threshold, seed, len(document) > LONG)
    if waiting is not None:
        yield from _place(waiting, fraction, threshold, seed, True)


def _place(document: str, fraction: float, threshold: int, seed: int, cut: bool) -> Iterator[tuple[str, bool]]:
    if not cut or fraction == 0:
        digest = hashlib.blake2b(document.encode("utf-8"), digest_size=8, salt=str(seed).encode()[:16]).digest()
        yield document, int.from_bytes(digest, "little") < threshold
        return
    wanted = int(len(document) * (1 - fraction))
    border = document.rfind("\n", 0, wanted) + 1 or document.rfind(" ", 0, wanted) + 1 or wanted
    for part, held_out in ((document[:border], False), (document[border:], True)):
        if part:
            yield part, held_out


def write_split(
    documents: Iterable[str],
    tokenizer: Tokenizer,
    folder: str | os.PathLike[str],
    *,
    fraction: float = 0.1,
    seed: int = 0,
    separator: str | None = DELIMITER,
) -> tuple[TokenFile, TokenFile]:
    """Split, encode and write `folder`/train.tokens and `folder`/validation.tokens; return both, opened.

    separator: the special token that stands around documents, None for none. Documents are read and written
    one at a time. Raises ValueError when the tokenizer lacks the separator, and when a side would stay
    without text; then (as after any error) files that stood there before are unchanged.
    """
    _write({"": documents}, tokenizer, Path(folder), fraction, seed, _separator_id(tokenizer, separator))
    return open_tokens(Path(folder) / TRAIN), open_tokens(Path(folder) / VALIDATION)


def write_splits(
    sources: Mapping[str, Iterable[str]],
    tokenizer: Tokenizer,
    folder: str | os.PathLike[str],
    *,
    fraction: float = 0.1,
    seed: int = 0,
    separator: str | None = DELIMITER,
) -> dict[str, tuple[Span, Span]]:
    """As `write_split`, of several sources: the same two files, with the sources one after the other.

    Each source is split by itself, and must have text on both sides. Returns {source: (its span in train.tokens, its
    span in validation.tokens)}, for `TokenFile.part`.
    """
    return _write(sources, tokenizer, Path(folder), fraction, seed, _separator_id(tokenizer, separator))


def _separator_id(tokenizer: Tokenizer, separator: str | None) -> int | None:
    if separator is not None and separator not in tokenizer.special_tokens:
        raise ValueError(
            f"the tokenizer has no special token {separator!r} (it has {sorted(tokenizer.special_tokens)}): "
            f"train it with special_tokens=[{separator!r}], or pass separator=None"
        )
    return None if separator is None else tokenizer.special_tokens[separator]


def _write(
    sources: Mapping[str, Iterable[str]],
    tokenizer: Tokenizer,
    folder: Path,
    fraction: float,
    seed: int,
    separator: int | None,
) -> dict[str, tuple[Span, Span]]:
    spans: dict[str, tuple[Span, Span]] = {}
    with contextlib.ExitStack() as stack:
        train, validation = writers = [
            TokenWriter(stack.enter_context(atomic_write(folder / name, "wb")), len(tokenizer), separator)
            for name in (TRAIN, VALIDATION)
        ]
        for source, documents in sources.items():
            before = [(writer.count, writer.documents) for writer in writers]
            for text, held_out in split_documents(documents, fraction, seed):
                writers[held_out].add(tokenizer.encode_array(text), len(text.encode("utf-8")))
            read, kept = (writer.documents - count for writer, (_, count) in zip(writers, before))
            if not read or (fraction > 0 and not kept):
                side = "training" if not read else "validation"
                raise ValueError(
                    f"of {read + kept} documents{f' of {source}' if source else ''} none fell on the {side} side with "
                    f"a validation fraction of {fraction}: bring more text, or change the fraction or the seed"
                )
            # The separator that opens the next source's first document closes the last one of this.
            closing = int(separator is not None)
            (a, _), (b, _) = before
            spans[source] = (a, train.count + closing), (b, validation.count + closing)
        for writer in writers:
            writer.finish()
    return spans
