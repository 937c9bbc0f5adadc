"""The command `zoo`: what it prints, as words and as JSON, and how it answers mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.cli import main


def output(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["zoo", *words]) == 0
    return capsys.readouterr().out


def test_the_map_has_a_row_for_every_release(capsys: pytest.CaptureFixture[str]) -> None:
    text = output(capsys)
    for title in ("GPT-2", "OPT", "BLOOM", "Galactica", "GPT-NeoX", "Pythia", "LLaMA 2", "XGen", "Yi", "SOLAR"):
        assert len([line for line in text.splitlines() if line.startswith(title + " ")]) >= 2, title  # design, release
    assert "placement" in text and "licence" in text and "?" in text
    rows = json.loads(output(capsys, "--json"))
    assert {row["title"] for row in rows} >= {"GPT-2", "LLaMA 2"}
    assert next(row for row in rows if row["title"] == "BLOOM")["parameters"][-1] == 176_247_271_424


def test_the_map_ends_with_the_assistants(capsys: pytest.CaptureFixture[str]) -> None:
    alone = output(capsys, "assistants")
    assert output(capsys).endswith(f"assistants made of them\n\n{alone}")
    assert alone.count("\nGuanaco (") == 2 and "2023-11 (review: 2023-12)" in alone
    assert json.loads(output(capsys, "assistants", "--json"))["Zephyr"]["base"] == "Mistral"


def test_a_sheet_counts_exactly(capsys: pytest.CaptureFixture[str]) -> None:
    text = output(capsys, "llama-2-70b")
    assert "68,976,648,192" in text and "137.9 GB" not in text and "138 GB" in text and "327.7 kB" in text
    page = json.loads(output(capsys, "opt-350m", "--json", "--length", "100"))
    assert page["parameters"] == 331_196_416 and page["length"] == 100
    assert page["parts"]["embedding projection"] == 512 * 1024


def test_a_checkpoint_of_one_s_own_has_a_sheet_with_its_lineage(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model = lfs.build("gpt2", n_layer=1, n_head=1, n_embd=4, vocab_size=5, n_positions=4)
    model.save_pretrained(tmp_path / "base")
    assert "lineage\n  initialised as gpt2 (seed 0, weights" in output(capsys, str(tmp_path / "base"))
    model.norm.weight.data += 1
    model.save_pretrained(tmp_path / "poet")
    drawn = output(capsys, "tree", str(tmp_path / "poet"))
    assert drawn.startswith("poet: trained from (weights ") and "\n└─ initialised as gpt2 (seed 0, weights " in drawn
    assert json.loads(output(capsys, "tree", str(tmp_path / "poet"), "--json"))[1]["sources"] == [0]
    fixture = Path(__file__).parents[1] / "families" / "fixtures" / "gpt2_tied"
    assert "lineage\n  nothing recorded" in output(capsys, str(fixture))


def test_a_mark_is_explained_where_it_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    footnote = "\n* not published"
    assert footnote in output(capsys) and "tied *" in output(capsys)
    sheet = output(capsys, "chinchilla-70b")
    assert footnote in sheet and "feed-forward               the activation is assumed" in sheet
    assert footnote in output(capsys, "diff", "gopher-280b", "gpt2")
    assert footnote not in output(capsys, "gpt2") and footnote not in output(capsys, "diff", "gpt2", "opt-125m")


def test_differences_and_the_tree(capsys: pytest.CaptureFixture[str]) -> None:
    text = output(capsys, "diff", "llama-7b", "llama-2-7b")
    assert "2048" in text and "4096" in text and "SwiGLU" not in text
    assert "of one design" in output(capsys, "diff", "gpt2", "gpt2")
    assert json.loads(output(capsys, "diff", "llama-2-7b", "yi-6b", "--json"))["key-value heads"] == ["32", "4"]
    assert "└─ Dolly 2.0 (2023-04) · weights" in output(capsys, "tree")


@pytest.mark.parametrize(
    "words, message",
    [
        (["lama"], "no model is called 'lama'; known: "),
        (["diff", "gpt2"], "zoo diff takes two names"),
        (["gpt2", "opt-125m"], "to compare two: zoo diff gpt2 opt-125m"),
        (["tree", "gpt2"], "takes no names"),
        (["gpt2", "--length", "0"], "--length must be at least 1"),
    ],
)
def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    assert main(["zoo", *words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def stories(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(["a", "bear", "saw", "the", "moon"], 60)) for _ in range(300)]
    (folder / "text.txt").write_text("<|endoftext|>".join(texts), encoding="utf-8")
    return folder / "text.txt"


def test_a_race_is_kept_and_gone_on_with(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out, text_file = tmp_path / "race.json", stories(tmp_path)
    words = ["race", "gpt2", "--steps", "2", "--out", str(out), "--data", str(text_file)]
    text = output(capsys, *words)
    assert "held-out loss" in text
    first = out.read_bytes()
    found = json.loads(output(capsys, *words, "--json"))
    assert out.read_bytes() == first  # nothing was run again
    again = json.loads(output(capsys, *words, "--seed", "1", "--json"))
    assert list(again["runs"]) == ["gpt2", "gpt2, seed 1"] and again["runs"]["gpt2"] == found["runs"]["gpt2"]
    assert main(["zoo", *words, "--steps", "3"]) == 2 and "another course (other steps)" in capsys.readouterr().err
    run = found["runs"]["gpt2"]
    assert found["course"]["steps"] == 2 and 0 < run["bits_per_byte"] < run["loss"] < 7 and len(run["curve"]) == 2


def test_a_race_takes_changed_releases(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text_file = stories(tmp_path)
    changed = "pythia-1b,use_parallel_residual=false"
    words = ["race", "pythia-1b", changed, "--steps", "1", "--data", str(text_file)]
    runs = json.loads(output(capsys, *words, "--json"))["runs"]
    assert list(runs) == ["pythia-1b", changed] and runs["pythia-1b"]["loss"] != runs[changed]["loss"]
    assert main(["zoo", "race", "pythia-1b,rotary_pct", "--steps", "1", "--data", str(text_file)]) == 2
    assert "key=value" in capsys.readouterr().err
