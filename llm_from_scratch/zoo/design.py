"""A spec in words: its choices one by one, as the map of the year and `zoo diff` show them.

The parts answer for themselves (`layers/described.py`); here is only what the headings are, and how answers are joined.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from typing import Any

from ..layers.described import ask
from ..models.spec import ModelSpec


def choices(spec: ModelSpec) -> dict[str, str]:
    """The design in a few words a heading, without sizes: models of one family mostly read alike.

    >>> from llm_from_scratch.checkpoints import spec
    >>> choices(spec("llama-2-7b"))["feed-forward"], choices(spec("gpt2"))["positions"]
    ('SwiGLU', 'learned')
    """
    placement = _several(layer.placement() for layer in spec.layers)
    placement += ", embedding norm" * (spec.embedding_norm is not None) + ", no final norm" * (spec.norm is None)
    learned = ["learned"] * (spec.positions is not None)
    return {
        "norm": _several(norm.words() for layer in spec.layers for norm in layer.norms),
        "placement": placement,
        "positions": _several([*learned, *(ask(part, "positions") for part in spec.mixers)]) or "none",
        "mixer": _several(ask(part, "words") for part in spec.mixers),
        "feed-forward": _several(ask(part, "words") for part in spec.feed_forwards) or "none",
        "biases": _biases(spec),
        "head": ("tied" if spec.tied else "untied") + ", with a bias" * spec.head_bias,
    }


def details(spec: ModelSpec) -> dict[str, str]:
    """The design with every number, for comparing two models heading by heading."""
    found = {
        "layers": f"{len(spec.layers)}",
        "hidden size": f"{spec.hidden_size}",
        "vocabulary": f"{spec.vocab_size}",
        "context": f"{spec.context_length}",
    }
    sizes: dict[str, list[Any]] = {}
    for part in (*spec.mixers, *spec.feed_forwards):
        for heading, size in ask(part, "sizes").items():
            sizes.setdefault(heading, []).append(size)
    found |= {heading: runs(values) for heading, values in sizes.items()}
    norms = [*(norm for layer in spec.layers for norm in layer.norms), spec.embedding_norm, spec.norm]
    found["norm eps"] = _several(f"{norm.eps:g}" for norm in norms if norm is not None)
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


def _several(words: Iterable[str]) -> str:
    """Different words by falling frequency, each once."""
    return " + ".join(word for word, _ in Counter(filter(None, words)).most_common())


def _biases(spec: ModelSpec) -> str:
    parts: dict[str, bool] = {}
    for part in (*spec.mixers, *spec.feed_forwards):
        for name, has in ask(part, "biases").items():
            parts[name] = parts.get(name, False) or has
    having = [name for name, has in parts.items() if has]
    return "none" if not having else "everywhere" if len(having) == len(parts) else ", ".join(having)
