"""Bytes become a text, or say which of them are none."""

import json

import pytest

from llm_from_scratch.data.curation.records import HTML, JSON, TEXT, Decoded, Record, decoded, is_markup


def of(data, kind=TEXT, offset=0):
    return decoded(Record("here", "here", kind, data, offset, (0, 0, 0, 1)))


def test_text_is_taken_as_it_is():
    assert of("\ufeffcafé\r\nau\rlait\u2028".encode()) == Decoded("café\nau\nlait\u2028", False)
    assert of(b"<html><body>") == Decoded("<html><body>", True)


def test_a_row_keeps_its_other_entries():
    row = {"id": 7, "text": "one\r\ntwo", "meta": {"a": [1.5, None]}}
    assert of(json.dumps(row).encode(), JSON) == Decoded(row["text"], False, row)


@pytest.mark.parametrize(
    ("data", "kind", "expected"),
    [
        (b"caf\xe9", TEXT, ("not UTF-8", "byte 0xe9 at offset 103")),
        (b"ab\0", TEXT, ("binary", "byte 0x00 at offset 102")),
        (b'{"text": "\xff"}', JSON, ("not UTF-8", "byte 0xff at offset 110")),
        (b'{"text": "\\udc00"}', JSON, ("not UTF-8", "half a character (a lone surrogate)")),
        (b'{"text": "a", "b": "\\ud800"}', JSON, ("not UTF-8", "half a character (a lone surrogate)")),
        (b'{"text": "a",}', JSON, ("not JSON", "column 14: Expecting property name enclosed in double quotes")),
        (b'{"text": NaN}', JSON, ("not JSON", "NaN is no number in JSON")),
        (b"[" * 100_000, JSON, None),
        (b'["text"]', JSON, ("no text", 'expected an object with a text in the entry "text", got ["text"]')),
        (b'{"text": 5}', JSON, ("no text", 'expected a text in the entry "text", found 5')),
        (b'{"content": "a", "id": 1}', JSON, ("no text", 'expected a text in the entry "text", found content, id')),
        (b"{}", JSON, ("no text", 'expected a text in the entry "text", found an empty object')),
        (b'{"text": "a", "b": -1e999}', JSON, ("not JSON", "the number -1e999 is too large")),
        (b'{"text": ""}', JSON, ("no text", "it is empty")),
        (b'{"text": " \\n\\u00a0"}', JSON, ("no text", "it is white space alone")),
        (b"<p>\0", HTML, ("binary", "a zero in a page of HTML")),
    ],
)
def test_what_is_no_text(data, kind, expected):
    pytest.importorskip("resiliparse") if kind == HTML else None
    found = of(data, kind, offset=100)
    assert isinstance(found, tuple) and (found[0] == "not JSON" if expected is None else found == expected)


def test_encodings_are_told_by_their_marks():
    for encoding in ("UTF-16", "UTF-32"):
        data = "abc".encode(encoding)
        assert decoded(Record("a", "a", TEXT, data, 0, (0, 0, 0, 1)))[1] == f"{encoding}, not text: convert it to UTF-8"


def test_rows_may_begin_with_a_byte_order_mark():
    assert of(b'\xef\xbb\xbf{"text": "a"}', JSON) == Decoded("a", False, {"text": "a"})


def test_a_page_is_read_in_the_encoding_it_names():
    pytest.importorskip("resiliparse")
    page = '<meta charset="iso-8859-1"><p>café</p>'
    assert of(page.encode("latin-1"), HTML) == of(page.encode(), HTML) == Decoded(page, True)


@pytest.mark.parametrize(
    "page", ["<html>", " \n<!DOCTYPE html>", '<?xml version="1.0"?>\n<!-- a -->\n<HTML lang="en">']
)
def test_pages_are_known_by_their_beginning(page):
    assert is_markup(page)
    assert not is_markup("about " + page) and not is_markup("<htmlx>")


def test_many_comments_before_the_markup_are_passed_once():
    comments = "<!-- a -->\n" * 40 + "<!---->" * 500
    assert is_markup(comments[:4000] + "<html>") and not is_markup(comments[:4000] + "words")


def test_rows_that_can_be_read_and_not_be_written():
    kinds = set()
    for depth in range(100, 3000, 50):
        found = of(b'{"text": "a", "b": ' + b"[" * depth + b"]" * depth + b"}", JSON)
        kinds.add(type(found))
        if isinstance(found, Decoded):
            json.dumps(found.row)
        else:
            assert found[0] == "not JSON"
    assert kinds == {Decoded, tuple}
