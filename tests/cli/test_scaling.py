"""The command `scaling`: plans, costs, fits, JSON, and mistakes in one line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from llm_from_scratch.checkpoints import spec
from llm_from_scratch.cli import _simulating, main
from llm_from_scratch.scaling import published_runs
from llm_from_scratch.scaling.cluster import Cluster, cluster_of
from llm_from_scratch.scaling.laws import CHINCHILLA
from llm_from_scratch.scaling.parallel_run import Run
from llm_from_scratch.scaling.simulator import Step, simulate


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["scaling", *arguments]) == 0
    return capsys.readouterr().out


def test_a_plan(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "plan", "--flops", "5.76e23")
    assert "72.2B" in text and "1.33T, 18.4 a parameter" in text and "layers of width" in text
    plan = json.loads(said(capsys, "plan", "--flops", "5.76e23", "--json"))
    assert plan["parameters"] == pytest.approx(72.2e9, rel=1e-3) and plan["config"]["model_type"] == "llama"
    printed = json.loads(said(capsys, "plan", "--flops", "5.76e23", "--law", "chinchilla", "--json"))
    assert printed["parameters"] == pytest.approx(32.2e9, rel=1e-2)


def test_other_budgets(capsys: pytest.CaptureFixture[str]) -> None:
    hours = json.loads(said(capsys, "plan", "--gpu-hours", "100K", "--gpu", "a100", "--utilisation", "0.4", "--json"))
    assert hours["flops"] == pytest.approx(1e5 * 3600 * 312e12 * 0.4)
    both = json.loads(said(capsys, "plan", "--tokens", "1.4T", "--parameters", "65B", "--gpus", "2048", "--json"))
    assert both["tokens"] == 1.4e12 and 15 < both["days"] < 25  # 21 days, the paper says
    text = said(capsys, "plan", "--flops", "1e23", "--serve", "10T")
    assert "FLOPs of serving" in text and "10T tokens" in text


def test_costs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = said(capsys, "costs", "llama-2-7b", "--tokens", "2T")
    assert (
        "6,738,415,616 parameters" in text and "13.48 GB" in text and "107.8 GB" in text and "8.086e+22 (6ND)" in text
    )
    found = json.loads(said(capsys, "costs", "llama-2-7b", "--tokens", "2T", "--json"))
    assert found["bytes_to_load"]["bfloat16"] == 2 * 6_738_415_616
    assert found["flops_per_token"]["backward"] == 2 * found["flops_per_token"]["forward"]
    assert found["training_bytes"]["mixed"]["adamw"] == 16 * 6_738_415_616
    (tmp_path / "config.json").write_text('{"model_type": "gpt2", "n_layer": 2}', encoding="utf-8")
    assert "parameters" in said(capsys, "costs", str(tmp_path / "config.json"), "--length", "100")
    assert "used by a token" in said(capsys, "costs", "mixtral-8x7b")
    said(capsys, "costs", "mamba-130m")


def test_a_fit(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    n, d = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e8, 1e10, 3), np.geomspace(1e9, 1e12, 3)))
    lines = [json.dumps({"parameters": a, "tokens": b, "loss": CHINCHILLA.loss(a, b)}) for a, b in zip(n, d)]
    runs = tmp_path / "runs.jsonl"
    runs.write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = json.loads(said(capsys, "fit", str(runs), "--json"))
    assert found["runs"] == 9 and found["alpha"] == pytest.approx(0.34, rel=1e-4) and found["a"] + found["b"] == 1
    text = said(capsys, "fit", str(runs), "--bootstrap", "3")
    assert "95 %" in text and "1.69" in text


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["dance"], "scaling does plan, costs, fit, simulate, not 'dance'"),
        (["plan"], "a plan needs a budget"),
        (["plan", "llama-7b"], "scaling plan takes no name"),
        (["plan", "--flops", "lots"], "--flops: 'lots' is not a number such as"),
        (["plan", "--flops", "0"], "--flops: 0 must be more than 0"),
        (["plan", "--flops", "-1"], "--flops: -1 must be more than 0"),
        (["plan", "--flops", "1e21", "--tokens", "1T"], "give one budget"),
        (["plan", "--flops", "1e21", "--gpu", "abacus"], "unknown accelerator 'abacus'"),
        (["plan", "--flops", "1e21", "--utilisation", "40"], "utilisation is a share"),
        (["plan", "--flops", "1e21", "--law", "moore"], "--law is one of chinchilla, replication"),
        (["plan", "--flops", "1e3"], "no LLaMA of about"),
        (["plan", "--flops", "1e300"], "no LLaMA of about"),
        (["plan", "--flops", "1e21", "--length", "0"], "max_position_embeddings|context"),
        (["plan", "--flops", "1e21", "--vocabulary", "-5"], "vocab"),
        (["costs"], "scaling costs takes a model"),
        (["costs", "no-such-model"], "no model is called"),
        (["costs", "gpt2", "--length", "-1"], "--length must be at least 1"),
        (["costs", "gpt2", "--rows", "0"], "rows must be a whole number"),
        (["costs", "gpt2", "--tokens", "1T", "--gpu", "abacus"], "unknown accelerator"),
        (["fit"], "scaling fit takes a file"),
        (["fit", "nowhere.jsonl"], "nowhere.jsonl is not a file of runs"),
    ],
)
def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert main(["scaling", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and len(shown.err.splitlines()) == 1
    assert any(part in shown.err for part in message.split("|"))


@pytest.mark.parametrize(
    "content, message",
    [
        ('{"parameters": 1e9, "tokens": 1e9}', "line 1: a run has a number 'loss', here is None"),
        ('{"parameters": 1e9, "tokens": 1e9, "loss": "low"}', "line 1: a run has a number 'loss'"),
        ("[1, 2]", "line 1"),
        ("not json", "line 1"),
        ("\n".join(['{"parameters": 1e9, "tokens": 1e9, "loss": 2.5}'] * 9), "1 different number of parameters"),
        ('{"parameters": 1e9, "tokens": 1e9, "loss": 2.5}', "at least 5 runs, got 1"),
        ("\n".join(['{"parameters": 1e9, "tokens": 1e9, "loss": -2.5}'] * 9), "losses must be more than 0"),
        ("", "holds no run"),
        ("\n\n", "holds no run"),
    ],
)
def test_files_that_are_no_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text(content, encoding="utf-8")
    assert main(["scaling", "fit", str(path)]) == 2
    shown = capsys.readouterr().err
    assert message in shown and str(path) in shown and len(shown.splitlines()) == 1


def test_a_simulated_step(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["simulate", "llama-65b", "--tensor", "8", "--zero", "1", "--global-batch", "2048", "--tokens", "1.4T"]
    text = said(capsys, *words, "--gpus", "2048")
    assert (
        "2,048 × A100 SXM 80 GB: tensor 8 · pipeline 1 · data 256" in text and "1.4T tokens" in text and "MFU" in text
    )
    found = json.loads(said(capsys, *words, "--gpus", "2048", "--json"))
    assert sum(found["parts"].values()) == pytest.approx(found["seconds"]) and found["fits"]
    assert found["gpu_hours"] == pytest.approx(24 * 2048 * found["days"])
    file = tmp_path / "cluster.json"
    file.write_text('{"accelerator": "a100", "nodes": 256}', encoding="utf-8")
    assert json.loads(said(capsys, *words, "--cluster", str(file), "--json")) == found
    del words[1]
    assert json.loads(said(capsys, *words, "--model", "llama-65b", "--gpus", "2048", "--json")) == found
    assert "too much" in said(capsys, "simulate", "llama-7b", "--ignore-memory")


def test_every_option_reaches_the_run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def noted(run: Run, cluster: Cluster, *, check_memory: bool) -> Step:
        seen.append((run, cluster, check_memory))
        return simulate(run, cluster, check_memory=check_memory)

    monkeypatch.setattr(_simulating, "simulate", noted)
    words = "--gpus 16 --gpu h100 --network 50G --tensor 2 --pipeline 2 --data 4 --micro-batch 2 --global-batch 32"
    words += " --zero 1 --length 512 --recompute selective --chunks 3 --no-flash --sequence-parallel --no-overlap"
    said(capsys, "simulate", "gpt2", "--ignore-memory", "--precision", "float16", *words.split())
    run = Run(
        spec("gpt2"), 32, 2, tensor=2, pipeline=2, data=4, length=512, zero=1, recompute="selective", chunks=3,
        flash=False, sequence_parallel=True, overlap=False, precision="float16",
    )  # fmt: skip
    assert seen == [(run, cluster_of(16, "h100", network=50e9), False)]
    said(capsys, "simulate", "gpt2")
    assert seen[1] == (Run(spec("gpt2"), 1), cluster_of(1), True)


def test_published_runs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    some = ("Megatron 3.6B", "Megatron 7.5B", "BLOOM-176B", "MPT-7B, 2k, 8 A100", "LLaMA 65B")
    runs = tuple(row for row in published_runs.PUBLISHED_RUNS if row.name in some)  # all of them take ten seconds
    monkeypatch.setattr(published_runs, "PUBLISHED_RUNS", runs)
    text = said(capsys, "simulate", "--published")
    assert "LLaMA 65B" in text and "150 TFLOP/s" in text and "their source left out" in text
    assert "assumed: degrees" in text and "chosen with the 4 runs" in text
    found = json.loads(said(capsys, "simulate", "--published", "--json"))
    rows = {row["name"]: row for row in found["runs"]}
    assert rows["BLOOM-176B"]["fitted"] and rows["BLOOM-176B"]["left_out_error"] is not None
    assert rows["LLaMA 65B"]["gpus"] == 2048 and rows["LLaMA 65B"]["left_out_error"] is None
    assert found["root_mean_square"]["with the constants"] < found["root_mean_square"]["left out"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["simulate"], "takes one model, such as llama-65b; got none"),
        (["simulate", "gpt2", "--model", "gpt2"], "got gpt2 and gpt2"),
        (["simulate", "gpt2", "--published"], "leave the model and the cluster out"),
        (["simulate", "gpt2", "--gpus", "12"], "do not fill nodes of 8: take 8 or 16"),
        (["simulate", "gpt2", "--gpus", "8", "--tensor", "3"], "must divide 8 GPUs"),
        (["simulate", "gpt2", "--gpus", "8", "--tensor", "0"], "must divide 8 GPUs"),
        (
            ["simulate", "gpt2", "--gpus", "8", "--tensor", "2", "--data", "2"],
            "= 4 accelerators, but the cluster has 8",
        ),
        (["simulate", "gpt2", "--gpus", "8", "--pipeline", "8"], "12 layers, or 14 places"),
        (["simulate", "gpt2", "--gpus", "8", "--tensor", "8"], "12 heads cannot be divided among 8"),
        (["simulate", "gpt2", "--gpus", "8", "--global-batch", "9"], "take a multiple of 8"),
        (["simulate", "gpt2", "--zero", "7"], "zero must be one of 0, 1, 2, 3"),
        (["simulate", "gpt2", "--micro-batch", "0"], "micro_batch must be a whole number|global_batch must be"),
        (["simulate", "gpt2", "--network", "fast"], "--network: 'fast' is not a number"),
        (["simulate", "gpt2", "--tokens", "-3"], "--tokens"),
        (["simulate", "gpt2", "--cluster", "nowhere.json"], "is not a file"),
        (["simulate", "gpt2", "--cluster", "x.json", "--gpus", "8"], "leave --gpus and --network out"),
        (["simulate", "gpt2", "--gpu", "abacus"], "unknown accelerator 'abacus'"),
        (["simulate", "gpt2", "--precision", "int3"], "computes in"),
        (["simulate", "llama-65b", "--gpus", "8"], "too much: weights"),
    ],
)
def test_steps_that_cannot_be_simulated(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["scaling", *words]) != 0
    told = capsys.readouterr()
    assert re.search(message, told.err) and not told.out and len(told.err.strip().splitlines()) == 1


def test_a_cluster_file_that_is_none(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for content, message in (("[]", "cluster.json"), ('{"nodes": 2}', "needs accelerator"), ("{", "cluster.json"),
                             ('{"accelerator": 3, "nodes": 2}', "unknown accelerator 3")):  # fmt: skip
        file = tmp_path / "cluster.json"
        file.write_text(content, encoding="utf-8")
        assert main(["scaling", "simulate", "gpt2", "--cluster", str(file)]) != 0
        assert message in capsys.readouterr().err
