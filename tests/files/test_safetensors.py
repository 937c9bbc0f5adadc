"""The container: bit-exact round trips in every number format, agreement with the safetensors library, and
lies found out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from llm_from_scratch.files.safetensors import (
    DTYPES,
    SafetensorsFile,
    TensorSource,
    write_safetensors,
)
from llm_from_scratch.files.sharded import read_safetensors


def raw(header: object, data: bytes = b"", *, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(shape: list, begin: int, end: int, dtype: object = "F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize("name", DTYPES)
def test_round_trip_keeps_every_bit(tmp_path: Path, name: str) -> None:
    dtype = DTYPES[name]
    bits = np.random.default_rng(0).integers(0, 256, (3, 5, dtype.itemsize), dtype=np.uint8)
    if name == "BOOL":
        bits &= 1
    array = bits.view(dtype)[..., 0]  # any bit pattern: NaNs with payloads, subnormals, -0
    tensors = {"x": array, "scalar": array[0, 0], "none": array[:0], "turned": array.T}
    write_safetensors(tmp_path / "a", tensors)
    back = read_safetensors(tmp_path / "a")
    assert {key: value.dtype for key, value in back.items()} == dict.fromkeys(back, dtype)
    assert back["x"].tobytes() == array.tobytes()
    assert back["turned"].tobytes() == array.T.tobytes() and back["turned"].shape == (5, 3)
    assert back["scalar"].shape == () and back["none"].shape == (0, 5)


def test_the_library_reads_what_we_write_and_we_read_what_it_writes(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    arrays = {
        "größe": rng.normal(size=(4, 6)).astype(np.float32),
        "half": rng.normal(size=7).astype(np.float16),
        "ids": rng.integers(-9, 9, (2, 2)),
        "flags": rng.random(5) > 0.5,
        "scalar": np.float64(3.5),
    }
    write_safetensors(tmp_path / "ours", arrays, {"format": "pt"})
    theirs = safetensors.numpy.load_file(tmp_path / "ours")
    assert theirs.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(theirs[name], array)
        assert theirs[name].dtype == array.dtype
    contiguous = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in arrays.items()}
    safetensors.numpy.save_file(contiguous, tmp_path / "theirs", metadata={"format": "pt"})
    for name, array in read_safetensors(tmp_path / "theirs").items():
        np.testing.assert_array_equal(array, arrays[name])
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    assert SafetensorsFile(tmp_path / "theirs").metadata == {"format": "pt"}


def test_bfloat16_is_read_as_the_upper_half_of_float32(tmp_path: Path) -> None:
    upper = np.array([0x3F80, 0xC049, 0x7F80, 0x0001], np.uint16)
    (tmp_path / "a").write_bytes(raw({"x": entry([4], 0, 8, "BF16")}, upper.tobytes()))
    expected = (upper.astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(read_safetensors(tmp_path / "a", np.float32)["x"], expected)


def test_equal_tensors_give_equal_bytes_in_any_order(tmp_path: Path) -> None:
    a, b = np.arange(3, dtype=np.float32), np.arange(4, dtype=np.float16)
    write_safetensors(tmp_path / "1", {"a": a, "b": b})
    write_safetensors(tmp_path / "2", {"b": b, "a": a})
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_unaligned_tensors_and_headers_are_read(tmp_path: Path) -> None:
    data = b"\x01" + np.array([1.5, -2.5], "<f4").tobytes()
    header = {"flag": entry([1], 0, 1, "BOOL"), "x": entry([2], 1, 9)}
    (tmp_path / "a").write_bytes(raw(json.dumps(header).encode() + b" ", data))
    np.testing.assert_array_equal(read_safetensors(tmp_path / "a")["x"], [1.5, -2.5])


def test_views_are_read_only_and_outlive_the_reader(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "a", {"x": np.ones(5, np.float32)})
    file = SafetensorsFile(tmp_path / "a")
    view = file["x"]
    file.release()
    del file
    assert view.sum() == 5
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 2


LIES = {
    "nothing": (b"", "0 bytes"),
    "seven bytes": (b"1234567", "7 bytes"),
    "header longer than the file": (raw({}, length=1000), "1000 bytes but only 2 follow"),
    "absurd header length": (b"\xff" * 8 + b"{}", "announce a header of 18446744073709551615"),
    "git lfs pointer": (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
    "not json": (raw(b"hello"), "not valid JSON"),
    "not utf-8": (raw(b'{"\xff": 1}'), "not valid JSON"),
    "a list": (raw([]), "a JSON list"),
    "nested for ever": (raw(b"[" * 100_000), "not valid JSON"),
    "a name twice": (
        raw(
            b'{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
            b"1",
        ),
        "'x' occurs twice",
    ),
    "metadata with numbers": (raw({"__metadata__": {"a": 1}}), "strings to strings"),
    "an entry that is a number": (raw({"x": 3}), "without dtype"),
    "an entry without a shape": (
        raw({"x": {"dtype": "F32", "data_offsets": [0, 4]}}, b"1234"),
        "without dtype",
    ),
    "unknown dtype": (raw({"x": entry([1], 0, 4, "F31")}, b"1234"), "dtype 'F31'; known are"),
    "dtype that is a list": (raw({"x": entry([1], 0, 4, ["F32"])}, b"1234"), "known are"),
    "negative shape": (raw({"x": entry([-1], 0, 4)}, b"1234"), r"shape \[-1\]"),
    "shape of floats": (raw({"x": entry([1.0], 0, 4)}, b"1234"), r"shape \[1.0\]"),
    "shape of booleans": (raw({"x": entry([True], 0, 4)}, b"1234"), r"shape \[True\]"),
    "shape that overflows": (raw({"x": entry([2**33, 2**33], 0, 4)}, b"1234"), "impossible shape"),
    "giant shape hidden by a zero": (raw({"x": entry([0, 2**62], 0, 0)}), "impossible shape"),
    "digits without end": (
        raw(b'{"x":{"dtype":"F32","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,4]}}', b"1234"),
        "5000 digits",
    ),
    "a thousand axes": (raw({"x": entry([1] * 1000, 0, 4)}, b"1234"), "at most 32"),
    "one offset": (
        raw({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0]}}, b"1234"),
        "two non-negative",
    ),
    "negative offsets": (raw({"x": entry([1], -4, 0)}, b"1234"), "two non-negative"),
    "offsets in reverse": (raw({"x": entry([1], 4, 0)}, b"1234"), "claims bytes 4 to 0"),
    "offsets beyond the file": (raw({"x": entry([2], 0, 8)}, b"1234"), "claims bytes 0 to 8 of 4"),
    "shape and offsets disagree": (raw({"x": entry([2], 0, 4)}, b"1234"), "needs 8 bytes"),
    "overlap": (raw({"x": entry([1], 0, 4), "y": entry([1], 2, 6)}, b"123456"), "'y' overlaps 'x'"),
    "same bytes twice": (raw({"x": entry([1], 0, 4), "y": entry([1], 0, 4)}, b"1234"), "'y' overlaps 'x'"),
    "gap": (raw({"x": entry([1], 4, 8)}, b"12345678"), "4 unexplained bytes before tensor 'x'"),
    "bytes at the end": (raw({"x": entry([1], 0, 4)}, b"12345678"), "4 unexplained bytes after"),
}


@pytest.mark.parametrize("lie", LIES)
def test_lying_files_are_refused_by_name(tmp_path: Path, lie: str) -> None:
    content, message = LIES[lie]
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        SafetensorsFile(path)
    assert str(path) in str(caught.value), "the message names the file"
    assert len(str(caught.value)) < 2000


@given(cut=st.integers(0, 10_000), flip=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_damaged_file_is_read_or_refused_but_never_crashes(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flip: int, bit: int
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "a"
    write_safetensors(path, {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "y": np.ones(3, np.int8)})
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[flip % len(whole)] ^= 1 << bit
    path.write_bytes(damaged[: len(whole) - cut % 20])
    try:
        tensors = read_safetensors(path)
    except ValueError as error:
        assert str(path) in str(error)
    else:
        assert sum(t.nbytes for t in tensors.values()) <= len(whole)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"):
        SafetensorsFile(tmp_path / "absent")


def test_what_cannot_be_stored_is_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_safetensors(path, {"x": np.ones(2, np.float32)})
    before = path.read_bytes()
    wrong = TensorSource(np.dtype(np.float32), (3,), lambda: np.ones(4, np.float32))
    for tensors, error, message in [
        ({"x": np.array(["text"])}, TypeError, "'x' is <U4"),
        ({"x": np.array([None])}, TypeError, "object"),
        ({"x": [1.0, 2.0]}, TypeError, "'x' is a list"),
        ({3: np.ones(2)}, TypeError, "3 cannot be a tensor's name"),
        ({"__metadata__": np.ones(2)}, TypeError, "cannot be a tensor's name"),
        ({"x": wrong}, ValueError, r"announced with shape \(3,\)"),
    ]:
        with pytest.raises(error, match=message):
            write_safetensors(path, tensors)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="strings only"):
        write_safetensors(path, {"x": np.ones(2)}, {"step": 3})  # type: ignore[dict-item]
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a"]


def test_tensors_are_made_one_at_a_time(tmp_path: Path) -> None:
    alive: list[int] = []
    most = 0

    class Counted(np.ndarray):
        def __del__(self) -> None:
            if self.base is None:
                alive.pop()

    def make() -> np.ndarray:
        nonlocal most
        alive.append(1)
        most = max(most, len(alive))
        return np.ndarray.__new__(Counted, (1000,), np.float32)

    source = TensorSource(np.dtype(np.float32), (1000,), make)
    write_safetensors(tmp_path / "a", {str(i): source for i in range(10)})
    assert most <= 2
    assert len(SafetensorsFile(tmp_path / "a")) == 10


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
def test_reading_keeps_little_more_than_the_result_in_memory(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "big", {"x": np.ones((4096, 4096), np.float16)})  # 32 MiB, 64 MiB as float32
    program = """
