"""Rollouts: what each token is given, every switch, resuming at any step to the byte, what is refused."""

import copy
import json

import numpy as np
import pytest

from llm_from_scratch import TrainingSettings, adapters, build, train
from llm_from_scratch.alignment import (
    PPO,
    ActorCritic,
    PPOSettings,
    Rollouts,
    generalized_advantages,
    kl_rewards,
    whiten,
)
from llm_from_scratch.alignment.rollouts import adapted_beta
from llm_from_scratch.data import BatchSampler

TINY = dict(vocab_size=19, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24)
PROMPTS = [[5, 7, 9], [4], [11, 3, 8, 6, 10], [12, 13], [6, 6]]
SMALL = dict(answers=4, minibatch=2, epochs=2, max_new_tokens=6, score_normalisation="none", critic="policy")


def decoder(seed=2, dtype=np.float64):
    return build("llama", seed=seed, dtype=dtype, **TINY)


def actor(critic="policy", dtype=np.float64):
    model = ActorCritic.of(decoder(dtype=dtype), critic)
    head = model.critic if critic == "shared" else model.critic.head
    head.weight.data = np.random.default_rng(7).normal(size=head.weight.shape).astype(dtype)
    return model


def score(items, answers):
    return [0.3 * len(answer) + (item[0] % 3) for item, answer in zip(items, answers)]


def rollouts(model=None, score=score, dtype=np.float64, prompts=PROMPTS, reference=None, **change):
    beside = {k: change.pop(k) for k in ("seed", "pretraining", "items", "threads", "on_iteration") if k in change}
    model = actor(dtype=dtype) if model is None else model
    reference = decoder(3, dtype) if reference is None else reference
    return Rollouts(model, reference, prompts, score, PPOSettings(**{**SMALL, **change}), end_tokens=[2, 9], **beside)


def rows_of(sampler):
    """The rollout itself, row by row, with its answers' part of everything."""
    if not sampler._rows:
        next(sampler)
    return sampler._rows


def expected(sampler, row, final, beta, rest=0.0):
    """What a row should hold, from the models and the formulas."""
    model, ids, targets = sampler.model, row["ids"][None], row["targets"][None]
    real = targets != -100
    old = model.token_log_probabilities({"ids": ids, "targets": targets}).data
    theirs = sampler.reference.token_log_probabilities({"ids": ids, "targets": targets}).data
    values = np.where(real, model.critic.values({"ids": ids}).data, 0)
    rewards = kl_rewards(old, theirs, [final], real, beta=beta)
    return old, values, generalized_advantages(rewards, values, real, last_values=[rest])


def test_each_token_is_given_what_the_formulas_say():
    sampler = rollouts(beta=0.2, whiten_advantages=False)
    scored = {}
    sampler.score = lambda items, answers: [
        scored.setdefault(tuple(a), s) for a, s in zip(answers, score(items, answers))
    ]
    for row in rows_of(sampler):
        answer = row["targets"][row["targets"] != -100]
        ended = answer[-1] in (2, 9)
        final = scored[tuple(answer[:-1] if ended else answer)] if ended else -1.0
        old, values, (advantages, returns) = expected(sampler, row, final, 0.2)
        for name, wanted in (("old_log_probabilities", old), ("old_values", values), ("advantages", advantages),
                             ("returns", returns)):  # fmt: skip
            np.testing.assert_allclose(row[name], wanted[0], atol=1e-10, err_msg=name)
    figures = sampler.figures
    lengths = [(row["targets"] != -100).sum() for row in sampler._rows]
    assert figures["length"] == np.mean(lengths) and figures["beta"] == 0.2 and 0 < figures["cut_off"] < 1
    kl = []
    for row in sampler._rows:
        theirs = sampler.reference.token_log_probabilities({k: row[k][None] for k in ("ids", "targets")}).data[0]
        kl.append((row["old_log_probabilities"] - theirs).sum())
    assert figures["kl"] == pytest.approx(np.mean(kl))  # nats an answer, without padding


