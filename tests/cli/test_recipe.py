"""The command `recipe`: what it lists and shows, a run with its stages, and how it answers mistakes."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

import llm_from_scratch as lfs
from llm_from_scratch.cli import main
from llm_from_scratch.recipes.presets import PRESETS, opening
from llm_from_scratch.zoo.assistants import ASSISTANTS


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("tiny")
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    lfs.build("llama", **sizes, vocab_size=2048, max_position_embeddings=512, seed=3).save_pretrained(folder)
    lfs.Tokenizer.from_pretrained("chapters/tales_model").save(folder)
    return str(folder)


def output(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["recipe", *words]) == 0
    return capsys.readouterr().out


def test_the_list_has_every_recipe_of_the_year_and_each_has_its_row_on_the_map(
    capsys: pytest.CaptureFixture[str],
) -> None:
    wanted = "alpaca vicuna guanaco guanaco-qlora koala dolly ultralm orca orca-2 hermes capybara openhermes zephyr"
    assert {*wanted.split(), "openbuddy-zephyr", "openchat", "starling", "llama-2-chat", "steerlm"} == set(PRESETS)
    text = output(capsys, "list")
    assert [line.split()[0] for line in text.splitlines()[::2]] == list(PRESETS)
    assert re.search(r"^zephyr +2023-10  sft → feedback → dpo$", text, re.M)
    pages = json.loads(output(capsys, "list", "--json"))
    assert {title for page in pages for title in page["originals"]} == set(ASSISTANTS)  # no row without a recipe
    months = [next(iter(page["originals"].values()))["month"][:7] for page in pages]
    assert months == sorted(months)


def test_show_says_what_the_original_did_and_how_to_run_it(capsys: pytest.CaptureFixture[str]) -> None:
    text = output(capsys, "show", "zephyr")
    for part in ("arXiv:2310.16944", "UltraFeedback", "2. feedback: Four answers", "recipe run zephyr --model"):
        assert part in text
    page = json.loads(output(capsys, "show", "guanaco", "--json"))
    assert list(page["originals"]) == ["Guanaco (multilingual)"] and page["template"] == "alpaca"
    assert "of its own" in output(capsys, "show", "dolly")


def test_the_table_of_techniques_and_families(capsys: pytest.CaptureFixture[str]) -> None:
    text = output(capsys, "table")
    assert re.search(r"^llama +yes ", text, re.M) and "Mamba layers keep no keys and values" in text
    assert json.loads(output(capsys, "table", "--json"))["mamba"]["prefix"]["answer"] == "no"
    assert main(["adapt", "--table"]) == 0 and capsys.readouterr().out == text  # one table, two commands


def test_a_run_leaves_a_folder_a_stage_and_goes_on_where_it_was_stopped(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "ASKED", 4)
    out, options = tmp_path / "run", ["--steps", "2", "--batch", "4", "--threads", "1"]
    text = output(capsys, "run", "orca", "--model", tiny, "--out", str(out), *options)
    assert {path.name for path in out.iterdir()} >= {"recipe.json", "1-lesser", "2-best", "report.json"}
    assert f"chat --model {out / '2-best'}" in text and re.search(r"^before +0\.\d+", text, re.M)
    report = json.loads(output(capsys, "run", "orca", "--resume", "--out", str(out), "--json"))
    assert [stage["stage"] for stage in report["stages"]] == ["lesser", "best"]
    assert [stage["steps"] for stage in report["stages"]] == [2, 2]
    first, second = ((out / name / "model.safetensors").read_bytes() for name in ("1-lesser", "2-best"))
    (out / "report.json").unlink()
    for path in sorted((out / "2-best").rglob("*"), reverse=True):  # as if it had been killed between the two
        path.rmdir() if path.is_dir() else path.unlink()
    output(capsys, "run", "orca", "--resume", "--out", str(out))
    assert (out / "1-lesser" / "model.safetensors").read_bytes() == first
    assert (out / "2-best" / "model.safetensors").read_bytes() == second
    assert main(["recipe", "run", "orca", "--model", tiny, "--out", str(out)]) == 2
    assert "holds a run already (finished): --force to replace it" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, message",
    [
        (["show", "zefyr"], "there is no recipe 'zefyr'; the recipes are alpaca, vicuna, "),
        (["show"], "recipe show takes a name: alpaca, "),
        (["list", "zephyr"], "recipe list takes no NAME"),
        (["show", "zephyr", "--steps", "3"], "recipe show takes no --steps"),
        (["run", "zephyr", "--model", "x"], "--out is missing"),
        (["run", "zephyr", "--out", "OUT"], "--model is missing"),
        (["run", "zephyr", "--out", "OUT", "--model", "no/such"], "there is no model no/such"),
        (["run", "zephyr", "--out", "OUT", "--model", "TINY", "--batch", "0"], "batch must be at least 1, got 0"),
        (["run", "zephyr", "--out", "OUT", "--model", "TINY", "--lr", "nan"], "lr must be a finite number above 0"),
        (["run", "zephyr", "--out", "OUT", "--model", "TINY", "--seed", "-1"], "seed must be at least 0, got -1"),
        (["run", "zephyr", "--out", "OUT", "--resume"], "no run of a recipe to go on with"),
        (["run", "zephyr", "--out", "OUT", "--resume", "--steps", "3"], "recipe run … --resume takes no --steps"),
        (
            ["run", "zephyr", "--out", "OUT", "--model", "TINY", "--template", "zefyr"],
            "no chat template called 'zefyr'",
        ),
        (["run", "zephyr", "--out", "OUT", "--model", "CUT"], "the file is cut off"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing_behind(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny: str, words: list[str], message: str
) -> None:
    cut = Path(shutil.copytree(tiny, tmp_path / "cut")) / "model.safetensors"
    cut.write_bytes(cut.read_bytes()[:-100])
    places = {"OUT": str(tmp_path / "out"), "TINY": tiny, "CUT": str(cut.parent)}
    assert main(["recipe", *(places.get(word, word) for word in words)]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and message in captured.err and captured.err.count("\n") == 1
    assert not list((tmp_path / "out").glob("**/*.safetensors"))
    assert not (tmp_path / "out" / "recipe.json").exists()
