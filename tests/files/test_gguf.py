"""The GGUF container: what was written is read, and a file that lies is an error before anything is allocated."""

import struct
from pathlib import Path

import numpy as np
import pytest

from llm_from_scratch.files.gguf import GgufFile
from llm_from_scratch.files.gguf_writing import write_gguf
from llm_from_scratch.quantization import quantize

NUMBERS = np.random.default_rng(0).normal(size=(4, 64)).astype(np.float32)
METADATA = {
    "general.architecture": "llama",
    "yes": True,
    "count": 7,
    "large": 2**40,
    "negative": -3,
    "half": 0.5,
    "words": ["a", "", "é漢"],
    "numbers": np.arange(5, dtype=np.int32),
    "floats": np.array([0.5, -1.0], np.float32),
}
TENSORS = {
    "plain": ("F32", NUMBERS),
    "packed": ("Q4_1", quantize(NUMBERS, "Q4_1")),
    "small": ("F16", np.arange(3, dtype=np.float16)),
}


@pytest.fixture
def path(tmp_path):
    write_gguf(tmp_path / "a.gguf", METADATA, TENSORS)
    return tmp_path / "a.gguf"


def test_round_trip(path):
    file = GgufFile(path)
    assert list(file.metadata) == list(METADATA) and len(file) == 3
    for key, value in METADATA.items():
        np.testing.assert_array_equal(file.metadata[key], value)
    assert file.tensors["packed"].type.name == "Q4_1" and file.tensors["packed"].shape == (4, 64)
    np.testing.assert_array_equal(file["plain"].view(np.float32), NUMBERS)
    np.testing.assert_array_equal(file["packed"], TENSORS["packed"][1])
    file.release()
    np.testing.assert_array_equal(file["small"].view(np.float16), TENSORS["small"][1])
    assert all(tensor.start % 32 == 0 for tensor in file.tensors.values())


def test_a_file_written_by_the_gguf_package():
    file = GgufFile(Path(__file__).parent / "fixtures" / "tiny.gguf")
    assert file.metadata["general.architecture"] == "llama"
    assert file.metadata["tiny.words"] == ["one", "zwei", "三"]
    assert [inner.tolist() for inner in file.metadata["tiny.nested"]] == [[1, 2], [3]]
    assert file.metadata["tiny.flag"] is True and file.metadata["tiny.small"] == -5
    assert file.metadata["tiny.float"] == 0.1  # stored in float64
    np.testing.assert_array_equal(file["matrix"].view(np.float32), np.arange(64, dtype=np.float32).reshape(2, 32))
    assert file.tensors["packed"].type.name == "Q8_0" and file.tensors["packed"].shape == (2, 32)
    assert file.tensors["packed"].start % 64 == 0  # its own alignment


@pytest.mark.parametrize("alignment", [8, 64, 4096])
def test_alignment(tmp_path, alignment):
    write_gguf(tmp_path / "a.gguf", {"general.alignment": alignment}, TENSORS)
    file = GgufFile(tmp_path / "a.gguf")
    assert all(tensor.start % alignment == 0 for tensor in file.tensors.values())
    np.testing.assert_array_equal(file["packed"], TENSORS["packed"][1])


def test_every_truncation_is_an_error(path, tmp_path):
    whole = path.read_bytes()
    last = max(tensor.stop for tensor in GgufFile(path).tensors.values())
    for length in [*range(0, 600, 7), *range(600, last, 61), last - 1]:
        (tmp_path / "cut.gguf").write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"cut off|remaining|no GGUF"):
            GgufFile(tmp_path / "cut.gguf")


def test_random_damage_is_read_or_refused_but_never_worse(path, tmp_path):
    whole, rng = path.read_bytes(), np.random.default_rng(3)
    header = min(tensor.start for tensor in GgufFile(path).tensors.values())
    refused = 0
    for _ in range(400):
        damaged = bytearray(whole)
        for place in rng.integers(0, header, 3):
            damaged[place] = rng.integers(256)
        (tmp_path / "bad.gguf").write_bytes(damaged)
        try:
            file = GgufFile(tmp_path / "bad.gguf")
        except ValueError as error:
            refused += 1
            assert "bad.gguf" in str(error)
        else:
            assert all(file[name].size <= len(whole) for name in file)
    assert refused > 100


def _header(tensors=b"", count=0, pairs=b"", pair_count=0, version=3, magic=b"GGUF"):
    return magic + struct.pack("<IQQ", version, count, pair_count) + pairs + tensors


def _text(text):
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _record(name="w", shape=(32,), kind=0, offset=0):
    return _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


