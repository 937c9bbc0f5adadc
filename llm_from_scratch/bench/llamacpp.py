"""The llama.cpp library as a contender, by way of llama-cpp-python: it reads the same GGUF file as we do.

Its calls are made without the Python class on top, which would copy more than is needed. Flash attention is on: that
is the faster of its two ways on a CPU.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from . import kinds, models
from .case import Work


def prompt(threads: int) -> Work:
    """A prompt of `models.PROMPT` tokens into an empty cache."""
    forget, feed = _model(threads)
    ids = models.IDS[0, : models.PROMPT].tolist()

    def run() -> None:
        forget(0)
        feed(ids)

    return run


def decoding(threads: int, after: int) -> Work:
    """`models.ANSWER` tokens, the likeliest each time, after so many others."""
    forget, feed = _model(threads)
    forget(0)
    first = feed(models.IDS[0, :after].tolist())

    def run() -> None:
        forget(after)
        token = first
        for _ in range(models.ANSWER):
            token = feed([token])

    return run


def _model(threads: int) -> tuple[Callable[[int], Any], Callable[[list[int]], int]]:
    """Two functions: forget what stands from a position on; read tokens and say which is the likeliest next."""
    path = models.real_file()
    import llama_cpp

    kind = os.environ.get(kinds.VARIABLE)
    built_for = llama_cpp.llama_print_system_info().decode()
    if (kind == "avx2" and "AVX512 = 1" in built_for) or (kind == "avx" and "AVX2 = 1" in built_for):
        raise ImportError(f"llama.cpp was built for more than {kind}: {kinds.LLAMA_CPP} may name the folder of a build")
    settings: dict[str, Any] = {"n_ctx": 1024, "n_batch": 512, "n_threads": threads, "n_threads_batch": threads}
    model = llama_cpp.Llama(str(path), **settings, flash_attn=True, verbose=False)
    context, vocabulary = model._ctx.ctx, model.n_vocab()
    cache = llama_cpp.llama_get_memory(context)

    def forget(start: int) -> None:
        llama_cpp.llama_memory_seq_rm(cache, 0, start, -1)

    def feed(tokens: list[int]) -> int:
        array = (llama_cpp.llama_token * len(tokens))(*tokens)
        if failed := llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(array, len(tokens))):
            raise RuntimeError(f"llama_decode returned {failed}")
        logits = llama_cpp.llama_get_logits_ith(context, -1)
        return int(np.ctypeslib.as_array(logits, (vocabulary,)).argmax())

    feed.model = model  # type: ignore[attr-defined]  # or it would be freed with this call
    return forget, feed
