"""PPO's loss and objective: trl's first trainer, a whole iteration in torch, gradients, clips that clip, padding."""

import json
from pathlib import Path

import numpy as np
import pytest
from families_in_small import SIZES

from llm_from_scratch import AdamW, accumulate_gradients, build, from_pretrained, gradcheck
from llm_from_scratch.alignment import PPO, ActorCritic, PPOSettings, RewardModel, Rollouts, ValueHead, ppo_loss
from llm_from_scratch.alignment import ppo_statistics as statistics
from llm_from_scratch.alignment import rollouts as rollouts_module
from llm_from_scratch.autograd import Tensor
from llm_from_scratch.files.sharded import read_safetensors

FIXTURES = Path(__file__).parent / "fixtures"
FROZEN = read_safetensors(FIXTURES / "trl_ppo.safetensors")
NAMES = ("log_probabilities", "old_log_probabilities", "advantages", "values", "old_values", "returns")


def frozen(case):
    return {name.removeprefix(f"{case}."): array for name, array in FROZEN.items() if name.startswith(case)}


# --- The loss


@pytest.mark.parametrize("case", ["whole", "ragged"])
def test_loss_and_gradients_are_trls(case):
    from llm_from_scratch.alignment import generalized_advantages, whiten

    f = frozen(case)
    advantages, returns = generalized_advantages(f["rewards.kl"], f["old_values"], f["mask"], gamma=0.9, lam=0.8)
    white = whiten(advantages, f["mask"], unbiased=True)
    ours, values = (Tensor(f[name], requires_grad=True) for name in ("log_probabilities", "values"))
    loss = ppo_loss(
        ours, f["old_log_probabilities"], white, values, f["old_values"], returns, f["mask"], clip=0.2, value_clip=0.3
    )
    loss.backward()
    assert loss.item() == pytest.approx(f["loss"].sum(), rel=1e-12)
    np.testing.assert_allclose(ours.grad, f["gradient.log_probabilities"], rtol=0, atol=1e-14)
    np.testing.assert_allclose(values.grad, f["gradient.values"], rtol=0, atol=1e-14)
    assert 0 < (ours.grad == 0).sum() < ours.size  # some were clipped, some not


