"""Whole models quantised: every family, every method; what each layer reads; what is told, refused and kept."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.checkpoints.lineage import tree_of
from llm_from_scratch.compression import sweep
from llm_from_scratch.compression.calibration import Flow
from llm_from_scratch.layers import Linear, StoredWeight
from llm_from_scratch.quantization import GridLinear, Int8Linear, NF4Linear, PackedLinear, PackedWeight, quantize
from llm_from_scratch.recipes.technique_table import VOCABULARY, small_model

C = lfs.compression
FAMILIES = sorted(lfs.families.all_families())
IDS = np.random.default_rng(0).integers(0, VOCABULARY, (12, 24))
KINDS = {"gptq": GridLinear, "awq": GridLinear, "rtn": GridLinear, "nf4": NF4Linear, "int8": Int8Linear}


def matrices(model: Any) -> dict[str, Any]:
    """The linear layers of the blocks, routers left out."""
    return {
        path: module
        for path, module in model.named_modules()
        if path.startswith("layers.") and type(module) is Linear and not path.endswith(".router")
    }


def divisor(model: Any) -> int:
    """A group that divides the inputs of every matrix."""
    return int(np.gcd.reduce([module.weight.shape[0] for module in matrices(model).values()]))


def apart(a: Any, b: Any) -> float:
    """How far two models' logits are from each other, beside their spread."""
    return float(np.abs(a(IDS).data - b(IDS).data).mean() / b(IDS).data.std())


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_by_every_method(family: str, tmp_path: Path) -> None:
    plain = small_model(family)
    wanted, group, lost = matrices(plain), divisor(plain), {}
    for method in C.METHODS:
        model = C.quantize_model(small_model(family), method, IDS, bits=4, group_size=group)
        report = model.quantization
        idle = {name.removesuffix(".weight") for name, why in report.kept.items() if why == sweep.NO_TOKEN}
        found = {matrix.path for matrix in report.matrices}
        assert found | idle == wanted.keys() and not found & idle
        assert not idle or (family == "mixtral" and method in ("gptq", "awq") and all(".experts." in x for x in idle))
        modules = dict(model.named_modules())
        assert all(type(modules[path]) is KINDS[method] for path in found)
        assert report.kept.keys() == {n for n, w in model.named_weights() if not isinstance(w, StoredWeight)}
        assert report.kept["embedding.weight"] == "embedding"
        assert all(matrix.error < 0.02 and matrix.tokens for matrix in report.matrices if matrix.path in found)
        lost[method] = apart(model, plain)
        if method == "awq":  # norms are other ones, and all of it is written
            model.save_pretrained(tmp_path)
            assert (lfs.from_pretrained(tmp_path)(IDS).data == model(IDS).data).all()
    assert lost["int8"] < lost["gptq"] < lost["rtn"] < 0.3 and lost["awq"] < 1.05 * lost["rtn"]


def test_each_layer_reads_what_the_quantised_ones_before_it_put_out(monkeypatch: Any) -> None:
    seen: list[np.ndarray] = []
    plain_layer = sweep.quantized_layer

    def watched(layer: Any, way: Any, paths: Any, flow: Flow) -> Any:
        seen.append(flow.states.copy())
        return plain_layer(layer, way, paths, flow)

    monkeypatch.setattr(sweep, "quantized_layer", watched)
    model = C.quantize_model(small_model("llama"), "rtn", IDS, bits=2, group_size=8)
    states: list[Any] = []
    with lfs.no_grad():
        model.states({"ids": IDS}, hidden=states)
    for found, wanted in zip(seen, states, strict=False):
        np.testing.assert_allclose(found, wanted.data, atol=1e-5)
    with lfs.no_grad():
        small_model("llama").states({"ids": IDS}, hidden=(plain := []))
    assert np.abs(seen[1] - plain[1].data).max() > 1e-2


@pytest.mark.parametrize("at_once", [24, 100, 10**6])
def test_text_in_pieces_gives_the_same_hessians(at_once: int, monkeypatch: Any) -> None:
    whole = C.quantize_model(small_model("mixtral"), "gptq", IDS, group_size=16)
    monkeypatch.setattr("llm_from_scratch.compression.calibration._AT_ONCE", at_once)
    pieces = C.quantize_model(small_model("mixtral"), "gptq", IDS, group_size=16)
    errors = [[matrix.error for matrix in model.quantization.matrices] for model in (whole, pieces)]
    np.testing.assert_allclose(*errors, rtol=0.02)
    counts = [[matrix.tokens for matrix in model.quantization.matrices] for model in (whole, pieces)]
    assert counts[0] == counts[1]


