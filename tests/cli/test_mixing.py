"""train with several sources, stages and tasks: from the options to the files, and the same bytes after a stop."""

from __future__ import annotations

import contextlib
import json

import pytest

from llm_from_scratch import cli
from llm_from_scratch.training import loop, read_log

SMALL = "--layers 1 --width 16 --heads 2 --vocabulary 300 --threads 1 --validation 0.1 --seed 3".split()
STAGES = [
    {"steps": 3, "context": 32, "batch_size": 6, "weights": {"tales:40": 1.0}},
    {"tokens": 1000, "context": 64},
    {"steps": 4, "context": 128, "batch_size": 2},
]
COMPARED = ("model.safetensors", "log.jsonl", "run.json", "step-11/optimizer.safetensors", "step-11/state.json",
            "data/SHA256SUMS", "data/prepared.json")  # fmt: skip


def train(*more):
    return cli.main(["train", *SMALL, *map(str, more)])


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    path = tmp_path_factory.mktemp("plans") / "stages.json"
    path.write_text(json.dumps(STAGES), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def options(stages):
    return ["--data", "tales:40=0.75", "pydoc=0.25", "--stages", stages, "--batch", 4, "--evaluate", "arithmetic",
            "--evaluate-items", 3, "--evaluate-every", 5, "--checkpoint-every", 2]  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory, options):
    directory = tmp_path_factory.mktemp("runs") / "whole"
    assert train(*options, "--out", directory) == 0
    return directory


def test_a_run_follows_its_stages_and_says_what_it_measured(finished, capsys):
    steps = [entry for entry in read_log(finished) if "lr" in entry]
    assert (
        [entry["tokens"] for entry in steps][-1]
        == 3 * 192 + 4 * 256 + 4 * 256
        == json.loads((finished / "report.json").read_text(encoding="utf-8"))["tokens"]
    )
    assert [entry["stage"] for entry in steps] == [1] * 3 + [2] * 4 + [3] * 4
    assert steps[2]["rows pydoc"] == 0 and steps[-1]["rows pydoc"] == 6  # a quarter of 16, and of 8
    measured = [entry for entry in read_log(finished) if "arithmetic" in entry]
    assert [entry["step"] for entry in measured] == [0, 5, 10, 11]
    assert {"loss of tales:40", "loss of pydoc", "validation_loss"} < set(measured[0])
    report = json.loads((finished / "report.json").read_text(encoding="utf-8"))
    assert report["measured"]["loss of pydoc"] == [measured[0]["loss of pydoc"], measured[-1]["loss of pydoc"]]
    assert (finished / "measures.png").exists()
    stored = json.loads((finished / "run.json").read_text(encoding="utf-8"))
    assert stored["training"]["total_tokens"] == 2624 and stored["recipe"]["context"] == 128


@pytest.mark.parametrize("after", [3, 5, 7])  # between stages, inside one, between again
def test_stopped_and_resumed_it_ends_with_the_same_bytes(finished, options, tmp_path, monkeypatch, capsys, after):
    class Request:
        asked = 0

        @property
        def requested(self):
            self.asked += 1
            return self.asked > after

    @contextlib.contextmanager
    def polite():
        yield Request()

    monkeypatch.setattr(loop, "polite_interrupts", polite)
    assert train(*options, "--out", tmp_path / "run") == 130
    assert f"stopped after step {after} of 11" in capsys.readouterr().out
    monkeypatch.undo()
    assert cli.main(["train", "--resume", "--out", str(tmp_path / "run")]) == 0
    for name in COMPARED:
        assert (tmp_path / "run" / name).read_bytes() == (finished / name).read_bytes(), name
    assert "measures.png" in {path.name for path in (tmp_path / "run").iterdir()}


def test_sources_without_weights_are_read_by_size(tmp_path, capsys):
    out = tmp_path / "run"
    assert train("--data", "tales:40", "pydoc", "--temperature", 1e9, "--steps", 3, "--context", 32, "--batch", 4,
                 "--out", out) == 0  # fmt: skip
    last = [entry for entry in read_log(out) if "lr" in entry][-1]
    assert last["rows tales:40"] == last["rows pydoc"] == 6
    assert "pydoc: read 0." in capsys.readouterr().out


