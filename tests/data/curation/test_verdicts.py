import json
import runpy
from pathlib import Path

import pytest

from llm_from_scratch.data.curation import C4, GopherQuality, GopherRepetition, Removed

HERE = Path(__file__).parent
DOCUMENTS = runpy.run_path(str(HERE / "make_filter_verdicts.py"))
FROZEN = json.loads((HERE / "fixtures" / "filter_verdicts.json").read_text(encoding="utf-8"))

# Where we follow the papers and datatrove does not, or where they are silent: what each of the two does.
DIFFERENT = {
    "gopher": {
        "capital stop words": "a stop word in capitals is one here, not there",
        "blank lines": "blank lines are no lines here, there they make bullets fewer",
    },
    "repetition": {
        "2 of 10 paragraphs": "a run of words that stands there once is no repetition here, but there",
    },
    "c4": {
        "ends": "an end quotation mark may be curly, as in the paper; there it may be an apostrophe",
        "citations": "what a citation mark leaves at a line's end is stripped here; there the line ends in a space",
        "brace in a line that goes": "the paper: any page with a curly bracket; there only in lines that stay",
        "filler in a line that goes": "the paper: any page where the phrase appeared; there only in lines that stay",
        "nothing": "a page of which nothing is left is removed here; there the limit on sentences would do it",
    },
}


@pytest.mark.parametrize(
    "rule", [GopherQuality(), GopherRepetition(), C4(least_sentences=0)], ids=lambda rule: rule.name
)
def test_verdicts_are_datatroves_but_for_the_differences_that_are_named(rule):
    documents = DOCUMENTS[rule.name.upper()]
    assert documents.keys() == FROZEN[rule.name].keys()
    found = set()
    for label, text in documents.items():
        theirs, ours = FROZEN[rule.name][label], rule(text)
        assert "error" not in theirs, label
        if "removed" in theirs or isinstance(ours, Removed):
            same = "removed" in theirs and isinstance(ours, Removed)
        else:
            same = ours == theirs.get("text", text)
        found |= set() if same else {label}
    assert found == DIFFERENT[rule.name].keys()


def test_the_documents_stand_on_both_sides_of_every_rule():
    assert {said.get("removed") for said in FROZEN["gopher"].values()} == {
        None, "gopher_short_doc", "gopher_long_doc", "gopher_below_avg_threshold", "gopher_above_avg_threshold",
        "gopher_too_many_hashes", "gopher_too_many_ellipsis", "gopher_too_many_bullets",
        "gopher_too_many_end_ellipsis", "gopher_below_alpha_threshold", "gopher_enough_stop_words",
    }  # fmt: skip
