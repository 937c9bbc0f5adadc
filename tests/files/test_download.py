"""Downloads against an index on this machine: the real pip, no network."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest.mock import Mock

import pytest

from llm_from_scratch.files import download
from llm_from_scratch.files.download import Artifact, ChecksumError, cache_directory, fetch, sha256

# The set-up script of 2008: running it would leave a trace, and fail.
SETUP = "import pathlib, os\npathlib.Path(os.environ['TRACE']).write_text('ran')\nprint 'python 2'\n"


def source_archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in (("setup.py", SETUP), ("texts/a_gut.txt", "To be\n"), ("PKG-INFO", "Name: old\n")):
            member = tarfile.TarInfo(f"old_texts-0.6/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


def wheel() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("model.bin", "0" * 1000)
        archive.writestr("a_wheel-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: a-wheel\nVersion: 1.0\n")
        archive.writestr("a_wheel-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("a_wheel-1.0.dist-info/RECORD", "")
    return buffer.getvalue()


FILES = {"old_texts-0.6.tar.gz": source_archive(), "a_wheel-1.0-py3-none-any.whl": wheel()}


class Index:
    """A simple index (PEP 503) that counts what is asked of it and can cut or withhold files."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.cut = False
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.requests.append(self.path)
                name = self.path.rsplit("/", 1)[-1]
                if self.path.startswith("/simple/"):
                    project = self.path.split("/")[2].replace("-", "_")
                    links = [f'<a href="/files/{file}">{file}</a>' for file in FILES if file.startswith(project)]
                    self.answer(("<!DOCTYPE html><html><body>" + "".join(links) + "</body></html>").encode())
                elif name in FILES:
                    self.answer(FILES[name], cut=index.cut)
                else:
                    self.send_error(404)

            def answer(self, body: bytes, cut: bool = False) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html" if body[:1] == b"<" else "application/octet-stream")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if cut else body)

            def log_message(self, *args: object) -> None:
                return None

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/simple/"


@pytest.fixture
def index(monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("PIP_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    server = Index()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", server.url)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("TRACE", str(tmp_path / "trace"))
    monkeypatch.setenv(download.CACHE_VARIABLE, str(tmp_path / "cache"))
    yield server
    server.server.shutdown()
    server.server.server_close()


def offer(monkeypatch, name: str, digest: str | None = None) -> str:
    project, version = name.split("-")[:2]
    digest = digest or hashlib.sha256(FILES[name]).hexdigest()
    artifact = Artifact(project.replace("_", "-"), version.removesuffix(".tar.gz"), name, digest, "for a test")
    monkeypatch.setitem(download.ARTIFACTS, "it", artifact)
    return digest


@pytest.mark.parametrize("name", sorted(FILES))
def test_fetched_once_then_from_the_cache_and_nothing_runs(index, monkeypatch, tmp_path, name):
    offer(monkeypatch, name)
    path = fetch("it")
    assert path == tmp_path / "cache" / name and path.read_bytes() == FILES[name]
    asked = len(index.requests)
    assert asked >= 2
    index.server.shutdown()
    assert fetch("it") == path and len(index.requests) == asked
    assert not (tmp_path / "trace").exists()
    assert [entry.name for entry in (tmp_path / "cache").iterdir()] == [name]


def test_a_damaged_file_in_the_cache_is_fetched_again(index, monkeypatch, tmp_path):
    name = "a_wheel-1.0-py3-none-any.whl"
    offer(monkeypatch, name)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / name).write_bytes(b"half")
    assert fetch("it").read_bytes() == FILES[name]


def test_another_file_than_promised_is_refused(index, monkeypatch, tmp_path):
    offer(monkeypatch, "old_texts-0.6.tar.gz", "0" * 64)
    with pytest.raises(ChecksumError, match="wrong checksum: expected SHA-256 0000") as caught:
        fetch("it")
    assert hashlib.sha256(FILES["old_texts-0.6.tar.gz"]).hexdigest() in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == []
    assert not (tmp_path / "trace").exists()


