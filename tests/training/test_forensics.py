"""A spike explained: what was planted is named, be it a document, a layer, or steps that are too long."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from spiking import corpus, explained, run, settings, step_with, steps_with

from llm_from_scratch.training import read_log
from llm_from_scratch.training.forensics_page import page

PLANTED = 70


def contents(directory):
    return {p.relative_to(directory).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in sorted(directory.rglob("*")) if p.is_file()}  # fmt: skip


@pytest.fixture(scope="module", params=["random", "repeats"])
def corrupted(request, tmp_path_factory):
    directory, tokens, chosen = tmp_path_factory.mktemp("runs") / "run", corpus(PLANTED, request.param), settings()
    run(directory, tokens, chosen)
    return directory, tokens, chosen


def test_a_corrupted_document_is_named_and_nothing_of_the_run_is_touched(corrupted):
    directory, tokens, chosen = corrupted
    step, before = step_with(tokens, PLANTED, chosen, after=20), contents(directory)
    found = explained(directory, tokens, chosen, step, decode=lambda ids: " ".join(map(str, ids)))
    assert contents(directory) == before
    assert found.equal and not found.differences and found.notes == () and found.snapshot.startswith("step-")
    assert found.loss == next(e["loss"] for e in read_log(directory) if e["step"] == step)
    assert {piece.document for piece in found.culprits} == {PLANTED} and "document" in found.causes
    worst = found.documents[0]
    ids = np.asarray(tokens[worst.start : worst.start + worst.last - worst.first])
    assert found.excerpt == " ".join(map(str, ids)) and worst.strangeness > 1 > found.documents[1].strangeness
    text = page(found)
    assert f"document {PLANTED}" in text and "to the last digit" in text and found.excerpt[:30] in text
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["causes"] == found.causes


def test_a_step_at_which_nothing_happened_accuses_nobody(corrupted):
    directory, tokens, chosen = corrupted
    hit = steps_with(tokens, PLANTED, chosen, least=0)
    calm = [step for step in range(42, 80, 5) if step not in hit]
    assert len(calm) > 4
    for step in calm:
        found = explained(directory, tokens, chosen, step)
        assert found.equal and found.culprits == [] and "weights" not in found.causes
        assert "step length" not in found.causes and "document" not in found.causes


@pytest.mark.parametrize("mode", ["documents", "random", "mixture"])
def test_documents_are_found_however_rows_are_cut(tmp_path, mode):
    tokens, chosen = corpus(PLANTED), settings(steps=120)
    run(tmp_path / "run", tokens, chosen, mode=mode)
    step = step_with(tokens, PLANTED, chosen, mode, after=40)
    found = explained(tmp_path / "run", tokens, chosen, step, mode=mode)
    assert found.equal and {piece.document for piece in found.culprits} == {PLANTED}
    if mode == "mixture":
        assert {piece.source for piece in found.culprits} == {"spoilt"}
        assert f"batch {step - 20} of stage 2" in page(found) and "of spoilt)" in page(found)


@pytest.mark.parametrize(
    "changes", [{"threads": 2}, {"micro_batches": 2}, {"storage": "bfloat16"}, {"recompute": True}]
)
def test_threads_accumulation_and_memory_saving_replay_to_the_byte(tmp_path, changes):
    tokens, chosen = corpus(PLANTED), settings(**changes)
    run(tmp_path / "run", tokens, chosen)
    step = step_with(tokens, PLANTED, chosen)
    found = explained(tmp_path / "run", tokens, chosen, step)
    assert found.equal and {piece.document for piece in found.culprits} == {PLANTED}
    assert len(found.batches) == chosen.micro_batches
    assert found.batches[-1]["batch"] == 1 + (step * chosen.micro_batches - 1) % 56 or found.batches[-1]["epoch"] > 0


def test_a_resumed_run_is_explained_like_any_other(tmp_path):
    tokens, chosen = corpus(PLANTED), settings()

    class Killed(Exception):
        pass

    def kill(step, loss, model):
        if step == 33:
            raise Killed

    with pytest.raises(Killed):
        run(tmp_path / "run", tokens, chosen, on_step=kill)
    run(tmp_path / "run", tokens, chosen, resume=True)
    found = explained(tmp_path / "run", tokens, chosen, step_with(tokens, PLANTED, chosen))
    assert found.equal and found.culprits


@pytest.mark.parametrize("name", ["llama-2-70b", "gpt2", "mamba-2.8b", "mixtral-8x7b"])
@pytest.mark.parametrize("poison", [60.0, np.nan])
def test_a_poisoned_weight_is_named_with_its_layer(tmp_path, name, poison):
    """Put there between two steps, by the very call that the replay makes, too; NaN makes the run diverge."""
    tokens, chosen = corpus(), settings(steps=60)
    wanted = {"mamba-2.8b": "layers.1.mixer.output.weight"}.get(name, "layers.1.mixer.value.weight")

    def poisons(step, loss, model):
        if step == 50:
            weight = dict(model.named_parameters())[wanted]
            weight.data = weight.data * np.float32(poison)

    run(tmp_path / "run", tokens, chosen, on_step=poisons, name=name)
    found = explained(tmp_path / "run", tokens, chosen, 51, on_step=poisons, name=name)
    assert found.equal and (found.diverged is not None) == bool(np.isnan(poison))
    first = found.began[0]
    assert (first.step, first.kind, first.path) == (51, "weight", wanted) and found.causes[0] == "weights"
    if np.isnan(poison):
        assert found.loss is None and first.value is None
    else:
        assert first.value == pytest.approx(60 * first.high, rel=0.2)
    text = page(found)
    assert f"it began at step 51, in layers.1:\n  the weights of {wanted}" in text
    later = explained(tmp_path / "run", tokens, chosen, 51 if np.isnan(poison) else 54, on_step=poisons, name=name)
    assert (later.began[0].step, later.began[0].path) == (51, wanted)  # three steps later it still began there


def test_steps_that_are_too_long_are_said_to_be(tmp_path):
    """Before the first snapshot, as it mostly happens: the replay begins where the run did."""
    tokens, chosen = corpus(), settings(learning_rate=1.0, warmup=0, schedule="constant", weight_decay=0.0)
    run(tmp_path / "run", tokens, chosen)
    found = explained(tmp_path / "run", tokens, chosen, 8)
    assert found.equal and found.snapshot == "its beginning" and found.causes[0] == "step length"
    assert found.culprits == [] and found.moved[0] > 1 and found.loss > 3 * np.log(60)
    assert "Try a lower learning rate (it was 1)" in page(found)


def test_a_run_that_diverged_by_its_rate(tmp_path):
    tokens, chosen = corpus(), settings(optimizer="sgd", learning_rate=1e4, warmup=0, clip=0.0, schedule="constant")
    run(tmp_path / "run", tokens, chosen)
    last = max((entry["step"] for entry in read_log(tmp_path / "run")), default=0)
    assert last < 80
    found = explained(tmp_path / "run", tokens, chosen, last + 1)
    assert found.equal and found.diverged is not None and "step length" in found.causes
    assert f"step {last + 1}: " in page(found) and "the step was not taken" in page(found)


def test_rate_of_a_step_that_was_not_taken(tmp_path):
    """The rate of such a run follows its tokens, also at the step that it ended with."""
    tokens, chosen = corpus(), settings(steps=20, schedule="linear", warmup=0, total_tokens=10 * 4 * 16)

    def breaks(step, loss, model):
        if step == 7:
            model.norm.weight.data = model.norm.weight.data * np.float32(np.nan)

    run(tmp_path / "run", tokens, chosen, on_step=breaks)
    (last,) = [entry for entry in read_log(tmp_path / "run") if entry["step"] == 7]
    found = explained(tmp_path / "run", tokens, chosen, 8, on_step=breaks)
    assert found.equal and found.diverged and found.gradient is None
    assert found.lr == chosen.lr(7, last["tokens"]) != chosen.lr(7)


def test_a_replay_that_is_another_run_says_so(corrupted, tmp_path):
    """Something that the settings do not know of was done to the run: here a call between steps that is left out."""
    tokens, chosen = corpus(), settings(steps=60)

    def meddles(step, loss, model):
        if step == 45:
            model.head.weight.data = model.head.weight.data * np.float32(3)

    run(tmp_path / "run", tokens, chosen, on_step=meddles)
    found = explained(tmp_path / "run", tokens, chosen, 50)
    assert not found.equal and found.differences[0].startswith("step 46: loss is ")
    assert "NOT the run that the log tells of" in page(found)


def test_a_replay_that_diverges_where_the_run_did_not(tmp_path):
    tokens, chosen = corpus(), settings(steps=60)
    run(tmp_path / "run", tokens, chosen)

    def breaks(step, loss, model):
        if step == 45:
            model.head.weight.data = model.head.weight.data * np.float32(np.nan)

    found = explained(tmp_path / "run", tokens, chosen, 50, on_step=breaks)
    assert not found.equal and "step 46 diverged, and it did not in the log" in found.differences[-1]
    assert found.documents == () and found.began[0].path == "head.weight" and "head.weight" in page(found)


def test_what_is_not_kept_cannot_be_replayed(tmp_path):
    tokens, chosen = corpus(), settings(keep=1)
    run(tmp_path / "run", tokens, chosen)
    with pytest.raises(ValueError, match=r"no snapshot before step 55 .*there are step-80.*newest 1;.*--keep"):
        explained(tmp_path / "run", tokens, chosen, 55)
    assert explained(tmp_path / "run", tokens, chosen, 15).snapshot == "its beginning"  # there never was one before
    with pytest.raises(ValueError, match="has come to step 80: it can be asked about steps 1 to 81"):
        explained(tmp_path / "run", tokens, chosen, 99)


@pytest.mark.parametrize("step", [0, -3, 2.5, True, "7", None])
def test_steps_that_are_none(tmp_path, step):
    with pytest.raises(ValueError, match="whole number of at least 1"):
        explained(tmp_path, corpus(), settings(), step)


def test_no_run_there_other_settings_other_data(corrupted, tmp_path):
    directory, tokens, chosen = corrupted
    with pytest.raises(ValueError, match="holds no log"):
        explained(tmp_path, tokens, chosen, 5)
    with pytest.raises(ValueError, match="learning_rate: 0.003, now 0.1"):
        explained(directory, tokens, settings(learning_rate=0.1), 50)
    with pytest.raises(ValueError, match="another sampler"):
        explained(directory, corpus(), chosen, 50)
