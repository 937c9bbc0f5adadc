"""Merging: what the acting adapters add is written into the matrices, so that a plain model does all of it; and back.

Nothing is computed to go back: the modules that were there are kept, so that they return bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..checkpoints import record_lineage
from ..models.heads import TiedHead
from .adapted import Adapted, active_names
from .merged import dense
from .places import is_linear


@dataclass(frozen=True)
class Merged:
    """What a merge put aside: pairs (module that came, module that went), and what else of the model it changed.

    It is no module, and nothing in it is counted, trained or saved. places: None where nothing was to be kept.
    """

    places: list[tuple[Any, Any]] | None
    attributes: dict[str, Any]
    before: Merged | None


def merge_adapter(model: Any, *, keep: bool = True, dequantize: bool = False, untie: bool = False) -> list[str]:
    """Write the acting adapters into the matrices; the names of these. What is left is a plain model, to be saved so.

    keep: hold on to the modules as they were, for `unmerge_adapter`: that takes the memory of what was changed.
    dequantize: where a matrix is packed in a few bits, make one of plain float32 numbers; otherwise that is an error,
    since most of what an adapter adds is smaller than the steps of such a matrix. untie: where the head shares the
    embedding's matrix, give it one of its own; otherwise that is an error, since an adapter of one would change both.

    ValueError, nothing changed: when nothing acts, when what acts is no part of a matrix (a prefix, a bottleneck), and
    in these two cases.
    """
    if not (acting := active_names(model)):
        raise ValueError("no adapter acts on this model: there is nothing to merge")
    if model.prefix is not None and model.prefix.active:
        model.prefix.adapters[model.prefix.active[0]].merged(None)  # says why not
    places = [(path, module) for path, module in model.named_modules() if isinstance(module, Adapted)]
    shared = _shared_head(model, places, untie)
    pairs = []
    for path, place in places:
        base = dense(path, place.base, dequantize=dequantize) if place.active else place.base
        for name in place.active:
            base = place.adapters[name].merged(base)
        pairs.append((base, place))
    if shared is not None and shared not in [place.base for _, place in places]:
        pairs.append((dense("head", shared, dequantize=True), shared))
    attributes = {n: getattr(model, n) for n in ("prefix", "spec", "config", "lineage") if hasattr(model, n)}
    model.merged_adapters = Merged(pairs if keep else None, attributes, getattr(model, "merged_adapters", None))
    _swap(model, [(old, new) for new, old in pairs])
    model.prefix = None
    if shared is not None:
        model.spec = model.spec.replace(tied=False)
        if hasattr(model, "config"):
            model.config = {**model.config, "tie_word_embeddings": False}
    if hasattr(model, "lineage"):
        record_lineage(model, "adapted from", adapters=acting)
    return acting


def unmerge_adapter(model: Any) -> list[str]:
    """Take back the last `merge_adapter`: base and adapters are as they were, bit for bit; the names of what acts.

    ValueError when nothing was merged, when what was there before was not kept, or was replaced since.
    """
    record = getattr(model, "merged_adapters", None)
    if record is None:
        raise ValueError("no adapter was merged into this model: there is nothing to take back")
    if record.places is None:
        raise ValueError("the matrices were not kept when the adapter was merged (keep=False): load the base again")
    there = {id(module) for _, module in model.named_modules()}
    there -= {id(module.base) for _, module in model.named_modules() if isinstance(module, Adapted)}
    if any(id(new) not in there for new, _ in record.places):
        raise ValueError("modules were replaced since the merge: remove the adapters that were added to them first")
    _swap(model, record.places)
    for name, value in record.attributes.items():
        setattr(model, name, value)
    model.merged_adapters = record.before
    return active_names(model)


def _shared_head(model: Any, places: list[tuple[str, Adapted]], untie: bool) -> Any:
    """The tied head, if what acts on it or on the embedding makes them differ; ValueError unless that is wanted."""
    head = model.head.base if isinstance(model.head, Adapted) else model.head
    touched = [path for path, place in places if path in ("embedding", "head") and place.active]
    if not touched or not isinstance(head, TiedHead):
        return None
    if not untie:
        raise ValueError(
            f"an adapter acts on the {touched[0]}, and embedding and head are one matrix in this model: merged, it "
            "would change both. Merge with untie=True, which gives the head a matrix of its own"
        )
    return head


def _swap(model: Any, pairs: list[tuple[Any, Any]]) -> None:
    """Put the second of each pair in the place of the first: matrices, then what they are part of, or back."""
    for matrices in (True, False):
        new = {id(old): module for old, module in pairs if is_linear(old) == matrices}
        model.replace(lambda _, module, new=new: id(module) in new, lambda module, new=new: new[id(module)])
