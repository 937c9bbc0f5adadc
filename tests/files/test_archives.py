from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from llm_from_scratch.files.archives import extract_member, read_members


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def make_tar(path: Path, members: dict[str, bytes], links: tuple[tuple[str, bytes], ...] = ()) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for name, kind in links:
            member = tarfile.TarInfo(name)
            member.type = kind
            member.linkname = "/etc/passwd"
            archive.addfile(member)
    return path


MAKERS = pytest.mark.parametrize("make", [make_zip, make_tar])
MEMBERS = {"p/texts/b.txt": b"B", "p/texts/a.txt": b"A" * 100, "p/setup.py": b"no"}


@MAKERS
def test_wanted_members_only_and_sorted(tmp_path, make):
    found = read_members(make(tmp_path / "x", MEMBERS), "*/texts/*.txt", limit=101)
    assert list(found.items()) == [("p/texts/a.txt", b"A" * 100), ("p/texts/b.txt", b"B")]


@MAKERS
def test_limit_counts_all_members(tmp_path, make):
    with pytest.raises(ValueError, match="unpack to more than 100 bytes"):
        read_members(make(tmp_path / "x", MEMBERS), "*/texts/*.txt", limit=100)
    bomb = make(tmp_path / "bomb", {"zeros": bytes(50_000_000)})
    assert bomb.stat().st_size < 100_000
    with pytest.raises(ValueError, match="more than"):
        read_members(bomb, "zeros", limit=1000)
    with pytest.raises(ValueError, match="50,000,000 bytes, more than the 1,000 allowed"):
        extract_member(bomb, "zeros", tmp_path / "out", limit=1000)
    assert not (tmp_path / "out").exists()


@MAKERS
@pytest.mark.parametrize("name", ["../evil.txt", "/etc/evil.txt", "a/../../evil.txt", "C:\\evil.txt", "..\\evil.txt"])
def test_names_that_lead_outside_are_refused(tmp_path, make, name):
    archive = make(tmp_path / "x", {"good.txt": b"good", name: b"evil"})
    for pattern in ("*", "good.txt"):
        with pytest.raises(ValueError, match="names a place outside the archive: refused"):
            read_members(archive, pattern, limit=1000)
    assert sorted(entry.name for entry in tmp_path.rglob("*")) == ["x"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path, kind):
    archive = make_tar(tmp_path / "x", {"good.txt": b"good"}, links=(("passwd.txt", kind),))
    with pytest.raises(ValueError, match="passwd.txt is a link or a device"):
        read_members(archive, "*.txt", limit=1000)
    assert read_members(archive, "good*", limit=1000) == {"good.txt": b"good"}


@MAKERS
def test_extract_one_member(tmp_path, make):
    data = bytes(range(256)) * 10_000
    archive = make(tmp_path / "x", {"model/weights.gguf": data, "model/readme": b""})
    assert extract_member(archive, "*.gguf", tmp_path / "deep" / "w.gguf", limit=10**7).read_bytes() == data
    with pytest.raises(ValueError, match="expected one member"):
        extract_member(archive, "model/*", tmp_path / "w", limit=10**7)
    with pytest.raises(ValueError, match="expected one member nothing, found "):
        extract_member(archive, "nothing", tmp_path / "w", limit=10**7)
    with pytest.raises(ValueError, match="holds nothing that matches nothing"):
        read_members(archive, "nothing", limit=10**7)


@MAKERS
def test_damaged_archives(tmp_path, make):
    whole = make(tmp_path / "x", {f"{n}.txt": bytes(range(256)) * 40 for n in range(20)}).read_bytes()
    for content in (b"", b"no archive", whole[: len(whole) // 2]):
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(ValueError, match="damaged or no zip or tar archive|is damaged"):
            read_members(tmp_path / "x", "*.txt", limit=10**7)
    with pytest.raises(FileNotFoundError):
        read_members(tmp_path / "absent", "*", limit=1)
