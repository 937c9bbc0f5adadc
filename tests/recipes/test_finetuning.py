"""finetune: settings, every way to begin a run, what it leaves, and a killed run that goes on to the byte."""

import json
from itertools import islice

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.cli import main
from llm_from_scratch.recipes import finetuning
from llm_from_scratch.recipes.taught import open_taught
from llm_from_scratch.recipes.tuning import carry_out, clear

SPECIAL = ["<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>"]
QUIET = {"say": lambda text: None, "progress": False}
SMALL = {"steps": 3, "batch": 2, "held_out": 3, "max_new_tokens": 4, "threads": 1}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    def saved(name, vocabulary=320, **sizes):
        directory = tmp_path_factory.mktemp(name)
        roles = {"bos": SPECIAL[0], "eos": SPECIAL[0]}
        tokenizer = lfs.Tokenizer.train(
            "the dog met a fox in the garden " * 20, vocabulary, special_tokens=SPECIAL, roles=roles
        )
        wide = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, **sizes}
        model = lfs.build("llama", **wide, vocab_size=vocabulary, max_position_embeddings=2048, seed=3)
        model.save_pretrained(directory)
        tokenizer.save(directory)
        return directory

    return saved


@pytest.fixture(scope="module")
def model(base):
    return str(base("base"))


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "talks.jsonl"
    talks = [
        {"messages": [{"role": "user", "content": f"who is {n}?"}, {"role": "assistant", "content": f"{n} is a dog"}]}
        for n in range(12)
    ]
    path.write_text("\n".join(map(json.dumps, talks)), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("kind", ["tales", "format", "file"])
def test_a_model_is_taught_and_can_be_opened_again(tmp_path, model, data, kind):
    settings = finetuning.settings_of(model, data if kind == "file" else kind, **SMALL)
    report = carry_out(tmp_path / "run", "finetune", finetuning.prepare, settings, **QUIET)
    assert report["steps"] == 3 and report["before"]["samples"] and report["after"]["samples"]
    figures = {"tales": {"questions_right"}, "format": {"in_the_format"}, "file": set()}[kind]
    assert report["after"]["figures"].keys() == figures
    tuned, before = lfs.from_pretrained(tmp_path / "run"), lfs.from_pretrained(model)
    assert any((a.data != b.data).any() for a, b in zip(tuned.parameters(), before.parameters()))
    tokenizer = lfs.Tokenizer.from_pretrained(tmp_path / "run")
    assert tokenizer.chat_template.render([{"role": "user", "content": "x"}]) == "<|endoftext|><|user|>x<|end|>"


@pytest.mark.parametrize(
    "more",
    [
        {"noise": 5.0},
        {"lora": 2},
        {"train_on": "all"},
        {"teacher": None, "distill": "jensen-shannon", "hard": 0.5, "temperature": 2.0},
        {"teacher": None, "on_policy": 0.5},
    ],
    ids=["noise", "lora", "all", "teacher", "on-policy"],
)
def test_a_killed_run_goes_on_to_the_byte(tmp_path, model, data, more):
    if "teacher" in more:
        more = {**more, "teacher": model}
    settings = finetuning.settings_of(model, data, **SMALL, checkpoint_every=1, **more)
    carry_out(tmp_path / "whole", "finetune", finetuning.prepare, settings, **QUIET)

    def killed(given):
        tuning = finetuning.prepare(given)
        tuning.on_step = lambda step, loss, model: (_ for _ in ()).throw(KeyboardInterrupt) if step == 2 else None
        return tuning

    with pytest.raises(KeyboardInterrupt):
        carry_out(tmp_path / "cut", "finetune", killed, settings, **QUIET)
    carry_out(tmp_path / "cut", "finetune", finetuning.prepare, None, **QUIET)
    for name in ("model.safetensors", "log.jsonl"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()


def test_lora_leaves_a_plain_model_and_an_adapter_that_say_the_same(tmp_path, model, data):
    seen = []

    def make(settings):
        tuning = finetuning.prepare(settings)
        save = tuning.save
        tuning.save = lambda directory: (seen.append(tuning.model([[5, 6, 7]]).data), save(directory))
        return tuning

    settings = finetuning.settings_of(model, data, **SMALL, lora=2)
    report = carry_out(tmp_path / "run", "finetune", make, settings, **QUIET)
    whole = lfs.from_pretrained(model).parameter_count
    assert report["trainable"] < whole / 2
    np.testing.assert_allclose(lfs.from_pretrained(tmp_path / "run")([[5, 6, 7]]).data, seen[0], atol=1e-5)
    beside = lfs.from_pretrained(model)
    lfs.load_adapter(beside, tmp_path / "run" / "adapter")
    assert np.array_equal(beside([[5, 6, 7]]).data, seen[0])
    config = json.loads((tmp_path / "run" / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["base_model_name_or_path"] == model and config["r"] == 2
    clear(tmp_path / "run")
    assert not (tmp_path / "run" / "adapter").exists()


def test_the_number_of_steps_follows_from_the_tokens(model, data):
    talks = open_taught(data, seed=0, held_out=2)
    assert len(talks.held_out) == 2 and len(list(talks.dialogues())) == 10
    per_epoch = finetuning.prepare(finetuning.settings_of(model, data, held_out=2, batch=2)).settings.steps
    assert per_epoch == 15  # three epochs of ten
    some = finetuning.prepare(finetuning.settings_of(model, data, held_out=2, batch=2, tokens=1)).settings.steps
    assert some == 1
    lora = finetuning.prepare(finetuning.settings_of(model, data, held_out=2, batch=2, lora=2)).settings.steps
    assert lora == 30  # few numbers learn more slowly


def test_a_specialist_learns_and_is_asked_its_own_kinds_alone(capsys, tmp_path, model):
    taught = open_taught("tales:rewriting", seed=0, held_out=6)
    talks = [*islice(taught.dialogues(), 20), *taught.held_out, *taught.prompts]
    asked = [turn["content"] for talk in talks for turn in talk if turn["role"] == "user"]
    assert asked and all(text.splitlines()[-1].startswith("Say it with ") for text in asked)
    assert not [prompt for prompt in taught.prompts if prompt in [talk[: len(prompt)] for talk in talks[:20]]]
    out = ["--model", model, "--out", str(tmp_path / "run"), "--steps", "1", "--threads", "1"]
    assert main(["finetune", "--data", "tales:rewriting,arithmetic", *out]) == 0
    for data, words in (
        ("tales:nosuch", "no tasks of kind 'nosuch'; the kinds are who"),
        ("format:x", "no file 'format:x'"),
    ):
        capsys.readouterr()
        assert main(["finetune", "--data", data, *out, "--force"]) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1


@pytest.mark.parametrize("kind", ["tales", "format"])
def test_a_last_look_is_at_other_questions_and_learns_from_the_same(kind):
    first, last, seeded = (open_taught(kind, held_out=12, **seeds) for seeds in (
        {"seed": 0}, {"seed": 0, "held_out_seed": 1}, {"seed": 1},
    ))  # fmt: skip
    assert not [prompt for prompt in last.prompts if prompt in first.prompts]
    assert not [talk for talk in last.held_out if talk in first.held_out]
    assert seeded.prompts == first.prompts
    some = [list(islice(taught.dialogues(), 20)) for taught in (first, last, seeded)]
    assert some[0] == some[1] != some[2]


def test_what_is_held_out_of_a_file_is_drawn_by_the_seed(data):
    with pytest.raises(ValueError, match="held_out_seed is for tales and format"):
        open_taught(data, seed=0, held_out=2, held_out_seed=1)


@pytest.mark.parametrize("seed", [19_999 - 19_000, 19_998 - 19_000])
def test_no_seed_learns_from_what_is_held_out(seed):
    taught = open_taught("tales", seed=seed, held_out=40)
    assert not [talk for talk in islice(taught.dialogues(), 40) if talk in taught.held_out]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"held_out_seed": -1}, "held_out_seed must be at least 0"),
        ({"noise": -1.0}, "NEFTune's alpha"),
        ({"lora": 0}, "lora must be"),
        ({"steps": 0}, "steps must be"),
        ({"lr": 0.0}, "lr must be"),
        ({"hard": 0.5}, "name one with --teacher"),
        ({"noise": 5.0, "teacher": "x"}, "choose one"),
        ({"colour": 1}, "no setting 'colour'"),
    ],
)
def test_settings_that_cannot_be(given, message):
    with pytest.raises(ValueError, match=message):
        finetuning.settings_of("model", "tales", **given)


