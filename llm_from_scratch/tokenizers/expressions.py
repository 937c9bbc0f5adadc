r"""Regular expressions of `tokenizer.json`, written for Oniguruma and read here by the library `regex`.

Most of the syntax is the same. What differs is translated where it is a matter of spelling (`\h`), and refused where a
pattern would compile and mean something else.
"""

from __future__ import annotations

import functools

import regex

# A set inside a set ("[^(\s|[.,!?])]", BLOOM) is a union for Oniguruma, and for `regex` only in its second version of
# the syntax.
_NESTED_SET = regex.compile(r"(?<!\\)(?:\\\\)*\[\^?(?:[^\]\[\\]|\\.)+\[(?!:)")
_SYNTAX = regex.compile(
    r"\\x\{(?P<code>[0-9A-Fa-f]{1,8})\}|\\(?P<escaped>.)|(?P<posix>\[:\^?[a-z]+:\])|(?P<opening>\[)\^?\]?|(?P<closing>\])"
    r"|(?P<group>\(\?[a-zA-Z-]*[:)])|(?P<repeated>\{[0-9,]+\}\+)|(?P<operator>&&|\|\||--|~~)",
    regex.DOTALL,
)
_HEX = {"h": "0-9A-Fa-f", "H": "^0-9A-Fa-f"}
# Oniguruma's letters of words; outside a set these six count, too.
_WORD, _LATIN = r"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}", "²³¹¼½¾"
_ELSE = {"Z": r"(?=\n?\Z)", "z": r"\Z", "w": f"[{_WORD}{_LATIN}]", "W": f"[^{_WORD}{_LATIN}]"}
_POSIX = {"[:digit:]": r"\d", "[:alnum:]": r"\p{Alphabetic}\p{Nd}", "[:word:]": _WORD}
_SAME = frozenset(f"[:{name}:]" for name in "alpha upper lower space xdigit cntrl".split())
_REFUSED = frozenset("KRXGyYOgkmM")  # commands of one library only


def escape(text: str) -> str:
    """A pattern that matches this string."""
    return regex.escape(text, special_only=True)


@functools.cache
def compile_pattern(pattern: str) -> regex.Pattern:
    r"""Compile a pattern with the meaning it has in `tokenizer.json`: `^` and `$` match at line ends, sets may nest.

    Raises ValueError for a pattern that `regex` cannot read, or reads otherwise.

    >>> compile_pattern(r" ?[^(\s|[.,!?])]+").findall("Hello (world)!")
    ['Hello', 'world']
    >>> compile_pattern(r"0x\h+").findall("0x1F, 0xyz")
    ['0x1F']
    """
    flags = regex.MULTILINE
    translated = _translate(pattern)
    if _NESTED_SET.search(translated):
        flags |= regex.V1
        # V1 would also match ﬁ for fi
        translated = "(?-f)" + translated if "(?i" in translated else translated
    try:
        return regex.compile(translated, flags)
    except (regex.error, RecursionError, OverflowError) as error:
        raise ValueError(f"the pattern {pattern!r:.200} is not a valid regular expression: {error}") from None


def _translate(pattern: str) -> str:
    r"""Spell out `\h`, `\H` (hexadecimal), `\w`, `\W`, `\z`, `\Z`, `\x{...}`, `(?m)`; refuse what else differs."""
    depth = 0  # of sets

    def spell(match: regex.Match) -> str:
        nonlocal depth
        kind, found = match.lastgroup, match[0]
        if kind == "opening":
            depth += 1
        elif kind == "posix" and depth and found not in _SAME:
            if found not in _POSIX:
                raise ValueError(f"the pattern {pattern!r:.200} uses {found}, which is not supported")
            return _POSIX[found]
        elif kind == "closing":
            depth = max(0, depth - 1)
        elif kind == "code":
            return f"\\U{int(match['code'], 16):08X}"
        elif kind == "escaped" and match["escaped"] in _HEX and not (depth and match["escaped"] == "H"):
            letters = _HEX[match["escaped"]]
            return letters if depth else f"[{letters}]"
        elif kind == "escaped" and match["escaped"] == "w" and depth:
            return _WORD
        elif kind == "escaped" and not depth and match["escaped"] in _ELSE:
            return _ELSE[match["escaped"]]
        elif found == "(?m)" and "." not in pattern:
            return ""  # there it concerns full stops only, here `compile_pattern` always sets it
        elif kind == "group" and not depth:
            # Oniguruma's m lets a full stop match a line end; settings for the rest of a group are another thing there.
            if set(found[2:-1]) - set("imx-") or (found.endswith(")") and match.start()):
                raise ValueError(f"the pattern {pattern!r:.200} sets {found!r}, which is not supported")
            return found.replace("m", "s")
        elif kind == "escaped" and (match["escaped"] in _REFUSED or match["escaped"] in _HEX):
            raise ValueError(f"the pattern {pattern!r:.200} uses \\{match['escaped']}, which is not supported")
        elif (kind == "repeated" and not depth) or (kind == "operator" and depth):
            raise ValueError(f"the pattern {pattern!r:.200} uses {found!r}, which is not supported")
        return found

    return _SYNTAX.sub(spell, pattern)
