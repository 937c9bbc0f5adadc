"""The training loop: batches in, a trained model, checkpoints, a log and a curve out.

It knows of a model only that it has named parameters, of an objective that it gives a number for a model and a batch,
and of a sampler that it yields batches and can say where it stands.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..files.lock import sole_writer
from .adamw import decay_groups
from .checkpoint import describe, latest_checkpoint, tidy, trained, weights
from .config import TrainingSettings
from .curve import plot_curve
from .depth import plot_statistics
from .exchange import Exchange
from .interrupt import polite_interrupts
from .log import LOG, NoLog, open_log
from .memory import saving_memory
from .objectives import Objective, next_token
from .observers import Observer
from .optimizer import Optimizer
from .run import Measures, OnStep, Outcome, Run, Sampler
from .statistics_file import statistics_file
from .validation import check_token_bytes


def train(
    model: Any,
    sampler: Sampler,
    settings: TrainingSettings,
    *,
    objective: Objective = next_token,
    optimizer: Callable[[list[dict[str, Any]]], Optimizer] | None = None,
    on_step: OnStep | None = None,
    directory: str | os.PathLike[str] | None = None,
    validation: Callable[[], Iterable[dict[str, np.ndarray]]] | None = None,
    token_bytes: np.ndarray | None = None,
    measures: Measures | None = None,
    resume: bool = False,
    progress: bool = True,
    title: str = "",
    open_model: Callable[..., Any] | None = None,
    observers: Sequence[Observer] = (),
    identity: Mapping[str, Any] | None = None,
    report: Callable[[str], None] = print,
    exchange: Exchange | None = None,
) -> Outcome:
    """Train `model` in place.

    sampler: yields batches as the objective wants them, and has `state()` and `restore()`. objective: what is made
    small, see `objectives`; by default the cross-entropy of {"ids", "targets", …}. optimizer: makes it from
    the groups of `decay_groups`; by default the one that the settings name. validation: called for the batches of each
    evaluation. token_bytes: bytes a token stands for, for bits per byte. measures: called with the model for each
    evaluation; the numbers that it gives by name are logged, too. directory: where checkpoints, log,
    curve and (by its `save_pretrained`, if it has one) the finished model go; None keeps nothing. Checkpoints hold what
    trains, so any model will do; its `check_saving`, if it has one, is asked before the first step. resume: go on from
    `directory`'s latest checkpoint, if it has one; without it a directory that has one is refused. identity: what else
    decides the run, JSON-able; kept with the checkpoints. open_model: opens checkpoints of earlier versions, see
    `load_checkpoint`. report: shows messages.

    on_step: called as on_step(steps made, the last loss, model) before the first step and after each, when that was
    evaluated and saved, for what a technique does between steps: a setting that follows a schedule, a reference that is
    renewed. A run that goes on begins with the very call that was the next when it was saved; so whatever follows from
    these arguments alone repeats to the byte. What must be remembered beyond that belongs into the sampler's state.

    observers: look at activations, gradients and updates while they are there, see `observers`. With the setting
    `statistics_every` one of them writes statistics.jsonl, drawn at the end as statistics.png.

    A run is resumed with the model config, settings (but for how often it is saved and measured: `FREE_TO_CHANGE`),
    position in the data and identity it was begun with: ValueError naming what differs otherwise, and the file if one
    was damaged. A log that was damaged, or a curve that cannot be drawn, is a message and holds nothing up.

    exchange: where several processes train one model, what binds them together, see `parallel.RankExchange`: each calls
    `train` with the same model, sampler and settings, and takes its rows of every batch. Rank 0 alone writes and
    reports; each returns the same outcome, and an error of one ends all.

    Ctrl-C finishes the step, saves, and returns with `finished=False`. Raises `Diverged` (a ValueError) when loss or
    gradient stop being finite, before the weights are touched by it; OSError when a checkpoint cannot be written, with
    the earlier ones intact; `files.lock.Locked` (a ValueError) when somebody else writes to the directory.
    """
    check_token_bytes(token_bytes, objective)
    _check_numbers(model)
    exchange = exchange or Exchange()
    report = report if exchange.leads else _silent
    settings = dataclasses.replace(settings, threads=exchange.shards(settings.threads))
    with exchange.ending_together(), saving_memory(model, settings):
        groups = decay_groups(model, settings.weight_decay)
        made = settings.make_optimizer(groups) if optimizer is None else optimizer(groups)
        made.rounding_seed = settings.rounding_seed
        run = Run(
            model,
            sampler,
            settings,
            made,
            objective,
            on_step,
            validation,
            token_bytes,
            measures,
            dict(identity or {}),
            report,
            exchange,
        )
        if directory is None:
            run.compare()
            with statistics_file(None, settings.statistics_every, 0) as own, polite_interrupts() as stop:
                run.observers = [*observers, *own]
                return run.loop(stop, None, None, progress)
        directory = Path(directory)
        with sole_writer(directory) if exchange.leads else nullcontext():
            checkpoint = exchange.alone(lambda: _latest(directory))
            exported = _will_be_exported(model, report)  # nothing trains for hours to fail at saving
            run.described = describe(model)
            _check_json(identity=run.identity, model=run.described, sampler=sampler.state())
            if checkpoint is not None and not resume:
                raise ValueError(
                    f"{directory} already holds a run (at {checkpoint}): resume it or choose another directory"
                )
            had = (0, None) if checkpoint is None else run.restore(directory / checkpoint, open_model)
            run.compare()
            measured = statistics_file(directory, settings.statistics_every, run.step, exchange)
            with measured as own, polite_interrupts() as stop:
                run.observers = [*observers, *own]
                with open_log(directory / LOG, *had, report) if exchange.leads else NoLog() as log:
                    outcome = run.loop(stop, directory, log, progress)

                def leave() -> None:
                    if outcome.finished and exported:
                        model.save_pretrained(directory)
                    _draw("the loss curve", plot_curve, directory, "loss.png", title, report)
                    if settings.statistics_every:
                        _draw("the statistics", plot_statistics, directory, "statistics.png", title, report)

                exchange.alone(leave)
        return outcome


def _check_numbers(model: Any) -> None:
    """ValueError for a model whose matrices are codes, all else being trained: it would learn norms and biases only."""
    weights = dict(model.named_weights()) if hasattr(model, "named_weights") else {}
    codes = [name for name, weight in weights.items() if not isinstance(weight, Tensor)]
    if codes and all(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(
            f"{len(codes)} of {len(weights)} weights are packed or quantised ({codes[0]}, …) and do not train: read "
            "the model with from_pretrained(…, packed=False) (of a directory: dequantize=True), or add an adapter"
        )


def _silent(text: str) -> None:
    """What ranks report that do not lead."""


def _latest(directory: Path) -> str | None:
    tidy(directory)
    checkpoint = latest_checkpoint(directory)
    return None if checkpoint is None else checkpoint.name


def _will_be_exported(model: Any, report: Callable[[str], None]) -> bool:
    """Whether the finished model will be written with `save_pretrained`; ValueError if it has one that would fail."""
    if not hasattr(model, "save_pretrained"):
        return False
    try:
        if hasattr(model, "check_saving"):
            model.check_saving()
    except ValueError as error:
        if trained(model).keys() == weights(model).keys():
            raise
        report(f"note: the checkpoints hold what trains; the whole model will not be exported ({error})")
        return False
    return True


def _check_json(**kept: Any) -> None:
    """TypeError for what could not be written with the first checkpoint."""
    for name, value in kept.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise TypeError(f"checkpoints keep what the {name} says as JSON, which is not possible: {error}") from None


def _draw(
    what: str, plot: Callable[..., Any], directory: Path, name: str, title: str, report: Callable[[str], None]
) -> None:
    try:
        plot(directory, directory / name, title)
    except Exception as error:  # whatever it is (the log, the disk, the drawing): a picture is not worth a run
        report(f"note: {what} could not be drawn ({error})")
