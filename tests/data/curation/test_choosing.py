"""What is typed becomes the chain that was meant, or an error that says what there is."""

import dataclasses

import pytest

from llm_from_scratch.data.curation.choosing import PRESETS, RULES, choose, listed
from llm_from_scratch.data.curation.quality import QualityClassifier
from llm_from_scratch.data.curation.remembering import Exact, Near

NAMES = [rule.name for rule in RULES]


def test_order_is_that_of_the_rules_whatever_the_order_of_the_words():
    chain = choose("light", including=["personal", "c4", "language"], without=["exact"])
    assert chain.names == ["html", "normalise", "language", "c4", "personal", "near"]
    assert choose(including=["c4"], without=["near", "exact"]).remembering == []
    assert RULES[-2:] == (Exact, Near) and len(set(NAMES)) == len(NAMES)


def test_the_default_rewrites_nothing_but_spelling_and_people():
    assert set(choose().names) == {"html", "normalise", "gopher", "repetition", "personal", "exact", "near"}
    assert all(set(names) <= set(NAMES) for names in PRESETS.values())


@pytest.mark.parametrize(
    ("typed", "rule", "name", "value"),
    [
        ("gopher.least_words=20", "gopher", "least_words", 20),
        (" gopher.least_words = 20 ", "gopher", "least_words", 20),
        ("near.threshold=0.5", "near", "threshold", 0.5),
        ("repetition.top=0.3,0.2, 0.1", "repetition", "top", (0.3, 0.2, 0.1)),
        ("language.keep=de,fr", "language", "keep", ("de", "fr")),
        ("c4.braces=off", "c4", "braces", False),
        ("personal.phone=", "personal", "phone", ""),
        ("c4.bad_words=", "c4", "bad_words", ()),
    ],
)
def test_settings_as_they_are_typed(typed, rule, name, value):
    chain = choose(including=[rule], settings=[typed])
    assert getattr(chain.rule(rule), name) == value


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.name not in ("quality", "decontamination")])
def test_every_setting_of_every_rule_can_be_set_to_what_it_is(rule):
    made, settings = rule(), []
    for field in dataclasses.fields(rule):
        value = getattr(made, field.name)
        text = {True: "on", False: "off"}.get(value) if isinstance(value, bool) else value
        settings.append(f"{rule.name}.{field.name}={','.join(map(str, text)) if isinstance(text, tuple) else text}")
    assert choose(including=[rule.name], settings=settings).rule(rule.name) == made


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "c5"}, "there is no preset 'c5': expected one of default, light"),
        ({"without": ["gofer"]}, "there is no rule 'gofer': expected one of html"),
        ({"without": ["c4"], "including": ["c4"]}, "c4: with and without at once"),
        ({"settings": ["gopher"]}, "a setting is written rule.name=value"),
        ({"settings": ["gopher.words=1"]}, "the rule gopher has no setting 'words': expected one of least_words"),
        ({"settings": ["gopher.least_words=1.5"]}, "'gopher.least_words=1.5': expected a whole number"),
        ({"settings": ["gopher.least_words=-1"]}, "the rule gopher: least_words is -1"),
        ({"settings": ["near.threshold=nan"]}, "the rule near: threshold is"),
        ({"settings": ["c4.braces=maybe"], "including": ["c4"]}, "'c4.braces=maybe': expected on or off"),
        ({"settings": ["c4.braces=on"]}, "the rule c4 is off: switch it on"),
        ({"settings": ["exact.x=1"]}, "the rule exact has no setting 'x': expected one of none"),
        ({"including": ["quality"]}, "the rule quality has to be told its classifier"),
        ({"including": ["decontamination"]}, "add --evaluation FILE"),
        ({"without": ["html", "normalise", "exact", "near"], "preset": "light"}, "no rule is left"),
    ],
)
def test_mistakes(options, message):
    with pytest.raises(ValueError) as error:
        choose(**options)
    assert message in str(error.value)


def test_what_has_a_file_behind_it(tmp_path):
    import numpy as np

    QualityClassifier(np.ones(8, np.float32), 0.5).save(tmp_path / "q.safetensors")
    chain = choose(including=["quality"], settings=[f"quality.classifier={tmp_path / 'q.safetensors'}"])
    assert chain.identity()["quality"]["classifier"].startswith("8 weights, ")
    (tmp_path / "test.txt").write_text("one two three four five six seven eight nine", encoding="utf-8")
    other = choose(evaluation=[tmp_path / "test.txt"], settings=["decontamination.cut=on"])
    assert other.rule("decontamination").cut and other.identity()["decontamination"]["items"].startswith("1 texts, ")
    (tmp_path / "test.txt").write_text("one two three four five six seven eight ten", encoding="utf-8")
    assert (
        choose(evaluation=[tmp_path / "test.txt"], settings=["decontamination.cut=on"]).identity() != other.identity()
    )


def test_the_list_has_everything():
    rows = {row["name"]: row for row in listed()}
    assert list(rows) == NAMES and all(row["does"] for row in rows.values())
    assert rows["quality"]["settings"] == {"classifier": None, "least": 0.5}
    assert rows["near"]["settings"] == {"threshold": 0.8, "ngram": 5, "permutations": 128}
    assert rows["gopher"]["presets"] == ["default", "gopher", "refinedweb"]
