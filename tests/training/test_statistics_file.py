"""statistics.jsonl: written every so many steps, the same bytes however often the run is interrupted."""

from __future__ import annotations

import json

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.data.sampler import BatchSampler
from llm_from_scratch.training import Observer, TrainingSettings, plot_statistics, read_statistics, train
from llm_from_scratch.training.statistics_file import STATISTICS, StatisticsFile


def tiny(**more):
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    return lfs.build("llama", **sizes, vocab_size=40, seed=1, **more)


def run(directory, model=None, **changes):
    more = {key: changes.pop(key) for key in ("on_step", "resume", "report", "observers") if key in changes}
    chosen = {"steps": 12, "threads": 2, "checkpoint_every": 4, "learning_rate": 0.01, "statistics_every": 3, **changes}
    sampler = BatchSampler(np.cumsum(np.arange(2000) % 7) % 40, 4, 16, seed=0)
    return train(model or tiny(), sampler, TrainingSettings(**chosen), directory=directory, progress=False, **more)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "whole"
    run(directory)
    return directory


class Killed(Exception):
    pass


def kill_at(place):
    def kill(step, loss, model):
        if step == place:
            raise Killed

    return kill


def test_a_line_every_so_many_steps(whole):
    entries = read_statistics(whole)
    assert [entry["step"] for entry in entries] == [3, 6, 9, 12] and entries == read_statistics(whole / STATISTICS)
    assert set(entries[0]["parameters"]["head.weight"]) == {"gradient", "weight", "update"}
    assert all(0 < figures["update"] < 1 for figures in entries[0]["parameters"].values())
    assert (whole / "statistics.png").read_bytes().startswith(b"\x89PNG")


def test_updates_are_the_share_by_which_weights_moved(tmp_path):
    seen = []
    run(
        tmp_path / "run", statistics_every=1, steps=2, on_step=lambda s, loss, m: seen.append(m.head.weight.data.copy())
    )
    for number, entry in enumerate(read_statistics(tmp_path / "run")):
        moved = np.linalg.norm((seen[number + 1] - seen[number]).astype(float))
        share = moved / np.linalg.norm(seen[number].astype(float))
        assert entry["parameters"]["head.weight"]["update"] == pytest.approx(share, rel=1e-4)


def test_measuring_changes_no_byte_of_the_run(whole, tmp_path):
    run(tmp_path / "blind", statistics_every=0)
    for path in ("log.jsonl", "model.safetensors", "step-12/optimizer.safetensors"):
        assert (tmp_path / "blind" / path).read_bytes() == (whole / path).read_bytes()
    assert not (tmp_path / "blind" / STATISTICS).exists() and not (tmp_path / "blind" / "statistics.png").exists()


@pytest.mark.parametrize("place", [2, 5, 7, 10])
def test_a_resumed_run_writes_the_same_lines(whole, tmp_path, place):
    with pytest.raises(Killed):
        run(tmp_path / "run", on_step=kill_at(place))
    with open(tmp_path / "run" / STATISTICS, "ab") as file:
        file.write(b'{"step": 9, "activ')  # half a line, as a killed process leaves it
    run(tmp_path / "run", resume=True)
    for path in (STATISTICS, "log.jsonl"):
        assert (tmp_path / "run" / path).read_bytes() == (whole / path).read_bytes()


def test_it_may_be_switched_on_and_off_when_a_run_goes_on(tmp_path, whole):
    with pytest.raises(Killed):
        run(tmp_path / "run", statistics_every=0, on_step=kill_at(6))
    run(tmp_path / "run", resume=True)
    assert (tmp_path / "run" / STATISTICS).read_bytes() == b"".join(
        line for line in (whole / STATISTICS).read_bytes().splitlines(True) if json.loads(line)["step"] > 4
    )


@pytest.mark.parametrize("storage", ["float32", "bfloat16"])
def test_accumulation_storage_and_recomputation(tmp_path, storage):
    run(tmp_path / "run", storage=storage, recompute=True, micro_batches=2, statistics_every=6)
    entries = read_statistics(tmp_path / "run")
    assert len(entries) == 2 and 0 < entries[0]["parameters"]["layers.0.mixer.query.weight"]["update"] < 1
    blocks = entries[0]["activations"]["layers.1"]
    assert blocks["not_finite"] == 0 and blocks["rms"] > 0


def test_observers_are_called_around_the_passes_and_the_update(tmp_path):
    seen = []

    class Looks(Observer):
        def passing(self, step, model):
            return self.note("passes", step, model)

        def updating(self, step, model):
            return self.note("update", step, model)

        def note(self, what, step, model):
            import contextlib

            @contextlib.contextmanager
            def around():
                before = model.head.weight.grad is None, model.head.weight.data.copy()
                yield
                moved = bool((model.head.weight.data != before[1]).any())
                seen.append((what, step, before[0], model.head.weight.grad is None, moved))

            return around()

    run(None, steps=2, statistics_every=0, observers=[Looks(), Observer()])
    assert seen == [("passes", 1, True, False, False), ("update", 1, False, False, True),
                    ("passes", 2, True, False, False), ("update", 2, False, False, True)]  # fmt: skip


def test_without_a_directory_there_is_nowhere_to_write():
    with pytest.raises(ValueError, match=r"name a directory, or call statistics\(model, batch\)"):
        run(None)
    for wrong, error in ((-1, ValueError), (2.5, TypeError), (True, TypeError)):
        with pytest.raises(error, match="statistics_every"):
            TrainingSettings(steps=1, statistics_every=wrong)


def test_a_line_that_is_no_entry_ends_what_is_kept(tmp_path):
    path = tmp_path / STATISTICS
    path.write_bytes(b'{"step": 1}\n{"step": 2}\n[3]\n{"step": 4}\n')
    with StatisticsFile(path, 1, 9).log:
        pass
    assert path.read_bytes() == b'{"step": 1}\n{"step": 2}\n'


def test_a_picture_that_cannot_be_drawn_holds_nothing_up(tmp_path, monkeypatch):
    said = []
    run(tmp_path / "run", steps=2, statistics_every=5, report=said.append)  # nothing was measured in two steps
    assert len(said) == 1 and "statistics could not be drawn (no statistics yet" in said[0]


def test_what_is_not_finite_is_none_and_is_drawn_as_missing(tmp_path):
    entries = [
        {"step": step, "activations": {"layers.0": {"rms": rms, "largest": 1.0}},
         "parameters": {"layers.0.weight": {"gradient": None, "weight": 1.0, "update": 0.1}}}
        for step, rms in ((1, None), (2, 2.0))
    ]  # fmt: skip
    image = plot_statistics(entries, tmp_path / "a.png", "title")
    assert image.read_bytes().startswith(b"\x89PNG")
