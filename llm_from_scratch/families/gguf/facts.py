"""A GGUF file's metadata as a published config, and a spec as metadata, by one table read both ways.

A `Fact` is one number of the metadata: what the config calls it, and where a spec has it. What an architecture cannot
say is found by reading back what was written: a spec that comes out another is refused, the first difference named.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...models.spec import ModelSpec
from ..published.weights import Row, WeightTable

Sizes = dict[str, Any]


@dataclass(frozen=True)
class Fact:
    """`key` of the metadata, behind the architecture's name and a dot, is `option` of the config.

    option: a config's key, or a word of `published/sizes.py`. of: where a spec has it. default: what it means that a
    file does not have it, None if that is an error; it may be computed from the sizes found before.
    """

    key: str
    option: str
    of: Callable[[ModelSpec], Any]
    kind: type = int
    default: Any = None
    told: bool = True  # False: written only where it is not the default


SIZES = (
    Fact("block_count", "layers", lambda spec: len(spec.layers)),
    Fact("context_length", "context", lambda spec: spec.context_length),
    Fact("embedding_length", "width", lambda spec: spec.hidden_size),
    Fact("feed_forward_length", "feed_forward", lambda spec: spec.feed_forwards[0].intermediate_size),
    Fact("attention.head_count", "heads", lambda spec: spec.mixers[0].heads),
    Fact(
        "attention.head_count_kv",
        "key_value_heads",
        lambda spec: spec.mixers[0].key_value_heads,
        default=lambda sizes: sizes["heads"],
    ),
    Fact(
        "attention.key_length",
        "head_dim",
        lambda spec: spec.mixers[0].head_dim,
        default=lambda sizes: sizes["width"] // sizes["heads"],
        told=False,
    ),
)
"""What all architectures with attention have."""

# Beside an architecture's own facts: read where it has rotary positions, or known to change nothing.
_ROTARY = frozenset(
    "rope.dimension_count rope.freq_base rope.scaling.type rope.scaling.factor rope.scale_linear".split()
)
_HARMLESS = frozenset(
    "vocab_size context_length tensor_data_layout attention.value_length rope.scaling.original_context_length".split()
)
FACTORS = "rope_freqs.weight"
"""A tensor that is no weight: a divisor for each rotary pair (LLaMA 3.1)."""


@dataclass(frozen=True)
class Header:
    """What a file says before its weights: its metadata and the shapes of its tensors.

    read(name): the numbers of a small tensor. equal(name, name): whether two tensors are the same, byte for byte.
    """

    metadata: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]
    read: Callable[[str], np.ndarray]
    equal: Callable[[str, str], bool]

    def get(self, architecture: str, fact: Fact, default: Any = None) -> Any:
        """One fact, the same for all layers. ValueError where it is missing or of another kind."""
        key = f"{architecture}.{fact.key}"
        value = self.metadata.get(key, default)
        if isinstance(value, np.ndarray):  # one number a layer
            distinct = np.unique(value)
            if len(distinct) != 1:
                raise ValueError(f"{key} differs from layer to layer ({distinct.tolist()}): not supported")
            value = distinct[0].item()
        if value is None:
            raise ValueError(f"the metadata has no {key}")
        wanted: Any = (int, float) if fact.kind is float else fact.kind
        if not isinstance(value, wanted) or isinstance(value, bool) != (fact.kind is bool):
            what = {bool: "true or false", str: "a word"}.get(fact.kind, "a number")
            raise ValueError(f"{key} must be {what}, not {value!r:.60}")
        return float(str(np.float32(value))) if fact.kind is float else value  # 1e-5, stored as float32


@dataclass(frozen=True)
class Architecture:
    """One architecture of GGUF files.

    families: whose models it can hold; a file is read as the first, unless `family` chooses. always: options that
    hold of every file. finish: completes the config that was read; more: further metadata of a config. own: sizes that
    `finish` reads. values: tensors of which a file holds a function of ours, as (theirs to ours, ours to theirs).
    """

    name: str
    families: tuple[str, ...]
    rows: Callable[[ModelSpec], tuple[Row, ...]]
    facts: tuple[Fact, ...] = ()
    sizes: tuple[Fact, ...] = SIZES
    always: Mapping[str, Any] = field(default_factory=dict)
    own: frozenset[str] = frozenset()
    rotary: bool = False
    head_needed: bool = False  # the library wants a head even where it is the embedding
    family: Callable[[Header], str] | None = None
    finish: Callable[[dict[str, Any], Sizes, Header], Mapping[str, Any]] = lambda config, sizes, header: {}
    more: Callable[[Mapping[str, Any], ModelSpec], Mapping[str, Any]] = lambda config, spec: {}
    values: Mapping[str, tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]] = field(
        default_factory=dict
    )

    def table(self, spec: ModelSpec) -> WeightTable:
        """Which tensor is which."""
        return WeightTable(self.rows(spec), (FACTORS, *["output.weight"] * (self.head_needed and spec.tied)))

    # --- Reading --------------------------------------------------------------------------------------------------

    def family_of(self, header: Header) -> str:
        """Which family a file's model belongs to."""
        return self.families[0] if self.family is None else self.family(header)

    def config(self, header: Header, keys: Mapping[str, str]) -> dict[str, Any]:
        """A file's metadata as a config. keys: what the family calls its sizes. ValueError names what is not known."""
        self._check_known(header.metadata)
        sizes: Sizes = {}
        for fact in self.sizes:
            default = fact.default(sizes) if callable(fact.default) else fact.default
            sizes[fact.option] = value = header.get(self.name, fact, default)
            if value < 1:
                raise ValueError(f"impossible sizes: {value} {fact.option.replace('_', '-')}")
        config = {keys[word]: value for word, value in sizes.items() if word in keys}
        if "heads" in sizes:
            sizes.setdefault("head_dim", sizes["width"] // sizes["heads"])
            self._check_implied(sizes, keys, header)
        for fact in self.facts:
            config[fact.option] = header.get(self.name, fact, fact.default)
        config |= self.always
        table = header.shapes.get("token_embd.weight")
        if table is None or len(table) != 2:
            raise ValueError("there is no matrix token_embd.weight: the embedding is missing")
        config["vocab_size"] = table[0]
        config["tie_word_embeddings"] = "output.weight" not in header.shapes
        if self.head_needed and header.shapes.get("output.weight") == table:
            config["tie_word_embeddings"] = header.equal("output.weight", "token_embd.weight")
        if self.rotary:
            config |= self._scaling(header, sizes)
        config.update(self.finish(config, sizes, header))
        return config

    def _check_known(self, metadata: Mapping[str, Any]) -> None:
        facts = {fact.key for fact in (*self.sizes, *self.facts)}
        known = facts | _HARMLESS | (_ROTARY if self.rotary else set())
        for key, value in metadata.items():
            option = key.removeprefix(self.name + ".")
            neutral = (option == "attention.causal" and value is True) or (np.ndim(value) == 0 and not value)
            if option != key and option not in known and not neutral:
                raise ValueError(
                    f"{key} = {value!r:.60} is not known here, and a model that ignored it might be silently wrong"
                )

    def _check_implied(self, sizes: Sizes, keys: Mapping[str, str], header: Header) -> None:
        """What the family's config cannot say has to be what it means."""
        means = {"key_value_heads": sizes["heads"], "head_dim": sizes["width"] // sizes["heads"]}
        means["feed_forward"] = 4 * sizes["width"]
        for fact in self.sizes:
            wanted = means.get(fact.option)
            if wanted is not None and fact.option not in (*keys, *self.own) and sizes[fact.option] != wanted:
                raise ValueError(f"{self.name}.{fact.key} is {sizes[fact.option]}, only {wanted} is supported here")
        for key in ("attention.value_length", *["rope.dimension_count"] * ("turned" not in self.own)):
            value = header.metadata.get(f"{self.name}.{key}", sizes["head_dim"])
            if value != sizes["head_dim"]:
                raise ValueError(
                    f"{self.name}.{key} {value!r:.60} is not the width {sizes['head_dim']} of a head: not supported"
                )

    def _scaling(self, header: Header, sizes: Sizes) -> dict[str, Any]:
        """rope_scaling: one factor, or a divisor for each pair. Without a type, as in files of 2023, it is linear."""
        key = f"{self.name}.rope.scaling.type"
        kind = header.metadata.get(key)
        if not (kind is None or isinstance(kind, str)) or kind not in (None, "none", "linear"):
            raise ValueError(f"{key} {kind!r:.60} is not supported; supported: none, linear")
        factor = 0.0
        for name in ("rope.scale_linear", "rope.scaling.factor"):
            factor = header.get(self.name, Fact(name, "", lambda spec: None, float), factor)
        if kind == "none":
            factor = 0.0
        elif kind == "linear" and not factor:
            raise ValueError(f"the metadata has no {self.name}.rope.scaling.factor")
        if FACTORS in header.shapes:
            found = self._factors(header, sizes) * (factor or 1.0)
            listed = dict.fromkeys(("short_factor", "long_factor"), found.tolist())
            kept = {"attention_factor": 1.0, "factor": 1.0, "original_max_position_embeddings": sizes["context"]}
            return {"rope_scaling": {"type": "longrope", **listed, **kept}}
        return {"rope_scaling": {"type": "linear", "factor": float(factor)}} if factor else {}

    def _factors(self, header: Header, sizes: Sizes) -> np.ndarray:
        pairs = sizes["head_dim"] // 2
        if header.shapes[FACTORS] != (pairs,):
            raise ValueError(f"{FACTORS} must be {pairs} numbers, one a rotary pair, not {header.shapes[FACTORS]}")
        found = header.read(FACTORS).astype(np.float64)
        if not (np.isfinite(found) & (found > 0)).all():
            raise ValueError(f"{FACTORS} holds divisors that are not positive numbers")
        return found

    # --- Writing --------------------------------------------------------------------------------------------------

    def metadata(self, spec: ModelSpec, config: Mapping[str, Any]) -> dict[str, Any]:
        """A spec as metadata; `check` says whether they hold all of it."""
        if self.rotary and getattr(spec.mixers[0], "rotary", None) is None:
            raise ValueError("its positions are rotary, this model's are not (ALiBi)")
        found: dict[str, Any] = {"general.architecture": self.name}
        sizes: Sizes = {}
        for fact in (*self.sizes, *self.facts):
            sizes[fact.option] = value = fact.of(spec)
            default = fact.default(sizes) if callable(fact.default) else fact.default
            if value is not None and (fact.told or value != default):
                found[f"{self.name}.{fact.key}"] = fact.kind(value)
        if f"{self.name}.attention.key_length" in found:
            found[f"{self.name}.attention.value_length"] = found[f"{self.name}.attention.key_length"]
        if self.rotary:
            rotary = spec.mixers[0].rotary
            found[f"{self.name}.rope.dimension_count"] = rotary.dims
            if rotary.factor != 1.0:
                found |= {f"{self.name}.rope.scaling.type": "linear", f"{self.name}.rope.scaling.factor": rotary.factor}
        return found | {f"{self.name}.{key}": value for key, value in self.more(config, spec).items()}

    def check(self, spec: ModelSpec, read: ModelSpec) -> None:
        """ValueError unless a file written of `spec`, of which `read` was read, says all that concerns the logits."""
        found = first_difference(spec, read)
        if found:
            where, ours, theirs = found
            word = _WORDS.get(where.rpartition(".")[2])
            raise ValueError(
                f"{where} is {ours!r:.80}{f' ({word})' if word else ''}, but who reads the file takes {theirs!r:.80}"
            )


_WORDS = {
    "stretch": "dynamic NTK: a rotary base that changes with the length",
    "log_n": "log-n attention",
    "window": "a sliding window",
    "slopes": "ALiBi",
    "scale": "what attention scores are multiplied by",
}
# Where fresh weights come from, and what training alone does: nothing of the logits.
_TRAINING = frozenset(
    "init output_init value_init embedding_init head_init router_init dropout embedding_dropout balance apart "
    "embedding_gradient_scale step step_weight_bound step_weight_constant output_scale".split()
)


def first_difference(ours: Any, theirs: Any, where: str = "spec") -> tuple[str, Any, Any] | None:
    """Where two specs first differ, as (path, here, there), numbers to 6 digits; what concerns training is left out.

    >>> from ...layers import NormSpec
    >>> first_difference(NormSpec(8, eps=1e-5), NormSpec(8, eps=1e-6))
    ('spec.eps', 1e-05, 1e-06)
    """
    if isinstance(ours, float) and isinstance(theirs, (int, float)):
        return None if math.isclose(ours, theirs, rel_tol=1e-6) else (where, ours, theirs)
    pairs: Sequence[tuple[str, Any, Any]]
    if type(ours) is not type(theirs):
        return where, ours, theirs
    if dataclasses.is_dataclass(ours):
        names = [f.name for f in dataclasses.fields(ours) if f.name not in _TRAINING]
        pairs = [(f"{where}.{name}", getattr(ours, name), getattr(theirs, name)) for name in names]
    elif isinstance(ours, Mapping) and ours.keys() == theirs.keys():
        pairs = [(f"{where}.{key}", ours[key], theirs[key]) for key in ours]
    elif isinstance(ours, tuple) and len(ours) != len(theirs):
        return f"the number of {where}", len(ours), len(theirs)
    elif isinstance(ours, tuple):
        pairs = [(f"{where}[{i}]", a, b) for i, (a, b) in enumerate(zip(ours, theirs, strict=True))]
    else:
        return None if ours == theirs else (where, ours, theirs)
    return next(filter(None, (first_difference(a, b, path) for path, a, b in pairs)), None)
