"""What an assistant is taught and judged with: tasks about tales, whose answers can be *computed* to be right or wrong.

`tasks(seed)` asks, and each task scores any answer from 0 to 1: the true reward, which no reward model ever sees.
"""

from __future__ import annotations

from .corpora import BIASES, STYLE_SHARES, SYSTEMS, classes, dialogues, preferences, rankings, ratings
from .marking import Mark, Measures, measure
from .task import KINDS, OTHER_KINDS, QUESTION_KINDS, SAFETY_KINDS, STYLES, Message, Task, tasks

__all__ = [
    "BIASES",
    "KINDS",
    "OTHER_KINDS",
    "QUESTION_KINDS",
    "SAFETY_KINDS",
    "STYLES",
    "STYLE_SHARES",
    "SYSTEMS",
    "Mark",
    "Measures",
    "Message",
    "Task",
    "classes",
    "dialogues",
    "measure",
    "preferences",
    "rankings",
    "ratings",
    "tasks",
]
