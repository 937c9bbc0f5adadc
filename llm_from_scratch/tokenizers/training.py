"""Learning a vocabulary: count the words of a text, then learn merges from the counts.

Only the distinct words and their counts are kept, so that the text may be larger than memory.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ..kernels import bpe_training, splitting
from .added_tokens import AddedToken, AddedTokens
from .byte_level import ALPHABET_ORDER, to_bytes
from .parts import Splitter
from .streams import read_text, segments, slices

Source = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
BATCH = 1 << 20  # bytes: how much text is gathered before its words are counted


def documents(source: Source) -> Iterator[Iterable[str]]:
    """The documents of a source, each as pieces of text: a str is one, a path (os.PathLike) is the text of a file.

    TypeError for anything else, with what to do.
    """
    if isinstance(source, (str, os.PathLike)):
        source = [source]
    elif isinstance(source, bytes) or not isinstance(source, Iterable):
        raise TypeError(
            "expected a text (str), the path of a text file (pathlib.Path), or an iterable of these; "
            f"got {type(source).__name__}"
        )
    for document in source:
        if isinstance(document, str):
            yield (document,)
        elif isinstance(document, os.PathLike):
            yield read_text(document)
        else:
            raise TypeError(f"each document must be a str or a path (pathlib.Path), got {type(document).__name__}")


def count_words(
    source: Source, words: Splitter, special_tokens: Iterable[str] = (), progress: Any = None
) -> dict[bytes, int]:
    """How often each word of the source occurs.

    Words do not reach across documents, nor across special tokens, which are not counted themselves. A document is
    worked on in slices (see `streams.segments`). progress: an object with update(characters), such as a tqdm bar.

    >>> from llm_from_scratch.tokenizers import PreTokenizer
    >>> count_words(["to be", "or<end>to"], PreTokenizer("gpt2"), ["<end>"])
    {b'to': 2, b' be': 1, b'or': 1}
    """
    added = AddedTokens([AddedToken(content, n) for n, content in enumerate(special_tokens)])
    contents = added.choose("all")
    counts: dict[bytes, int] = {}
    gathered: list[tuple[np.ndarray, np.ndarray]] = []
    size = 0

    def count() -> None:
        if not gathered:
            return
        data = np.concatenate([part for part, _ in gathered])
        offsets = np.cumsum([0] + [part.size for part, _ in gathered])
        ends = np.concatenate([part_ends + offset for (_, part_ends), offset in zip(gathered, offsets)])
        first, numbers, _ = splitting.unique_words(data, ends)
        raw = data.tobytes()
        starts = np.concatenate(([0], ends[:-1]))[first].tolist()
        for start, end, number in zip(starts, ends[first].tolist(), numbers.tolist(), strict=True):
            word = raw[start:end]
            counts[word] = counts.get(word, 0) + number

    for document in documents(source):
        pieces = _watched(document, progress) if progress is not None else document
        for text, number in segments(pieces, words, added, contents):
            if number >= 0:
                continue
            data, ends = words.split(text)
            gathered.append((data, ends))
            size += data.size
            if size >= BATCH:
                count()
                gathered, size = [], 0
    count()
    return counts


def progress_bar(shown: bool) -> contextlib.AbstractContextManager[Any]:
    """A bar for `count_words` on the terminal, or None."""
    if not shown:
        return contextlib.nullcontext()
    from tqdm import tqdm

    return tqdm(unit=" characters", unit_scale=True, desc="counting words")


def _watched(pieces: Iterable[str], progress: Any) -> Iterator[str]:
    for piece in slices(pieces):
        yield piece
        progress.update(len(piece))


def learn(
    word_counts: dict[bytes, int],
    vocab_size: int,
    reserved_tokens: list[str],
    ties: str,
    min_frequency: int,
) -> tuple[list[bytes], np.ndarray]:
    """Learn a vocabulary from counted words.

    -> the bytes of the ordinary tokens by id (reserved tokens come first, and are empty here), and the merges
    (m, 3) int32 (left, right, result). Ids: reserved tokens (special and added ones), then the 256 bytes in the order
    of their characters in the byte-level alphabet, then the merged tokens, as the library `tokenizers` numbers them.

    A merge that would spell a reserved token (as it stands in the file, in the byte-level alphabet) is left out.
    """
    reserved = len(reserved_tokens)
    spelt = [to_bytes(token) or b"" for token in reserved_tokens]
    alphabet = [bytes([byte]) for byte in ALPHABET_ORDER]
    existing = spelt + alphabet
    byte_ids = np.empty(256, np.int32)
    byte_ids[ALPHABET_ORDER] = np.arange(reserved, reserved + 256)

    words = list(word_counts)
    symbols = byte_ids[np.frombuffer(b"".join(words), np.uint8)]
    merges = bpe_training.learn_merges(
        symbols,
        np.cumsum([len(word) for word in words], dtype=np.int64),
        np.array([word_counts[word] for word in words], np.int64),
        np.frombuffer(b"".join(existing), np.uint8),
        np.cumsum([len(token) for token in existing], dtype=np.int64),
        reserved,
        vocab_size - reserved - 256,
        min_frequency,
        ties == "lexicographic",
    )
    tokens = [b""] * reserved + alphabet
    for left, right, _ in merges.tolist():
        tokens.append(tokens[left] + tokens[right])
    return tokens, merges
