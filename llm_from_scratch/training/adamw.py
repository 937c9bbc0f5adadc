"""AdamW: Adam with weight decay kept apart from the gradient.

For every weight the optimiser keeps a running mean of its gradient (m) and of the gradient's square (v), and moves the
weight by m / √v, which is about one learning rate a step whatever the gradient's scale. The arithmetic is the kernel
`kernels/optimizers.py`; this module keeps the books: groups, state, threads.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..kernels import optimizers
from .clip import grad_norm
from .workers import balanced_shares, resolve_threads, run_over, run_together

_WORTH_A_THREAD = 200_000


class _Slot:
    """One parameter and what the optimiser remembers about it."""

    __slots__ = ("group", "m", "name", "param", "step", "v")

    def __init__(self, name: str, param: Tensor, group: dict[str, Any]) -> None:
        self.name, self.param, self.group = name, param, group
        self.step = 0
        self.m: np.ndarray | None = None  # made at the first step with a gradient: frozen parameters cost nothing
        self.v: np.ndarray | None = None


class AdamW:
    """Update parameters in place from their `.grad`.

    params: Tensors, or (name, Tensor) pairs as from `model.named_parameters()`, or groups: dicts with "params" and, if
    they differ from the common ones, "lr", "betas", "eps", "weight_decay" (see `decay_groups`). With g the gradient,
    one step t = 1, 2, … is

        m ← β1 m + (1 - β1) g        v ← β2 v + (1 - β2) g²
        w ← w - lr · weight_decay · w - lr · (m / (1 - β1ᵗ)) / (√(v / (1 - β2ᵗ)) + eps)

    Assigning to `.lr` changes the rate of every group (one with its own keeps its ratio to the common one). A parameter
    whose `.grad` is None is left alone, and its t does not advance.

    >>> w = Tensor(np.array([1.0, -2.0]), requires_grad=True)
    >>> optimizer = AdamW([w], lr=0.1, weight_decay=0.0)
    >>> w.grad = np.array([0.3, -5.0])
    >>> optimizer.step()
    >>> w.data.round(4)                 # the first step moves each weight by lr, whatever the gradient's size
    array([ 0.9, -1.9])

    Source: Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2, with the schedule multiplier part of lr.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        *,
        threads: int | None = None,
    ) -> None:
        self._threads = resolve_threads(threads)
        common = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        _check_settings(common)
        self._lr = float(lr)
        self.groups: list[dict[str, Any]] = []
        self._slots: list[_Slot] = []
        entries = [params] if isinstance(params, (Tensor, Mapping)) else list(params)
        grouped = [isinstance(entry, Mapping) for entry in entries]
        if any(grouped) and not all(grouped):
            raise TypeError("give either parameters or groups (dicts with 'params'), not both in one list")
        groups: list[Any] = entries if any(grouped) else [{"params": entries}]
        for group in groups:
            self._add_group(group, common)
        if not self._slots:
            raise ValueError("there is nothing to optimise: the list of parameters is empty")
        seen: dict[int, str] = {}
        names: set[str] = set()
        for slot in self._slots:
            if id(slot.param) in seen:
                raise ValueError(
                    f"parameter {slot.name!r} is the same tensor as {seen[id(slot.param)]!r}: list it once"
                )
            if slot.name in names:
                raise ValueError(f"two parameters are named {slot.name!r}")
            seen[id(slot.param)] = slot.name
            names.add(slot.name)

    def _add_group(self, group: Mapping[str, Any], common: dict[str, Any]) -> None:
        unknown = set(group) - {"params", *common}
        if "params" not in group or unknown:
            raise ValueError(f"a group has 'params' and may set {sorted(common)}; got {sorted(group)}")
        settings = {**common, **{k: v for k, v in group.items() if k != "params"}}
        _check_settings(settings)
        settings["lr_ratio"] = settings["lr"] / self._lr if self._lr else 1.0
        self.groups.append(settings)
        given = group["params"]
        for entry in [given] if isinstance(given, Tensor) else given:
            name, param = entry if isinstance(entry, tuple) and len(entry) == 2 else (str(len(self._slots)), entry)
            if not isinstance(param, Tensor) or not isinstance(name, str):
                raise TypeError(f"expected Tensors or (name, Tensor) pairs, got {type(param).__name__}")
            if param.data.dtype not in (np.float32, np.float64):
                raise TypeError(f"{name}: only float32 and float64 parameters can be trained, not {param.data.dtype}")
            self._slots.append(_Slot(name, param, settings))

    @property
    def lr(self) -> float:
        """The common learning rate; assign to change it."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        _check_settings({"lr": value})
        self._lr = float(value)
        for group in self.groups:
            group["lr"] = self._lr * group["lr_ratio"]

    def step(self, grad_scale: float = 1.0) -> None:
        """Update every parameter that has a gradient. Gradients are read as `grad_scale` times what they are.

        Raises ValueError, nothing changed, when a gradient's shape or dtype is not its parameter's, and when it is not
        finite or so large that its squares are not.
        """
        if not math.isfinite(grad_scale):
            raise ValueError(f"grad_scale must be finite, got {grad_scale}")
        slots = [slot for slot in self._slots if slot.param.grad is not None]
        for slot in slots:
            data, grad = slot.param.data, slot.param.grad
            if grad.shape != data.shape or grad.dtype != data.dtype:  # type: ignore[union-attr]
                raise ValueError(
                    f"the gradient of {slot.name} is {grad.dtype}{grad.shape}, "  # type: ignore[union-attr]
                    f"the parameter {data.dtype}{data.shape}"
                )
        sizes = [slot.param.size for slot in slots]
        count = self._threads if sum(sizes) >= _WORTH_A_THREAD else 1
        # One reading of the gradients, of all that the update itself reads and writes a small part.
        lengths = run_over(slots, balanced_shares(sizes, count), lambda slot: grad_norm([slot.param], threads=1))
        for slot, length in zip(slots, lengths):
            if not length * abs(grad_scale) <= math.sqrt(np.finfo(slot.param.dtype).max):  # a NaN is not, either
                raise ValueError(
                    f"the gradient of {slot.name} is not finite, or too large to be squared (its length is {length}): "
                    "nothing was updated. Look at the loss and the learning rate, and clip"
                )
        jobs = []
        for slot in slots:
            data = slot.param.data
            if slot.m is None or slot.v is None:
                slot.m, slot.v = np.zeros(data.size, data.dtype), np.zeros(data.size, data.dtype)
            if not (data.flags.c_contiguous and data.flags.writeable):
                data = slot.param.data = np.array(data, order="C")
            slot.step += 1
            jobs.append((slot, data.reshape(-1), slot.param.grad.reshape(-1)))  # type: ignore[union-attr]
        total = sum(sizes)
        # Equal shares of the numbers, not of the parameters: an embedding may be half of the model.
        run_together([_share(jobs, total * k // count, total * (k + 1) // count, grad_scale) for k in range(count)])

    def zero_grad(self) -> None:
        """Forget all gradients (set them to None)."""
        for slot in self._slots:
            slot.param.grad = None

    def state_dict(self) -> dict[str, np.ndarray]:
        """What a resumed run needs: "m.NAME", "v.NAME" and "step.NAME" for each parameter that was ever updated.

        The arrays m and v are the optimiser's own, not copies. Rates and other settings are not part of it.
        """
        state: dict[str, np.ndarray] = {}
        for slot in self._slots:
            if slot.m is not None and slot.v is not None:
                state[f"m.{slot.name}"] = slot.m.reshape(slot.param.shape)
                state[f"v.{slot.name}"] = slot.v.reshape(slot.param.shape)
                state[f"step.{slot.name}"] = np.array([slot.step], dtype=np.int64)
        return state

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over a copy of what `state_dict` gave; ValueError, nothing changed, if it is of other parameters."""
        known = {f"{part}.{slot.name}" for slot in self._slots for part in ("m", "v", "step")}
        surplus = sorted(set(state) - known)
        if surplus:
            raise ValueError(f"the optimiser state has entries for unknown parameters: {', '.join(surplus[:5])}")
        loaded: list[tuple[_Slot, np.ndarray | None, np.ndarray | None, int]] = []
        for slot in self._slots:
            m, v, step = (state.get(f"{part}.{slot.name}") for part in ("m", "v", "step"))
            if m is None and v is None and step is None:
                loaded.append((slot, None, None, 0))
                continue
            if m is None or v is None or step is None:
                raise ValueError(f"the optimiser state of {slot.name} is incomplete: it needs m, v and step")
            for part, array in (("m", m), ("v", v)):
                if array.shape != slot.param.shape or array.dtype != slot.param.dtype:
                    raise ValueError(
                        f"{part}.{slot.name} is {array.dtype}{array.shape}, the parameter "
                        f"{slot.param.dtype}{slot.param.shape}"
                    )
            count = np.asarray(step)
            if count.dtype.kind not in "iu" or count.size != 1 or int(count.reshape(-1)[0]) < 1:
                raise ValueError(f"step.{slot.name} must be one whole number of at least 1, got {step}")
            loaded.append((slot, m.reshape(-1).copy(), v.reshape(-1).copy(), int(count.reshape(-1)[0])))
        for slot, first, second, steps in loaded:
            slot.m, slot.v, slot.step = first, second, steps


