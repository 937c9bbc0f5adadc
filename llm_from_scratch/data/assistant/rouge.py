"""ROUGE-L (Lin 2004): how much of two texts is said in the same words and in the same order.

The longest common subsequence of their words, as a share of the one text (recall) and of the other (precision).
Self-Instruct (Wang et al. 2022), and Alpaca after it, call an instruction new if its F-measure with every instruction
there is stays below 0.7.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_WORD = re.compile(r"[a-z]+(?:-[a-z]+)*|\d+|[-+=]")


def words_of(text: str) -> list[str]:
    """Words, numbers and the signs of arithmetic, in small letters.

    >>> words_of("Well-made: 3 + 4 = 7.")
    ['well-made', '3', '+', '4', '=', '7']
    """
    return _WORD.findall(text.lower())


def common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence, row by row of the classic table.

    >>> common_subsequence("police killed the gunman".split(), "police kill the gunman".split())
    3
    """
    row = [0] * (len(b) + 1)  # row[j]: of what was read of a, and the first j of b
    for word in a:
        diagonal = 0
        for j, other in enumerate(b, 1):
            diagonal, row[j] = row[j], diagonal + 1 if word == other else max(row[j], row[j - 1])
    return row[-1]


def rouge_l(candidate: str, reference: str) -> float:
    """The F-measure of both, 0 to 1: 2PR / (P + R) = 2 × common / (length + length). Two empty texts have nothing in
    common.

    >>> round(rouge_l("police kill the gunman", "police killed the gunman"), 3)
    0.75
    """
    a, b = words_of(candidate), words_of(reference)
    return 2 * common_subsequence(a, b) / (len(a) + len(b)) if a and b else 0.0
