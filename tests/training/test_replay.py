"""Which snapshot a replay begins from, and what it keeps of the steps."""

from __future__ import annotations

import numpy as np
import pytest
from spiking import corpus, explained, run, sampler, settings

from llm_from_scratch.training.replay import Remembering, snapshot_before


@pytest.fixture
def kept(tmp_path):
    """A directory with snapshots at these steps, and a half-written one."""

    def make(*numbers):
        for number in numbers:
            (tmp_path / f"step-{number}").mkdir()
            (tmp_path / f"step-{number}" / "state.json").write_text("{}", encoding="utf-8")
        (tmp_path / "step-7.tmp").mkdir()
        (tmp_path / "step-8").mkdir()  # nothing in it
        return tmp_path

    return make


@pytest.mark.parametrize(
    "step, wanted", [(11, 10), (20, 10), (30, 10), (31, 10), (41, 20), (50, 20), (51, 30), (61, 40), (200, 40)]
)
def test_the_latest_that_leaves_room_to_see_what_is_usual(kept, step, wanted):
    assert snapshot_before(kept(10, 20, 30, 40), step, settings(checkpoint_every=10)).name == f"step-{wanted}"


def test_none_before(kept):
    directory = kept(60, 80)
    assert snapshot_before(directory, 20, settings(checkpoint_every=20)) is None
    with pytest.raises(
        ValueError, match=r"before step 21 .*there are step-60, step-80\).*newest 2; begin it with --keep"
    ):
        snapshot_before(directory, 21, settings(checkpoint_every=20, keep=2))
    with pytest.raises(ValueError, match=r"before step 60"):
        snapshot_before(directory, 60, settings(checkpoint_every=20))
    assert snapshot_before(directory, 61, settings(checkpoint_every=20)).name == "step-60"


def test_a_run_that_saved_only_at_its_end_is_replayed_from_its_beginning(kept):
    assert snapshot_before(kept(80), 70, settings(checkpoint_every=0)) is None


def test_batches_are_kept_with_their_places():
    walk, plain = Remembering(sampler(corpus()), 2), sampler(corpus())
    given = [next(walk) for _ in range(5)]
    for batch in given:
        assert np.array_equal(batch["ids"], next(plain)["ids"])
    assert [one["batch"] is batch for one, batch in zip(walk.batches, given[-2:])] == [True, True]
    assert [row.start for row in walk.batches[-1]["origins"]] == plain.starts.tolist() and walk.state() == plain.state()


def test_a_damaged_snapshot_is_named(tmp_path):
    run(tmp_path / "run", corpus(), settings(steps=40))
    with open(tmp_path / "run" / "step-20" / "optimizer.safetensors", "ab") as file:
        file.write(b"x")
    with pytest.raises(ValueError, match=r"optimizer\.safetensors"):
        explained(tmp_path / "run", corpus(), settings(steps=40), 30)