import sys, numpy as np
from llm_from_scratch.files.sharded import open_checkpoint
def status(key):
    return next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith(key))
checkpoint = open_checkpoint(sys.argv[1])
result = np.empty((4096, 4096), np.float32)
before = status("VmRSS:")
checkpoint.copy("x", checkpoint["x"].T, result, slab=1 << 20)
checkpoint.release("x")
print(status("VmHWM:") - before, status("VmRSS:") - before, int(result.sum() == 4096 * 4096))
"""
    command = [sys.executable, "-c", program, str(tmp_path / "big")]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    peak, rest, right = map(int, output.split())
    assert right == 1
    assert peak <= 64 * 1.3, f"peak {peak} MiB for a result of 64 MiB"
    assert rest <= 64 + 4


def test_ml_dtypes_and_numpy_agree_on_float16(tmp_path: Path) -> None:
    x = np.array([1e-8, 65504.0, -0.0, 1.0009765625], np.float16)
    write_safetensors(tmp_path / "a", {"x": x, "y": x.astype(ml_dtypes.bfloat16)})
    back = read_safetensors(tmp_path / "a", np.float64)
    np.testing.assert_array_equal(back["x"], x.astype(np.float64))
    np.testing.assert_array_equal(back["y"], x.astype(ml_dtypes.bfloat16).astype(np.float64))
