"""Directories of safetensors files: sharding, the index held against its shards, and saves that fail
half-way.
"""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_from_scratch.files import sharded
from llm_from_scratch.files.safetensors import write_safetensors
from llm_from_scratch.files.sharded import (
    INDEX,
    open_checkpoint,
    read_safetensors,
    write_checkpoint,
)

ARRAYS = {f"layer.{i}": np.full((4, 8), i, np.float32) for i in range(5)}  # 128 bytes each


def content(directory: Path) -> dict[str, bytes]:
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def same(directory: Path, arrays: dict[str, np.ndarray]) -> bool:
    back = read_safetensors(directory)
    return back.keys() == arrays.keys() and all(np.array_equal(back[name], arrays[name]) for name in arrays)


def test_shards_are_filled_in_order_and_indexed(tmp_path: Path) -> None:
    names = write_checkpoint(tmp_path / "new", ARRAYS, max_shard_size=300, texts={"config.json": "{}\n"})
    assert sorted(names) == sorted(os.listdir(tmp_path / "new"))
    assert names[:3] == [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
    index = json.loads((tmp_path / "new" / INDEX).read_text(encoding="utf-8"))
    assert index["metadata"]["total_size"] == 5 * 128
    assert list(index["weight_map"].values()) == [names[0], names[0], names[1], names[1], names[2]]
    assert same(tmp_path / "new", ARRAYS)
    assert open_checkpoint(tmp_path / "new" / INDEX).entry("layer.4").shape == (4, 8)


def test_a_tensor_larger_than_a_shard_gets_its_own(tmp_path: Path) -> None:
    assert len(write_checkpoint(tmp_path, ARRAYS, max_shard_size=1)) == 6
    assert same(tmp_path, ARRAYS)


def test_saving_again_leaves_no_old_weights_but_every_other_file(tmp_path: Path) -> None:
    fewer = {"layer.0": np.zeros(3, np.float16)}
    write_checkpoint(tmp_path, ARRAYS, max_shard_size=300)
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    write_checkpoint(tmp_path, fewer)
    assert sorted(os.listdir(tmp_path)) == ["model.safetensors", "tokenizer.json"]
    assert same(tmp_path, fewer)
    write_checkpoint(tmp_path, ARRAYS, max_shard_size=500)
    assert "model.safetensors" not in os.listdir(tmp_path)
    assert same(tmp_path, ARRAYS)


class FullDisk:
    """Lets a number of flushes to the disk pass, then there is no space left."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
        self.left = after
        real = os.fsync

        def fsync(handle: int) -> None:
            self.left -= 1
            if self.left < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            real(handle)

        monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("after", range(4))
@pytest.mark.parametrize("shard", [300, "5GB"])
def test_a_full_disk_leaves_the_earlier_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int, shard: Any
) -> None:
    write_checkpoint(tmp_path / "run", ARRAYS, texts={"config.json": "old"}, max_shard_size=400)
    before = content(tmp_path)
    with monkeypatch.context() as patch:
        FullDisk(patch, after)
        changed = {name: array + 1 for name, array in ARRAYS.items()}
        with pytest.raises(OSError, match="the disk is full") as caught:
            # One file or four: either way more flushes than are allowed.
            write_checkpoint(tmp_path / "run", changed, texts={"config.json": "new", "x": ""}, max_shard_size=shard)
        assert caught.value.errno == errno.ENOSPC and "run is as it was" in str(caught.value)
    assert content(tmp_path) == before
    with monkeypatch.context() as patch:
        FullDisk(patch, 1)
        with pytest.raises(OSError, match="the disk is full"):
            write_checkpoint(tmp_path / "fresh" / "run", ARRAYS, max_shard_size=300)
    assert content(tmp_path) == before and not (tmp_path / "fresh").exists()


@pytest.mark.parametrize("fail_at", range(7))  # five old files move aside, two new ones in
def test_a_failing_rename_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail_at: int) -> None:
    write_checkpoint(tmp_path, ARRAYS, texts={"config.json": "old"}, max_shard_size=300)
    before, real, calls = content(tmp_path), os.replace, 0
    monkeypatch.setattr(sharded, "write_text", lambda path, text: path.write_text(text, encoding="utf-8"))

    def replace(source: Any, target: Any) -> None:
        nonlocal calls
        if ".saving-" in str(target) and "old" not in str(target):
            return real(source, target)  # of the single files, into the staging directory
        calls += 1
        if calls == fail_at + 1:
            raise PermissionError("in use by another program")
        return real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(PermissionError):
        write_checkpoint(tmp_path, {"layer.0": np.ones(2)}, texts={"config.json": "new"})
    assert content(tmp_path) == before


def test_what_a_killed_save_left_is_removed_after_a_while(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, ARRAYS)
    for name, age in [(".saving-1-aaaa.tmp", 7200), (".saving-2-bbbb.tmp", 10)]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"half")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    write_checkpoint(tmp_path, ARRAYS)
    assert sorted(os.listdir(tmp_path)) == [".saving-2-bbbb.tmp", "model.safetensors"]


def test_a_directory_with_both_uses_the_single_file_like_the_transformers_library(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, ARRAYS, max_shard_size=300)
    write_safetensors(tmp_path / "model.safetensors", {"other": np.ones(1, np.float32)})
    assert list(open_checkpoint(tmp_path)) == ["other"]


class Trap:
    """Unpickling this leaves a file behind: the proof that nothing is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_pickled_weights_are_refused_and_not_opened(tmp_path: Path) -> None:
    directory = tmp_path / "model"
    directory.mkdir()
    (directory / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(tmp_path / "executed")))
    with pytest.raises(FileNotFoundError, match=r"pickled weights \(pytorch_model.bin\).*Convert"):
        open_checkpoint(directory)
    assert not (tmp_path / "executed").exists()


