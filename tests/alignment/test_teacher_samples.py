"""What a teacher says becomes what a student is tuned on."""

import pytest

from llm_from_scratch import alignment as A

PROMPTS = [
    [{"role": "user", "content": "one"}],
    [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "two"}],
    [{"role": "user", "content": "three"}],
]


def echo(conversations):
    return [" | ".join(message["content"] for message in conversation) for conversation in conversations]


def test_answers_follow_their_prompts():
    told = A.teacher_dialogues(echo, PROMPTS)
    assert [dialogue[-1] for dialogue in told] == [
        {"role": "assistant", "content": text} for text in ("one", "Be kind. | two", "three")
    ]
    assert [dialogue[:-1] for dialogue in told] == PROMPTS and all(len(p) < 3 for p in PROMPTS)


def test_explanations_are_asked_for_and_trained_under_the_same_system_prompt():
    told = A.teacher_dialogues(echo, PROMPTS, systems=["Explain.", "Step by step."])
    systems = [[m["content"] for m in dialogue if m["role"] == "system"] for dialogue in told]
    assert systems == [["Explain."], ["Step by step."], ["Explain."]]
    assert told[1][-1]["content"] == "Step by step. | two"  # the prompt's own system message is gone


def test_what_is_not_worth_it_is_left_out():
    kept = A.teacher_dialogues(echo, PROMPTS, keep=lambda number, text: number != 1)
    assert [dialogue[-1]["content"] for dialogue in kept] == ["one", "three"]
    assert A.teacher_dialogues(lambda conversations: ["", " \n", "x"], PROMPTS)[0][-1]["content"] == "x"


@pytest.mark.parametrize(
    ("teach", "prompts", "settings", "error", "message"),
    [
        (echo, [], {}, ValueError, "no prompts"),
        (echo, [PROMPTS[0], []], {}, ValueError, "prompt 1 must end where the teacher"),
        (echo, [[{"role": "assistant", "content": "x"}]], {}, ValueError, "prompt 0 must end"),
        (lambda conversations: ["x"], PROMPTS, {}, ValueError, "1 answers to 3 prompts"),
        (echo, PROMPTS, {"systems": "Explain."}, TypeError, "list of system prompts"),
    ],
)
def test_what_is_refused(teach, prompts, settings, error, message):
    with pytest.raises(error, match=message):
        A.teacher_dialogues(teach, prompts, **settings)
