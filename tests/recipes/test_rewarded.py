"""A reward model and PPO from the command's table: they run, learn, are kept, go on to the byte, refuse nonsense."""

from __future__ import annotations

import json
import signal
from itertools import islice

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.alignment import RewardModel
from llm_from_scratch.data.assistant import QUESTION_KINDS
from llm_from_scratch.data.encoding import find_template
from llm_from_scratch.recipes import aligning, tuning
from llm_from_scratch.recipes.aligning import rewarded
from llm_from_scratch.recipes.aligning.sources import Tales

pytestmark = pytest.mark.usefixtures("cache")
QUICK = {"steps": 4, "held_out": 6, "prompts": 3, "max_new_tokens": 4, "threads": 1, "evaluations": 2, "batch": 4}
PPO = {"answers": 4, "minibatch": 2, "training_prompts": 6, "reward_tokens": 2000}


def settings_for(method, start, **given):
    return aligning.resolved(method, model=str(start), data="tales", template="tales", **{**QUICK, **given})


def carry_out(directory, settings, make=aligning.prepare_run):
    return tuning.carry_out(directory, "align", make, settings, say=lambda text: None, progress=False)


def test_a_reward_model_is_what_remains_of_its_run(start, tmp_path):
    report = carry_out(tmp_path / "run", settings_for("reward", start))
    assert report["before"]["figures"]["accuracy"] == 0.5  # all answers tie
    found = RewardModel.from_pretrained(tmp_path / "run")
    assert np.abs(found.head.weight.data).max() > 0
    lfs.from_pretrained(tmp_path / "run")


@pytest.mark.parametrize("change", [{}, {"reward": "true", "critic": "shared"}, {"reward": "true", "critic": "policy"}])
def test_ppo_runs_and_is_measured_as_all_methods_are(start, tmp_path, cache, change):
    report = carry_out(tmp_path / "run", settings_for("ppo", start, **PPO, **change))
    before, after = (report[when]["figures"] for when in ("before", "after"))
    assert set(before) == set(after) == {"accuracy", "margin", "kl", "length", "true_score"}
    assert before["kl"] == 0 and after["kl"] != 0
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = [entry for entry in log if "score" in entry]
    assert [entry["iteration"] for entry in steps] == [0, 0, 1, 1]
    kept = list((cache / "log-probabilities").glob("reward-model-*"))
    assert len(kept) == (not change)
    lfs.from_pretrained(tmp_path / "run")


