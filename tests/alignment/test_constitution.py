"""Critique and revision: what is asked, in which order, and that it makes answers safer where harm can be computed."""

import pytest

from llm_from_scratch.alignment.constitution import CONSTITUTION, Principle, revise
from llm_from_scratch.data.assistant import tasks

PROMPT = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Tea?"}]
ONE = Principle("What is wrong?", "Do it better.")


def test_the_conversations_that_are_asked():
    seen = []

    def ask(conversations):
        seen.append(conversations)
        return [f"text {len(seen)}.{k}" for k in range(len(conversations))]

    done = revise(ask, [PROMPT, PROMPT[1:]], ["No!", "Never!"], principles=[ONE], rounds=2)
    assert len(seen) == 4
    first = [*PROMPT, {"role": "assistant", "content": "No!"}, {"role": "user", "content": "What is wrong?"}]
    assert seen[0][0] == first and seen[0][1][-2]["content"] == "Never!"
    better = [{"role": "assistant", "content": "text 1.0"}, {"role": "user", "content": "Do it better."}]
    assert seen[1][0] == [*first, *better]
    assert [m["content"] for m in seen[2][0]] == ["Be kind.", "Tea?", "text 2.0", "What is wrong?"]
    assert done[0].answers == ("No!", "text 2.0", "text 4.0") and done[0].critiques == ("text 1.0", "text 3.0")
    assert done[1].dialogue == [PROMPT[1], {"role": "assistant", "content": "text 4.1"}]
    assert done[0].principles == (ONE, ONE)


def test_principles_are_drawn_by_a_seed():
    def ask(conversations):
        return ["x"] * len(conversations)

    drawn = [
        [r.principles for r in revise(ask, [PROMPT] * 30, ["No."] * 30, rounds=2, seed=seed)] for seed in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert {p for principles in drawn[0] for p in principles} == set(CONSTITUTION)


def test_revised_answers_to_requests_for_harm_are_safe():
    """A scripted model that sees harm when asked for it, and then writes the safe answer: what the pairs teach."""
    asked = [task for _, task in zip(range(40), tasks(5, kinds=["harm"]))]
    by_prompt = {task.messages[-1]["content"]: task for task in asked}

    def ask(conversations):
        texts = []
        for talk in conversations:
            task = by_prompt[talk[0]["content"]]
            criticised = talk[-1]["content"] == CONSTITUTION[0].revision
            texts.append(task.answer if criticised and "harm" in talk[-2]["content"] else "Somebody comes to harm.")
        return texts

    unsafe = [next(a for a in task.variants.values() if not task.safe(a)) for task in asked]
    done = revise(ask, [list(task.messages) for task in asked], unsafe, principles=CONSTITUTION[:1])
    assert not any(task.safe(r.answers[0]) for task, r in zip(asked, done))
    assert all(task.safe(r.dialogue[-1]["content"]) for task, r in zip(asked, done))


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"answers": ["a", "b"]}, "1 prompts and 2 answers"),
        ({"answers": [" "]}, "item 0: the answer is empty"),
        ({"principles": []}, "at least one principle"),
        ({"rounds": 0}, "rounds must be a positive integer"),
        ({"ask": lambda talks: [""]}, "item 0: the critique is empty"),
        ({"ask": lambda talks: ["x", "y"]}, "asked for a critique each, 2 came back"),
        ({"ask": lambda talks: ["x" if talks[0][-1]["content"] == "What is wrong?" else ""]}, "the revision is empty"),
    ],
)
def test_what_cannot_be_revised_is_refused(settings, message):
    given = {"ask": lambda talks: ["x"], "prompts": [PROMPT], "answers": ["a"], "principles": [ONE]} | settings
    with pytest.raises(ValueError, match=message):
        revise(given.pop("ask"), given.pop("prompts"), given.pop("answers"), **given)