@pytest.mark.parametrize("cut_off", ["score", "penalty", "bootstrap"])
def test_answers_that_were_cut_off(cut_off):
    sampler = rollouts(
        cut_off=cut_off, cut_off_penalty=-5.0, whiten_advantages=False, score=lambda i, a: np.ones(len(a))
    )
    seen = 0
    for row in rows_of(sampler):
        answer = row["targets"][row["targets"] != -100]
        if answer[-1] in (2, 9):
            final, rest = 1.0, 0.0
        else:
            seen += 1
            final = {"score": 1.0, "penalty": -5.0, "bootstrap": 0.0}[cut_off]
            last = sampler.model.critic.values({"ids": row["ids"][None]}).data[0, -1]
            rest = last if cut_off == "bootstrap" else 0.0
        *_, (advantages, _) = expected(sampler, row, final, sampler.settings.beta, rest)
        np.testing.assert_allclose(row["advantages"], advantages[0], atol=1e-10)
    assert seen


def together(sampler, name):
    return np.concatenate([row[name][row["targets"] != -100] for row in rows_of(sampler)])


def test_whitening_is_over_the_whole_rollout():
    plain, white = (rollouts(whiten_advantages=on) for on in (False, True))
    x = together(plain, "advantages")
    np.testing.assert_allclose(together(white, "advantages"), whiten(x[None], np.ones((1, len(x))))[0], rtol=1e-10)
    np.testing.assert_allclose(together(white, "returns"), together(plain, "returns"), rtol=1e-12)
    more = rollouts(whiten_rewards=True, whiten_advantages=False)
    assert np.abs(together(more, "returns") - together(plain, "returns")).max() > 1e-3


def test_scores_are_normalised_and_clipped():
    def finals(sampler, scores):
        return sampler._final_scores(np.array(scores, np.float64), np.ones(len(scores), bool))

    first, second = [1.0, 3.0, 5.0, 7.0], [5.0, 5.0, 5.0, 9.0]
    initial = rollouts(score_normalisation="initial")
    np.testing.assert_allclose(finals(initial, first), (np.array(first) - 4) / np.sqrt(5), rtol=1e-6)
    np.testing.assert_allclose(finals(initial, second), (np.array(second) - 4) / np.sqrt(5), rtol=1e-6)
    running = rollouts(score_normalisation="running")
    np.testing.assert_allclose(finals(running, first), (np.array(first) - 4) / np.sqrt(5), rtol=1e-6)
    both = np.array(first + second)
    np.testing.assert_allclose(finals(running, second), (np.array(second) - both.mean()) / both.std(), rtol=1e-6)
    assert finals(rollouts(score_clip=4.0), first).tolist() == [1.0, 3.0, 4.0, 4.0]
    assert finals(rollouts(score_normalisation="initial"), [2.0] * 4).tolist() == [0.0] * 4  # no spread to divide by


def test_minibatches_go_over_the_rollout_epoch_by_epoch_and_then_it_is_sampled_anew():
    sampler = rollouts()
    batches = [next(sampler) for _ in range(4)]
    rows = {row["ids"].tobytes() for row in sampler._rows}
    width = max(batch["ids"].shape[1] for batch in batches)
    for epoch in (batches[:2], batches[2:]):
        seen = [row[: (t != -100).nonzero()[0][-1] + 2] for b in epoch for row, t in zip(b["ids"], b["targets"])]
        assert {row.tobytes() for row in seen} == rows
    assert sampler.iteration == 1 and width <= 5 + 6
    next(sampler)
    assert sampler.iteration == 2 and sampler.position == 1


def test_every_prompt_comes_once_before_any_comes_again():
    sampler = rollouts()
    taken = []
    for sampler.iteration in range(5):
        taken += sampler._chosen()
    assert all(sorted(taken[k : k + 5]) == [0, 1, 2, 3, 4] for k in range(0, 20, 5))
    assert taken[:5] != taken[5:10]
    few = rollouts(prompts=PROMPTS[:2])
    assert sorted(few._chosen()) == [0, 0, 1, 1]


