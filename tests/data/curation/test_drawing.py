"""Bars stand where the numbers say, and nothing is drawn of nothing."""

import re
import xml.etree.ElementTree as ET

from llm_from_scratch.data.curation.drawing import histogram, middle


def bars(picture, kind):
    return [
        (float(rect.get("x")), float(rect.get("width")), float(rect.get("height")))
        for rect in ET.fromstring(picture).iter("rect")
        if rect.get("class") == kind
    ]


def test_heights_are_counts_and_a_bar_stands_between_its_edges():
    picture = histogram("words", [1, 10, 100, 1000], [0, 4, 8, 0, 2], [0, 4, 2, 0, 0], "words & more")
    before, after = bars(picture, "before"), bars(picture, "after")
    assert [height / before[1][2] for *_, height in before] == [0.5, 1.0, 0.25]
    assert [height / before[1][2] for *_, height in after] == [0.5, 0.25]
    edges = {text.text: float(text.get("x")) for text in ET.fromstring(picture).iter("text")}
    assert edges["10"] < before[1][0] < before[1][0] + before[1][1] < edges["100"]
    assert "words &amp; more" in picture


def test_few_documents_show_and_none_draw_nothing():
    tiny = histogram("words", [1, 2], [1, 10_000, 0], [1, 0, 0], "words")
    assert min(height for *_, height in bars(tiny, "before")) == 1.0
    assert histogram("words", [1, 2], [0, 0, 0], [0, 0, 0], "words") == ""


def test_the_alternative_text_says_what_the_picture_shows():
    label = re.search('aria-label="(.*?)"', histogram("<words>", [1, 10, 100], [0, 3, 1, 0], [0, 0, 1, 0], "w"))[1]
    assert label == "&lt;words&gt; of the middle document: 1 to 10 before cleaning, 10 to 100 after"


def test_middle():
    assert middle([1, 2], [5, 1, 1]) == "below 1" and middle([1, 2], [0, 0, 1]) == "2 or more"
