"""merge: two models to one from the command line, and mistakes, each in one line."""

from __future__ import annotations

import json

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch import cli
from llm_from_scratch.merging import METHODS
from llm_from_scratch.tokenizers import Tokenizer

CONFIG = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 262}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tokenizer = Tokenizer.train(["low lower lowest"], vocab_size=262)
    for seed, name in enumerate(("base", "poet", "clerk")):
        lfs.build("llama", seed=seed, **CONFIG).save_pretrained(name)
        tokenizer.save(name)
    (tmp_path / "ties.yaml").write_text(
        "merge_method: ties\nbase_model: base\nparameters: {density: 0.5}\nmodels:\n"
        "  - {model: poet, parameters: {weight: 1}}\n  - {model: clerk, parameters: {weight: 1}}\n",
        encoding="utf-8",
    )
    return tmp_path


def test_the_models_become_one_that_other_commands_take(folder, capsys):
    assert cli.main(["merge", "ties.yaml", "out"]) == 0
    told = capsys.readouterr().out
    count = lfs.from_pretrained("out").parameter_count
    assert "ties of base, poet, clerk" in told and f"{count:,} parameters" in told
    assert cli.main(["zoo", "tree", "out"]) == 0
    assert "merged from (method ties, density 0.5)" in capsys.readouterr().out
    assert cli.main(["generate", "--model", "out", "--max-new-tokens", "3", "--prompt", "low"]) == 0


def test_as_json(folder, capsys):
    assert cli.main(["merge", "ties.yaml", "out", "--json", "--shard-size", "10KB"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["method"] == "ties" and found["models"] == ["base", "poet", "clerk"] and found["notes"] == []
    assert (folder / "out" / "model.safetensors.index.json").exists()


def test_seeds_are_heeded(folder, capsys):
    text = (folder / "ties.yaml").read_text(encoding="utf-8").replace("ties", "dare_ties")
    (folder / "dare.yaml").write_text(text, encoding="utf-8")
    for out, seed in (("a", "0"), ("b", "0"), ("c", "5")):
        assert cli.main(["merge", "dare.yaml", out, "--seed", seed, "--json"]) == 0
    weights = [lfs.from_pretrained(out).state_dict()["embedding.weight"] for out in "abc"]
    assert np.array_equal(weights[0], weights[1]) and (weights[0] != weights[2]).any()


def test_methods_are_explained(capsys):
    assert cli.main(["merge", "--methods"]) == 0
    told = capsys.readouterr().out
    for name, method in METHODS.items():
        assert name in told and all(key in told for key in method.parameters)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "merge needs a RECIPE"),
        (["ties.yaml"], "merge needs a RECIPE"),
        (["none.yaml", "out"], "there is no recipe at none.yaml"),
        (["ties.yaml", "base"], "base is there already"),
        (["ties.yaml", "out", "--seed", "-1"], "seed must be"),
        (["ties.yaml", "out", "--shard-size", "big"], "size"),
    ],
)
def test_mistakes_are_told_in_one_line(folder, capsys, arguments, words):
    assert cli.main(["merge", *arguments]) == cli.USER_ERROR
    error = capsys.readouterr().err.strip().splitlines()
    assert len([line for line in error if line.startswith("error: ")]) == 1 and words in error[-1]
    assert not (folder / "out").exists()