def test_the_price_of_kl_follows_its_target():
    assert adapted_beta(0.1, 6.0, 6.0, 100, 1000) == 0.1
    assert adapted_beta(0.1, 100.0, 6.0, 100, 1000) == pytest.approx(0.1 * 1.02)
    assert adapted_beta(0.1, 0.0, 6.0, 100, 1000) == pytest.approx(0.1 * 0.98)
    assert adapted_beta(0.1, 6.6, 6.0, 100, 1000) == pytest.approx(0.1 * 1.01)
    sampler = rollouts(kl_target=1e-3, kl_horizon=40)
    next(sampler)
    first = sampler.beta
    assert first == pytest.approx(0.05 * 1.02) and sampler.figures["beta"] == 0.05
    sampler.position = 4
    next(sampler)
    assert sampler.beta == pytest.approx(first * 1.02) and sampler.figures["beta"] == first


def test_a_rollout_is_left_when_the_policy_has_moved():
    sampler = rollouts(stop_moved=1e-3)
    next(sampler), next(sampler)
    assert sampler.iteration == 1  # nothing moved
    sampler.model.policy.head.weight.data = sampler.model.policy.head.weight.data * 1.5
    next(sampler)
    assert (sampler.iteration, sampler.position) == (2, 1)


def test_threads_change_nothing(monkeypatch):
    from llm_from_scratch.alignment import sampled_answers

    monkeypatch.setattr(sampled_answers, "_CHUNK", 3)
    one, two = (rollouts(answers=8, threads=threads) for threads in (1, 2))
    for a, b in zip(rows_of(one), rows_of(two)):
        assert all(a[name].tobytes() == b[name].tobytes() for name in a)


@pytest.mark.parametrize("critic", ["policy", "shared"])
def test_float32_stays_float32(critic):
    model = actor(critic, np.float32)
    sampler = rollouts(model=model, dtype=np.float32)
    batch = next(sampler)
    assert {batch[n].dtype for n in ("old_log_probabilities", "advantages", "old_values", "returns")} == {
        np.dtype(np.float32)
    }


# --- Runs


class Killed(Exception):
    pass


def run(directory, last=99, dtype=np.float32, **change):
    """A small run, killed after some step, and gone on with if it was."""
    model = actor(dtype=dtype)
    sampler = rollouts(model=model, dtype=dtype, reference=copy.deepcopy(model.policy), kl_target=0.5,
                       score_normalisation="running", **change)  # fmt: skip

    def between(step, loss, model):
        if step == last:
            raise Killed

    settings = TrainingSettings(steps=10, learning_rate=1e-2, checkpoint_every=1, threads=1)
    aim = PPO(sampler.settings)
    return train(model, sampler, settings, objective=aim, on_step=between, directory=directory, resume=True,
                 progress=False)  # fmt: skip


FILES = (
    "log.jsonl",
    "model.safetensors",
    "step-10/state.json",
    "step-10/optimizer.safetensors",
    "step-10/model.safetensors",
)


@pytest.mark.parametrize("critic", ["policy", "shared"])
def test_an_adapted_policy_is_held_to_its_base_and_moves_the_adapter_alone(critic):
    policy = decoder()
    adapters.add_lora(policy, 2, targets="all-linear")
    model, figures = ActorCritic.of(policy, critic), []
    sampler = rollouts(model=model, reference=adapters.base_of(policy), critic=critic, on_iteration=figures.append)
    start = {name: array.copy() for name, array in policy.state_dict().items()}
    settings = TrainingSettings(steps=12, learning_rate=0.05, weight_decay=0.0, threads=1)
    train(model, sampler, settings, objective=PPO(sampler.settings), progress=False)
    assert figures[0]["kl"] == 0 and figures[-1]["kl"] != 0  # an adapter begins as nothing
    moved = {name for name, array in policy.state_dict().items() if (array != start[name]).any()}
    assert moved and all(".default." in name for name in moved)
    # the reference has not moved: the price of what is sampled now is that by a base that never had an adapter
    sampler._sample()
    fresh = rollouts(model=model, reference=decoder(), critic=critic)
    fresh.restore({**sampler.state(), "identity": fresh.state()["identity"], "iteration": sampler.iteration - 1})
    fresh._sample()
    assert fresh.figures["kl"] == sampler.figures["kl"]


