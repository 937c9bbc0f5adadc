"""One run of training: where it stands, its steps, what it keeps.

The order within a step is fixed, nothing in it asks the clock, and everything it depends on is in the checkpoint: a run
that was killed and resumed writes the same bytes as one that was not.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .. import __version__
from ..files.strict_json import json_entry
from .accumulate import accumulate_gradients
from .checkpoint import (
    describe,
    differences,
    digest_of,
    environment,
    fill,
    resume_notes,
    save_checkpoint,
    verified_state,
    weights,
)
from .clip import clip_scale
from .config import TrainingSettings
from .divergence import Diverged as Diverged
from .divergence import diverged
from .exchange import Exchange
from .log import NoLog, RunLog
from .objectives import Objective, check_batch, counted, named, rows_of
from .observers import Observer, together
from .optimizer import Optimizer
from .progress import Progress, Timing
from .validation import evaluate
from .workers import resolve_threads

OnStep = Callable[[int, float, Any], Any]
Measures = Callable[[Any], Mapping[str, float]]


class Sampler(Protocol):
    """Batches without end, from a place that can be saved.

    It may have `figures`, numbers by name that say what the last batch was about; they are logged with its step. And
    `batch_size`, the rows of a batch: then more processes than these are refused before anything is written.
    """

    def __next__(self) -> dict[str, np.ndarray]: ...
    def state(self) -> dict[str, Any]: ...
    def restore(self, state: dict[str, Any]) -> None: ...


@dataclasses.dataclass
class Outcome:
    """How training ended.

    step: updates made in all. finished: False when it was interrupted. loss: of the last step. validation: the last
    evaluation, {} if there was none. tokens: targets trained on in all (of another objective: what it counts).
    seconds: of this call.
    """

    step: int
    finished: bool
    loss: float
    validation: dict[str, Any]
    tokens: float
    seconds: float


class Run:
    """One call of `train`."""

    def __init__(
        self,
        model: Any,
        sampler: Sampler,
        settings: TrainingSettings,
        optimizer: Optimizer,
        objective: Objective,
        on_step: OnStep | None,
        validation: Callable[[], Iterable[dict[str, np.ndarray]]] | None,
        token_bytes: np.ndarray | None,
        measures: Measures | None,
        identity: dict[str, Any],
        report: Callable[[str], None],
        exchange: Exchange,
    ) -> None:
        self.model, self.sampler, self.settings, self.optimizer = model, sampler, settings, optimizer
        self.objective, self.on_step = objective, on_step
        self.validation, self.token_bytes, self.measures = validation, token_bytes, measures
        self.identity, self.report = identity, report
        self.looks = validation is not None or measures is not None
        self.params = [p for _, p in model.named_parameters() if p.requires_grad]
        self.exchange = exchange
        self.threads = exchange.threads(resolve_threads(settings.threads))
        self.gradients = exchange.gradients(
            self.params, optimizer, shard=settings.shard_optimizer, threads=self.threads
        )
        self.observed = False
        self.step = 0
        self.tokens: float = 0
        self.loss = math.nan
        self.evaluation: dict[str, Any] = {}
        self.saved: Path | None = None
        self.described: dict[str, Any] = {}
        self.observers: list[Observer] = []
        self.first = 0  # the step that this call of `train` began at

    def restore(self, checkpoint: Path, open_model: Callable[..., Any] | None) -> tuple[int, str | None]:
        """Take over a checkpoint; return the length and digest the log had."""
        state, path = verified_state(checkpoint), checkpoint / "state.json"
        settings, sampler, evaluation = (
            json_entry(state, key, "an object", path) for key in ("settings", "sampler", "evaluation")
        )
        tokens = json_entry(state, "tokens", "a number", path, least=0)
        log_bytes = json_entry(state, "log_bytes", "a whole number", path, least=0)
        loss = json_entry(state, "loss", "a number or null", path)
        for name in evaluation:
            json_entry(evaluation, name, "a number", f"{path}, evaluation")
        try:
            begun = TrainingSettings.from_json(settings)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}, settings: {error}") from None
        # Checkpoints of earlier versions say nothing of it.
        identity = json_entry(state, "identity", "an object", path) if "identity" in state else self.identity
        kinds = {"optimizer": state.get("optimizer", "AdamW")}, {"optimizer": type(self.optimizer).__name__}
        changes = begun.differences(self.settings) or differences(*kinds)
        changes += differences(identity, self.identity)
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
        fill(checkpoint, state, self.model, self.optimizer, open_model)
        self.step, self.tokens, self.evaluation = state["step"], tokens, evaluation
        self.loss, self.saved, self.first = math.nan if loss is None else loss, checkpoint, self.step
        return log_bytes, state.get("log_sha256")

    def compare(self) -> None:
        """ValueError when the ranks of a run have not begun, or gone on, with the same, or are too many."""
        self.exchange.check_rows(getattr(self.sampler, "batch_size", None))
        self.exchange.agree(
            lambda: {
                "environment": {"llm_from_scratch": __version__, **environment()},
                "numbers": {name: f"{p.stored.dtype}{p.shape}" for name, p in self.model.named_parameters()},
                "settings": self.settings.to_json(),
                "optimizer": type(self.optimizer).__name__,
                "objective": named(self.objective),
                "identity": self.identity,
                "model": describe(self.model),
                "step": self.step,
                "sampler": self.sampler.state(),
                "called with": {
                    name: getattr(self, name) is not None for name in ("validation", "measures", "on_step")
                },
                "weights": digest_of(weights(self.model)),
            }
        )

    def loop(self, stop: Any, directory: Path | None, log: RunLog | NoLog | None, progress: bool) -> Outcome:
        started = time.perf_counter()
        settings, first, exchange = self.settings, self.step, self.exchange
        self.observed = exchange.any(bool(self.observers))
        exchange.remember(self._where())
        if self.step == 0 and self.looks and settings.evaluate_every:
            self._evaluate(log)
        clock = Timing(directory if exchange.leads else None, self.report)
        with Progress(settings.steps, self.step, progress and exchange.leads) as bar, clock as timing:
            stopping = exchange.any(stop.requested)
            self._between_steps()
            while self.step < settings.steps and not stopping:
                tokens_before = self.tokens
                lr, norm = self._update()
                if log is not None:
                    about = {"step": self.step, "loss": self.loss, "lr": lr, "grad_norm": norm, "tokens": self.tokens}
                    log.write({**about, **getattr(self.sampler, "figures", {})})
                timing.note(self.step, self.tokens - tokens_before)
                bar.advance(self.loss, self.tokens - tokens_before)
                last = self.step == settings.steps
                if self.looks and (last or _due(self.step, settings.evaluate_every)):
                    self._evaluate(log)
                    bar.show(self.evaluation)
                # Asked once a step: whoever asks after this waits for the next checkpoint.
                stopping = exchange.any(stop.requested)
                if directory is not None and log is not None:
                    if last or stopping or _due(self.step, settings.checkpoint_every):
                        self._save(directory, log)
                self._between_steps()
        finished = self.step == settings.steps
        if not finished:
            where = f" and saved as {self.saved}: resume the run to go on" if self.saved and self.step > first else ""
            self.report(f"stopped after step {self.step} of {settings.steps}{where}")
        return Outcome(self.step, finished, self.loss, self.evaluation, self.tokens, time.perf_counter() - started)

    def _update(self) -> tuple[float, float]:
        """One optimiser step; the learning rate and the gradient's length."""
        settings = self.settings
        batches = [check_batch(next(self.sampler)) for _ in range(settings.micro_batches)]
        counts = [counted(self.objective, batch) for batch in batches]
        targets = sum(counts)
        if self.step == self.first:  # later ones may be smaller: then some rank has nothing to do
            self.exchange.check_rows(min(map(rows_of, batches)))
        if targets == 0:
            raise ValueError(f"step {self.step + 1}: the batch has no target to learn from")
        rng = np.random.default_rng((settings.seed, self.step))  # made from the step: there is no state to save
        self.loss = 0.0
        for param in self.params:
            param.grad = None  # of whoever looked between the steps
        with together(observer.passing(self.step + 1, self.model) for observer in self.observers):
            parts = [batch for batch, count in zip(batches, counts) if count]
            for number, part in enumerate(parts, start=1):
                with np.errstate(all="ignore"):  # what is not finite gets a better message below
                    self.loss += accumulate_gradients(
                        self.model,
                        part,
                        objective=self.objective,
                        normaliser=targets,
                        threads=self.exchange.size * self.threads,
                        rng=rng,
                        finished=self.gradients.finished if number == len(parts) else None,
                        own=self.exchange.own,
                    )
            self.loss = self.gradients.complete(self.loss, batches, whole=self.observed)
        norm = self.gradients.norm()
        lr = settings.lr(self.step, self.tokens)
        if not (math.isfinite(self.loss) and math.isfinite(norm)):
            raise diverged(self, lr, norm)
        self.optimizer.lr = lr
        with together(observer.updating(self.step + 1, self.model) for observer in self.observers):
            self.gradients.update(self.optimizer, clip_scale(norm, settings.clip) if settings.clip else 1.0, norm)
        self.optimizer.zero_grad()
        self.step += 1
        self.tokens += targets
        return lr, norm

    def _between_steps(self) -> None:
        # After saving, so that a run that goes on from what was saved begins with the same call.
        if self.on_step is not None:
            self.on_step(self.step, self.loss, self.model)

    def _evaluate(self, log: RunLog | NoLog | None) -> None:
        entry: dict[str, Any] = {"step": self.step}
        self.evaluation = {}
        if self.validation is not None:
            with np.errstate(all="ignore"):
                self.evaluation = evaluate(
                    self.model,
                    self.validation(),
                    objective=self.objective,
                    token_bytes=self.token_bytes,
                    threads=self.threads,
                    exchange=self.exchange,
                )
            if not math.isfinite(self.evaluation["loss"]):
                lr = self.settings.lr(max(0, self.step - 1), self.tokens)
                raise diverged(self, lr, math.nan, "the validation loss")
            entry["validation_loss"] = self.evaluation["loss"]
            if "bits_per_byte" in self.evaluation:
                entry["bits_per_byte"] = self.evaluation["bits_per_byte"]
        if self.measures is not None:
            measures = self.measures
            measured = self.exchange.alone(
                lambda: {name: float(value) for name, value in measures(self.model).items()}, patient=True
            )
            for name, value in measured.items():
                if not math.isfinite(value):
                    raise ValueError(f"after step {self.step} {name} was measured as {value}: a number was expected")
            self.evaluation |= measured
            entry |= measured
        if log is not None:
            log.write(entry)

    def _save(self, directory: Path, log: RunLog | NoLog) -> None:
        log.sync()
        remembered = self.optimizer.state_dict()  # by all ranks, each of which may have a share of it
        state = {
            "model": self.described,
            "sampler": self.sampler.state(),
            "settings": self.settings.to_json(),
            "optimizer": type(self.optimizer).__name__,
            "identity": self.identity,
            "tokens": self.tokens,
            "loss": self.loss,
            "evaluation": self.evaluation,
            "log_bytes": log.length,
            "log_sha256": log.digest,
        }
        try:
            self.saved = Path(
                self.exchange.alone(
                    lambda: str(
                        save_checkpoint(
                            directory,
                            self.step,
                            model=self.model,
                            optimizer=remembered,
                            state=state,
                            keep=self.settings.keep,
                        )
                    )
                )
            )
            self.exchange.remember(self._where())
        except OSError as error:
            earlier = (
                f"{self.saved} is intact: make room and resume from it" if self.saved else "there is no earlier one"
            )
            raise OSError(
                error.errno, f"the checkpoint of step {self.step} could not be written ({error}); {earlier}"
            ) from error

    def _where(self) -> str:
        """What a run that ends without a word has left."""
        if self.saved is None:
            return "There is no snapshot yet: start the run again"
        return f"The last snapshot, {self.saved}, is intact: resume the run to go on"


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
