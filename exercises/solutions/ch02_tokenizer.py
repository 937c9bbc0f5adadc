"""Chapter 2 exercises: a byte-level BPE tokenizer, from counting pairs to reading broken text.

Ids 0 to 255 are the 256 bytes. Training repeatedly joins the most frequent pair of neighbours into a new
token: the first merge makes id 256, the second 257, and so on. A list of pairs, `merges`, is therefore the
whole tokenizer: `merges[i]` is the pair that became id `256 + i`. Text is cut into words first, and no merge
reaches over their edges.
"""

from __future__ import annotations

from llm_from_scratch.grading import task


@task(
    points=1,
    difficulty="easy",
    minutes=10,
    hints={
        "weighs_words_by_occurrences: counts[(1, 2)]: expected 6, got 2": (
            "The value in `words` says how often the word stands in the text. Each pair inside it occurs "
            "that many times, so add the value, not 1."
        ),
        "counts_overlapping_pairs: counts[(7, 7)]: expected 32, got less": (
            "In (7, 7, 7) the pair (7, 7) stands at position 0 and at position 1. Counting looks at every "
            "pair of neighbours; only merging has to avoid overlaps."
        ),
        "KeyError: (1, 2)": (
            "`counts[pair] += n` needs an entry to add to. Use counts.get(pair, 0), or a collections.Counter."
        ),
        "counts_every_position: the last pair of a word is missing": (
            "zip(word, word[1:]) walks over all neighbours: zip stops where the shorter one ends."
        ),
    },
    why="""Training looks at the pair counts thousands of times, and a text of a million words has only a few
    ten thousand different ones. Counting each different word once and weighting it by its number of
    occurrences gives the same counts for a small part of the work. Fast BPE trainers rest on this.""",
)
def pair_counts(words: dict[tuple[int, ...], int]) -> dict[tuple[int, int], int]:
    """How often each pair of neighbouring ids occurs in the text.

    words: the different words of a text, each a tuple of ids, with the number of times it occurs
    returns: each pair (left, right) that occurs, with its number of occurrences; overlapping ones count, too

    >>> pair_counts({(1, 2, 3): 10, (1, 2): 4, (9,): 7})
    {(1, 2): 14, (2, 3): 10}
    """
    counts: dict[tuple[int, int], int] = {}
    for word, occurrences in words.items():
        for pair in zip(word, word[1:], strict=False):
            counts[pair] = counts.get(pair, 0) + occurrences
    return counts


@task(
    points=2,
    difficulty="easy",
    minutes=15,
    hints={
        "merges_without_overlap: [5, 5, 5] must become [256, 5]": (
            "After a merge the walk must step over both ids, so that the second 5 is not used again. A `for "
            "i in range(...)` cannot do that; a `while` with its own index can."
        ),
        "keeps_the_other_ids: the last id is missing, or one after a half match": (
            "When the walk stands on the last id there is no right neighbour. Copy that id, too."
        ),
        "IndexError: list index out of range": ("Look at ids[i + 1] only after checking that i + 1 < len(ids)."),
        "ids_of_several_digits: the ids were replaced as text": (
            "As text, '11 2' holds '1 2'. Compare numbers: walk over the list, not over a text of it."
        ),
        "finds_only_that_pair: other pairs are merged, too": (
            "Both ids have to match, in this order: (ids[i], ids[i + 1]) == pair. If they do not, step on by one."
        ),
    },
    why="""Left to right without overlap is a convention, but one that training and encoding must share: 'aaa'
    could be (aa)a or a(aa), and a tokenizer that trains with one and encodes with the other produces
    sequences that the model has never seen. One pass into a new list costs O(n); deleting from the middle of
    the list would cost O(n) each time.""",
)
def merge(ids: list[int], pair: tuple[int, int], new_id: int) -> list[int]:
    """Replace each occurrence of `pair` by `new_id`, from left to right and without overlaps.

    ids: any number of ids, none included
    returns: a new list; `ids` itself stays as it is

    >>> merge([1, 2, 3, 1, 2], (1, 2), 256)
    [256, 3, 256]
    >>> merge([5, 5, 5], (5, 5), 256)
    [256, 5]
    """
    merged = []
    i = 0
    while i < len(ids):
        if i + 1 < len(ids) and (ids[i], ids[i + 1]) == pair:
            merged.append(new_id)
            i += 2
        else:
            merged.append(ids[i])
            i += 1
    return merged


