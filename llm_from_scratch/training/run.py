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

from ..files.strict_json import json_entry
from .accumulate import accumulate_gradients
from .checkpoint import differences, fill, resume_notes, save_checkpoint, verified_state
from .clip import clip_scale, grad_norm
from .config import TrainingSettings
from .log import RunLog
from .objectives import Objective, check_batch, counted
from .optimizer import Optimizer
from .progress import Progress, Timing
from .validation import evaluate

OnStep = Callable[[int, float, Any], Any]
Measures = Callable[[Any], Mapping[str, float]]


class Sampler(Protocol):
    """Batches without end, from a place that can be saved.

    It may have `figures`, numbers by name that say what the last batch was about; they are logged with its step.
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


class Diverged(ValueError):
    """The loss or the gradient is no longer a finite number."""


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
    ) -> None:
        self.model, self.sampler, self.settings, self.optimizer = model, sampler, settings, optimizer
        self.objective, self.on_step = objective, on_step
        self.validation, self.token_bytes, self.measures = validation, token_bytes, measures
        self.identity, self.report = identity, report
        self.looks = validation is not None or measures is not None
        self.params = [p for _, p in model.named_parameters() if p.requires_grad]
        self.step = 0
        self.tokens: float = 0
        self.loss = math.nan
        self.evaluation: dict[str, Any] = {}
        self.saved: Path | None = None
        self.described: dict[str, Any] = {}

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
        self.loss, self.saved = math.nan if loss is None else loss, checkpoint
        return log_bytes, state.get("log_sha256")

    def loop(self, stop: Any, directory: Path | None, log: RunLog | None, progress: bool) -> Outcome:
        started = time.perf_counter()
        settings, first = self.settings, self.step
        if self.step == 0 and self.looks and settings.evaluate_every:
            self._evaluate(log)
        with Progress(settings.steps, self.step, progress) as bar, Timing(directory, self.report) as timing:
            stopping = stop.requested
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
                stopping = stop.requested  # asked once a step: whoever asks after this waits for the next checkpoint
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
        if targets == 0:
            raise ValueError(f"step {self.step + 1}: the batch has no target to learn from")
        rng = np.random.default_rng((settings.seed, self.step))  # made from the step: there is no state to save
        self.loss = 0.0
        for batch, count in zip(batches, counts):
            if count == 0:
                continue
            with np.errstate(all="ignore"):  # what is not finite gets a better message below
                self.loss += accumulate_gradients(
                    self.model,
                    batch,
                    objective=self.objective,
                    normaliser=targets,
                    threads=settings.threads,
                    rng=rng,
                )
        norm = grad_norm(self.params, threads=settings.threads)
        lr = settings.lr(self.step)
        if not (math.isfinite(self.loss) and math.isfinite(norm)):
            raise Diverged(self._divergence(lr, norm))
        self.optimizer.lr = lr
        self.optimizer.step(clip_scale(norm, settings.clip) if settings.clip else 1.0, norm=norm)
        self.optimizer.zero_grad()
        self.step += 1
        self.tokens += targets
        return lr, norm

    def _between_steps(self) -> None:
        # After saving, so that a run that goes on from what was saved begins with the same call.
        if self.on_step is not None:
            self.on_step(self.step, self.loss, self.model)

    def _evaluate(self, log: RunLog | None) -> None:
        entry: dict[str, Any] = {"step": self.step}
        self.evaluation = {}
        if self.validation is not None:
            with np.errstate(all="ignore"):
                self.evaluation = evaluate(
                    self.model,
                    self.validation(),
                    objective=self.objective,
                    token_bytes=self.token_bytes,
                    threads=self.settings.threads,
                )
            if not math.isfinite(self.evaluation["loss"]):
                lr = self.settings.lr(max(0, self.step - 1))
                raise Diverged(self._divergence(lr, math.nan, "the validation loss"))
            entry["validation_loss"] = self.evaluation["loss"]
            if "bits_per_byte" in self.evaluation:
                entry["bits_per_byte"] = self.evaluation["bits_per_byte"]
        if self.measures is not None:
            measured = {name: float(value) for name, value in self.measures(self.model).items()}
            for name, value in measured.items():
                if not math.isfinite(value):
                    raise ValueError(f"after step {self.step} {name} was measured as {value}: a number was expected")
            self.evaluation |= measured
            entry |= measured
        if log is not None:
            log.write(entry)

    def _save(self, directory: Path, log: RunLog) -> None:
        log.sync()
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
