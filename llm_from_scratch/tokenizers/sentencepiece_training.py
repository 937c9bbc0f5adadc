"""Learning pieces as SentencePiece's BPE trainer does.

Each line of the text is a sentence, with a space put in front; normalisation is the identity. The characters that make
up `character_coverage` of the text become pieces, the others are left to byte fallback. Pieces grow from them by
merging the most frequent neighbours, but never across a space (runs of spaces are pieces, too), from one script into
another (punctuation and digits count as a script: "don't" is three parts), beyond 16 characters, or into a digit. Among
equally frequent pairs the shortest piece goes first, then the smallest by code points.

On small text the pieces are those of the library, one by one; so they are on five megabytes of Shakespeare with 8,192
pieces. Two differences remain: when no pair is left, the library goes on with pairs that no longer occur anywhere, and
for more than 1,000 candidates it looks through the most frequent 5 % only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import regex

from ..kernels import bpe_training
from .added_tokens import AddedToken, AddedTokens
from .borders import SPACE, Borders
from .pieces import Kind, Piece
from .training import Source, count_words

LONGEST = 16
_SCRIPTS = (
    "Latin Greek Cyrillic Armenian Hebrew Arabic Syriac Thaana Devanagari Bengali Gurmukhi Gujarati Oriya Tamil Telugu "
    "Kannada Malayalam Sinhala Thai Lao Tibetan Myanmar Georgian Hangul Ethiopic Cherokee Ogham Runic Khmer Mongolian "
    "Bopomofo Yi Tifinagh Coptic Gothic Balinese Javanese Canadian_Aboriginal Common Inherited"
).split()
_DIGITS = frozenset(map(chr, [*range(0x30, 0x3A), *range(0xFF10, 0xFF1A)]))


class _Sentences(Borders):
    """Words of lines: each line begins with a space, as a text does when it is encoded."""

    def split(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        text = text.replace(SPACE, " ").replace("\n", "\n ")
        return super().split(text if text.startswith(" ") or not text else " " + text)


def scripts(characters: str) -> dict[str, str]:
    """The script of each character; Han, Hiragana and Katakana are one, and scripts of few texts are together "".

    >>> scripts("aя漢カ1!")
    {'a': 'Latin', 'я': 'Cyrillic', '漢': 'Han', 'カ': 'Han', '1': 'Common', '!': 'Common'}
    """
    found = dict.fromkeys(characters, "")
    for script in _SCRIPTS:
        found.update(dict.fromkeys(regex.findall(rf"\p{{Script={script}}}", characters), script))
    found.update(
        dict.fromkeys(regex.findall(r"[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}ー]", characters), "Han")
    )
    return found


def learn_pieces(
    source: Source,
    vocab_size: int,
    special: list[str],
    added: Sequence[str] = (),
    *,
    min_frequency: int = 1,
    character_coverage: float = 0.9995,
    split_digits: bool = True,
    bar: Any = None,
) -> list[Piece]:
    """Learn the pieces of a vocabulary.

    special: <unk> first, then control pieces; added: strings without spaces that are a piece wherever they stand (the
    library's user-defined symbols) -> the pieces by id: special and added ones, 256 bytes, merged pieces from the first
    merge on, characters by frequency. Raises ValueError for an empty text and a vocab_size without room for these.
    """
    for text in added:
        if " " in text or SPACE in text:
            raise ValueError(f"added token {text!r} holds a space, which a SentencePiece tokenizer does not support")
    if not 0 < character_coverage <= 1:
        raise ValueError(f"character_coverage is a share above 0 and at most 1, got {character_coverage}")
    beside = AddedTokens([AddedToken(text, number, special=False) for number, text in enumerate(added)])
    contents = beside.choose(())
    words: dict[str, int] = {}
    for raw, count in count_words(source, _Sentences(), special, bar).items():
        word = raw.decode("utf-8").replace("\n", "")
        if word == " " and raw.endswith(b"\n"):  # an empty line is no sentence
            continue
        for part, token in beside.segments(word, contents) if added else [(word, -1)]:
            if token < 0:
                words[part] = words.get(part, 0) + count
    words.pop("", None)
    characters: Counter[str] = Counter()
    for word, count in words.items():
        for character in word.replace(" ", SPACE):
            characters[character] += count
    characters.pop("\0", None)  # ends strings in many places: left to the bytes
    if not characters:
        raise ValueError("the training text is empty: give a source with some text in it")

    covered: list[str] = []
    done, total = 0, sum(characters.values())
    for character, count in sorted(characters.items(), key=lambda item: (-item[1], item[0])):
        if done >= character_coverage * total:
            break
        covered.append(character)
        done += count
    new_tokens = vocab_size - len(special) - len(added) - 256 - len(covered)
    if new_tokens < 0:
        raise ValueError(
            f"vocab_size must be at least {vocab_size - new_tokens} ({len(special) + len(added)} special pieces, 256 "
            f"bytes and {len(covered)} characters), got {vocab_size}: raise it, or lower character_coverage"
        )

    number = {character: n for n, character in enumerate(covered)}
    script_of = scripts("".join(covered))
    stretches: dict[str, int] = {}
    for word, count in words.items():
        for stretch in _stretches(word.replace(" ", SPACE), script_of, split_digits):
            stretches[stretch] = stretches.get(stretch, 0) + count
    if bar is not None:
        bar.set_description(f"learning pieces from {len(stretches):,} distinct parts of words")
    spelt = [character.encode("utf-8") for character in covered]
    merges = bpe_training.learn_pieces(
        np.array([number[character] for stretch in stretches for character in stretch], np.int32),
        np.cumsum([len(stretch) for stretch in stretches], dtype=np.int64),
        np.array(list(stretches.values()), np.int64),
        np.frombuffer(b"".join(spelt), np.uint8),
        np.cumsum([len(character) for character in spelt], dtype=np.int64),
        new_tokens,
        min_frequency,
        LONGEST,
    )
    tokens = list(covered)
    for left, right, _ in merges.tolist():
        tokens.append(tokens[left] + tokens[right])
    learnt = list(dict.fromkeys([*tokens[len(covered) :], *covered]))
    return [
        *(Piece(text, 0.0, Kind.UNKNOWN if n == 0 else Kind.CONTROL) for n, text in enumerate(special)),
        *(Piece(text, 0.0, Kind.USER_DEFINED) for text in added),
        *(Piece(f"<0x{byte:02X}>", 0.0, Kind.BYTE) for byte in range(256)),
        *(Piece(text, -float(n)) for n, text in enumerate(learnt)),
    ]


def _stretches(word: str, script_of: dict[str, str], split_digits: bool) -> list[str]:
    """The parts of a word that merges stay within. Spaces go with what follows, accents with what they stand on.

    >>> _stretches("▁don't", scripts("▁don't"), True), _stretches("▁v12", scripts("▁v12"), True)
    (['▁don', "'", 't'], ['▁v', '1', '2'])
    """
    parts: list[str] = []
    start, script = 0, None  # where the part begins, and its script; None while it has spaces only
    for i, character in enumerate(word):
        single = split_digits and character in _DIGITS
        if character not in script_of or single:  # not covered, or a part of its own
            parts += [word[start:i], character if single and character in script_of else ""]
            start, script = i + 1, None
            continue
        own = None if character == SPACE else script_of[character]
        if own == "Inherited":
            own = script or own
        if script is not None and own != script:
            parts.append(word[start:i])
            start = i
        script = own
    return [part for part in [*parts, word[start:]] if part]
