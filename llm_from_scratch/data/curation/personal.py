"""Personal data masked: addresses of e-mail, of the internet protocol (4 and 6), and telephone numbers.

Each is found by its form and replaced by a placeholder; nothing is looked up, so an address made up for a story goes
as well, and a name or a street stays. The forms are those of RFC 5321 (without quoted names), RFC 791 and 4291, and
E.164 as it is commonly written; a number that may as well be a version, a date, a price, an ISBN or a decimal stays.
Practice of 2023: Laurençon et al., "The BigScience ROOTS corpus", arXiv:2303.03915, section 3; Soldaini et al.,
"Dolma", arXiv:2402.00159, section 5.3.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass

import regex

from .pieces import check_text

EMAIL, IP, PHONE = "|||EMAIL_ADDRESS|||", "|||IP_ADDRESS|||", "|||PHONE_NUMBER|||"

_DOMAIN = regex.compile(r"@(?:\w(?:[\w-]{0,62}\w)?\.){1,127}(?:xn--[\w-]{1,59}|[^\W\d_]{2,63})(?!_*[^\W_]|@)")
_LOCAL_BACKWARDS = regex.compile(r"[\w.+%'-]{0,63}[\w+]")  # it is read from the @ to the left
_SPACE, _HYPHEN = re.compile("[\u00a0\u2007\u2009\u202f]"), re.compile("(?<=[0-9)])[\u2010-\u2013](?=[0-9])")
_SEVEN_DIGITS = re.compile(r"[0-9](?:[^0-9]{0,3}[0-9]){6}")
_PASSES = 8
_SAFE = re.compile(r"[|<>\[\]{}*\s]+[A-Za-z_ ]*[|<>\[\]{}*\s]+")
# Neither before nor after a letter or digit; underscores in between are a name's (_x), around it they are emphasis.
_NO_WORD_BEFORE, _NO_WORD_AFTER = r"(?<![^\W_]_{0,3})", r"(?!_{0,3}[^\W_])"
_OCTET = r"(?:25[0-5]|2[0-4]\d|[01]?\d?\d)"
_FOUR = rf"(?:{_OCTET}\.){{3}}{_OCTET}"
# After a hyphen only as the end of a range; before a comma and a digit unless it is a number with points for thousands.
_IPV4 = regex.compile(
    rf"(?=\d){_NO_WORD_BEFORE}(?<!\d\.|(?<!{_FOUR})-|[A-Za-z]/"
    r"|\b(?:versions?|ver|releases?|builds?|sections?|chapters?|v)[.:=]?\s{0,2})"
    rf"(?>{_FOUR}){_NO_WORD_AFTER}(?!-(?!{_FOUR})|\.\d|(?<=(?:\.\d{{3}}){{3}}),\d)",
    regex.IGNORECASE | regex.ASCII,
)
# After a colon only if that ends a label ("IPv6:"); not as an index in brackets.
_IPV6 = regex.compile(
    rf"{_NO_WORD_BEFORE}(?<![.]|[\w\])]\[|(?<![G-Zg-z]\w{{0,15}}):)(?=[0-9A-Fa-f]{{0,4}}:)"
    rf"[0-9A-Fa-f:.]+(?!:){_NO_WORD_AFTER}",
    regex.ASCII,
)
_NO_IPV6 = re.compile(r"(?:\w\w:){7}\w\w|\d{0,3}::(?!1$)\d{1,3}")  # a long hardware address; a slice of code
# Not after a letter, a currency, part of a number or of an address, unless that was masked just now (\G); not before
# more of a number.
_BEFORE = (
    rf"(?:(?=[+(\d]){_NO_WORD_BEFORE}(?<![$€£¥=#+@-]|(?<![ .)-]\d{{4}})/|\d[.:\s]|\d,(?![+(]|\d{{3}}[.-]\d{{3}}[.-])"
    r"|\b(?:ISBN|ISSN|DOI|(?<!\b(?:phone|telephone|tel|mobile|cell|fax|contact)\.?\s)No)(?:-1[03])?[.:]?\s{0,2})"
    r"|\G(?P<gap>\s?))"
)
_AFTER = rf"{_NO_WORD_AFTER}(?![%€£¥@]|[.:-]\d|(?<![ .)-]\d{{4}})[,/]\d)"
_PHONE = regex.compile(
    _BEFORE
    + r"""(?>
      (?!\+\s?\d{1,3}(?:[ .]000)+(?!\d))                                # +1 000 000
      \+\s?[1-9]\d{0,2}(?:[ ./-]?\(\d{1,5}\)|)(?:[ ./-]{0,2}\d){6,13}  # +49 30 1234567, +44 (0)20 7946 0958
    | (?:00|011[ -])[1-9]\d{0,2}[ /-](?:[ ./-]?\d){7,12}                # 0049 30 1234567, 011 44 20 7946 0958
    | (?:1[ .-]?)?\([2-9]\d\d\)[ .-]?\d{3}[ .-]?\d{4}                   # (283) 182-3829, (283)-182-3829
    | \([2-9]\d\d\)[ .-]?\d{3}[ .-]?\d{4}
    | (?:1[ .-])?[2-9]\d\d(?P<s>[ .-])\d{3}(?P=s)\d{4}                  # 1-283-182-3829
    | [2-9]\d{9}(?<!0000)                                               # 2831823829, but no round number
    | \(0\d{1,4}\)[ ]?\d{2,4}(?:[ -]?\d{2,4}){1,2}                      # (020) 7946 0958
    | 0[1-9](?:\.\d\d){4}                                               # 01.23.45.67.89
    | (?!\d\d(?:[ /-]\d\d){5}|\d{5}-\d{4}(?!\d))                         # no hardware address, no ZIP code
      (?!\d\d(?P<d>[ /-])\d\d(?P=d)(?:19|20)\d\d(?!\d))                 # no date
      (?:0[1-9]\d{0,3}(?P<t>[ /-])\d{2,8}(?:(?P=t)\d{2,4}){0,4}         # 01 23 45 67 89, 030/1234567
      | 0[1-9]\d{1,3}/\d{2,4}(?:[ -]\d{2,4}){1,3})                      # 030/123 45 67
      (?<=(?<!\d[ /-]?)0(?:[ /-]?\d){8,11})
    )(?:\s?(?:x|ext\.?|extension)\s?\d{1,5})?"""
    + _AFTER,
    regex.VERBOSE | regex.IGNORECASE | regex.ASCII,
)


def mask_emails(text: str, placeholder: str = EMAIL) -> tuple[str, int]:
    """(the text with each e-mail address replaced, how many there were).

    >>> mask_emails("Write to ada.l+news@mail.example.org, not @ada.")
    ('Write to |||EMAIL_ADDRESS|||, not @ada.', 1)
    """
    return _until_none(_emails, check_text("mask_emails", text), placeholder)


def _emails(text: str, placeholder: str) -> tuple[str, int]:
    pieces: list[str] = []
    done = count = 0
    for found in _DOMAIN.finditer(text) if "@" in text else ():
        before = text[max(done, found.start() - 64) : found.start()]
        if local := _LOCAL_BACKWARDS.match(before[::-1]):
            begin = found.start() - local.end()
            pieces += [text[done:begin], placeholder]
            done, count = found.end(), count + 1
    return "".join([*pieces, text[done:]]), count


def mask_ips(text: str, placeholder: str = IP) -> tuple[str, int]:
    """(the text with each address of IPv4 and IPv6 replaced, how many there were). Ports and masks stay.

    >>> mask_ips("From 192.0.2.146:8080 and 2001:db8::7; version 1.2.3.4 of 10:30:45")
    ('From |||IP_ADDRESS|||:8080 and |||IP_ADDRESS|||; version 1.2.3.4 of 10:30:45', 2)
    """
    return _until_none(_ips, check_text("mask_ips", text), placeholder)


def _ips(text: str, placeholder: str) -> tuple[str, int]:
    count = 0

    def of_six(found: regex.Match[str]) -> str:
        nonlocal count
        address = found[0].rstrip(".")
        if address.endswith(":") and not address.endswith("::"):
            address = address[:-1]
        if not _is_ipv6(address):
            return found[0]
        count += 1
        return placeholder + found[0][len(address) :]

    text = _IPV6.sub(of_six, text) if text.count(":") > 1 else text
    text, of_four = _IPV4.subn(lambda _: placeholder, text)
    return text, count + of_four


def mask_phones(text: str, placeholder: str = PHONE) -> tuple[str, int]:
    """(the text with each telephone number replaced, how many there were).

    >>> mask_phones("Call (283) 182-3829 or +44 20 7946 0958 before 2023-11-28 for 1,299.00")
    ('Call |||PHONE_NUMBER||| or |||PHONE_NUMBER||| before 2023-11-28 for 1,299.00', 2)
    """
    return _until_none(_phones, check_text("mask_phones", text), placeholder)


def _phones(text: str, placeholder: str) -> tuple[str, int]:
    if not _SEVEN_DIGITS.search(text):  # as in most texts: told at once
        return text, 0
    pieces: list[str] = []
    done = count = 0
    plain = text if text.isascii() else _HYPHEN.sub("-", _SPACE.sub(" ", text))  # of the same length
    for found in _PHONE.finditer(plain):
        begin = found.end("gap") if found["gap"] else found.start()
        pieces += [text[done:begin], placeholder]
        done, count = found.end(), count + 1
    return "".join([*pieces, text[done:]]), count


def _until_none(mask: Callable[[str, str], tuple[str, int]], text: str, placeholder: str) -> tuple[str, int]:
    """Mask again what stands free now that its neighbour is masked; a few times, so that no text takes for ever."""
    total = 0
    for _ in range(_PASSES):
        text, count = mask(text, placeholder)
        total += count
        if not count:
            break
    return text, total


def _is_ipv6(address: str) -> bool:
    if not 3 <= len(address) <= 45 or not any(map(str.isdigit, address)):  # "::" and "a::b" are code
        return False
    if _NO_IPV6.fullmatch(address):
        return False
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class MaskPersonal:
    """Replaces addresses and telephone numbers by the placeholders given; an empty placeholder leaves that kind alone.

    >>> MaskPersonal(phone="")("ada@example.org, 283-182-3829")
    '|||EMAIL_ADDRESS|||, 283-182-3829'
    """

    email: str = EMAIL
    ip: str = IP
    phone: str = PHONE
    name = "personal"
    does = "replaces e-mail and IP addresses and telephone numbers by placeholders"

    def __post_init__(self) -> None:
        for setting in ("email", "ip", "phone"):
            placeholder = getattr(self, setting)
            if not isinstance(placeholder, str):
                raise TypeError(f"personal: {setting} is {placeholder!r}, expected a placeholder such as {EMAIL!r}")
            if placeholder and not _SAFE.fullmatch(placeholder):
                raise ValueError(
                    f"personal: the placeholder {placeholder!r} could be taken for an address: expected letters "
                    f"and underscores between two signs, such as {EMAIL!r} or '<email>'"
                )

    def __call__(self, text: str) -> str:
        check_text("personal", text)
        kinds = ((_emails, self.email), (_ips, self.ip), (_phones, self.phone))
        for _ in range(_PASSES):
            total = 0
            for mask, placeholder in kinds:
                if placeholder:
                    text, count = mask(text, placeholder)
                    total += count
            if not total:
                break
        return text
