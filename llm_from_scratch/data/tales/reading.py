"""Reads a tale the way a careful child does: who is who, whose is what, and does it hold at the end?

`Reader` collects the facts of one text and offers one method per check; `checking` puts them together. It works
by the lexicon and by the conventions stated in `telling`, with regular expressions and a memory of one sentence.
"""

from __future__ import annotations

import re

from . import words

PASS, FAIL, NOT_APPLICABLE = "pass", "fail", "not applicable"
MINIMUM_WORDS = 40  # a shorter text is not a tale, however consistent its one sentence may be

_GENDER = {name: "he" for name in words.HE_NAMES} | {name: "she" for name in words.SHE_NAMES}
_PRONOUN = {"he": "he", "him": "he", "his": "he", "himself": "he"} | dict.fromkeys(("she", "her", "herself"), "she")
_NOUNS = {*words.THINGS, *words.FOOD_NOUNS}
_PLACES = {*words.PLACES, *words.HOME_PLACES}
_INTRODUCTION = re.compile(r"\b(?:an?|the) (?:[a-z-]+ ){0,3}?([a-z]+) (?:named|called) ([A-Z][a-z]+)\b")
_INTRODUCTION_BY_NAME = re.compile(r"\b([A-Z][a-z]+) was an? (?:[a-z-]+ ){0,3}?(" + "|".join(words.KINDS) + r")\b")
_ENDING = re.compile(
    r"\bwas (?:happy|glad|proud) because\b"
    r"|from that day on|\blearned\b|\bknew (?:that|how)\b|never forgot|for ever|\bhapp(?:y|ier)\b|that night"
    r"|the end\b|\bfriends\b|\bnew friend\b|full of joy|with a smile|all day long|sweet(?:est)? dreams"
    r"|it even more|was proud|not afraid|out of the water|worth more|best medicine|came to visit|their secret|found out"
    r"|safely home|never lonely|moon was awake",
    re.IGNORECASE,
)
_ARTICLES = ("a", "an", "the", "this", "that")
_TITLE = re.compile(r"([A-Z][a-z]+) the ([a-z]+)(?: and the ([a-z -]+))?\n\n")
_WORD = re.compile(r"[A-Za-z][A-Za-z'-]*|[.,!?;:\"]")


