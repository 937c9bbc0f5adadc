"""C4's rules, for pages in English: keep the lines that are sentences, and the pages that have some.

Source: Raffel et al. 2020, "Exploring the limits of transfer learning", arXiv:1910.10683, section 2.2. Its numbers are
3 sentences a page and 5 words a line; some descriptions of C4 have them the wrong way round. The authors' program, in
TensorFlow Datasets, differs from the paper's words, and where it does we follow the paper:

* a page with a curly bracket, "lorem ipsum" or a listed word is removed wherever that stands; the program looks only
  at the lines that it has kept, and finds no listed word at a line's beginning or end;
* an end quotation mark may be curly; the program knows the straight one;
* a citation mark such as [1] at a line's end is gone before the end is looked at; the program is left with a space.

Three things are the program's alone: words of over 1,000 characters, lines that end in "...", both removed, and
sentences counted by their ends (the program by a trained tokenizer: an abbreviation before a capital counts here).
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

import regex

from .pieces import check_number, check_strings, check_text
from .rule import Removed

POLICIES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
ENDS = (".", "?", "!", '"', "\u201d")
_CITATION = re.compile(r"\[(?:\d*|edit|citation needed)\]")
_CLOSING = "\"'\u201d\u2019)]"
_NESTED = 10  # a line whose citation marks stand in one another deeper than this is no sentence


@dataclass(frozen=True)
class C4:
    """Keeps lines of `least_words` words that end like a sentence, and pages with `least_sentences` of these.

    bad_words: a page with any of these words or phrases is removed; a tuple, or the name of a text file with one a
    line. There is no list of them here. braces, lorem_ipsum, javascript, policies, citations: the rule of that name.

    >>> C4(least_sentences=2)("Home | About\\nThe river rose in the night[1].\\nBy morning it had fallen again!")
    'The river rose in the night.\\nBy morning it had fallen again!'
    >>> C4()("The river rose in the night.")
    Removed(reason='1 sentences are left of 1 lines, fewer than 3', shown='The river rose in the night.')
    """

    least_words: int = 5
    least_sentences: int = 3
    longest_word: int = 1000
    bad_words: tuple[str, ...] | str = ()
    braces: bool = True
    lorem_ipsum: bool = True
    javascript: bool = True
    policies: bool = True
    citations: bool = True
    name = "c4"
    does = "keeps lines that end like sentences, and pages with a few of these; removes pages of code and filler"

    def __post_init__(self) -> None:
        check_number("c4", "least_words", self.least_words, 0, whole=True)
        check_number("c4", "least_sentences", self.least_sentences, 0, whole=True)
        check_number("c4", "longest_word", self.longest_word, 1, whole=True)
        for switch in ("braces", "lorem_ipsum", "javascript", "policies", "citations"):
            if not isinstance(getattr(self, switch), bool):
                raise TypeError(f"c4: {switch} is {getattr(self, switch)!r}, expected True or False")
        listed = _read_list(self.bad_words) if isinstance(self.bad_words, (str, Path)) else self.bad_words
        listed = check_strings("c4", "bad_words", listed)
        object.__setattr__(self, "bad_words", tuple(dict.fromkeys(" ".join(word.lower().split()) for word in listed)))

    def __call__(self, text: str) -> str | Removed:
        lowered = check_text("c4", text).lower()
        if self.braces and (place := text.find("{")) >= 0:
            return Removed("it has a curly bracket, as code has", _around(text, place))
        if self.lorem_ipsum and (place := lowered.find("lorem ipsum")) >= 0:
            return Removed('it has the filler "lorem ipsum"', _around(lowered, place))
        if self.bad_words and (found := _pattern(self.bad_words).search(lowered)):
            return Removed("it has a word of the list", found[0])
        lines = text.split("\n")
        kept = [line for line in map(self._line, lines) if line]
        count = sum(map(sentences, kept))
        if count < self.least_sentences or not kept:
            reason = f"{count} sentences are left of {len(lines)} lines, fewer than {self.least_sentences}"
            return Removed(reason if kept else "no line of it ends like a sentence and is long enough", text[:200])
        return "\n".join(kept)

    def _line(self, line: str) -> str:
        """The line as it is kept, or nothing."""
        line = line.strip()
        if len(line) > self.longest_word and max(map(len, line.split())) > self.longest_word:
            return ""
        for _ in range(_NESTED if self.citations else 0):
            shorter = _CITATION.sub("", line).strip()
            if shorter == line:
                break
            line = shorter
        else:
            line = "" if self.citations else line
        if not line.endswith(ENDS) or line.endswith("...") or len(line.split()) < self.least_words:
            return ""
        lowered = line.lower()
        if self.javascript and "javascript" in lowered:
            return ""
        return "" if self.policies and any(phrase in lowered for phrase in POLICIES) else line


def sentences(line: str) -> int:
    """How many sentences a line has: its ends of sentences that no small letter follows; at least 1 unless blank.

    >>> sentences('He asked, "Why?" and left. Nobody knew why'), sentences("approx. half of it"), sentences(" ")
    (2, 1, 0)
    """
    found = line.split()
    ends = [word.rstrip(_CLOSING).endswith((".", "?", "!")) for word in found]
    starts = [not word.lstrip("\"'\u201c\u2018([")[:1].islower() for word in found[1:]]
    inside = sum(end and start for end, start in zip(ends[:-1], starts))
    return inside + 1 if found else 0


def _around(text: str, place: int) -> str:
    return text[max(0, place - 60) : place + 60]


@functools.lru_cache(maxsize=8)
def _pattern(listed: tuple[str, ...]) -> regex.Pattern[str]:
    # White space in a phrase may be any; what is between letters of a longer word is none of the list.
    phrases = [r"\s+".join(map(regex.escape, word.split())) for word in listed if " " in word]
    single = [word for word in listed if " " not in word]
    choices = [r"\L<single>"] * bool(single) + phrases
    return regex.compile(
        rf"(?<![\p{{L}}\p{{M}}])(?:{'|'.join(choices)})(?![\p{{L}}\p{{M}}])", ignore_unused=True, single=single
    )


def _read_list(file: str | Path) -> tuple[str, ...]:
    try:
        lines = Path(file).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"c4: bad_words names the file {file}, which cannot be read as text: {error}") from None
    listed = tuple(line.strip() for line in lines if line.strip())
    if not listed:
        raise ValueError(f"c4: bad_words names the file {file}, which has no words: one a line was expected")
    return listed
