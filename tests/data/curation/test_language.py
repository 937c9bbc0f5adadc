import sys

import pytest

from llm_from_scratch.data.curation import Language, Removed, identify_language, language

SENTENCES = {
    "en": "The river had risen in the night, and by morning the lower fields were under water.",
    "de": "Der Fluss war in der Nacht gestiegen, und am Morgen standen die unteren Felder unter Wasser.",
    "fr": "La rivière était montée pendant la nuit et, au matin, les champs étaient sous l'eau.",
    "es": "El río había crecido durante la noche y por la mañana los campos estaban bajo el agua.",
    "it": "Il fiume era salito durante la notte e al mattino i campi erano sott'acqua.",
    "pt": "O rio tinha subido durante a noite e de manhã os campos estavam debaixo de água.",
    "nl": "De rivier was 's nachts gestegen en 's ochtends stonden de velden onder water.",
    "pl": "Rzeka wezbrała w nocy, a rano dolne pola stały pod wodą.",
    "sv": "Floden hade stigit under natten och på morgonen stod fälten under vatten.",
    "fi": "Joki oli noussut yöllä, ja aamulla alapellot olivat veden alla.",
    "tr": "Nehir gece yükselmişti ve sabaha tarlalar su altında kalmıştı.",
    "ru": "За ночь река поднялась, и к утру нижние поля оказались под водой.",
    "ar": "ارتفع النهر في الليل، وفي الصباح كانت الحقول تحت الماء.",
    "zh": "夜里河水上涨，到了早晨，低处的田地都被淹没了。",
    "ja": "夜のうちに川の水かさが増し、朝には低い畑が水に浸かっていた。",
    "ko": "밤사이 강물이 불어 아침에는 아래쪽 밭이 물에 잠겼다.",
}


@pytest.mark.parametrize("code", SENTENCES)
def test_a_sentence_is_identified_with_confidence(code):
    found, confidence = identify_language(SENTENCES[code])
    assert found == code and 0.5 < confidence <= 1
    assert Language(keep=(code,))(SENTENCES[code]) == SENTENCES[code]
    assert isinstance(Language(keep=("eu",))(SENTENCES[code]), Removed)


@pytest.mark.parametrize("text", ["", "  \n", "12345", "?!", "🙂", "\ud800"])
def test_a_text_without_letters_has_no_language(text):
    assert identify_language(text) == ("und", 0.0)
    assert "language is und" in Language()(text).reason


def test_confidence_does_not_fall_with_the_length_of_a_text():
    assert identify_language(SENTENCES["en"] * 1000)[1] > 0.9


def test_only_the_beginning_is_looked_at(monkeypatch):
    seen = []

    class Identifier:
        def classify(self, text):
            seen.append(len(text))
            return "en", 1.0

    monkeypatch.setattr(language, "_identifier", Identifier)
    identify_language("word " * 2_000_000)
    assert seen == [language.SAMPLE]


def test_a_text_in_the_right_language_without_confidence_is_removed():
    code, confidence = identify_language("Ella cerró la puerta.")
    assert code == "es" and confidence < 0.99
    assert "confidence of only" in Language(keep=("es",), least=0.99)("Ella cerró la puerta.").reason


def test_a_missing_library_is_named_with_its_command(monkeypatch):
    language._identifier.cache_clear()
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    with pytest.raises(ImportError, match="pip install py3langid"):
        identify_language("words")


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"keep": "en"}, TypeError),
        ({"keep": ()}, ValueError),
        ({"keep": ("English",)}, ValueError),
        ({"keep": (3,)}, TypeError),
        ({"least": 1.5}, ValueError),
        ({"least": float("nan")}, ValueError),
        ({"least": True}, TypeError),
    ],
)
def test_settings_are_checked_when_made(settings, error):
    with pytest.raises(error, match="^language: "):
        Language(**settings)