def decay_groups(model: Any, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups of a model's parameters: matrices (two axes or more) decay; biases and the scales of norms do not.

    Decay pulls a matrix towards smaller products, which is the point; a norm's scale of 1 or a bias has no such excess.
    Neither have parameters that a module lists in its `no_decay`, such as the time scales of a state-space model.

    model: anything with `named_parameters()`. Frozen parameters (requires_grad=False) are left out.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    modules = model.named_modules() if hasattr(model, "named_modules") else ()
    exempt = {id(getattr(module, name)) for _, module in modules for name in getattr(module, "no_decay", ())}
    decaying = {id(p) for _, p in named if p.ndim >= 2 and id(p) not in exempt}
    groups = [
        {"params": [(n, p) for n, p in named if id(p) in decaying], "weight_decay": weight_decay},
        {"params": [(n, p) for n, p in named if id(p) not in decaying], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _share(jobs: list[tuple[_Slot, np.ndarray, np.ndarray]], start: int, stop: int, grad_scale: float) -> Any:
    """A function that updates the numbers start to stop of all parameters laid end to end."""

    def run() -> None:
        position = 0
        for slot, param, grad in jobs:
            low, high = max(0, start - position), min(param.size, stop - position)
            position += param.size
            if low >= high:
                continue
            group = slot.group
            optimizers.adamw(
                param[low:high],
                grad[low:high],
                slot.m[low:high],  # type: ignore[index]
                slot.v[low:high],  # type: ignore[index]
                lr=float(group["lr"]),
                beta1=float(group["betas"][0]),
                beta2=float(group["betas"][1]),
                eps=float(group["eps"]),
                weight_decay=float(group["weight_decay"]),
                step=slot.step,
                grad_scale=float(grad_scale),
            )

    return run


def _check_settings(settings: Mapping[str, Any]) -> None:
    for name in ("lr", "eps", "weight_decay"):
        value = settings.get(name, 0.0)
        if isinstance(value, bool) or not isinstance(value, (int, float, np.floating)):
            raise TypeError(f"{name} must be a number, got {type(value).__name__}")
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be finite and at least 0, got {value}")
    betas = settings.get("betas", (0.0, 0.0))
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise TypeError(f"betas must be a pair of numbers, got {betas!r}")
    if not all(0 <= beta < 1 for beta in betas):
        raise ValueError(f"betas must lie in [0, 1), got {tuple(betas)}")
