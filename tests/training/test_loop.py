from __future__ import annotations

import contextlib
import errno

import numpy as np
import pytest
from standin import StandIn, open_stand_in, sampler, validation

from llm_from_scratch.training import (
    AdamW,
    Outcome,
    TrainingSettings,
    accumulate_gradients,
    loop,
    read_log,
    train,
)
from llm_from_scratch.training.checkpoint import latest_checkpoint


def short(**changes):
    return TrainingSettings(**{"steps": 6, "learning_rate": 0.02, "checkpoint_every": 2, "threads": 1, **changes})


def run(directory, settings=None, model=None, **more):
    model = model or StandIn(seed=1)
    more = {"progress": False, "open_model": open_stand_in, "validation": validation, **more}
    return model, train(model, sampler(), settings or short(), directory=directory, **more)


def test_training_lowers_the_loss_and_leaves_everything_behind(tmp_path):
    model, outcome = run(tmp_path / "run", short(steps=60, evaluate_every=20, checkpoint_every=25, keep=2))
    assert isinstance(outcome, Outcome) and outcome.finished and outcome.step == 60 and outcome.tokens == 60 * 32
    entries = read_log(tmp_path / "run")
    evaluations = [e for e in entries if "validation_loss" in e]
    assert [e["step"] for e in evaluations] == [0, 20, 40, 60]
    assert evaluations[-1]["validation_loss"] < 0.8 * evaluations[0]["validation_loss"]
    assert outcome.validation["loss"] == evaluations[-1]["validation_loss"]
    names = {p.name for p in (tmp_path / "run").iterdir()}
    assert names == {"log.jsonl", "timing.jsonl", "loss.png", "latest", "model.safetensors", "step-50", "step-60"}
    assert (tmp_path / "run" / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert {p.name for p in (tmp_path / "run" / "step-60").iterdir()} == {
        "model.safetensors",
        "optimizer.safetensors",
        "state.json",
        "SHA256SUMS",
    }
    stored = open_stand_in(tmp_path / "run", np.float64)
    assert np.array_equal(stored.head.data, model.head.data)
    assert not any("second" in key or "time" in key for entry in entries for key in entry)


def test_a_stop_asked_for_at_any_moment_is_followed_by_a_checkpoint(tmp_path, monkeypatch):
    """Also one that comes when the loop has just looked: it waits for the next look, and nothing is lost."""

    class AskedAfter:
        def __init__(self, looks):
            self.left = looks

        @property
        def requested(self):
            self.left -= 1
            return self.left < 0

    for looks in range(1, 6):
        said: list[str] = []
        directory = tmp_path / str(looks)
        monkeypatch.setattr(loop, "polite_interrupts", lambda looks=looks: contextlib.nullcontext(AskedAfter(looks)))
        _, outcome = run(directory, short(steps=20, checkpoint_every=0), report=said.append)
        assert not outcome.finished and 0 < outcome.step < 20
        checkpoint = latest_checkpoint(directory)
        assert checkpoint is not None and checkpoint.name == f"step-{outcome.step}"
        assert f"saved as {checkpoint}" in said[-1]


def test_micro_batches_make_one_big_step():
    """Two batches a step, with unequal numbers of targets, move the weights as one batch of both does."""

    class Fixed:
        def __init__(self, batches):
            self.batches = batches

        def __next__(self):
            return self.batches.pop(0)

    rng = np.random.default_rng(0)
    parts = [{"ids": rng.integers(0, 11, (3, 5)), "targets": rng.integers(0, 11, (3, 5))} for _ in range(2)]
    parts[0]["targets"][:, 1:] = -100
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    one, two = StandIn(seed=3), StandIn(seed=3)
    train(one, Fixed([whole]), short(steps=1), progress=False)
    train(two, Fixed(parts), short(steps=1, micro_batches=2), progress=False)
    for a, b in zip(one.parameters(), two.parameters()):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-9)


@pytest.mark.parametrize("broken", ["loss", "gradient"])
def test_what_is_not_finite_is_noticed_before_it_touches_the_weights(tmp_path, broken):
    class Breaking(StandIn):
        step = 0

        def loss(self, batch, **settings):
            Breaking.step += 1
            loss = super().loss(batch, **settings)
            if Breaking.step == 5:
                loss = loss * np.inf
                if broken == "gradient":
                    loss.data = np.array(1.0)
            return loss

    model = Breaking(seed=1)
    with pytest.raises(ValueError, match=r"step 5: .*(inf|nan).*embedding.*step-4.*lower learning rate"):
        run(tmp_path / "run", model=model, validation=None)
    assert all(np.isfinite(p.data).all() for p in model.parameters())
    good = open_stand_in(latest_checkpoint(tmp_path / "run"), np.float64)
    assert all(np.isfinite(p.data).all() for p in good.parameters())


