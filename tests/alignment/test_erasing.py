"""A teacher's strategy is in the student's prompt (Orca) or is not (Orca-2)."""

import pytest

from llm_from_scratch.alignment.erasing import explained_dialogues


def ask(text):
    return [{"role": "user", "content": text}]


def system(text):
    return {"role": "system", "content": text}


@pytest.mark.parametrize(
    ("options", "kept"),
    [({}, [system("count")]), ({"erased": True}, []), ({"erased": True, "general": "be good"}, [system("be good")])],
)
def test_what_the_student_sees(options, kept):
    def teacher(prompts):
        return [f"{prompt[0]['content']}: {prompt[1]['content']}" for prompt in prompts]  # always told the strategy

    made = explained_dialogues([ask("2 + 3"), ask("1 + 1")], ["count", "count"], teacher, **options)
    assert made == [[*kept, *ask(q), {"role": "assistant", "content": f"count: {q}"}] for q in ("2 + 3", "1 + 1")]


@pytest.mark.parametrize(
    ("prompts", "strategies", "options", "message"),
    [
        ([ask("a")], [], {}, "1 prompts and 0 strategies"),
        ([[]], ["s"], {}, "prompt 0 must end"),
        ([[system("x"), *ask("a")]], ["s"], {}, "prompt 0 has a system message already"),
        ([ask("a"), ask("b")], ["s", "\n"], {}, "strategy 1 is empty"),
        ([ask("a")], ["s"], {"general": "be good"}, "give erased=True"),
    ],
)
def test_refusals(prompts, strategies, options, message):
    with pytest.raises(ValueError, match=message):
        explained_dialogues(prompts, strategies, lambda prompts: ["b"] * len(prompts), **options)
