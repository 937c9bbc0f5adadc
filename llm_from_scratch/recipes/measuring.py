"""What is asked of a model at every evaluation of its training, besides the loss: tasks, and each source by itself.

Both are functions of the model alone, so that a run that was resumed logs the same bytes. They cost time: `Tasks` tells
how much after it was called.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..evaluation import OWN_TASKS, own_task, read_task, run_task
from ..tokenizers import Tokenizer
from ..training import evaluate, read_log
from .batching import held_out_batches
from .figures import figures_of, plot_figures
from .recipe import Corpus, Recipe


class Tasks:
    """Called with a model: {task: accuracy} (of written answers: the share of exact matches), chance not taken off.

    names: the package's own tasks (`evaluate tasks`), "asked:KIND", or files, as `evaluate --task` takes them; items:
    how many are asked of each, the same every time. `seconds`: what the last call took, by task. Raises ValueError for
    a name twice or unknown, and for a task that needs a judge.
    """

    def __init__(self, names: Sequence[str], tokenizer: Tokenizer, *, items: int = 100, threads: int | None = None):
        twice = [name for number, name in enumerate(names) if name in names[:number]]
        if twice:
            raise ValueError(f"the task {twice[0]} is named twice")
        self.tokenizer, self.threads = tokenizer, threads
        self.tasks: dict[str, Any] = {}
        for name in names:
            if not Path(name).is_file() and name.partition(":")[0] not in OWN_TASKS:
                raise ValueError(
                    f"there is no task and no file {name!r}; the package's tasks are {', '.join(OWN_TASKS)}"
                )
            task = read_task(name).limited(items) if Path(name).is_file() else own_task(name, items)
            if task.kind == "prompts":
                raise ValueError(f"{name} needs a judge, and training has none: leave it out")
            self.tasks[task.name] = task
        self.seconds: dict[str, float] = {}

    def __call__(self, model: Any) -> dict[str, float]:
        scores = {}
        for name, task in self.tasks.items():
            began = time.perf_counter()
            try:
                scores[name] = float(run_task(model, self.tokenizer, task, prior=False, threads=self.threads))
            except ValueError as error:
                raise ValueError(f"the task {name}: {error}") from None
            self.seconds[name] = time.perf_counter() - began
        return scores


class Sources:
    """Called with a model: {"loss of SOURCE": its held-out loss}, for a recipe of several sources."""

    def __init__(self, recipe: Recipe, corpus: Corpus, *, threads: int | None = None) -> None:
        self.recipe, self.threads = recipe, threads
        self.held_out: Mapping[str, Any] = {source: kept for source, (_, kept) in corpus.parts.items()}

    def __call__(self, model: Any) -> dict[str, float]:
        return {
            f"loss of {source}": evaluate(
                model, held_out_batches(self.recipe, tokens, len(self.held_out)), threads=self.threads
            )["loss"]
            for source, tokens in self.held_out.items()
        }


class Measures:
    """What `train(measures=…)` wants: everything that a recipe asks for; false if that is nothing."""

    def __init__(self, recipe: Recipe, corpus: Corpus, *, threads: int | None = None) -> None:
        self.tasks = Tasks(recipe.evaluate, corpus.tokenizer, items=recipe.evaluate_items, threads=threads)
        self.parts: list[Any] = [self.tasks] if recipe.evaluate else []
        if len(corpus.parts) > 1:
            self.parts.append(Sources(recipe, corpus, threads=threads))

    def __bool__(self) -> bool:
        return bool(self.parts)

    def __call__(self, model: Any) -> dict[str, float]:
        return {name: value for part in self.parts for name, value in part(model).items()}

    def costs(self, model: Any) -> list[str]:
        """What the tasks cost at each evaluation, tried out on the model; a task that does not suit it is an error."""
        if not self.tasks.tasks:
            return []
        self.tasks(model)
        return [
            f"{name}, {len(self.tasks.tasks[name].items)} items: {seconds:.1f} s at each evaluation"
            for name, seconds in self.tasks.seconds.items()
        ]

    def found(self, directory: Path, say: Callable[[str], None]) -> dict[str, list[float]]:
        """{name: [first, last value]} of what the log of a run has, drawn into `directory`/measures.png."""
        figures = figures_of(read_log(directory)) if self else {}
        names = [name for name in figures if name in self.tasks.tasks or name.startswith("loss of ")]
        if names:
            try:
                plot_figures(directory, directory / "measures.png", only=names)
            except Exception as error:  # a picture is not worth a run
                say(f"note: what was measured could not be drawn ({error})")
        return {name: [figures[name][0][1], figures[name][-1][1]] for name in names}
