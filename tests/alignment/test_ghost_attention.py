"""An instruction in every turn while sampling, in the first alone while training."""

import pytest

from llm_from_scratch.alignment.ghost_attention import ghost_dialogues, in_every_turn, in_first_turn


def chat(*texts, system=None):
    """Turns of the user and the assistant, one after the other."""
    roles = ("user", "assistant")
    turns = [{"role": roles[k % 2], "content": text} for k, text in enumerate(texts)]
    return [*([{"role": "system", "content": system}] if system else []), *turns]


def test_sampled_under_the_instruction_and_trained_with_it_in_the_first_turn():
    asked = []

    def respond(prompts):
        asked.extend(prompts)
        return [f"answer {k}" for k, _ in enumerate(prompts)]

    long, short = chat("a", "b", "c", "d", "e", "old", system="s"), chat("f", "g", "h")
    made = ghost_dialogues([long, short], ["Rhyme.", "Sing."], respond)
    assert asked[0] == chat("Rhyme. a", "b", "Rhyme. c", "d", "Rhyme. e", system="s")
    assert made[0] == chat("Rhyme. a", "b", "c", "d", "e", "answer 0", system="s")
    assert made[1] == chat("Sing. f", "g", "h", "answer 1")
    assert long == chat("a", "b", "c", "d", "e", "old", system="s")  # as it was


def test_the_two_forms_agree_where_there_is_one_turn():
    assert in_every_turn(chat("a"), "x") == in_first_turn(chat("a"), "x") == chat("x a")
    assert in_first_turn(chat("a", "b", "c"), "x") != in_every_turn(chat("a", "b", "c"), "x")


@pytest.mark.parametrize(
    ("dialogues", "instructions", "message"),
    [
        ([chat("a", "b", "c")], ["x", "y"], "1 dialogues and 2 instructions"),
        ([chat("a", "b")], ["x"], "dialogue 0 has 1 turns"),
        ([[]], ["x"], "dialogue 0 has 0 turns"),
        ([chat("a", "b", "c"), chat("a", "b", "c")], ["x", " "], "instruction 1 is empty"),
    ],
)
def test_dialogues_that_teach_nothing_are_refused(dialogues, instructions, message):
    with pytest.raises(ValueError, match=message):
        ghost_dialogues(dialogues, instructions, lambda prompts: [""] * len(prompts))
