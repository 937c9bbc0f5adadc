"""What all optimisers have in common: groups, state, threads, and the refusal of gradients that are not finite.

The arithmetic is in `kernels/optimizers.py`; each optimiser is a file of its own that names its settings, what it keeps
for a parameter, and the kernel.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..kernels import optimizers
from .pieces import Piece, Places, between
from .rounding import keys_of, update_in_pieces
from .workers import resolve_threads, run_together, worth_threads

_ALIGNED = 32  # numbers: every array of a block begins where a line of the cache does


class _Slot:
    """One parameter and what is remembered about it: `kept`, flat arrays by name, made when they are first needed."""

    __slots__ = ("kept", "name", "number", "param", "share", "step")

    def __init__(self, name: str, param: Tensor, number: int) -> None:
        self.name, self.param, self.number, self.step = name, param, number, 0
        self.share = slice(0, param.size)  # of its numbers, those that are updated here
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

    What is kept for a parameter that is stored in bfloat16 is stored so, too (see `storage`). `rounding_seed`: the seed
    of rounding by chance, which repeats whatever the number of threads; None rounds to the nearest.
    """

    squares = False  # whether the gradient is squared, and must be small enough for that
    rounding_seed: int | None = None

    def __init__(self, params: Iterable[Any], settings: Mapping[str, Any], threads: int | None) -> None:
        self._threads = resolve_threads(threads)
        self._common = dict(settings)
        self._check(self._common)
        self._slots: dict[Tensor, _Slot] = {}
        self._collect: Callable[[Tensor, np.ndarray], np.ndarray] = lambda param, kept: kept
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
            if param.dtype not in (np.float32, np.float64):
                raise TypeError(f"{name}: only float32 and float64 parameters can be trained, not {param.dtype}")
            known = self._slots.get(param) or new.get(param)
            if known is not None:
                raise ValueError(f"parameter {name!r} is the same tensor as {known.name!r}: list it once")
            if name in names:
                raise ValueError(f"two parameters are named {name!r}")
            new[param] = names[name] = _Slot(name, param, len(names))
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
        slots = [slot for slot, _ in work]
        sizes = [slot.share.stop - slot.share.start for slot in slots]
        threads = worth_threads(sum(sizes), self._threads)
        # Equal shares of the numbers, not of the parameters: an embedding may be half of the model.
        borders = [sum(sizes) * k // threads for k in range(threads + 1)]
        shares = [between(sizes, *ends) for ends in zip(borders, borders[1:])]
        self._refuse(slots, shares, grad_scale, norm)
        self._remember([(slot, self._keeps(settings)) for slot, settings in work])
        known: dict[tuple[int, int], dict[str, Any]] = {}  # parameters of one group and age share their settings
        pieces = []
        for slot, settings in work:
            data = slot.param.stored
            if not (data.flags.c_contiguous and data.flags.writeable):
                slot.param.data = np.array(data, order="C")
                data = slot.param.stored
            slot.step += 1
            key = id(settings), slot.step
            if key not in known:
                known[key] = {**settings, "grad_scale": float(grad_scale), "step": slot.step}
            arrays = [data.reshape(-1)[slot.share], *(slot.kept[name] for name in self._keeps(settings))]
            pieces.append(Piece(slot.number, arrays, _shared(slot), slot.share.start, known[key]))
        run_together([functools.partial(self._update_share, pieces, share) for share in shares])

    def _update_share(self, pieces: list[Piece], share: Places) -> None:
        mine = [pieces[number].part(low, high) for number, low, high in share]
        self._update_each([piece for piece in mine if not piece.rounded])
        for piece in mine:
            if piece.rounded:
                self._update_rounded(piece)

    def _update_each(self, pieces: list[Piece]) -> None:
        """Update flat slices of several parameters in place."""
        for piece in pieces:
            self._update(piece.arrays[0], piece.grad, piece.arrays[1:], **piece.settings)

    def _update_rounded(self, piece: Piece) -> None:
        """Update what is stored in bfloat16."""

        def update(arrays: list[np.ndarray], grad: np.ndarray, first: int) -> None:
            self._update(arrays[0], grad, arrays[1:], **piece.settings)

        seed, place = self.rounding_seed, (piece.settings["step"], piece.number)
        keys = None if seed is None else keys_of(seed, *place, count=len(piece.arrays))
        update_in_pieces(update, piece.arrays, piece.grad, piece.first, keys)

    def _remember(self, work: list[tuple[_Slot, tuple[str, ...]]]) -> None:
        """Zeros for what is remembered from this step on: frozen parameters cost nothing.

        All are cut from one block, which the system can give in large pages: an update walks through several arrays at
        once, and would else ask every few hundred numbers where in memory the next page lies.
        """
        new: dict[np.dtype, list[tuple[_Slot, str]]] = {}
        for slot, names in work:
            dtype = slot.param.stored.dtype
            for name in names:
                kept = slot.kept.get(name)
                if kept is None:
                    new.setdefault(dtype, []).append((slot, name))
                elif kept.dtype != dtype:  # the parameter was stored otherwise meanwhile
                    slot.kept[name] = kept.astype(dtype)
        for dtype, places in new.items():
            ends = np.cumsum([-(-(slot.share.stop - slot.share.start) // _ALIGNED) * _ALIGNED for slot, _ in places])
            block = np.zeros(ends[-1], dtype)
            for start, (slot, name) in zip([0, *ends], places):
                slot.kept[name] = block[start : start + slot.share.stop - slot.share.start]

    def _slot(self, param: Tensor) -> _Slot:
        if param not in self._slots:
            raise ValueError("a group holds a parameter that the optimiser was not given: use add_param_group")
        return self._slots[param]

    def _refuse(self, slots: list[_Slot], shares: list[Places], scale: float, norm: float | None) -> None:
        """ValueError for gradients that must not be used.

        A thread looks at what it will update, the last first: what it looked at last is still near when it begins.
        """
        largest = {dtype: self._largest(dtype, scale) for dtype in {slot.param.dtype for slot in slots}}
        sure = {dtype: norm is not None and norm <= most for dtype, most in largest.items()}  # a NaN is not
        for slot in slots:
            param, grad = slot.param, slot.param.grad
            if grad.shape != param.shape or grad.dtype != param.dtype:  # type: ignore[union-attr]
                raise ValueError(
                    f"the gradient of {slot.name} is {grad.dtype}{grad.shape}, "  # type: ignore[union-attr]
                    f"the parameter {param.dtype}{param.shape}"
                )
        if all(sure.values()):
            return
        grads = [_shared(slot) for slot in slots]

        def fit(share: Places) -> bool:
            asked = [(grads[number], low, high) for number, low, high in reversed(share)]
            parts = [(grad[low:high], largest[grad.dtype]) for grad, low, high in asked if not sure[grad.dtype]]
            return all(optimizers.each_within(*zip(*parts))) if parts else True

        if all(run_together([functools.partial(fit, share) for share in shares])):
            return
        for slot, grad in zip(slots, grads):
            if not optimizers.within(grad, largest[grad.dtype]):
                with np.errstate(invalid="ignore"):
                    found = np.abs(grad).max()
                what = "not finite, or too large to be squared" if self.squares else "not finite, or too large"
                raise ValueError(
                    f"the gradient of {slot.name} is {what} (up to {found}): nothing was updated. "
                    "Look at the loss and the learning rate, and clip"
                )

    def _largest(self, dtype: np.dtype, scale: float) -> float:
        """The largest entry that a gradient may have."""
        most = float(np.finfo(dtype).max)
        used = math.sqrt(most) / max(abs(scale), 1e-150) if self.squares else most / max(1.0, abs(scale))
        return min(used, most)

    def keep_shares(self, shares: Mapping[Tensor, slice], collect: Callable[[Tensor, np.ndarray], np.ndarray]) -> None:
        """From now on update only these slices of the parameters, as flat arrays, and remember no more than they need.

        collect: makes the whole of a parameter's array from what is remembered here, for `state_dict`. ValueError when
        something is remembered already, or a parameter has no slice.
        """
        missing = [slot.name for param, slot in self._slots.items() if param not in shares]
        if missing or any(slot.step for slot in self._slots.values()):
            raise ValueError(
                f"{missing[0]} has no share" if missing else "shares are given out before the first step, not after it"
            )
        for param, slot in self._slots.items():
            slot.share = shares[param]
        self._collect = collect

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
                for name, kept in slot.kept.items():
                    state[f"{name}.{slot.name}"] = self._collect(slot.param, kept).reshape(slot.param.shape)
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
                    stored = slot.param.stored
                    if array.shape != stored.shape or array.dtype != stored.dtype:
                        raise ValueError(
                            f"{key} is {array.dtype}{array.shape}, the parameter {stored.dtype}{stored.shape}"
                        )
                count = np.asarray(step)
                if count.dtype.kind not in "iu" or count.size != 1 or int(count.reshape(-1)[0]) < 1:
                    raise ValueError(f"{keys[-1]} must be one whole number of at least 1, got {step}")
                kept = {name: array.reshape(-1)[slot.share].copy() for name, array in zip(names, arrays)}
                loaded.append((slot, kept, int(count.reshape(-1)[0])))
        if surplus:
            raise ValueError(
                f"the optimiser state has entries for unknown parameters: {', '.join(sorted(surplus)[:5])}"
            )
        for slot, kept, steps in loaded:
            slot.kept, slot.step = kept, steps


def _shared(slot: _Slot) -> np.ndarray:
    return slot.param.grad.reshape(-1)[slot.share]  # type: ignore[union-attr]
