"""A mistake is named by the answers that it gives."""

from __future__ import annotations

import functools
from types import ModuleType

from grading_sandbox import make_exercises

from llm_from_scratch.grading.registry import collect
from llm_from_scratch.grading.resemblance import likely_mistakes
from llm_from_scratch.grading.runner import FIXED_SEED
from llm_from_scratch.grading.session import run_task
from llm_from_scratch.grading.wrongs import load, read_wrongs, wrong_module


def named(chapter, body, seed=FIXED_SEED):
    """What `likely_mistakes` says of a `double` with this body."""
    worked, checks = load(chapter.solution, "w"), load(chapter.checks, "c")
    module, task, kept = ModuleType("learner"), chapter.tasks()[0], {}
    exec(f"import numpy as np\ndef double(x):\n    {body}", vars(module))
    failed = [r for r in run_task(task, checks, module, worked, [seed], "", None, kept) if r.status == "failed"]
    patches = read_wrongs(chapter)[task.name].items()
    wrong = {n: functools.partial(wrong_module, chapter, chapter.source(), task, patch) for n, patch in patches}
    return likely_mistakes(failed, kept, {c.name: c for c in collect(checks, task.name)}, worked, wrong, 60.0)


def test_the_mistake_is_named_whose_answers_these_are(tmp_path):
    chapter = make_exercises(tmp_path)
    text = chapter.wrongs.read_text(encoding="utf-8")
    more = (
        '"tripled": ("2 * given(x)", "3 * x", "doubles"), "tripled in steps": ("2 * given(x)", "x + x + x", "doubles"),'
    )
    more += ' "a little off": ("2 * given(x)", "2 * x + 1e-7", "doubles"), "crashes": ("2 *", "None *", "doubles"),'
    chapter.wrongs.write_text(text.replace('"double": {', '"double": {' + more), encoding="utf-8")
    assert named(chapter, "return 1.0 * x")["doubles"] == ["identity"]
    assert named(chapter, "return x + 2 * x")["doubles"] == ["tripled", "tripled in steps"]
    # what is near a mistake is not that mistake, and the same exception may come of any
    for body in (
        "return x * 1.0001",
        "return 2 * x + 3e-7",
        "return 0 * x",
        "return None * x",
        "return x[:2]",
        "return 5",
    ):
        assert named(chapter, body) == {}, body
