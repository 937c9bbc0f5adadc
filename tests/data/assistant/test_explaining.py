"""Explanation traces: a system prompt, the prompt, an answer that explains; what does not is dropped and counted."""

import itertools

import pytest

from llm_from_scratch.data.assistant import EXPLAIN, explain, tasks

TASKS = list(itertools.islice(tasks(3, kinds=["problem", "why"]), 30))
PROMPTS = [list(task.messages) for task in TASKS]


def teacher(messages):
    return next(task for task in TASKS if task.messages[0] == messages[-1]).question.full


def test_the_teacher_is_told_how_and_the_student_gets_it_all():
    explained = explain(PROMPTS, teacher)
    assert explained.kept == tuple(range(30)) and not any(explained.dropped.values())
    for task, messages in zip(TASKS, explained.dialogues):
        assert [m["role"] for m in messages] == ["system", "user", "assistant"] and messages[0]["content"] in EXPLAIN
        assert messages[-1]["content"] == task.question.full
    assert len({messages[0]["content"] for messages in explained.dialogues}) == len(EXPLAIN)
    assert explained == explain(PROMPTS, teacher) != explain(PROMPTS, teacher, seed=1)


def test_wrong_and_unexplained_answers_are_dropped_and_counted():
    said = iter([TASKS[0].question.full, TASKS[1].answer, "It was so. It was not so.", TASKS[3].question.full])
    explained = explain(PROMPTS[:4], lambda messages: next(said), accept=lambda n, text: TASKS[n].right(text))
    assert explained.kept == (0, 3) and explained.dropped == {"without explanation": 1, "not accepted": 1}


def test_nonsense_and_bad_prompts_are_told_of():
    with pytest.raises(ValueError, match=r"none of 30 answers is an explanation \(dropped: 30 without explanation\)"):
        explain(PROMPTS, lambda messages: "")
    with pytest.raises(TypeError, match="must return a text, got NoneType"):
        explain(PROMPTS, lambda messages: None)
    for prompt in ([], [{"role": "system", "content": "Hm."}, *PROMPTS[0]], [{"role": "assistant", "content": "Yes."}]):
        with pytest.raises(ValueError, match="prompt 1 must have no system prompt and end with the user"):
            explain([PROMPTS[0], prompt], teacher)
    with pytest.raises(ValueError, match="at least one each"):
        explain([], teacher)
