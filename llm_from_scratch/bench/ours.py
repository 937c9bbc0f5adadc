"""This package's side of each case."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .. import functional as F
from ..autograd import Tensor
from ..checkpoints import build
from ..training import AdamW, accumulate_gradients, clip_grad_norm
from ..training.workers import one_blas_thread, run_together
from .case import Work, saying
from .workloads import Size

SMALL = 8  # rows of a work done beforehand, so that loading the kernels is not taken for memory of the work


def training_step(size: Size, threads: int) -> Work:
    """Forward, backward, clipping and AdamW of a GPT-2, or of a LLaMA where the size says how its keys are shared."""
    if size.key_value_heads:
        model = build("llama", **llama_config(size), tie_word_embeddings=True)
    else:
        shape = {"n_layer": size.layers, "n_embd": size.width, "n_head": size.heads, "n_positions": size.context}
        model = build("gpt2", **shape, vocab_size=size.vocab)
    parameters = list(model.parameters())
    optimizer = AdamW(parameters, lr=3e-4, weight_decay=0.1, threads=threads)
    ids = np.random.default_rng(0).integers(0, size.vocab, (size.batch, size.context + 1))

    def step() -> float:
        optimizer.zero_grad()
        loss = accumulate_gradients(model, ids[:, :-1], ids[:, 1:], threads=threads)
        clip_grad_norm(parameters, 1.0, threads=threads)
        optimizer.step()
        return loss

    return step


def llama_config(size: Size) -> dict[str, Any]:
    """The published names of a LLaMA's sizes."""
    return {
        "num_hidden_layers": size.layers, "hidden_size": size.width, "intermediate_size": size.feed_forward,
        "num_attention_heads": size.heads, "num_key_value_heads": size.key_value_heads,
        "max_position_embeddings": size.context, "vocab_size": size.vocab,
    }  # fmt: skip


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

    if q.shape[2] > SMALL:
        attention([array[:, :, :SMALL] for array in arrays], threads)()
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


def adamw(size: int, threads: int, looks: bool = True) -> Work:
    """The optimiser on ten equal tensors; looks: at every gradient first, as is spared where clipping has done so."""
    rng = np.random.default_rng(0)
    params = [Tensor(rng.standard_normal(size // 10, dtype=np.float32), requires_grad=True) for _ in range(10)]
    for param in params:
        param.grad = rng.standard_normal(param.shape, dtype=np.float32)
    optimizer = AdamW(params, lr=1e-3, threads=threads)
    return optimizer.step if looks else functools.partial(optimizer.step, norm=1.0)


def cross_entropy(arrays: list[np.ndarray]) -> Work:
    """The loss through a head, fused; what it holds beside its gradients should be one array of logits."""
    x, weight, targets = arrays
    leaves = [Tensor(array, requires_grad=True) for array in (x, weight)]

    def run() -> float:
        for leaf in leaves:
            leaf.grad = None
        loss = F.linear_cross_entropy(*leaves, targets, transposed=True)
        loss.backward()
        return float(loss.data)

    if len(x) > SMALL:
        cross_entropy([x[:SMALL], weight, targets[:SMALL]])()
    return saying(run, logits=4 * len(x) * len(weight), gradients=x.nbytes + weight.nbytes)
