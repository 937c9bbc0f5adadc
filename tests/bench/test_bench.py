"""The benchmark's machinery: that it measures what it says, and says what is absent. No speed is asserted here."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.bench import models, ours, quantizing, tuning
from llm_from_scratch.bench.cases import cases
from llm_from_scratch.bench.runner import bench, table
from llm_from_scratch.bench.workloads import SIZES, Size, convolution_arrays, synthetic_text
from llm_from_scratch.cli import main


def test_a_case_is_measured_in_turns_and_the_absent_are_named(capsys, tmp_path):
    options = ["--rounds", "2", "--seconds", "0.01", "--threads", "1", "--json", str(tmp_path / "b")]
    assert main(["bench", "adamw", *options]) == 0
    result = json.loads((tmp_path / "b").read_text(encoding="utf-8"))
    ours = result["cases"]["adamw"]["contenders"]["llm_from_scratch"]
    assert 0 < ours["low"] <= ours["median"] <= ours["high"] < 10
    assert result["threads"] == 1 and result["rounds"] == 2
    for name, numbers in result["cases"]["adamw"]["contenders"].items():
        assert "median" in numbers or "torch" in numbers["absent"], name
    assert "AdamW, 10M parameters" in capsys.readouterr().out


def test_every_case_has_us_first_and_a_peer():
    known = cases(2)
    others = {"attention-1024", "attention-4096", "scan", "scan-backward", "adamw", "bpe-train", "bpe-encode"}
    others |= {"smollm2-prompt", "smollm2-decode-16", "experts", "merge-ties"}
    others |= {"smollm2-full", "smollm2-lora", "smollm2-qlora", "smollm2-dpo"}
    others |= {f"convolution-{length}{part}" for length in (512, 2048) for part in ("", "-backward")}
    assert {*others, *SIZES} <= set(known)
    alone = {"read-bandwidth", "product-peak", "first-step-warm", "first-step-cold"}
    for name in known.keys() - alone:
        case = known[name]
        assert next(iter(case.contenders)).startswith("llm_from_scratch") and len(case.contenders) >= 2, name


def test_the_ways_of_a_long_convolution_do_the_same_work():
    x, poles, residues, dy = convolution_arrays(512)
    arrays = [x[:, :40], poles, residues, dy[:, :40]]
    fft, *others = (ours.long_convolution(arrays, True, way)() for way in ("fft", "direct", "recurrence"))
    for other in others:
        np.testing.assert_allclose(other, fft, rtol=0, atol=1e-5 * np.abs(fft).max())


def test_routed_experts_and_the_dense_layer_beside_them_run():
    for design in ("routed", "dense"):
        gradient = models.experts(design, tokens=(2, 3), width=4, inner=6)()
        assert gradient.shape == (2, 3, 4) and np.abs(gradient).min() > 0
        shared = models.experts(design, 2, tokens=(2, 3), width=4, inner=6)()
        np.testing.assert_allclose(shared, gradient, rtol=1e-5)


def test_a_model_that_was_not_fetched_is_absent(monkeypatch, tmp_path):
    monkeypatch.setattr(models, "cache_directory", lambda: tmp_path)
    with pytest.raises(ImportError, match="fetch smollm2"):
        models.prompt(packed=True)


def test_our_side_of_a_step_learns_its_batch():
    step = ours.training_step(Size(1, 16, 2, 2, 8, 11), threads=1)
    losses = [step() for _ in range(30)]
    assert losses[-1] < losses[0] - 0.05


def test_our_side_runs_on_the_threads_that_it_is_given(monkeypatch):
    told = []

    def noted(work):
        def called(*given, threads=None, **settings):
            told.append(threads)
            return work(*given, threads=threads, **settings)

        return called

    for name in ("AdamW", "accumulate_gradients", "clip_grad_norm"):
        monkeypatch.setattr(ours, name, noted(getattr(ours, name)))
    ours.adamw(20, 1)()
    ours.training_step(Size(1, 16, 2, 2, 8, 11), threads=1)()
    assert told == [1] * 4


@pytest.mark.parametrize("way", ["full", "lora", "qlora", "dpo"])
def test_tuning_steps_learn_their_batch(way, monkeypatch):
    def small(packed):
        sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
        return lfs.build("llama", **sizes, vocab_size=49152, tie_word_embeddings=True)

    monkeypatch.setattr(models, "real_model", small)
    monkeypatch.setattr(tuning, "_RATE", 3e-2)
    step = getattr(tuning, way)(1)
    losses = [step() for _ in range(10)]
    assert losses[-1] < losses[0] - 2e-3


@pytest.mark.parametrize("form", quantizing.FORMS)
def test_products_of_every_form_are_those_of_its_numbers(form):
    shapes = ((70, 64), (5, 128))
    codes, numbers, kept = (quantizing.products(form, way, shapes)() for way in ("codes", "numbers", "float32"))
    for mine, made, plain in zip(codes, numbers, kept, strict=True):
        np.testing.assert_allclose(made, plain, atol=1e-4)
        # int8 rounds what it reads as well
        np.testing.assert_allclose(mine, made, atol=(0.02 if form == "int8" else 1e-5) * np.abs(made).max())


def test_gptq_is_timed_on_what_it_says(monkeypatch):
    monkeypatch.setattr(quantizing, "_ROWS", 8)
    monkeypatch.setattr(quantizing, "gptq", lambda weight, curvature, **settings: (weight.shape, curvature.shape))
    assert quantizing.one_matrix("gptq")() == ((576, 1536), (1536, 1536))
    sizes = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    monkeypatch.setattr(models, "real_model", lambda packed: lfs.build("llama", vocab_size=49152, **sizes))
    monkeypatch.setattr(quantizing, "TOKENS", 1024)
    assert len(quantizing.whole_model("rtn")().quantization.matrices) == 7


def test_the_table_says_who_is_faster():
    result = {
        "title": "a case",
        "unit": "MB/s",
        "contenders": {
            "ours": {"median": 0.01, "low": 0.009, "high": 0.02, "rate": 500.0, "peak": 2**21, "growth": 2**20},
            "theirs": {"median": 0.02, "low": 0.02, "high": 0.03, "rate": 250.0, "peak": 2**21, "growth": 2**20},
            "others": {"absent": "no module"},
        },
    }
    lines = table(result).splitlines()
    assert "10.00 ms  (9.00 to 20.00)  500.0 MB/s  peak 2.0 MiB (work: 1)" in lines[1]
    assert lines[2].endswith("ours is 2.00 x as fast") and "left out (no module)" in lines[3]


def test_synthetic_text_is_the_same_everywhere_and_long_enough():
    text = synthetic_text(3000)
    assert len(text.encode()) >= 3000 and text == synthetic_text(3000) and text.isascii()


@pytest.mark.parametrize(
    "settings, message",
    [({"names": ["step-999"]}, "no case named step-999: choose from"), ({"rounds": 0}, "at least 1")],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        bench(**settings)


def test_without_our_side_there_is_no_ratio_and_no_error():
    there = {"median": 0.02, "low": 0.02, "high": 0.03, "peak": None, "growth": None}
    contenders = {"ours": {"absent": "not fetched"}, "theirs": there, "others": {"absent": "no module"}}
    lines = table({"title": "a case", "unit": "", "contenders": contenders}).splitlines()
    assert "left out (not fetched)" in lines[1] and "20.00 ms" in lines[2] and "as fast" not in lines[2]


def test_nothing_fetched_and_nothing_installed_is_said(monkeypatch, tmp_path, capsys):
    """As on a fresh machine: the cache is empty."""
    for variable in ("LLM_FROM_SCRATCH_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    assert main(["bench", "smollm2-decode-16", "--rounds", "1", "--seconds", "0.01", "--threads", "1"]) == 0
    assert capsys.readouterr().out.count("left out (the model's file: python -m llm_from_scratch fetch smollm2)") == 2


def test_a_draft_is_measured_where_the_commands_put_it(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ImportError, match="runs/large: .* quickstart --large"):
        models.tales(5)
    tales_model = Path(__file__).parents[2] / "chapters" / "tales_model"
    shutil.copytree(tales_model, "runs/large")
    with pytest.raises(ImportError, match="runs/draft: .* quickstart --teacher runs/large"):
        models.tales(0)
    shutil.copytree(tales_model, "runs/draft")
    monkeypatch.setattr(models, "TALE", 4)
    told = []
    monkeypatch.setattr(lfs.checkpoints.Decoder, "generate", lambda model, ids, **how: told.append((ids, how)))
    models.tales(3)()
    models.tales(0)()
    assert len(told) == 8 and all(how["max_new_tokens"] == 4 and len(ids[0]) == 1 for ids, how in told)
    assert [how.get("num_assistant_tokens") for _, how in told] == [3] * 4 + [None] * 4
    assert [how["seed"] for _, how in told] == [0, 1, 2, 3] * 2
