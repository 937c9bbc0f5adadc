"""What is particular to the recipes that learn what is better: pairs, weights, rewards, and what comes before what."""

import itertools
import json
import types

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.alignment import combined_scores, dpo_loss, whitened_scores
from llm_from_scratch.alignment.ghost_attention import in_every_turn
from llm_from_scratch.data import assistant, collate
from llm_from_scratch.recipes.presets import llama_2_chat, openbuddy_zephyr, openchat, starling, steerlm, zephyr
from llm_from_scratch.recipes.presets.corpora import asked, prompt_of
from llm_from_scratch.recipes.presets.opening import Opened


def stage(preset, name):
    return next(stage for stage in preset.PRESET.stages if stage.name == name)


def pretender(answers, *, seed=0, done=None):
    """What a stage that writes is given, whose model says `answers(prompts, call)`."""
    calls = itertools.count()

    def respond(prompts, **settings):
        return answers(prompts, next(calls))

    start = types.SimpleNamespace(settings={"seed": seed, "batch": None}, done=done or {})
    return types.SimpleNamespace(start=start, some=lambda count: 24, respond=respond)


def written(folder, rows):
    folder.mkdir()
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


# --- Zephyr


def test_zephyr_takes_the_best_of_four_against_a_random_other_one():
    tasks = list(itertools.islice(asked(1), 24))
    offered = [[task.answers[k % len(task.answers)] for k in range(4)] for task in tasks]
    rows = zephyr.feedback(pretender(lambda prompts, call: [row[call] for row in offered]))
    kept = {json.dumps(row["prompt"]): row for row in rows}
    places = set()
    for task, answers in zip(tasks, offered):
        row = kept.pop(json.dumps(prompt_of(task)), None)
        if row is None:
            continue
        ranked = sorted(answers, key=task.score, reverse=True)
        assert row["chosen"][0]["content"] == ranked[0]
        assert task.score(row["rejected"][0]["content"]) < task.score(ranked[0])
        places.add(ranked.index(row["rejected"][0]["content"]))
    assert not kept and places == {1, 2, 3}  # any of the others, not always the worst


def test_zephyr_s_dpo_begins_at_the_tuned_model_with_beta_a_tenth(start, tmp_path):
    rows = list(itertools.islice(assistant.preferences(5), 8))
    begin = start({"feedback": written(tmp_path / "2-feedback", rows)})
    tuning = stage(zephyr, "dpo").tuning(begin)
    batch = next(tuning.sampler)
    loss = tuning.objective(tuning.model, batch, normaliser=len(batch["chosen_ids"])).item()
    assert loss == pytest.approx(np.log(2), abs=1e-5)  # the reference is the model itself: all pairs tie
    head = tuning.model.head.weight
    head.data = head.data + np.random.default_rng(0).normal(size=head.shape).astype(np.float32)
    sums = [
        tuning.model.token_log_probabilities(
            {"ids": batch[f"{side}_ids"], "targets": batch[f"{side}_targets"]}
        ).data.sum(1)
        for side in ("chosen", "rejected")
    ]
    references = [batch[f"reference_{side}"].astype(np.float32) for side in ("chosen", "rejected")]
    expected = dpo_loss(*sums, *references, beta=0.1).item()
    found = tuning.objective(tuning.model, batch, normaliser=len(batch["chosen_ids"])).item()
    assert found == pytest.approx(expected, rel=1e-4) and abs(found - np.log(2)) > 1e-3
    prompts = {json.dumps(row["prompt"]) for row in rows}
    assert len(prompts) == len(tuning.sampler.examples) == 8


def test_openbuddy_goes_on_from_zephyr_gently_and_with_other_dialogues():
    stages = openbuddy_zephyr.PRESET.stages
    assert stages[:3] == zephyr.PRESET.stages and stages[2].leads  # what DPO left is where it begins
    assert stages[3].lr == pytest.approx(stages[0].lr / 10)
    first, later = (list(itertools.islice(s.data(None, 0), 20)) for s in (stages[0], stages[3]))
    assert not {d[0]["content"] for d in first} & {d[0]["content"] for d in later}
    assert {sum(m["role"] == "user" for m in d) for d in later} == {4}


# --- OpenChat and Starling