def test_matrices_taken_together_are_quantised_as_each_by_itself() -> None:
    model, plain = small_model("llama"), small_model("llama")
    C.quantize_model(model, "gptq", IDS, bits=3, group_size=8)
    flow = Flow.of(plain, IDS)
    with lfs.no_grad():
        inputs = np.concatenate([plain.layers[0].mixer_norm(x).data for x, _ in flow.pieces()]).reshape(-1, 32)
    for name in ("query", "key", "value"):
        weight = getattr(plain.layers[0].mixer, name).weight.data.T
        alone = C.gptq(weight, C.hessian(inputs), bits=3, group_size=8).values()
        found = getattr(model.layers[0].mixer, name).weight.expand().T
        assert (found != alone).mean() < 0.01  # a sum in another order may tip a code
        told = next(m for m in model.quantization.matrices if m.path == f"layers.0.mixer.{name}")
        assert told.error == pytest.approx(C.output_error(weight, found, C.hessian(inputs)), rel=1e-3)
        assert told.tokens == IDS.size and told.inputs == 32


def test_what_needs_no_text_needs_none_and_measures_the_weights() -> None:
    for method in ("nf4", "int8", "rtn"):
        model, plain = C.quantize_model(small_model("gpt2"), method, group_size=32), small_model("gpt2")
        by_text = C.quantize_model(small_model("gpt2"), method, IDS, group_size=32)
        assert (model(IDS).data == by_text(IDS).data).all()
        told = model.quantization.matrices[0]
        before, after = plain.layers[0].mixer.query.weight.data, model.layers[0].mixer.query.weight.expand()
        assert told.tokens is None and not told.few
        assert told.error == pytest.approx(((after - before) ** 2).sum() / (before**2).sum(), rel=1e-4)


def test_bits_are_told_as_they_are_held() -> None:
    for bits in (2, 3, 4, 8):
        model = lfs.build("llama", vocab_size=50, hidden_size=64, intermediate_size=128, num_hidden_layers=1,
                          num_attention_heads=2)  # fmt: skip
        C.quantize_model(model, "rtn", bits=bits, group_size=64)
        assert {matrix.bits for matrix in model.quantization.matrices} == {bits + 40 / 64}
    with pytest.raises(ValueError, match="rtn has 2 or 3 or 4 or 8 bits, not 5"):
        C.quantize_model(model, "rtn", bits=5)


def test_an_idle_expert_is_told_and_stays_in_float() -> None:
    model = small_model("mixtral")
    model.layers[1].feed_forward.router.weight.data[:] = 0  # ties: the first two experts take all
    said: list[int] = []
    C.quantize_model(model, "gptq", IDS, group_size=16, on_layer=lambda i, n, report: said.append(len(report.matrices)))
    idle = [name for name, why in model.quantization.kept.items() if why == sweep.NO_TOKEN]
    names = ("gate", "up", "down")
    experts = {f"layers.1.feed_forward.experts.{i}.{name}" for i in range(2, 8) for name in names}
    assert experts <= {name.removesuffix(".weight") for name in idle}
    assert experts <= set(model.quantization.starved)
    assert type(model.layers[1].feed_forward.experts[5].up) is Linear
    assert said[-1] == len(model.quantization.matrices) and len(said) == 2
    few = C.quantize_model(small_model("mixtral"), "gptq", IDS[:2], group_size=16).quantization
    assert any(matrix.few for matrix in few.matrices) and {m.path for m in few.matrices if m.few} <= set(few.starved)


def test_what_is_to_be_kept_is_kept_and_the_lineage_tells() -> None:
    model = C.quantize_model(small_model("llama"), "gptq", IDS, group_size=8, keep=["layers.0.*", "*.down"])
    assert type(model.layers[0].mixer.query) is Linear and type(model.layers[1].feed_forward.down) is Linear
    assert type(model.layers[1].mixer.query) is GridLinear
    assert model.quantization.kept["layers.0.mixer.query.weight"] == sweep.ASKED
    words = tree_of(model.lineage.steps, weights=False)
    assert words == ["quantised from (method gptq, bits 4, group 8)", "└─ initialised as llama (seed 0)"]