def test_what_does_not_fit_is_said_before_anything_is_written(tmp_path, model, data, base, capsys):
    other = base("other", vocabulary=321)
    few = tmp_path / "few.jsonl"
    few.write_text("", encoding="utf-8")
    for more, message in (
        (["--teacher", str(other)], "student chooses among 320 tokens and the teacher among 321"),
        (["--data", str(few)], ""),
        (["--data", "nowhere"], "there is no file 'nowhere': --data takes a file, or tales or format"),
        (["--data", ""], ". is a directory: name a file"),
        (["--model", "nowhere"], "there is no model nowhere"),
        (["--template", "nonsense"], "nonsense"),
        (["--distill", "reverse"], "name one with --teacher"),
        (["--teacher", model, "--distill", "jensen-shannon", "--beta", "0"], "kind='forward'"),
    ):
        out = tmp_path / "run"
        assert main(["finetune", "--model", model, "--data", data, "--out", str(out), "--steps", "1", *more]) == 2
        assert message in capsys.readouterr().err and not list(out.glob("run.json"))


def test_the_command(tmp_path, model, data, capsys):
    command = ["finetune", "--model", model, "--data", data, "--out", str(tmp_path / "run"), "--threads", "1"]
    assert main([*command, "--steps", "2", "--nef", "5", "--train-on", "last", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    stored = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))["settings"]
    assert report["steps"] == 2 and stored["noise"] == 5.0 and stored["train_on"] == "last"
    assert main(command) == 2 and "holds a run already" in capsys.readouterr().err


def test_the_command_takes_a_last_look(tmp_path, model, capsys):
    def asked(*more):
        command = ["finetune", "--model", model, "--data", "format", "--out", str(tmp_path / "run"), "--threads", "1"]
        assert main([*command, "--steps", "1", "--held-out", "1", "--force", "--json", *more]) == 0
        return json.loads(capsys.readouterr().out)["after"]["samples"][0]["asked"]

    assert asked() == asked("--held-out-seed", "0") != asked("--held-out-seed", "1")
