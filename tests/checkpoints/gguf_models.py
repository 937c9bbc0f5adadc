"""Small models of every architecture that GGUF files are written of, each option once, all their parameters random.

Shared by the tests and by fixtures/make_llama_cpp.py, which freezes what the llama.cpp library computes with them.
"""

import numpy as np

import llm_from_scratch as lfs
from llm_from_scratch.files.gguf import GgufFile

ROWS = 272
IDS = np.random.default_rng(5).integers(1, 260, 24)
_LLAMA = dict(vocab_size=ROWS, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4)
_LLAMA |= dict(num_key_value_heads=2, max_position_embeddings=64, bos_token_id=None, eos_token_id=None)
_QWEN = dict(vocab_size=ROWS, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, kv_channels=16)
_QWEN |= dict(intermediate_size=192, seq_length=64, use_dynamic_ntk=False, use_logn_attn=False)
_FALCON = dict(vocab_size=ROWS, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=64)
_NEW = _FALCON | dict(num_kv_heads=2, new_decoder_architecture=True)
_BLOOM = dict(vocab_size=ROWS, hidden_size=64, n_layer=2, n_head=4, seq_length=64)
_MPT = dict(vocab_size=ROWS, d_model=64, n_heads=4, n_layers=2, max_seq_len=64)
_GPT2 = dict(vocab_size=ROWS, n_embd=64, n_head=4, n_layer=2, n_positions=64)
_NEOX = dict(vocab_size=ROWS, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128)
_NEOX |= dict(max_position_embeddings=64)
_MAMBA = dict(vocab_size=ROWS, hidden_size=64, num_hidden_layers=2)
_SLOWED = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
_SLOWED |= {"original_max_position_embeddings": 32}

CASES = {
    "llama": ("llama", _LLAMA),
    "llama_tied": ("llama", _LLAMA | dict(tie_word_embeddings=True)),
    "llama_biased": ("llama", _LLAMA | dict(attention_bias=True, mlp_bias=True)),
    "llama_wide_heads": ("llama", _LLAMA | dict(head_dim=32)),
    "llama_linear": ("llama", _LLAMA | dict(rope_scaling={"type": "linear", "factor": 2.0})),
    "llama_3": ("llama", _LLAMA | dict(rope_theta=500000.0, rope_scaling=_SLOWED)),
    "mistral": ("mistral", _LLAMA | dict(sliding_window=None)),
    "mixtral": ("mixtral", _LLAMA | dict(num_local_experts=4, num_experts_per_tok=2)),
    "qwen": ("qwen", _QWEN),
    "qwen_tied": ("qwen", _QWEN | dict(tie_word_embeddings=True)),
    "qwen2": ("qwen2", _LLAMA),
    "qwen2_tied": ("qwen2", _LLAMA | dict(tie_word_embeddings=True)),
    "falcon_7b": ("falcon", _FALCON),
    "falcon_40b": ("falcon", _NEW),
    "falcon_11b": ("falcon", _NEW | dict(num_ln_in_parallel_attn=1, tie_word_embeddings=False)),
    "bloom": ("bloom", _BLOOM),
    "bloom_six_heads": ("bloom", _BLOOM | dict(hidden_size=96, n_head=6)),
    "mpt": ("mpt", _MPT),
    "mpt_clipped": (
        "mpt",
        _MPT
        | dict(d_model=96, n_heads=6, expansion_ratio=2)
        | dict(attn_config={"alibi": True, "alibi_bias_max": 16, "clip_qkv": 0.5}),
    ),
    "gpt2": ("gpt2", _GPT2),
    "gpt2_untied": ("gpt2", _GPT2 | dict(n_inner=96, tie_word_embeddings=False)),
    "gpt_neox": ("gpt_neox", _NEOX),
    "gpt_neox_20b": ("gpt_neox", _NEOX | dict(hidden_act="gelu_fast", rotary_pct=0.5)),
    "gpt_neox_sequential": ("gpt_neox", _NEOX | dict(use_parallel_residual=False, tie_word_embeddings=True)),
    "mamba": ("mamba", _MAMBA),
    "mamba_untied": ("mamba", _MAMBA | dict(state_size=8, time_step_rank=12, tie_word_embeddings=False)),
}


def random_model(name):
    """The model of a case. Its feed-forward parts say less: the library's GELU is a table in half precision."""
    family, config = CASES[name]
    model = lfs.build(family, **config)
    rng = np.random.default_rng(sorted(CASES).index(name))
    for path, parameter in sorted(model.named_parameters()):
        shape = parameter.shape
        drawn = rng.normal(size=shape)
        if path.endswith("A_log"):
            drawn = np.log(np.arange(1, 1 + shape[1])) + 0.3 * drawn
        elif path.endswith("norm.weight"):
            drawn = 1 + 0.2 * drawn
        elif len(shape) == 2 and ".mixer." in path:
            drawn = drawn / np.sqrt(shape[0])
        elif len(shape) == 2 and ".feed_forward." in path:
            drawn = 0.25 * drawn / np.sqrt(shape[0])
        else:
            drawn = 0.3 * drawn
        parameter.data = drawn.astype(np.float32)
    return model


def small_tokenizer():
    """Some tokens; the models have a few rows more."""
    text = "the cat sat on the mat. " * 20
    return lfs.Tokenizer.train(text, vocab_size=268, special_tokens=["<|endoftext|>"])


def llama_cpp_logits(library, path, ids):
    """What the llama.cpp library computes: one thread, cache in float32, no flash attention; (T, V)."""
    size = max(64, len(ids) + 8)
    settings = dict(n_ctx=size, n_batch=size, n_ubatch=size, n_threads=1, n_threads_batch=1, type_k=0, type_v=0)
    model = library.Llama(str(path), logits_all=True, flash_attn=False, verbose=False, **settings)
    model.eval(list(map(int, ids)))
    return np.array(model.scores[: len(ids)])


def described(path):
    """What a file says of its model, and a number for each tensor in which every entry counts by its place."""
    file = GgufFile(path)
    tensors = {}
    for name, tensor in file.items():
        values = tensor.view("<f4").reshape(-1).astype(np.float64)
        tensors[name] = [*file.tensors[name].shape, float(values @ np.random.default_rng(0).normal(size=values.size))]
    metadata = {key: value for key, value in file.metadata.items() if not key.startswith("tokenizer.")}
    return {"metadata": metadata, "tensors": tensors}
