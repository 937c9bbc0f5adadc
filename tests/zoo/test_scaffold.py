"""The beginning of a family file that `zoo new` writes: for what is like LLaMA it loads at once."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch import families
from llm_from_scratch.cli import main
from llm_from_scratch.files.sharded import read_safetensors
from llm_from_scratch.zoo.scaffold import scaffold

FIXTURES = Path(__file__).parents[1] / "families" / "fixtures"


@pytest.fixture(autouse=True)
def forget_registered(tmp_path: Path) -> Iterator[None]:
    yield
    families.forget(tmp_path / "toy.py")


def copied(name: str, tmp_path: Path) -> Path:
    """A fixture whose config says a model_type that no family here answers to."""
    folder = tmp_path / name
    shutil.copytree(FIXTURES / name, folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "toy"}), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "name", ["llama_gqa", "llama_biased", "llama_tied", "llama_linear", "qwen2_grouped", "phi_normed"]
)
def test_what_is_like_llama_loads_at_once(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = copied(name, tmp_path)
    assert (
        main(["zoo", "new", "toy", "--from", f"{folder}/config.json", "--weights", str(folder), "--out", str(tmp_path)])
        == 0
    )
    assert "LLM_FROM_SCRATCH_FAMILIES=" in capsys.readouterr().out
    families.register(tmp_path / "toy.py")
    model, frozen = lfs.from_pretrained(folder), read_safetensors(folder / "reference.safetensors")
    np.testing.assert_allclose(model(frozen["input_ids"]).data, frozen["logits"], rtol=0, atol=2e-4)
    text = (tmp_path / "toy.py").read_text(encoding="utf-8")
    assert max(map(len, text.splitlines())) <= 132 and "TODO: Row" not in text


def test_without_weights_llama_s_tensors_are_assumed(tmp_path: Path) -> None:
    folder = copied("llama_gqa", tmp_path)
    assert main(["zoo", "new", "toy", "--from", f"{folder}/config.json", "--out", str(tmp_path)]) == 0
    families.register(tmp_path / "toy.py")
    frozen = read_safetensors(folder / "reference.safetensors")
    logits = lfs.from_pretrained(folder)(frozen["input_ids"]).data
    np.testing.assert_allclose(logits, frozen["logits"], rtol=0, atol=2e-4)


def test_what_is_not_known_is_marked_and_the_file_can_be_imported(tmp_path: Path) -> None:
    folder = copied("neox_pythia", tmp_path)
    arguments = ["--from", f"{folder}/config.json", "--weights", str(folder), "--out", str(tmp_path)]
    assert main(["zoo", "new", "toy", *arguments]) == 0
    text = (tmp_path / "toy.py").read_text(encoding="utf-8")
    assert "Fused()),  # (72, 24)  # TODO: [Q | K | V], or head by head" in text
    assert 'config.only("use_parallel_residual", True)  # TODO: what does it do?' in text
    assert families.register(tmp_path / "toy.py").size_keys["layers"] == "num_hidden_layers"


def test_names_and_values_that_are_code_stay_text() -> None:
    evil = '")]; print("here") #'
    config = {"num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 2, "vocab_size": 5, "a b": evil}
    config |= {"model_type": evil, "architectures": [evil]}
    text = scaffold("toy", config, {f"model.layers.0.{evil}.weight": (3,), f"{evil}.wte.weight": (5, 8)})
    called = {
        node.func.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call) if hasattr(node.func, "id")
    }
    assert evil in ast.unparse(ast.parse(text)).replace("\\'", "'") and "print" not in called and "Row" in called


@pytest.mark.parametrize(
    "words, message",
    [
        (["new"], "zoo new takes a name"),
        (["new", "toy"], "zoo new takes a name"),
        (["new", "my-toy", "--from", "config.json"], "zoo new takes a name"),
        (["new", "toy", "--from", "config.json"], "toy.py is there already"),
        (["new", "other", "--from", "empty.json"], "does not say layers under a known name"),
        (["new", "other", "--from", "text.json"], "hidden_size must be a positive integer, not 'wide'"),
        (["new", "other", "--from", "config.json", "--weights", "absent"], "there is no checkpoint at absent"),
    ],
)
def test_mistakes_are_named_and_nothing_is_written(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(FIXTURES / "llama_gqa" / "config.json", "config.json")
    Path("empty.json").write_text("{}", encoding="utf-8")
    Path("text.json").write_text('{"num_hidden_layers": 2, "hidden_size": "wide"}', encoding="utf-8")
    Path("toy.py").write_text("mine", encoding="utf-8")
    assert main(["zoo", *words]) != 0
    assert message in capsys.readouterr().err
    assert Path("toy.py").read_text(encoding="utf-8") == "mine" and not Path("other.py").exists()
