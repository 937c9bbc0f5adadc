"""Documents come whole, in order, from any place on, whatever the files are and however they are read."""

import gzip
import os
import random
import sys

import pytest

from llm_from_scratch.data.curation import reading
from llm_from_scratch.data.curation.reading import START, Inputs
from llm_from_scratch.data.curation.records import JSON, Record, Skipped, decoded


def read(*names, after=START, **settings):
    return list(Inputs([str(name) for name in names], **settings).read(after))


def texts(*names, **settings):
    return [item.data.decode() for item in read(*names, **settings) if isinstance(item, Record)]


def skipped(*names, **settings):
    return [(item.reason, item.detail) for item in read(*names, **settings) if isinstance(item, Skipped)]


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(reading, "_BLOCK", 7)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_text_is_one_document_or_what_stands_between_delimiters(tmp_path):
    assert texts(write(tmp_path / "play.txt", "To be\n\nor not")) == ["To be\n\nor not"]
    several = write(tmp_path / "several.txt", "one<|endoftext|>\n<|endoftext|>two\n\nlines<|endoftext|>")
    assert texts(several) == ["one", "two\n\nlines"]
    assert texts(several, split="paragraph") == ["one<|endoftext|>\n<|endoftext|>two", "lines<|endoftext|>"]
    assert texts(several, split="line") == ["one<|endoftext|>", "<|endoftext|>two", "lines<|endoftext|>"]


def test_paragraphs_end_at_empty_lines_of_any_kind(tmp_path):
    path = write(tmp_path / "a.txt", "a\nb\n\nc\r\n\r\nd\n \t \n\n\n\ne\n")
    assert [text.strip() for text in texts(path, split="paragraph")] == ["a\nb", "c", "d", "e"]


@pytest.mark.parametrize("split", ["document", "paragraph", "line"])
def test_pieces_do_not_depend_on_blocks_nor_on_where_reading_begins(tmp_path, monkeypatch, split):
    rng = random.Random(0)
    parts = ["<|endoftext|>", "<|endof", "\n", "\n\n", " \n", "word", "longer words ", "x" * 300, "\r\n", "é"]
    path = write(tmp_path / "a.txt", "".join(rng.choice(parts) for _ in range(3000)))
    whole = read(path, split=split, longest=1000)
    assert len(whole) > 20 and {type(item) for item in whole} == {Record, Skipped}
    for size in (13, 64, 1001):
        monkeypatch.setattr(reading, "_BLOCK", size)
        assert read(path, split=split, longest=1000) == whole
        for place in range(0, len(whole), 7):
            assert read(path, split=split, longest=1000, after=whole[place].cursor) == whole[place + 1 :]


def test_going_on_from_each_place_of_every_kind_of_input(tmp_path):
    write(tmp_path / "in/a.jsonl", '{"text": "one"}\n\n{"text": "two"}\n')
    write(tmp_path / "in/b/page.html", "<p>three</p>")
    write(tmp_path / "in/c.txt.gz", gzip.compress(b"four<|endoftext|>five"))
    write(tmp_path / "in/d.bin", b"\0\1")
    names = ("tales:3", tmp_path / "in", "tales:2")
    whole = read(*names, split="paragraph")
    assert len({item.place for item in whole}) == len(whole) > 10
    for place, item in enumerate(whole):
        assert read(*names, split="paragraph", after=item.cursor) == whole[place + 1 :]


def test_a_long_text_is_cut_at_line_ends_and_an_enormous_line_skipped(tmp_path, small_blocks):
    lines = "".join(f"line {number:4}\n" for number in range(300))
    path = write(tmp_path / "a.txt", lines + "x" * 5000 + "\nafter\n<|endoftext|>" + "y" * 3000)
    pieces = texts(path, longest=1000)
    assert "".join(pieces) == lines + "after\n" and max(map(len, pieces)) <= 1000
    assert all(piece.endswith("\n") for piece in pieces)
    assert skipped(path, longest=1000) == [
        ("too long a line", "5,001 bytes, more than the 1,000 that a document may have"),
        ("too long a line", "3,000 bytes, more than the 1,000 that a document may have"),
    ]


def test_an_enormous_line_is_never_held(tmp_path, monkeypatch):
    path = write(tmp_path / "a.jsonl", b'{"text": "' + b"x" * 3_000_000 + b'"}\n{"text": "after"}\n')
    monkeypatch.setattr(reading, "_BLOCK", 4096)
    held = []
    original = reading._open

    class Watched:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def seek(self, place):
            self.file.seek(place)

        def read(self, size):
            held.append(size)
            return self.file.read(size)

    monkeypatch.setattr(reading, "_open", lambda path: Watched(original(path)))
    found = read(path, longest=5000)
    assert [type(item) for item in found] == [Skipped, Record] and found[0].size == 3_000_013
    assert max(held) <= 8192 and len(held) > 700


