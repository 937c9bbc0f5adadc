"""What ends and begins a text: the same for model.generate, the command generate, and chat, whatever file says it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.cli.chat import Conversation
from llm_from_scratch.cli.generate import continue_text
from llm_from_scratch.files.gguf_writing import write_gguf
from llm_from_scratch.generation import Sampling
from llm_from_scratch.tokenizers.chat_template import ChatTemplate

SIZES: dict[str, Any] = dict(
    hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, max_position_embeddings=64
)
SPECIAL = ["<s>", "<pad>", "</s>"]


def _saying(token: int, size: int = 264, family: str = "llama", **config: Any) -> Any:
    """A model that says one token for ever."""
    model = lfs.build(family, vocab_size=size, **SIZES, **config)
    for name, parameter in model.named_parameters():
        parameter.data = np.full_like(parameter.data, name in ("embedding.weight", "norm.weight"))
    model.head.weight.data[:, token] = 1
    return model


def _tokenizer(*more: str, **roles: str) -> Any:
    special = [*SPECIAL, *more]
    return lfs.Tokenizer.train("hello " * 20, 264, special_tokens=special, roles=roles or None)


def _said(model: Any, tokenizer: Any) -> tuple[int, int, int]:
    """How many tokens come by each of the three ways, the end not counted."""
    out = model.generate([[9, 8]], max_new_tokens=5, temperature=0.0)[0, 2:].tolist()
    told = continue_text(model, tokenizer, "hello", max_new_tokens=5, temperature=0.0)[1]
    chat = Conversation(model, tokenizer, ChatTemplate("{{ messages[0].content }}"), Sampling(0.0))
    chat.ask("hello", 5)
    return len(out) - (out[-1] in model.end_tokens), told, int(chat.speed["tokens"])


@pytest.mark.parametrize(
    "config, generation, ends",
    [
        ({"eos_token_id": [2, 7]}, None, (2, 7)),
        ({"eos_token_id": 7}, None, (7,)),
        ({"eos_token_id": 2}, {"eos_token_id": [7, 9]}, (7, 9)),  # the second file has the last word
        ({"eos_token_id": [2, 7]}, {"temperature": 0.6, "do_sample": True}, (2, 7)),
        ({"eos_token_id": 7}, {"eos_token_id": None}, (7,)),
        ({}, {"eos_token_id": [10**6, -1, 7]}, (7,)),  # what is beyond the vocabulary can never be said
        ({"bos_token_id": 7, "eos_token_id": 7}, None, (7,)),
    ],
)
def test_every_id_of_either_file_ends_a_text(
    config: dict[str, Any], generation: Any, ends: tuple[int, ...], tmp_path: Path
) -> None:
    _saying(7, **config).save_pretrained(tmp_path)
    if generation is not None:
        (tmp_path / "generation_config.json").write_text(json.dumps(generation), encoding="utf-8")
    model = lfs.from_pretrained(tmp_path)
    assert model.end_tokens == ends and _said(model, _tokenizer()) == (0, 0, 0)
    model.save_pretrained(tmp_path / "again")
    again = lfs.from_pretrained(tmp_path / "again")
    assert again.end_tokens == ends and again.generation_config == (generation or {})


def test_nothing_else_ends_one() -> None:
    tokenizer = _tokenizer()
    assert _said(_saying(8, eos_token_id=[2, 7]), tokenizer) == (5, 5, 5)
    assert _said(_saying(8), tokenizer) == (5, 5, 5)
    assert _said(_saying(1), tokenizer) == (5, 5, 5)  # <pad> is special, and no end


def test_what_the_caller_names_counts_instead() -> None:
    model = _saying(7, eos_token_id=[2, 7])
    settings: dict[str, Any] = dict(max_new_tokens=4, temperature=0.0)
    assert model.generate([[9]], stop_tokens=(), **settings).shape == (1, 5)
    assert model.generate([[9]], stop_tokens=[2], **settings).shape == (1, 5)
    assert model.generate([[9]], **settings).tolist() == [[9, 7]]


@pytest.mark.parametrize("end", ["<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>", "<|endoftext|>"])
def test_a_turn_ends_with_a_token_of_that_name_although_no_file_says_so(end: str) -> None:
    tokenizer = _tokenizer(end, eos="</s>")
    model = _saying(3, eos_token_id=2)
    assert _said(model, tokenizer)[1:] == (0, 0)


@pytest.mark.parametrize("value", [True, "7", [2, 7.0], {"a": 1}])
def test_ends_that_are_no_ids_are_refused(value: Any, tmp_path: Path) -> None:
    _saying(7).save_pretrained(tmp_path)
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": value}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"generation_config\.json: eos_token_id must be a token id, a list"):
        lfs.from_pretrained(tmp_path)


def test_without_a_prompt_a_text_begins_as_the_model_says() -> None:
    tokenizer = lfs.Tokenizer.train("hello " * 20, 264, special_tokens=["<x>"])
    assert tokenizer.bos_id is None
    seen: list[list[int]] = []
    model = _saying(9, bos_token_id=5)
    step = model.step
    model.step = lambda ids, *rest: seen.append(np.asarray(ids)[0].tolist()) or step(ids, *rest)
    continue_text(model, tokenizer, "", max_new_tokens=1)
    assert seen == [[5]]
    model.config["bos_token_id"] = 264  # no such token
    with pytest.raises(ValueError, match="no token for the beginning"):
        continue_text(model, tokenizer, "", max_new_tokens=1)


# --- GGUF ---------------------------------------------------------------------------------------------------------

PIECES = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a", "b", "▁a", "<|x|>"]
TYPES = [2, 3, 3, *[6] * 256, 1, 1, 1, 1, 1]
PLAIN: dict[str, Any] = {
    "general.architecture": "llama", "llama.block_count": 1, "llama.context_length": 64, "llama.embedding_length": 16,
    "llama.feed_forward_length": 16, "llama.attention.head_count": 2,
    "llama.attention.layer_norm_rms_epsilon": 1e-5, "tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": PIECES,
    "tokenizer.ggml.scores": np.zeros(len(PIECES), np.float32),
    "tokenizer.ggml.token_type": np.array(TYPES, np.int32),
}  # fmt: skip


def _gguf(path: Path, token: int, changes: dict[str, Any], extra: dict[str, Any] | None = None) -> Path:
    """A GGUF file of a model that says one token for ever."""
    size = len({**PLAIN, **changes}["tokenizer.ggml.tokens"])
    head = np.zeros((size, 16), np.float32)
    head[token] = 1
    square = np.zeros((16, 16), np.float32)
    matrices = dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"), square)
    tensors = {"token_embd": np.ones_like(head), "output": head, "output_norm": np.ones(16, np.float32)}
    tensors |= {f"blk.0.{name}": matrix for name, matrix in matrices.items()}
    tensors |= {f"blk.0.{name}_norm": np.ones(16, np.float32) for name in ("attn", "ffn")}
    made = {f"{name}.weight": ("F32", array) for name, array in tensors.items()}
    write_gguf(path, {**PLAIN, **changes}, {**made, **(extra or {})})
    return path


def _with(number: int, text: str, kind: int) -> dict[str, Any]:
    tokens, types = list(PIECES), list(TYPES)
    tokens[number], types[number] = text, kind
    return {"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": np.array(types, np.int32)}


@pytest.mark.parametrize(
    "token, changes",
    [
        (2, {}),  # the format's own end
        (263, {"tokenizer.ggml.eos_token_id": 263}),
        (263, {"tokenizer.ggml.eot_token_id": 263}),
        (263, {"tokenizer.ggml.eom_token_id": 263, "tokenizer.ggml.eos_token_id": 2}),
        (263, _with(263, "<|im_end|>", 1)),  # whatever its type
        (263, _with(263, "<|im_end|>", 3)),
        (263, _with(263, "<end_of_turn>", 4)),
        (263, _with(263, "<|eot_id|>", 5)),
    ],
)
def test_gguf_ends_of_every_kind(token: int, changes: dict[str, Any], tmp_path: Path) -> None:
    path = _gguf(tmp_path / "m.gguf", token, changes)
    model, tokenizer = lfs.from_pretrained(path), lfs.Tokenizer.from_pretrained(path)
    assert _said(model, tokenizer) == (0, 0, 0)
    model.save_pretrained(tmp_path / "saved")
    tokenizer.save(tmp_path / "saved")
    parts = lfs.from_pretrained(tmp_path / "saved"), lfs.Tokenizer.from_pretrained(tmp_path / "saved")
    assert _said(*parts) == (0, 0, 0)


def test_other_gguf_tokens_end_nothing(tmp_path: Path) -> None:
    path = _gguf(tmp_path / "m.gguf", 263, {"tokenizer.ggml.eot_token_id": 2**32 - 1})  # stands for none
    assert _said(lfs.from_pretrained(path), lfs.Tokenizer.from_pretrained(path)) == (5, 5, 5)


@pytest.mark.parametrize("value", [-1_000_000, -3, 264, 10**12, True, 1.5, "1", np.array([1])])
@pytest.mark.parametrize("role", ["bos", "eos", "eot"])
def test_gguf_ids_that_are_none_are_refused(role: str, value: Any, tmp_path: Path) -> None:
    path = _gguf(tmp_path / "m.gguf", 3, {f"tokenizer.ggml.{role}_token_id": value})
    readers = [lfs.from_pretrained] if role == "eot" else [lfs.from_pretrained, lfs.Tokenizer.from_pretrained]
    for reader in readers:
        with pytest.raises(
            ValueError, match=rf"m\.gguf: tokenizer\.ggml\.{role}_token_id must be an id of the 264 tok"
        ):
            reader(path)


@pytest.mark.parametrize("says, first", [({}, [1]), ({"add_bos_token": False}, []), ({"add_bos_token": True}, [1])])
def test_gguf_beginnings(says: dict[str, bool], first: list[int], tmp_path: Path) -> None:
    path = _gguf(tmp_path / "m.gguf", 3, {f"tokenizer.ggml.{key}": value for key, value in says.items()})
    model, tokenizer = lfs.from_pretrained(path), lfs.Tokenizer.from_pretrained(path)
    seen: list[list[int]] = []
    step = model.step
    model.step = lambda ids, *rest: seen.append(np.asarray(ids)[0].tolist()) or step(ids, *rest)
    continue_text(model, tokenizer, "a", max_new_tokens=1)
    assert seen == [[*first, 262]]


# --- Rotary divisors ----------------------------------------------------------------------------------------------

# By the transformers library 5.24, LlamaRotaryEmbedding, heads of 16, base 500,000.
LLAMA_3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
           "original_max_position_embeddings": 64}  # fmt: skip
FACTORS = (1.0, 2.442259389830086, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0)


def test_llama_3_slows_slow_pairs() -> None:
    config = {"model_type": "llama", "hidden_size": 32, "num_attention_heads": 2, "rope_theta": 5e5}
    spec = lfs.spec({**config, "rope_scaling": LLAMA_3})
    rotary = spec.layers[0].branches[0].functions["mixer"].rotary
    np.testing.assert_allclose(rotary.factors, FACTORS, rtol=1e-12)
    plain = lfs.spec(config).layers[0].branches[0].functions["mixer"].rotary
    np.testing.assert_allclose(rotary.inverse_frequency() * FACTORS, plain.inverse_frequency(), rtol=1e-12)


@pytest.mark.parametrize("packed", [False, True])
def test_gguf_divisors_are_applied_and_kept(packed: bool, tmp_path: Path) -> None:
    factors = np.array([1.0, 2.5, 8.0, 8.0], np.float32)
    path = _gguf(tmp_path / "m.gguf", 3, {}, {"rope_freqs.weight": ("F32", factors)})
    model = lfs.from_pretrained(path, packed=packed)
    rotary = model.layers[0].mixer.spec.rotary
    expected = 10000.0 ** (-np.arange(0, 8, 2) / 8) / factors
    np.testing.assert_allclose(rotary.inverse_frequency(), expected, rtol=1e-12)
    if not packed:
        model.save_pretrained(tmp_path / "saved")
        assert lfs.from_pretrained(tmp_path / "saved").spec == model.spec


@pytest.mark.parametrize(
    "kind, array, message",
    [
        ("F32", np.ones(3, np.float32), "must be 4 numbers, one a rotary pair"),
        ("F32", np.zeros(4, np.float32), "not positive"),
        ("F32", np.full(4, np.nan, np.float32), "not positive"),
        ("I32", np.ones(4, np.int32), "must be 4 numbers"),
    ],
)
def test_gguf_divisors_that_are_none(kind: str, array: np.ndarray, message: str, tmp_path: Path) -> None:
    path = _gguf(tmp_path / "m.gguf", 3, {}, {"rope_freqs.weight": (kind, array)})
    with pytest.raises(ValueError, match=rf"m\.gguf: rope_freqs\.weight .*{message}"):
        lfs.from_pretrained(path)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"factor": 0.5}, "factor must be"),
        ({"low_freq_factor": 4.0}, "high_freq_factor must be a finite number above 4.0"),
        ({"original_max_position_embeddings": None}, "original_max_position_embeddings"),
        ({"beta_fast": 32}, "beta_fast = 32 is not known"),
        ({"type": "linear"}, "type 'linear' is not supported"),
    ],
)
def test_llama_3_scaling_that_is_incomplete(change: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        lfs.spec({"model_type": "llama", "rope_scaling": {**LLAMA_3, **change}})


@pytest.mark.parametrize(
    "change, message",
    [
        ({"long_factor": [1.0] * 63 + [2.0]}, "equal to the short_factor only"),
        ({"attention_factor": 1.2}, "with attention_factor 1"),
        ({"attention_factor": None}, "with attention_factor 1"),
        ({"short_factor": [1.0], "long_factor": [1.0]}, "must be 64 positive numbers"),
        ({"short_factor": [True] * 64, "long_factor": [True] * 64}, "must be 64 positive numbers"),
    ],
)
def test_lists_of_divisors_that_depend_on_the_length_are_refused(change: dict[str, Any], message: str) -> None:
    listed = {"type": "longrope", "short_factor": [1.0] * 64, "long_factor": [1.0] * 64, "attention_factor": 1.0}
    assert lfs.spec({"model_type": "llama", "rope_scaling": listed})
    with pytest.raises(ValueError, match=message):
        lfs.spec({"model_type": "llama", "rope_scaling": {**listed, **change}})