def drawn(rows=4, width=6, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    old, advantages, values, old_values, returns = rng.normal(size=(5, rows, width))
    ours = old + 0.3 * rng.normal(size=old.shape)
    mask = np.arange(width) < rng.integers(1, width + 1, size=(rows, 1))
    return [x.astype(dtype) for x in (ours, old, advantages, values, old_values, returns)], mask


@pytest.mark.parametrize("value_clip", [None, 0.4])
def test_gradients(value_clip):
    (ours, old, advantages, values, old_values, returns), mask = drawn(seed=3)
    rest = {"clip": 0.15, "value_clip": value_clip, "value_coefficient": 0.7}
    gradcheck(lambda p, v: ppo_loss(p, old, advantages, v, old_values, returns, mask, **rest), ours, values)


def test_it_is_the_loop_over_tokens():
    (ours, old, advantages, values, old_values, returns), mask = drawn()
    total = 0.0
    for place in np.argwhere(mask):
        n, t = place
        ratio = np.exp(ours[n, t] - old[n, t])
        total -= min(ratio * advantages[n, t], min(max(ratio, 0.8), 1.2) * advantages[n, t])
        held = min(max(values[n, t], old_values[n, t] - 0.2), old_values[n, t] + 0.2)
        total += 0.1 * max((values[n, t] - returns[n, t]) ** 2, (held - returns[n, t]) ** 2) / 2
    found = ppo_loss(ours, old, advantages, values, old_values, returns, mask)
    assert found.item() == pytest.approx(total / mask.sum(), rel=1e-12)


@pytest.mark.parametrize(
    ("ratio", "advantage", "learns"),
    [(1.3, 1.0, False), (1.3, -1.0, True), (0.7, 1.0, True), (0.7, -1.0, False), (1.1, 1.0, True), (0.9, -1.0, True)],
)
def test_the_clip_clips_on_the_side_that_has_gained(ratio, advantage, learns):
    ours = Tensor(np.log([[ratio]]), requires_grad=True)
    zero = np.zeros((1, 1))
    ppo_loss(ours, zero, zero + advantage, zero, zero, zero, zero + 1).backward()
    assert ours.grad[0, 0] == pytest.approx(-ratio * advantage if learns else 0.0)


def test_at_the_start_it_is_the_policy_gradient():
    (_, old, advantages, values, old_values, returns), mask = drawn()
    ours = Tensor(old.copy(), requires_grad=True)
    ppo_loss(ours, old, advantages, values, old_values, returns, mask, value_coefficient=0.0).backward()
    np.testing.assert_allclose(ours.grad, np.where(mask, -advantages, 0) / mask.sum(), rtol=1e-14)


def test_padding_changes_nothing():
    arrays, mask = drawn()
    wild = [np.where(mask, x, np.nan) for x in arrays]
    leaves = [Tensor(wild[0], requires_grad=True), Tensor(wild[3], requires_grad=True)]
    loss = ppo_loss(leaves[0], wild[1], wild[2], leaves[1], *wild[4:], mask)
    loss.backward()
    assert loss.item() == ppo_loss(*arrays, mask).item()
    wide = [np.pad(x, ((0, 1), (0, 5)), constant_values=7.0) for x in arrays]
    assert ppo_loss(*wide, np.pad(mask, ((0, 1), (0, 5)))).item() == pytest.approx(loss.item(), rel=1e-14)
    for leaf in leaves:
        assert np.all(leaf.grad[~mask] == 0) and np.isfinite(leaf.grad).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_stays(dtype):
    arrays, mask = drawn(dtype=dtype)
    assert ppo_loss(*arrays, mask).dtype == dtype


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask": np.zeros((4, 6))}, "no real token: there is nothing to compute"),
        ({"advantages": np.full((4, 6), np.nan)}, r"advantages\[0, 0\] is nan: every entry must be finite"),
        ({"values": np.full((4, 6), np.inf)}, r"^values\[0, 0\] is inf"),
        ({"returns": np.zeros((4, 5))}, r"returns has the shape \(4, 5\), old_log_probabilities \(4, 6\)"),
        ({"log_probabilities": np.zeros((3, 6))}, r"log_probabilities has the shape \(3, 6\)"),
        ({"clip": 0.0}, "clip must be a finite number above 0, got 0.0"),
        ({"value_coefficient": -1.0}, "value_coefficient must be a finite number of at least 0, got -1.0"),
        ({"value_clip": -1.0}, "value_clip must be a finite number above 0"),
        ({"normaliser": 0.0}, "normaliser must be a finite number above 0, got 0.0"),
    ],
)
def test_what_is_refused(change, message):
    arrays, mask = drawn()
    with pytest.raises(ValueError, match=message):
        ppo_loss(**{**dict(zip(NAMES, arrays)), "mask": mask, **change})


# --- A whole iteration


PROMPTS = [[5, 7, 9], [4], [11, 3, 8, 6, 10], [12, 13]]
ANSWERS = [[6, 2], [14, 15, 16, 17, 2], [9], [18, 7, 2]]
SCORES = [1.0, -0.5, 0.8, 0.3]
ORDERS = [[0, 1, 2, 3], [3, 1, 0, 2]]


class Fixed(Rollouts):
    """The rollout that was frozen."""

    def _chosen(self):
        return [0, 1, 2, 3]

    def _order(self, epoch):
        return np.array(ORDERS[epoch])


