"""Pairs as an objective: both answers in one pass, the same gradient however divided, on every kind of model."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.alignment import dpo_loss, hinge_loss, ipo_loss, preference_objective
from llm_from_scratch.alignment.preference import pair_log_probabilities
from llm_from_scratch.alignment.references import reference_pairs
from llm_from_scratch.data.examples import ExampleSampler, collate
from llm_from_scratch.recipes.miniature import miniature
from llm_from_scratch.training import TrainingSettings, accumulate_gradients, train
from llm_from_scratch.training.run import Diverged

VOCABULARY = 19
FAMILIES = {
    "llama": {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 8, "intermediate_size": 12},
    "gpt2": {"n_layer": 1, "n_head": 2, "n_embd": 8, "n_positions": 32},  # a head tied to the embedding
    "mamba": {"num_hidden_layers": 1, "hidden_size": 8, "state_size": 4},
    "mixtral": {
        "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "hidden_size": 8,
        "intermediate_size": 12, "num_local_experts": 3,
    },
    "bloom": {"n_layer": 1, "n_head": 2, "hidden_size": 8},
}  # fmt: skip
LOSSES = {
    "dpo": (partial(dpo_loss, beta=0.5), False),
    "cdpo": (partial(dpo_loss, beta=0.5, label_smoothing=0.2), False),
    "ipo": (partial(ipo_loss, tau=0.3), False),
    "ipo per token": (partial(ipo_loss, tau=0.3), True),
    "hinge": (partial(hinge_loss, beta=0.5), False),
}
all_losses = pytest.mark.parametrize("name", LOSSES)


def build(family="llama", seed=0, dtype=np.float64):
    return lfs.build(family, **FAMILIES[family], vocab_size=VOCABULARY, seed=seed, dtype=dtype)


def side(rng, length, prompt):
    ids, targets = rng.integers(0, VOCABULARY, size=(2, length))
    targets[:prompt] = -100
    return ids, targets


def pairs(count=5, seed=0):
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        prompt = int(rng.integers(1, 4))
        pair = {}
        for name in ("chosen", "rejected"):
            pair[f"{name}_ids"], pair[f"{name}_targets"] = side(rng, prompt + int(rng.integers(1, 5)), prompt)
        made.append(pair)
    return made


def batch_of(reference=None, count=5, seed=0):
    return collate(reference_pairs(build(seed=9) if reference is None else reference, pairs(count, seed)))


def objective(name):
    loss, lengths = LOSSES[name]
    return preference_objective(loss, lengths=lengths)


def by_hand(name, model, batch):
    """One answer at a time, without padding."""
    found = {}
    for side in ("chosen", "rejected"):
        rows = zip(batch[f"{side}_ids"], batch[f"{side}_targets"])
        sums, lengths = [], []
        for ids, targets in rows:
            end = int(np.flatnonzero(targets != -100)[-1]) + 1
            log_p = lfs.F.log_softmax(model(ids[None, :end])).data[0]
            real = [(t, target) for t, target in enumerate(targets[:end]) if target != -100]
            sums.append(sum(log_p[place] for place in real))
            lengths.append(len(real))
        found[side] = np.array(sums), np.array(lengths)
    loss, lengths = LOSSES[name]
    more = {"lengths": (found["chosen"][1], found["rejected"][1])} if lengths else {}
    references = batch["reference_chosen"], batch["reference_rejected"]
    return loss(found["chosen"][0], found["rejected"][0], *references, **more).item()


@all_losses
@pytest.mark.parametrize("family", FAMILIES)
def test_is_the_loss_of_each_answer_by_itself(name, family):
    model, batch = build(family), batch_of(build(family, seed=9))
    found = accumulate_gradients(model, batch, objective=objective(name))
    assert found == pytest.approx(by_hand(name, model, batch), rel=1e-9)


@pytest.mark.parametrize("release", ["glm-130b", "stripedhyena-7b", "falcon-7b", "mpt-7b", "gpt-neox-20b", "opt-6.7b"])
def test_other_designs_see_nothing_of_the_padding_either(release):
    config = miniature(release, layers=2, width=16, heads=2, context=32, vocabulary=VOCABULARY)
    kind = config.pop("model_type")
    model, reference = (lfs.build(kind, **config, seed=seed, dtype=np.float64) for seed in (0, 9))
    batch = batch_of(reference)
    found = accumulate_gradients(model, batch, objective=objective("dpo"))
    assert found == pytest.approx(by_hand("dpo", model, batch), rel=1e-9)


@all_losses
def test_the_gradient_is_that_of_the_big_batch_however_it_is_divided(name):
    aim, batch = objective(name), batch_of(count=7)
    whole = build()
    loss = accumulate_gradients(whole, batch, objective=aim, threads=1)
    for threads in (2, 7):
        model = build()
        assert accumulate_gradients(model, batch, objective=aim, threads=threads) == pytest.approx(loss, rel=1e-12)
        for (label, p), q in zip(whole.named_parameters(), model.parameters()):
            np.testing.assert_allclose(q.grad, p.grad, rtol=0, atol=1e-12 * np.abs(p.grad).max(), err_msg=label)
    model = build()
    parts = [{k: v[rows] for k, v in batch.items()} for rows in (slice(0, 1), slice(1, 7))]
    assert sum(accumulate_gradients(model, part, objective=aim, normaliser=7) for part in parts) == pytest.approx(loss)


@all_losses
@pytest.mark.parametrize("family", ["llama", "mamba"])
def test_the_gradient_is_the_slope(name, family):
    aim, batch, model = objective(name), batch_of(build(family, seed=9)), build(family)
    loss = aim(model, batch, normaliser=5)
    loss.backward()
    rng = np.random.default_rng(1)
    directions = {label: rng.normal(size=p.shape) for label, p in model.named_parameters()}
    slope = sum(float((p.grad * directions[label]).sum()) for label, p in model.named_parameters())

    def at(distance):
        moved = build(family)
        for label, p in moved.named_parameters():
            p.data = p.data + distance * directions[label]
        return aim(moved, batch, normaliser=5).item()

    assert abs(slope) > 1e-3
    assert (at(1e-6) - at(-1e-6)) / 2e-6 == pytest.approx(slope, rel=1e-6)


def test_what_is_no_answer_does_not_matter():
    """Padding, whatever stands in it, and neighbours."""
    batch = batch_of()
    sums = pair_log_probabilities(build(), batch).data
    wide = dict(batch)
    for name in ("chosen", "rejected"):
        ids, targets = batch[f"{name}_ids"], batch[f"{name}_targets"]
        wide[f"{name}_ids"] = np.pad(ids, ((0, 0), (0, 6)), constant_values=VOCABULARY - 1)
        wide[f"{name}_targets"] = np.pad(targets, ((0, 0), (0, 6)), constant_values=-100)
    np.testing.assert_allclose(pair_log_probabilities(build(), wide).data, sums, rtol=1e-12)
    for row in range(5):
        one = {k: v[row : row + 1] for k, v in batch.items()}
        np.testing.assert_allclose(pair_log_probabilities(build(), one).data, sums[[row, row + 5]], rtol=1e-12)


def test_at_the_start_it_is_log_two():
    batch = batch_of(build())
    assert accumulate_gradients(build(), batch, objective=objective("dpo")) == pytest.approx(np.log(2), rel=1e-12)


def test_float32_models_take_the_references_as_they_are():
    model = build(dtype=np.float32)
    loss = objective("dpo")(model, batch_of(), normaliser=5)
    assert batch_of()["reference_chosen"].dtype == np.float64 and loss.dtype == np.float32


def test_it_learns_and_stops_where_the_model_is_no_number():
    examples = reference_pairs(build(), pairs(8))
    settings = TrainingSettings(steps=30, learning_rate=0.02, weight_decay=0.0, threads=1)
    model = build()
    outcome = train(model, ExampleSampler(examples, 4, seed=0), settings, objective=objective("dpo"), progress=False)
    assert outcome.loss < 0.2 < np.log(2) and outcome.tokens == 120
    next(model.parameters()).data[:] = np.nan
    with pytest.raises(Diverged, match="The weights of embedding.weight are not finite any more"):
        train(model, ExampleSampler(examples, 4, seed=0), settings, objective=objective("dpo"), progress=False)


# --- Errors


def test_batches_that_do_not_fit_are_named():
    aim, good = objective("dpo"), batch_of()

    def refused(message, **change):
        batch = {name: array for name, array in {**good, **change}.items() if array is not None}
        with pytest.raises(ValueError, match=message):
            accumulate_gradients(build(), batch, objective=aim)

    refused("lacks reference_rejected: encode_pairs and reference_pairs make them", reference_rejected=None)
    refused("lacks chosen_targets", chosen_targets=None)
    targets = good["rejected_targets"].copy()
    targets[3] = -100
    refused("pair 3: the rejected answer has no target", rejected_targets=targets)
    refused("pair 0: the chosen answer has no target", chosen_targets=np.full_like(good["chosen_targets"], -100))
    reference = good["reference_chosen"].copy()
    reference[2] = np.inf
    refused("reference_chosen must be a finite number for each of 5 pairs", reference_chosen=reference)
    refused("reference_chosen must be a finite number", reference_chosen=good["reference_chosen"][:, None])
    refused(r"chosen_ids \(5, \d\) and chosen_targets \(5, \d\) must be", chosen_targets=good["chosen_targets"][:, 1:])
    refused("rejected_ids has 4 rows, chosen_ids 5", rejected_ids=good["rejected_ids"][:4])
