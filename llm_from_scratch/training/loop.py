"""The training loop: batches in, a trained model, checkpoints, a log and a curve out.

The order within a step is fixed, nothing in it asks the clock, and everything it depends on is in the checkpoint:
a run that was killed and resumed writes the same bytes as one that was not. The loop knows of a model only that it has
parameters and a loss, and of a sampler that it yields batches and can say where it stands.
"""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..files.lock import sole_writer
from ..files.strict_json import json_entry
from .accumulate import accumulate_gradients, check_batch
from .adamw import AdamW, decay_groups
from .checkpoint import (
    differences,
    latest_checkpoint,
    load_checkpoint,
    read_state,
    resume_notes,
    save_checkpoint,
    tidy,
)
from .clip import clip_scale, grad_norm
from .config import TrainingSettings
from .curve import plot_curve
from .evaluate import evaluate
from .interrupt import polite_interrupts
from .log import LOG, RunLog, open_log
from .progress import Progress, Timing
from .workers import resolve_threads


class Sampler(Protocol):
    """Batches without end, from a place that can be saved."""

    def __next__(self) -> dict[str, np.ndarray]: ...
    def state(self) -> dict[str, Any]: ...
    def restore(self, state: dict[str, Any]) -> None: ...


@dataclasses.dataclass
class Outcome:
    """How training ended.

    step: updates made in all. finished: False when it was interrupted. loss: of the last step. validation: the last
    evaluation, {} if there was none. tokens: targets trained on in all. seconds: of this call.
    """

    step: int
    finished: bool
    loss: float
    validation: dict[str, Any]
    tokens: int
    seconds: float


class Diverged(ValueError):
    """The loss or the gradient is no longer a finite number."""


def train(
    model: Any,
    sampler: Sampler,
    settings: TrainingSettings,
    *,
    directory: str | os.PathLike[str] | None = None,
    validation: Callable[[], Iterable[dict[str, np.ndarray]]] | None = None,
    token_bytes: np.ndarray | None = None,
    resume: bool = False,
    progress: bool = True,
    title: str = "",
    open_model: Callable[..., Any] | None = None,
    identity: Mapping[str, Any] | None = None,
    report: Callable[[str], None] = print,
    watch: Callable[[int], object] | None = None,
) -> Outcome:
    """Train `model` in place.

    sampler: yields batches {"ids", "targets", …}, and has `state()` and `restore()`. validation: called for the batches
    of each evaluation. token_bytes: bytes a token stands for, for bits per byte. directory: where checkpoints, log,
    curve and the finished model go; None keeps nothing. resume: go on from `directory`'s latest checkpoint, if it has
    one; without it a directory that has one is refused. identity: what else decides the run, JSON-able; kept with the
    checkpoints. report: shows messages. watch: called after each evaluation with the number of steps made, to look at
    the model; it must leave the model and the sampler as they are.

    A run is resumed with the model config, settings (but for `checkpoint_every` and `keep`), position in the data and
    identity it was begun with: ValueError naming what differs otherwise, and the file if one was damaged. A log that
    was damaged, or a curve that cannot be drawn, is a message and holds nothing up.

    Ctrl-C finishes the step, saves, and returns with `finished=False`. Raises `Diverged` (a ValueError) when loss or
    gradient stop being finite, before the weights are touched by it; OSError when a checkpoint cannot be written, with
    the earlier ones intact; `files.lock.Locked` (a ValueError) when somebody else writes to the directory.
    """
    settings = dataclasses.replace(settings, threads=resolve_threads(settings.threads))
    optimizer = AdamW(
        decay_groups(model, settings.weight_decay),
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=settings.eps,
        threads=settings.threads,
    )
    run = _Run(model, sampler, settings, optimizer, validation, token_bytes, dict(identity or {}), report, watch)
    if directory is None:
        with polite_interrupts() as stop:
            return run.loop(stop, None, None, progress)
    directory = Path(directory)
    with sole_writer(directory):
        tidy(directory)
        checkpoint = latest_checkpoint(directory)
        if checkpoint is not None and not resume:
            raise ValueError(
                f"{directory} already holds a run (at {checkpoint.name}): resume it or choose another directory"
            )
        had = (0, None) if checkpoint is None else run.restore(checkpoint, open_model)
        with polite_interrupts() as stop:
            with open_log(directory / LOG, *had, report) as log:
                outcome = run.loop(stop, directory, log, progress)
            if outcome.finished:
                model.save_pretrained(directory)
            _draw_curve(directory, title, report)
    return outcome