@pytest.mark.parametrize(
    ("case", "change"),
    [
        ("separate", {"temperature": 1.0, "cut_off": "bootstrap"}),
        ("shared", {"temperature": 0.7, "cut_off": "penalty", "cut_off_penalty": -1.0, "critic": "shared"}),
    ],
)
def test_a_whole_iteration_is_that_of_an_independent_loop(case, change, monkeypatch):
    folder = FIXTURES / "ppo_iteration" / case
    frozen = read_safetensors(folder / "frozen.safetensors")
    policy, reference = (from_pretrained(folder / part) for part in ("policy", "reference"))
    head = ValueHead(8).astype(np.float64)
    head.weight.data, head.bias.data = frozen["head.weight"].reshape(8, 1), frozen["head.bias"].reshape(1)
    critic = head if case == "shared" else RewardModel(from_pretrained(folder / "critic"), head)
    model = ActorCritic(policy, critic)
    settings = PPOSettings(
        answers=4, minibatch=2, epochs=2, beta=0.1, gamma=0.95, lam=0.9, clip=0.02, value_clip=0.05,
        value_coefficient=0.4, score_normalisation="none", max_new_tokens=5, **change,
    )  # fmt: skip
    monkeypatch.setattr(rollouts_module, "sample_answers", lambda *a, **k: [np.array(x) for x in ANSWERS])
    sampler = Fixed(model, reference, PROMPTS, lambda items, answers: SCORES, settings, end_tokens=[2])
    optimizer = AdamW(model.named_parameters(), lr=3e-2, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0)
    for step in range(4):
        batch = next(sampler)
        if step == 0:
            real = [row["targets"] != -100 for row in sampler._rows]
            for ours, theirs in (
                ("old_log_probabilities", "old"), ("old_values", "values"), ("advantages",) * 2, ("returns",) * 2,
            ):  # fmt: skip
                found = np.concatenate([row[ours][here] for row, here in zip(sampler._rows, real)])
                compare({ours: found}, ours, frozen[f"rollout.{theirs}"], 1e-10)
        loss = accumulate_gradients(model, batch, objective=PPO(settings), threads=2)
        assert loss == pytest.approx(frozen["losses"][step], rel=1e-8, abs=1e-10)
        if step == 0:
            found = named(model, case, lambda p: p.grad)
            for name, wanted in frozen.items():
                if name.startswith("gradient."):
                    compare(found, name.removeprefix("gradient."), wanted, 1e-8)
        optimizer.step()
        optimizer.zero_grad()
    found = named(model, case, lambda p: p.data)
    for name, wanted in frozen.items():
        if name.startswith("after."):
            compare(found, name.removeprefix("after."), wanted, 1e-5)


def named(model, case, of):
    """Our arrays by the frozen names, in the published layout."""
    from llm_from_scratch.checkpoints.saving import export_gradients, export_weights

    export = export_gradients if of(model.policy.head.weight) is model.policy.head.weight.grad else export_weights
    parts = {"policy": model.policy} | ({} if case == "shared" else {"critic": model.critic.model})
    head = model.critic if case == "shared" else model.critic.head
    found = {f"{part}.{name}": array for part, one in parts.items() for name, array in export(one).items()}
    return found | {"head.weight": of(head.weight).reshape(-1), "head.bias": of(head.bias).reshape(())}


def compare(found, name, wanted, tolerance):
    scale = max(np.abs(wanted).max(), 1e-6)
    np.testing.assert_allclose(found[name], wanted, rtol=0, atol=tolerance * scale, err_msg=name)


# --- The objective, on other families


