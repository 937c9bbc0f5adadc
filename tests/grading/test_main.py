"""The commands for authors of exercises."""

from __future__ import annotations

from grading_sandbox import make_exercises

from llm_from_scratch.grading.__main__ import main


def test_authors_commands(tmp_path, monkeypatch, capsys):
    chapter = make_exercises(tmp_path)
    monkeypatch.setattr("llm_from_scratch.grading.__main__.find_exercises", lambda: chapter.root)
    assert main(["write"]) == 0 and chapter.learner_file.is_file()
    assert main(["wrongs", "ch99"]) == 1
    assert "MISSED  ch99_doubling triple: missed" in capsys.readouterr().out
