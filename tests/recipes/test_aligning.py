"""Aligning: every method of the table runs, is measured alike, learns, and goes on to the byte after a kill."""

from __future__ import annotations

import json

import pytest

import llm_from_scratch as lfs
from llm_from_scratch.recipes import aligning, tuning
from llm_from_scratch.recipes.aligning.sources import PreferenceFile, Tales, open_source

pytestmark = pytest.mark.usefixtures("cache")
QUICK = {"steps": 3, "batch": 2, "held_out": 6, "prompts": 3, "max_new_tokens": 4, "threads": 1, "evaluations": 2}
OWN = {"kto": {"mismatched": 4, "estimate": 2}}
DIRECT = ("dpo", "cdpo", "ipo", "hinge", "kto", "crlft", "apa", "awr")


def settings_for(method, start, **given):
    settings = {**QUICK, **OWN.get(method, {}), **given}
    return aligning.resolved(method, model=str(start), data="tales", template="tales", **settings)


def carry_out(directory, settings, make=aligning.prepare_run):
    return tuning.carry_out(directory, "align", make, settings, say=lambda text: None, progress=False)


def test_the_table_has_every_method_once():
    assert set(DIRECT) <= set(aligning.METHODS)
    table = aligning.methods_table()
    for name, method in aligning.METHODS.items():
        assert name == method.name and table.count(f"\n{name} ") + table.startswith(f"{name} ") == 1
        assert method.data in ("pairs", "prompts", "rankings") and method.about and method.source
        assert all(setting in table for setting in method.settings)
    assert all(setting in table for setting in aligning.COMMON)


@pytest.mark.parametrize("method", DIRECT)
def test_every_method_runs_and_is_measured_alike(method, start, tmp_path):
    report = carry_out(tmp_path / "run", settings_for(method, start))
    before, after = (report[when]["figures"] for when in ("before", "after"))
    assert set(before) == set(after) == {"accuracy", "margin", "kl", "length", "true_score"}
    assert before["accuracy"] == 0.5 and before["margin"] == 0 and before["kl"] == 0
    assert after["margin"] != 0 and 0 < after["length"] <= 4 and 0 <= after["true_score"] <= 1
    assert len(report["before"]["samples"]) == 2 and set(report["before"]["samples"][0]) == {"asked", "answer"}
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja", "figures.png"} <= files
    lfs.from_pretrained(tmp_path / "run")
    logged = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in logged if "accuracy" in entry] == [0, 2, 3]


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_a_killed_run_goes_on_to_the_byte(method, start, tmp_path):
    settings = settings_for(method, start, steps=4, checkpoint_every=2)
    carry_out(tmp_path / "whole", settings)

    class Killed(Exception):
        pass

    def killed(given):
        made = aligning.prepare_run(given, say=lambda text: None)
        own = made.on_step

        def on_step(step, loss, model):
            if step == 3:
                raise Killed
            if own is not None:
                own(step, loss, model)

        made.on_step = on_step
        return made

    with pytest.raises(Killed):
        carry_out(tmp_path / "killed", settings, killed)
    assert carry_out(tmp_path / "killed", None) is not None
    for name in ("log.jsonl", "model.safetensors", "step-4/state.json", "step-4/optimizer.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes(), name


def test_the_reference_is_asked_once_whoever_asks(start, tmp_path, monkeypatch):
    carry_out(tmp_path / "one", settings_for("dpo", start))
    from llm_from_scratch.scoring import likelihoods

    kept = {path: path.read_bytes() for path in (tmp_path / "cache" / "log-probabilities").iterdir()}
    computed = []
    original = likelihoods._computed
    monkeypatch.setattr(likelihoods, "_computed", lambda *args: computed.append(len(args[1])) or original(*args))
    made = aligning.prepare_run(settings_for("ipo", start))
    assert not computed and made.identity is not None
    assert {path: path.read_bytes() for path in kept} == kept


@pytest.mark.parametrize("method", ["dpo", "apa", "crlft", "kto"])
def test_tokens_become_steps(method, start):
    made = aligning.prepare_run(settings_for(method, start, steps=None, tokens=4000, batch=4))
    passing = sum(
        len(row) for one in made.sampler.examples for name, row in one.items() if name.endswith("ids")
    )  # the examples are as many as the steps go over
    assert passing == pytest.approx(4000, rel=0.25)
    assert made.settings.steps * made.sampler.batch_size == len(made.sampler.examples)


# --- Data


def write_pairs(path, rows=20, **change):
    lines = [
        {"prompt": f"What is {k}?", "chosen": f"It is {k}.", "rejected": f"It is {k + 1}.", **change}
        for k in range(rows)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_a_file_of_preferences(start, tmp_path):
    path = write_pairs(tmp_path / "pairs.jsonl")
    settings = {**settings_for("dpo", start), "data": str(path)}
    report = carry_out(tmp_path / "run", settings)
    assert set(report["after"]["figures"]) == {"accuracy", "margin", "kl", "length"}  # nobody knows the truth
    assert list((tmp_path / "pairs.jsonl.log-probabilities").iterdir())
    source = PreferenceFile(str(path), seed=0, count=99)
    told = [json.dumps(row, sort_keys=True) for row in source.preferences()]
    held_out = [json.dumps(row, sort_keys=True) for row in source.held_out]
    assert len(held_out) == 4 and len(told) == 16 and not set(told) & set(held_out)
    assert [json.dumps(row, sort_keys=True) for row in PreferenceFile(str(path), 1, 99).held_out] != held_out


def test_the_tales_are_others_than_those_measured_on():
    source = Tales(seed=0, count=5)
    held_out = [json.dumps(row) for row in source.held_out]
    told = [json.dumps(row) for _, row in zip(range(200), source.preferences())]
    assert len(held_out) == 5 and not set(told) & set(held_out)
    for number, pair in enumerate(source.held_out):
        better, worse = (source.score(number, pair[side][0]["content"]) for side in ("chosen", "rejected"))
        assert better > worse
    noisy = [json.dumps(row) for _, row in zip(range(200), Tales(seed=0, count=5, noise=0.3).preferences())]
    assert 30 < sum(a != b for a, b in zip(told, noisy)) < 90
    other = [json.dumps(row) for _, row in zip(range(200), Tales(seed=1, count=5).preferences())]
    assert not set(other) & set(told)
    assert [json.dumps(row) for row in Tales(seed=1, count=5, noise=0.5).held_out] == held_out


# --- Errors, before anything is computed or written


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"method": "ppq"}, ValueError, "there is no method 'ppq'; the methods are dpo, cdpo, ipo"),
        ({"tau": 0.1}, ValueError, "dpo has no setting 'tau'; it has .*beta"),
        ({"beta": "much"}, TypeError, "dpo: beta must be a number, got 'much'"),
        ({"beta": 0}, ValueError, "beta must be a finite number above 0, got 0"),
        ({"batch": 0}, ValueError, "batch must be at least 1, got 0"),
        ({"batch": 2.5}, TypeError, "dpo: batch must be a whole number, got 2.5"),
        ({"steps": 0}, ValueError, "steps must be at least 1, got 0"),
        ({"tokens": -5}, ValueError, "tokens must be at least 1, got -5"),
        ({"prompts": 0}, ValueError, "prompts must be at least 1, got 0"),
        ({"held_out": 2, "prompts": 3}, ValueError, "3 prompts are to be answered, and 2 are held out"),
        ({"lr": float("nan")}, ValueError, "dpo: lr must be a finite number above 0, got nan"),
        ({"noise": 1.5}, ValueError, "dpo: noise is a share from 0 to 1, got 1.5"),
        (
            {"method": "kto", "desirable_weight": -1},
            ValueError,
            "desirable_weight must be a finite number of at least 0",
        ),
        ({"method": "crlft", "other_weight": -0.5}, ValueError, "other_weight must be a finite number of at least 0"),
        ({"method": "crlft", "expert": 3}, TypeError, "crlft: expert must be a text, got 3"),
        ({"method": "ipo", "per_token": 1}, TypeError, "ipo: per_token must be true or false, got 1"),
        ({"method": "cdpo", "label_smoothing": 0.5}, ValueError, r"label_smoothing must be .* in \[0, 0.5\), got 0.5"),
        ({"method": "apa", "scale": 0}, ValueError, "scale must be a finite number above 0"),
        ({"evaluations": 0}, ValueError, "evaluations must be at least 1"),
        ({"max_new_tokens": 0}, ValueError, "max_new_tokens must be at least 1"),
    ],
)
def test_settings_that_do_not_fit_are_named(given, error, message, start):
    with pytest.raises(error, match=message):
        aligning.prepare_run(settings_for(given.pop("method", "dpo"), start, **given))


