"""Two files with the same numbers."""

import json

from llm_from_scratch.data.curation.chain import Chain
from llm_from_scratch.data.curation.gopher import GopherQuality
from llm_from_scratch.data.curation.pipeline import clean
from llm_from_scratch.data.curation.reading import Inputs
from llm_from_scratch.data.curation.report import complete, write_report


def test_files_and_rules_in_order(tmp_path):
    inputs, chain = Inputs(["tales:5"]), Chain((GopherQuality(least_words=1),))
    report = complete(clean(inputs, tmp_path / "out.jsonl", chain), inputs, chain)
    path = write_report(tmp_path / "deep" / "report", report)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    kept = json.loads((path.parent / "report.json").read_text(encoding="utf-8"))
    assert kept == json.loads(json.dumps(report))
    assert [rule["name"] for rule in kept["rules"]] == ["gopher"] and kept["rules"][0]["settings"]["least_words"] == 1
    assert kept["rules"][0]["does"] and kept["documents"] == {"read": 5, "kept": 5} and kept["inputs"] == ["tales:5"]


def test_languages_become_counts(tmp_path):
    inputs, chain = Inputs(["tales:2"]), Chain((GopherQuality(least_words=1),))
    numbers = clean(inputs, tmp_path / "out.jsonl", chain)
    sample = [[1, "en", True], [2, "fr", False], [3, "en", False]]
    counts = complete({**numbers, "languages": sample}, inputs, chain)["languages"]
    assert counts == {"en": {"read": 2, "kept": 1}, "fr": {"read": 1, "kept": 0}}
