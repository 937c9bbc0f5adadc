"""A spec in words: its choices one by one, as the map of the year and `zoo diff` show them.

Everything is read off the spec. A mixer or feed-forward part that is not known here is called by the name of its class.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from ..layers import AttentionSpec, FeedForwardSpec, LayerSpec, NormSpec
from ..layers.mixture import MixtureSpec
from .spec import ModelSpec

_ACTIVATIONS = {"gelu": "GELU", "gelu_tanh": "GELU (tanh)", "silu": "SiLU", "relu": "ReLU"}
_GATED = {"silu": "SwiGLU", "gelu": "GeGLU", "gelu_tanh": "GeGLU (tanh)", "relu": "ReGLU"}


def mixers(spec: ModelSpec) -> list[Any]:
    """The mixer of every layer, in order: what is not a feed-forward part."""
    return [part for layer in spec.layers for name, part in functions(layer) if not is_feed_forward(name)]


def feed_forwards(spec: ModelSpec) -> list[Any]:
    """The feed-forward part of every layer that has one."""
    return [part for layer in spec.layers for name, part in functions(layer) if is_feed_forward(name)]


def functions(layer: LayerSpec) -> list[tuple[str, Any]]:
    """(name, spec) of every function in a layer."""
    return [item for branch in layer.branches for item in branch.functions.items()]


def is_feed_forward(name: str) -> bool:
    """Whether a function is a feed-forward part, by its name in the layer."""
    return name.startswith("feed_forward")


def choices(spec: ModelSpec) -> dict[str, str]:
    """The design in a few words a heading, without sizes: models of one family mostly read alike.

    >>> from llm_from_scratch.checkpoints import spec
    >>> choices(spec("llama-2-7b"))["feed-forward"], choices(spec("gpt2"))["positions"]
    ('SwiGLU', 'learned')
    """
    return {
        "norm": _several([norm_in_words(norm) for norm in _norm_specs(spec)]),
        "placement": _placement(spec),
        "positions": _positions(spec),
        "mixer": _several([_mixer(part) for part in mixers(spec)]),
        "feed-forward": _several([_feed_forward(part) for part in feed_forwards(spec)]) or "none",
        "biases": _biases(spec),
        "head": "tied" if spec.tied else "untied, with a bias" if spec.head_bias else "untied",
    }


def details(spec: ModelSpec) -> dict[str, str]:
    """The design with every number, for comparing two models heading by heading."""
    found = {
        "layers": f"{len(spec.layers)}",
        "hidden size": f"{spec.hidden_size}",
        "vocabulary": f"{spec.vocab_size}",
        "context": f"{spec.context_length}",
    }
    attention = [part for part in mixers(spec) if isinstance(part, AttentionSpec)]
    if attention:
        found["heads"] = runs(part.heads for part in attention)
        found["key-value heads"] = runs(part.key_value_heads for part in attention)
        found["width of a head"] = runs(part.head_dim for part in attention)
        found["window"] = runs(part.window or "none" for part in attention)
    widths = [getattr(_expert(part), "intermediate_size", None) for part in feed_forwards(spec)]
    if any(width is not None for width in widths):
        found["feed-forward width"] = runs(width for width in widths if width is not None)
    if any(isinstance(part, MixtureSpec) for part in feed_forwards(spec)):
        found["experts"] = runs(
            f"{part.experts}, {part.chosen} a token" if isinstance(part, MixtureSpec) else "none"
            for part in feed_forwards(spec)
        )
    norms = [norm for norm in (*_norm_specs(spec), spec.embedding_norm, spec.norm) if norm is not None]
    found["norm eps"] = _several([f"{norm.eps:g}" for norm in norms])
    if spec.embedding_size is not None:
        found["embedding size"] = f"{spec.embedding_size}"
    if spec.embedding_scale != 1.0:
        found["embedding scale"] = f"{spec.embedding_scale:.6g}"
    return found | choices(spec)


def runs(values: Iterable[Any]) -> str:
    """Equal neighbours counted: what varies from layer to layer, kept readable.

    >>> runs([4, 4, 4, 2, 2, 1]), runs(["none", 8, "none", 8]), runs([8, 8])
    ('3×4, 2×2, 1', 'none and 8 in turn', '8')
    """
    values = list(values)
    if len(set(values)) == 1:
        return str(values[0])
    if len(values) > 2 and all(value == values[i % 2] for i, value in enumerate(values)):
        return f"{values[0]} and {values[1]} in turn"
    counted = [(len(list(group)), value) for value, group in itertools.groupby(values)]
    return ", ".join(f"{count}×{value}" if count > 1 else f"{value}" for count, value in counted)


def _several(words: Sequence[str]) -> str:
    """Different words by falling frequency, each once."""
    return " + ".join(dict.fromkeys(word for word, _ in Counter(words).most_common()))


def _norm_specs(spec: ModelSpec) -> list[NormSpec]:
    found: list[NormSpec] = []
    for layer in spec.layers:
        for branch in layer.branches:
            found += [
                norm for norm in (*branch.norms_before, branch.norm_branch, branch.norm_after) if norm is not None
            ]
    return found


def norm_in_words(norm: NormSpec) -> str:
    """Which norm it is, and what it has learned.

    >>> norm_in_words(NormSpec(8)), norm_in_words(NormSpec(8, "layer", bias=False))
    ('LayerNorm', 'LayerNorm, no bias')
    """
    name = {"layer": "LayerNorm", "rms": "RMSNorm"}.get(norm.kind, norm.kind)
    name += " with eps outside" if norm.eps_outside else ""
    name += " by 1 + w" if norm.plus_one else ""
    if not norm.weight:
        return f"{name}, nothing learned"
    return f"{name}, no bias" if norm.kind == "layer" and not norm.bias else name


def _placement(spec: ModelSpec) -> str:
    def word(layer: LayerSpec) -> str:
        branch = layer.branches[0]
        if branch.residual_is_normed:
            name = "pre, normed residual" + (f" × {branch.alpha:.3g}" if branch.alpha != 1 else "")
        else:
            places = ["pre"] * bool(branch.norms_before) + ["on the branch"] * (branch.norm_branch is not None)
            places += ["post"] * (branch.norm_after is not None)
            name = " and ".join(places) or "no norms"
            name += f", residual × {branch.alpha:.3g}" if branch.alpha != 1 else ""
        if len(branch.functions) > 1:
            name += f", parallel ({len(branch.norms_before)} norm{'s' * (len(branch.norms_before) > 1)})"
        return name

    found = _several([word(layer) for layer in spec.layers])
    found += ", embedding norm" if spec.embedding_norm is not None else ""
    return found + (", no final norm" if spec.norm is None else "")


def _positions(spec: ModelSpec) -> str:
    found = ["learned"] if spec.positions is not None else []
    for part in mixers(spec):
        rotary, slopes = getattr(part, "rotary", None), getattr(part, "slopes", None)
        if rotary is not None:
            width = getattr(part, "head_dim", rotary.dims)
            share = "" if rotary.dims == width else f" on {rotary.dims / width:.0%}"
            base = "" if rotary.base == 10000 else f", base {rotary.base:,.0f}"
            scaling = "" if rotary.factor == 1 else f", ÷ {rotary.factor:g}"
            scaling += "" if getattr(rotary, "stretch", None) is None else f", {_words(type(rotary.stretch))}"
            scaling += "" if getattr(rotary, "factors", None) is None else ", ÷ a number a pair"
            found.append(f"rotary{share}{base}{scaling}")
        if slopes is not None:
            found.append("ALiBi")
        if "relative" in _words(type(part)):
            found.append("relative")
    return _several(found) or "none"


def function_in_words(name: str, part: Any) -> str:
    """What a function of a layer is, by its name there and its spec."""
    return _feed_forward(part) if is_feed_forward(name) else _mixer(part)


def _mixer(part: Any) -> str:
    if not isinstance(part, AttentionSpec):
        return _words(type(part))
    if part.key_value_heads == part.heads:
        name = "multi-head"
    else:
        name = "multi-query" if part.key_value_heads == 1 else "grouped-query"
    extras = [f"window {part.window}"] if part.window else []
    extras += ["clipped"] * bool(getattr(part, "clip", None))
    if (norm := part.query_norm or part.key_norm) is not None:
        extras.append("query-key norm" + " per head" * (norm.size == part.head_dim and part.heads > 1))
    extras += ["log-n"] * bool(getattr(part, "log_n", None))
    return ", ".join([name, *extras])


def _feed_forward(part: Any) -> str:
    if isinstance(part, FeedForwardSpec):
        return (_GATED if part.gated else _ACTIVATIONS)[part.activation]
    if isinstance(part, MixtureSpec):
        return f"{_feed_forward(part.expert)}, {part.chosen} of {part.experts} experts"
    return _words(type(part))


def _expert(part: Any) -> Any:
    return part.expert if isinstance(part, MixtureSpec) else part


def _biases(spec: ModelSpec) -> str:
    parts = {"query, key, value": False, "output": False, "feed-forward": False}
    absent = set(parts)
    for layer in spec.layers:
        for name, part in functions(layer):
            if isinstance(part, AttentionSpec):
                parts["query, key, value"] |= part.bias
                parts["output"] |= part.output_bias
                absent -= {"query, key, value", "output"}
            elif not is_feed_forward(name) and getattr(part, "bias", False):
                parts[_words(type(part))] = True
            elif is_feed_forward(name):
                parts["feed-forward"] |= bool(getattr(_expert(part), "bias", False))
                absent.discard("feed-forward")
    present = [name for name in parts if name not in absent]
    having = [name for name in present if parts[name]]
    return "none" if not having else "everywhere" if having == present else ", ".join(having)


def _words(kind: type) -> str:
    """RelativeAttentionSpec -> relative attention."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.__name__.removesuffix("Spec")).lower()
