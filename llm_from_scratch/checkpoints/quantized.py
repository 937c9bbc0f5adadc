"""Quantised matrices on disk, to the byte: arrays as tensors under our own names, and in `spec.json` what they are.

    "quantization": {"layers.0.mixer.query.weight": {"kind": "nf4", "fields": {"block_size": 64, …}}, …}

and the tensors `layers.0.mixer.query.weight.packed`, … beside those of everything that is left in floating point. A
published layout has no place for such tensors (and fuses or turns matrices that are quantised one by one), so all of
the model goes under our own names. For other libraries there is a `config.json` that says so: of an unknown model type,
which they refuse, where a known one would be filled with random numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..families.published.weights import Binding, Store
from ..files.safetensors import Entry, TensorSource
from ..files.strict_json import json_entry
from ..layers import StoredWeight
from ..models import Decoder
from ..quantization.stored import FORMS
from .own_layout import table_of

METHOD = "llm_from_scratch"


def described(weights: Mapping[str, Any]) -> dict[str, Any]:
    """What `spec.json` says of those weights that are quantised: nothing where there are none."""
    stored = {name: weight for name, weight in weights.items() if isinstance(weight, StoredWeight)}
    return {name: {"kind": weight.kind, "fields": weight.fields()} for name, weight in stored.items()}


def notice(model: Any) -> dict[str, Any]:
    """The `config.json` that tells other libraries what they have opened."""
    about = {"quant_method": METHOD, "model_type": model.config.get("model_type", "none"), "read": "spec.json"}
    return {"model_type": f"{METHOD}_quantized", "quantization_config": about}


def sources(
    weights: Mapping[str, Any], bindings: list[Binding], formats: Mapping[str, np.dtype]
) -> dict[str, TensorSource | np.ndarray]:
    """All tensors to be written, under our own names.

    formats: number formats that floating-point tensors were stored in, by their published names or by ours; a tensor
    is stored so again if it loses nothing by that.
    """
    published = {ours: binding.theirs for binding in bindings for ours in binding.ours}
    found: dict[str, TensorSource | np.ndarray] = {}
    for name, weight in weights.items():
        if isinstance(weight, StoredWeight):
            found.update({f"{name}.{part}": array for part, array in weight.arrays().items()})
            continue
        dtype = formats.get(name, formats.get(published[name], weight.dtype))
        with np.errstate(over="ignore"):
            exact = dtype.itemsize < weight.itemsize and np.array_equal(
                weight, weight.astype(dtype).astype(weight.dtype)
            )
        found[name] = TensorSource(dtype, weight.shape, _converted(weight, dtype)) if exact else weight
    return found


def _converted(weight: np.ndarray, dtype: np.dtype) -> Any:
    return lambda: weight.astype(dtype)


def load(
    model: Decoder, store: Store, said: Mapping[str, Any], dtype: np.dtype | None, *, dequantize: bool
) -> dict[str, np.dtype]:
    """Fill a decoder of placeholders from tensors under our own names; the number formats found.

    said: what `described` told. dequantize: make numbers of quantised matrices, as if they were plain ones. Raises
    ValueError for tensors that are missing, surplus or do not fit, TypeError for float64 without dequantize.
    """
    if dtype == np.float64 and not dequantize:
        raise TypeError(
            "quantised weights compute in float32: leave dtype away, or dequantize=True makes numbers of them"
        )
    rest = _Rest(store, {name: read_weight(store, name, entry) for name, entry in said.items()}, dequantize)
    formats = table_of(name for name, _ in model.named_parameters()).load(model, rest, dtype or np.dtype(np.float32))
    if dequantize:
        return {name: kind for name, kind in formats.items() if name not in rest.weights}
    kept = {name.rpartition(".")[0]: weight for name, weight in rest.weights.items()}
    paths = {id(module): path for path, module in model.named_modules() if path in kept}
    model.replace(
        lambda path, _: path in kept, lambda module: kept[paths[id(module)]].layer(getattr(module, "bias", None))
    )
    return {name: kind for name, kind in formats.items() if name not in rest.weights}


def read_weight(store: Store, name: str, said: Any) -> StoredWeight:
    """One weight, in memory of its own."""
    form = FORMS.get(kind := json_entry(said, "kind", "text", name))
    if form is None:
        raise ValueError(f"{name} is kept as {kind!r}; known are {', '.join(FORMS)}")
    fields = json_entry(said, "fields", "an object", name)
    tensors = {part.removeprefix(f"{name}."): part for part in store if part.startswith(f"{name}.")}
    arrays = {
        part: np.array(store[tensor], store.entry(tensor).dtype.newbyteorder("=")) for part, tensor in tensors.items()
    }
    for tensor in tensors.values():
        store.release(tensor)
    try:
        weight = form.of_parts(arrays, fields)
        if weight.fields() != fields or weight.arrays().keys() != arrays.keys():
            raise ValueError(f"its parts are {[*weight.arrays(), *weight.fields()]}")
        return weight
    except (ValueError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{name} is no {kind} weight of {[*arrays, *fields]}: {error}") from None


class _Rest:
    """A store in which each quantised weight is one tensor: of its numbers, or of zeros that nobody writes."""

    def __init__(self, store: Store, weights: Mapping[str, StoredWeight], expand: bool) -> None:
        self._store, self.weights, self._expand = store, weights, expand
        self._parts = {f"{name}.{part}" for name, weight in weights.items() for part in weight.arrays()}

    def __iter__(self) -> Iterator[str]:
        yield from self.weights
        yield from (name for name in self._store if name not in self._parts)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.weights:
            return self._store[name]
        weight = self.weights[name]
        return weight.expand() if self._expand else np.broadcast_to(np.float32(0), weight.shape)

    def entry(self, name: str) -> Any:
        if name not in self.weights:
            return self._store.entry(name)
        return Entry(np.dtype(np.float32), tuple(self.weights[name].shape), 0, 0)

    def copy(self, name: str, view: np.ndarray, into: np.ndarray) -> None:
        if name not in self.weights:
            self._store.copy(name, view, into)
        elif self._expand:
            into[...] = view

    def release(self, name: str) -> None:
        if name not in self.weights:
            self._store.release(name)