ARRAY = struct.pack("<I", 9)
BAD = {
    "a zip": (b"PK\x03\x04" + bytes(40), "begins with b'PK"),
    "version 1": (_header(version=1) + bytes(99), "version 1 is not supported"),
    "big-endian": (_header(version=3 << 24) + bytes(99), "big-endian"),
    "absurd tensor count": (_header(count=2**60) + bytes(99), "number of tensors is 1,152,921"),
    "absurd pair count": (_header(pair_count=2**63) + bytes(99), "number of key-value pairs"),
    "a string beyond the file": (
        _header(pairs=struct.pack("<Q", 10**9) + bytes(40), pair_count=1),
        "length of metadata key 0 is 1,000,000,000",
    ),
    "no UTF-8": (_header(pairs=struct.pack("<Q", 2) + b"\xff\xfe" + bytes(20), pair_count=1), "not UTF-8"),
    "unknown metadata type": (
        _header(pairs=_text("k") + struct.pack("<I", 77) + bytes(20), pair_count=1),
        "'k' has the unknown metadata type 77",
    ),
    "unknown array type": (
        _header(pairs=_text("k") + ARRAY + struct.pack("<IQ", 13, 1) + bytes(9), pair_count=1),
        "array of the unknown metadata type 13",
    ),
    "an array beyond the file": (
        _header(pairs=_text("k") + ARRAY + struct.pack("<IQ", 5, 2**40) + bytes(9), pair_count=1),
        "length of 'k'",
    ),
    "arrays in arrays without end": (
        _header(pairs=_text("k") + ARRAY + struct.pack("<IQ", 9, 1) * 50, pair_count=1),
        "nests arrays",
    ),
    "the same key twice": (
        _header(pairs=2 * (_text("k") + struct.pack("<IB", 0, 1)) + bytes(9), pair_count=2),
        "'k' stands twice",
    ),
    "the same tensor twice": (_header(_record() + _record(offset=128) + bytes(999), count=2), "'w' stands twice"),
    "overlap": (_header(_record() + _record("v", offset=96) + bytes(999), count=2), "overlap"),
    "unknown tensor type": (_header(_record(kind=99) + bytes(999), count=1), "the unknown type 99; supported: F32"),
    "a type that is not read": (_header(_record(kind=16) + bytes(999), count=1), "type IQ2_XXS, which is not supp"),
    "no dimensions": (_header(_record(shape=()) + bytes(999), count=1), "0 dimensions"),
    "five dimensions": (_header(_record(shape=(1,) * 5) + bytes(999), count=1), "5 dimensions"),
    "nothing in it": (_header(_record(shape=(4, 0)) + bytes(999), count=1), "nothing in it"),
    "absurd shape": (_header(_record(shape=(2**62, 2**62)) + bytes(999), count=1), "claims the shape"),
    "part of a block": (_header(_record(shape=(33,), kind=2) + bytes(999), count=1), "not whole Q4_0 blocks of 32"),
    "beyond the file": (_header(_record(offset=2**40) + bytes(999), count=1), "ends at byte"),
    "off the border": (_header(_record(offset=5) + bytes(999), count=1), "not on a border of 32"),
    "alignment 0": (
        _header(pairs=_text("general.alignment") + struct.pack("<II", 4, 0) + bytes(99), pair_count=1),
        "general.alignment",
    ),
    "alignment 12": (
        _header(pairs=_text("general.alignment") + struct.pack("<II", 4, 12) + bytes(99), pair_count=1),
        "multiple of 8",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_lying_file_is_refused(tmp_path, name):
    content, message = BAD[name]
    (tmp_path / "bad.gguf").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        GgufFile(tmp_path / "bad.gguf")
    assert "bad.gguf" in str(caught.value)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        GgufFile(tmp_path / "none.gguf")
    with pytest.raises(ValueError, match="is a directory"):
        GgufFile(tmp_path)


@pytest.mark.parametrize(
    "tensor, message",
    [
        (("Q2_K", np.zeros(84, np.uint8)), "not a type that can be written"),
        (("Q4_0", np.zeros(19, np.uint8)), "whole blocks of 18"),
        (("Q4_0", np.zeros(32, np.float32)), "whole blocks"),
        (("F32", np.zeros(32, np.float64)), "float64 is not F32"),
    ],
)
def test_writing_what_is_no_tensor_leaves_no_file(tmp_path, tensor, message):
    with pytest.raises((ValueError, TypeError), match=message):
        write_gguf(tmp_path / "a.gguf", {}, {"w": tensor})
    with pytest.raises(TypeError, match="cannot store"):
        write_gguf(tmp_path / "a.gguf", {"k": {}}, {})
    assert not (tmp_path / "a.gguf").exists()
