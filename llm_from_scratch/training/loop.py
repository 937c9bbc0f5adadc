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
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .accumulate import accumulate_gradients, check_batch
from .adamw import AdamW, decay_groups
from .checkpoint import environment_changes, latest_checkpoint, load_checkpoint, read_state, save_checkpoint, tidy
from .clip import clip_scale, grad_norm
from .config import TrainingSettings
from .curve import plot_curve
from .evaluate import evaluate
from .interrupt import polite_interrupts
from .log import LOG, RunLog
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
    report: Callable[[str], None] = print,
) -> Outcome:
    """Train `model` in place.

    sampler: yields batches {"ids", "targets", …}, and has `state()` and `restore()`. validation: called for the batches
    of each evaluation. token_bytes: bytes a token stands for, for bits per byte. directory: where checkpoints, log,
    curve and the finished model go; None keeps nothing. resume: go on from `directory`'s latest checkpoint, if it has
    one; without it a directory that has one is refused. report: shows messages.

    Ctrl-C finishes the step, saves, and returns with `finished=False`. Raises `Diverged` (a ValueError) when loss or
    gradient stop being finite, before the weights are touched by it; OSError when a checkpoint cannot be written, with
    the earlier ones intact.
    """
    settings = dataclasses.replace(settings, threads=resolve_threads(settings.threads))
    optimizer = AdamW(
        decay_groups(model, settings.weight_decay),
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=settings.eps,
        threads=settings.threads,
    )
    run = _Run(model, sampler, settings, optimizer, validation, token_bytes, report)
    log_length = 0
    if directory is not None:
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        tidy(directory)
        checkpoint = latest_checkpoint(directory)
        if checkpoint is not None and not resume:
            raise ValueError(
                f"{directory} already holds a run (at {checkpoint.name}): resume it or choose another directory"
            )
        if checkpoint is not None:
            log_length = run.restore(checkpoint, open_model)
    with polite_interrupts() as stop:
        if directory is None:
            return run.loop(stop, None, None, progress)
        with RunLog(directory / LOG, log_length) as log:
            outcome = run.loop(stop, directory, log, progress)
        if log.length:
            plot_curve(directory, directory / "loss.png", title)
    if outcome.finished:
        model.save_pretrained(directory)
    return outcome


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
        report: Callable[[str], None],
    ) -> None:
        self.model, self.sampler, self.settings, self.optimizer = model, sampler, settings, optimizer
        self.validation, self.token_bytes, self.report = validation, token_bytes, report
        self.params = [p for _, p in model.named_parameters() if p.requires_grad]
        self.step = 0
        self.tokens = 0
        self.loss = math.nan
        self.evaluation: dict[str, Any] = {}
        self.saved: Path | None = None

    def restore(self, checkpoint: Path, open_model: Callable[..., Any] | None) -> int:
        """Take over a checkpoint; return the length the log had."""
        state = read_state(checkpoint)
        differences = TrainingSettings.from_json(state["settings"]).differences(self.settings)
        if differences:
            raise ValueError(
                f"{checkpoint} was made with other settings ({'; '.join(differences)}): use those to resume"
            )
        for change in environment_changes(state):
            self.report(f"note: resumed in another environment, the last digits may differ ({change})")
        self.sampler.restore(state["sampler"])
        load_checkpoint(checkpoint, model=self.model, optimizer=self.optimizer, open_model=open_model)
        self.step, self.tokens, self.evaluation = state["step"], state["tokens"], state["evaluation"]
        self.loss, self.saved = state["loss"] if state["loss"] is not None else math.nan, checkpoint
        return state["log_bytes"]

    def loop(self, stop: Any, directory: Path | None, log: RunLog | None, progress: bool) -> Outcome:
        started = time.perf_counter()
        settings, first = self.settings, self.step
        if self.step == 0 and self.validation is not None and settings.evaluate_every:
            self._evaluate(log)
        with Progress(settings.steps, self.step, progress) as bar, Timing(directory) as timing:
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

    def _save(self, directory: Path, log: RunLog) -> None:
        log.sync()
        state = {
            "sampler": self.sampler.state(),
            "settings": self.settings.to_json(),
            "tokens": self.tokens,
            "loss": self.loss,
            "evaluation": self.evaluation,
            "log_bytes": log.length,
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
