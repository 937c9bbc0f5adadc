"""Fresh models: initialised as published, repeatable by seed, counted exactly, every parameter differentiated right."""

from __future__ import annotations

import importlib
import math
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch import families
from llm_from_scratch.autograd import GradientMismatch
from llm_from_scratch.checkpoints import Decoder
from llm_from_scratch.families import all_families, find_family

COUNTS = {
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
    "llama-7b": 6_738_415_616,
    "llama-13b": 13_015_864_320,
    "llama-33b": 32_528_943_616,
    "llama-65b": 65_285_660_672,
    "llama-2-7b": 6_738_415_616,
    "llama-2-13b": 13_015_864_320,
    "llama-2-34b": 33_743_970_304,
    "llama-2-70b": 68_976_648_192,
}


def test_published_parameter_counts_without_allocating_them() -> None:
    sizes = {name for family in all_families().values() for name in family.sizes}
    assert COUNTS.keys() <= sizes
    for name, count in COUNTS.items():
        assert Decoder(lfs.spec(name)).parameter_count == count, name


def test_gpt2_is_initialised_as_published() -> None:
    model = lfs.build("gpt2", n_layer=8, n_embd=128, n_head=4, n_positions=256, vocab_size=500, seed=3)
    expected = {"embedding": 0.02, "positions": 0.01, "output": 0.02 / math.sqrt(16), "down": 0.02 / math.sqrt(16)}
    for name, parameter in model.named_parameters():
        part = next((key for key in expected if key in name), "other")
        if name.endswith("bias"):
            assert not parameter.data.any(), name
        elif "norm" in name:
            assert (parameter.data == 1).all(), name
        else:
            assert parameter.data.std() == pytest.approx(expected.get(part, 0.02), rel=0.05), name
            assert abs(parameter.data.mean()) < 5 * parameter.data.std() / math.sqrt(parameter.size), name


def test_llama_is_initialised_as_published() -> None:
    settings: dict[str, Any] = dict(hidden_size=128, intermediate_size=256, num_hidden_layers=3, vocab_size=500)
    model = lfs.build("llama", num_attention_heads=4, initializer_range=0.05, seed=3, **settings)
    for name, parameter in model.named_parameters():
        if "norm" in name:
            assert (parameter.data == 1).all(), name
        else:
            assert parameter.data.std() == pytest.approx(0.05, rel=0.05), name


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_fresh_model_knows_nothing_yet(family: str) -> None:
    settings: dict[str, Any] = dict(vocab_size=200)
    settings |= dict(n_embd=32, n_layer=2, n_head=2) if family == "gpt2" else dict(hidden_size=32, num_hidden_layers=2)
    settings |= {} if family == "gpt2" else dict(num_attention_heads=2, intermediate_size=64)
    model = lfs.build(family, **settings)
    ids = np.random.default_rng(0).integers(0, 200, (4, 30))
    loss = model.loss({"ids": ids, "targets": np.roll(ids, -1, 1)})
    assert loss.item() == pytest.approx(math.log(200), abs=0.05)


def test_equal_seeds_give_equal_weights() -> None:
    settings: dict[str, Any] = dict(n_embd=8, n_layer=1, n_head=2, vocab_size=20, n_positions=8)
    one, same, other = (lfs.build("gpt2", seed=seed, **settings) for seed in (1, 1, 2))
    assert all(np.array_equal(a, same.state_dict()[name]) for name, a in one.state_dict().items())
    assert not np.array_equal(one.embedding.weight.data, other.embedding.weight.data)
    wide = lfs.build("gpt2", seed=1, dtype=np.float64, **settings)
    assert wide.dtype == np.float64 and wide.config["torch_dtype"] == "float64"
    np.testing.assert_array_equal(wide.embedding.weight.data, one.embedding.weight.data.astype(np.float64))


@pytest.mark.parametrize("seed", [-1, 1.5, None, True, "0"])
def test_seeds_are_checked(seed: Any) -> None:
    with pytest.raises(ValueError, match="seed must be"):
        lfs.build("gpt2", seed=seed, n_embd=8, n_layer=1, n_head=2, vocab_size=20, n_positions=8)


def test_names_are_checked_and_listed() -> None:
    for call in (lfs.build, lfs.spec):
        with pytest.raises(ValueError, match=r"no model is called 'lama'; known: .*gpt2, .*gpt2-medium.*llama-2-70b"):
            call("lama")
    with pytest.raises(ValueError, match="architectures is not for build to choose"):
        lfs.build("gpt2", architectures=["Mine"])
    with pytest.raises(ValueError, match="model_type None"):
        lfs.spec({})


def test_numpy_integers_are_fine_and_end_up_as_json_can_hold_them(tmp_path: Path) -> None:
    settings = dict(n_embd=np.int64(8), n_layer=np.int32(1), n_head=2, vocab_size=np.int64(20), n_positions=8)
    lfs.build("gpt2", **settings).save_pretrained(tmp_path)
    assert lfs.from_pretrained(tmp_path).spec.vocab_size == 20


