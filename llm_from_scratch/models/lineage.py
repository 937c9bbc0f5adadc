"""Where a model came from, kept with it: a list in config.json that saving and loading carry along.

The transformers library reads such a config and keeps the list as it is.
"""

from __future__ import annotations

from typing import Any

RELATIONS = ("trained from", "merged from", "adapted from")


def record_lineage(model: Any, relation: str, *sources: str, **more: Any) -> None:
    """Note in `model.config["lineage"]` that the model was made from `sources`: names or paths, nearest parent last.

    relation: "trained from" (its weights went on learning), "merged from" (several models' weights), or "adapted from"
    (an adapter was added). more: what one wants to know later (method="slerp", steps=1000), as JSON can hold it.

    >>> from llm_from_scratch.models import build
    >>> model = build("gpt2", n_layer=1, n_head=1, n_embd=4, vocab_size=5, n_positions=4)
    >>> record_lineage(model, "trained from", "gpt2", steps=1000)
    >>> model.config["lineage"]
    [{'relation': 'trained from', 'sources': ['gpt2'], 'steps': 1000}]
    """
    if relation not in RELATIONS:
        raise ValueError(f"a model is {', '.join(RELATIONS)}; not {relation!r}")
    if not sources or not all(isinstance(source, str) and source for source in sources):
        raise ValueError(f"the sources are names or paths, at least one; got {sources!r}")
    past = [dict(step) for step in model.config.get("lineage") or []]
    model.config["lineage"] = [*past, {"relation": relation, "sources": list(sources), **more}]
