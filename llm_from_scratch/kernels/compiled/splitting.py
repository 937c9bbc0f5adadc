"""The hand-written splitters and the hash table of words, over UTF-8 bytes. See `kernels/splitting.py`."""

from __future__ import annotations

import numpy as np

from ..dispatch import compiled

OTHER, LETTER, NUMBER, SPACE = 0, 1, 2, 3
CODE_POINTS = 0x110000
UPPER = np.int64(0x7FFFFFFF00000000)

# scheme -> (is it of cl100k's kind, how many digits stay together; 0: all)
_SCHEMES = {"gpt2": (False, 0), "digits": (False, 1), "cl100k": (True, 3), "qwen2": (True, 1)}


def split(data, classes, scheme):
    if scheme not in _SCHEMES:
        raise ValueError(f"no hand-written splitter for {scheme!r}: expected one of {sorted(_SCHEMES)}")
    if classes.shape != (CODE_POINTS,) or classes.dtype != np.uint8 or data.dtype != np.uint8:
        raise ValueError(f"expected uint8 data and {CODE_POINTS} uint8 classes, got {data.dtype}, {classes.shape}")
    ends = np.empty(data.size, np.int64)  # pages that are never written cost nothing
    cl100k, digits = _SCHEMES[scheme]
    count = _split(data, classes, ends, cl100k, digits)
    return ends[:count].copy()


@compiled
def _class_at(data, i, classes):
    """The class of the character that starts at byte i, and where the next one starts. Safe on any bytes."""
    lead = np.int64(data[i])
    if lead < 0x80:
        return np.int64(classes[lead]), i + 1
    length = 2 + (lead >= 0xE0) + (lead >= 0xF0)
    point = lead & (0x3F >> (length - 1))
    end = min(i + length, data.size)
    for k in range(i + 1, end):
        point = (point << 6) | (np.int64(data[k]) & 0x3F)
    return (np.int64(classes[point]) if point < CODE_POINTS else np.int64(OTHER)), end


@compiled
def _run(data, i, classes, wanted):
    """The end of the run of class `wanted` that starts at byte i."""
    while i < data.size:
        if data[i] < 0x80:  # most text, most of the time
            if classes[data[i]] != wanted:
                break
            i += 1
            continue
        found, following = _class_at(data, i, classes)
        if found != wanted:
            break
        i = following
    return i


@compiled
def _contraction(data, i, any_case):
    """Length in bytes of 's, 't, 'm, 'd, 're, 've or 'll at byte i, which holds the apostrophe; else 0."""
    left = data.size - i
    if left < 2:
        return 0
    a = np.int64(data[i + 1])
    if any_case and 65 <= a <= 90:
        a += 32
    if a == 115 or a == 116 or a == 109 or a == 100:  # s t m d
        return 2
    if left < 3:
        return 0
    b = np.int64(data[i + 2])
    if any_case and a == 0xC5 and b == 0xBF:  # the long s, U+017F, folds to s
        return 3
    if any_case and 65 <= b <= 90:
        b += 32
    if (a == 114 and b == 101) or (a == 118 and b == 101) or (a == 108 and b == 108):  # re ve ll
        return 3
    return 0


@compiled
def _spaces(data, i, classes, cl100k, digits):
    """The end of the pre-token that starts with the white space at byte i, when nothing else may join it."""
    last = i  # where the last space of the run starts
    line_end = -1
    end = i
    stopper = SPACE
    while end < data.size:
        stopper, following = _class_at(data, end, classes)
        if stopper != SPACE:
            break
        if data[end] == 10 or data[end] == 13:
            line_end = following
        last = end
        end = following
    if cl100k and line_end >= 0:
        return line_end
    if end == data.size or last == i or (digits == 1 and not cl100k and stopper == NUMBER):
        return end
    return last


