"""GLM-130B: blank infilling against the authors' module, who sees whom, gradients, initialisation, training."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.checkpoints import Decoder
from llm_from_scratch.data import BlankTokens, infilling_batch, mask_rest, mask_spans
from llm_from_scratch.files.sharded import read_safetensors
from llm_from_scratch.generation import generate_blank
from llm_from_scratch.training import evaluate
from llm_from_scratch.zoo import choices

FIXTURE = Path(__file__).parent / "author_fixtures" / "glm130b"
TINY: dict[str, Any] = dict(vocab_size=13, hidden_size=8, num_layers=2, num_attention_heads=2, inner_hidden_size=6)
SPECIAL = BlankTokens(mask=1, gmask=2, start=3, end=4)


def double(seed: int = 0, **settings: Any) -> Decoder:
    """A tiny model with every parameter random, in float64."""
    model = lfs.build("glm", dtype=np.float64, **{**TINY, **settings})
    rng = np.random.default_rng(seed)
    for name, parameter in model.named_parameters():
        noise = rng.normal(size=parameter.shape)
        parameter.data = 0.5 * noise if parameter.ndim == 2 else 0.3 * noise + name.endswith("norm.weight")
    return model


@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 2e-4), (np.float64, 2e-5)])
@pytest.mark.parametrize("kind", ["gmask", "mask"])
def test_blank_infilling_as_the_authors_compute_it(kind: str, dtype: Any, tolerance: float) -> None:
    model, frozen = lfs.from_pretrained(FIXTURE, dtype=dtype), read_safetensors(FIXTURE / "reference.safetensors")
    ids, context = frozen["input_ids"], int(frozen["context_length"]) - 1  # theirs counts the start token
    settings = {"positions": frozen[f"{kind}_positions"], "prefix_length": context}
    expected = frozen[f"{kind}_logits"]
    assert np.abs(expected).max() > 100 * 2e-4
    np.testing.assert_allclose(model(ids, **settings).data, expected, rtol=0, atol=tolerance)
    for wrong in ({**settings, "prefix_length": context + 1}, {**settings, "prefix_length": context - 1}, {}):
        assert np.abs(model(ids, **wrong).data - expected).max() > 0.01
    i, j = np.mgrid[: ids.shape[1], : ids.shape[1]]
    np.testing.assert_array_equal(frozen[f"{kind}_blocked"].astype(bool), (j > i) & (j >= context))


@pytest.mark.parametrize("kind", ["gmask", "mask"])
def test_the_context_in_one_chunk_and_the_rest_in_any_pieces(kind: str) -> None:
    model = lfs.from_pretrained(FIXTURE, dtype=np.float64)
    frozen = read_safetensors(FIXTURE / "reference.safetensors")
    ids, positions, context = frozen["input_ids"], frozen[f"{kind}_positions"], int(frozen["context_length"]) - 1
    whole = model(ids, positions=positions, prefix_length=context).data
    for borders in ([0, context, 37], [0, context, 20, 21, 22, 37], [0, context + 3, 30, 37]):
        memory = model.new_memory(2)
        for a, b in zip(borders, borders[1:]):
            prefix = context if a == 0 else None
            got = model.step(ids[:, a:b], memory, positions=positions[:, a:b], prefix_length=prefix)
            np.testing.assert_allclose(got, whole[:, b - 1], rtol=0, atol=1e-11)
    memory.crop(25)
    memory.select([1, 0])
    got = model.step(ids[::-1, 25:], memory, positions=positions[::-1, 25:])
    np.testing.assert_allclose(got, whole[::-1, -1], rtol=0, atol=1e-11)


def test_a_context_in_pieces_is_refused() -> None:
    model, ids = double(), np.arange(6)[None]
    memory = model.new_memory()
    model.step(ids[:, :3], memory, prefix_length=3)
    with pytest.raises(ValueError, match="enters as one chunk.* holds 3 tokens, and prefix_length is 4"):
        model.step(ids[:, 3:], memory, prefix_length=4)
    assert memory.length == 3
    model.step(ids[:, 3:], memory, prefix_length=3)  # repeats what holds anyway


def reaches(model: Decoder, example: Any, place: int) -> set[int]:
    """The positions whose logits change when the token at `place` does."""
    settings = {"positions": example.positions, "prefix_length": example.prefix_length}
    ids = example.ids[None].copy()
    before = model(ids, **settings).data
    ids[0, place] = 5 + (ids[0, place] - 4) % 8
    change = np.abs(model(ids, **settings).data - before).max(axis=(0, 2))
    assert np.all((change == 0) | (change > 1e-9))
    return set(np.flatnonzero(change).tolist())


def test_who_sees_whom() -> None:
    model, text = double(), [5, 6, 7, 8, 9, 10, 11]
    for example in (mask_rest(text, 3, SPECIAL), mask_spans(text, [(4, 6), (1, 2)], SPECIAL)):
        context, count = example.prefix_length, len(example.ids)
        for place in range(count):
            expected = set(range(count)) if place < context else set(range(place, count))
            assert reaches(model, example, place) == expected  # nothing leaks from a span into the context


def test_padding_and_neighbours_change_nothing() -> None:
    model = double()
    texts = [[5, 6, 7, 8, 9, 10, 11], [9, 7], [12, 12, 5, 6, 8]]
    batch = infilling_batch(texts, SPECIAL, np.random.default_rng(3), short=0.6)
    wide = infilling_batch(texts, SPECIAL, np.random.default_rng(3), short=0.6, length=20)
    assert not batch["mask"].all() and wide["ids"].shape == (3, 20)
    alone = 0.0
    for row, n in enumerate(batch["mask"].sum(axis=1)):
        single = {k: v[row : row + 1] if k == "prefix_length" else v[row : row + 1, :n] for k, v in batch.items()}
        alone += model.loss({k: v for k, v in single.items() if k != "mask"}, normaliser=1).item()
    together = model.loss(batch, normaliser=1).item()
    assert alone == pytest.approx(together, rel=1e-12) and together > 1
    assert model.loss(wide).item() == pytest.approx(model.loss(batch).item(), rel=1e-12)
    filled = {**batch, "ids": np.where(batch["mask"], batch["ids"], 11)}
    assert (filled["ids"] != batch["ids"]).any() and model.loss(filled).item() == model.loss(batch).item()


def test_every_parameter_against_central_differences() -> None:
    model = double(hidden_size=4, inner_hidden_size=3)
    batch = infilling_batch([[5, 6, 7, 8, 9], [10, 11, 12]], SPECIAL, np.random.default_rng(1), short=0.5)
    names, parameters = zip(*model.named_parameters(), strict=True)
    assert lfs.gradcheck(lambda *_: model.loss(batch), *parameters, names=names) < 1e-6


def test_the_gradient_of_the_embedding_is_shrunk_and_that_of_the_head_is_not() -> None:
    batch = infilling_batch([[5, 6, 7, 8, 9], [10, 11, 12]], SPECIAL, np.random.default_rng(1))

    def gradients(scale: float) -> tuple[float, dict[str, np.ndarray]]:
        model = double(embedding_gradient_scale=scale)
        loss = model.loss(batch)
        loss.backward()
        return loss.item(), {name: p.grad for name, p in model.named_parameters()}

    (loss, full), (same, tenth), (_, none) = gradients(1.0), gradients(0.1), gradients(0.0)
    assert same == loss  # to the last bit: only the way back differs
    # The tied matrix looked up and the tied matrix as head, apart: the head's share by hand, softmax minus target.
    model = double()
    with model.record() as seen:
        logits = model(batch["ids"], **{k: batch[k] for k in ("mask", "positions", "prefix_length")}).data
    p = np.exp(logits - logits.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    real = batch["targets"] != -100
    p[real, batch["targets"][real]] -= 1
    head = (p[real] / real.sum()).T @ seen["hidden"][-1][real]
    lookup = full["embedding.weight"] - head
    assert np.abs(head).max() > 0.1 and np.abs(lookup).max() > 1e-3
    np.testing.assert_allclose(none["embedding.weight"], head, rtol=0, atol=1e-12)
    np.testing.assert_allclose(tenth["embedding.weight"], head + 0.1 * lookup, rtol=0, atol=1e-12)
    for name in full.keys() - {"embedding.weight"}:
        np.testing.assert_array_equal(tenth[name], full[name])
    assert lfs.spec("glm-130b").embedding_gradient_scale == 0.1 and lfs.spec("glm").embedding_gradient_scale == 1.0
    for scale in (-0.1, 1.5):
        with pytest.raises(ValueError, match="embedding_gradient_scale must"):
            double(embedding_gradient_scale=scale)


def test_shards_in_threads_and_evaluation_take_such_batches() -> None:
    texts = [[5, 6, 7, 8, 9], [10, 11, 12], [6, 7, 12, 12], [9, 8, 7, 6, 5, 5]]
    batch = infilling_batch(texts, SPECIAL, np.random.default_rng(2), short=0.5)
    whole, sharded = double(), double()
    loss = whole.loss(batch)
    loss.backward()
    assert lfs.accumulate_gradients(sharded, **batch, threads=2) == pytest.approx(loss.item(), rel=1e-12)
    for (name, one), other in zip(whole.named_parameters(), sharded.parameters(), strict=True):
        np.testing.assert_allclose(other.grad, one.grad, rtol=0, atol=1e-12, err_msg=name)
    assert evaluate(whole, [batch], threads=2)["loss"] == pytest.approx(loss.item(), rel=1e-12)
    with pytest.raises(ValueError, match="prefix_length has 3 rows, ids 4"):
        lfs.accumulate_gradients(sharded, **{**batch, "prefix_length": np.zeros(3, int)})


def test_initialisation_has_deepnorm_s_gain() -> None:
    depth, d, inner = 8, 192, 512
    model = lfs.build(
        "glm", vocab_size=50, hidden_size=d, num_layers=depth, num_attention_heads=4, inner_hidden_size=inner
    )
    beta = 1 / math.sqrt(2 * depth)
    for name, gain, outputs in [
        ("mixer.query", 1.0, d),
        ("mixer.key", 1.0, d),
        ("mixer.value", beta, d),
        ("mixer.output", beta, d),
        ("feed_forward.gate", beta, inner),
        ("feed_forward.up", beta, inner),
        ("feed_forward.down", beta, inner),
    ]:
        weights = [dict(model.named_parameters())[f"layers.{i}.{name}.weight"].data for i in range(depth)]
        assert np.std(weights) == pytest.approx(gain * math.sqrt(2 / (d + outputs)), rel=0.02), name
    assert all(np.all(p.data == 0) for n, p in model.named_parameters() if n.endswith("bias"))


def test_the_design_and_its_number_of_parameters() -> None:
    spec = lfs.spec("glm-130b")
    branches = [branch for layer in spec.layers for branch in layer.branches]
    assert all(branch.alpha == math.sqrt(140) and branch.residual_is_normed for branch in branches)
    words = choices(spec)
    assert words["placement"] == "pre, normed residual × 11.8" and words["feed-forward"] == "GeGLU"
    assert words["biases"] == "everywhere" and words["head"] == "tied" and words["positions"] == "rotary"
    d, f, depth, vocabulary = 12288, 32768, 70, 150528
    layer = 4 * d * d + 4 * d + 3 * d * f + 2 * f + d + 4 * d
    assert Decoder(spec).parameter_count == vocabulary * d + depth * layer + 2 * d


@pytest.mark.parametrize(
    "change, message",
    [
        ({"position_encoding_2d": True}, "position_encoding_2d True is not supported; supported: False"),
        ({"layernorm_order": "pre"}, "layernorm_order 'pre' is not supported; supported: 'post'"),
        ({"num_attention_heads": 3}, "hidden_size 8 is not a multiple of num_attention_heads 3"),
        ({"num_attention_heads": 8}, "the width of a head must be even, not 1"),
        ({"deepnorm_alpha": 0.0}, "deepnorm_alpha must be a finite number above 0"),
        ({"num_hidden_layers": 40}, "the option num_hidden_layers = 40 is not known here"),  # another GLM's key
    ],
)
def test_other_models_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lfs.spec({"model_type": "glm130b", **TINY, **change})


def test_it_learns_to_fill_blanks_and_comes_back_from_disk(tmp_path: Path) -> None:
    """Texts count upwards from a random number: a blank of any length can be filled, if its surroundings are seen."""
    rng = np.random.default_rng(0)
    settings = dict(vocab_size=21, hidden_size=32, num_layers=2, num_attention_heads=2, inner_hidden_size=64)
    model = lfs.build("glm", seed=1, **settings)
    optimizer = lfs.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    losses = []
    for _ in range(150):
        texts = 5 + (rng.integers(0, 16, (16, 1)) + np.arange(8)) % 16
        optimizer.zero_grad()
        loss = model.loss(infilling_batch(texts, SPECIAL, rng, short=0.5, share=0.3))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 2 and np.mean(losses[-10:]) < 0.3 * losses[0]
    contexts = [[7, 8, SPECIAL.mask, 10, 11, 12, 13, 14], [9, 10, 11, SPECIAL.mask, 14, 15, 16, 17], [6, 7, 8, 2]]
    written = generate_blank(model, contexts, SPECIAL, max_new_tokens=6, temperature=0.0)
    assert written[0] == [9] and written[1] == [12, 13] and written[2][:4] == [9, 10, 11, 12]
    model.save_pretrained(tmp_path)
    again = lfs.from_pretrained(tmp_path)
    assert all(np.array_equal(a.data, b.data) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert again.spec == model.spec
    assert generate_blank(again, contexts, SPECIAL, max_new_tokens=6, temperature=0.0) == written
