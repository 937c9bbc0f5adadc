"""Whole models and layers as contenders: the real 135M model, the larger tales model with and without its draft, and
routed experts beside what they cost at least.

The peer of the real model is the transformers library with a LLaMA of the same shape in float32; its weights are drawn,
since speed does not depend on them.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..checkpoints import build, from_pretrained
from ..files.download import ARTIFACTS, cache_directory
from ..kernels.row_products import batch_invariant
from ..layers import Context, FeedForwardSpec, MixtureSpec
from ..tokenizers import Tokenizer
from ..training.workers import one_blas_thread, run_together
from . import products
from .case import Work

PROMPT, ANSWER = 256, 16  # tokens read, and tokens written, in one run
TALE = 120  # tokens of each of four tales
IDS = np.random.default_rng(0).integers(0, 49152, (1, 512))
TINY: dict[str, Any] = {
    "hidden_size": 128, "intermediate_size": 352, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 1024, "tie_word_embeddings": True,
}  # fmt: skip
REAL = TINY | {
    "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
    "num_key_value_heads": 3, "vocab_size": 49152,
}  # fmt: skip


def real_file() -> Path:
    """SmolLM2-135M in the cache; ImportError, by which a case is left out, where it was not fetched."""
    path = cache_directory() / ARTIFACTS["smollm2"].filename
    if not path.exists():
        raise ImportError("the model's file: python -m llm_from_scratch fetch smollm2")
    return path


def real_model(packed: bool) -> Any:
    """SmolLM2-135M, its weights packed as in the file, or expanded to float32."""
    return from_pretrained(real_file(), packed=packed)


def tiny_model() -> Any:
    """A LLaMA of 4 layers of 128 as quickstart's."""
    return build("llama", **TINY, max_position_embeddings=1024)


def prompt(packed: bool) -> Work:
    """SmolLM2-135M reads a prompt."""
    model = real_model(packed)
    return lambda: model.step(IDS[:, :PROMPT], model.new_memory())


def decoding(model: Any, after: int) -> Work:
    """The model writes token by token after so many others, the likeliest each time, as `chat` does."""
    memory = model.new_memory()
    first = model.step(IDS[:, :after] % model.spec.vocab_size, memory).argmax()

    def run() -> None:
        memory.crop(after)
        token = first
        with one_blas_thread():
            for _ in range(ANSWER):
                token = model.step([[token]], memory).argmax()

    return run


def side_by_side(model: Any, rows: int, invariant: bool) -> Work:
    """So many rows, each a token after 16 others; invariant: to the bit what each would be alone."""
    ids = np.resize(IDS, (rows, 17)) % model.spec.vocab_size
    memory = model.new_memory(rows)
    model.step(ids[:, :16], memory)

    def run() -> None:
        memory.crop(16)
        with batch_invariant(invariant):
            model.step(ids[:, 16:], memory)

    return run


def reading(model: Any, after: int, threads: int) -> Work:
    """The bytes of weights and memory read as often as tokens are written: no decoding can do with less."""
    return products.reading(model.nbytes + model.spec.memory_bytes(after), threads, times=ANSWER)


def tales(guesses: int) -> Work:
    """The larger tales model tells a tale, with so many tokens guessed at once by its draft, or none.

    Both are looked for where the commands put them; ImportError, by which the case is left out, where one is missing.
    """
    for path, options in (("runs/large", "--large"), ("runs/draft", "--teacher runs/large")):
        if not Path(path, "model.safetensors").exists():
            raise ImportError(f"{path}: python -m llm_from_scratch quickstart {options}")
    model, draft = from_pretrained("runs/large"), from_pretrained("runs/draft")
    ids = [[Tokenizer.from_pretrained("runs/large").bos_id]]
    settings: dict[str, Any] = {"max_new_tokens": TALE, "stop_tokens": (), "temperature": 0.8}
    if guesses:
        settings |= {"draft_model": draft, "num_assistant_tokens": guesses}

    def run() -> None:
        with one_blas_thread():
            for seed in range(4):  # some tales are easier to guess than others
                model.generate(ids, seed=seed, **settings)

    return run


def their_model(threads: int, sizes: dict[str, Any] = REAL) -> Any:
    """PyTorch, and the transformers library's LLaMA of these sizes with random weights: speed does not ask more."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(threads)
    return torch, LlamaForCausalLM(LlamaConfig(**sizes)).eval()


def their_prompt(threads: int) -> Work:
    """The transformers library reads a prompt of the same length."""
    torch, model = their_model(threads)
    ids = torch.from_numpy(IDS[:, :PROMPT])

    def run() -> None:
        with torch.inference_mode():
            model(ids, use_cache=True, logits_to_keep=1)

    return run


def their_decoding(threads: int, after: int, sizes: dict[str, Any] = REAL) -> Work:
    """The transformers library writes token by token with its key-value cache."""
    torch, model = their_model(threads, sizes)
    ids = torch.from_numpy(IDS[:, :after] % sizes["vocab_size"])

    def run() -> None:
        token = ids[:, :1]
        if (surplus := cache.get_seq_length() - after) > 0:
            cache.crop(-surplus)
        with torch.inference_mode():
            for _ in range(ANSWER):
                token = model(token, past_key_values=cache, use_cache=True).logits[:, -1:].argmax(-1)

    with torch.inference_mode():
        cache = model(ids, use_cache=True).past_key_values
    return run


def experts(
    design: str, threads: int = 1, tokens: tuple[int, int] = (4, 256), width: int = 512, inner: int = 1024
) -> Work:
    """Forward and backward of a feed-forward part: "routed" runs two experts of eight for each token.

    "dense" is one part as wide as two experts: the same arithmetic without routing. Threads take rows, as in training.
    """
    expert = FeedForwardSpec(width, inner if design == "routed" else 2 * inner, "silu", gated=True, bias=False)
    layer = (MixtureSpec(expert, 8, 2) if design == "routed" else expert).build(np.random.default_rng(0))
    x, dy = np.random.default_rng(1).standard_normal((2, *tokens, width), dtype=np.float32)
    context = Context(np.arange(tokens[1])[None])
    shares = np.array_split(np.arange(tokens[0]), min(threads, tokens[0]))

    def share(rows: np.ndarray) -> Any:
        inputs = Tensor(x[rows], requires_grad=True)
        layer(inputs, None, context).backward(dy[rows])
        return inputs.grad

    def run() -> Any:
        for parameter in layer.parameters():
            parameter.grad = None
        with one_blas_thread():
            return np.concatenate(run_together([partial(share, rows) for rows in shares]))

    return run


def their_experts(threads: int, tokens: tuple[int, int] = (4, 256), width: int = 512, inner: int = 1024) -> Work:
    """The transformers library's mixture of Mixtral, two experts of eight."""
    import torch
    from transformers import MixtralConfig
    from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock

    torch.set_num_threads(threads)
    config = MixtralConfig(hidden_size=width, intermediate_size=inner, num_local_experts=8, num_experts_per_tok=2)
    layer = MixtralSparseMoeBlock(config)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    x, dy = (torch.randn(*tokens, width) for _ in range(2))
    x.requires_grad_()

    def run() -> None:
        layer.zero_grad(set_to_none=True)
        found = layer(x)
        (found[0] if isinstance(found, tuple) else found).backward(dy)

    return run