def test_weights_may_be_normalised(tmp_path):
    out = tmp_path / "run"
    assert train("--data", "tales:40=3", "pydoc=1", "--normalize-weights", "--steps", 2, "--context", 32, "--batch", 4,
                 "--out", out) == 0  # fmt: skip
    stored = json.loads((out / "run.json").read_text(encoding="utf-8"))["recipe"]["data"]
    assert stored["weights"] == {"tales:40": 0.75, "pydoc": 0.25}


def plan(tmp_path, *stages):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(stages), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--data", "tales:40=0.7", "pydoc=0.2"], r"0.7 \+ 0.2 is 0.9; change them, or add --normalize-weights"),
        (["--data", "tales:40=0.7", "pydoc"], "SOURCE=WEIGHT for each"),
        (["--data", "tales:40=x", "pydoc=0.2"], "SOURCE=WEIGHT for each"),
        (["--data", "tales:40=0.5", "tales:40=0.5"], "SOURCE=WEIGHT for each source, once"),
        (["--data", "tales:40=nan", "pydoc=0.2"], "weight of tales:40"),
        (["--data", "tales:40=-1", "pydoc=2"], "weight of tales:40"),
        (["--data", "tales:40", "tales:40"], "named twice"),
        (["--data", "tales:40", "--temperature", "2"], "--temperature evens out several"),
        (["--data", "tales:40", "pydoc", "--temperature", "0"], "temperature"),
        (["--data", "tales:40", "--normalize-weights"], "for sources with weights"),
        (["--data", "tales:40", "nowhere.txt"], "nowhere.txt does not exist"),
        (["--data", "tales:40", "--evaluate", "nonsense"], "no task and no file 'nonsense'"),
        (["--data", "tales:40", "--evaluate", "induction", "--context", "32"], "the task induction: item 0"),
        (["--data", "tales:40", "--evaluate", "arithmetic", "--evaluate-items", "0"], "evaluate_items"),
        (["--data", "tales:40", "--when-dry", "stop", "--steps", "5000"], "tales:40 will run dry"),
        (["--data", "tales:40", "--stages", "nowhere.json"], "nowhere.json"),
    ],
)
def test_mistakes_are_one_clear_line(tmp_path, capsys, more, message):
    import re

    more = more if "--steps" in more else [*more, "--steps", "3"]
    assert train("--batch", 4, *more, "--out", tmp_path / "run") == 2
    error = capsys.readouterr().err
    assert error.startswith("error:") and error.count("\n") == 1 and re.search(message, error), error
    assert not (tmp_path / "run" / "run.json").exists()


@pytest.mark.parametrize(
    ("stages", "more", "message"),
    [
        ([{"steps": 3}], ["--steps", "3"], "leave out --steps"),
        ([{"steps": 3}], ["--minutes", "1"], "leave out --minutes"),
        ([{"steps": 3}, {}], [], "give --steps"),
        ([{"steps": 3}, {}], ["--steps", "3"], "before the last stage begins"),
        ([{"steps": 3, "weights": {"pydoc": 1.0}}], [], "no source pydoc"),
        ([{"steps": 3, "context": 64}], ["--context", "32"], "a stage has rows of 64 tokens"),
        ([{"rows": 3}], [], "plan.json, stage 1: 'rows' is not known"),
    ],
)
def test_stages_that_contradict_the_options(tmp_path, capsys, stages, more, message):
    assert train("--data", "tales:40", "--stages", plan(tmp_path, *stages), *more, "--out", tmp_path / "run") == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1, error


def test_resuming_takes_no_other_mixture(finished, stages, capsys):
    for more in (["--stages", stages], ["--data", "tales:40"], ["--when-dry", "stop"], ["--evaluate", "arithmetic"],
                 ["--find-lr"], ["--normalize-weights"]):  # fmt: skip
        assert cli.main(["train", "--resume", "--out", str(finished), *map(str, more)]) == 2
        assert "leave out --" in capsys.readouterr().err