def test_a_run_that_was_killed_goes_on_to_the_byte_with_the_reward_model_that_was_kept(start, tmp_path, monkeypatch):
    settings = settings_for("ppo", start, **PPO, checkpoint_every=1)
    carry_out(tmp_path / "whole", settings)

    class Killed(Exception):
        pass

    def killed(given):
        made = aligning.prepare_run(given, say=lambda text: None)

        def on_step(step, loss, model):
            if step == 3:
                raise Killed

        made.on_step = on_step
        return made

    monkeypatch.setattr(rewarded, "train_reward_model", None)  # it is read, not learned again
    with pytest.raises(Killed):
        carry_out(tmp_path / "killed", settings, killed)
    assert carry_out(tmp_path / "killed", None) is not None
    for name in ("log.jsonl", "model.safetensors", "step-4/state.json", "step-4/optimizer.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes(), name


def test_ctrl_c_while_the_reward_model_learns_keeps_none(start, tmp_path, cache, monkeypatch):
    class Interrupted(rewarded.RewardPairs):
        def __call__(self, model, batch, **how):
            signal.raise_signal(signal.SIGINT)
            return super().__call__(model, batch, **how)

    settings = settings_for("ppo", start, **{**PPO, "reward_tokens": 20_000})
    with monkeypatch.context() as patch:
        patch.setattr(rewarded, "RewardPairs", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            carry_out(tmp_path / "run", settings)
    assert not list(cache.rglob("reward-model-*")) and tuning.state_of(tmp_path / "run") == "new"
    assert carry_out(tmp_path / "run", settings)["steps"] == 4


def test_a_reward_model_of_ones_own(start, tmp_path):
    carry_out(tmp_path / "reward", settings_for("reward", start))
    made = aligning.prepare_run(settings_for("ppo", start, **PPO, reward_model=str(tmp_path / "reward")))
    wanted = RewardModel.from_pretrained(tmp_path / "reward")
    assert np.array_equal(made.model.critic.head.weight.data, wanted.head.weight.data)
    assert (made.settings.steps, made.settings.schedule, made.settings.final_learning_rate) == (4, "linear", 0.0)


@pytest.mark.parametrize("template", ["tales", "chatml"])  # the second writes a line break after the end
def test_a_reward_model_reads_up_to_the_end_of_the_answer(start, template):
    class Setup:
        tokenizer = lfs.Tokenizer.from_pretrained(start)

    Setup.template = find_template(Setup.tokenizer, template)
    row = rewarded.reward_row(Setup, [{"role": "user", "content": "Who?"}], [{"role": "assistant", "content": "Ben."}])
    end = {"tales": "<|end|>", "chatml": "<|im_end|>"}[template]
    assert Setup.tokenizer.decode(row).endswith(f"Ben.{end}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reward": "human"}, "reward is 'learned' or 'true', not 'human'"),
        ({"clip": -1.0}, "clip must be above 0"),
        ({"kinds": "sums"}, "kinds is one of all, taught, questions, got 'sums'"),
        ({"minibatch": 3}, r"minibatch \(3\) must divide answers \(4\)"),
        ({"cut_off": "ignore"}, "cut_off must be one of score, penalty, bootstrap"),
        ({"pretraining_coefficient": 1.0}, "ppo has no setting 'pretraining_coefficient'"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_opened(change, message):
    with pytest.raises(ValueError, match=message):
        settings_for("ppo", "there/is/nothing", **{**PPO, **change})


def test_the_true_score_needs_the_tales(start, tmp_path):
    rows = [{"prompt": f"Who is {k}?", "chosen": f"It is {k}.", "rejected": "No."} for k in range(40)]
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    settings = settings_for("ppo", start, **PPO, reward="true") | {"data": str(path)}
    with pytest.raises(ValueError, match="known for the tales only"):
        aligning.prepare_run(settings)
    settings = settings_for("ppo", start, **PPO) | {"data": str(path)}
    assert carry_out(tmp_path / "run", settings)["steps"] == 4


def test_the_tasks_that_are_scored_are_those_that_were_asked():
    for kinds in ("all", "taught", "questions"):
        source = Tales(0, 8, kinds=kinds)
        for pair, task in zip(source.preferences(), islice(source.asked(), 20)):
            assert pair["prompt"] == list(task.messages)
        assert [pair["prompt"] for pair in source.held_out] == [list(task.messages) for task in source.tasks]
    assert {task.kind for task in islice(source.asked(), 50)} == set(QUESTION_KINDS)


def test_a_value_clip_of_zero_is_none(start):
    assert rewarded._settings(settings_for("ppo", start, **PPO, value_clip=0)).value_clip is None


def test_a_reward_model_is_read_as_it_was_learned_whatever_its_base_is_stored_in(start, tmp_path):
    """Ranks read what the first of them has kept: in the bfloat16 of its base it would be another one."""
    base = lfs.from_pretrained(start)
    for path in start.iterdir():
        (tmp_path / "base" / path.name).parent.mkdir(exist_ok=True)
        (tmp_path / "base" / path.name).write_bytes(path.read_bytes())
    base.save_pretrained(tmp_path / "base", dtype="bfloat16")
    settings = settings_for("ppo", tmp_path / "base", **PPO)
    first, again = (aligning.prepare_run(settings, say=lambda text: None).identity for _ in range(2))
    assert first == again


def test_a_reward_model_in_float64_is_read_to_the_bit(start, tmp_path):
    model = RewardModel(lfs.from_pretrained(start).astype(np.float64))
    model.head.weight.data[:] = np.random.default_rng(0).normal(size=model.head.weight.shape)
    model.save_pretrained(tmp_path / "kept", dtype=np.float64)
    found = RewardModel.from_pretrained(tmp_path / "kept")
    for (name, mine), (_, theirs) in zip(model.named_parameters(), found.named_parameters()):
        assert np.array_equal(mine.data, theirs.data) and theirs.dtype == np.float64, name