class Reader:
    """Collects the facts of one text once, for all checks."""

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        # "Max the mouse and the red kite": it promises a hero and a thing, and is no sentence of the tale.
        title = _TITLE.match(self.text)
        self.title = title.groups()[:2] if title else None
        self.promised = title[3] if title else None
        if title:
            self.text = self.text[title.end() :]
        self.tokens = [(m.group(), m.start()) for m in _WORD.finditer(self.text)]
        self.reasons: list[str] = []
        self.characters: dict[str, tuple[str, int]] = {}  # name: (kind, where it was introduced)
        self.twice: list[str] = []
        found = [(m.start(2), m.group(2), m.group(1)) for m in _INTRODUCTION.finditer(self._lower_start())]
        found += [(m.start(1), m.group(1), m.group(2)) for m in _INTRODUCTION_BY_NAME.finditer(self.text)]
        for where, name, kind in sorted(found):
            if name not in self.characters:
                self.characters[name] = (kind, where)
            elif self.characters[name][0] != kind or "named" in self.text[max(0, where - 8) : where]:
                self.twice.append(name)
        # What is narrated, without what is spoken; a quotation leaves a gap.
        self.narrated = re.sub(r'"[^"]*"', " ", self.text)

    def _lower_start(self) -> str:
        return re.sub(r"\b(An?|The) ", lambda m: m.group().lower(), self.text)

    def fail(self, reason: str) -> str:
        self.reasons.append(reason)
        return FAIL

    # -- one method per check
    # ------------------------------------------------------------------------------------

    def hero(self) -> str:
        if not self.characters:
            return self.fail("hero: nobody is introduced as a ... named ...")
        name, (kind, where) = next(iter(self.characters.items()))
        if self.title not in (None, (name, kind)):
            return self.fail(f"hero: the title promises {' the '.join(self.title)}, the tale begins with {name}")
        if where > 150:
            return self.fail(f"hero: the first character, {name}, comes in late")
        last = max(self.text.rfind(again) for again in (name, f"the {kind}", f"little {kind}"))
        if last < 2 / 3 * len(self.text) or self.text.rfind(name) < len(self.text) / 2:
            return self.fail(f"hero: {name} is forgotten before the end")
        return PASS

    def names(self) -> str:
        if self.twice:
            return self.fail(f"names: {self.twice[0]} is introduced twice")
        previous = "."
        for word, where in self.tokens:
            inside = previous not in '.!?"'
            previous = word
            if not word[0].isupper() or word == "I":
                continue
            if word in _GENDER or inside:
                if word not in self.characters:
                    return self.fail(f"names: {word} comes from nowhere")
                if where < self.characters[word][1]:
                    return self.fail(f"names: {word} is named before being introduced")
        return PASS

    def kinds(self) -> str:
        known: set[str] = set()
        for name, kind in re.findall(r"\b([A-Z][a-z]+) the ([a-z]+)", self.text):
            if name in self.characters and kind in words.KINDS and kind != self.characters[name][0]:
                return self.fail(f"kinds: {name} is a {self.characters[name][0]}, not a {kind}")
        plain = [word.lower() for word, _ in self.tokens]
        for i, word in enumerate(plain):
            if word not in words.KINDS:
                continue
            before = plain[max(0, i - 4) : i]
            article = next((w for w in reversed(before) if w in _ARTICLES or not w[0].isalpha()), "")
            if article in ("a", "an"):
                known.add(word)
            elif word not in known:
                return self.fail(f"kinds: no {word} was introduced")
        return PASS if self.characters else NOT_APPLICABLE

    def pronouns(self) -> str:
        subject: str | None = None  # gender of the subject of the last sentence
        unknown: str | None = None  # its name, while the gender is still to be learned from the first pronoun
        genders = {name: _GENDER.get(name) for name in self.characters}
        of_kind = {kind: name for name, (kind, _) in self.characters.items()}
        seen = 0
        for sentence in re.split(r"[.!?]+|\n\n", self.narrated):
            people: list[str | None] = []
            pronouns: list[str] = []
            first: str | None = None
            tokens = re.findall(r"[A-Za-z]+", sentence)
            for before, token, after in zip(["", *tokens], tokens, [*tokens[1:], ""], strict=False):
                if token.lower() in ("his", "her") and after in words.ELDERS:
                    # "her uncle": the child is one of the named characters, and need not be the subject.
                    if None not in genders.values() and _PRONOUN[token.lower()] not in genders.values():
                        return self.fail(f"pronouns: {token!r} has nobody to stand for in {sentence.strip()!r}")
                elif token in genders:
                    people.append(genders[token])
                    first = first or "person"
                elif token.lower() in words.ELDERS:
                    people.append(words.ELDERS[token.lower()])
                    first = first or "person"
                elif before.lower() in ("the", "little") and token in words.KINDS:
                    if token in of_kind:
                        people.append(genders[of_kind[token]])
                    elif first is None:  # its pronoun is not known; later in a sentence he or she is another
                        people.append(None)
                    first = first or "person"
                elif token.lower() in _PRONOUN:
                    gender = _PRONOUN[token.lower()]
                    pronouns.append(gender)
                    if first is None:
                        first = "pronoun"
                        if unknown is not None:
                            subject = genders[unknown] = gender
                            unknown = None
                        if subject is not None and gender != subject:
                            return self.fail(f"pronouns: {token!r} does not fit in {sentence.strip()!r}")
            allowed = {*people, *([subject] if first == "pronoun" else [])}
            for gender in pronouns:
                seen += 1
                if allowed and None not in allowed and gender not in allowed:
                    return self.fail(f"pronouns: {gender!r} has nobody to stand for in {sentence.strip()!r}")
            if first == "person":
                subject = people[0]
                unknown = next((t for t in tokens if t in genders and genders[t] is None), None)
            elif subject is None and pronouns:
                subject = pronouns[0]
        if not self.characters:
            return self.fail("pronouns: nobody is introduced")
        return PASS if seen else NOT_APPLICABLE

    def mentions(self) -> list[tuple[str, str, str, int]]:
        """(noun, determiner, colour, where) for each thing or food of the lexicon."""
        found = []
        plain = [(word.lower(), where) for word, where in self.tokens]
        for i, (noun, where) in enumerate(plain):
            if noun not in _NOUNS:
                continue
            determiner = colour = ""
            for word, _ in reversed(plain[max(0, i - 4) : i]):
                if word in words.COLOURS and not colour:
                    colour = word
                elif word in (
                    "a",
                    "an",
                    "the",
                    "this",
                    "that",
                    "his",
                    "her",
                    "my",
                    "your",
                    "our",
                    "their",
                    "of",
                ):
                    determiner = word
                    break
                elif not word.isalpha() or word == "to":  # "to whistle" is no whistle
                    break
            if determiner:
                found.append((noun, determiner, colour, where))
        return found

    def things(self) -> str:
        if self.promised and self.promised not in self.text:
            return self.fail(f"things: the title promises a {self.promised}, which does not come")
        mentions = self.mentions()
        known: set[str] = set()
        colours: dict[str, str] = {}
        for noun, determiner, colour, _ in mentions:
            if determiner in ("the", "this", "that") and noun not in known:
                return self.fail(f"things: nobody said where the {noun} comes from")
            known.add(noun)
            if colour and colours.setdefault(noun, colour) != colour:
                return self.fail(f"things: the {noun} is {colours[noun]} and then {colour}")
        return PASS if mentions else NOT_APPLICABLE

    def comes_back(self) -> str:
        mentions = self.mentions()
        main = [m for m in mentions if m[0] in words.THINGS]
        if not main:
            return NOT_APPLICABLE
        noun = main[0][0]
        if max(m[3] for m in main if m[0] == noun) < len(self.text) / 2:
            return self.fail(f"return: the {noun} is forgotten")
        return PASS

    def places(self) -> str:
        early: set[str] = set()
        late = 0
        for (before, _), (word, where) in zip(self.tokens, self.tokens[1:], strict=False):
            if word in _PLACES and before.lower() in ("the", "a", "this", "that"):
                if where < 0.6 * len(self.text):
                    early.add(word)
                else:
                    late += 1
                    if word not in early:
                        return self.fail(f"places: the {word} comes from nowhere")
        return PASS if late else NOT_APPLICABLE

    def ending(self) -> str:
        if len(re.findall(r"[A-Za-z]+", self.text)) < MINIMUM_WORDS:
            return self.fail("ending: too short for a tale")
        if not re.search(r'[.!]"?$', self.text):
            return self.fail("ending: the text stops in the middle of a sentence")
        sentences = [s for s in re.split(r'(?<=[.!?])"? ', self.text.replace("\n", " ")) if s.strip()]
        if not _ENDING.search(" ".join(sentences[-3:])):
            return self.fail("ending: the tale stops without an ending")
        return PASS

    def form(self) -> str:
        for paragraph in self.text.split("\n\n"):
            if paragraph.count('"') % 2:
                return self.fail("form: a quotation is not closed")
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
