"""`train --explain STEP`: from a run's directory to the page that names what was planted in its text."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import shutil

import numpy as np
import pytest

from llm_from_scratch import cli
from llm_from_scratch.cli import _run_files
from llm_from_scratch.data.sources import documents
from llm_from_scratch.recipes.batching import batches
from llm_from_scratch.recipes.recipe import prepared_corpus

SMALL = "--layers 2 --width 32 --heads 2 --context 32 --batch 4 --vocabulary 300 --threads 1 --validation 0.05".split()
NOISE = "".join(chr(33 + (97 * n * n + 31 * n) % 90) for n in range(600))


def train(*arguments):
    return cli.main(["train", *map(str, arguments)])


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory):
    """A run on a folder of tales with one file of noise; the directory."""
    folder = tmp_path_factory.mktemp("texts")
    for number, tale in enumerate(itertools.islice(documents("tales:60"), 60)):
        (folder / f"{number:03}.txt").write_text(NOISE if number == 41 else tale, encoding="utf-8")
    out = tmp_path_factory.mktemp("runs") / "run"
    more = ["--steps", 60, "--lr", 0.003, "--checkpoint-every", 10, "--keep", 9, "--statistics", 20, "--recompute"]
    assert train("--data", folder, *SMALL, *more, "--out", out) == 0
    return out


def contents(directory):
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in directory.rglob("*") if p.is_file()}


def step_with_noise(out):
    """A late step that reads of the noise, and the noise's number among the documents."""
    recipe, settings, _ = _run_files.read_run(out)
    corpus = prepared_corpus(recipe, out / "data")
    ids, separator = np.asarray(corpus.train.ids), corpus.train.separator
    begins = np.flatnonzero(ids == separator)
    texts = [corpus.tokenizer.decode(ids[a + 1 : b].tolist()) for a, b in itertools.pairwise(begins)]
    number = next(n for n, text in enumerate(texts) if NOISE[:40] in text)
    walk, found = batches(recipe, corpus), []
    for step in range(1, settings.steps + 1):
        next(walk)
        inside = (walk.starts > begins[number]) & (walk.starts + 32 < begins[number + 1])
        if inside.any():
            found.append(step)
    return found[-1], number


def test_the_noise_is_named_and_nothing_is_touched(spoilt, capsys):
    step, number = step_with_noise(spoilt)
    before = contents(spoilt)
    assert train("--explain", step, "--out", spoilt) == 0
    page = capsys.readouterr().out
    assert contents(spoilt) == before
    assert f"document {number} " in page and "to the last digit" in page and "the first says: " in page
    assert train("--explain", step, "--out", spoilt, "--json") == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found["equal"] and found["documents"][0]["document"] == number and "document" in found["causes"]
    assert found["excerpt"].strip() and found["excerpt"].strip()[:20] in NOISE and "replayed from" in captured.err


def test_a_run_that_diverges_says_how_to_ask_why(spoilt, tmp_path, capsys):
    folder = tmp_path / "text"
    folder.mkdir()
    (folder / "a.txt").write_text("\n".join(itertools.islice(documents("tales:60"), 60)), encoding="utf-8")
    out, wild = tmp_path / "run", ["--lr", 1e30, "--warmup", 0, "--clip", 0, "--evaluate-every", 50]
    assert train("--data", folder, *SMALL, "--steps", 20, *wild, "--out", out) != 0
    error = capsys.readouterr().err
    command = re.search(r"train --explain (\d+) --out", error)
    assert command, error
    assert train("--explain", command[1], "--out", out, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["equal"] and found["diverged"] and found["loss"] is None and found["snapshot"] == "its beginning"


def test_statistics_stand_beside_the_log(spoilt):
    lines = (spoilt / "statistics.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in lines] == [20, 40, 60]
    assert (spoilt / "statistics.png").exists()


@pytest.mark.parametrize("arguments, message", [
    (["--explain", 7], "--explain needs --out DIR: which run is it?"),
    (["--explain", 7, "--steps", 5, "--out", "RUN"], "with --explain the run's own settings hold: leave out --steps"),
    (["--explain", 7, "--resume", "--out", "RUN"], "leave out --resume"),
    (["--explain", 0, "--out", "RUN"], "whole number of at least 1"),
    (["--explain", 99, "--out", "RUN"], "has come to step 60"),
    (["--explain", 7, "--out", "nowhere"], "there is no run in nowhere"),
])  # fmt: skip
def test_mistakes_are_one_clear_line(spoilt, capsys, arguments, message):
    assert train(*(spoilt if part == "RUN" else part for part in arguments)) != 0
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_runs_of_other_commands_are_refused_by_name(tmp_path, capsys):
    (tmp_path / "run.json").write_text('{"command": "finetune"}', encoding="utf-8")
    assert train("--explain", 3, "--out", tmp_path) != 0
    assert "a run of finetune: --explain replays those of train and quickstart alone" in capsys.readouterr().err


def test_text_that_is_gone_or_changed(spoilt, tmp_path, capsys):
    copy = tmp_path / "run"
    shutil.copytree(spoilt, copy)
    with open(copy / "data" / "train.tokens", "r+b") as file:
        file.seek(600)
        file.write(b"\1\2")
    assert train("--explain", 30, "--out", copy) != 0
    assert "train.tokens" in capsys.readouterr().err
    shutil.rmtree(copy / "data")
    assert train("--explain", 30, "--out", copy) != 0
    assert "does not hold the prepared text" in capsys.readouterr().err and not (copy / "data").exists()
