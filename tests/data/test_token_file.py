from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from llm_from_scratch.data import token_file
from llm_from_scratch.data.token_file import HEADER_BYTES, TokenWriter, open_tokens, write_tokens


def test_round_trip_with_separators(tmp_path):
    file = write_tokens(tmp_path / "a", [[1, 2], [], np.array([3], dtype=np.uint8)], vocabulary_size=9, separator=8)
    assert file.ids.tolist() == [8, 1, 2, 8, 8, 3, 8]
    assert (len(file), file.documents, file.separator, file.vocabulary_size) == (7, 3, 8, 9)
    assert file.ids.dtype == np.uint16 and not file.ids.flags.writeable
    assert json.loads((tmp_path / "a").read_bytes()[:HEADER_BYTES])["count"] == 7


def test_large_vocabulary_takes_four_bytes(tmp_path):
    file = write_tokens(tmp_path / "a", [[70_000, 0]], vocabulary_size=70_001)
    assert file.ids.dtype == np.uint32 and file.ids.tolist() == [70_000, 0] and file.separator is None
    assert write_tokens(tmp_path / "b", [[65_535]], vocabulary_size=65_536).ids.tolist() == [65_535]


def test_an_empty_corpus_is_a_file_of_no_ids(tmp_path):
    assert len(write_tokens(tmp_path / "a", [], vocabulary_size=5, separator=0)) == 0


def test_streams_in_bounded_memory(tmp_path):
    block = np.arange(1000, dtype=np.uint16)
    tracemalloc.start()
    file = write_tokens(tmp_path / "a", (block for _ in range(8000)), vocabulary_size=1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(file) == 8_000_000
    assert peak < 4_000_000  # the file has 16 MB
    assert np.array_equal(file.ids[7_999_000:], block)


@pytest.mark.parametrize("bad", [[5], [-1], [3, 2**40]])
def test_ids_outside_the_vocabulary_are_refused_and_nothing_is_left(tmp_path, bad):
    with pytest.raises(ValueError, match=rf"document 1 has id {bad[-1]} at position {len(bad) - 1}"):
        write_tokens(tmp_path / "a", [[1, 2], bad], vocabulary_size=5)
    assert list(tmp_path.iterdir()) == []


def test_wrong_types_and_settings_are_refused(tmp_path):
    with pytest.raises(TypeError, match="one-dimensional sequence of integers"):
        write_tokens(tmp_path / "a", [[0.5]], vocabulary_size=5)
    with pytest.raises(TypeError, match="one-dimensional"):
        write_tokens(tmp_path / "a", [[[1]]], vocabulary_size=5)
    with pytest.raises(ValueError, match="separator 5 is not an id"):
        write_tokens(tmp_path / "a", [], vocabulary_size=5, separator=5)
    with pytest.raises(ValueError, match="vocabulary_size must be"):
        write_tokens(tmp_path / "a", [], vocabulary_size=0)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    write_tokens(tmp_path / "a", [[1]], vocabulary_size=5)

    def full(self, ids):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="the disk is full"):
        patch.setattr(TokenWriter, "_append", full)
        write_tokens(tmp_path / "a", [[2]], vocabulary_size=5)
    assert open_tokens(tmp_path / "a").ids.tolist() == [1]
    assert len(list(tmp_path.iterdir())) == 1


def change_header(path, **changes):
    data = path.read_bytes()
    header = {**json.loads(data[:HEADER_BYTES]), **changes}
    path.write_bytes(json.dumps(header).encode().ljust(HEADER_BYTES) + data[HEADER_BYTES:])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"count": 4}, "promises 4 ids"),
        ({"count": 2**60}, "promises"),
        ({"count": -1}, "impossible values"),
        ({"count": "3"}, "impossible values"),
        ({"separator": 99}, "impossible values"),
        ({"vocabulary_size": 0}, "vocabulary_size"),
        ({"dtype": "uint32"}, "stored as uint16"),
        ({"format": "other"}, "not a token file"),
    ],
)
def test_lying_headers(tmp_path, changes, message):
    write_tokens(tmp_path / "a", [[1, 2, 3]], vocabulary_size=5)
    change_header(tmp_path / "a", **changes)
    with pytest.raises(ValueError, match=message):
        open_tokens(tmp_path / "a")


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff\xfe", b"hello" * 500])
def test_other_files(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(ValueError, match="is not a token file"):
        open_tokens(tmp_path / "a")


def test_a_truncated_file(tmp_path):
    write_tokens(tmp_path / "a", [range(100)], vocabulary_size=100)
    data = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(data[:-1])
    with pytest.raises(ValueError, match="cut short"):
        open_tokens(tmp_path / "a")


def test_the_buffer_limit_does_not_change_the_bytes(tmp_path, monkeypatch):
    documents = [list(range(n)) for n in range(40)]
    write_tokens(tmp_path / "a", documents, vocabulary_size=50, separator=49)
    monkeypatch.setattr(token_file, "_BUFFER", 7)
    write_tokens(tmp_path / "b", documents, vocabulary_size=50, separator=49)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("mode", ["epochs", "documents", "random"])
def test_a_file_cut_while_it_is_mapped_is_an_error_and_not_the_end_of_the_process(tmp_path, mode):
    """In a child, since the system would end the process (SIGBUS)."""
    code = (
        "import os, sys\n"
        "from llm_from_scratch.data.sampler import BatchSampler, evaluation_batches\n"
        "from llm_from_scratch.data.token_file import write_tokens\n"
        "file = write_tokens(sys.argv[1], [[1, 2, 3, 4]] * 20000, vocabulary_size=10, separator=0)\n"
        "sampler = BatchSampler(file, 2, 8, separator=0, mode=sys.argv[2])\n"
        "held_out = evaluation_batches(file, 2, 8)\n"
        "next(sampler), next(held_out)\n"
        "os.truncate(sys.argv[1], 600)\n"
        "again = lambda: BatchSampler(file, 2, 8)\n"
        "for what in (lambda: next(sampler), lambda: next(held_out), sampler.state, again):\n"
        "    try:\n"
        "        what()\n"
        "    except ValueError as error:\n"
        "        assert 'was cut to 600 bytes' in str(error)\n"
        "    else:\n"
        "        raise SystemExit('nothing was noticed')\n"
    )
    command = [sys.executable, "-c", code, tmp_path / "a", mode]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_part_of_a_file(tmp_path):
    file = write_tokens(tmp_path / "a", [[1, 2, 3, 4]] * 50, vocabulary_size=10, separator=0)
    part = file.part(100, 200)
    assert np.array_equal(part.ids, file.ids[100:200]) and len(part) == 100 and part.separator == 0
    assert np.array_equal(part.part(50, 60).ids, file.ids[150:160]) and part.part(50, 60).begin == 150
    for start, stop in ((-1, 5), (5, 252), (7, 6)):
        with pytest.raises(ValueError, match="has 251 ids, and none from"):
            file.part(start, stop)
    os.truncate(file.path, 512 + 2 * 199)  # its last id is gone; the file's first ones are there
    with pytest.raises(ValueError, match="was cut"):
        part.check_length()
    file.part(0, 150).check_length()
