"""The techniques that `adapt` knows: how each is put on a model, with which settings, and where it comes from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from .. import adapters


@dataclasses.dataclass(frozen=True)
class Technique:
    """A row of `adapt --methods`. settings: its own, with their defaults; add: puts it on a model with these.

    kept: whether it leaves something beside the model; else the model itself is what is saved. lr: a rate that suits.
    """

    name: str
    about: str
    source: str
    settings: Mapping[str, Any]
    add: Callable[..., Any]
    lr: float
    kept: bool = True


_LORA = {"rank": 8, "alpha": 16, "targets": ("query", "value"), "dropout": 0.0}

TECHNIQUES: dict[str, Technique] = {
    technique.name: technique
    for technique in (
        Technique("lora", "a product of two narrow matrices beside a matrix", "arXiv:2106.09685", _LORA,
                  adapters.add_lora, 3e-3),
        Technique("rslora", "LoRA scaled by alpha over the root of the rank", "arXiv:2312.03732", _LORA,
                  lambda model, **settings: adapters.add_lora(model, stabilized=True, **settings), 3e-3),
        Technique("dora", "LoRA for the direction of each column, a number for its length", "arXiv:2402.09353", _LORA,
                  lambda model, **settings: adapters.add_lora(model, decomposed=True, **settings), 3e-3),
        Technique("ia3", "a factor for each key, value and inner entry", "arXiv:2205.05638",
                  {"targets": ("key", "value", "down"), "of_inputs": ("down",)}, adapters.add_ia3, 3e-2),
        Technique("prefix", "learned keys and values before those of the text", "arXiv:2101.00190", {"length": 20},
                  adapters.add_prefix, 3e-2),
        Technique("reparametrised-prefix", "the same, made by a small network", "arXiv:2101.00190", {"length": 20},
                  lambda model, **settings: adapters.add_prefix(model, reparametrized=True, **settings), 3e-3),
        Technique("prompt", "learned rows before those of the text's tokens", "arXiv:2104.08691", {"length": 20},
                  adapters.add_prompt, 3e-2),
        Technique("houlsby", "a bottleneck after every mixer and feed-forward part", "arXiv:1902.00751", {"size": 16},
                  adapters.add_bottleneck, 3e-3),
        Technique("pfeiffer", "a bottleneck after every feed-forward part", "arXiv:2005.00247", {"size": 16},
                  lambda model, **settings: adapters.add_bottleneck(model, placement="pfeiffer", **settings), 3e-3),
        Technique("bitfit", "the biases that the model has, and nothing else", "arXiv:2106.10199", {},
                  adapters.train_biases, 3e-3, kept=False),
        Technique("full", "everything, as the others are compared with", "", {}, lambda model: None, 1e-3, kept=False),
    )
}  # fmt: skip


def find_technique(name: str) -> Technique:
    """A technique by its name; ValueError listing all."""
    if name not in TECHNIQUES:
        raise ValueError(f"there is no technique {name!r}; there are {', '.join(TECHNIQUES)}")
    return TECHNIQUES[name]


def put_on(model: Any, name: str, **settings: Any) -> None:
    """Put a technique on a model; ValueError or TypeError for a setting that it does not have."""
    technique = find_technique(name)
    unknown = sorted(settings.keys() - technique.settings.keys() - {"seed"})
    if unknown:
        raise ValueError(f"{name} has no setting {unknown[0]!r}; it has {', '.join(technique.settings) or 'none'}")
    if name in ("ia3", "bitfit", "full"):
        settings.pop("seed", None)  # nothing is drawn
    technique.add(model, **{**technique.settings, **settings})


def techniques_table() -> str:
    """The techniques with their settings, as a text table."""
    rows = [
        (t.name, t.about, ", ".join(f"{k}={_plain(v)}" for k, v in t.settings.items()), t.source)
        for t in TECHNIQUES.values()
    ]
    widths = [max(len(row[k]) for row in rows) for k in range(3)]
    return "\n".join("  ".join([*(cell.ljust(w) for cell, w in zip(row, widths)), row[3]]).rstrip() for row in rows)


def _plain(value: Any) -> str:
    return "+".join(value) if isinstance(value, tuple) else str(value)