def test_the_checksum_does_not_rest_on_pip_alone(monkeypatch, tmp_path):
    offer(monkeypatch, "old_texts-0.6.tar.gz")

    def lying_pip(artifact: Artifact, work: Path) -> None:
        (work / "arrived").mkdir()
        (work / "arrived" / artifact.filename).write_bytes(b"something else")

    monkeypatch.setattr(download, "_run_pip", lying_pip)
    with pytest.raises(ChecksumError, match="got " + hashlib.sha256(b"something else").hexdigest()):
        fetch("it", cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cut_download_leaves_nothing(index, monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_RESUME_RETRIES", "0")
    offer(monkeypatch, "a_wheel-1.0-py3-none-any.whl")
    index.cut = True
    with pytest.raises((OSError, ChecksumError)) as caught:
        fetch("it")
    assert "a_wheel-1.0-py3-none-any.whl" in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_absent_from_the_index(index, monkeypatch, tmp_path):
    monkeypatch.setitem(
        download.ARTIFACTS, "it", Artifact("nowhere", "1.0", "nowhere-1.0-py3-none-any.whl", "0" * 64, "")
    )
    with pytest.raises(OSError, match=r"could not fetch nowhere-1\.0.*: ERROR: .*Check the network.*put the file into"):
        fetch("it")
    assert list((tmp_path / "cache").iterdir()) == []


def failing_pip(output: str):
    def run(command, **settings):
        return subprocess.CompletedProcess(command, 1, "", output)

    return run


@pytest.mark.parametrize(
    "output, message",
    [
        ("/usr/bin/python: No module named pip", "has no pip .python -m ensurepip"),
        ("WARNING: Retrying\nERROR: Could not find a version (no route to host)", "Could not find a version"),
        ("", "failed without a word"),
        (
            "WARNING: Retrying (Retry(total=1)) after connection broken\nERROR: No matching x (from versions: none)",
            "could not fetch old_texts-0.6.tar.gz: no connection to the package index. Check the network",
        ),
    ],
)
def test_failures_are_explained(monkeypatch, tmp_path, output, message):
    offer(monkeypatch, "old_texts-0.6.tar.gz")
    monkeypatch.setattr(download.subprocess, "run", failing_pip(output))
    with pytest.raises(OSError, match=message):
        fetch("it", cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_unknown_names_and_the_cache_folder(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="nothing called 'milton' to fetch; known: .*shakespeare"):
        fetch("milton")
    monkeypatch.setenv(download.CACHE_VARIABLE, str(tmp_path))
    assert cache_directory() == tmp_path
    monkeypatch.delenv(download.CACHE_VARIABLE)
    assert cache_directory().parts[-2:] == ("llm_from_scratch", "files")


@pytest.mark.skipif(sys.platform != "linux", reason="folders as the XDG specification names them")
def test_the_cache_folder_is_where_it_always_was(monkeypatch):
    monkeypatch.delenv(download.CACHE_VARIABLE, raising=False)
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/caches")
    assert str(cache_directory()) == "/var/caches/llm_from_scratch/files"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert str(cache_directory()) == "/home/someone/.cache/llm_from_scratch/files"


@pytest.mark.parametrize("answer", [RuntimeError("could not determine the home directory"), Path("~/.cache")])
def test_an_account_without_a_home_is_told_what_to_set(monkeypatch, answer):
    """Versions of platformdirs differ in what they say of it."""
    monkeypatch.delenv(download.CACHE_VARIABLE, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.setattr(download.platformdirs, "user_cache_path", Mock(side_effect=[answer]))
    with pytest.raises(OSError, match=f"(?i)home directory.*; or set {download.CACHE_VARIABLE}"):
        cache_directory()


def test_sha256_of_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 10**6)
    assert sha256(tmp_path / "a") == hashlib.sha256(b"abc" * 10**6).hexdigest()
    assert len(download.ARTIFACTS["shakespeare"].sha256) == 64
