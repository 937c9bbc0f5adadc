"""Two models answer the same conversations, and a third says whose answers are better, seen in both orders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..scoring.answers import answer
from ..scoring.judge import ModelJudge
from ..scoring.winning import win_rate
from .outcome import Outcome
from .running import item_keys
from .task import Task


def judged_task(
    one: tuple[Any, Any],
    other: tuple[Any, Any],
    judge: tuple[Any, Any],
    task: Task,
    *,
    template: Any = None,
    max_new_tokens: int = 128,
    seed: int = 0,
) -> Outcome:
    """How often `one` wins; ties count one half. one, other, judge: (model, tokenizer) each.

    Later turns follow a model's own earlier answers, and the judge sees all of them as one answer to the first turn.
    """
    if task.kind != "prompts":
        raise ValueError(f"{task.name} has right answers: only conversations go to a judge")
    turns = [list(item["turns"]) for item in task.items]
    told = [_conversations(*who, turns, template, max_new_tokens) for who in (one, other)]
    prompts = [[{"role": "user", "content": asked[0]}] for asked in turns]
    found = win_rate(ModelJudge(*judge, template=template), prompts, told[0], told[1], seed=seed)
    details = {
        "wins": found.wins, "ties": found.ties, "losses": found.losses, "contradictions": found.contradictions,
        "position bias": found.position_bias, "answers": told,
    }  # fmt: skip
    return Outcome(
        found.value, found.interval, found.count, task.name, "win rate", item_keys(task.items),
        tuple(verdict.score for verdict in found.verdicts),
        details=details,
    )  # fmt: skip


def _conversations(model: Any, tokenizer: Any, turns: Sequence[Sequence[str]], template: Any, room: int) -> list[str]:
    """What a model says in each conversation; later questions stand between its answers, as a judge must see them."""
    messages: list[list[dict[str, str]]] = [[] for _ in turns]
    told = [""] * len(turns)
    for turn in range(max(map(len, turns))):
        asked = [k for k, questions in enumerate(turns) if turn < len(questions)]
        for k in asked:
            messages[k].append({"role": "user", "content": turns[k][turn]})
            told[k] += f"\n\n[then asked] {turns[k][turn]}\n\n" if turn else ""
        said = answer(model, tokenizer, [messages[k] for k in asked], template=template, max_new_tokens=room)
        for k, text in zip(asked, said):
            messages[k].append({"role": "assistant", "content": text or "…"})
            told[k] += text
    return told
