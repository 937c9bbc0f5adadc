"""Text that comes in pieces: cutting a stream where it cannot matter, and decoding ids as they arrive.

`segments` is what makes encoding a stream give the same ids as encoding the whole: it holds text back until a place
comes at which no pre-token and no special token can reach across.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from .added_tokens import AddedTokens, Segment
from .checks import check_ids
from .parts import Decoder, Splitter

SMALL, LARGE = 1 << 16, 1 << 20
"""Characters: a stream is worked on in stretches of at least SMALL, and a long text in slices of LARGE."""


def slices(chunks: Iterable[str]) -> Iterator[str]:
    """The chunks, long ones cut into slices of at most LARGE characters. TypeError for anything but str."""
    for chunk in chunks:
        if not isinstance(chunk, str):
            raise TypeError(f"expected chunks of str, got {type(chunk).__name__}")
        for start in range(0, len(chunk), LARGE):
            yield chunk[start : start + LARGE]


def segments(
    chunks: Iterable[str],
    words: Splitter,
    added: AddedTokens,
    contents: frozenset[str],
    *,
    at_spaces_only: bool = False,
) -> Iterator[Segment]:
    """Cut a stream into segments that can be encoded one by one.

    Memory: SMALL or a chunk (LARGE, if it is longer), plus the longest stretch without a place to cut, twice. Such a
    stretch is a run of letters, of digits or of signs: for published patterns with a hand-written splitter a run of
    one class, for other published patterns everything up to a space after a letter or digit. A regular expression of
    one's own may look anywhere, and so may added tokens (see `AddedTokens.can_stream`): then the whole stream is held.

    >>> from llm_from_scratch.tokenizers import PreTokenizer
    >>> list(segments(["to b", "e or n", "ot"], PreTokenizer("gpt2"), AddedTokens(), frozenset()))
    [('to be or not', -1)]
    """
    ahead = added.longest(contents)
    can_cut = words.can_stream and added.can_stream(contents)
    written = AddedTokens(list(added.by_content.values()))  # finds them without changing the text between them
    plain = added.normalizer or str
    held = ""  # begins where the last cut was
    searched = 0  # no place to cut before this one
    waiting: list[str] = []
    size = 0
    for piece in slices(chunks):
        waiting.append(piece)
        size += len(piece)
        # Look only when the text has grown by half, so that a stretch without a cut costs linear time in all.
        if size < max(SMALL, len(held) // 2) or not can_cut:
            continue
        held += "".join(waiting)
        waiting, size = [], 0
        sure = len(held) - ahead  # what begins before is decided by what has been seen
        at = cut = 0
        for text, number in written.segments(held, contents):
            end = at + len(text)
            if at > sure:
                break
            if number >= 0 or (end <= sure and end < len(held)):
                yield (text if number >= 0 else plain(text)), number
                cut = end
            else:
                inside = words.last_cut(text, max(0, searched - at), sure - at, at_spaces_only=at_spaces_only)
                if inside > 0:
                    yield plain(text[:inside]), -1
                    cut = at + inside
                break
            at = end
        # Between `cut` and here nothing was found; the last characters may yet be looked at differently.
        searched = max(0, min(sure, len(held) - 1) - cut)
        held = held[cut:]
    yield from added.segments(held + "".join(waiting), contents)


def read_text(path: str | os.PathLike[str], size: int = LARGE) -> Iterator[str]:
    """The text of a UTF-8 file in pieces of `size` bytes. ValueError with the place of the first byte that is not.

    Line ends are left as they are in the file.
    """
    path = Path(path)
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    done = 0
    with open(path, "rb") as file:
        while True:
            data = file.read(size)
            begin = done - len(decoder.getstate()[0])
            try:
                text = decoder.decode(data, final=not data)
            except UnicodeDecodeError as error:
                bad = error.object[error.start]
                raise ValueError(
                    f"{path} is not UTF-8: byte {bad:#04x} at offset {begin + error.start} ({error.reason}). "
                    "Convert it first, for example with: iconv -f LATIN1 -t UTF-8"
                ) from None
            if text:
                yield text
            if not data:
                return
            done += len(data)


class StreamDecoder:
    r"""Turns ids into text as they arrive, never giving out half a character.

    >>> from llm_from_scratch.tokenizers import Tokenizer
    >>> tokenizer = Tokenizer.train("a", vocab_size=256)
    >>> decoder = tokenizer.stream_decoder()
    >>> [decoder.push(id) for id in tokenizer.encode("né!")]
    ['n', '', 'é', '!']
    >>> decoder.push(tokenizer.encode("é")[0]), decoder.flush()       # what never became a character
    ('', '\ufffd')
    """

    def __init__(self, decoder: Decoder, size: int, errors: str, skip_special_tokens: bool, after: Iterable[int]):
        self._decoder, self._size, self._skip = decoder, size, skip_special_tokens
        self._text = codecs.getincrementaldecoder("utf-8")(decoder.replace if errors == "replace" else errors)
        self._beginning = True
        self.push(after)
        self._text.reset()

    def push(self, ids: int | Iterable[int]) -> str:
        """The text that is complete after one more id, or several."""
        checked = check_ids([ids] if isinstance(ids, int) or not isinstance(ids, Iterable) else ids, self._size)
        data, self._beginning = self._decoder.spell(checked, self._skip, self._beginning)
        return self._text.decode(data)

    def flush(self) -> str:
        """What is left of an unfinished character at the end, as `errors` says; the decoder starts afresh."""
        rest = self._text.decode(b"", final=True)
        self._text.reset()
        self._beginning = True
        return rest


class GrowingDecoder(StreamDecoder):
    """Decodes all anew with each id, for a decoder that may look back, and gives out what is new and complete."""

    def __init__(self, decoder: Decoder, size: int, errors: str, skip_special_tokens: bool, after: Iterable[int]):
        self._decoder, self._size, self._skip = decoder, size, skip_special_tokens
        self._ids = check_ids(list(after), size)
        self._given = self._whole()

    def _whole(self) -> str:
        return self._decoder.spell(self._ids, self._skip, True)[0].decode("utf-8")

    def push(self, ids: int | Iterable[int]) -> str:
        """The text that is complete after one more id, or several."""
        self._ids += check_ids([ids] if isinstance(ids, int) or not isinstance(ids, Iterable) else ids, self._size)
        new = self._whole().rstrip("\ufffd")[len(self._given) :]
        self._given += new
        return new

    def flush(self) -> str:
        """What is left of an unfinished character at the end; the decoder starts afresh."""
        rest = self._whole()[len(self._given) :]
        self._ids, self._given = [], ""
        return rest