def test_a_family_is_found_by_its_file_being_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Path(families.__file__).with_name("llama.py").read_text(encoding="utf-8")
    source = re.sub(r"MODEL_TYPES = .*", 'MODEL_TYPES = ("vicuna",)', source).replace('"llama-', '"vicuna-')
    source = re.sub(r'^    "(?!vicuna)(\w+-[\w.-]+":)', r'    "vicuna-\1', source, flags=re.MULTILINE)
    (tmp_path / "vicuna.py").write_text(source, encoding="utf-8")
    (tmp_path / "_helper.py").write_text("raise AssertionError('not a family')", encoding="utf-8")
    monkeypatch.setattr(families, "__path__", [*families.__path__, str(tmp_path)])
    families.all_families.cache_clear()
    try:
        assert find_family("vicuna").name == "vicuna"
        assert Decoder(lfs.spec("vicuna-7b")).parameter_count == COUNTS["llama-7b"]
        for text, message in [
            (source.replace("DEFAULTS", "OTHER"), "vicuna.py does not define DEFAULTS"),
            (source.replace('("vicuna",)', '("vicuna", "gpt2")'), "gpt2 and vicuna both claim the name 'gpt2'"),
        ]:
            (tmp_path / "vicuna.py").write_text(text, encoding="utf-8")
            sys.modules.pop(f"{families.__name__}.vicuna")
            importlib.invalidate_caches()
            families.all_families.cache_clear()
            with pytest.raises(ValueError, match=message):
                all_families()
    finally:
        sys.modules.pop(f"{families.__name__}.vicuna", None)
        families.all_families.cache_clear()


def randomised(family: str, **settings: Any) -> Decoder:
    model = lfs.build(family, dtype=np.float64, **settings)
    rng = np.random.default_rng(1)
    for name, parameter in model.named_parameters():
        noise = rng.normal(size=parameter.shape)
        parameter.data = 0.5 * noise if parameter.ndim == 2 else 0.3 * noise + (1.0 if "norm.weight" in name else 0.0)
    return model


GPT2: dict[str, Any] = dict(vocab_size=7, n_positions=6, n_embd=4, n_layer=2, n_head=2, n_inner=6)
LLAMA: dict[str, Any] = dict(
    vocab_size=7, hidden_size=4, intermediate_size=6, num_hidden_layers=2, num_attention_heads=2, head_dim=4
)
WHOLE = {
    "gpt2": ("gpt2", dict(GPT2)),
    "gpt2 untied": ("gpt2", dict(GPT2, tie_word_embeddings=False, scale_attn_by_inverse_layer_idx=True)),
    "llama": ("llama", dict(LLAMA, num_key_value_heads=1)),
    "llama biased": ("llama", dict(LLAMA, attention_bias=True, mlp_bias=True, tie_word_embeddings=True)),
}


@pytest.mark.parametrize("case", WHOLE)
def test_every_parameter_of_a_whole_model_against_central_differences(case: str) -> None:
    family, settings = WHOLE[case]
    model = randomised(family, **settings)
    rng = np.random.default_rng(2)
    ids, targets = rng.integers(0, 7, (2, 5)), rng.integers(0, 7, (2, 5))
    targets[0, 1] = -100
    mask = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]])
    names, parameters = zip(*model.named_parameters(), strict=True)
    # The gradient of a key bias is exactly zero without rotary (it moves all scores of a row alike); differences of a
    # loss near 2 measure it as rounding, 1e-16 / 1e-5. The floor is for those: it lies far below every other gradient.
    floor = 3e-4
    model.loss({"ids": ids, "targets": targets, "mask": mask}).backward()
    for name, parameter in zip(names, parameters, strict=True):
        assert name.endswith("key.bias") or np.abs(parameter.grad).max() > 10 * floor, name
    for function in (
        lambda *_: model.loss({"ids": ids, "targets": targets, "mask": mask}),
        lambda *_: model(ids[:1, :3]),
    ):
        assert lfs.gradcheck(function, *parameters, names=names, floor=floor) < 1e-6


def test_a_forgotten_path_through_the_model_is_caught() -> None:
    model = randomised("gpt2", **GPT2)
    ids = np.array([[1, 2, 3]])
    names, parameters = zip(*model.named_parameters(), strict=True)

    def detached(*_: Any) -> Any:  # the residual around the last feed-forward part carries no gradient
        layer = model.layers[-1]
        true = layer.feed_forward
        layer.feed_forward = lambda h, memory, context: true(h.detach(), memory, context)
        try:
            return model(ids)
        finally:
            layer.feed_forward = true

    with pytest.raises(GradientMismatch, match="backward says"):
        lfs.gradcheck(detached, *parameters, names=names)
