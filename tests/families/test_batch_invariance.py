"""Under `lfs.batch_invariant()` a row's logits are the same to the bit, whatever is computed beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.kernels import sharing
from llm_from_scratch.kernels.compiled import packed, row_products, whole_attention
from llm_from_scratch.kernels.dispatch import backend
from llm_from_scratch.kernels.row_products import product, row_product
from llm_from_scratch.layers import (
    AttentionSpec,
    FeedForwardSpec,
    HyenaSpec,
    LayerSpec,
    Linear,
    MixtureSpec,
    ModalFilterSpec,
    NormSpec,
    RelativeAttentionSpec,
)
from llm_from_scratch.layers.implicit_filter import ImplicitFilterSpec
from llm_from_scratch.quantization import Int8Linear, PackedLinear

pytestmark = pytest.mark.skipif(backend() == "numpy", reason="the switch needs the compiled kernels")

HERE = Path(__file__).parent
FAMILIES = {path.parent.name: path.parent for path in sorted(HERE.glob("*fixtures/*/config.json"))}
STRETCHED = ("llama_dynamic", "qwen1_long")  # angles depend on the length of a row: in chunks they are others


def load(name):
    return lfs.from_pretrained(FAMILIES[name], dtype=np.float32)


def logits(model, ids, **settings):
    with lfs.no_grad():
        return model(ids, **settings).data


def by_chunks(model, ids, borders):
    memory = model.new_memory(len(ids))
    return np.concatenate([logits(model, ids[:, a:b], memory=memory) for a, b in zip(borders, borders[1:])], axis=1)


def padded(ids, before, behind):
    """Ids (1, T) among other rows of their own lengths, padded in front and behind; the mask; where the row stands."""
    rng, width = np.random.default_rng(before), before + ids.shape[1] + behind
    rows = rng.integers(0, ids.max() + 1, (3, width))
    mask = np.ones(rows.shape, bool)
    rows[1, before : before + ids.shape[1]] = ids[0]
    mask[1, :before] = mask[1, before + ids.shape[1] :] = False
    return rows, mask, slice(before, before + ids.shape[1])


def differences(model, ids, chunked=True):
    """Which of the ways of computing the same rows give other bits."""
    alone = [logits(model, row[None]) for row in ids]
    found = []
    for count in (2, 64, 65):
        several = logits(model, ids[:count])
        if any(not np.array_equal(several[n : n + 1], alone[n]) for n in range(count)):
            found.append(f"{count} rows")
    length = ids.shape[1]
    for borders in ([*range(length + 1)], [0, 5, length], [0, 1, length - 1, length]):
        for rows in (1, 2):  # a single token of a single row would else be one call
            if chunked and not np.array_equal(by_chunks(model, ids[:rows], borders), np.concatenate(alone[:rows])):
                found.append(f"chunks at {borders}, {rows} rows")
    for before, behind in ((3, 0), (0, 2), (1, 4)):
        rows, mask, place = padded(ids[:1], before, behind)
        if not np.array_equal(logits(model, rows, mask=mask)[1:2, place], alone[0]):
            found.append(f"{before} of padding in front and {behind} behind")
    return found


def random_ids(model):
    return np.random.default_rng(0).integers(0, model.spec.vocab_size, (65, 9))


@pytest.mark.parametrize("name", FAMILIES)
def test_logits_of_every_family(name):
    model = load(name)
    with lfs.batch_invariant():
        assert differences(model, random_ids(model), chunked=name not in STRETCHED) == []


def test_a_context_read_in_both_directions():
    model = load("glm130b")
    ids = random_ids(model)
    with lfs.batch_invariant():
        alone = [logits(model, row[None], prefix_length=5) for row in ids]
        assert not np.array_equal(alone[0], logits(model, ids[:1]))
        for count in (2, 64, 65):
            assert np.array_equal(logits(model, ids[:count], prefix_length=5), np.concatenate(alone[:count]))
        memory = model.new_memory(1)
        first = logits(model, ids[:1, :5], memory=memory, prefix_length=5)
        later = [logits(model, ids[:1, t : t + 1], memory=memory) for t in range(5, 9)]
        assert np.array_equal(np.concatenate([first, *later], axis=1), alone[0])


ATTENTION, MLP = AttentionSpec(32, 2, 2, 16), FeedForwardSpec(32, 64, "silu", gated=True)
MIXERS = {
    "relative attention": (RelativeAttentionSpec(32, 2, 2, 16), MLP),
    "Hyena, a few modes": (HyenaSpec(32, ModalFilterSpec(2)), MLP),
    "Hyena, many modes": (HyenaSpec(32, ModalFilterSpec(40)), MLP),
    "Hyena, a network": (HyenaSpec(32, ImplicitFilterSpec(16)), MLP),
    "one expert of five": (ATTENTION, MixtureSpec(MLP, experts=5, chosen=1)),
    "ALiBi": (AttentionSpec(32, 2, 1, 16, slopes=(0.5, 0.25)), FeedForwardSpec(32, 64)),
}


def composed(name):
    block = LayerSpec.sequential(*MIXERS[name], NormSpec(32, "rms"))
    spec = lfs.ModelSpec(vocab_size=41, hidden_size=32, layers=(block,) * 2, norm=NormSpec(32), context_length=16)
    return lfs.Decoder(spec, np.random.default_rng(1))


@pytest.mark.parametrize("name", MIXERS)
def test_logits_of_mixers_that_no_fixture_has(name):
    model = composed(name)
    with lfs.batch_invariant():
        assert differences(model, random_ids(model)) == []


@pytest.mark.parametrize("method", ["rtn", "nf4", "int8"])
def test_logits_of_quantised_models(method):
    model = composed("one expert of five")
    lfs.compression.quantize_model(model, method, group_size=32)
    assert any(isinstance(module, PackedLinear) for _, module in model.named_modules())
    with lfs.batch_invariant():
        assert differences(model, random_ids(model)) == []


def test_outliers_of_int8_are_those_of_each_row():
    layer = Int8Linear.of(Linear(64, 32, rng=np.random.default_rng(0)))
    x = np.random.default_rng(1).normal(size=(5, 64)).astype(np.float32)
    x[1, 3], x[3, [3, 40]] = 9, -7
    with lfs.batch_invariant():
        alone = [layer(lfs.Tensor(row[None])).data for row in x]
        together = layer(lfs.Tensor(x)).data
    assert np.array_equal(together, np.concatenate(alone))
    np.testing.assert_allclose(together[1], layer(lfs.Tensor(x[1:2])).data[0], rtol=0, atol=1e-6)
    x[2, 5] = np.inf
    with lfs.batch_invariant(), pytest.raises(ValueError, match="not finite"):
        layer(lfs.Tensor(x))


@pytest.mark.parametrize("name", ["tied", "untied"])
@pytest.mark.parametrize("packed", [True, False])
def test_logits_of_gguf_files(name, packed):
    model = lfs.from_pretrained(HERE / "fixtures" / "gguf" / f"{name}.gguf", packed=packed)
    assert packed == any(isinstance(module, PackedLinear) for _, module in model.named_modules())
    with lfs.batch_invariant():
        assert differences(model, random_ids(model)) == []


A = lfs.adapters
ADAPTERS = {
    "LoRA": lambda model: A.add_lora(model, rank=3, targets="all-linear"),
    "LoRA on the embedding": lambda model: A.add_lora(model, rank=3, targets=("embedding", "head", "query")),
    "DoRA": lambda model: A.add_lora(model, rank=3, targets="all-linear", decomposed=True),
    "(IA)3": A.add_ia3,
    "bottleneck": lambda model: A.add_bottleneck(model, size=5),
    "BitFit": A.train_biases,
    "prefix": lambda model: A.add_prefix(model, length=3),
    "prefix by a network": lambda model: A.add_prefix(model, length=3, reparametrized=True),
    "prompt": lambda model: A.add_prompt(model, length=3),
}


def adapted(model, name):
    """With an adapter of random numbers."""
    ADAPTERS[name](model)
    rng = np.random.default_rng(3)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * rng.normal(size=parameter.shape).astype(np.float32)
    return model


@pytest.mark.parametrize("name", ADAPTERS)
def test_logits_of_adapted_models(name):
    model = load("opt_untied" if name == "BitFit" else "llama_gqa")
    plain = logits(model, random_ids(model)[:1])
    adapted(model, name)
    with lfs.batch_invariant():
        assert np.abs(logits(model, random_ids(model)[:1]) - plain).max() > 1e-3
        assert differences(model, random_ids(model)) == []
        if name in ("LoRA", "DoRA", "(IA)3"):
            lfs.merge_adapter(model)
            assert differences(model, random_ids(model)) == []
            lfs.unmerge_adapter(model)
            assert differences(model, random_ids(model)) == []


def test_logits_of_lora_beside_packed_matrices():
    model = adapted(lfs.from_pretrained(HERE / "fixtures" / "gguf" / "tied.gguf"), "LoRA")
    with lfs.batch_invariant():
        assert differences(model, random_ids(model)) == []


def models_for_threads():
    yield load("llama_gqa")
    yield load("stripedhyena")
    yield load("mamba_tied")
    yield lfs.from_pretrained(HERE / "fixtures" / "gguf" / "tied.gguf")
    yield adapted(load("llama_tied"), "LoRA")


def test_threads_change_nothing(monkeypatch):
    for module, name in ((row_products, "ALONE"), (whole_attention, "ALONE"), (packed, "WORTH_SHARING")):
        monkeypatch.setattr(module, name, 0)
    for model in models_for_threads():
        ids, found = np.random.default_rng(0).integers(0, model.spec.vocab_size, (2, 40)), []
        for threads in (1, 2, 3):
            monkeypatch.setattr(sharing, "product_threads", lambda n=threads: n)
            with lfs.batch_invariant():
                found += [logits(model, ids), by_chunks(model, ids, [0, 39, 40])]
        assert all(np.array_equal(found[0], other) for other in found[1:])


def test_without_the_switch_rows_do_differ_and_inside_it_is_seen_that_they_would():
    model, ids = load("llama_gqa"), np.random.default_rng(0).integers(0, 30, (65, 9))
    assert differences(model, ids)
    with lfs.batch_invariant(), lfs.batch_invariant(False):
        assert differences(model, ids)


@pytest.mark.parametrize("name", ["llama_gqa", "glm130b", "stripedhyena", "mamba_tied", "mixtral_top2", "tied.gguf"])
def test_a_text_that_is_written_does_not_depend_on_its_neighbours(name):
    model = lfs.from_pretrained(HERE / "fixtures" / "gguf" / name) if name.endswith("gguf") else load(name)
    ids = random_ids(model)[:5]
    with lfs.batch_invariant():
        together = model.generate(ids, max_new_tokens=8, temperature=0.0)
        for n in range(5):
            alone = model.generate(ids[n : n + 1], max_new_tokens=8, temperature=0.0)[0]
            assert np.array_equal(together[n, : len(alone)], alone)


@pytest.mark.parametrize("wanted", [1, None, "yes"])
def test_the_switch_takes_booleans(wanted):
    with pytest.raises(TypeError, match="switched by True or False"), lfs.batch_invariant(wanted):
        pass


def test_rows_one_by_one_and_together_have_the_bits_of_a_sum_from_left_to_right():
    rng = np.random.default_rng(5)
    for depth, outputs in ((1, 1), (33, 70), (257, 65), (300, 530), (16, 2049)):
        x, matrix = (
            rng.normal(size=(70, depth)).astype(np.float32),
            rng.normal(size=(depth, outputs)).astype(np.float32),
        )
        for layout in (matrix, np.ascontiguousarray(matrix.T).T, np.repeat(matrix, 2, axis=1)[:, ::2]):
            together = row_product(x, layout)
            for count in (1, 2, 3, 15, 16, 17, 64):
                assert np.array_equal(row_product(x[:count], layout), together[:count])
            assert np.array_equal(together, row_product(x, matrix))  # however the matrix lies


def test_some_rows_of_a_large_matrix_are_read_in_place(monkeypatch):
    """Without the switch, too; all else is left to BLAS, which is faster there."""
    taken, rng = [], np.random.default_rng(6)
    seen = "llm_from_scratch.kernels.row_products.row_product"
    monkeypatch.setattr(seen, lambda x, matrix: taken.append(len(x)) or row_product(x, matrix))
    for dtype, most in (("float32", 1e-5), ("float64", 1e-13)):
        matrix = rng.normal(size=(300, 900)).astype(dtype)
        for count in range(1, 12):
            x = rng.normal(size=(count, 300)).astype(dtype)
            y = product(x, matrix)
            assert y.dtype == dtype and np.abs(y - x.astype(float) @ matrix).max() < most * 300
    assert taken == [*range(2, 9)] * 2
    taken.clear()
    x = rng.normal(size=(4, 300))
    for a, b in ((x, matrix[:, :800]), (x, matrix[:, :600].copy()), (x.astype("f4"), matrix), (x[None], matrix)):
        np.testing.assert_allclose(product(a, b), a @ b, rtol=1e-12)
    assert not taken


def test_the_twins_refuse(monkeypatch):
    monkeypatch.setenv("LLM_FROM_SCRATCH_KERNELS", "numpy")
    with pytest.raises(RuntimeError, match="needs the compiled kernels"), lfs.batch_invariant():
        pass
    with lfs.batch_invariant(False):
        pass
