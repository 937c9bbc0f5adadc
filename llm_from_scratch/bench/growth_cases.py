"""What grows: a training step, a token written, and attention alone, each at many sizes of one thing at a time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from ..checkpoints import build
from ..training import accumulate_gradients
from ..training.workers import one_blas_thread
from . import memory, ours, products
from .case import Case, Work, saying
from .workloads import attention_arrays

BASE = {"length": 512, "width": 256, "layers": 4, "vocabulary": 4096, "batch": 2}
SMALL = {"length": 8, "width": 64, "layers": 1, "vocabulary": 64, "batch": 2}  # done first: kernels are then loaded
AXES: dict[str, tuple[int, ...]] = {
    "length": (128, 256, 512, 1024, 2048, 4096, 8192),
    "width": (64, 128, 256, 512, 1024),
    "layers": (1, 2, 4, 8, 16),
    "vocabulary": (1024, 4096, 16384, 65536),
    "batch": (2, 4, 8, 16, 32),
    "attention": (128, 256, 512, 1024, 2048, 4096, 8192),  # attention alone, 8 heads of 64, against its length
}
STEP, TOKEN, ATTENTION = "training step", "token written", "attention, forward and backward"
PEAK, BANDWIDTH = "matrix-product peak", "read bandwidth"
ANSWER, CHUNK = 8, 128  # tokens written in one run; a prompt is read by so many, so that it leaves little memory behind


def growth_cases(threads: int) -> Iterator[tuple[str, Case]]:
    """A case for each size of each axis, `growth/length/128`, and one for what the machine can do at all."""
    machine = {
        PEAK: partial(products.large_product, threads),
        BANDWIDTH: partial(products.reading, products.READ, threads),
    }
    yield "growth/machine", Case("what this machine can do", machine)
    for axis, values in AXES.items():
        for value in values:
            sizes = {**BASE, axis: value}
            if axis == "attention":
                works = {ATTENTION: partial(_attention, value, threads)}
            else:
                works = {STEP: partial(_step, sizes, threads), TOKEN: partial(_token, sizes)}
            yield f"growth/{axis}/{value}", Case(f"{axis} {value:,}", works)


def _model(sizes: dict[str, int]) -> Any:
    heads = max(1, sizes["width"] // 64)
    shape = {"hidden_size": sizes["width"], "intermediate_size": sizes["width"] * 8 // 3, "num_attention_heads": heads}
    shape |= {"num_hidden_layers": sizes["layers"], "vocab_size": sizes["vocabulary"]}
    return build("llama", **shape, max_position_embeddings=8192 + ANSWER, tie_word_embeddings=True)


def _ids(sizes: dict[str, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, sizes["vocabulary"], (sizes["batch"], sizes["length"] + 1))


def _step(sizes: dict[str, int], threads: int) -> Work:
    """Forward and backward."""
    if sizes != SMALL:
        _step(SMALL, threads)()
    model, ids = _model(sizes), _ids(sizes)

    def run() -> None:
        for parameter in model.parameters():
            parameter.grad = None
        accumulate_gradients(model, ids[:, :-1], ids[:, 1:], threads=threads)

    return saying(run, flops=3 * sizes["batch"] * model.spec.flops(sizes["length"]))


def _token(sizes: dict[str, int]) -> Work:
    """Tokens written after so many others, in every row; with the memory of what was read before."""
    if sizes != SMALL:
        _token(SMALL)()
    model, ids = _model(sizes), _ids(sizes)
    base = memory.resident()
    past = model.new_memory(sizes["batch"])
    for start in range(0, sizes["length"], CHUNK):
        model.step(ids[:, start : start + CHUNK][:, : sizes["length"] - start], past)

    def run() -> None:
        past.crop(sizes["length"])
        with one_blas_thread():
            for _ in range(ANSWER):
                model.step(ids[:, -1:], past)

    read = model.nbytes + sizes["batch"] * model.spec.memory_bytes(sizes["length"])
    return saying(run, bytes=ANSWER * read, runs=ANSWER, **({} if base is None else {"base": base}))


def _attention(length: int, threads: int) -> Work:
    return ours.attention(attention_arrays(length), threads)