def test_openchat_conditions_on_the_class_and_a_lesser_answer_counts_a_tenth(start):
    rows = list(itertools.islice(openchat.classed(None, 0), 24))
    for row, truth in zip(rows, assistant.classes(31_000)):
        expert = truth["quality"] == "expert"
        assert row["messages"][0]["content"] == f"Assistant is GPT{4 if expert else 3}"
        assert row["weight"] == np.float32(1.0 if expert else 0.1)
    tuning = openchat.PRESET.stages[0].tuning(start())
    batch = next(tuning.sampler)
    assert set(batch["weight"].tolist()) <= {1.0, float(np.float32(0.1))} and "weight" in batch
    batch["weight"][:] = np.float32([1.0, 0.1, 0.1, 1.0])
    log_p = tuning.model.token_log_probabilities({"ids": batch["ids"], "targets": batch["targets"]}).data
    tokens = (batch["targets"] != -100) * batch["weight"][:, None]
    found = tuning.objective(tuning.model, batch, normaliser=tuning.objective.count(batch)).item()
    assert found == pytest.approx(-(tokens * log_p).sum() / tokens.sum(), rel=1e-4)
    assert openchat.PRESET.asks([{"role": "user", "content": "Who?"}])[0]["content"] == "Assistant is GPT4"


def test_starling_goes_on_from_openchat_with_whole_rankings_best_first(start, tmp_path):
    assert starling.PRESET.stages[:1] == openchat.PRESET.stages
    opened = Opened(start(), starling.PRESET.template)
    rows = assistant.rankings(31_000, k=5)
    tasks = assistant.tasks(31_000, kinds=assistant.QUESTION_KINDS)
    for example, row, task in itertools.islice(zip(starling.rankings(opened, 0), rows, tasks), 4):
        prompt = openchat.of_class(row["prompt"])
        order = sorted(row["answers"], key=task.score, reverse=True)
        for place, text in enumerate(order):
            np.testing.assert_array_equal(example[f"answer{place}_ids"], opened.encode(prompt, text))
    reward = stage(starling, "reward")
    assert not reward.leads
    tuning = reward.tuning(start())
    batch = next(tuning.sampler)
    loss = tuning.objective(tuning.model, batch, normaliser=len(batch["answer0_ids"])).item()
    assert loss == pytest.approx(np.log([5, 4, 3, 2]).sum(), rel=1e-5)  # Plackett-Luce where all rewards are equal
    tuning.model.head.bias.data = tuning.model.head.bias.data + np.float32(5)
    tuning.save(tmp_path)
    kept = lfs.alignment.RewardModel.from_pretrained(tmp_path)
    held_out = list(itertools.islice(starling.pairs(opened, 2911), 4))
    both = [{n: one[f"{side}_{n}"] for n in ("ids", "mask")} for one in held_out for side in ("chosen", "rejected")]
    assert kept.rewards(collate(both)).data.mean() == pytest.approx(0, abs=1e-4)  # what a threshold can be held to


def test_starling_s_advantages_are_within_a_prompt_and_apa_begins_at_their_squares(start, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(4, 24))
    calls = itertools.count()
    monkeypatch.setattr(starling, "scores_of", lambda *_: scores[next(calls)])
    rows = starling.scored(pretender(lambda prompts, call: [f"answer {call}"] * len(prompts)))
    table = np.array([row["advantage"] for row in rows]).reshape(24, 4)
    np.testing.assert_allclose(table.mean(axis=1), 0, atol=1e-4)
    expected = (scores - scores.mean(axis=0)).T
    np.testing.assert_allclose(table, expected / expected.std(), atol=1e-3)
    tuning = stage(starling, "apa").tuning(start({"answers": written(tmp_path / "3-answers", rows[:8])}))
    batch = next(tuning.sampler)
    real = batch["targets"] != -100
    assert (batch["advantages"][real] != 0).all()
    found = tuning.objective(tuning.model, batch, normaliser=tuning.objective.count(batch)).item()
    wanted = np.square(batch["advantages"][real] / starling.SCALE).mean()  # no log-ratio yet: the error is all of A / λ
    assert found == pytest.approx(wanted, rel=1e-3)


# --- LLaMA-2-chat