@compiled
def _split(data, classes, ends, cl100k, digits):
    count = 0
    i = np.int64(0)
    n = data.size
    while i < n:
        byte = data[i]
        end = np.int64(0)
        letter = i + (byte == 32 and i + 1 < n)  # the letters that most words are, which take the space before them
        if data[letter] < 0x80 and classes[data[letter]] == LETTER:
            end = _run(data, letter + 1, classes, LETTER)
        elif byte == 39:  # apostrophe
            length = _contraction(data, i, cl100k)
            if length > 0:
                end = i + length
        if end == 0:
            kind, following = _class_at(data, i, classes)
            next_kind = SPACE
            if following < n and kind != LETTER and kind != NUMBER and (cl100k or byte == 32):
                next_kind, _ = _class_at(data, following, classes)
            if kind == LETTER:
                end = _run(data, following, classes, LETTER)
            elif kind == NUMBER:
                end = following
                if digits == 0:
                    end = _run(data, end, classes, NUMBER)
                for _ in range(digits - 1):
                    if end < n:
                        kind, following = _class_at(data, end, classes)
                        if kind == NUMBER:
                            end = following
                        else:
                            break
            elif next_kind == LETTER and byte != 10 and byte != 13 and (cl100k or byte == 32):
                end = _run(data, following, classes, LETTER)
            elif kind == OTHER or (byte == 32 and next_kind == OTHER):
                end = _run(data, following, classes, OTHER)
                while cl100k and end < n and (data[end] == 10 or data[end] == 13):
                    end += 1
            elif byte == 32 and next_kind == NUMBER and not cl100k and digits == 0:
                end = _run(data, following, classes, NUMBER)
            else:
                end = _spaces(data, i, classes, cl100k, digits)
        ends[count] = end
        count += 1
        i = end
    return count


def unique_words(data, ends):
    if data.dtype != np.uint8 or ends.dtype != np.int64:
        raise ValueError(f"expected uint8 data and int64 ends, got {data.dtype} and {ends.dtype}")
    if ends.size and (ends[0] < 0 or ends[-1] > data.size or (ends[1:] < ends[:-1]).any()):
        raise ValueError(f"ends must increase from 0 to at most {data.size}, the number of bytes")
    which = np.empty(ends.size, np.int32)
    first, counts = _unique_words(data, ends, which)
    return first, counts, which


@compiled
def _hash(data, start, end):
    value = np.uint64(0xCBF29CE484222325)
    for i in range(start, end):
        value = (value ^ np.uint64(data[i])) * np.uint64(0x100000001B3)
    return np.int64(value >> np.uint64(1))  # not negative


@compiled
def _same(data, a, b, length):
    for i in range(length):
        if data[a + i] != data[b + i]:
            return False
    return True


@compiled
def _longer(array):
    """Twice the length, the same content at the front."""
    grown = np.empty(2 * array.size, array.dtype)
    for i in range(array.size):
        grown[i] = array[i]
    return grown


@compiled
def _unique_words(data, ends, which):
    """Open addressing, in a table that is made anew, larger, when it is full by half."""
    capacity = 1024
    slots = np.zeros(2 * capacity, np.int64)
    first, counts = np.empty(capacity, np.int64), np.empty(capacity, np.int64)
    hashes = np.empty(capacity, np.int64)
    words, done = _count_into(data, ends, which, np.int64(0), np.int64(0), slots, first, counts, hashes)
    while done < ends.size:
        first, counts, hashes = _longer(first), _longer(counts), _longer(hashes)
        slots = np.zeros(2 * first.size, np.int64)
        for word in range(words):
            at = hashes[word] & (slots.size - 1)
            while slots[at] != 0:
                at = (at + 1) & (slots.size - 1)
            slots[at] = (hashes[word] & UPPER) | (word + 1)
        words, done = _count_into(data, ends, which, done, words, slots, first, counts, hashes)
    return first[:words].copy(), counts[:words].copy()


@compiled
def _count_into(data, ends, which, done, words, slots, first, counts, hashes):
    """Go on after `done` words of text, until the next new word finds no room; how many are known, and done then.

    A slot holds a word's number + 1 below half of its hash: other words are known by that, before anything else of
    theirs is looked at.
    """
    start = ends[done - 1] if done > 0 else np.int64(0)
    mask = slots.size - 1
    for k in range(done, ends.size):
        end = ends[k]
        value = _hash(data, start, end)
        at = value & mask
        slot = slots[at]
        while slot != 0:
            if (slot ^ value) & UPPER == 0:
                other = first[(slot & ~UPPER) - 1]
                begin = ends[other - 1] if other > 0 else np.int64(0)
                if ends[other] - begin == end - start and _same(data, begin, start, end - start):
                    break
            at = (at + 1) & mask
            slot = slots[at]
        number = (slot & ~UPPER) - 1
        if slot == 0:
            if words == first.size:
                return words, k
            number = words
            words += 1
            first[number], counts[number], hashes[number] = k, 0, value
            slots[at] = (value & UPPER) | words
        counts[number] += 1
        which[k] = number
        start = end
    return words, ends.size