def test_files_of_a_folder_in_order_without_hidden_ones(tmp_path):
    for name in ("b.txt", "a/z.txt", "a.txt", ".hidden", ".git/config"):
        write(tmp_path / name, name)
    os.symlink(tmp_path / "missing", tmp_path / "dangling.txt")
    found = read(tmp_path)
    assert [item.data.decode() for item in found] == ["a/z.txt", "a.txt", "b.txt"]
    assert [item.origin for item in found] == [str(tmp_path / "a"), str(tmp_path / "*.txt"), str(tmp_path / "*.txt")]


def test_a_folder_that_cannot_be_listed_is_not_passed_over(tmp_path, monkeypatch):
    write(tmp_path / "a.txt", "a")
    write(tmp_path / "shut" / "b.txt", "b")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError, match="shut"):
        Inputs([tmp_path])


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names of files are text there")
def test_names_that_are_no_text(tmp_path):
    name = os.fsencode(tmp_path) + b"/caf\xe9.txt"
    with open(name, "w", encoding="utf-8") as file:
        file.write("hello")
    (record,) = read(tmp_path)
    assert record.place == f"{tmp_path}/caf\ufffd.txt" and record.data == b"hello"


def test_kinds_by_name_and_by_content(tmp_path):
    write(tmp_path / "a.HTML", "<p>x</p>")
    write(tmp_path / "b", "\ufeff <!-- a page --> <!DOCTYPE html><p>x</p>")
    write(tmp_path / "c.json", '{"text": "x"}\n')
    write(tmp_path / "d.md", "a < b")
    write(tmp_path / "e.jsonl.gz", gzip.compress(b'{"text": "x"}\n'))
    assert [item.kind for item in read(tmp_path)] == ["html", "html", "json", "text", "json"]


@pytest.mark.parametrize("blank", [b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n", b" \n\t"])
def test_what_is_blank_is_no_document(tmp_path, blank):
    assert not read(write(tmp_path / "a.txt", blank)) and not read(write(tmp_path / "a.jsonl", blank))


@pytest.mark.parametrize("row", ['{"text": "a"}', '{ "text": "a" }', '\ufeff{"text": "a"}', '\ufeff{\t"text": "a"}'])
def test_rows_are_known_by_their_beginning(tmp_path, row):
    (item,) = read(write(tmp_path / "rows", row + "\n"))
    assert item.kind == JSON and decoded(item).text == "a"


def test_what_is_no_text_is_skipped_with_its_reason(tmp_path):
    write(tmp_path / "a.png", b"\x89PNG\r\n\x1a\n\0\0")
    write(tmp_path / "b.txt", "abc".encode("utf-16"))
    write(tmp_path / "c.pdf", b"%PDF-1.7")
    write(tmp_path / "d.txt", b"")
    write(tmp_path / "e.txt.gz", gzip.compress(b"words " * 10_000)[:60])
    write(tmp_path / "f.html", "<p>" + "x" * 2000)
    found = skipped(tmp_path, longest=1000)
    assert [reason for reason, _ in found] == [
        "binary", "binary", "binary", "empty", "damaged gzip", "too long a page"
    ]  # fmt: skip
    assert found[0][1] == "byte 0x00 at offset 8" and "UTF-16" in found[1][1]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing.txt", "does not exist. Name a file, a folder, or one of tales, pydoc, shakespeare"),
        ("empty.txt", "is empty: there is no text"),
        ("folder", "no files in the folder"),
        ("tales:x", "tales:x is not understood"),
        ("", "the name of an input is empty: name a file, a folder, or one of tales, pydoc, shakespeare"),
    ],
)
def test_inputs_that_cannot_be(tmp_path, name, message):
    write(tmp_path / "empty.txt", b"")
    write(tmp_path / "folder/.hidden", b"x")
    with pytest.raises(ValueError, match=message):
        Inputs([str(tmp_path / name) if name and ":" not in name else name])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "sentence"}, "split is one of document, paragraph, line, got 'sentence'"),
        ({"longest": 0}, "at least 1,000, got 0"),
        ({"longest": True}, "at least 1,000, got True"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ValueError, match=message):
        Inputs(["tales:1"], **settings)
    with pytest.raises(ValueError, match="a list of inputs"):
        Inputs("tales:1")
    with pytest.raises(ValueError, match="a list of inputs"):
        Inputs([])


def test_size_and_identity_change_with_the_files(tmp_path):
    path = write(tmp_path / "a.txt", "abc")
    assert Inputs([path]).size == 3 and Inputs([path, "tales:1"]).size is None
    before = Inputs([path]).identity()
    write(path, "abcd")
    assert Inputs([path]).identity() != before