def test_directories_without_weights_say_what_they_hold(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="neither model.safetensors nor .*It is empty"):
        open_checkpoint(tmp_path)
    (tmp_path / "readme.md").write_text("hello", encoding="utf-8")
    with pytest.raises(FileNotFoundError, match="It holds readme.md"):
        open_checkpoint(tmp_path)
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        open_checkpoint(tmp_path / "elsewhere")


def index(directory: Path, value: Any) -> Path:
    (directory / INDEX).write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return directory


@pytest.fixture
def two(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path, {"a": np.ones(2, np.float32), "b": np.zeros(3, np.float32)}, max_shard_size=4)
    return tmp_path


FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


@pytest.mark.parametrize(
    "value, message",
    [
        ("{", "not valid JSON"),
        ("[]", "JSON list"),
        ({}, "no usable"),
        ({"weight_map": []}, "no usable"),
        ({"weight_map": {}}, "no usable"),
        ({"weight_map": {"a": 1}}, "no usable"),
        ('{"weight_map": {"a": "x", "a": "y"}}', "'a' occurs twice"),
        ({"weight_map": {"a": "../a"}}, "only plain names"),
        ({"weight_map": {"a": "/etc/passwd"}}, "only plain names"),
        ({"weight_map": {"a": "..\\a"}}, "only plain names"),
        ({"weight_map": {"a": "C:a"}}, "only plain names"),
        ({"weight_map": {"a": ".."}}, "only plain names"),
        ({"weight_map": {"a": ""}}, "only plain names"),
        ({"weight_map": {"a": FIRST, "b": FIRST}}, "'b' is in .*, but it is not there"),
        ({"weight_map": {"a": FIRST, "b": SECOND, "c": SECOND}}, "'c' is in"),
    ],
)
def test_an_index_that_lies_is_refused(two: Path, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        open_checkpoint(index(two, value))
    assert INDEX in str(caught.value)


def test_shards_must_be_there_and_agree_with_the_index(two: Path) -> None:
    with pytest.raises(ValueError, match="does not mention tensor 'extra'"):
        write_safetensors(two / SECOND, {"b": np.zeros(3, np.float32), "extra": np.ones(1)})
        open_checkpoint(two)
    with pytest.raises(ValueError, match="'a' stands in .* and again in"):
        shutil.copy(two / FIRST, two / SECOND)
        open_checkpoint(two)
    (two / SECOND).unlink()
    with pytest.raises(FileNotFoundError, match=f"1 are missing: {SECOND}.*interrupted"):
        open_checkpoint(two)


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "", "GB", "-5GB", "5 parsecs", None])
def test_shard_sizes_are_checked(tmp_path: Path, size: Any) -> None:
    with pytest.raises(ValueError, match="a shard size is"):
        write_checkpoint(tmp_path / "x", ARRAYS, max_shard_size=size)
    assert not (tmp_path / "x").exists()


def test_saving_onto_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine", encoding="utf-8")
    with pytest.raises(ValueError, match="it is a file"):
        write_checkpoint(tmp_path / "taken", ARRAYS)
    assert (tmp_path / "taken").read_text(encoding="utf-8") == "mine"
