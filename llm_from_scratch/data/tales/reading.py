"""Reads a tale the way a careful child does: who is who, whose is what, and does it hold at the end?

`Reader` collects what one text says of its hero, the other character, the thing, its colour and the places, and offers
one method per check; `checking` puts them together. It knows the lexicon (`words`) and the conventions stated in
`telling`, above all that there is one of each, so each mention (the title's too) has to agree with the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from . import words
from .lexicon import vocabulary

PASS, FAIL, NOT_APPLICABLE = "pass", "fail", "not applicable"
MINIMUM_WORDS = 40  # a shorter text is not a tale, however consistent its one sentence may be

_NAMES = dict.fromkeys(words.HE_NAMES, "he") | dict.fromkeys(words.SHE_NAMES, "she")
_GENDER = {form: gender for gender, forms in words.PRONOUNS.items() for form in forms}
_CHILD = {kind: gender for gender, kind in words.CHILDREN.items()}
_COLOURS = {*words.COLOURS, *words.OTHER_COLOURS}
_PLACES = {*words.PLACES, *words.HOME_PLACES}
_TITLE = re.compile(r"([^\n]*[^\n.!?\" ]) *\n\n")  # a first paragraph that does not end like a sentence
_TITLE_FORM = re.compile(r"([A-Z][a-z]+) the ([a-z]+)(?: and the [a-z]+ [a-z]+(?: (?:in|at|on|by) the [a-z]+)?)?")
_INTRODUCTION = re.compile(r"\b(?:an?|the) (?:[a-z-]+ ){0,3}?([a-z]+) (?:named|called) ([A-Z][a-z]+)\b", re.IGNORECASE)
_HOME = re.compile(rf"\b({'|'.join(words.DWELLINGS)}) (?:{'|'.join(words.NEAR)}) the ([a-z]+)")
_INDOORS = re.compile(rf"\b(?:in|at|on|by|to) the ({'|'.join(words.INDOORS)})\b(?! (?:of|table|shelf)\b)")
_ENDING = re.compile(
    r"\bwas (?:happy|glad|proud) because\b"
    r"|from that day on|\blearned\b|\bknew (?:that|how)\b|never forgot|for ever|\bhapp(?:y|ier)\b|that night"
    r"|the end\b|\bfriends\b|\bnew friend\b|full of joy|with a smile|all day long|sweet(?:est)? dreams",
    re.IGNORECASE,
)
_SIGN = re.compile(r"[^\w .,!?;:\"'\n-]|_")
_WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*|\d+|[.,!?;:\"]")


_ARTICLES = ("a", "an", "the", "this", "that", "dear")


class Reader:
    """Collects the facts of one text once, for all checks."""

    def __init__(self, text: str) -> None:
        self.whole = text.strip()
        # "Max the mouse and the red kite in the garden": a promise, and no sentence of the tale.
        title = _TITLE.match(self.whole)
        self.title = title[1] if title else None
        self.text = self.whole[title.end() :] if title else self.whole
        self.tokens = [(m[0], m.start()) for m in _WORD.finditer(self.text)]
        # The words of title and tale in small letters, a possessive as its owner; punctuation stays.
        self.plain = [re.sub(r"'s$", "", m[0].lower()) for m in _WORD.finditer(f"{self.title or ''} . {self.text}")]
        self.reasons: list[str] = []
        # The hero is who the tale introduces by name.
        self.introductions = [(m[2], m[1].lower(), m.start(2)) for m in _INTRODUCTION.finditer(self.text)]
        self.name, self.kind, self.introduced_at = (self.introductions or [("", "", 0)])[0]
        # What is narrated, without what is spoken; a quotation leaves a gap.
        self.narrated = re.sub(r'"[^"]*"', " ", self.text)

    def fail(self, reason: str) -> str:
        """FAIL, and the reason is kept."""
        self.reasons.append(reason)
        return FAIL

    def said(self, lexicon: Iterable[str]) -> list[str]:
        """The words of a lexicon in the order in which title and tale say them."""
        known = set(lexicon)
        return [word for word in self.plain if word in known]

    def one(self, check: str, said: list[str]) -> str:
        """Whether all that was said is the same word."""
        for word in said:
            if word != said[0]:
                return self.fail(f"{check}: {said[0]} and then {word}")
        return PASS if said else NOT_APPLICABLE

    # -- one method per check
    # ------------------------------------------------------------------------------------

    def words(self) -> str:
        """Each word is one of the tales', and no other signs stand between them."""
        known = vocabulary()
        strange = [word for word in self.plain if word[0].isalnum() and word not in known]
        strange += _SIGN.findall(self.whole)
        return self.fail(f"words: the tales do not know {strange[0]!r}") if strange else PASS

    def hero(self) -> str:
        """The tale begins with its hero, who is the one of the title and is there until the end."""
        if not self.name:
            return self.fail("hero: nobody is introduced as a ... named ...")
        if self.title is not None:
            title = _TITLE_FORM.fullmatch(self.title)
            if title is None:
                return self.fail(
                    f"hero: the title {self.title!r} is not: Name the kind and the colour thing in the place"
                )
            if title.groups()[:2] != (self.name, self.kind):
                return self.fail(
                    f"hero: the title promises {title[1]} the {title[2]}, the tale begins with {self.name}"
                )
        if self.introduced_at > 150:
            return self.fail(f"hero: the first character, {self.name}, comes in late")
        last = max(self.text.rfind(again) for again in (self.name, f"little {self.kind}"))
        if last < 2 / 3 * len(self.text) or self.text.rfind(self.name) < len(self.text) / 2:
            return self.fail(f"hero: {self.name} is forgotten before the end")
        return PASS

    def names(self) -> str:
        """One character has a name, and not before being introduced."""
        if len(self.introductions) > 1:
            return self.fail(f"names: {self.introductions[1][0]} is introduced after {self.name}")
        previous = "."
        for token, where in self.tokens:
            inside = previous not in '.!?"'
            previous, word = token, token.removesuffix("'s")
            if word == self.name and where < self.introduced_at:
                return self.fail(f"names: {word} is named before being introduced")
            if word != self.name and (word.capitalize() in _NAMES or (inside and word[0].isupper() and word != "I")):
                return self.fail(f"names: {word} comes from nowhere")
        return PASS if self.name else NOT_APPLICABLE

    def kinds(self) -> str:
        """The hero is "little mouse" or "Tim the mouse", the other one "a (little) fox", "the fox" or "dear fox"."""
        other = ""
        tale = [word.removesuffix("'s").lower() for word, _ in self.tokens]
        for i, word in enumerate(tale):
            before, after = tale[max(0, i - 4) : i], tale[i + 1 : i + 2]
            # The words that belong to this one, back to its article: not those of before a comma.
            start = next((k for k in reversed(range(len(before))) if before[k] in _ARTICLES), len(before))
            article = before[start] if start < len(before) and all(w[0].isalpha() for w in before[start:]) else ""
            if word in words.ELDERS and before[-1:] not in (["his"], ["her"]):
                return self.fail(f"kinds: nobody said whose {word} it is")
            known = word in words.KINDS
            if not known and not (word in words.PASSERS_BY and before[-1:] in (["the"], ["dear"], ["little"])):
                continue  # "a butterfly" may come by, "the butterfly" has to be known
            indefinite = article in ("a", "an")
            if after in (["named"], ["called"]) or before[-2:] == [self.name.lower(), "the"]:
                hero = True
            else:
                hero = before[-1:] == ["little"] and not indefinite
            if hero and word != self.kind:
                return self.fail(f"kinds: {self.name} is a {self.kind}, not a {word}")
            if not hero and indefinite:
                if word == self.kind or other not in ("", word):
                    return self.fail(f"kinds: a second character, the {word}, beside the {other or self.kind}")
                other = word
            elif not hero and word != other:
                return self.fail(f"kinds: no {word} was introduced")
        elders = self.one("kinds", self.said(words.ELDERS))
        return elders if elders == FAIL else PASS if self.name else NOT_APPLICABLE

    def pronouns(self) -> str:
        """Each he and each she is the hero."""
        if not self.name:
            return self.fail("pronouns: nobody is introduced")
        said = [_GENDER[word] for word in self.plain if word in _GENDER]
        gender = _NAMES.get(self.name) or _CHILD.get(self.kind) or (said or [""])[0]
        if _CHILD.get(self.kind, gender) != gender:
            return self.fail(f"pronouns: {self.name} is no {self.kind}")
        if any(each != gender for each in said):
            return self.fail(f"pronouns: {self.name} is called {'she' if gender == 'he' else 'he'}")
        return PASS if said else NOT_APPLICABLE

    def colours(self) -> str:
        """One colour, and it is the thing's."""
        things = self.said(words.THINGS)
        for word, after in zip(self.plain, [*self.plain[1:], "."], strict=True):
            if word in _COLOURS and things and after not in words.THINGS:
                return self.fail(f"colours: {word} is said of {after!r}, not of the {things[0]}")
        return self.one("colours", self.said(_COLOURS))

    def things(self) -> str:
        """One thing and one food, which come in with "a" before they are "the"."""
        results = []
        for lexicon in (words.THINGS, words.FOOD_NOUNS):
            results.append(self.one("things", self.said(lexicon)))
            if first := re.search(rf"\b(\w+) (?:[\w-]+ )?({'|'.join(lexicon)})\b", self.text):
                if first[1].lower() in ("the", "this") or re.search(rf"\b[Tt]he {first[2]}", first[0]):
                    results.append(self.fail(f"things: nobody said where the {first[2]} comes from"))
        missing = [word for word in (self.title or "").split() if word in words.THINGS and word not in self.text]
        if missing:
            results.append(self.fail(f"things: the title promises a {missing[0]}, which does not come"))
        return FAIL if FAIL in results else PASS if PASS in results else NOT_APPLICABLE

    def comes_back(self) -> str:
        """The thing of the tale is spoken of in its second half."""
        said = [(word.lower(), where) for word, where in self.tokens if word.lower() in words.THINGS]
        if said and said[-1][1] < len(self.text) / 2:
            return self.fail(f"return: the {said[-1][0]} is forgotten")
        return PASS if said else NOT_APPLICABLE

    def places(self) -> str:
        """One home, and one place besides."""
        homes = [" near the ".join(m.groups()) for m in _HOME.finditer(self.whole)]
        rest = _HOME.sub(" ", self.whole).lower()
        away = [word for word in re.findall(r"[a-z]+", rest) if word in _PLACES] + _INDOORS.findall(rest)
        results = [self.one("places", homes), self.one("places", away)]
        return FAIL if FAIL in results else PASS if PASS in results else NOT_APPLICABLE

    def ending(self) -> str:
        """The text is long enough for a tale, stops after a sentence, and its last three sentences are an ending."""
        if len(re.findall(r"[A-Za-z]+", self.text)) < MINIMUM_WORDS:
            return self.fail("ending: too short for a tale")
        if not re.search(r'[.!]"?$', self.text):
            return self.fail("ending: the text stops in the middle of a sentence")
        sentences = [s for s in re.split(r'(?<=[.!?])"? ', self.text.replace("\n", " ")) if s.strip()]
        if not _ENDING.search(" ".join(sentences[-3:])):
            return self.fail("ending: the tale stops without an ending")
        return PASS

    def form(self) -> str:
        """Capitals, articles, quotations and signs are where they belong, and no sentence is said again."""
        for paragraph in self.text.split("\n\n"):
            if paragraph.count('"') % 2:
                return self.fail("form: a quotation is not closed")
            if "\n" in paragraph:
                return self.fail("form: a line ends in the middle of a paragraph")
            if not re.match(r'"?[A-Z]', paragraph):
                return self.fail("form: a paragraph does not begin with a capital letter")
        if match := re.search(r"\b(?:[Aa] [aeiou]|[Aa]n [b-df-hj-np-tv-z])\w*", self.text):
            return self.fail(f"form: {match.group()!r}")
        if match := re.search(r"\b(\w+) \1\b|\b([A-Z]\w+) and \2\b", self.text):
            return self.fail(f"form: {match.group()!r}")
        if match := re.search(r"[.!?] [a-z]\w*|[a-z][.!?][A-Za-z]| [.,!?]|,[A-Za-z]|,\s*[.,!?]", self.text):
            return self.fail(f"form: {match.group()!r}")
        spoken_too = re.findall(r"[^.!?]+[.!?]", self.text)
        if any(a == b for a, b in zip(spoken_too, spoken_too[1:], strict=False)):
            return self.fail("form: a sentence is said twice in a row")
        sentences = [s.strip() for s in re.split(r"[.!?\n]", self.narrated) if len(s.split()) >= 4]
        if len(set(sentences)) < len(sentences):
            return self.fail("form: a sentence is repeated")
        return PASS
