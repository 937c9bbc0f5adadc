"""adapt: train, resume, list, merge, chat with it; and mistakes, each in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch import cli
from llm_from_scratch.recipes import adapting
from llm_from_scratch.recipes.techniques import TECHNIQUES

MODEL = Path(__file__).parents[2] / "chapters" / "tales_model"
QUICK = ["--steps", "4", "--batch", "2", "--threads", "1", "--checkpoint-every", "2"]


@pytest.fixture(scope="module")
def talks(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "talks.jsonl"
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"How many is {n}?"},
                {"role": "assistant", "content": f"It is {n}."},
            ]
        }
        for n in range(20)
    ]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def adapt(talks, out, *more):
    options = ["--model", MODEL, "--data", talks, "--template", "tales", "--out", out, *QUICK, *more]
    return cli.main(["adapt", *map(str, options)])


@pytest.fixture(scope="module")
def finished(talks, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "lora"
    assert adapt(talks, out, "--rank", "2", "--targets", "query,down") == 0
    return out


def test_a_run_leaves_an_adapter_and_no_model(finished):
    names = {path.name for path in finished.iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "run.json", "report.json", "log.jsonl"} <= names
    assert "model.safetensors" not in names
    config = json.loads((finished / "adapter_config.json").read_text())
    assert config["r"] == 2 and config["target_modules"] == ["down_proj", "q_proj"]
    assert config["base_model_name_or_path"] == str(MODEL)
    model = lfs.from_pretrained(MODEL)
    alone = model([[1, 2, 3]]).data
    lfs.load_adapter(model, finished)
    assert np.abs(model([[1, 2, 3]]).data - alone).max() > 1e-5


def test_listed_merged_and_asked(finished, tmp_path, capsys):
    capsys.readouterr()
    assert cli.main(["adapt", "list", str(finished)]) == 0
    out = capsys.readouterr().out
    assert "LORA" in out and "q_proj" in out and "numbers" in out
    merged = tmp_path / "merged"
    assert cli.main(["adapt", "merge", "--model", str(MODEL), "--adapter", str(finished), "--out", str(merged)]) == 0
    model, plain = lfs.from_pretrained(MODEL), lfs.from_pretrained(merged)
    lfs.load_adapter(model, finished)
    np.testing.assert_allclose(plain([[1, 2, 3]]).data, model([[1, 2, 3]]).data, atol=1e-4)
    asked = ["--prompt", "How many is 3?", "--max-new-tokens", "6", "--temperature", "0", "--json"]
    answers = []
    for where in ([str(MODEL), "--adapter", str(finished)], [str(merged)]):
        capsys.readouterr()
        assert cli.main(["chat", "--model", *where, *asked]) == 0
        answers.append(json.loads(capsys.readouterr().out)["answer"])
    assert answers[0] == answers[1]
    text = ["--prompt", "Once", "--max-new-tokens", "3", "--temperature", "0", "--json"]
    assert cli.main(["generate", "--model", str(MODEL), "--adapter", str(finished), *text]) == 0


@pytest.mark.parametrize("method", [name for name in TECHNIQUES if name not in ("full", "bitfit", "lora")])
def test_every_method_from_the_command_line(method, talks, tmp_path):
    more = ["--length", "3"] if "prefix" in method or method == "prompt" else []
    assert adapt(talks, tmp_path / "out", "--method", method, *more) == 0
    lfs.load_adapter(lfs.from_pretrained(MODEL), tmp_path / "out")


def test_resumed_to_the_byte(finished, talks, tmp_path, monkeypatch):
    out = tmp_path / "out"
    prepare = adapting.prepare_run

    def broken(settings):
        tuning = prepare(settings)

        def stop(step, loss, model):
            if step == 3:
                raise OSError("the plug was pulled")

        tuning.on_step = stop
        return tuning

    monkeypatch.setattr(adapting, "prepare_run", broken)
    assert adapt(talks, out, "--rank", "2", "--targets", "query,down") != 0
    monkeypatch.setattr(adapting, "prepare_run", prepare)
    assert cli.main(["adapt", "--resume", "--out", str(out)]) == 0
    files = [folder / "adapter_model.safetensors" for folder in (finished, out)]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--method", "laura"], "there is no technique 'laura'; there are lora, rslora"),
        (["--method", "prefix", "--rank", "2"], "prefix has no setting 'rank'"),
        (["--targets", "q_proj"], "no linear layer of this model is called 'q_proj'"),
        (["--rank", "0"], "the rank is a whole number"),
        (["--method", "bitfit"], "BitFit trains biases, and this model has none"),
        (["--template", "talse"], "error: there is no chat template called 'talse'"),
        (["--data", "talse"], "there is no file 'talse': --data takes a file, or tales"),
        (["--untie"], "--untie belongs to `adapt merge`"),
    ],
)
def test_mistakes(more, message, talks, tmp_path, capsys):
    assert adapt(talks, tmp_path / "out", *more) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out" / "run.json").exists()


def test_mistakes_of_merging(finished, tmp_path, capsys):
    for options, message in (
        (["merge", "--model", str(MODEL)], "adapt merge needs --adapter"),
        (["merge", "--model", str(MODEL), "--adapter", str(tmp_path), "--out", str(tmp_path / "x")], "no adapter in"),
        (["merge", "--model", str(MODEL), "--adapter", str(finished), "--out", str(finished)], "is there already"),
        (["list"], "adapt list needs the directory"),
    ):
        assert cli.main(["adapt", *options]) == 2
        assert message in capsys.readouterr().err


def test_methods(capsys):
    assert cli.main(["adapt", "--methods"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in TECHNIQUES) and "rank=8" in out


def test_tales_that_are_longer_than_the_context_lose_their_beginning(tmp_path):
    tokenizer = lfs.Tokenizer.from_pretrained(MODEL)
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    narrow = lfs.build("llama", **sizes, vocab_size=len(tokenizer), max_position_embeddings=160)
    narrow.save_pretrained(tmp_path)
    tokenizer.save(tmp_path)
    settings = adapting.resolved("lora", model=str(tmp_path), data="tales", template="tales")
    assert settings["tokens"] is None  # as many as the data are made for
    lengths = [len(example["ids"]) for example in adapting.prepare_run({**settings, "tokens": 40_000}).sampler.examples]
    assert len(lengths) > 200 and 140 < max(lengths) <= 160
