"""The peers' training steps: a GPT-2 and a LLaMA in plain PyTorch, as their users would write them."""

from __future__ import annotations

from typing import Any

import numpy as np

from .case import Work
from .workloads import Size


def training_step(size: Size, threads: int, compiled: bool = False) -> Work:
    """Forward, backward, clipping and fused AdamW in float32; compiled: through torch.compile, else eager."""
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = (_llama if size.key_value_heads else _gpt)(size)
    for parameter in model.parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.02)
    run = torch.compile(model) if compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.1, fused=True)
    rng = np.random.default_rng(0)
    ids = torch.from_numpy(rng.integers(0, size.vocab, (size.batch, size.context + 1)))

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        logits = run(ids[:, :-1])
        loss = nn.functional.cross_entropy(logits.reshape(-1, size.vocab), ids[:, 1:].reshape(-1))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    return step


def _gpt(size: Size) -> Any:
    """GPT-2: learned positions, LayerNorm, GELU, biases, a tied head."""
    from torch import nn
    from torch.nn import functional as F

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

    return GPT()


def _llama(size: Size) -> Any:
    """LLaMA with shared key-value heads: rotary positions, RMSNorm, SwiGLU, no biases, a tied head."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    depth = size.width // size.heads
    shared = depth * size.key_value_heads
    angles = torch.outer(torch.arange(size.context).float(), 10000.0 ** (-torch.arange(0, depth, 2) / depth))
    cosines, sines = angles.cos().repeat(1, 2), angles.sin().repeat(1, 2)

    def turned(x):  # type: ignore[no-untyped-def]
        first, second = x.chunk(2, dim=-1)
        return x * cosines + torch.cat((-second, first), dim=-1) * sines

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query = nn.Linear(size.width, size.width, bias=False)
            self.key, self.value = (nn.Linear(size.width, shared, bias=False) for _ in range(2))
            self.out = nn.Linear(size.width, size.width, bias=False)

        def forward(self, x):  # type: ignore[no-untyped-def]
            q, k, v = (
                project(x).unflatten(-1, (-1, depth)).transpose(1, 2) for project in (self.query, self.key, self.value)
            )
            y = F.scaled_dot_product_attention(turned(q), turned(k), v, is_causal=True, enable_gqa=True)
            return self.out(y.transpose(1, 2).flatten(2))

    class FeedForward(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate, self.up = (nn.Linear(size.width, size.feed_forward, bias=False) for _ in range(2))
            self.down = nn.Linear(size.feed_forward, size.width, bias=False)

        def forward(self, x):  # type: ignore[no-untyped-def]
            return self.down(F.silu(self.gate(x)) * self.up(x))

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.RMSNorm(size.width, eps=1e-6), nn.RMSNorm(size.width, eps=1e-6)
            self.attention, self.feed_forward = Attention(), FeedForward()

        def forward(self, x):  # type: ignore[no-untyped-def]
            x = x + self.attention(self.norm1(x))
            return x + self.feed_forward(self.norm2(x))

    class Llama(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(size.vocab, size.width)
            self.blocks = nn.Sequential(*(Block() for _ in range(size.layers)))
            self.norm = nn.RMSNorm(size.width, eps=1e-6)

        def forward(self, ids):  # type: ignore[no-untyped-def]
            return F.linear(self.norm(self.blocks(self.tokens(ids))), self.tokens.weight)

    return Llama()