def batch_of(settings, rows=4, width=9, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    ids, targets = rng.integers(0, 19, size=(2, rows, width))
    targets[:, :3] = -100
    for row, length in enumerate(rng.integers(4, width + 1, size=rows)):
        targets[row, length:] = -100
    noted = {name: rng.normal(size=ids.shape).astype(dtype) for name in ("advantages", "old_values", "returns")}
    return {"ids": ids, "targets": targets, "old_log_probabilities": np.full(ids.shape, -3.0, dtype), **noted}


def actor(family, critic, dtype=np.float64):
    policy = build(family, vocab_size=19, seed=1, dtype=dtype, **SIZES[family])
    model = ActorCritic.of(policy, critic)
    head = model.critic if critic == "shared" else model.critic.head
    head.weight.data = np.random.default_rng(2).normal(size=head.weight.shape).astype(dtype)
    return model


@pytest.mark.parametrize("critic", ["policy", "shared"])
@pytest.mark.parametrize("family", SIZES)
def test_the_objective_is_the_loss_of_what_the_model_says_and_its_gradient_the_slope(family, critic):
    settings = PPOSettings(temperature=0.8, clip=0.6)
    batch, model, aim = batch_of(settings), actor(family, critic), PPO(settings)
    real = batch["targets"] != -100
    assert aim.count(batch) == real.sum()

    def by_hand():
        logits = model.policy(batch["ids"]).data / 0.8
        logits = logits - logits.max(axis=-1, keepdims=True)
        logs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        chosen = np.take_along_axis(logs, np.where(real, batch["targets"], 0)[..., None], axis=-1)[..., 0]
        states = model.policy.states({"ids": batch["ids"]})
        values = model.critic(states) if critic == "shared" else model.critic.values({"ids": batch["ids"]})
        rest = [batch[name] for name in ("advantages", "old_values", "returns")]
        return ppo_loss(chosen, batch["old_log_probabilities"], rest[0], values.data, *rest[1:], real,
                        clip=0.6, value_coefficient=0.5).item()  # fmt: skip

    loss = accumulate_gradients(model, batch, objective=aim, threads=3)
    assert loss == pytest.approx(by_hand(), rel=1e-10)
    trained = [p for p in model.parameters() if p.grad is not None]
    rng = np.random.default_rng(5)
    directions = [rng.normal(size=p.shape) for p in trained]
    slope = sum(float((p.grad * d).sum()) for p, d in zip(trained, directions))
    ends = []
    for step in (1e-6, -2e-6):
        for p, d in zip(trained, directions):
            p.data = p.data + step * d
        ends.append(by_hand())
    assert abs(slope) > 1e-3 and (ends[0] - ends[1]) / 2e-6 == pytest.approx(slope, rel=1e-5)


def test_a_pretraining_mix_adds_the_mean_loss_of_its_tokens():
    rng = np.random.default_rng(0)
    plain = PPOSettings(minibatch=4, answers=4)
    mixed = PPOSettings(minibatch=4, answers=4, pretraining_coefficient=2.5)
    model, batch = actor("llama", "shared"), batch_of(plain)
    texts = dict(zip(("ids", "targets"), rng.integers(0, 19, size=(2, 4, 12))))
    texts["targets"][2, 3:] = -100
    count, total = (batch["targets"] != -100).sum(), (texts["targets"] != -100).sum()
    more = {f"pretraining_{k}": v for k, v in texts.items()} | {"pretraining_weight": np.full(4, count / total)}
    losses = [
        accumulate_gradients(model, batch, objective=PPO(plain), threads=1),
        *(accumulate_gradients(model, batch | more, objective=PPO(mixed), threads=threads) for threads in (1, 3)),
    ]
    nats = model.policy.loss(texts).item()
    assert losses[1] == pytest.approx(losses[2], rel=1e-12)
    assert losses[1] - losses[0] == pytest.approx(2.5 * nats, rel=1e-10)


def test_dropout_is_a_switch():
    batch = batch_of(PPOSettings(), dtype=np.float32)
    model = actor("gpt2", "shared", np.float32)
    assert model.policy.spec.embedding_dropout > 0

    def loss(dropout):
        aim = PPO(PPOSettings(dropout=dropout))
        return accumulate_gradients(model, batch, objective=aim, rng=np.random.default_rng(0), threads=1)

    assert loss(False) == accumulate_gradients(model, batch, objective=PPO(PPOSettings()), threads=1)
    assert loss(True) != loss(False)


def test_statistics_are_means_over_the_tokens_of_answers():
    settings = PPOSettings()
    model, batch = actor("llama", "shared"), batch_of(settings)
    real = batch["targets"] != -100
    logs = model.token_log_probabilities({k: batch[k] for k in ("ids", "targets")}).data
    change = (logs - batch["old_log_probabilities"])[real]
    found = statistics(model, batch, settings)
    assert found["ratio"] == pytest.approx(np.exp(change).mean()) and found["ratio"] != 1
    assert found["moved"] == pytest.approx((change**2).mean() / 2)
    assert found["clipped"] == pytest.approx((np.abs(np.exp(change) - 1) > 0.2).mean())
    batch["old_log_probabilities"] = np.where(real, logs, 99.0)
    assert statistics(model, batch, settings)["ratio"] == pytest.approx(1, abs=1e-12)


def test_a_model_that_is_no_longer_finite_is_named():
    model, batch = actor("llama", "shared"), batch_of(PPOSettings())
    model.critic.bias.data = np.full(1, np.nan)
    with pytest.raises(ValueError, match=r"^values\[.*\] is nan: every entry must be finite"):
        accumulate_gradients(model, batch, objective=PPO(PPOSettings()), threads=1)


def test_the_frozen_models_say_where_they_come_from():
    config = json.loads((FIXTURES / "ppo_iteration/separate/policy/config.json").read_text(encoding="utf-8"))
    assert config["model_type"] == "llama" and config["eos_token_id"] == 2