@task(
    points=3,
    difficulty="medium",
    minutes=30,
    uses=("pair_counts", "merge"),
    hints={
        "stops_at_vocab_size: there are 256 merges too many": (
            "`vocab_size` counts the 256 bytes as well, so there is room for vocab_size - 256 merges."
        ),
        "worked_by_hand: merges[1] is wrong where merges[0] is right": (
            "After each merge the words have changed and so have the counts. Count again, on the merged words."
        ),
        "ties_by_bytes: wrong where two pairs are equally frequent": (
            "max(counts, key=lambda pair: (counts[pair], name of the pair)) decides ties by the name, which "
            "is (bytes of the left token, bytes of the right token)."
        ),
        "ties_by_bytes: ties are decided by ids instead of bytes": (
            "Id 256 may stand for b'aa', which sorts before b'b' (id 98), although 256 > 98. Keep a list "
            "`tokens` with tokens[id] = bytes, and append tokens[left] + tokens[right] after each merge."
        ),
        "stops_when_nothing_is_left: ValueError: max() arg is an empty sequence": (
            "When every word is a single token, no pair is left. Stop there: a small text yields a smaller vocabulary."
        ),
    },
    why="""Ties are common: among rare pairs, hundreds share the same count. Whatever rule decides them must
    not depend on the order of a hash table, or the same text gives another tokenizer on another day. The
    tokenizers library decides by the smaller pair of ids, which depends on how ids were handed out; comparing
    the bytes depends on nothing but the text.""",
)
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
    counted: dict[tuple[int, ...], int] = {}
    for word in words:
        counted[tuple(word)] = counted.get(tuple(word), 0) + 1
    tokens = [bytes([i]) for i in range(256)]
    merges: list[tuple[int, int]] = []
    while len(tokens) < vocab_size:
        counts = pair_counts(counted)
        if not counts:
            break
        best = max(counts, key=lambda pair: (counts[pair], tokens[pair[0]], tokens[pair[1]]))
        new_id = 256 + len(merges)
        merges.append(best)
        tokens.append(tokens[best[0]] + tokens[best[1]])
        counted = {tuple(merge(list(word), best, new_id)): n for word, n in counted.items()}
    return merges


@task(
    points=2,
    difficulty="medium",
    minutes=20,
    uses=("merge",),
    hints={
        "lowest_rank_first: encode(b'abc')[0]: expected 97, got 257": (
            "Merges are applied in the order in which they were learnt, not from left to right in the text "
            "and not longest first. Look for the pair with the lowest rank among all neighbours."
        ),
        "merges_until_nothing_is_left: only the first merge happens": (
            "Every merge makes new neighbours. Repeat until no pair has a rank."
        ),
        "KeyError": (
            "Most pairs of neighbours were never merged. Treat them as having infinite rank: rank.get(pair, "
            "float('inf'))."
        ),
        "another_tokenizer: this is the answer to the call before": (
            "What is remembered must be remembered for the word and the merges together; better keep nothing."
        ),
        "agrees_with_all_merges_in_order: ids start at 0 instead of 256": "merges[i] makes the id 256 + i.",
    },
    why="""A merge was learnt on text in which all earlier merges had been made already. Applying them in the
    same order rebuilds exactly the tokens that training saw. Taking the longest token that fits, the obvious
    idea, gives other splits for some words: input that looks right and that the model has hardly ever
    met.""",
)
def encode(word: bytes, merges: list[tuple[int, int]]) -> list[int]:
    """The ids of one word: while a learnt pair is present, merge the one that was learnt first, everywhere.

    word: any bytes, valid UTF-8 or not, none included
    merges: merges[i] is the pair that becomes id 256 + i

    >>> encode(b"lower", [(111, 119), (108, 256)])        # l o w e r -> l ow e r -> low e r
    [257, 101, 114]
    """
    rank = {pair: i for i, pair in enumerate(merges)}
    ids = list(word)
    while len(ids) > 1:
        pair = min(zip(ids, ids[1:], strict=False), key=lambda pair: rank.get(pair, float("inf")))
        if pair not in rank:
            break
        ids = merge(ids, pair, 256 + rank[pair])
    return ids