def _draw_curve(directory: Path, title: str, report: Callable[[str], None]) -> None:
    try:
        plot_curve(directory, directory / "loss.png", title)
    except Exception as error:  # whatever it is (the log, the disk, the drawing): a picture is not worth a run
        report(f"note: the loss curve could not be drawn ({error})")


class _Run:
    """One call of `train`."""

    def __init__(
        self,
        model: Any,
        sampler: Sampler,
        settings: TrainingSettings,
        optimizer: AdamW,
        validation: Callable[[], Iterable[dict[str, np.ndarray]]] | None,
        token_bytes: np.ndarray | None,
        identity: dict[str, Any],
        report: Callable[[str], None],
        watch: Callable[[int], object] | None,
    ) -> None:
        self.watch = watch
        self.model, self.sampler, self.settings, self.optimizer = model, sampler, settings, optimizer
        self.validation, self.token_bytes, self.identity, self.report = validation, token_bytes, identity, report
        self.params = [p for _, p in model.named_parameters() if p.requires_grad]
        self.step = 0
        self.tokens = 0
        self.loss = math.nan
        self.evaluation: dict[str, Any] = {}
        self.saved: Path | None = None

    def restore(self, checkpoint: Path, open_model: Callable[..., Any] | None) -> tuple[int, str | None]:
        """Take over a checkpoint; return the length and digest the log had."""
        state, path = read_state(checkpoint), checkpoint / "state.json"
        settings, sampler, evaluation = (
            json_entry(state, key, "an object", path) for key in ("settings", "sampler", "evaluation")
        )
        tokens, log_bytes = (json_entry(state, key, "a whole number", path, least=0) for key in ("tokens", "log_bytes"))
        loss = json_entry(state, "loss", "a number or null", path)
        if evaluation:
            json_entry(evaluation, "loss", "a number", f"{path}, evaluation")
        try:
            begun = TrainingSettings.from_json(settings)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}, settings: {error}") from None
        # Checkpoints of earlier versions say nothing of it.
        identity = json_entry(state, "identity", "an object", path) if "identity" in state else self.identity
        changes = begun.differences(self.settings) + differences(identity, self.identity)
        if changes:
            raise ValueError(f"{checkpoint} was made with other settings ({'; '.join(changes)}): use those to resume")
        if state["step"] > begun.steps:
            raise ValueError(f"{path}: 'step' is {state['step']}, beyond the {begun.steps} steps of the run")
        for note in resume_notes(state):
            self.report(f"note: {note}")
        try:
            self.sampler.restore(sampler)
        except ValueError as error:
            raise ValueError(f"{path}, sampler: {error}") from None
        load_checkpoint(checkpoint, model=self.model, optimizer=self.optimizer, open_model=open_model)
        self.step, self.tokens, self.evaluation = state["step"], tokens, evaluation
        self.loss, self.saved = math.nan if loss is None else loss, checkpoint
        return log_bytes, state.get("log_sha256")

    def loop(self, stop: Any, directory: Path | None, log: RunLog | None, progress: bool) -> Outcome:
        started = time.perf_counter()
        settings, first = self.settings, self.step
        if self.step == 0 and self.validation is not None and settings.evaluate_every:
            self._evaluate(log)
        with Progress(settings.steps, self.step, progress) as bar, Timing(directory, self.report) as timing:
            stopping = stop.requested
            while self.step < settings.steps and not stopping:
                tokens_before = self.tokens
                lr, norm = self._update()
                if log is not None:
                    log.write(
                        {"step": self.step, "loss": self.loss, "lr": lr, "grad_norm": norm, "tokens": self.tokens}
                    )
                timing.note(self.step, self.tokens - tokens_before)
                bar.advance(self.loss, self.tokens - tokens_before)
                last = self.step == settings.steps
                if self.validation is not None and (last or _due(self.step, settings.evaluate_every)):
                    self._evaluate(log)
                    bar.show(self.evaluation)
                stopping = stop.requested  # asked once a step: whoever asks after this waits for the next checkpoint
                if directory is not None and log is not None:
                    if last or stopping or _due(self.step, settings.checkpoint_every):
                        self._save(directory, log)
        finished = self.step == settings.steps
        if not finished:
            where = f" and saved as {self.saved}: resume the run to go on" if self.saved and self.step > first else ""
            self.report(f"stopped after step {self.step} of {settings.steps}{where}")
        return Outcome(self.step, finished, self.loss, self.evaluation, self.tokens, time.perf_counter() - started)

    def _update(self) -> tuple[float, float]:
        """One optimiser step; the learning rate and the gradient's length."""
        settings = self.settings
        batches = [next(self.sampler) for _ in range(settings.micro_batches)]
        targets = sum(check_batch(batch)[1] for batch in batches)
        if targets == 0:
            raise ValueError(f"step {self.step + 1}: the batch has no target to learn from")
        rng = np.random.default_rng((settings.seed, self.step))  # made from the step: there is no state to save
        self.loss = 0.0
        for batch in batches:
            if len(batches) > 1 and not np.any(batch["targets"] != -100):
                continue
            with np.errstate(all="ignore"):  # what is not finite gets a better message below
                self.loss += accumulate_gradients(
                    self.model, **batch, normaliser=targets, threads=settings.threads, rng=rng
                )
        norm = grad_norm(self.params, threads=settings.threads)
        lr = settings.lr(self.step)
        if not (math.isfinite(self.loss) and math.isfinite(norm)):
            raise Diverged(self._divergence(lr, norm))
        self.optimizer.lr = lr
        self.optimizer.step(clip_scale(norm, settings.clip) if settings.clip else 1.0)
        self.optimizer.zero_grad()
        self.step += 1
        self.tokens += targets
        return lr, norm

    def _evaluate(self, log: RunLog | None) -> None:
        assert self.validation is not None
        with np.errstate(all="ignore"):
            self.evaluation = evaluate(
                self.model, self.validation(), token_bytes=self.token_bytes, threads=self.settings.threads
            )
        if not math.isfinite(self.evaluation["loss"]):
            raise Diverged(self._divergence(self.settings.lr(max(0, self.step - 1)), math.nan, "the validation loss"))
        if log is not None:
            entry = {"step": self.step, "validation_loss": self.evaluation["loss"]}
            if "bits_per_byte" in self.evaluation:
                entry["bits_per_byte"] = self.evaluation["bits_per_byte"]
            log.write(entry)
        if self.watch is not None:
            self.watch(self.step)

    def _save(self, directory: Path, log: RunLog) -> None:
        log.sync()
        state = {
            "sampler": self.sampler.state(),
            "settings": self.settings.to_json(),
            "identity": self.identity,
            "tokens": self.tokens,
            "loss": self.loss,
            "evaluation": self.evaluation,
            "log_bytes": log.length,
            "log_sha256": log.digest,
        }
        try:
            self.saved = save_checkpoint(
                directory,
                self.step,
                model=self.model,
                optimizer=self.optimizer,
                state=state,
                keep=self.settings.keep,
            )
        except OSError as error:
            earlier = (
                f"{self.saved} is intact: make room and resume from it" if self.saved else "there is no earlier one"
            )
            raise OSError(
                error.errno, f"the checkpoint of step {self.step} could not be written ({error}); {earlier}"
            ) from error

    def _divergence(self, lr: float, norm: float, what: str = "") -> str:
        named = list(self.model.named_parameters())
        weights = [name for name, p in named if not np.isfinite(p.data).all()]
        gradients = [name for name, p in named if p.grad is not None and not np.isfinite(p.grad).all()]
        if what:
            happened = f"step {self.step}: {what} is {self.evaluation['loss']} (learning rate {lr:.3g})."
        else:
            what = f"the loss is {self.loss}" if not math.isfinite(self.loss) else f"the gradient's length is {norm}"
            happened = f"step {self.step + 1}: {what} (learning rate {lr:.3g}); the step was not taken."
        where = ""
        if weights:
            where = f" The weights of {weights[0]} are not finite any more."
        elif gradients:
            where = f" The first gradient that is not finite is that of {gradients[0]} ({len(gradients)} in all)."
        keep = f" The last good state is {self.saved}." if self.saved else ""
        return f"{happened}{where}{keep} Try a lower learning rate, a longer warmup or a smaller clip"


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
