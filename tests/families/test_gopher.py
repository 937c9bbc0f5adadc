"""Gopher and Chinchilla: the whole model against plain NumPy, gradients, printed parameter counts, memory and disk."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.checkpoints import Decoder, export_weights
from llm_from_scratch.families import find_family
from llm_from_scratch.scaling import CHINCHILLA_TABLE
from llm_from_scratch.zoo import choices, costs, details

TINY: dict[str, Any] = dict(vocab_size=11, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, head_dim=3)

PRINTED = [(row.millions, row.width, row.head_width, row.heads, row.layers) for row in CHINCHILLA_TABLE]


def missed(**changes: Any) -> list[int]:
    """The printed counts that are not what a model of that shape has, rounded to millions."""
    wrong = []
    for millions, *shape in PRINTED:
        keys = ("hidden_size", "head_dim", "num_attention_heads", "num_hidden_layers")
        spec = lfs.spec({"model_type": "chinchilla", **dict(zip(keys, shape, strict=True)), **changes})
        if round(Decoder(spec).parameter_count / 1e6) != millions:
            wrong.append(millions)
    return wrong


def test_the_printed_parameter_counts_say_where_the_biases_are() -> None:
    assert len(PRINTED) == 50
    assert missed() == [2980]  # 2,979.48: sixteen thousand short
    assert len(missed(attention_bias=True)) >= 5 and len(missed(mlp_bias=False)) >= 5
    assert len(missed(attention_output_bias=False)) >= 3 and len(missed(tie_word_embeddings=False)) == 50


def formula(d: int, heads: int, head_dim: int, depth: int) -> int:
    a = heads * head_dim
    layer = 5 * d * a + 2 * a + d + 8 * d * d + 5 * d + 2 * d  # q, k, v, r, o; u, v; o's bias; two matrices; two norms
    return 32000 * d + depth * layer + d


@pytest.mark.parametrize(
    "name, shape, billions, digits",
    [
        ("gopher-44m", (512, 16, 32, 8), 0.044, 3),
        ("gopher-117m", (768, 12, 64, 12), 0.117, 3),
        ("gopher-417m", (1536, 12, 128, 12), 0.417, 3),
        ("gopher-1.4b", (2048, 16, 128, 24), 1.4, 1),
        ("gopher-7.1b", (4096, 32, 128, 32), 7.1, 1),
        ("gopher-280b", (16384, 128, 128, 80), 280, 0),
        ("chinchilla-70b", (8192, 64, 128, 80), 70, 0),
    ],
)
def test_sizes_as_published(name: str, shape: tuple[int, ...], billions: float, digits: int) -> None:
    count = Decoder(lfs.spec(name)).parameter_count
    assert count == formula(*shape) and round(count / 1e9, digits) == billions


def test_the_design() -> None:
    words = choices(lfs.spec("chinchilla-70b"))
    assert words["norm"] == "RMSNorm" and words["placement"] == "pre" and words["positions"] == "relative"
    assert words["mixer"] == "multi-head" and words["feed-forward"] == "GELU" and words["head"] == "tied"
    assert words["biases"] == "output, feed-forward"
    assert details(lfs.spec("gopher-44m"))["width of a head"] == "32"
    assert find_family("chinchilla") is find_family("gopher")


def double(seed: int = 0, **settings: Any) -> Decoder:
    """A tiny model with every parameter random, in float64."""
    model = lfs.build("gopher", dtype=np.float64, **{**TINY, **settings})
    rng = np.random.default_rng(seed)
    for name, parameter in model.named_parameters():
        parameter.data = 0.5 * rng.normal(size=parameter.shape) + name.endswith("norm.weight")
    return model


def plain(weights: dict[str, np.ndarray], ids: np.ndarray, heads: int) -> np.ndarray:
    """The whole model from its stored tensors and the formulas, one row and one pair of tokens at a time."""
    erf = np.vectorize(math.erf)
    w = {key.removeprefix("model."): value for key, value in weights.items()}
    length, d = len(ids), w["embed_tokens.weight"].shape[1]

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * w[name]

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ w[name + ".weight"].T + w.get(name + ".bias", 0.0)

    x = w["embed_tokens.weight"][ids]
    angles = np.arange(length)[:, None] / 10000 ** (np.arange(0, d, 2) / d)
    encoding = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    for i in range(2):
        at = f"layers.{i}."
        h = norm(x, at + "input_layernorm.weight")
        q, k, v = (linear(h, f"{at}self_attn.{part}_proj").reshape(length, heads, -1) for part in "qkv")
        r = linear(encoding, at + "self_attn.r_proj").reshape(length, heads, -1)
        content, position = (w[f"{at}self_attn.{name}_bias"].reshape(heads, -1) for name in ("content", "position"))
        mixed = np.zeros(q.shape)
        for t, a in np.ndindex(length, heads):
            terms = [(q[t, a] + content[a]) @ k[j, a] + (q[t, a] + position[a]) @ r[t - j, a] for j in range(t + 1)]
            p = np.exp(np.array(terms) / math.sqrt(q.shape[2]))
            mixed[t, a] = p / p.sum() @ v[: t + 1, a]
        x = x + linear(mixed.reshape(length, -1), at + "self_attn.o_proj")
        h = linear(norm(x, at + "post_attention_layernorm.weight"), at + "mlp.up_proj")
        x = x + linear(h * (1 + erf(h / math.sqrt(2))) / 2, at + "mlp.down_proj")
    return norm(x, "norm.weight") @ weights.get("lm_head.weight", w["embed_tokens.weight"]).T


@pytest.mark.parametrize(
    "settings",
    [{}, {"attention_bias": True, "attention_output_bias": False, "mlp_bias": False, "tie_word_embeddings": False}],
)
def test_the_whole_model_against_plain_numpy(settings: dict[str, Any]) -> None:
    model = double(**settings)
    ids = np.random.default_rng(1).integers(0, 11, (2, 9))
    expected = np.stack([plain(export_weights(model), row, 2) for row in ids])
    assert np.abs(expected).max() > 3
    np.testing.assert_allclose(model(ids).data, expected, rtol=0, atol=1e-12)


def test_every_parameter_against_central_differences() -> None:
    model = double(1, hidden_size=4, num_attention_heads=2, head_dim=2, intermediate_size=5, attention_bias=True)
    rng = np.random.default_rng(2)
    batch = {"ids": rng.integers(0, 11, (2, 5)), "targets": rng.integers(0, 11, (2, 5))}
    batch["mask"] = np.array([[1, 1, 1, 1, 1], [0, 1, 1, 1, 1]])
    batch["targets"][1, 0] = -100
    names, parameters = zip(*model.named_parameters(), strict=True)
    floor = 1e-4  # for the key's bias, which adds the same to all scores of a query: its gradient is zero
    model.loss(batch).backward()
    for name, parameter in zip(names, parameters, strict=True):
        assert name.endswith("key.bias") or np.abs(parameter.grad).max() > 10 * floor, name
    assert lfs.gradcheck(lambda *_: model.loss(batch), *parameters, names=names, floor=floor) < 1e-6


def test_pieces_padding_and_documents() -> None:
    model = double()
    ids = np.random.default_rng(3).integers(0, 11, (2, 40))
    with lfs.no_grad():
        whole = model(ids).data
        for borders in ([0, 1, 2, 17, 40], [0, 39, 40], [0, 25, 26, 40]):
            memory = model.new_memory(2)
            parts = [model(ids[:, a:b], memory=memory).data for a, b in zip(borders, borders[1:])]
            np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, rtol=0, atol=1e-12)
        memory.crop(20)
        memory.select([1])
        np.testing.assert_allclose(model.step(ids[1:, 20:23], memory), whole[1:, 22], rtol=0, atol=1e-12)
        mask = np.arange(40) >= np.array([[0], [12]])
        padded = model(ids, mask=mask).data[1, 12:]
        np.testing.assert_allclose(padded, model(ids[1:, 12:]).data[0], rtol=0, atol=1e-12)
        segments = np.repeat([[0, 1, 2]], [10, 25, 5], axis=1)
        packed = model(ids[:1], segments=segments).data[0, 10:35]
        np.testing.assert_allclose(packed, model(ids[:1, 10:35]).data[0], rtol=0, atol=1e-12)
        for refused in ({"prefix_length": 4}, {"mask": np.arange(40)[None] % 7 != 3}, {"positions": 2 * np.arange(40)}):
            with pytest.raises(ValueError, match="relative attention"):
                model(ids[:1], **refused)


def test_greedy_tokens_with_memory_and_padding_are_those_of_running_everything_again() -> None:
    model = double(tie_word_embeddings=False)  # a random tied model repeats itself
    prompts = [[3, 1, 4, 1, 5], [9, 2]]
    expected = []
    for prompt in prompts:
        ids = list(prompt)
        for _ in range(8):
            ids.append(int(model(np.array([ids])).data[0, -1].argmax()))
        expected.append(ids[len(prompt) :])
    left = np.array([[3, 1, 4, 1, 5], [0, 0, 0, 9, 2]])
    made = model.generate(left, mask=left > 0, max_new_tokens=8, temperature=0.0)
    assert made[:, 5:].tolist() == expected and len(set(expected[0])) > 1


def test_save_load_and_train(tmp_path: Path) -> None:
    model = lfs.build("chinchilla", seed=3, **TINY)
    assert model.config["model_type"] == "gopher" and model.config["architectures"] == ["GopherForCausalLM"]
    optimizer = lfs.AdamW(model.parameters(), lr=1e-2)
    ids = (np.arange(12) + np.arange(8)[:, None]) % 11
    first = last = model.loss({"ids": ids[:, :-1], "targets": ids[:, 1:]}).item()
    for _ in range(60):
        optimizer.zero_grad()
        loss = model.loss({"ids": ids[:, :-1], "targets": ids[:, 1:]})
        loss.backward()
        optimizer.step()
        last = loss.item()
    assert last < 0.3 * first
    model.save_pretrained(tmp_path)
    again = lfs.from_pretrained(tmp_path)
    state = again.state_dict()
    assert all(np.array_equal(state[name], value) for name, value in model.state_dict().items())
    assert again.spec == model.spec and again(ids).data.tobytes() == model(ids).data.tobytes()


def test_costs_count_the_distances() -> None:
    model = lfs.build("gopher", **TINY)
    bill, memory = costs(model.spec, length=7), model.new_memory(1)
    model.step(np.zeros((1, 7), int), memory)
    assert bill.memory_per_token == 2 * 3 * 6 * 2  # layers · (key, value, distance) · width · bfloat16
    assert memory.nbytes == 7 * 2 * bill.memory_per_token  # float32 here
    assert bill.attention_flops_per_token == 2 * 3 * 2 * 6 * 4


@pytest.mark.parametrize(
    "change, message",
    [
        ({"hidden_size": 9, "head_dim": 3}, "even hidden_size, not 9"),
        ({"num_attention_heads": 3, "head_dim": None}, "hidden_size 8 is not a multiple of num_attention_heads 3"),
        ({"num_key_value_heads": 1}, "the option num_key_value_heads = 1 is not known"),
        ({"rope_theta": 1e4}, "the option rope_theta"),
        ({"hidden_act": "quick"}, "hidden_act 'quick' is not supported"),
    ],
)
def test_configs_are_checked(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lfs.spec({"model_type": "gopher", **TINY, **change})
