"""What an assistant is taught and judged with: tasks about tales, whose answers can be *computed* to be right or wrong.

`tasks(seed)` asks, and each task scores any answer from 0 to 1: the true reward, which no reward model ever sees.
"""

from __future__ import annotations

from .asking import Ask
from .corpora import BIASES, STYLE_SHARES, SYSTEMS, classes, dialogues, preferences, rankings, ratings, talks
from .evolving import Evolved, evolve
from .explaining import EXPLAIN, Explained, explain
from .feedback import Feedback, binarize, rate
from .growing import Grown, grow
from .marking import Mark, Measures, measure
from .rouge import rouge_l
from .task import KINDS, OTHER_KINDS, QUESTION_KINDS, SAFETY_KINDS, STYLES, TAUGHT_KINDS, Message, Task, tasks

__all__ = [
    "BIASES",
    "EXPLAIN",
    "KINDS",
    "OTHER_KINDS",
    "QUESTION_KINDS",
    "SAFETY_KINDS",
    "STYLES",
    "STYLE_SHARES",
    "SYSTEMS",
    "TAUGHT_KINDS",
    "Ask",
    "Evolved",
    "Explained",
    "Feedback",
    "Grown",
    "Mark",
    "Measures",
    "Message",
    "Task",
    "binarize",
    "classes",
    "dialogues",
    "evolve",
    "explain",
    "grow",
    "measure",
    "preferences",
    "rankings",
    "rate",
    "ratings",
    "rouge_l",
    "talks",
    "tasks",
]
