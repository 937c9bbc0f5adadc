"""A task: items of one kind, and how they are asked; examples in front of a question ("few-shot").

Kinds: "choices" (items {"context", "choices", "answer"}), "endings" ({"context", "ending"}), "answers" ({"context",
"answer": a text or several}, the model writes) and "prompts" ({"turns": texts}, which only a judge can score).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

KINDS = ("choices", "endings", "answers", "prompts")


@dataclasses.dataclass(frozen=True)
class Task:
    """items, and examples: others, for few-shot prompts (the items themselves where there are none).

    normalize: what is customary for choices. max_new_tokens, stop, extract: as for `generation_accuracy`. separator:
    what stands between examples. about: in a line, what it tests.
    """

    name: str
    kind: str
    items: tuple[Mapping[str, Any], ...]
    about: str = ""
    examples: tuple[Mapping[str, Any], ...] = ()
    normalize: str = "none"
    max_new_tokens: int = 32
    stop: tuple[str, ...] = ("\n",)
    extract: Callable[[str], str] | None = None
    separator: str = "\n\n"

    def limited(self, count: int | None) -> Task:
        """The first `count` items only."""
        if count is None:
            return self
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ValueError(f"a limit of items must be a whole number of at least 1, got {count!r}")
        return dataclasses.replace(self, items=self.items[:count])


def with_shots(task: Task, shots: int, *, seed: int = 0) -> Task:
    """Put `shots` solved examples in front of every item, drawn for each item anew, never the item itself.

    >>> items = tuple({"context": f"{n} + 1 =", "choices": [f" {n + 1}", f" {n + 2}"], "answer": 0} for n in range(3))
    >>> print(with_shots(Task("sums", "choices", items, separator="\\n"), 1).items[0]["context"])
    2 + 1 = 3
    0 + 1 =
    """
    if isinstance(shots, bool) or not isinstance(shots, int) or shots < 0:
        raise ValueError(f"shots must be a whole number of at least 0, got {shots!r}")
    if not shots:
        return task
    if task.kind == "prompts":
        raise ValueError("prompts for a judge have no solved examples to put in front")
    pool = task.examples or task.items
    if len(pool) - (not task.examples) < shots:
        raise ValueError(f"{task.name} has {len(pool)} items to draw {shots} examples from: lower the shots")
    made = []
    for number, item in enumerate(task.items):
        order = np.random.default_rng((seed, number)).permutation(len(pool)).tolist()
        chosen = [pool[k] for k in order if task.examples or k != number][:shots]
        made.append({**item, "context": _after(task, chosen, item)})
    return dataclasses.replace(task, items=tuple(made))


def _after(task: Task, examples: Sequence[Mapping[str, Any]], item: Mapping[str, Any]) -> Any:
    context = item["context"]
    if isinstance(context, str):
        solved = [f"{example['context']}{_joined(solution(task, example))}" for example in examples]
        return task.separator.join([*solved, context])
    turns = [
        turn
        for example in examples
        for turn in (*example["context"], {"role": "assistant", "content": solution(task, example).strip()})
    ]
    return [*turns, *context]


def _joined(text: str) -> str:
    return text if text[:1].isspace() else f" {text}"


def solution(task: Task, item: Mapping[str, Any]) -> str:
    """What stands after an item's context where it is shown solved."""
    if task.kind == "choices":
        return str(item["choices"][item["answer"]])
    found = item.get("solution", item.get("ending", item.get("answer")))
    return str(found if isinstance(found, str) else found[0])  # type: ignore[index]
