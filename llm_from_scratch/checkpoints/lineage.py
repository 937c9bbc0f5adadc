"""Where a model came from: kept with it in memory, and in the header of the safetensors file when it is saved.

A lineage is a list of steps, each made from earlier ones; the last is the model itself. An ancestor is known by its
name (that of its directory, never a path of this machine) and by a fingerprint of its weights, so that it can be
recognised wherever it is stored. What happened to a model in between is noticed when it is saved: if its weights are
no longer those it was loaded (or built) with, it was trained (or quantised) from them. Nothing depends on the clock.

Glossary of a step: "relation" and "sources", the numbers of the steps it was made from; "weights", the fingerprint;
"name"; and whatever else was recorded (seed=0, method="slerp").
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..files.strict_json import strict_json
from ..layers import StoredWeight

RELATIONS = ("initialised as", "trained from", "merged from", "adapted from", "quantised from")
KEY = "lineage"  # in the metadata of a safetensors file
_OWN = ("relation", "sources", "weights", "name")
Step = dict[str, Any]


@dataclass(frozen=True)
class Lineage:
    """What is known of a model: its steps, the last of which is the model itself, and a name for it as an ancestor."""

    steps: tuple[Step, ...] = ({},)
    name: str | None = None

    @property
    def known(self) -> bool:
        """Whether there is anything to record besides the weights themselves."""
        return "relation" in self.steps[-1]

    def with_weights(self, weights: str) -> Lineage:
        """The same with another fingerprint of the model itself."""
        return Lineage((*self.steps[:-1], {**self.steps[-1], "weights": weights}), self.name)

    def named(self) -> tuple[Step, ...]:
        """The steps as a descendant keeps them: the model itself with its name."""
        own = dict(self.steps[-1])
        if self.name is not None:
            own.setdefault("name", self.name)
        return (*self.steps[:-1], own)


def fingerprint(model: Any, formats: Mapping[str, np.dtype] | None = None) -> str:
    """SHA-256 over the names, shapes and float32 values of a model's parameters, in hexadecimal.

    Equal weights have equal fingerprints however they are stored: in shards, in bfloat16, under old names.
    formats: {parameter: number format} to which values are first rounded, as saving does.

    >>> from llm_from_scratch.checkpoints import build
    >>> small = {"n_layer": 1, "n_head": 1, "n_embd": 4, "vocab_size": 5, "n_positions": 4}
    >>> one, same = build("gpt2", **small), build("gpt2", **small, dtype=np.float64)
    >>> fingerprint(one) == fingerprint(same), fingerprint(one) == fingerprint(build("gpt2", **small, seed=1))
    (True, False)
    """
    whole = hashlib.sha256()
    for name, weight in sorted(model.weights().items()):
        values = np.asarray(weight)
        if formats and name in formats:
            with np.errstate(over="ignore"):
                values = values.astype(formats[name])
        with np.errstate(over="ignore"):
            values = np.ascontiguousarray(values, np.dtype("<f4"))
        whole.update(f"{name} {values.shape} ".encode())
        whole.update(values.reshape(-1).view(np.uint8).data)
    return whole.hexdigest()


def record_lineage(model: Any, relation: str, *sources: Any, **details: Any) -> None:
    """Note what the model's present weights were made from. Called once they are in place.

    relation: "trained from" (its weights went on learning), "merged from" (several models' weights), "adapted from" (an
    adapter was added), "quantised from" (its weights are held in fewer bits). sources: models, with their own lineage,
    or names; none: the model itself as it was before.
    details: what one wants to know later (method="slerp", steps=1000), as JSON can hold it.

    Training needs no call: `save_pretrained` notices it. Raises ValueError for another relation or an empty name,
    TypeError for details that JSON cannot hold.

    >>> from llm_from_scratch.checkpoints import build
    >>> model = build("gpt2", n_layer=1, n_head=1, n_embd=4, vocab_size=5, n_positions=4)
    >>> model.embedding.weight.data += 1
    >>> record_lineage(model, "adapted from", method="lora")
    >>> print("\\n".join(tree_of(model.lineage.steps, weights=False)))
    adapted from (method lora)
    └─ initialised as gpt2 (seed 0)
    """
    if relation not in RELATIONS[1:]:
        raise ValueError(f"a model is {', '.join(RELATIONS[1:])}; not {relation!r}")
    reserved = [key for key in details if key in _OWN]
    if reserved:
        raise ValueError(f"{reserved[0]} is a word of the record itself: call the detail otherwise")
    try:
        details = json.loads(json.dumps(details, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise TypeError(f"details must be what JSON can hold: {error}") from None
    lineages = [_lineage_of(source) for source in sources] or [model.lineage]
    model.lineage = Lineage(grown(lineages, relation, details)).with_weights(fingerprint(model))


def current_lineage(model: Any, weights: str | None = None) -> Lineage:
    """The model's lineage with what happened since it was last known: other weights were trained, or quantised, from
    those.

    weights: the fingerprint of its present weights, if that is known already.
    """
    weights = fingerprint(model) if weights is None else weights
    before = model.lineage
    if before.steps[-1].get("weights", weights) == weights:
        return before.with_weights(weights)
    packed = any(isinstance(weight, StoredWeight) for weight in model.weights().values())
    return Lineage(grown([before], "quantised from" if packed else "trained from", {})).with_weights(weights)


def _lineage_of(source: Any) -> Lineage:
    if isinstance(source, str):
        if not source:
            raise ValueError("the name of a source is empty")
        return Lineage(({"name": source},))
    if not isinstance(getattr(source, "lineage", None), Lineage):
        raise TypeError(f"a source is a model or its name, not {source!r}")
    return current_lineage(source)


def grown(parents: Sequence[Lineage], relation: str, details: Mapping[str, Any]) -> tuple[Step, ...]:
    """The steps of all parents, shared ancestors once, and a new one made from them."""
    steps: list[Step] = []
    numbers: dict[str, int] = {}
    direct = []
    for parent in parents:
        here: list[int] = []  # the new number of each of this parent's steps
        for step in parent.named():
            moved = {**step, "sources": [here[k] for k in step["sources"]]} if "sources" in step else dict(step)
            identity = moved.get("weights") or json.dumps(moved, sort_keys=True)
            if identity not in numbers:
                numbers[identity] = len(steps)
                steps.append(moved)
            here.append(numbers[identity])
        direct.append(here[-1])
    return (*steps, {"relation": relation, "sources": list(dict.fromkeys(direct)), **details})


def to_metadata(lineage: Lineage) -> dict[str, str]:
    """What a safetensors file keeps of it; nothing where nothing is known."""
    text = json.dumps(lineage.steps, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return {KEY: text} if lineage.known else {}


def from_metadata(metadata: Mapping[str, str]) -> tuple[Step, ...]:
    """The steps a file keeps, or one empty step. ValueError when the record is damaged.

    >>> from_metadata({"lineage": '[{"name":"a"},{"relation":"trained from","sources":[1]}]'})
    Traceback (most recent call last):
    ValueError: the lineage in the weights' metadata is damaged: step 1 does not name earlier steps as its sources
    """
    text = metadata.get(KEY)
    if text is None:
        return ({},)
    try:
        return _checked(strict_json(text.encode()))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the lineage in the weights' metadata is damaged: {error}") from None


def _checked(steps: Any) -> tuple[Step, ...]:
    if not isinstance(steps, list) or not steps or not all(isinstance(step, dict) for step in steps):
        raise ValueError("a list of steps was expected")
    for number, step in enumerate(steps):
        if any(not isinstance(step[key], str) for key in ("name", "weights", "relation") if key in step):
            raise ValueError(f"step {number} has a name, weights or relation that is no text")
        sources = step.get("sources", [])
        if not isinstance(sources, list) or not all(type(k) is int and 0 <= k < number for k in sources):
            raise ValueError(f"step {number} does not name earlier steps as its sources")
    return tuple(steps)


def tree_of(steps: tuple[Step, ...], weights: bool = True) -> list[str]:
    """The lineage as lines, the model itself first, below each step what it was made from.

    >>> steps = ({"name": "base"}, {"name": "poet", "relation": "trained from", "sources": [0]})
    >>> steps += ({"relation": "merged from", "sources": [0, 1], "method": "slerp"},)
    >>> print("\\n".join(tree_of(steps)))
    merged from (method slerp)
    ├─ base
    └─ poet: trained from
       └─ base
    """
    lines: list[str] = []
    shown: set[int] = set()
    waiting = [(len(steps) - 1, "", "")]  # no recursion: a chain may be long
    while waiting:
        number, lead, branch = waiting.pop()
        step = steps[number]
        sources = step.get("sources", [])
        again = number in shown and bool(sources)
        lines.append(lead + branch + _words(step, weights) + (", as above" if again else ""))
        shown.add(number)
        below = lead + {"": "", "├─ ": "│  ", "└─ ": "   "}[branch]
        branches = ["├─ "] * (len(sources) - 1) + ["└─ "]
        if not again:
            waiting += reversed([(source, below, branch) for source, branch in zip(sources, branches)])
    return lines


def _words(step: Step, weights: bool) -> str:
    made = " ".join(str(step[key]) for key in ("relation", "family") if step.get(key))
    text = ": ".join(filter(None, [step.get("name"), made])) or "nothing recorded"
    rest = [f"{key} {value}" for key, value in step.items() if key not in (*_OWN, "family")]
    rest += [f"weights {step['weights'][:12]}"] if weights and "weights" in step else []
    return text + (f" ({', '.join(rest)})" if rest else "")
