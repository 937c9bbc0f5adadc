"""Objectives other than the next token: two techniques as somebody would write them, each a short function.

Whatever the objective, its gradient must not depend on how a batch was divided, and a run must resume to the byte.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from standin import VOCABULARY, StandIn, sampler

from llm_from_scratch import functional as F
from llm_from_scratch.autograd import Tensor, no_grad
from llm_from_scratch.training import TrainingSettings, accumulate_gradients, evaluate, next_token, objective, train
from llm_from_scratch.training.budget import seconds_per_step

# --- Two techniques


def total_weight(batch):
    return float((batch["weight"][:, None] * (batch["targets"] != -100)).sum())


@objective(count=total_weight)
def weighted(model, batch, *, normaliser, rng=None):
    """Each answer counts as much as its weight says: the mean over tokens, weighted."""
    answers = {name: batch[name] for name in ("ids", "targets")}
    return -(model.token_log_probabilities(answers, rng=rng) * batch["weight"][:, None]).sum() / normaliser


def side(batch, name):
    return {"ids": batch[name][:, :-1], "targets": batch[f"{name}_targets"]}


class Preference:
    """Chosen answers shall gain on rejected ones, compared with a frozen reference (DPO, with a beta that may move)."""

    def __init__(self, reference, beta=0.5):
        self.reference, self.beta = reference, beta

    def count(self, batch):
        return len(batch["chosen"])

    def __call__(self, model, batch, *, normaliser, rng=None):
        gain = []
        for name in ("chosen", "rejected"):
            ours = model.token_log_probabilities(side(batch, name), rng=rng).sum(axis=1)
            with no_grad():
                theirs = self.reference.token_log_probabilities(side(batch, name)).sum(axis=1)
            gain.append(ours - theirs)
        return F.softplus((gain[1] - gain[0]) * self.beta).sum() / normaliser


def weighted_batch(rows=6, seed=0):
    rng = np.random.default_rng(seed)
    ids, targets = rng.integers(0, VOCABULARY, size=(2, rows, 5))
    targets[rng.random(targets.shape) < 0.3] = -100
    targets[2] = -100  # a row that counts nothing
    weight = rng.random(rows)
    weight[4] = 0.0  # nor does this one
    return {"ids": ids, "targets": targets, "weight": weight}


def pair_batch(rows=5, seed=0):
    """Chosen and rejected answers of different lengths."""
    rng = np.random.default_rng(seed)
    batch = {}
    for name, length in (("chosen", 6), ("rejected", 4)):
        batch[name] = rng.integers(0, VOCABULARY, size=(rows, length))
        batch[f"{name}_targets"] = batch[name][:, 1:].copy()
        batch[f"{name}_targets"][:, :2] = -100
    return batch


def preference():
    return Preference(StandIn(seed=8))


TECHNIQUES = [(lambda: weighted, weighted_batch), (preference, pair_batch)]
both = pytest.mark.parametrize(("make", "batch_of"), TECHNIQUES, ids=["weighted", "preference"])


def gradients(aim, batch, **settings):
    model = StandIn(seed=4)
    loss = accumulate_gradients(model, batch, objective=aim, **settings)
    return loss, {name: p.grad for name, p in model.named_parameters()}


# --- Gradients


@both
@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_the_gradient_is_that_of_the_big_batch_however_it_is_divided(make, batch_of, threads):
    aim, batch = make(), batch_of()
    model = StandIn(seed=4)
    whole = aim(model, batch, normaliser=aim.count(batch))
    whole.backward()
    loss, found = gradients(aim, batch, threads=threads)
    assert loss == pytest.approx(whole.item(), rel=1e-13)
    for name, p in model.named_parameters():
        np.testing.assert_allclose(found[name], p.grad, rtol=0, atol=1e-12 * np.abs(p.grad).max(), err_msg=name)


@both
def test_micro_batches_of_unequal_counts_add_up(make, batch_of):
    aim, batch = make(), batch_of()
    _, whole = gradients(aim, batch)
    model, total = StandIn(seed=4), aim.count(batch)
    for rows in (slice(0, 1), slice(1, 4), slice(4, None)):
        part = {name: array[rows] for name, array in batch.items()}
        accumulate_gradients(model, part, objective=aim, normaliser=total, threads=2)
    for name, p in model.named_parameters():
        np.testing.assert_allclose(p.grad, whole[name], rtol=0, atol=1e-12 * np.abs(p.grad).max(), err_msg=name)


@both
def test_the_gradient_is_the_slope(make, batch_of):
    """Central differences, in a direction of all parameters at once."""
    aim, batch = make(), batch_of()
    _, found = gradients(aim, batch, threads=2)
    direction = {name: np.random.default_rng(1).normal(size=g.shape) for name, g in found.items()}

    def loss_at(distance):
        model = StandIn(seed=4)
        for name, p in model.named_parameters():
            p.data = p.data + distance * direction[name]
        return evaluate(model, [batch], objective=aim)["loss"]

    slope = sum(float((found[name] * direction[name]).sum()) for name in found)
    assert abs(slope) > 1e-2
    assert (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5 == pytest.approx(slope, rel=1e-8)


@both
def test_dropout_repeats_to_the_byte_and_differs_by_shard(make, batch_of):
    aim, batch = make(), batch_of()

    def run(dropout, seed=7):
        model = StandIn(seed=4, dropout=dropout)
        accumulate_gradients(model, batch, objective=aim, threads=2, rng=np.random.default_rng(seed))
        return [p.grad.tobytes() for p in model.parameters()]

    assert run(0.5) == run(0.5) != run(0.5, seed=8)
    assert run(0.5) != run(0.0)


def test_the_old_form_is_the_new_one_to_the_bit():
    batch = weighted_batch()
    del batch["weight"]
    mask = np.ones_like(batch["ids"])

    class Masked(StandIn):
        def loss(self, batch, **settings):
            masks.append(batch.get("mask"))
            return super().loss(batch, **settings)

    found = []
    masks = []
    for call in (
        lambda m: accumulate_gradients(m, batch["ids"], batch["targets"], mask=mask, threads=2),
        lambda m: accumulate_gradients(m, **batch, mask=mask, threads=2),
        lambda m: accumulate_gradients(m, {**batch, "mask": mask, "positions": None}, threads=2),
    ):
        model = Masked(seed=4)
        found.append((call(model), *(p.grad.tobytes() for p in model.parameters())))
    assert found[0] == found[1] == found[2]
    assert len(masks) == 6 and all(part.shape[1] == 5 for part in masks)


def test_rows_that_count_nothing_are_not_computed():
    class Counting(StandIn):
        def token_log_probabilities(self, batch, *, rng=None):
            rows.append(len(batch["ids"]))
            return super().token_log_probabilities(batch, rng=rng)

    rows: list[int] = []
    accumulate_gradients(Counting(), weighted_batch(6), objective=weighted, threads=6)
    assert sorted(rows) == [1, 1, 1, 1]  # of six, one has no targets and one no weight


# --- Evaluation


@both
def test_evaluation_is_the_mean_over_all_batches(make, batch_of):
    aim, batches = make(), [batch_of(seed=0), batch_of(rows=7, seed=1)]
    model = StandIn(seed=2)
    counts = [aim.count(batch) for batch in batches]
    expected = sum(aim(model, batch, normaliser=1).item() for batch in batches) / sum(counts)
    found = evaluate(model, batches, objective=aim, threads=2)
    assert found == {"loss": pytest.approx(expected, rel=1e-12), "tokens": pytest.approx(sum(counts))}
    assert all(p.grad is None for p in model.parameters())


# --- Errors name the array or the objective


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"weight": np.ones(5)}, ValueError, "weight has 5 rows, ids 6"),
        ({name: array[:0] for name, array in weighted_batch().items()}, ValueError, "ids has no rows"),
        ({"weight": 1.0}, ValueError, "weight is a single float64"),
        ({"weight": [[1.0], [2.0, 3.0]]}, ValueError, "weight is no array.*pad"),
        ({"weight": [object()] * 6}, TypeError, "weight holds Python objects"),
        ({"weight": np.full(6, np.nan)}, ValueError, "count of weighted must be a number of at least 0, got nan"),
        ({"weight": np.zeros(6)}, ValueError, "no target that weighted counts"),
    ],
)
def test_arrays_that_do_not_fit_are_named(change, error, message):
    with pytest.raises(error, match=message):
        accumulate_gradients(StandIn(), {**weighted_batch(), **change}, objective=weighted)


def test_what_is_no_objective_is_said_to_be_none():
    batch = weighted_batch()
    with pytest.raises(TypeError, match=r"plain is no objective: decorate a function with @objective\(count"):

        def plain(model, batch, *, normaliser, rng=None):
            return Tensor(1.0)

        accumulate_gradients(StandIn(), batch, objective=plain)
    for returned, got in ((np.float64(1.0), "float64"), (Tensor(np.ones(3)), r"shape \(3,\)")):
        with pytest.raises(TypeError, match=f"wrong must return a Tensor that holds a single number, got {got}"):

            @objective(count=total_weight)
            def wrong(model, batch, *, normaliser, rng=None):
                return returned  # noqa: B023

            accumulate_gradients(StandIn(), batch, objective=wrong)

    @objective(count=lambda batch: 1)
    def one(model, batch, *, normaliser, rng=None):
        return weighted(model, batch, normaliser=normaliser)

    with pytest.raises(ValueError, match="count of one does not add up over rows: 1 for the whole batch, 3"):
        accumulate_gradients(StandIn(), batch, objective=one, threads=3)
    with pytest.raises(TypeError, match="mapping: put targets, mask into it"):
        accumulate_gradients(StandIn(), batch, batch["targets"], mask=batch["ids"])
    with pytest.raises(TypeError, match="normaliser must be a number"):
        accumulate_gradients(StandIn(), batch, objective=weighted, normaliser="12")
    with pytest.raises(ValueError, match="bits per byte belong to next_token, not to weighted"):
        train(StandIn(), None, TrainingSettings(steps=1), objective=weighted, token_bytes=np.ones(11))


# --- Runs


class Pairs:
    """Batches of the technique, from a position that is saved."""

    def __init__(self, batch_of):
        self.batch_of, self.position = batch_of, 0

    def __next__(self):
        self.position += 1
        return self.batch_of(seed=self.position)

    def state(self):
        return {"position": self.position}

    def restore(self, state):
        self.position = state["position"]


SETTINGS = TrainingSettings(
    steps=8, learning_rate=0.05, checkpoint_every=3, evaluate_every=3, micro_batches=2, threads=2
)


class Killed(Exception):
    pass


@both
def test_a_run_resumes_to_the_byte(tmp_path, make, batch_of):
    """With dropout, and with what the technique changes between steps."""

    def run(directory, last=99):
        aim = make()

        def between(step, loss, model):
            calls.append((step, loss))
            if step == last:
                raise Killed
            aim.beta = 0.5 + 0.1 * step  # of a function it means nothing

        def more():
            return [batch_of(seed=100)]

        model = StandIn(seed=1, dropout=0.3)
        options = {"directory": directory, "validation": more, "resume": True, "progress": False}
        return train(model, Pairs(batch_of), SETTINGS, objective=aim, on_step=between, **options)

    calls: list[tuple[int, float]] = []
    run(tmp_path / "whole")
    whole = calls.copy()
    assert [step for step, _ in whole] == list(range(9)) and np.isnan(whole[0][1])
    for last in (4, 6, 7):  # after a step that was not saved, before and after the next that was
        calls.clear()
        with pytest.raises(Killed):
            run(tmp_path / "killed", last)
    calls.clear()
    assert run(tmp_path / "killed").finished
    assert calls == whole[6:]
    for name in ("log.jsonl", "model.safetensors", "step-8/state.json", "step-8/optimizer.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes(), name


def test_tokens_are_what_the_objective_counts():
    outcome = train(StandIn(), Pairs(pair_batch), SETTINGS, objective=preference(), progress=False)
    assert outcome.tokens == 8 * 2 * 5
    assert train(StandIn(), sampler(), SETTINGS, objective=next_token, progress=False).tokens == 8 * 2 * 32


def test_a_step_of_any_objective_can_be_measured():
    model = StandIn()
    assert seconds_per_step(model, Pairs(pair_batch), SETTINGS, objective=preference(), seconds=0.0) > 0


def test_the_loss_that_contributing_adds_works():
    page = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    code = page.partition("## Adding a loss")[2].partition("```python\n")[2].partition("```")[0]
    there: dict = {}
    exec(compile(code, "CONTRIBUTING.md", "exec"), there)
    entropy = evaluate(there["teacher"], [there["batch"]], objective=there["aim"])["loss"]  # the best there is
    assert entropy < there["losses"][-1] < there["losses"][0]
    assert there["losses"][-1] - entropy < 0.5 * (there["losses"][0] - entropy)
