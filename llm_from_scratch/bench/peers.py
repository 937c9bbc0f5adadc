"""The peers' side of each case, written as their users would write it. Imported libraries are optional."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .workloads import Size

Work = Callable[[], Any]


def training_step(size: Size, threads: int) -> Work:
    """Eager PyTorch: scaled_dot_product_attention, fused AdamW, clipping; float32."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    torch.set_num_threads(threads)
    torch.manual_seed(0)

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(size.width), nn.LayerNorm(size.width)
            self.qkv = nn.Linear(size.width, 3 * size.width)
            self.out = nn.Linear(size.width, size.width)
            self.up, self.down = nn.Linear(size.width, 4 * size.width), nn.Linear(4 * size.width, size.width)

        def forward(self, x):  # type: ignore[no-untyped-def]
            b, t, d = x.shape
            q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, size.heads, -1).permute(2, 0, 3, 1, 4)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).reshape(b, t, d))
            return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.places = nn.Embedding(size.vocab, size.width), nn.Embedding(size.context, size.width)
            self.blocks = nn.ModuleList(Block() for _ in range(size.layers))
            self.norm = nn.LayerNorm(size.width)

        def forward(self, ids):  # type: ignore[no-untyped-def]
            x = self.tokens(ids) + self.places.weight[: ids.shape[1]]
            for block in self.blocks:
                x = block(x)
            return F.linear(self.norm(x), self.tokens.weight)

    model = GPT()
    for parameter in model.parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.02)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.1, fused=True)
    rng = np.random.default_rng(0)
    ids = torch.from_numpy(rng.integers(0, size.vocab, (size.batch, size.context + 1)))

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        logits = model(ids[:, :-1])
        loss = F.cross_entropy(logits.reshape(-1, size.vocab), ids[:, 1:].reshape(-1))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    return step


def attention(arrays: list[np.ndarray], threads: int) -> Work:
    """torch.nn.functional.scaled_dot_product_attention, forward and backward."""
    import torch

    torch.set_num_threads(threads)
    q, k, v, dy = (torch.from_numpy(array) for array in arrays)
    leaves = [x.requires_grad_() for x in (q, k, v)]

    def run() -> None:
        for leaf in leaves:
            leaf.grad = None
        torch.nn.functional.scaled_dot_product_attention(*leaves, is_causal=True).backward(dy)

    return run


def selective_scan(arrays: list[np.ndarray], backward: bool, threads: int) -> Work:
    """The loop over time of the small PyTorch versions: all decays and inputs at once, then one step after another."""
    import torch

    torch.set_num_threads(threads)
    *inputs, dy = (torch.from_numpy(array) for array in arrays)
    leaves = [array.requires_grad_(backward) for array in inputs]

    def run() -> None:
        for leaf in leaves:
            leaf.grad = None
        x, delta, A, B, C, D = leaves
        decay = torch.exp(delta[..., None] * A)
        entering = (delta * x)[..., None] * B[:, :, None]
        state, outputs = torch.zeros_like(decay[:, 0]), []
        for t in range(x.shape[1]):
            state = decay[:, t] * state + entering[:, t]
            outputs.append((state @ C[:, t, :, None])[..., 0])
        y = torch.stack(outputs, dim=1) + x * D
        if backward:
            y.backward(dy)

    return run


def long_convolution(arrays: list[np.ndarray], backward: bool, way: str, threads: int) -> Work:
    """Modal filters by broadcasting, applied by a real FFT of twice the length, or by a depthwise Conv1d ("conv1d")."""
    import torch

    torch.set_num_threads(threads)
    x, poles, residues, dy = (torch.from_numpy(array) for array in arrays)
    length = x.shape[1]
    leaves = [x.transpose(1, 2).contiguous(), poles, residues]  # channels first, as torch likes it
    leaves = [leaf.requires_grad_(backward) for leaf in leaves]
    dy, times = dy.transpose(1, 2).contiguous(), torch.arange(length)

    def run() -> None:
        for leaf in leaves:
            leaf.grad = None
        u, p, R = leaves[0], torch.view_as_complex(leaves[1]), torch.view_as_complex(leaves[2])
        h = (R[..., None] * torch.exp(torch.log(p)[..., None] * times)).real.sum(1)
        if way == "rfft":
            y = torch.fft.irfft(torch.fft.rfft(u, 2 * length) * torch.fft.rfft(h, 2 * length), 2 * length)[..., :length]
        else:
            padded = torch.nn.functional.pad(u, (length - 1, 0))
            y = torch.nn.functional.conv1d(padded, h.flip(1)[:, None], groups=h.shape[0])
        if backward:
            y.backward(dy)

    return run


def adamw(size: int, threads: int, *, fused: bool) -> Work:
    """torch.optim.AdamW on ten equal tensors."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    params = [torch.randn(size // 10, requires_grad=True) for _ in range(10)]
    for param in params:
        param.grad = torch.randn_like(param)
    optimizer = torch.optim.AdamW(params, lr=1e-3, fused=fused, foreach=not fused)
    return optimizer.step


def bpe_training(text: str, vocab: int, threads: int) -> Work:
    """The tokenizers library, byte level, all its threads."""
    import os

    os.environ["RAYON_NUM_THREADS"] = str(threads)
    return lambda: _trained(text, vocab)


def _trained(text: str, vocab: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(text.splitlines(keepends=True), trainer)
    return tokenizer


def bpe_encoding_tokenizers(text: str, vocab: int) -> Work:
    """The tokenizers library on one thread, in lines, as it is usually fed."""
    import os

    os.environ["RAYON_NUM_THREADS"] = "1"
    tokenizer = _trained(text, vocab)
    lines = text.splitlines(keepends=True)
    return lambda: tokenizer.encode_batch(lines)


def bpe_encoding_tiktoken(text: str, vocab: int) -> Work:
    """tiktoken with the merges that the tokenizers library learned."""
    import json

    import tiktoken

    trained = json.loads(_trained(text, vocab).to_str())["model"]
    characters = _byte_of_character()
    ranks = {bytes(characters[c] for c in token): rank for token, rank in trained["vocab"].items()}
    pattern = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    encoding = tiktoken.Encoding("bench", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    return lambda: encoding.encode_ordinary(text)


def _byte_of_character() -> dict[str, int]:
    """GPT-2's printable stand-ins for bytes, reversed."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    return {chr(b): b for b in printable} | {chr(256 + n): b for n, b in enumerate(others)}
