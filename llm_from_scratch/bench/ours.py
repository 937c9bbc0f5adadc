"""This package's side of each case."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import functional as F
from ..autograd import Tensor
from ..checkpoints import build
from ..tokenizers import Tokenizer
from ..training import AdamW, accumulate_gradients, clip_grad_norm
from ..training.workers import one_blas_thread, run_together
from .workloads import Size

Work = Callable[[], Any]


def training_step(size: Size, threads: int) -> Work:
    """Forward, backward, clipping and AdamW of a GPT-2."""
    model = build(
        "gpt2",
        n_layer=size.layers,
        n_embd=size.width,
        n_head=size.heads,
        n_positions=size.context,
        vocab_size=size.vocab,
    )
    parameters = list(model.parameters())
    optimizer = AdamW(parameters, lr=3e-4, weight_decay=0.1)
    ids = np.random.default_rng(0).integers(0, size.vocab, (size.batch, size.context + 1))

    def step() -> float:
        optimizer.zero_grad()
        loss = accumulate_gradients(model, ids[:, :-1], ids[:, 1:], threads=threads)
        clip_grad_norm(parameters, 1.0)
        optimizer.step()
        return loss

    return step


def attention(arrays: list[np.ndarray], threads: int) -> Work:
    """The attention primitive; the heads are shared out among threads, as rows of a batch are in training."""
    q, k, v, dy = arrays
    shares = [slice(q.shape[1] * n // threads, q.shape[1] * (n + 1) // threads) for n in range(threads)]

    def part(heads: slice) -> None:
        leaves = [Tensor(x[:, heads], requires_grad=True) for x in (q, k, v)]
        F.attention(*leaves).backward(dy[:, heads])

    def run() -> None:
        with one_blas_thread():
            run_together([functools.partial(part, heads) for heads in shares])

    return run


def selective_scan(arrays: list[np.ndarray], backward: bool) -> Work:
    """The scan primitive. A single row runs on one thread: threads take rows of a batch, or other layers' work."""
    *inputs, dy = arrays

    def run() -> None:
        leaves = [Tensor(array, requires_grad=backward) for array in inputs]
        y, _ = F.selective_scan(*leaves)
        if backward:
            y.backward(dy)

    return run


def long_convolution(arrays: list[np.ndarray], backward: bool, way: str) -> Work:
    """Modal filters evaluated and applied by FFT or directly, or run as a recurrence; on one thread, as the scan."""
    *inputs, dy = arrays

    def run() -> np.ndarray:
        x, poles, residues = (Tensor(array, requires_grad=backward) for array in inputs)
        if way == "recurrence":
            y, _ = F.modal_scan(x, poles, residues)
        else:
            y = F.long_convolution(x, F.modal_filter(poles, residues, length=x.shape[1]), method=way)
        if backward:
            y.backward(dy)
        return y.data

    return run


def adamw(size: int, threads: int) -> Work:
    """The optimiser on ten equal tensors."""
    rng = np.random.default_rng(0)
    params = [Tensor(rng.standard_normal(size // 10, dtype=np.float32), requires_grad=True) for _ in range(10)]
    for param in params:
        param.grad = rng.standard_normal(param.shape, dtype=np.float32)
    optimizer = AdamW(params, lr=1e-3)
    return optimizer.step


def bpe_training(text: str, vocab: int) -> Work:
    """Training on a string."""
    return lambda: Tokenizer.train(text, vocab_size=vocab)


def bpe_encoding(text: str, vocab: int) -> Work:
    """Encoding a string."""
    tokenizer = Tokenizer.train(text, vocab_size=vocab)
    return lambda: tokenizer.encode_array(text)
