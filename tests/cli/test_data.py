"""The command `data`: the catalogue, what is in a file, one shape from another."""

import json

import pytest

from llm_from_scratch.cli import main

ROWS = [
    {"instruction": "Add.", "input": "1, 2", "output": "3"},
    {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mixed.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)), encoding="utf-8")
    return str(path)


def test_catalogue(capsys):
    assert main(["data", "catalogue"]) == 0
    out = capsys.readouterr().out
    assert "The Pile · pretraining · 2020-12" in out and "Nectar · rankings" in out and "(?) not certain" in out
    assert main(["data", "catalogue", "--kind", "rankings", "--json"]) == 0
    (nectar,) = json.loads(capsys.readouterr().out)
    assert nectar["name"] == "Nectar" and nectar["schema"].startswith("prompt, answers")
    assert main(["data", "catalogue", "helpsteer"]) == 0
    out = capsys.readouterr().out
    assert "CC BY 4.0" in out and "(?)" not in out
    assert main(["data", "catalogue", "nothing"]) == 2
    assert "there is no data set 'nothing'" in capsys.readouterr().err


def test_show(capsys, file):
    assert main(["data", "show", file, "--template", "vicuna"]) == 0
    out = capsys.readouterr().out
    assert "2 dialogues in 2 rows: 1 of Alpaca, 1 of messages or ShareGPT\n4 messages, 18 characters" in out
    assert "USER: Add.\n\n1, 2 ASSISTANT: 3" in out
    assert main(["data", "show", file, "--json", "--tokenizer", "chapters/tales_model", "--template", "tales"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["kind"] == "dialogues" and shown["items"] == 2 and shown["tokens of the first"] > 5
    assert shown["first"] == "<|endoftext|><|user|>Add.\n\n1, 2<|end|><|assistant|>3<|end|>"
    assert main(["data", "show", file, "--template", "vikuna"]) == 2
    assert "no chat template called 'vikuna'" in capsys.readouterr().err


def test_convert(capsys, file, tmp_path):
    out = tmp_path / "out.jsonl"
    assert main(["data", "convert", file, str(out)]) == 0
    assert capsys.readouterr().out == f"2 dialogues written to {out}\n"
    assert [len(json.loads(line)["messages"]) for line in out.read_text(encoding="utf-8").splitlines()] == [2, 2]
    with open(file, "a", encoding="utf-8") as more:
        more.write('\n{"instruction": "x", "output": ""}')
    assert main(["data", "convert", file, str(out), "--kind", "dialogues"]) == 2
    assert "line 3: what the assistant says is empty" in capsys.readouterr().err
    assert main(["data", "convert", file, str(out), "--skip-bad", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["items"] == 2


def test_templates(capsys):
    assert main(["data", "templates"]) == 0
    out = capsys.readouterr().out
    assert "zephyr     Zephyr-7B-beta, tokenizer_config.json" in out and "inferred: a base model" in out
    assert main(["data", "templates", "--json"]) == 0
    assert "{% for message" in json.loads(capsys.readouterr().out)["chatml"]["jinja"]