@pytest.mark.parametrize("change", [{}, {"pretraining_coefficient": 0.5}], ids=["plain", "mix"])
def test_a_run_killed_at_any_step_goes_on_to_the_byte(tmp_path, change):
    def more():
        if not change:
            return change
        return {**change, "pretraining": BatchSampler(np.arange(200) % 19, 2, 8, seed=3)}

    run(tmp_path / "whole", **more())
    log = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [entry["iteration"] for entry in log] == [0] * 4 + [1] * 4 + [2] * 2 and "kl" in log[0]
    for last in range(10):
        with pytest.raises(Killed):
            run(tmp_path / "killed", last, **more())  # goes on from where the one before was killed
    assert run(tmp_path / "killed", **more()).finished
    for name in FILES:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes(), name


def test_a_state_belongs_to_its_prompts_and_settings():
    sampler = rollouts()
    next(sampler)
    state = json.loads(json.dumps(sampler.state(), allow_nan=False))
    again = rollouts()
    again.restore(state)
    for ours, theirs in zip(again._rows, sampler._rows):
        assert all(ours[name].tobytes() == theirs[name].tobytes() for name in ours)
    for other, message in (
        (rollouts(seed=1), "seed: saved 0, now 1"),
        (rollouts(beta=0.3), "beta: saved 0.05, now 0.3"),
        (rollouts(prompts=PROMPTS[::-1]), "fingerprint"),
    ):
        with pytest.raises(ValueError, match=f"belongs to another run.*{message}"):
            other.restore(state)
    for change in ({"rows": state["rows"][:2]}, {"rows": [{}] * 4}, {"moments": [1]}, {"position": None}):
        with pytest.raises(ValueError, match="the saved rollout is damaged"):
            rollouts().restore({**state, **change})


def test_it_learns():
    """Rewarded for sevens, it says more of them, and a reference holds it back."""

    def sevens(items, answers):
        return [sum(token == 7 for token in answer) / 6 for answer in answers]

    ends = {}
    for beta in (0.0, 1.0):
        model, figures = actor("shared", np.float32), []
        sampler = rollouts(
            model=model, dtype=np.float32, score=sevens, reference=copy.deepcopy(model.policy), answers=32, beta=beta,
            minibatch=16, cut_off="score", score_normalisation="initial", on_iteration=figures.append,
        )  # fmt: skip
        settings = TrainingSettings(steps=80, learning_rate=1e-2, threads=1)
        train(model, sampler, settings, objective=PPO(sampler.settings), progress=False)
        ends[beta] = figures
    scores = [np.mean([f["score"] for f in ends[beta][-5:]]) for beta in (0.0, 1.0)]
    assert ends[0.0][0]["kl"] == pytest.approx(0, abs=1e-4)
    assert scores[0] > ends[0.0][0]["score"] + 0.3 and scores[1] < scores[0] - 0.15
    assert ends[1.0][-1]["kl"] < ends[0.0][-1]["kl"] / 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rollouts(prompts=[]), "there are no prompts to answer"),
        (lambda: rollouts(prompts=[[1], []]), "prompt 1 is empty"),
        (lambda: rollouts(items=["one"]), "there are 1 items for 5 prompts"),
        (lambda: rollouts(reference=build("llama", **{**TINY, "vocab_size": 23}, dtype=np.float64)),
         "the policy knows 19 tokens, the reference 23"),
        (lambda: (lambda m: rollouts(model=m, reference=m.policy))(actor()), "the reference is the policy itself"),
        (lambda: Rollouts(actor(), decoder(3), PROMPTS, score, PPOSettings(**SMALL)), "nothing ends an answer"),
        (lambda: rollouts(pretraining_coefficient=1.0), "a pretraining mix needs both it and pretraining="),
        (lambda: next(rollouts(score=lambda i, a: np.full(len(a), np.nan))), "the score of answer 0 is nan"),
        (lambda: next(rollouts(score=lambda i, a: [1.0])), r"score returned \(1,\), expected one number for each"),
    ],
)  # fmt: skip
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_prompts_that_leave_no_room_are_refused():
    policy = build("gpt2", vocab_size=19, n_embd=16, n_layer=1, n_head=2, n_positions=8, dtype=np.float64)
    with pytest.raises(ValueError, match="prompt 0 has 3 tokens, which with 6 new ones is more than the 8 positions"):
        rollouts(model=ActorCritic.of(policy, "policy"))
