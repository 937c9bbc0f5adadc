"""KTO, C-RLFT, APA and AWR as objectives: the loss of each answer by itself, however a batch is divided."""

from __future__ import annotations

import numpy as np
import pytest
from test_preference import VOCABULARY, build

import llm_from_scratch as lfs
from llm_from_scratch.alignment import apa_loss, awr_loss, crlft_loss, kto_loss
from llm_from_scratch.alignment.graded import KtoObjective, apa_objective, awr_objective, crlft_objective
from llm_from_scratch.alignment.references import reference_answers
from llm_from_scratch.data.examples import collate
from llm_from_scratch.training import accumulate_gradients


def answers(count=6, seed=0):
    rng = np.random.default_rng(seed)
    made = []
    for k in range(count):
        prompt, length = int(rng.integers(1, 4)), int(rng.integers(1, 6))
        ids, targets = rng.integers(0, VOCABULARY, size=(2, prompt + length))
        targets[:prompt] = -100
        made.append({
            "ids": ids, "targets": targets, "desirable": bool(rng.random() < 0.5), "weight": [1.0, 0.1, 0.0][k % 3],
            "advantages": rng.normal(size=prompt + length), "initial": -rng.gamma(1.0, 2.0, size=prompt + length),
        })  # fmt: skip
    return reference_answers(build(seed=9), made)


def kto():
    aim = KtoObjective(answers(4, seed=5), estimate=3, beta=0.5, undesirable_weight=2.0)
    aim.on_step(1, 0.0, build())
    return aim


# name -> its objective, and its loss from (log-probabilities (N, T), batch, mask)
OBJECTIVES = {
    "kto": (
        kto,
        lambda log_p, batch, real: kto_loss(
            log_p.sum(axis=1), batch["reference"], batch["desirable"], kto().kl, beta=0.5, undesirable_weight=2.0
        ),
    ),
    "crlft": (crlft_objective, lambda log_p, batch, real: crlft_loss(log_p, real, batch["weight"])),
    "crlft per sequence": (
        lambda: crlft_objective(per_sequence=True),
        lambda log_p, batch, real: crlft_loss(log_p, real, batch["weight"], per_sequence=True),
    ),
    "apa": (
        lambda: apa_objective(scale=0.7),
        lambda log_p, batch, real: apa_loss(log_p, batch["initial"], batch["advantages"], real, scale=0.7),
    ),
    "awr": (
        lambda: awr_objective(scale=0.7),
        lambda log_p, batch, real: awr_loss(log_p, batch["advantages"], real, scale=0.7),
    ),
}
each = pytest.mark.parametrize("name", OBJECTIVES)


@each
@pytest.mark.parametrize("family", ["llama", "mamba"])
def test_is_the_loss_of_each_answer_by_itself(name, family):
    make, loss = OBJECTIVES[name]
    model, batch = build(family), collate(answers())
    real = batch["targets"] != -100
    by_hand = np.zeros(real.shape)
    for row, (ids, targets) in enumerate(zip(batch["ids"], batch["targets"])):
        end = int(np.flatnonzero(real[row])[-1]) + 1
        log_p = lfs.F.log_softmax(model(ids[None, :end])).data[0]
        for t in np.flatnonzero(real[row]):
            by_hand[row, t] = log_p[t, targets[t]]
    found = accumulate_gradients(model, batch, objective=make())
    assert found == pytest.approx(loss(lfs.Tensor(by_hand), batch, real).item(), rel=1e-9)


@each
def test_the_gradient_is_that_of_the_big_batch_however_it_is_divided(name):
    aim, batch = OBJECTIVES[name][0](), collate(answers())
    whole = build()
    loss = accumulate_gradients(whole, batch, objective=aim, threads=1)
    for threads in (2, 6):
        model = build()
        assert accumulate_gradients(model, batch, objective=aim, threads=threads) == pytest.approx(loss, rel=1e-12)
        for (label, p), q in zip(whole.named_parameters(), model.parameters()):
            np.testing.assert_allclose(q.grad, p.grad, rtol=0, atol=1e-12 * np.abs(p.grad).max(), err_msg=label)


@each
def test_the_gradient_is_the_slope(name):
    aim, batch, model = OBJECTIVES[name][0](), collate(answers()), build()
    count = aim.count(batch)
    aim(model, batch, normaliser=count).backward()
    rng = np.random.default_rng(1)
    directions = {label: rng.normal(size=p.shape) for label, p in model.named_parameters()}
    slope = sum(float((p.grad * directions[label]).sum()) for label, p in model.named_parameters())

    def at(distance):
        moved = build()
        for label, p in moved.named_parameters():
            p.data = p.data + distance * directions[label]
        return aim(moved, batch, normaliser=count).item()

    assert abs(slope) > 1e-3
    assert (at(1e-6) - at(-1e-6)) / 2e-6 == pytest.approx(slope, rel=1e-6)


def test_the_kl_of_kto_follows_from_the_step_and_the_model():
    examples = answers(5, seed=5)
    aim = KtoObjective(examples, estimate=2)
    assert aim.kl == 0.0
    aim.on_step(0, np.nan, build(seed=9))
    assert aim.kl == 0.0  # the reference itself
    seen = []
    for step in (0, 1, 2, 3, 0):
        aim.on_step(step, 0.0, build())
        seen.append(aim.kl)
    assert seen[0] == seen[4] and len(set(seen)) == 4
    both = lfs.scoring.log_likelihoods(build(), examples[2:4]) - [row["reference"] for row in examples[2:4]]
    assert seen[1] == pytest.approx(both.mean(), rel=1e-12)
    for given in ({"mismatched": []}, {"mismatched": examples, "estimate": 0}):
        with pytest.raises(ValueError, match="estimated from at least 1 answer to another prompt"):
            KtoObjective(**given)


@each
def test_what_does_not_fit_is_named(name):
    aim, good = OBJECTIVES[name][0](), collate(answers())

    def refused(message, **change):
        with pytest.raises(ValueError, match=message):
            accumulate_gradients(build(), {k: v for k, v in {**good, **change}.items() if v is not None}, objective=aim)

    targets = good["targets"].copy()
    targets[4] = -100
    refused("answer 4 has no target, every one is -100", targets=targets)
    refused(r"ids \(6, \d\) and targets \(6, \d\) must be", targets=good["targets"][:, 1:])
    wants = {"kto": "reference", "crlft": "weight", "crlft per sequence": "weight"}.get(name, "advantages")
    refused(f"a batch of answers lacks {wants}", **{wants: None})
    refused(f"{wants} has the shape", **{wants: good[wants][:, None, None]})
    if wants == "weight":
        refused("the weight of answer 0 is -1.0", weight=-np.ones(6))
        refused("no target that conditioned counts", weight=np.zeros(6))
    elif wants == "advantages":
        refused("advantages.* is nan: every entry must be finite", advantages=np.full_like(good["advantages"], np.nan))
    else:
        refused("the reference of an answer is not finite", reference=np.full(6, np.nan))


def test_strengths_are_checked_when_the_objective_is_made():
    for make in (apa_objective, awr_objective):
        with pytest.raises(ValueError, match="scale must be a finite number above 0, got 0"):
            make(scale=0)
