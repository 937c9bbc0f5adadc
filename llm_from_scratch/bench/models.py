"""Whole models and layers as contenders: the real 135M model, and routed experts beside what they cost at least.

The peer of the real model is the transformers library with a LLaMA of the same shape in float32; its weights are drawn,
since speed does not depend on them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..checkpoints import from_pretrained
from ..files.download import ARTIFACTS, cache_directory
from ..layers import Context, FeedForwardSpec, MixtureSpec
from ..training.workers import one_blas_thread

Work = Callable[[], Any]
PROMPT, ANSWER = 256, 16  # tokens read, and tokens written, in one run
_IDS = np.random.default_rng(0).integers(0, 49152, (1, PROMPT))


def real_model(packed: bool) -> Any:
    """SmolLM2-135M from the cache; ImportError, by which a case is left out, where it was not fetched."""
    path = cache_directory() / ARTIFACTS["smollm2"].filename
    if not path.exists():
        raise ImportError("the model's file: python -m llm_from_scratch fetch smollm2")
    return from_pretrained(path, packed=packed)


def prompt(packed: bool) -> Work:
    """SmolLM2-135M reads a prompt; its weights packed as in the file, or expanded to float32."""
    model = real_model(packed)
    return lambda: model.step(_IDS, model.new_memory())


def decoding(packed: bool) -> Work:
    """SmolLM2-135M writes token by token behind a prompt, the likeliest each time, as `chat` does."""
    model = real_model(packed)
    memory = model.new_memory()
    first = model.step(_IDS, memory).argmax()

    def run() -> None:
        memory.crop(PROMPT)
        token = first
        with one_blas_thread():
            for _ in range(ANSWER):
                token = model.step([[token]], memory).argmax()

    return run


def their_model(threads: int) -> Any:
    """PyTorch, and the transformers library's model of SmolLM2's sizes with random weights: speed does not ask more."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(threads)
    shape = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "vocab_size": 49152}
    config = LlamaConfig(**shape, num_attention_heads=9, num_key_value_heads=3, tie_word_embeddings=True)
    return torch, LlamaForCausalLM(config).eval()


def their_prompt(threads: int) -> Work:
    """The transformers library reads a prompt of the same length."""
    torch, model = their_model(threads)
    ids = torch.from_numpy(_IDS)

    def run() -> None:
        with torch.inference_mode():
            model(ids, use_cache=True, logits_to_keep=1)

    return run


def their_decoding(threads: int) -> Work:
    """The transformers library writes token by token with its key-value cache."""
    torch, model = their_model(threads)

    def run() -> None:
        token = torch.from_numpy(_IDS[:, :1])
        if (surplus := cache.get_seq_length() - PROMPT) > 0:
            cache.crop(-surplus)
        with torch.inference_mode():
            for _ in range(ANSWER):
                token = model(token, past_key_values=cache, use_cache=True).logits[:, -1:].argmax(-1)

    with torch.inference_mode():
        cache = model(torch.from_numpy(_IDS), use_cache=True).past_key_values
    return run


def experts(design: str, tokens: tuple[int, int] = (4, 256), width: int = 512, inner: int = 1024) -> Work:
    """Forward and backward of a feed-forward part: "routed" runs two experts of eight for each token.

    "dense" is one part as wide as two experts: the same arithmetic without routing.
    """
    expert = FeedForwardSpec(width, inner if design == "routed" else 2 * inner, "silu", gated=True, bias=False)
    layer = (MixtureSpec(expert, 8, 2) if design == "routed" else expert).build(np.random.default_rng(0))
    x, dy = np.random.default_rng(1).standard_normal((2, *tokens, width), dtype=np.float32)
    context = Context(np.arange(tokens[1])[None])

    def run() -> Any:
        for parameter in layer.parameters():
            parameter.grad = None
        inputs = Tensor(x, requires_grad=True)
        with one_blas_thread():
            layer(inputs, None, context).backward(dy)
        return inputs.grad

    return run
