"""Runs the exercises' checks against a learner's file and says what is wrong with it.

This room knows nothing of any particular task: solutions, checks and wrong solutions stand under `exercises/`
at the root of the repository, and whatever is found there is graded. The names below are what those files are
written with.
"""

from __future__ import annotations

from .assertions import (
    CheckBroken,
    CheckFailed,
    check_close,
    check_equal,
    check_raises,
    check_separate,
    check_that,
)
from .attempt import Attempt
from .registry import check, inputs_stay_unchanged
from .tasks import task

__all__ = [
    "Attempt",
    "CheckBroken",
    "CheckFailed",
    "check",
    "check_close",
    "check_equal",
    "check_raises",
    "check_separate",
    "check_that",
    "inputs_stay_unchanged",
    "task",
]