def test_packed_matrices_of_a_file_are_quantised_anew() -> None:
    def packed(layer: Any) -> PackedLinear:
        blocks = quantize(np.ascontiguousarray(layer.weight.data.T), "Q8_0")
        return PackedLinear(PackedWeight.from_blocks(blocks, "Q8_0"), layer.bias)

    model, plain = small_model("llama"), small_model("llama")
    model.replace(lambda _, module: type(module) is Linear and module.weight.shape[0] == 32, packed)
    C.quantize_model(model, "awq", IDS, group_size=8)
    assert len(model.quantization.matrices) == 14 and apart(model, plain) < 0.1


def test_memory_is_the_model_and_one_layer_more() -> None:
    sizes: dict[str, Any] = dict(vocab_size=64, hidden_size=128, intermediate_size=512, num_attention_heads=4)
    ids = IDS % 64
    more = []
    for layers in (2, 8):
        model = lfs.build("llama", num_hidden_layers=layers, **sizes)
        one = model.layers[0].nbytes
        C.quantize_model(lfs.build("llama", num_hidden_layers=1, **sizes), "gptq", ids)  # kernels are there
        tracemalloc.start()
        C.quantize_model(model, "gptq", ids)
        more.append((tracemalloc.get_traced_memory()[1]) / one)
        tracemalloc.stop()
    # Hessians and their factors are in float64; what matters is that it does not grow with the number of layers, of
    # which each quantised one takes a seventh and its floats are given back.
    assert more[1] - more[0] < 6 * 0.25


BAD: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "method": ({"method": "gold"}, ValueError, "there is no method 'gold'; there are gptq, awq"),
    "bits": ({"bits": 1}, ValueError, "gptq has 2 or 3 or 4 or 8 bits, not 1"),
    "nf4 bits": ({"method": "nf4", "bits": 3}, ValueError, "nf4 has 4 bits, not 3"),
    "int8 bits": ({"method": "int8", "bits": 2}, ValueError, "int8 has 8 bits, not 2"),
    "group": ({"group_size": 16}, ValueError, r"groups of 16 do not divide the 88 inputs of layers.0.*down"),
    "long group": ({"group_size": 1000}, ValueError, "groups of 1000 do not divide the 32 inputs of"),
    "no group": ({"group_size": 0}, ValueError, "group_size is a positive whole number"),
    "damping": ({"damping": -1.0}, ValueError, "damping is a number >= 0"),
    "no text": ({"calibration": None}, ValueError, "gptq chooses by what layers read: it needs calibration text"),
    "short": ({"calibration": IDS[:1, :9]}, ValueError, "text of 9 tokens is too short"),
    "constant": ({"calibration": np.full((4, 20), 3)}, ValueError, "constant: 80 tokens, of which only 1 differ"),
    "ids": ({"calibration": IDS + 1000}, ValueError, "outside the vocabulary"),
    "floats": ({"calibration": IDS / 2}, TypeError, "integers"),
    "cube": ({"calibration": IDS[None]}, ValueError, r"rows \(N, T\), got the shape \(1, 12, 24\)"),
    "keep": ({"keep": ["layers.9.*"]}, ValueError, "keep='layers.9.*' is the path of no matrix"),
    "all": ({"keep": ["*"]}, ValueError, "no linear layer to quantise"),
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD)
def test_bad_input_is_refused_before_anything_is_changed(bad: str) -> None:
    settings, error, message = BAD[bad]
    model = small_model("llama")
    before = {name: array.copy() for name, array in model.state_dict().items()}
    with pytest.raises(error, match=message):
        C.quantize_model(model, **{"method": "gptq", "calibration": IDS, "group_size": 8, **settings})
    assert all((array == before[name]).all() for name, array in model.state_dict().items())


def test_models_that_cannot_be_quantised() -> None:
    model = small_model("llama")
    model.layers[1].mixer.key.weight.data[2, 5] = np.inf
    with pytest.raises(ValueError, match=r"layers.1.mixer.key.weight at \(2, 5\) is inf"):
        C.quantize_model(model, "rtn", group_size=8)
    with pytest.raises(TypeError, match="compute in float32, the model is float64"):
        C.quantize_model(small_model("llama").astype(np.float64), "rtn", group_size=8)
    done = C.quantize_model(small_model("llama"), "rtn", group_size=8)
    with pytest.raises(ValueError, match=r"layers.0.mixer.query is quantised already \(GridLinear\)"):
        C.quantize_model(done, "rtn", group_size=8)
    adapted = small_model("llama")
    lfs.adapters.add_lora(adapted, 2)
    with pytest.raises(ValueError, match="other modules than its spec builds"):
        C.quantize_model(adapted, "rtn", group_size=8)
    adapted = small_model("llama")
    lfs.adapters.add_prefix(adapted)
    with pytest.raises(ValueError, match="learned prefix|other modules"):
        C.quantize_model(adapted, "rtn", group_size=8)


