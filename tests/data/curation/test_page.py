"""The page shows the numbers, whole and escaped, and hangs together as HTML."""

import re
from html.parser import HTMLParser

import pytest

from llm_from_scratch.data.curation.chain import Chain
from llm_from_scratch.data.curation.gopher import GopherQuality
from llm_from_scratch.data.curation.normalisation import Normalise
from llm_from_scratch.data.curation.page import page
from llm_from_scratch.data.curation.pipeline import clean
from llm_from_scratch.data.curation.reading import Inputs
from llm_from_scratch.data.curation.remembering import Exact
from llm_from_scratch.data.curation.report import complete

EMPTY = {"area", "base", "br", "col", "hr", "img", "input", "line", "link", "meta", "rect"}


class Balanced(HTMLParser):
    """Notices tags that are not closed in the order of their opening."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.text = [], set(), ""

    def handle_starttag(self, tag, attributes):
        self.seen.add(tag)
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert tag in EMPTY or self.open.pop() == tag

    def handle_data(self, data):
        self.text += data if "style" not in self.open else ""


@pytest.fixture
def report(tmp_path):
    evil = '<script>alert("x")</script> & \u202eevil\x07'
    good = "The river of the night rose, and it was to be that we have it with the bridge. " * 5
    (tmp_path / "<i>.txt").write_text("<|endoftext|>".join([good, evil, good + "  \nmore", good]), encoding="utf-8")
    inputs, chain = Inputs([str(tmp_path)]), Chain((Normalise(), GopherQuality(), Exact()))
    numbers = clean(inputs, tmp_path.parent / "out.jsonl", chain)
    return complete({**numbers, "languages": [[1, "en", True], [2, "de", False], [3, "en", False]]}, inputs, chain)


def parsed(html):
    reader = Balanced()
    reader.feed(html)
    assert reader.open == []
    return reader


def test_it_is_one_file_without_a_script_in_it(report):
    html = page(report)
    reader = parsed(html)
    assert (
        "script" not in reader.seen and "svg" in reader.seen and not re.search(r'(?:src|href)="(?!report\.json")', html)
    )
    assert '<script>alert("x")</script> & ·evil' in reader.text and "<i>.txt" in reader.text
    assert 'name="viewport"' in html and "prefers-color-scheme: dark" in html


def test_it_says_what_happened(report):
    text = parsed(page(report)).text
    assert "50 %of the documents kept: 2 of 4" in text and "gopher removed most, 1 document" in text
    assert "words, fewer than 50" in text and "the text of an earlier document (number 1 of those kept)" in text
    assert "least_words=50" in text and "en2 67 %" in text and "de1 33 %" in text


def test_bars_of_the_funnel_are_shares_of_what_was_read(report):
    bars = r'width:([\d.]+)%"></i>\s*<i class="gone" style="width:([\d.]+)%'
    widths = [tuple(map(float, pair)) for pair in re.findall(bars, page(report))]
    assert widths[:4] == [(100, 0), (100, 0), (75, 25), (50, 25)]


def test_nothing_kept_and_nothing_skipped_is_a_page_too(report):
    for key in ("documents", "characters"):
        report[key]["kept"] = 0
    for histogram in report["histograms"].values():
        histogram["after"] = [0] * len(histogram["after"])
    report["languages"] = {}
    text = parsed(page(report)).text
    assert "0 %of the documents kept" in text and "Languages" not in text and "could not be read" not in text


def test_changes_are_marked_where_they_are(report):
    assert re.search(
        "bridge.<mark> +</mark>\nmore</pre><pre>[^<>]*bridge.\nmore</pre>", page(report)
    )  # spaces at an end