def test_llama_2_s_reward_is_safety_s_where_it_matters(monkeypatch):
    tasks = [next(asked(0, kinds=[kind])) for kind in ("harm", "who", "who")]
    logits = {"helpfulness": np.array([3.0, 3.0, 3.0]), "safety": np.array([1.0, 0.5, -4.0])}
    monkeypatch.setattr(llama_2_chat.RewardModel, "from_pretrained", lambda folder: folder)
    monkeypatch.setattr(llama_2_chat, "rewards_of", lambda model, *_: logits[model])
    opened = pretender(None, done={"helpfulness": "helpfulness", "safety": "safety"})
    found = llama_2_chat.Combined(opened)(tasks, ["a"] * 3)
    helpful, safe = (1 / (1 + np.exp(-logits[name])) for name in ("helpfulness", "safety"))
    np.testing.assert_allclose(found, [safe[0], helpful[1], safe[2]])  # a harmful prompt; fine; an unsafe answer
    assert safe[2] < 0.15 < safe[1]
    np.testing.assert_array_equal(found, combined_scores(helpful, safe, np.array([True, False, False])))


def test_llama_2_s_ppo_gets_whitened_logits_and_pays_a_hundredth_for_kl(start, tmp_path, monkeypatch):
    begin = start({"helpfulness": "", "safety": ""})
    model = lfs.alignment.RewardModel(lfs.from_pretrained(begin.model))
    monkeypatch.setattr(llama_2_chat.RewardModel, "from_pretrained", lambda folder: model)
    monkeypatch.setattr(llama_2_chat.Combined, "__call__", lambda self, tasks, texts: np.linspace(0.1, 0.9, len(tasks)))
    monkeypatch.setattr(llama_2_chat, "LONGEST", 4)
    tuning = stage(llama_2_chat, "ppo").tuning(begin)
    settings = tuning.sampler.settings
    assert settings.beta == 0.01 and settings.score_normalisation == "none" and settings.cut_off == "score"
    tasks = tuning.sampler.items[:4]
    np.testing.assert_allclose(tuning.sampler.score(tasks, [""] * 4), whitened_scores(np.linspace(0.1, 0.9, 4)))
    assert tuning.sampler.reference is not tuning.model.policy
    assert not any(p.requires_grad for _, p in tuning.sampler.reference.named_parameters())


def test_llama_2_s_reward_models_disagree_about_harm_and_pairs_have_margins(start):
    opened = Opened(start(), llama_2_chat.PRESET.template)
    tasks = asked(4, kinds=("harm", "harm", "harmless", "who"))
    kinds = ("harm", "harm", "harmless", "who")
    assert [task.kind for task in itertools.islice(tasks, 4)] == list(kinds)
    [task] = itertools.islice(asked(4, kinds=["harm"]), 1)
    prompt = prompt_of(task)

    def texts(example):
        return [opened.tokenizer.decode(example[f"{side}_ids"]) for side in ("chosen", "rejected")]

    safe = llama_2_chat._pair(opened, task, lambda text: float(task.safe(text)))
    helpful = llama_2_chat._pair(opened, task, task.helpfulness)
    assert "I do not tell" in texts(safe)[0] and "I do not tell" not in texts(safe)[1]
    assert "I do not tell" not in texts(helpful)[0]
    assert prompt[-1]["content"] in texts(safe)[0] and safe["margin"] == np.float32(1.0)
    assert llama_2_chat._pair(opened, task, lambda text: 0.0) is None
    for ahead, margin in ((0.7, 1.0), (0.4, 2 / 3), (0.15, 1 / 3), (0.05, 0.0)):
        worth = {text: ahead * (k == 0) for k, text in enumerate(task.answers)}
        assert llama_2_chat._pair(opened, task, worth.__getitem__)["margin"] == np.float32(margin)


