"""The peers' side of each case, written as their users would write it. Imported libraries are optional."""

from __future__ import annotations

import numpy as np

from .case import Work


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


def cross_entropy(arrays: list[np.ndarray], threads: int) -> Work:
    """The logits, and eager PyTorch's loss of them."""
    import torch

    torch.set_num_threads(threads)
    x, weight, targets = (torch.from_numpy(array) for array in arrays)
    leaves = [x.requires_grad_(), weight.requires_grad_()]

    def run() -> float:
        for leaf in leaves:
            leaf.grad = None
        loss = torch.nn.functional.cross_entropy(torch.nn.functional.linear(*leaves), targets)
        loss.backward()
        return loss.item()

    return run
