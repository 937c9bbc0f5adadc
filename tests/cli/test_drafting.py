"""A model, a draft that learns from it, and `generate --draft`: from the commands to what they say."""

from __future__ import annotations

import json
import shutil

import pytest

import llm_from_scratch as lfs
from llm_from_scratch import cli
from llm_from_scratch.cli import quickstart
from llm_from_scratch.cli._drafting import Drafting, told
from llm_from_scratch.recipes.quickstart import draft_recipe

MODEL = "--data tales:40 --validation 0.1 --layers 2 --width 16 --heads 2 --context 32 --batch 4 --threads 1".split()
DRAFT = "--data tales:40 --validation 0.1 --layers 1 --width 8 --heads 2 --context 32 --batch 4 --threads 1".split()


def run(capsys, *words):
    code = cli.main([str(word) for word in words])
    return code, capsys.readouterr()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "model"
    assert cli.main(["train", *MODEL, "--vocabulary", "300", "--steps", "30", "--lr", "0.02", "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def draft(model):
    out = model.parent / "draft"
    words = [*DRAFT, "--teacher", str(model), "--steps", "30", "--lr", "0.02", "--out", str(out)]
    assert cli.main(["train", *words]) == 0
    return out


def losses(directory, name):
    entries = [json.loads(line) for line in (directory / "log.jsonl").read_text().splitlines()]
    return [entry[name] for entry in entries if name in entry]


def test_a_draft_has_its_teachers_tokenizer_and_learns_what_it_thinks(model, draft):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (draft / name).read_bytes() == (model / name).read_bytes()
    divergence, crossed = losses(draft, "loss"), losses(model, "loss")
    assert divergence[-1] < divergence[0] / 2 and divergence[-1] < crossed[-1] / 4  # a divergence can reach 0
    assert "bits_per_byte" not in (draft / "log.jsonl").read_text()
    report = json.loads((draft / "report.json").read_text())
    assert report["trained"]["loss"] < report["untrained"]["loss"] and report["trained"]["bits_per_byte"] > 0


def test_a_run_with_a_teacher_goes_on_with_that_teacher_only(model, tmp_path, capsys):
    teacher = tmp_path / "teacher"
    shutil.copytree(model, teacher)
    out = tmp_path / "draft"
    words = [*DRAFT, "--teacher", teacher, "--checkpoint-every", 2, "--out", out]
    assert run(capsys, "train", *words, "--steps", 4)[0] == 0
    whole = (out / "model.safetensors").read_bytes()
    shutil.rmtree(out / "step-4")
    (out / "report.json").unlink()
    (out / "latest").write_text("step-2")
    assert run(capsys, "train", "--resume", "--out", out)[0] == 0
    assert (out / "model.safetensors").read_bytes() == whole
    shutil.rmtree(out / "step-4")
    (out / "report.json").unlink()
    (out / "latest").write_text("step-2")
    (teacher / "model.safetensors").write_bytes(whole)
    shutil.copy(out / "config.json", teacher)  # now another model, which still has these tokens
    code, said = run(capsys, "train", "--resume", "--out", out)
    assert code == 2 and "weights of the teacher" in said.err


def test_teachers_that_cannot_be(model, tmp_path, capsys):
    code, said = run(capsys, "train", *DRAFT, "--teacher", tmp_path / "none", "--out", tmp_path / "a")
    assert code == 2 and "there is no model" in said.err
    for more in (["--vocabulary", 300], ["--words", "Who"], ["--special-tokens", "<x>"], ["--tokenizer", "byte-level"]):
        code, said = run(capsys, "train", *DRAFT, "--teacher", model, *more, "--out", tmp_path / "b")
        assert code == 2 and f"{more[0]} is about training a tokenizer" in said.err and not (tmp_path / "b").exists()


def test_generate_tells_the_same_and_what_the_draft_was_worth(model, draft, capsys):
    about = ["generate", "--model", model, "--prompt", "Once", "--max-new-tokens", 30, "--temperature", 0]
    _, plain = run(capsys, *about, "--json")
    code, guessed = run(capsys, *about, "--draft", draft, "--guesses", 3, "--json")
    plain, guessed = json.loads(plain.out), json.loads(guessed.out)
    assert code == 0 and guessed["texts"] == plain["texts"] and guessed["tokens"] == plain["tokens"]
    account = guessed["draft"]
    assert account["guesses"] == 3 and 0 <= account["acceptance"] <= 1
    assert account["passes"] + account["accepted"] + 1 >= plain["tokens"]
    assert account["tokens_per_pass"] == pytest.approx(1 + account["accepted"] / account["passes"])
    assert all(seconds > 0 for seconds in account["seconds"].values()) and account["speed_up"] > 0
    code, shown = run(capsys, *about, "--draft", draft)
    assert code == 0 and shown.out == "Once" + plain["texts"][0] + "\n"
    assert "of the guesses looked at were kept" in shown.err and "is the one that is told without it" in shown.err
    code, shown = run(capsys, *about[:-1], 0.9, "--draft", draft, "--samples", 2)
    assert code == 0 and "drawn as without it" in shown.err
    code, shown = run(capsys, *about[:6], 1, "--draft", draft)
    assert code == 0 and "the draft guessed nothing" in shown.err


ACCOUNT = {
    "guesses": 5, "passes": 10, "proposed": 50, "accepted": 24, "acceptance": 0.8, "tokens_per_pass": 3.4,
    "expected": 3.7, "seconds": {"token": 0.005, "guess": 0.0005, "reading": 0.006}, "speed_up": 2.0,
    "best_guesses": 5, "best_speed_up": 2.1,
}  # fmt: skip


def test_it_says_so_where_a_draft_cannot_pay():
    assert "cannot pay" not in told(ACCOUNT, True) and "--guesses" not in told(ACCOUNT, True)
    assert "with --guesses 9 it should be 2.50 times" in told(
        {**ACCOUNT, "best_guesses": 9, "best_speed_up": 2.5}, True
    )
    assert "it did not pay here" in told({**ACCOUNT, "speed_up": 0.99, "best_speed_up": 1.05}, True)
    poor = {**ACCOUNT, "speed_up": 0.4, "best_guesses": 1, "best_speed_up": 0.9}
    assert "it cannot pay here, with any number of guesses (0.90 times as fast with 1)" in told(poor, False)


def test_models_with_few_positions_have_an_account_too():
    model, draft = (
        lfs.build("gpt2", n_layer=1, n_head=1, n_embd=8, vocab_size=30, n_positions=12, seed=seed) for seed in (0, 1)
    )
    drafting = Drafting(draft, 3)
    new = model.generate([[1, 2]], max_new_tokens=11, stop_tokens=(), **drafting.settings(None))[0, 2:]
    drafting.ended()
    assert drafting.account(model, [1, 2], new.tolist())["speed_up"] > 0


def test_the_account_of_a_text_that_used_up_all_words():
    """Twenty more tokens, to measure what they cost, are more than a ban on repeats leaves."""
    settings = {"n_layer": 1, "n_head": 1, "n_embd": 8, "vocab_size": 30}
    model, draft = (lfs.build("gpt2", seed=seed, **settings) for seed in (0, 1))
    drafting, choice = Drafting(draft, 3), {"no_repeat_ngram_size": 1, "temperature": 0.9}
    new = model.generate([[1, 2]], max_new_tokens=28, stop_tokens=(), **choice, **drafting.settings(None))[0, 2:]
    drafting.ended()
    account = drafting.account(model, [1, 2], new.tolist(), **choice)
    assert account["speed_up"] > 0 and "times as fast as without it" in told(account, greedy=False)


def test_drafts_of_another_tokenizer_are_refused(model, tmp_path, capsys):
    other, fewer = tmp_path / "other", tmp_path / "fewer"
    more = [*DRAFT, "--steps", 1]
    assert run(capsys, "train", *more, "--vocabulary", 300, "--data", "pydoc", "--out", other)[0] == 0
    assert run(capsys, "train", *more, "--vocabulary", 290, "--out", fewer)[0] == 0
    about = ["generate", "--model", model, "--prompt", "Once", "--draft"]
    code, said = run(capsys, *about, other)
    assert code == 2 and "has another tokenizer: its token 2" in said.err and said.out == ""
    code, said = run(capsys, *about, fewer)
    assert code == 2 and "has 290 tokens and the model 300" in said.err
    code, said = run(capsys, *about[:-1], "--guesses", 3)
    assert code == 2 and "--guesses says how far a draft looks ahead" in said.err
    for more, message in ((["--guesses", 0], "at least 1, got 0"), (["--beams", 2], "choose one of the two")):
        code, said = run(capsys, *about, model, *more)
        assert code == 2 and message in said.err
    code, said = run(capsys, *about, tmp_path / "none")
    assert code == 2 and "none" in said.err


def test_quickstart_has_a_plan_for_each_of_the_two(tmp_path):
    import argparse

    parser = argparse.ArgumentParser()
    quickstart.add_arguments(parser)
    small, large = (quickstart.plan(parser.parse_args(words)) for words in ([], ["--large"]))
    assert large.recipe.layers > small.recipe.layers and large.settings.steps > small.settings.steps
    taught = quickstart.plan(parser.parse_args(["--teacher", "runs/large", "--seed", "3"]))
    assert taught.recipe == draft_recipe("runs/large", 3) and taught.recipe.data == large.recipe.data
    assert large.recipe.teacher is None and "teacher" not in large.recipe.to_json()
    with pytest.raises(SystemExit):
        parser.parse_args(["--large", "--teacher", "runs/large"])
