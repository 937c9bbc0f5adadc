"""Why did the loss jump? A step replayed from the snapshot before it: which batch, document, layer and tensor it was.

The replay is the run itself once more, byte for byte, and its losses are held against those of the log. On the way
every layer is measured, so that what was usual is known when the step comes at which something is not.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..files.strict_json import finite_json
from .adamw import decay_groups
from .config import TrainingSettings
from .exchange import Exchange
from .excursions import Excursion, beginning
from .memory import saving_memory
from .objectives import Objective, counted, next_token
from .optimizer import Optimizer
from .replay import Remembering, replay
from .run import OnStep, Run
from .suspects import Piece, pieces, placed, pulling
from .workers import resolve_threads

_STEPS_READ = 4  # whose documents say what loss is usual
_LONG_STEP = 0.3  # a step that moves all weights by such a share of their length is no small one
_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What was found of a step; `forensics_page.page` tells it, `to_json()` has it as data.

    equal: whether the replay is the run, number for number; differences: where it is not. loss, gradient: of the step
    (None where not finite); usual_loss, usual_gradient: their medians over the steps before. began: what left its range
    first, empty where all is as usual; nothing of it was found in the steps before. documents: those of the step's
    batches, the most unusual first; excerpt: the text of the first. moved: the largest share by which a step before
    moved all weights together, and which step that was. tensors: how many train.
    """

    step: int
    snapshot: str
    steps: int
    equal: bool
    differences: tuple[str, ...]
    notes: tuple[str, ...]
    diverged: str | None
    loss: float | None
    usual_loss: float | None
    gradient: float | None
    usual_gradient: float | None
    lr: float
    clip: float
    moved: tuple[float, int] | None
    began: tuple[Excursion, ...]
    tensors: int
    batches: tuple[dict[str, Any], ...]
    documents: tuple[Piece, ...]
    excerpt: str | None

    @property
    def culprits(self) -> list[Piece]:
        """The documents whose loss or gradient is unusual, unless so many are that it is none of theirs."""
        out = [piece for piece in self.documents if piece.stands_out]
        return out if len(out) <= max(1, len(self.documents) // 3) else []

    @property
    def causes(self) -> list[str]:
        """What stands out, in a word each: "step length", "weights", "document", or else "layer"; empty for nothing.

        Weights that left their range all together went with the steps; a few of them were changed by something else.
        """
        found = []
        if self.moved is not None and self.moved[0] > _LONG_STEP:
            found.append("step length")
        changed = {out.path for out in self.began if out.kind == "weight"}
        if changed and len(changed) <= max(1, self.tensors // 3):
            found.append("weights")
        if self.culprits:
            found.append("document")
        return found or (["layer"] if self.began else [])

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON can hold it; numbers that are not finite are None."""
        return {**finite_json(dataclasses.asdict(self)), "causes": self.causes, "culprits": len(self.culprits)}


def explain(
    model: Any,
    sampler: Any,
    settings: TrainingSettings,
    step: int,
    *,
    directory: str | os.PathLike[str],
    objective: Objective = next_token,
    optimizer: Callable[[list[dict[str, Any]]], Optimizer] | None = None,
    on_step: OnStep | None = None,
    identity: Mapping[str, Any] | None = None,
    open_model: Callable[..., Any] | None = None,
    decode: Callable[[list[int]], str] | None = None,
) -> Explanation:
    """Replay a run up to a step, and say what was unusual there and where that began. Nothing in `directory` changes.

    model, sampler, settings and the rest: what `train` was called with, fresh (the model as it began: it is trained by
    the replay). step: as in the log, from 1; or, of a run that diverged, the step that was not taken. decode: from ids
    to text, to show the document.

    Raises ValueError for a step that the run has not come to, when no snapshot before it is kept (saying which are, and
    how to keep more), and for a snapshot of another model or other settings, as `train` does.
    """
    if isinstance(step, bool) or not isinstance(step, (int, np.integer)) or step < 1:
        raise ValueError(f"the step is a whole number of at least 1, as the log counts them; got {step!r}")
    directory = Path(directory)
    if not (directory / "log.jsonl").is_file():
        raise ValueError(f"{directory} holds no log of a run")
    settings = dataclasses.replace(settings, threads=resolve_threads(settings.threads))
    kept = Remembering(sampler, (_STEPS_READ + 1) * settings.micro_batches)
    seen: dict[str, Any] = {}

    def look(model: Any) -> None:
        now, before = kept.batches[-settings.micro_batches :], kept.batches[: -settings.micro_batches]
        total = sum(counted(objective, one["batch"]) for one in now)
        found = pulling(model, now, pieces(model, now, before), objective, total)
        seen["batches"] = now
        seen["documents"] = [placed(piece, now[piece.batch]["origins"]) for piece in found]

    with saving_memory(model, settings):
        groups = decay_groups(model, settings.weight_decay)
        made = settings.make_optimizer(groups) if optimizer is None else optimizer(groups)
        made.rounding_seed = settings.rounding_seed
        run = Run(
            model,
            kept,
            settings,
            made,
            objective,
            on_step,
            None,
            None,
            None,
            dict(identity or {}),
            lambda _: None,
            Exchange(),
        )
        again = replay(run, directory, int(step), look, open_model)
    return _explanation(int(step), settings, again, seen, decode)


def _explanation(step: int, settings: TrainingSettings, again: Any, seen: dict[str, Any], decode: Any) -> Explanation:
    *before, last = again.entries
    moves = [(share, entry["step"]) for entry in before if (share := _moved(entry)) is not None]
    documents = seen.get("documents", [])
    excerpt = None
    if documents and decode is not None:
        first = documents[0]
        ids = np.asarray(seen["batches"][first.batch]["batch"]["ids"])[first.row, first.first : first.last]
        excerpt = decode(ids.tolist())
    finite = {name: value if (value := last.get(name)) is not None and math.isfinite(value) else None
              for name in ("loss", "grad_norm")}  # fmt: skip
    return Explanation(
        step=step,
        snapshot=again.snapshot,
        steps=len(again.entries),
        equal=not again.differences,
        differences=tuple(again.differences),
        notes=tuple(again.notes),
        diverged=again.diverged,
        loss=finite["loss"],
        usual_loss=_median([entry["loss"] for entry in before]),
        gradient=finite["grad_norm"],
        usual_gradient=_median([entry["grad_norm"] for entry in before]),
        lr=last["lr"],
        clip=settings.clip,
        moved=max(moves) if moves else None,
        began=tuple(beginning(again.entries)),
        tensors=len(last["parameters"]),
        batches=tuple({"micro_batch": n + 1, **_number(one["state"])} for n, one in enumerate(seen.get("batches", []))),
        documents=tuple(documents),
        excerpt=excerpt,
    )


def _number(state: Mapping[str, Any]) -> dict[str, Any]:
    """Which batch it was: a sampler's position behind it, as far as it counts stages, epochs and batches."""
    counted = ("stage", "batch") if len(state.get("plan", ())) > 1 else ("epoch", "batch")
    return {name: state[name] for name in counted if isinstance(state.get(name), int)}


def _moved(entry: dict[str, Any]) -> float | None:
    """By which share of their length a step moved all weights together."""
    moves = weights = 0.0
    for figures in entry["parameters"].values():
        if figures["weight"] is None or figures.get("update") is None:
            return None
        moves += (figures["update"] * figures["weight"]) ** 2
        weights += figures["weight"] ** 2
    return math.sqrt(moves / weights) if weights else None


def _median(values: list[float]) -> float | None:
    return float(np.median(values)) if values else None
