"""What all optimisers have in common: groups, state, threads, and the refusal of gradients that are not finite.

The arithmetic is in `kernels/optimizers.py`; each optimiser is a file of its own that names its settings, what it keeps
for a parameter, and the kernel.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..kernels import optimizers
from .workers import balanced_shares, resolve_threads, run_over, run_together

_WORTH_A_THREAD = 200_000


class _Slot:
    """One parameter and what is remembered about it: `kept`, flat arrays by name, made when they are first needed."""

    __slots__ = ("kept", "name", "param", "step")

    def __init__(self, name: str, param: Tensor) -> None:
        self.name, self.param, self.step = name, param, 0
        self.kept: dict[str, np.ndarray] = {}


class Optimizer:
    """Updates parameters in place from their `.grad`.

    params: Tensors, or (name, Tensor) pairs as from `model.named_parameters()`, or groups: dicts with "params" and, if
    they differ from the common ones, settings of the optimiser. `param_groups` is the list of groups, each with all its
    settings, which may be read and changed at any time, as in PyTorch:

    >>> from llm_from_scratch.training import SGD
    >>> w = Tensor(np.array([1.0]), requires_grad=True)
    >>> optimizer = SGD([w], lr=0.1)
    >>> for group in optimizer.param_groups:
    ...     group["lr"] = 0.5
    >>> w.grad = np.array([1.0])
    >>> optimizer.step()
    >>> w.data
    array([0.5])

    Assigning to `.lr` sets the rate of every group (one that was given another keeps its ratio to the common one). A
    parameter whose `.grad` is None is left alone, and its count of steps does not advance.
    """

    squares = False  # whether the gradient is squared, and must be small enough for that

    def __init__(self, params: Iterable[Any], settings: Mapping[str, Any], threads: int | None) -> None:
        self._threads = resolve_threads(threads)
        self._common = dict(settings)
        self._check(self._common)
        self._slots: dict[Tensor, _Slot] = {}
        self.param_groups: list[dict[str, Any]] = []
        entries: list[Any] = [params] if isinstance(params, (Tensor, Mapping)) else list(params)
        grouped = [isinstance(entry, Mapping) for entry in entries]
        if any(grouped) and not all(grouped):
            raise TypeError("give either parameters or groups (dicts with 'params'), not both in one list")
        for group in entries if any(grouped) else [{"params": entries}]:
            self.add_param_group(group)
        if not self._slots:
            raise ValueError("there is nothing to optimise: the list of parameters is empty")

    def _keeps(self, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """The names of the arrays remembered for each parameter of a group with these settings."""
        raise NotImplementedError

    def _update(self, param: np.ndarray, grad: np.ndarray, kept: list[np.ndarray], step: int, **settings: Any) -> None:
        """Update a flat slice of a parameter in place; settings: those of the group, and grad_scale."""
        raise NotImplementedError

    def _check(self, settings: Mapping[str, Any]) -> None:
        """ValueError or TypeError for settings that make no sense."""
        for name, value in settings.items():
            if name == "betas":
                if not isinstance(value, (tuple, list)) or len(value) != 2:
                    raise TypeError(f"betas must be a pair of numbers, got {value!r}")
                if not all(0 <= beta < 1 for beta in value):
                    raise ValueError(f"betas must lie in [0, 1), got {tuple(value)}")
            elif isinstance(value, bool) or not isinstance(value, (int, float, np.floating)):
                raise TypeError(f"{name} must be a number, got {type(value).__name__}")
            elif not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be finite and at least 0, got {value}")

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """One more group; ValueError or TypeError, with nothing added, for what cannot be optimised."""
        unknown = set(group) - {"params", *self._common}
        if "params" not in group or unknown:
            raise ValueError(f"a group has 'params' and may set {sorted(self._common)}; got {sorted(group)}")
        settings = {**self._common, **{k: v for k, v in group.items() if k != "params"}}
        self._check(settings)
        given = group["params"]
        new: dict[Tensor, _Slot] = {}
        names = {slot.name: slot for slot in self._slots.values()}
        for entry in [given] if isinstance(given, Tensor) else given:
            name, param = entry if isinstance(entry, tuple) and len(entry) == 2 else (str(len(names)), entry)
            if not isinstance(param, Tensor) or not isinstance(name, str):
                raise TypeError(f"expected Tensors or (name, Tensor) pairs, got {type(param).__name__}")
            if param.data.dtype not in (np.float32, np.float64):
                raise TypeError(f"{name}: only float32 and float64 parameters can be trained, not {param.data.dtype}")
            known = self._slots.get(param) or new.get(param)
            if known is not None:
                raise ValueError(f"parameter {name!r} is the same tensor as {known.name!r}: list it once")
            if name in names:
                raise ValueError(f"two parameters are named {name!r}")
            new[param] = names[name] = _Slot(name, param)
        self._slots |= new
        ratio = settings["lr"] / self._common["lr"] if self._common["lr"] else 1.0
        self.param_groups.append({"params": list(new), **settings, "lr_ratio": ratio})

    @property
    def lr(self) -> float:
        """The common learning rate; assign to change it."""
        return next((group["lr"] / group["lr_ratio"] for group in self.param_groups if group["lr_ratio"]), 0.0)

    @lr.setter
    def lr(self, value: float) -> None:
        self._check({"lr": value})
        for group in self.param_groups:
            group["lr"] = float(value) * group["lr_ratio"]

    def step(self, grad_scale: float = 1.0, *, norm: float | None = None) -> None:
        """Update every parameter that has a gradient. Gradients are read as `grad_scale` times what they are.

        norm: the length of all gradients, or more, where it is known already (`grad_norm`): a finite one spares a look
        at every gradient before the first update. Raises ValueError, nothing changed, when a gradient's shape or dtype
        is not its parameter's, when it is not finite (or so large that its squares are not, where they are needed), and
        for settings that make no sense.
        """
        if not math.isfinite(grad_scale):
            raise ValueError(f"grad_scale must be finite, got {grad_scale}")
        work: list[tuple[_Slot, dict[str, Any]]] = []
        for group in self.param_groups:
            settings = {name: group[name] for name in self._common}
            self._check(settings)
            work += [(self._slot(param), settings) for param in group["params"] if param.grad is not None]
        sizes = [slot.param.size for slot, _ in work]
        threads = self._threads if sum(sizes) >= _WORTH_A_THREAD else 1
        self._refuse([slot for slot, _ in work], sizes, threads, grad_scale, norm)
        jobs = []
        for slot, settings in work:
            data, grad = slot.param.data, slot.param.grad
            if not (data.flags.c_contiguous and data.flags.writeable):
                data = slot.param.data = np.array(data, order="C")
            names = self._keeps(settings)
            for name in names:
                if name not in slot.kept:  # made at the first step with a gradient: frozen parameters cost nothing
                    slot.kept[name] = np.zeros(data.size, data.dtype)
            slot.step += 1
            kept = [slot.kept[name] for name in names]
            jobs.append((data.reshape(-1), grad.reshape(-1), kept, slot.step, settings))  # type: ignore[union-attr]
        total = sum(sizes)

        def share(start: int, stop: int) -> None:
            position = 0
            for data, grad, kept, step, settings in jobs:
                low, high = max(0, start - position), min(data.size, stop - position)
                position += data.size
                if low < high:
                    part = slice(low, high)
                    kept = [array[part] for array in kept]
                    self._update(data[part], grad[part], kept, step, grad_scale=float(grad_scale), **settings)

        # Equal shares of the numbers, not of the parameters: an embedding may be half of the model.
        borders = [total * k // threads for k in range(threads + 1)]
        run_together([functools.partial(share, low, high) for low, high in zip(borders, borders[1:])])

    def _slot(self, param: Tensor) -> _Slot:
        if param not in self._slots:
            raise ValueError("a group holds a parameter that the optimiser was not given: use add_param_group")
        return self._slots[param]

    def _refuse(self, slots: list[_Slot], sizes: list[int], threads: int, scale: float, norm: float | None) -> None:
        """ValueError for gradients that must not be used."""
        unsure = []
        for number, slot in enumerate(slots):
            data, grad = slot.param.data, slot.param.grad
            if grad.shape != data.shape or grad.dtype != data.dtype:  # type: ignore[union-attr]
                raise ValueError(
                    f"the gradient of {slot.name} is {grad.dtype}{grad.shape}, "  # type: ignore[union-attr]
                    f"the parameter {data.dtype}{data.shape}"
                )
            if norm is None or not norm <= self._largest(slot, scale):  # a NaN is not, either
                unsure.append(number)
        shares = balanced_shares([sizes[number] for number in unsure], threads)
        asked = [slots[number] for number in unsure]
        fit = run_over(asked, shares, lambda slot: optimizers.within(slot.param.grad, self._largest(slot, scale)))
        for slot, fits in zip(asked, fit):
            if not fits:
                with np.errstate(invalid="ignore"):
                    largest = np.abs(slot.param.grad).max()  # type: ignore[arg-type]
                what = "not finite, or too large to be squared" if self.squares else "not finite, or too large"
                raise ValueError(
                    f"the gradient of {slot.name} is {what} (up to {largest}): nothing was updated. "
                    "Look at the loss and the learning rate, and clip"
                )

    def _largest(self, slot: _Slot, scale: float) -> float:
        """The largest entry that a gradient may have."""
        most = float(np.finfo(slot.param.dtype).max)
        used = math.sqrt(most) / max(abs(scale), 1e-150) if self.squares else most / max(1.0, abs(scale))
        return min(used, most)

    def zero_grad(self) -> None:
        """Forget all gradients (set them to None)."""
        for param in self._slots:
            param.grad = None

    def state_dict(self) -> dict[str, np.ndarray]:
        """What a resumed run needs: for each parameter that was ever updated what is kept ("m.NAME", …), "step.NAME".

        The arrays kept are the optimiser's own, not copies. Rates and other settings are not part of it.
        """
        state: dict[str, np.ndarray] = {}
        for slot in self._slots.values():
            if slot.step:
                state |= {f"{name}.{slot.name}": kept.reshape(slot.param.shape) for name, kept in slot.kept.items()}
                state[f"step.{slot.name}"] = np.array([slot.step], dtype=np.int64)
        return state

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over a copy of what `state_dict` gave; ValueError, nothing changed, if it is of other parameters."""
        surplus = set(state)
        loaded: list[tuple[_Slot, dict[str, np.ndarray], int]] = []
        for group in self.param_groups:
            names = self._keeps(group)
            for slot in map(self._slot, group["params"]):
                keys = [f"{name}.{slot.name}" for name in (*names, "step")]
                surplus -= set(keys)
                found = [state[key] for key in keys if key in state]
                if not found:
                    loaded.append((slot, {}, 0))
                    continue
                if len(found) < len(keys):
                    raise ValueError(f"the optimiser state of {slot.name} is incomplete: it needs {', '.join(keys)}")
                *arrays, step = found
                for key, array in zip(keys, arrays):
                    if array.shape != slot.param.shape or array.dtype != slot.param.dtype:
                        raise ValueError(
                            f"{key} is {array.dtype}{array.shape}, the parameter {slot.param.dtype}{slot.param.shape}"
                        )
                count = np.asarray(step)
                if count.dtype.kind not in "iu" or count.size != 1 or int(count.reshape(-1)[0]) < 1:
                    raise ValueError(f"{keys[-1]} must be one whole number of at least 1, got {step}")
                kept = {name: array.reshape(-1).copy() for name, array in zip(names, arrays)}
                loaded.append((slot, kept, int(count.reshape(-1)[0])))
        if surplus:
            raise ValueError(
                f"the optimiser state has entries for unknown parameters: {', '.join(sorted(surplus)[:5])}"
            )
        for slot, kept, steps in loaded:
            slot.kept, slot.step = kept, steps
