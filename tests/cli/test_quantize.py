"""quantize: every method from text to a model that can be used, interrupted and taken up, and mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch import cli
from llm_from_scratch.files.gguf import GgufFile
from llm_from_scratch.quantization import GridLinear, Int8Linear, NF4Linear
from llm_from_scratch.recipes import quantizing
from llm_from_scratch.tokenizers.ends import begin_ids

MODEL = Path(__file__).parents[2] / "chapters" / "tales_model"
FEW = ["--tokens", "512", "--context", "64", "--scored", "256", "--calibration", "tales:20"]
KINDS = {"gptq": GridLinear, "awq": GridLinear, "rtn": GridLinear, "nf4": NF4Linear, "int8": Int8Linear}


def quantize(out: Path, *more: Any) -> int:
    return cli.main(["quantize", str(MODEL), str(out), *FEW, *map(str, more)])


@pytest.mark.parametrize("method", KINDS)
def test_every_method_leaves_a_model_that_can_be_used(method: str, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "small"
    assert quantize(out, "--method", method, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert {path.name for path in out.iterdir()} >= {"spec.json", "model.safetensors", "tokenizer.json"}
    assert not (out / "layers").exists()
    model, plain = lfs.from_pretrained(out), lfs.from_pretrained(MODEL)
    assert type(model.layers[3].feed_forward.down) is KINDS[method]
    assert len(told["matrices"]) == 28 and told["bytes"] == model.nbytes < 0.5 * plain.nbytes
    assert told["kept"]["embedding.weight"] == "embedding"
    stored = json.loads((out / "quantization.json").read_text(encoding="utf-8"))
    assert stored == {key: value for key, value in told.items() if key != "out"}
    # the figures are those of the model that was saved
    tokenizer = lfs.Tokenizer.from_pretrained(out)
    texts = quantizing._encoded(tokenizer, "tales:20", 2 * 512 + 256)
    _, held_out = quantizing._parted(texts, 2 * 512)
    assert sum(map(len, held_out)) == 256 and len(held_out) > 1
    for each, when in ((plain, "before"), (model, "after")):
        found = lfs.scoring.perplexity(each, held_out, context=64, stride=32)
        assert told[when] == {"perplexity": found.value, "interval": list(found.interval), "tokens": found.count}
    assert found.count == 256 - len(held_out)
    factor = told["after"]["perplexity"] / told["before"]["perplexity"]
    assert told["factor"]["value"] == pytest.approx(factor) and 0.9 < factor < 1.2
    low, high = told["factor"]["interval"]
    assert low <= factor <= high


def test_the_result_generates_is_evaluated_and_adapted(tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "small"
    assert quantize(out, "--method", "rtn", "--bits", 4) == 0
    said = capsys.readouterr().out
    assert (
        "28 matrices in rtn" in said and "in float, norm: layers.0.mixer_norm.weight" in said and "times what" in said
    )
    assert cli.main(["generate", "--model", str(out), "--prompt", "Once", "--max-new-tokens", "5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tokens"] > 0
    text = ["--task", "perplexity", "--data", "tales:1", "--json"]
    assert cli.main(["evaluate", "--model", str(out), *text]) == 0
    assert json.loads(capsys.readouterr().out)["outcomes"]
    adapt = ["--model", str(out), "--data", "tales", "--steps", "2", "--threads", "1", "--out", str(tmp_path / "lora")]
    assert cli.main(["adapt", *adapt, "--template", "tales", "--batch", "2"]) == 0
    lfs.load_adapter(lfs.from_pretrained(out), tmp_path / "lora")


def test_groups_that_nobody_asked_for_divide_every_matrix(tmp_path: Path, capsys: Any) -> None:
    assert quantize(tmp_path / "a", "--method", "rtn", "--json") == 0  # 352 inputs
    out = capsys.readouterr()
    assert json.loads(out.out)["group"] == 32 and "groups of 32: 64 does not divide" in out.err
    assert quantize(tmp_path / "b", "--method", "rtn", "--keep", "*.down", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["group"] == 64 and told["kept"]["layers.2.feed_forward.down.weight"] == "asked to be kept"
    assert len(told["matrices"]) == 24


def test_killed_in_any_layer_the_same_command_goes_on_to_the_byte(tmp_path: Path, monkeypatch: Any) -> None:
    assert quantize(tmp_path / "whole", "--bits", 3) == 0
    sweep = quantizing.quantize_model
    out = tmp_path / "killed"
    for layer in range(4):

        def stopped(*args: Any, layer: int = layer, on_layer: Any, **settings: Any) -> Any:
            def stop(number: int, layers: int, report: Any) -> None:
                on_layer(number, layers, report)
                if number == layer:
                    raise KeyboardInterrupt

            return sweep(*args, on_layer=stop, **settings)

        monkeypatch.setattr(quantizing, "quantize_model", stopped)
        assert quantize(out, "--bits", 3) == cli.INTERRUPTED
        assert len(list((out / "layers").glob("layer-*.safetensors"))) == layer + 1 and not (out / "spec.json").exists()
    monkeypatch.setattr(quantizing, "quantize_model", sweep)
    for option in (["--bits", 4], ["--tokens", 448], ["--method", "awq"]):
        assert quantize(out, *(["--bits", 3] if option[0] != "--bits" else []), *option) == 2
    assert quantize(out, "--bits", 3) == 0
    names = {path.name for path in (tmp_path / "whole").iterdir()}
    assert names == {path.name for path in out.iterdir()}
    for name in names:
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_a_gguf_file(tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "tales.gguf"
    assert quantize(out, "--method", "gguf:Q4_1", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["tensors"] and GgufFile(out).tensors.keys() == told["tensors"].keys()
    assert told["tensors"]["blk.0.attn_q.weight"] == "Q4_1" and 0.9 < told["factor"]["value"] < 1.2
    # what other programs put in front of a text is what `generate` puts in front of one of the original's
    assert GgufFile(out).metadata["tokenizer.ggml.add_bos_token"] is True
    texts = [lfs.Tokenizer.from_pretrained(path) for path in (MODEL, out)]
    assert begin_ids(texts[0]) == begin_ids(texts[1]) == [texts[0].bos_id]
    assert cli.main(["generate", "--model", str(out), "--prompt", "Once", "--max-new-tokens", "3", "--json"]) == 0


WRONG: dict[str, tuple[list[Any], str]] = {
    "method": (["--method", "gold"], "there is no method 'gold'; there are gptq, awq"),
    "kind": (["--method", "gguf:Q9"], "gguf:Q9 is no format that is written here; known: "),
    "gguf": (["--method", "gguf:Q4_0"], "must end in .gguf"),
    "bits": (["--bits", 5], "gptq has 2 or 3 or 4 or 8 bits, not 5"),
    "int8": (["--method", "int8", "--bits", 4], "int8 has 8 bits"),
    "group": (["--group", 64], "groups of 64 do not divide the 352 inputs of layers.0.feed_forward.down"),
    "no group": (["--group", 0], "group_size is a positive whole number"),
    "missing": (["--calibration", "nowhere.txt"], "nowhere.txt"),
    "context": (["--context", 1000], "rows of 1000 tokens are longer than the 512"),
    "scored": (["--scored", 1], "scored must be at least 2"),
    "keep": (["--keep", "layers.9.*"], "keep='layers.9.*'"),
    "damping": (["--damping", -1], "damping is a number >= 0"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_mistake_is_one_line_before_anything_is_done(wrong: str, tmp_path: Path, capsys: Any) -> None:
    options, message = WRONG[wrong]
    assert quantize(tmp_path / "out", *options) == 2
    said = capsys.readouterr()
    assert message in said.err and said.err.count("\n") == 1 and said.out == ""
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("text", "message"), [("Hi.", "too short"), ("the " * 900, "constant"), ("", "no text")])
def test_text_that_says_nothing_is_refused(text: str, message: str, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "text.txt"
    path.write_text(text, encoding="utf-8")
    assert quantize(tmp_path / "out", "--calibration", path) == 2
    said = capsys.readouterr().err
    assert message in said and "text.txt" in said and not (tmp_path / "out").exists()


def test_nothing_that_is_there_is_written_over(tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "poem.txt").write_text("mine", encoding="utf-8")
    assert quantize(out) == 2 and "is there already" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["poem.txt"]
    done = tmp_path / "done"
    assert quantize(done, "--method", "rtn") == 0 and quantize(done, "--method", "rtn") == 2
    assert cli.main(["quantize", str(done), str(tmp_path / "twice"), *FEW, "--method", "rtn"]) == 2
    assert "quantised already (GridLinear)" in capsys.readouterr().err


@pytest.mark.parametrize("count", [0, 2, 3, 4, 8, 9])
def test_texts_are_parted_at_a_token(count: int) -> None:
    texts = [np.arange(3), np.arange(3, 8), np.arange(8, 9)]
    before, after = quantizing._parted(texts, count)
    assert np.concatenate([*before, *after, np.empty(0, int)]).tolist() == list(range(9))
    assert sum(map(len, before)) == count


def test_a_token_that_begins_and_ends_texts_stands_once_between_them() -> None:
    tokenizer = lfs.Tokenizer.from_pretrained(MODEL)
    assert tokenizer.bos_id == tokenizer.eos_id
    texts = quantizing._encoded(tokenizer, "tales:3", 10**6)
    assert [text.tolist().count(tokenizer.bos_id) for text in texts] == [1, 1, 1]


def test_rows_begin_where_texts_begin_if_they_can() -> None:
    texts = [np.arange(10), np.arange(100, 103), np.arange(200, 230)]
    assert quantizing._rows(texts, 4, 99)[:, 0].tolist() == [0, 4, 100, 201, 205, 209, 213, 217, 221, 225]
    assert quantizing._rows(texts, 4, 3)[:, 0].tolist() == [0, 205, 225]
    assert quantizing._rows(texts[:1], 4, 99).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    with pytest.raises(ValueError, match="too short"):
        quantizing._rows(texts[:1], 11, 1)
