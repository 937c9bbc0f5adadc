"""Gopher's rules of quality: shapes that prose has and lists, code and keywords have not. For English.

Source: Rae et al. 2021, arXiv:2112.11446, appendix A.1.1, "Quality filtering". The paper leaves open what a word, a
line, a bullet and an ellipsis are. Here a word is what stands between white space (in scripts without spaces, a
character), blank lines count for nothing, bullets are `BULLETS`, an ellipsis is "..." or "…", and "at least two of the
words" means two different ones, in capitals or not.
"""

from __future__ import annotations

from dataclasses import dataclass

from .pieces import check_number, check_strings, check_text, words
from .rule import Removed

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
BULLETS = ("•", "‣", "◦", "●", "○", "▪", "▫", "■", "□", "·", "*", "-", "–", "—")
ELLIPSES = ("...", "…")
_MARKS = ".,;:!?\"'()[]{}*_-–—…“”‘’«»"


@dataclass(frozen=True)
class GopherQuality:
    """Removes a text whose numbers are outside of these bounds; a number at a bound is inside.

    least_words, most_words: of a text; least_length, most_length: the mean number of characters of a word;
    most_symbols: "#", or ellipses, a word; most_bullets, most_ellipses: the fraction of lines that begin with a bullet
    or end in an ellipsis; least_alphabetic: the fraction of words with a letter; least_stop_words: how many of
    `stop_words` there are.

    >>> GopherQuality()("Buy cheap watches now")
    Removed(reason='4 words, fewer than 50', shown='Buy cheap watches now')
    >>> GopherQuality(least_words=4)("Buy cheap watches now")
    Removed(reason='0 different stop words, fewer than 2', shown='Buy cheap watches now')
    """

    least_words: int = 50
    most_words: int = 100_000
    least_length: float = 3
    most_length: float = 10
    most_symbols: float = 0.1
    most_bullets: float = 0.9
    most_ellipses: float = 0.3
    least_alphabetic: float = 0.8
    least_stop_words: int = 2
    stop_words: tuple[str, ...] = STOP_WORDS
    name = "gopher"
    does = "removes texts that are not shaped like prose: length, words, symbols, bullets, ellipses, stop words"

    def __post_init__(self) -> None:
        for setting in ("least_words", "most_words", "least_stop_words"):
            check_number("gopher", setting, getattr(self, setting), 0, whole=True)
        for setting in ("least_length", "most_length", "most_symbols"):
            check_number("gopher", setting, getattr(self, setting), 0)
        for setting in ("most_bullets", "most_ellipses", "least_alphabetic"):
            check_number("gopher", setting, getattr(self, setting), 0, 1)
        for low, high in (("least_words", "most_words"), ("least_length", "most_length")):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(f"gopher: {low} {getattr(self, low)} is more than {high} {getattr(self, high)}")
        stop_words = tuple(word.lower() for word in check_strings("gopher", "stop_words", self.stop_words))
        object.__setattr__(self, "stop_words", stop_words)
        if self.least_stop_words > (listed := len(set(stop_words))):
            raise ValueError(f"gopher: least_stop_words is {self.least_stop_words}, of only {listed} stop_words")

    def __call__(self, text: str) -> str | Removed:
        reason = self._reason(check_text("gopher", text))
        return Removed(reason, text[:200]) if reason else text

    def _reason(self, text: str) -> str:
        found = words(text)
        count = len(found)
        if count < self.least_words:
            return f"{count} words, fewer than {self.least_words}"
        if count > self.most_words:
            return f"{count} words, more than {self.most_words}"
        if not count:  # asked for no words: nothing to measure
            return ""
        length = sum(map(len, found)) / count
        if not self.least_length <= length <= self.most_length:
            return f"{length:.1f} characters a word, outside of {self.least_length:g} to {self.most_length:g}"
        for sign, number in (("hash signs", text.count("#")), ("ellipses", sum(map(text.count, ELLIPSES)))):
            if number / count > self.most_symbols:
                return f"{number / count:.2f} {sign} a word, more than {self.most_symbols:g}"
        lines = [line for line in map(str.strip, text.split("\n")) if line]
        for kind, most, number in (
            ("begin with a bullet", self.most_bullets, sum(line.startswith(BULLETS) for line in lines)),
            ("end in an ellipsis", self.most_ellipses, sum(line.endswith(ELLIPSES) for line in lines)),
        ):
            if number / len(lines) > most:
                return f"{number / len(lines):.0%} of the lines {kind}, more than {most:.0%}"
        alphabetic = sum(any(map(str.isalpha, word)) for word in found) / count
        if alphabetic < self.least_alphabetic:
            return f"{alphabetic:.0%} of the words have a letter, fewer than {self.least_alphabetic:.0%}"
        stops = len(set(self.stop_words) & {word.strip(_MARKS).lower() for word in found})
        if stops < self.least_stop_words:
            return f"{stops} different stop words, fewer than {self.least_stop_words}"
        return ""