@task(
    points=2,
    difficulty="medium",
    minutes=20,
    hints={
        "inverts_known_ids: IndexError, or the wrong bytes": (
            "Build the table first: tokens[0..255] are the single bytes, and each merge appends "
            "tokens[left] + tokens[right]. Because a pair only names earlier ids, one pass suffices."
        ),
        "ValueError: bytes must be in range(0, 256)": (
            "Ids from 256 on stand for several bytes. Join the table's entries instead: b''.join(...)."
        ),
        "rejects_ids_out_of_range: decode([97, -1]) must raise ValueError": (
            "tokens[-1] is the last token: Python counts negative indices from the end. Check 0 <= id < "
            "len(tokens) before indexing."
        ),
    },
    why="""Byte-level tokens make every string of bytes representable: there is no unknown token, and decoding
    is the exact inverse of encoding even for text that is not valid UTF-8. The range check matters because
    models produce ids: a vocabulary padded to a round size can emit ids beyond the table, and a silent -1
    would pass for the last token.""",
)
def decode(ids: list[int], merges: list[tuple[int, int]]) -> bytes:
    """The bytes that `ids` stand for: the exact inverse of `encode`, for any bytes.

    raises ValueError for an id that is negative or not below 256 + len(merges)

    >>> decode([257, 101, 114], [(111, 119), (108, 256)])
    b'lower'
    """
    tokens = [bytes([i]) for i in range(256)]
    for left, right in merges:
        tokens.append(tokens[left] + tokens[right])
    for i in ids:
        if not 0 <= i < len(tokens):
            raise ValueError(f"ids must lie between 0 and {len(tokens) - 1}, got {i}")
    return b"".join(tokens[i] for i in ids)


@task(
    points=2,
    difficulty="hard",
    minutes=25,
    hints={
        "invalid_bytes: UnicodeDecodeError": (
            "A piece may end in the middle of a character, and a model may produce bytes that are no UTF-8 "
            "at all. codecs.getincrementaldecoder('utf-8')(errors='replace') copes with both."
        ),
        "characters_over_pieces: an accented letter comes out as two question marks": (
            "Its two bytes arrived in different pieces, and each was decoded alone. Keep one decoder for "
            "all pieces: it holds back an unfinished character until the rest arrives."
        ),
        "unfinished_end: the last text is missing, or empty": (
            "When the pieces are over, decoder.decode(b'', final=True) gives out what was held back."
        ),
        "one_text_for_each_piece: the number of texts is wrong": (
            "There is one text for each piece, empty if the piece completes no character, and one more for "
            "what is left at the end."
        ),
    },
    why="""Tokens are cut by frequency, not by characters: an emoji of four bytes often takes two or three
    tokens. Decoding token by token, which every first implementation does, therefore prints replacement marks
    in the middle of correct text. A stream has to wait until a character is complete, and still must not wait
    for ever on bytes that can never become one.""",
)
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
    import codecs

    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    texts = [decoder.decode(piece) for piece in pieces]
    return [*texts, decoder.decode(b"", final=True)]
