"""Which language a text is in, by the library py3langid: character sequences weighed by a naive Bayes classifier.

Chosen by trial: on 48 sentences of 3 to 20 words in 16 languages, written for the comparison, py3langid named 46
rightly; Resiliparse's detector, which counts sequences without learned weights, 22, and gave no answer for most of
Chinese, Japanese, Korean and anything under five words. The two that py3langid missed were near relatives of the
language, with confidences of 0.38 and 0.13: hence `least`.
Source: Lui & Baldwin 2012, "langid.py" (ACL demonstrations); CCNet and RefinedWeb keep a document likewise when a
classifier's best language has at least 0.5 and 0.65.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from .pieces import check_number, check_strings, check_text
from .rule import Removed

SAMPLE = 4_000  # characters that are looked at: a few sentences suffice, and confidences hold for that length
UNDETERMINED = "und"  # ISO 639's code


def identify_language(text: str) -> tuple[str, float]:
    """(code of ISO 639, confidence from 0 to 1) of the language that a text is in, by its first characters.

    A text without letters is ("und", 0.0). Capitals alone are read as small letters. ImportError, with the command to
    install it, when py3langid is missing.

    >>> identify_language("Der Fluss war in der Nacht gestiegen.")[0]
    'de'
    >>> identify_language("3.14 ?!")
    ('und', 0.0)
    """
    sample = check_text("identify_language", text)[:SAMPLE].encode("utf-8", "replace").decode("utf-8")
    if not any(map(str.isalpha, sample)):
        return UNDETERMINED, 0.0
    code, confidence = _identifier().classify(sample)
    return str(code), float(confidence)


@functools.lru_cache(maxsize=1)
def _identifier() -> Any:  # unpacking its tables takes a second or more: once, when first used
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier  # here, for nothing else needs it
    except ImportError:
        raise ImportError("to identify languages, pip install py3langid (or llm_from_scratch[curation])") from None
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@dataclass(frozen=True)
class Language:
    """Keeps the texts in one of the languages `keep`, identified with a confidence of at least `least`.

    >>> Language(keep=("en", "fr"))("La rivière était montée pendant la nuit.")
    'La rivière était montée pendant la nuit.'
    >>> Language()("Der Fluss war in der Nacht gestiegen.")
    Removed(reason='its language is de, not en', shown='Der Fluss war in der Nacht gestiegen.')
    """

    keep: tuple[str, ...] = ("en",)
    least: float = 0.5
    name = "language"

    def __post_init__(self) -> None:
        keep = check_strings("language", "keep", self.keep)
        if not keep or not all(code.isascii() and code.isalpha() and code.islower() for code in keep):
            raise ValueError(f"language: keep is {self.keep!r}, expected codes such as ('en', 'de')")
        object.__setattr__(self, "keep", keep)
        check_number("language", "least", self.least, 0, 1)

    @property
    def does(self) -> str:
        return f"removes texts that are not in {' or '.join(self.keep)} with a confidence of {self.least:g} or more"

    def __call__(self, text: str) -> str | Removed:
        code, confidence = identify_language(text)
        if code not in self.keep:
            return Removed(f"its language is {code}, not {' or '.join(self.keep)}", text[:200])
        if confidence < self.least:
            return Removed(f"its language is {code} with a confidence of only {confidence:.2f}", text[:200])
        return text
