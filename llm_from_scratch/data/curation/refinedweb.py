"""RefinedWeb's corrections of lines: what a page's furniture leaves between its sentences.

Source: Penedo et al. 2023, arXiv:2306.01116, appendix G.2, "Line-wise filtering". The paper names the kinds of lines
with an example each ("3 likes", "sign-in", "Read more...", "items in cart") and two numbers, 10 words and 5 %; the
rest are our readings: mainly uppercase means more than half of the characters that are no white space; numerical means
digits and the signs between them; the words of a line that is only shortened count as flagged, too, as the paper's
"words in the flagged lines" says. The phrases are for English.
"""

from __future__ import annotations

from dataclasses import dataclass

import regex

from .pieces import check_number, check_text, words
from .rule import Removed

COUNTED = (
    "like", "share", "comment", "reply", "replies", "view", "follower", "retweet", "repost", "upvote", "downvote",
    "download", "vote", "star", "review", "subscriber", "bookmark", "rating",
)  # fmt: skip
AT_THE_BEGINNING = ("sign in", "sign up", "sign out", "log in", "log out", "skip to content", "skip to main content")
AT_THE_END = ("read more", "continue reading", "show more", "see more", "view more", "learn more")
ANYWHERE = ("items in cart", "item in cart", "items in your cart", "item in your cart")
_NUMBERS = regex.compile(r"[\p{N}\p{P}\p{Sc}\s+=<>~^|°]*+")


def _phrases(several: tuple[str, ...]) -> str:
    return "|".join(r"[\s-]?".join(map(regex.escape, phrase.split())) for phrase in several)


_EDITS = (
    regex.compile(rf"^\W*(?:(?:{_phrases(AT_THE_BEGINNING)})\b\W*)+", regex.IGNORECASE),
    regex.compile(rf"(?:\b(?:{_phrases(AT_THE_END)})\s*(?:\.\.\.|…|[»›>→.:]*)\s*)+$", regex.IGNORECASE),
    regex.compile(rf"(?:\d+\s)?\b(?:{_phrases(ANYWHERE)})\b", regex.IGNORECASE),
)
_COUNTER = regex.compile(rf"\W*+\d[\d.,]*+(?:\s*+[kmb]\+?|\s*+\+)?\s++(?:{'|'.join(COUNTED)})s?\W*+", regex.IGNORECASE)


def flaw(line: str, most_uppercase: float = 0.5) -> str:
    """What is wrong with a line: "uppercase", "numbers", "counter" or "one word"; empty if nothing is.

    >>> flaw("CLICK HERE now"), flaw("12.03.2021 - 14:30"), flaw("1.2K likes"), flaw("Menu"), flaw("She liked 3 of it")
    ('uppercase', 'numbers', 'counter', 'one word', '')
    """
    visible = "".join(line.split())
    if sum(map(str.isupper, visible)) > most_uppercase * len(visible):
        return "uppercase"
    if _NUMBERS.fullmatch(line):
        return "numbers" if any(map(str.isnumeric, visible)) else ""
    if _COUNTER.fullmatch(line):
        return "counter"
    return "one word" if len(words(line)) == 1 else ""


def without_furniture(line: str, short: int = 10) -> str:
    """A line of at most `short` words without "sign in" at its beginning, "read more" at its end and the like.

    >>> without_furniture("The river rose in the night. Read more..."), without_furniture("Sign-in | 2 items in cart")
    ('The river rose in the night.', '')
    """
    while len(line) <= 1000 and len(line.split()) <= short:
        shorter = line
        for pattern in _EDITS:
            shorter = pattern.sub(" ", shorter)
        if shorter == line:
            break
        line = " ".join(shorter.split())
        line = line if any(map(str.isalnum, line)) else ""  # what stood between, such as a bar
    return line


@dataclass(frozen=True)
class RefinedWebLines:
    """Drops or shortens the lines that are furniture; removes a text of which they are more than `most_flagged` words.

    short: the most words of a line that is shortened; most_uppercase: the fraction of a line's characters.

    >>> story = " ".join(["The river rose in the night and nobody saw it."] * 4)
    >>> RefinedWebLines()(story + "\\n12 likes") == story
    True
    >>> RefinedWebLines()("The river rose.\\nMENU\\nSign in").reason
    '50% of the words are in lines such as menus and counters, more than 5%'
    """

    most_flagged: float = 0.05
    short: int = 10
    most_uppercase: float = 0.5
    name = "refinedweb"
    does = "drops lines that are capitals, numbers, counters, one word or buttons; removes texts with many of them"

    def __post_init__(self) -> None:
        check_number("refinedweb", "most_flagged", self.most_flagged, 0, 1)
        check_number("refinedweb", "short", self.short, 0, whole=True)
        check_number("refinedweb", "most_uppercase", self.most_uppercase, 0, 1)

    def __call__(self, text: str) -> str | Removed:
        kept, shown, total, flagged = [], [], 0, 0
        for line in check_text("refinedweb", text).split("\n"):
            count = len(words(line))
            total += count
            result = line
            if count:
                result = "" if flaw(line, self.most_uppercase) else without_furniture(line, self.short)
                if result != line:
                    flagged += count
                    shown.append(line.strip())
                    result = "" if flaw(result, self.most_uppercase) else result
            if result or not count:
                kept.append(result)
        if flagged > self.most_flagged * total:
            reason = f"{flagged / total:.0%} of the words are in lines such as menus and counters"
            return Removed(f"{reason}, more than {self.most_flagged:.0%}", " / ".join(shown[:10])[:200])
        return "\n".join(kept) if flagged else text