def test_dead_inputs_and_zero_matrices_are_no_trouble_and_what_overflows_is_named() -> None:
    model, plain = small_model("gpt2"), small_model("gpt2")
    for each in (model, plain):
        each.layers[0].mixer_norm.weight.data[3] = each.layers[0].mixer_norm.bias.data[3] = (
            0  # an input that is always 0
        )
        each.layers[1].mixer.query.weight.data[:] = 0
        each.layers[0].feed_forward.up.weight.data[:, :5] = 0
    for method in C.METHODS:
        found = C.quantize_model(small_model("gpt2"), method, IDS, group_size=32)
        assert np.isfinite(found(IDS).data).all()
    C.quantize_model(model, "gptq", IDS, group_size=32)
    assert apart(model, plain) < 0.1
    model = small_model("gpt2")
    model.layers[0].mixer_norm.weight.data[:] = 3e38
    with (
        pytest.raises(ValueError, match="layer 0: mixer.query: .*(not finite|is inf|is nan|finite)"),
        np.errstate(all="ignore"),
    ):
        C.quantize_model(model, "gptq", IDS, group_size=32)


@pytest.mark.parametrize("method", ["gptq", "awq", "nf4"])
@pytest.mark.parametrize("family", ["llama", "mixtral", "bloom"])
def test_killed_after_any_layer_it_goes_on_to_the_byte(family: str, method: str, tmp_path: Path) -> None:
    group = divisor(small_model(family))
    whole = C.quantize_model(small_model(family), method, IDS, group_size=group)
    whole.save_pretrained(tmp_path / "whole")

    class Killed(Exception):
        pass

    def stop(number: int, layers: int, report: Any) -> None:
        raise Killed

    for _ in range(2):  # killed after the first layer, and again when it has been read
        with pytest.raises(Killed):
            C.quantize_model(
                small_model(family), method, IDS, group_size=group, directory=tmp_path / "on", on_layer=stop
            )
    resumed = C.quantize_model(small_model(family), method, IDS, group_size=group, directory=tmp_path / "on")
    resumed.save_pretrained(tmp_path / "resumed")
    for name in ("model.safetensors", "spec.json", "config.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "resumed" / name).read_bytes()
    assert resumed.quantization == whole.quantization
    for settings, word in (
        ({"bits": 8 if method != "nf4" else 4, "keep": ["layers.0.*"]}, "keep"),
        ({}, "calibration"),
    ):
        ids = IDS if settings else IDS[:, ::-1]
        with pytest.raises(ValueError, match=f"holds layers of another sweep .*{word}"):
            C.quantize_model(small_model(family), method, ids, group_size=group, directory=tmp_path / "on", **settings)


@pytest.mark.parametrize("method", ["gptq", "awq", "rtn"])
def test_a_row_that_is_shorter_than_a_group_is_one(method: str) -> None:
    model = lfs.build("mamba", hidden_size=32, num_hidden_layers=1, vocab_size=64, state_size=4, seed=0)
    ids = np.random.default_rng(0).integers(0, 64, (4, 32))
    whole = {path: layer.weight.data.T for path, layer in model.named_modules() if path.endswith("mixer.step")}
    report = C.quantize_model(model, method, ids, bits=4, group_size=16).quantization
    inputs = {matrix.path: matrix.inputs for matrix in report.matrices}
    assert inputs["layers.0.mixer.step"] == 2 and min(n for p, n in inputs.items() if "step" not in p) >= 16
    step = model.layers[0].mixer.step.weight
    if method == "rtn":
        expected = C.round_to_nearest(whole["layers.0.mixer.step"], bits=4).values()
        np.testing.assert_array_equal(step.expand().T, expected)
    assert step.scale.size == step.shape[1] and model.layers[0].mixer.input.weight.scale.size > 64
