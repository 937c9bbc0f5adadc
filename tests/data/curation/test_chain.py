"""A chain knows its rules by name, and which of them remember."""

import pytest

from llm_from_scratch.data.curation.chain import Chain, plain
from llm_from_scratch.data.curation.gopher import GopherQuality
from llm_from_scratch.data.curation.html import Html
from llm_from_scratch.data.curation.normalisation import Normalise
from llm_from_scratch.data.curation.remembering import Exact, Near


def test_parts():
    chain = Chain((Html(), Normalise(), GopherQuality(), Exact(), Near(threshold=0.7)))
    assert chain.names == ["html", "normalise", "gopher", "exact", "near"]
    assert chain.remembering == [Exact(), Near(threshold=0.7)] and chain.rule("near").threshold == 0.7
    treatment = chain.treatment()
    assert treatment.extraction == Html() and treatment.rules == (Normalise(), GopherQuality())
    assert Chain((Normalise(),)).treatment().extraction is None
    assert chain.identity()["near"] == {"threshold": 0.7, "ngram": 5, "permutations": 128}


def test_rules_that_cannot_stand_together():
    with pytest.raises(ValueError, match="each rule once, got normalise, normalise"):
        Chain((Normalise(), Normalise()))
    with pytest.raises(ValueError, match="come after the others"):
        Chain((Exact(), Normalise()))


def test_settings_as_json():
    assert plain((1, 2)) == [1, 2] and plain(True) is True and plain({"a": "b"}).startswith("1 texts, ")
    assert plain({"a": "b"}) != plain({"a": "c"})
