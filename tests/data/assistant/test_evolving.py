"""Evolved instructions: rounds, what is dropped, nonsense."""

import pytest

from llm_from_scratch.data.assistant import evolve

TASKS = ["Where did Tom live?", "What colour was the kite?"]


def longer(messages):
    return messages[-1]["content"].split("The task: ")[1].split("\n")[0][:-1] + ", and who said so?"


def test_each_round_works_on_the_one_before():
    evolved = evolve(TASKS, longer, rounds=2)
    assert evolved.rounds[0] == tuple(TASKS)
    assert evolved.rounds[1] == ("Where did Tom live, and who said so?", "What colour was the kite, and who said so?")
    assert evolved.rounds[2][0] == "Where did Tom live, and who said so, and who said so?"
    assert not any(evolved.dropped.values())


def test_the_ways_are_drawn_and_repeat_with_the_seed():
    def asked(seed):
        seen = []
        evolve(TASKS * 10, lambda m: seen.append(m[0]["content"]) or longer(m), seed=seed)
        return [text.split("\n")[0] for text in seen]

    assert asked(1) == asked(1) != asked(2) and len(set(asked(1))) == 5


def test_what_did_not_evolve_stays_and_is_counted():
    answers = iter([TASKS[0], "The task: where?", "", "Why was the kite red, and why not blue?"])
    evolved = evolve([*TASKS, *TASKS], lambda messages: next(answers))
    assert evolved.rounds[1] == (TASKS[0], TASKS[1], TASKS[0], "Why was the kite red, and why not blue?")
    assert evolved.dropped == {"unchanged": 1, "too short or too long": 1, "about the request": 1}


def test_nonsense_and_bad_settings_are_told_of():
    with pytest.raises(ValueError, match=r"none of 2 answers is an evolved task \(dropped: 2 too short or too long\)"):
        evolve(TASKS, lambda messages: "!")
    with pytest.raises(TypeError, match="must return a text, got int"):
        evolve(TASKS, lambda messages: 3)
    with pytest.raises(ValueError, match="at least one instruction"):
        evolve([], longer)
    with pytest.raises(ValueError, match="rounds must be at least 1, got 0"):
        evolve(TASKS, longer, rounds=0)
