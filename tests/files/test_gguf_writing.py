"""Writing the GGUF container: the bytes of the `gguf` package, one tensor at a time, whole or not at all."""

import hashlib
import tracemalloc

import numpy as np
import pytest

from llm_from_scratch.files.gguf import GgufFile
from llm_from_scratch.files.gguf_writing import GgufSource, write_gguf
from llm_from_scratch.quantization import quantize

NUMBERS = np.arange(256, dtype=np.float32).reshape(4, 64) / 7
METADATA = {
    "general.architecture": "llama",
    "llama.block_count": 2,
    "tokenizer.ggml.add_bos_token": True,
    "negative": -3,
    "half": 0.5,
    "words": ["a", "b", "é漢"],
    "types": np.array([1, 3, 6], np.int32),
    "scores": np.array([0.5, -1.0], np.float32),
}
TENSORS = {
    "plain": ("F32", NUMBERS),
    "packed": ("Q4_1", quantize(NUMBERS, "Q4_1")),
    "small": ("F16", np.arange(3, dtype=np.float16)),
    "bias": ("F32", np.arange(5, dtype=np.float32)),
}
# What `written_by_the_package` below writes, gguf 0.19.
DIGEST = "9e9d0fc9b0c1ec459e37017bbecf787b04fa26fca683447fa50f6c10a960d2a0"


def written_by_the_package(path, gguf):
    """The same file by the `gguf` package."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_uint32("llama.block_count", 2)
    writer.add_bool("tokenizer.ggml.add_bos_token", True)
    writer.add_int64("negative", -3)
    writer.add_float32("half", 0.5)
    writer.add_array("words", METADATA["words"])
    writer.add_key_value("types", [1, 3, 6], gguf.GGUFValueType.ARRAY, gguf.GGUFValueType.INT32)
    writer.add_key_value("scores", [0.5, -1.0], gguf.GGUFValueType.ARRAY, gguf.GGUFValueType.FLOAT32)
    for name, (kind, array) in TENSORS.items():
        packed = gguf.GGMLQuantizationType.Q4_1 if kind == "Q4_1" else None
        writer.add_tensor(name, array, raw_dtype=packed)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_bytes_equal_those_of_the_gguf_package_frozen(tmp_path):
    write_gguf(tmp_path / "a.gguf", METADATA, TENSORS)
    assert hashlib.sha256((tmp_path / "a.gguf").read_bytes()).hexdigest() == DIGEST


def test_bytes_equal_those_of_the_gguf_package(tmp_path):
    gguf = pytest.importorskip("gguf")
    written_by_the_package(tmp_path / "theirs.gguf", gguf)
    write_gguf(tmp_path / "ours.gguf", METADATA, TENSORS)
    assert (tmp_path / "ours.gguf").read_bytes() == (tmp_path / "theirs.gguf").read_bytes()
    fields = gguf.GGUFReader(tmp_path / "ours.gguf").fields
    assert fields["words"].contents() == METADATA["words"] and fields["negative"].contents() == -3


def test_tensors_are_made_one_by_one(tmp_path):
    sources = {f"t{n}": GgufSource("F32", (1 << 20,), lambda: np.zeros(4 << 20, np.uint8)) for n in range(8)}
    tracemalloc.start()
    write_gguf(tmp_path / "a.gguf", {}, sources)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 << 20  # two of 4 MB at most; all are 32 MB
    assert (tmp_path / "a.gguf").stat().st_size > 32 << 20


def test_what_a_source_raises_leaves_the_file_that_was_there(tmp_path):
    path = tmp_path / "a.gguf"
    write_gguf(path, METADATA, TENSORS)
    before = path.read_bytes()

    def broken():
        raise ValueError("not finite")

    for make, message in ((broken, "not finite"), (lambda: np.zeros(7, np.uint8), "made as 7 bytes, 16 were promised")):
        with pytest.raises(ValueError, match=message):
            write_gguf(path, METADATA, {**TENSORS, "last": GgufSource("F32", (4,), make)})
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["a.gguf"]


REFUSED = {
    "an unknown type": ({}, {"w": ("Q9", NUMBERS)}, ValueError, "not a type that can be written"),
    "another number format": ({}, {"w": ("F16", NUMBERS)}, TypeError, "float32 is not F16"),
    "numbers for blocks": ({}, {"w": ("Q4_1", NUMBERS)}, TypeError, "whole blocks of 20 bytes"),
    "part of a block": ({}, {"w": GgufSource("Q4_1", (4, 40), lambda: NUMBERS)}, ValueError, "rows of 40"),
    "nothing": ({}, {"w": ("F32", NUMBERS[:0])}, ValueError, "none of them 0"),
    "no dimension": ({}, {"w": GgufSource("F32", (), lambda: NUMBERS)}, ValueError, "1 to 4 dimensions"),
    "five dimensions": ({}, {"w": ("F32", np.ones((1,) * 5, np.float32))}, ValueError, "1 to 4 dimensions"),
    "a long name": ({}, {"w" * 64: ("F32", NUMBERS)}, ValueError, "longer than the 63 bytes"),
    "an empty key": ({"": 1}, {}, ValueError, "must not be empty"),
    "a large number": ({"k": 2**63}, {}, ValueError, "more than 64 bits"),
    "no value": ({"k": None}, {}, TypeError, "cannot store NoneType"),
    "an odd border": ({"general.alignment": 12}, {}, ValueError, "power of 2"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_format_cannot_hold_is_refused_beforehand(tmp_path, name):
    metadata, tensors, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        write_gguf(tmp_path / "a.gguf", metadata, tensors)
    assert not list(tmp_path.iterdir())


def test_a_value_of_every_kind_comes_back(tmp_path):
    write_gguf(tmp_path / "a.gguf", METADATA, TENSORS)
    file = GgufFile(tmp_path / "a.gguf")
    for key, value in METADATA.items():
        np.testing.assert_array_equal(file.metadata[key], value)