def test_a_full_disk_leaves_the_earlier_checkpoint(tmp_path, monkeypatch):
    from llm_from_scratch.training import checkpoint

    real = checkpoint.write_safetensors

    def full(path, tensors):
        real(path, tensors)
        if "step-4" in str(path):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_safetensors", full)
    with pytest.raises(OSError, match=r"checkpoint of step 4 could not be written.*full.*step-2 is intact"):
        run(tmp_path / "run")
    assert not list((tmp_path / "run").glob("*.tmp"))
    assert latest_checkpoint(tmp_path / "run").name == "step-2"
    monkeypatch.undo()
    resumed, outcome = run(tmp_path / "run", resume=True)
    whole, _ = run(tmp_path / "other")
    assert outcome.finished
    assert all(np.array_equal(a.data, b.data) for a, b in zip(resumed.parameters(), whole.parameters()))


def test_a_run_is_not_overwritten_and_not_resumed_with_other_settings(tmp_path):
    run(tmp_path / "run")
    before = (tmp_path / "run" / "log.jsonl").read_bytes()
    with pytest.raises(ValueError, match="already holds a run"):
        run(tmp_path / "run")
    with pytest.raises(ValueError, match=r"learning_rate: 0.02, now 0.03"):
        run(tmp_path / "run", short(learning_rate=0.03), resume=True)
    with pytest.raises(ValueError, match="seed"):
        train(
            StandIn(), sampler(seed=9), short(), directory=tmp_path / "run", resume=True, open_model=open_stand_in,
            progress=False,
        )  # fmt: skip
    assert (tmp_path / "run" / "log.jsonl").read_bytes() == before
    _, outcome = run(tmp_path / "run", short(keep=5, checkpoint_every=1), resume=True)  # already finished
    assert outcome.finished and outcome.step == 6


def test_what_no_checkpoint_could_keep_is_said_before_the_first_step(tmp_path):
    class Unable:
        def __next__(self):
            raise AssertionError("a step was begun")

        def state(self):
            return {"position": np.int64(3)}

    for keep, more in (("sampler", {}), ("identity", {"identity": {"seeds": {1, 2}}})):
        with pytest.raises(TypeError, match=f"what the {keep} says as JSON.*not JSON serializable"):
            train(StandIn(), Unable(), short(), directory=tmp_path / keep, progress=False, **more)


def test_a_corpus_without_targets_is_an_error():
    class Empty:
        def __next__(self):
            return {"ids": np.zeros((2, 3), int), "targets": np.full((2, 3), -100)}

    with pytest.raises(ValueError, match="no target"):
        train(StandIn(), Empty(), short(), progress=False)
    with pytest.raises(ValueError, match="no target"):
        accumulate_gradients(StandIn(), **next(Empty()))


def test_what_is_measured_beside_the_loss_is_logged_and_resumed(tmp_path):
    def figured():
        batches = sampler()
        batches.figures = {"kl": 0.25}
        return batches

    def measure(model):
        return {"size": np.abs(model.head.data).sum()}

    def go(name, stop_at=None, **more):
        def stop(step, loss, model):
            if step == stop_at:
                raise KeyboardInterrupt

        about = {"progress": False, "measures": measure, "on_step": stop, "directory": tmp_path / name, **more}
        return train(StandIn(seed=1), figured(), short(evaluate_every=2), **about)

    outcome = go("whole")
    entries = read_log(tmp_path / "whole")
    assert [e["step"] for e in entries if "size" in e] == [0, 2, 4, 6]
    assert all(e["kl"] == 0.25 for e in entries if "loss" in e)
    assert outcome.validation == {"size": entries[-1]["size"]}
    with contextlib.suppress(KeyboardInterrupt):
        go("again", stop_at=4)
    go("again", resume=True)
    assert (tmp_path / "again" / "log.jsonl").read_bytes() == (tmp_path / "whole" / "log.jsonl").read_bytes()


def test_a_measure_that_is_no_number_is_named(tmp_path):
    with pytest.raises(ValueError, match="after step 0 reward was measured as nan"):
        run(tmp_path / "run", short(evaluate_every=2), measures=lambda model: {"reward": float("nan")})


def test_gradients_of_somebody_else_are_no_part_of_a_step():
    """Neither those that were there before, nor what is left by a look between steps or has no optimiser."""

    def weights(dirty):
        model, settings = StandIn(seed=2), TrainingSettings(steps=4, threads=1)

        def leave(step, loss, model):
            for _, p in model.named_parameters():
                p.grad = np.full_like(p.data, 100.0) if dirty else None

        train(model, sampler(), settings, on_step=leave, progress=False, report=lambda text: None)
        return [p.data for _, p in model.named_parameters()]

    for clean, dirty in zip(weights(False), weights(True)):
        np.testing.assert_array_equal(clean, dirty)


def test_what_an_optimiser_leaves_out_does_not_pile_up(tmp_path):
    model = StandIn(seed=2)
    settings = TrainingSettings(steps=30, threads=1, learning_rate=1e-9)
    train(model, sampler(), settings, optimizer=lambda groups: AdamW(groups[1:], lr=1.0), directory=tmp_path,
          progress=False, report=lambda text: None)  # fmt: skip
    norms = [entry["grad_norm"] for entry in read_log(tmp_path)]
    assert max(norms) < 2 * min(norms)
