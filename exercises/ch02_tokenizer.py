"""Chapter 2 exercises: a byte-level BPE tokenizer, from counting pairs to reading broken text.

Ids 0 to 255 are the 256 bytes. Training repeatedly joins the most frequent pair of neighbours into a new
token: the first merge makes id 256, the second 257, and so on. A list of pairs, `merges`, is therefore the
whole tokenizer: `merges[i]` is the pair that became id `256 + i`. Text is cut into words first, and no merge
reaches over their edges.

Replace each `raise NotImplementedError(...)` by your code, in any order, and run as often as you like:

    python -m llm_from_scratch grade ch02              # add --dir FOLDER if this file stands elsewhere
    python -m llm_from_scratch grade ch02 --hint       # one more step of advice for each --hint
"""

from __future__ import annotations


# Task 1 of 6: easy, about 10 minutes, 1 point
def pair_counts(words: dict[tuple[int, ...], int]) -> dict[tuple[int, int], int]:
    """How often each pair of neighbouring ids occurs in the text.

    words: the different words of a text, each a tuple of ids, with the number of times it occurs
    returns: each pair (left, right) that occurs, with its number of occurrences; overlapping ones count, too

    >>> pair_counts({(1, 2, 3): 10, (1, 2): 4, (9,): 7})
    {(1, 2): 14, (2, 3): 10}
    """
    raise NotImplementedError("pair_counts")


# Task 2 of 6: easy, about 15 minutes, 2 points
def merge(ids: list[int], pair: tuple[int, int], new_id: int) -> list[int]:
    """Replace each occurrence of `pair` by `new_id`, from left to right and without overlaps.

    ids: any number of ids, none included
    returns: a new list; `ids` itself stays as it is

    >>> merge([1, 2, 3, 1, 2], (1, 2), 256)
    [256, 3, 256]
    >>> merge([5, 5, 5], (5, 5), 256)
    [256, 5]
    """
    raise NotImplementedError("merge")


# Task 3 of 6: medium, about 30 minutes, 3 points
def train(words: list[bytes], vocab_size: int) -> list[tuple[int, int]]:
    """Learn the merges of a byte-level BPE tokenizer.

    words: the words of the text in order, with repetitions; no merge crosses from one to the next
    vocab_size: the number of ids wanted, the 256 bytes included; at least 256
    returns: the merged pairs of ids in order, fewer than asked for if no pair is left

    Each step merges the most frequent pair. Among equally frequent ones it takes the greatest, comparing the
    bytes of the left token first, then those of the right one (b"b" > b"aa" > b"a", as Python compares
    bytes).

    >>> train([b"low", b"low", b"lower"], 258)      # "lo" and "ow" occur thrice, and b"o" > b"l"
    [(111, 119), (108, 256)]
    """
    raise NotImplementedError("train")


# Task 4 of 6: medium, about 20 minutes, 2 points
def encode(word: bytes, merges: list[tuple[int, int]]) -> list[int]:
    """The ids of one word: while a learnt pair is present, merge the one that was learnt first, everywhere.

    word: any bytes, valid UTF-8 or not, none included
    merges: merges[i] is the pair that becomes id 256 + i

    >>> encode(b"lower", [(111, 119), (108, 256)])        # l o w e r -> l ow e r -> low e r
    [257, 101, 114]
    """
    raise NotImplementedError("encode")


# Task 5 of 6: medium, about 20 minutes, 2 points
def decode(ids: list[int], merges: list[tuple[int, int]]) -> bytes:
    """The bytes that `ids` stand for: the exact inverse of `encode`, for any bytes.

    raises ValueError for an id that is negative or not below 256 + len(merges)

    >>> decode([257, 101, 114], [(111, 119), (108, 256)])
    b'lower'
    """
    raise NotImplementedError("decode")


# Task 6 of 6: hard, about 25 minutes, 2 points
def decode_stream(pieces: list[bytes]) -> list[str]:
    """The text to print after each piece of a UTF-8 stream; pieces may end in the middle of a character.

    pieces: the bytes of one token after the other
    returns: len(pieces) + 1 texts: after each piece the characters that it completes ("" if none), and at
        last what is left when the stream is over; joined, they equal b"".join(pieces).decode("utf-8",
        errors="replace")

    >>> decode_stream([b"caf", b"\\xc3", b"\\xa9!"])
    ['caf', '', 'é!', '']
    >>> decode_stream([b"ok\\xff", b"\\xe2\\x82"])       # an impossible byte, and an unfinished euro sign
    ['ok\\ufffd', '', '\\ufffd']
    """
    raise NotImplementedError("decode_stream")
