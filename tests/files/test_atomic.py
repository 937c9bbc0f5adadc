from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path

import pytest

from llm_from_scratch.files import atomic
from llm_from_scratch.files.atomic import (
    atomic_directory,
    atomic_write,
    remove_leftovers,
    write_bytes,
    write_json,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_writes_text_bytes_and_json(tmp_path):
    write_text(tmp_path / "deep" / "er" / "a.txt", "naïve\nline\n")
    write_bytes(tmp_path / "b.bin", b"\x00\xff")
    write_json(tmp_path / "c.json", {"x": [1, 2], "é": None})
    assert (tmp_path / "deep" / "er" / "a.txt").read_bytes() == "naïve\nline\n".encode()
    assert (tmp_path / "b.bin").read_bytes() == b"\x00\xff"
    assert json.loads((tmp_path / "c.json").read_text(encoding="utf-8")) == {"x": [1, 2], "é": None}
    assert names(tmp_path) == ["b.bin", "c.json", "deep"]


def test_failure_inside_keeps_the_old_file_and_leaves_nothing(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as file:
        file.write("half of the new")
        raise KeyboardInterrupt
    assert path.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["a.txt"]


def test_unserialisable_json_writes_nothing(tmp_path):
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"loss": object()})
    assert names(tmp_path) == []


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_full_disk_is_explained_and_the_old_file_survives(tmp_path, monkeypatch, where):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, where, full)
        with pytest.raises(OSError, match="the disk is full: .*a.txt was not written") as caught:
            write_text(path, "new")
    assert caught.value.errno == errno.ENOSPC
    assert path.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["a.txt"]


def test_full_disk_raised_by_the_writer_itself(tmp_path):
    with pytest.raises(OSError, match="the disk is full"), atomic_directory(tmp_path / "step-3") as step:
        (step / "half.bin").write_bytes(b"1234")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert names(tmp_path) == []


def test_a_real_full_device_is_explained():
    if not Path("/dev/full").exists():
        return  # only Linux has one; the simulated tests cover the rest
    with pytest.raises(OSError, match="the disk is full"), atomic._explain_full_disk(Path("x")):
        with open("/dev/full", "wb") as file:
            file.write(b"x" * 100_000)


def test_other_errors_pass_unchanged(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("x", encoding="utf-8")
    with pytest.raises(OSError) as caught:
        write_text(blocker / "child.txt", "x")
    assert caught.value.errno != errno.ENOSPC


def test_directory_target_and_bad_mode_are_refused(tmp_path):
    with pytest.raises(ValueError, match="it is a directory"):
        write_text(tmp_path, "x")
    with pytest.raises(ValueError, match='must be "w" or "wb"'), atomic_write(tmp_path / "x", "a"):
        raise AssertionError("the block must not run")
    assert names(tmp_path) == []


def test_symbolic_links_are_written_through_and_the_mode_is_kept(tmp_path):
    if os.name == "nt":
        return  # links and mode bits are a POSIX matter
    real, link = tmp_path / "real.txt", tmp_path / "link.txt"
    write_text(real, "old")
    real.chmod(0o640)
    link.symlink_to(real)
    write_text(link, "new")
    assert link.is_symlink() and real.read_text(encoding="utf-8") == "new"
    assert real.stat().st_mode & 0o777 == 0o640


def test_old_leftovers_of_the_same_target_are_cleaned_young_ones_kept(tmp_path):
    old, young, other = (tmp_path / f".{n}.tmp" for n in ("a[1].txt.77-aa", "a[1].txt.78-bb", "b.txt.79-cc"))
    for path in (old, young, other):
        path.write_text("half", encoding="utf-8")
    past = time.time() - 2 * atomic.LEFTOVER_SECONDS
    os.utime(old, (past, past))
    os.utime(other, (past, past))
    write_text(tmp_path / "a[1].txt", "whole")
    assert names(tmp_path) == sorted([young.name, other.name, "a[1].txt"])


def test_directory_appears_whole_or_not_at_all(tmp_path):
    with atomic_directory(tmp_path / "step-1") as step:
        write_text(step / "sub" / "a.txt", "1")
        assert not (tmp_path / "step-1").exists()
    assert (tmp_path / "step-1" / "sub" / "a.txt").read_text(encoding="utf-8") == "1"
    with pytest.raises(RuntimeError), atomic_directory(tmp_path / "step-1") as step:
        write_text(step / "b.txt", "2")
        raise RuntimeError("killed")
    assert names(tmp_path) == ["step-1"] and names(tmp_path / "step-1") == ["sub"]


def test_directory_replaces_an_older_one(tmp_path):
    for number in "12":
        with atomic_directory(tmp_path / "step") as step:
            write_text(step / f"{number}.txt", number)
    assert names(tmp_path) == ["step"] and names(tmp_path / "step") == ["2.txt"]


def test_directory_repairs_what_a_kill_left(tmp_path):
    (tmp_path / "step.tmp").mkdir()
    (tmp_path / "step.tmp" / "half.bin").write_bytes(b"half")
    (tmp_path / "step.old").mkdir()
    (tmp_path / "step.old" / "good.bin").write_bytes(b"good")
    with pytest.raises(RuntimeError), atomic_directory(tmp_path / "step") as step:
        assert names(step) == []
        raise RuntimeError
    assert names(tmp_path) == ["step"] and names(tmp_path / "step") == ["good.bin"]


def test_directory_rename_failure_restores_the_old_one(tmp_path, monkeypatch):
    with atomic_directory(tmp_path / "step") as step:
        write_text(step / "1.txt", "1")
    real = os.replace

    def fail_on_the_new_one(source, target):
        if str(source).endswith("step.tmp"):
            raise OSError(errno.EIO, "input/output error")
        real(source, target)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="input/output"):
        patch.setattr(atomic.os, "replace", fail_on_the_new_one)
        with atomic_directory(tmp_path / "step") as step:
            (step / "2.txt").write_text("2", encoding="utf-8")
    assert names(tmp_path) == ["step"] and names(tmp_path / "step") == ["1.txt"]


def test_remove_leftovers(tmp_path):
    for name in (".latest.1-2.tmp", "latest", "notes.tmp", ".hidden.tmp"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    (tmp_path / ".folder.1-2.tmp").mkdir()
    (tmp_path / ".saving-1-2.tmp").mkdir()
    (tmp_path / ".saving-1-2.tmp" / "model.safetensors").write_bytes(b"half")
    assert remove_leftovers(tmp_path) == [".latest.1-2.tmp", ".saving-1-2.tmp"]  # nobody else's temporary files
    assert names(tmp_path) == [".folder.1-2.tmp", ".hidden.tmp", "latest", "notes.tmp"]


def test_json_of_a_path_that_is_no_text(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    write_json(tmp_path / "a.json", {"directory": name, "é": 1})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"directory": name, "é": 1} and "é" in text