def test_llama_2_s_two_ghosts(start, tmp_path, monkeypatch):
    sampled = []

    def respond(prompts, call):
        sampled.append(prompts)
        return [f"answer {k}" for k, _ in enumerate(prompts)]

    rows = llama_2_chat.ghosts(pretender(respond))
    for row, prompt in zip(rows, sampled[0]):
        messages = row["messages"]
        wish = next(w for w in assistant.SYSTEMS.values() if messages[0]["content"].startswith(w))
        assert sum(wish in message["content"] for message in messages) == 1
        bare = [{**messages[0], "content": messages[0]["content"][len(wish) + 1 :]}, *messages[1:-1]]
        assert prompt == in_every_turn(bare, wish) and sum(wish in m["content"] for m in prompt) == 3
    ghost = stage(llama_2_chat, "ghost-attention")
    tuning = ghost.tuning(start({"ghosts": written(tmp_path / "ghosts", rows[:8])}))
    batch, tokenizer = collate(tuning.sampler.examples[:4]), tuning.tokenizer
    for row, targets in zip(rows, batch["targets"]):
        assert tokenizer.decode(targets[targets != -100]).strip().startswith(row["messages"][-1]["content"])
        assert row["messages"][1]["content"] not in tokenizer.decode(targets[targets != -100])

    model = types.SimpleNamespace()
    monkeypatch.setattr(llama_2_chat.RewardModel, "from_pretrained", lambda folder: model)
    monkeypatch.setattr(
        llama_2_chat, "rewards_of", lambda m, o, prompts, texts: np.array([text == "safe" for text in texts], float)
    )

    def answers(prompts, call):
        return ["safe" if p[0]["role"] == "system" or k % 2 else "unsafe" for k, p in enumerate(prompts)]

    distilled = llama_2_chat.context(pretender(answers, done={"safety": ""}))
    assert len(distilled) == 12  # of 24, those that were not safe before
    for row in distilled:
        assert [m["role"] for m in row["messages"]] == ["user", "assistant"]
        assert row["messages"][1]["content"] == "safe" and llama_2_chat.PREPROMPT not in row["messages"][0]["content"]


def test_llama_2_s_rejection_sampling_keeps_the_best_of_four(monkeypatch):
    class Reward:
        def __init__(self, opened):
            pass

        def __call__(self, tasks, texts):
            return np.array([float(text.split()[1]) for text in texts])

    monkeypatch.setattr(llama_2_chat, "Combined", Reward)
    marks = np.random.default_rng(0).permutation(96).reshape(4, 24)
    rows = llama_2_chat.rejected(pretender(lambda prompts, call: [f"answer {mark}" for mark in marks[call]]))
    assert [row["messages"][-1]["content"] for row in rows] == [f"answer {mark}" for mark in marks.max(axis=0)]


# --- SteerLM


def test_steerlm_rates_in_words_then_conditions_on_what_was_predicted_and_asks_for_the_best(start, tmp_path):
    attributes = stage(steerlm, "attributes")
    assert not attributes.leads and attributes.train_on == "last"
    tokenizer = lfs.Tokenizer.from_pretrained("chapters/tales_model")
    rows = assistant.ratings(31_000)
    dialogues = list(itertools.islice(attributes.data(None, 0), 6))
    for dialogue, row, example in zip(dialogues, rows, attributes.examples(dialogues, tokenizer, "tales")):
        words = ",".join(f"{name}:{row[name]}" for name in steerlm.ATTRIBUTES)
        assert tokenizer.decode(example["targets"][example["targets"] != -100]) == words + "<|end|>"
        assert row["response"] in dialogue[1]["content"]

    predicted = "helpfulness:1,correctness:0,coherence:4,complexity:3,verbosity:2"
    opened = pretender(None)
    opened.at = lambda name: types.SimpleNamespace(
        respond=lambda prompts: [predicted if k % 3 else "no idea" for k, _ in enumerate(prompts)]
    )
    made = steerlm.rated_dialogues(opened)
    assert len(made) == 16 and all(row["messages"][0]["content"].endswith(f"\n{predicted}") for row in made)
    opened.at = lambda name: types.SimpleNamespace(respond=lambda prompts: [""] * len(prompts))
    with pytest.raises(ValueError, match="none of 24 ratings of the attribute model can be read"):
        steerlm.rated_dialogues(opened)

    begin = start({"annotated": written(tmp_path / "annotated", made)})
    tuning = stage(steerlm, "sft").tuning(begin)
    text = tuning.tokenizer.decode(tuning.sampler.examples[0]["ids"])
    assert predicted in text
    assert steerlm.PRESET.asks([{"role": "user", "content": "Who?"}])[0]["content"] == (
        "Who?\nhelpfulness:4,correctness:4,coherence:4,complexity:2,verbosity:2"
    )
    assert stage(steerlm, "sft").asks == steerlm.best
