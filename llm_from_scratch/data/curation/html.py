"""Text out of HTML, by the library Resiliparse: markup, scripts and what surrounds a page's content fall away.

Compared on pages with lists, tables, preformatted text, entities and broken markup: Trafilatura finds a page's content
as well but brings a dozen dependencies, and Selectolax knows no content and keeps scripts. Resiliparse's own setting
main_content lost every list with bullets and took minutes for a hundred thousand nested elements; here the elements
that HTML has for surroundings (nav, aside, footer and so on) are left out by name, in time linear in the page.
Source: Bevendorff et al. 2018, "Elastic ChatNoir"; DCLM (Li et al. 2024, arXiv:2406.11794, 4.2) chose it.
"""

from __future__ import annotations

from dataclasses import dataclass

import regex

from .pieces import check_text
from .rule import Removed

MOST = 8_000_000  # characters of a page that are looked at; crawlers cut pages off earlier
SURROUNDINGS = (
    "nav", "aside", "footer", "form", "button", "select", "textarea", "dialog", "template", "svg", "canvas", "iframe",
    "[role=navigation]", "[role=banner]", "[role=contentinfo]", "[role=search]", "[role=dialog]",
)  # fmt: skip
HEADERS = "header:not(article header)"  # an article's own header holds its title
_MOST_HEADERS = 1000  # to look for an article around each takes time with the depth of the page
_NONE = tuple(f"[style*='display{colon}none' i]" for colon in (":", ": ", " :", " : "))
HIDDEN = ("[hidden]", "[aria-hidden=true]", *_NONE)
# A tag with its attributes; what is in quotes may hold any sign. It never fails after two signs: linear in the page.
_TAG = regex.compile(r"""<([a-zA-Z][^\s/>]*+)(?:=\s*+"[^"]*+"?|=\s*+'[^']*+'?|[^<>=]++|=)*+>?""")
_MISSING = "to read HTML, pip install resiliparse (or llm_from_scratch[curation])"
_LONG_TAG = 8192  # characters; a thousand attributes are one parser's quadratic time, and a data: image is no text


def decode_html(html: bytes) -> str:
    """A page's bytes as characters: of UTF-8 if they are that, else as the page declares, else as they look like.

    >>> decode_html('<meta charset="koi8-r"><p>Привет</p>'.encode("koi8-r"))
    '<meta charset="koi8-r"><p>Привет</p>'
    """
    if not isinstance(html, (bytes, bytearray)):
        raise TypeError(f"a page is bytes or a str, got {type(html).__name__}")
    data = bytes(html)
    if not (b"\x1b" in data or b"\x00" in data or data.startswith((b"\xff\xfe", b"\xfe\xff"))):
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            pass  # no mistake yet: it is in another encoding, or damaged UTF-8, and what follows reads either
    try:
        from resiliparse.parse.encoding import bytes_to_str, detect_encoding  # here, for nothing else needs it
    except ImportError:
        raise ImportError(_MISSING) from None
    name = detect_encoding(data, from_html_meta=True) or "utf-8"
    return bytes_to_str(data, name, errors="replace").removeprefix("\ufeff")


def extract_text(html: bytes | str, *, surroundings: bool = False) -> str:
    """The text of a page, with a blank line between paragraphs; empty if it has none.

    surroundings: keep navigation, forms, footers and the like, too. Scripts, styles, comments, hidden elements and the
    texts of images are always left out. Damaged markup is read as a browser would.

    ImportError, with the command to install it, when Resiliparse is missing.

    >>> extract_text("<nav>Home</nav><p>Caf&eacute; <b>open</b><script>x()</script><ul><li>one<li>two</ul>")
    'Café open\\n\\n  • one\\n  • two'
    """
    page = decode_html(html) if not isinstance(html, str) else html
    try:
        from resiliparse.extract.html2text import extract_plain_text  # here, for nothing else needs it
    except ImportError:
        raise ImportError(_MISSING) from None
    page = _TAG.sub(_shorter, page[:MOST].encode("utf-8", "replace").decode("utf-8"))  # lone surrogates: ?
    skipped = list(HIDDEN)
    if not surroundings:
        skipped += [*SURROUNDINGS, HEADERS if page.lower().count("<header") <= _MOST_HEADERS else "header"]
    text: str = extract_plain_text(page, preserve_formatting=True, alt_texts=False, skip_elements=skipped)
    return "\n".join(line.rstrip() for line in text.replace("\r\n", "\n").split("\n")).strip("\n")


def _shorter(tag: regex.Match[str]) -> str:
    whole = tag[0]
    return whole if len(whole) <= _LONG_TAG else f"<{tag[1][:64]}>"


@dataclass(frozen=True)
class Html:
    """The rule: HTML in, text out; a page without text is removed.

    >>> Html()("<title>Only this</title>")
    Removed(reason='the page has no text', shown='<title>Only this</title>')
    """

    surroundings: bool = False
    name = "html"
    does = "takes the text out of HTML; leaves out scripts, hidden parts, navigation, forms and footers"

    def __post_init__(self) -> None:
        if not isinstance(self.surroundings, bool):
            raise TypeError(f"html: surroundings is {self.surroundings!r}, expected True or False")

    def __call__(self, text: str) -> str | Removed:
        found = extract_text(check_text("html", text), surroundings=self.surroundings)
        return found if found.strip() else Removed("the page has no text", text[:200])