def test_data_and_models_that_do_not_fit_are_named(start, tmp_path):
    with pytest.raises(ValueError, match="noise is put into the tales' preferences; those of .* are what they are"):
        open_source(str(write_pairs(tmp_path / "a.jsonl")), seed=0, held_out=4, noise=0.1)
    with pytest.raises(ValueError, match="has 3 preferences: at least 5 are needed"):
        open_source(str(write_pairs(tmp_path / "b.jsonl", rows=3)), seed=0, held_out=4, noise=0.0)
    settings = settings_for("dpo", start)
    for change, message in (
        ({"template": None}, "without a chat template"),
        ({"template": "talse"}, "talse"),
        ({"model": str(tmp_path / "nowhere")}, "nowhere"),
        ({"data": str(tmp_path / "none.jsonl")}, "none.jsonl"),
    ):
        with pytest.raises((ValueError, OSError), match=message):
            aligning.prepare_run({**settings, **change})
    equal = write_pairs(tmp_path / "equal.jsonl", chosen="same", rejected="same")
    with pytest.raises(ValueError, match="pair 0: the chosen and the rejected answer are equal|equal"):
        aligning.prepare_run({**settings, "data": str(equal)})


def test_of_a_model_that_is_not_the_reference_nothing_is_learned(start):
    """The reference must be what the training begins from: another vocabulary is refused when it is asked."""
    other = lfs.build("gpt2", n_layer=1, n_head=1, n_embd=8, n_positions=32, vocab_size=23)
    setup = aligning.Setup(
        lfs.from_pretrained(start), None, Tales(0, 2), {"model": str(start)}, reference=lambda: other
    )
    with pytest.raises(ValueError, match="the reference has a vocabulary of 23 tokens"):
        _ = setup.reference
