"""Self-Instruct: what is new joins the pool, near-duplicates do not, and a model that writes nonsense is told of."""

import pytest

from llm_from_scratch.data.assistant import grow, rouge_l, tasks
from llm_from_scratch.data.tales.dice import Dice

SEEDS = ["Where did Tom live in the tale?", "What colour was the kite?", "Why was Nora so proud of it?"]


def writer(seed=1):
    """Writes lists of tasks that it makes of a few words, as a model might: some new, some nearly there already."""
    dice = Dice(seed)

    def ask(messages):
        lines = []
        for number in range(3):
            words = [
                dice.choice("who what fox pie hat kite ran sang slept hid blue hill lake bear".split())
                for _ in range(5)
            ]
            lines.append(f"{number + 1}. {' '.join(words)}?")
        return "\n".join([*lines, "", "x", SEEDS[0]])

    return ask


def test_what_grows_is_new_and_varied():
    grown = grow(SEEDS, writer(), 12)
    assert len(grown.instructions) == 12
    pool = [*SEEDS, *grown.instructions]
    assert all(rouge_l(a, b) < 0.7 for n, a in enumerate(pool) for b in pool[:n])
    assert grown.dropped["near-duplicate"] >= grown.requests - 1  # each answer says a seed again
    assert grown.dropped["too short or too long"] >= 2 * (grown.requests - 1)
    assert not any(text[0].isdigit() for text in grown.instructions)


def test_the_same_seed_and_answers_give_the_same_instructions():
    assert grow(SEEDS, writer(), 8) == grow(SEEDS, writer(), 8)


def test_requests_show_old_tasks_and_then_new_ones_too():
    seen = []

    def ask(messages):
        seen.append(messages)
        return writer(len(seen))(messages)

    grown = grow(SEEDS, ask, 9, shown=3, seed=5)
    assert all(len(messages) == 1 and messages[0]["role"] == "user" for messages in seen)
    shown = [[text for text in (*SEEDS, *grown.instructions) if text in messages[0]["content"]] for messages in seen]
    assert set(shown[0]) == set(SEEDS) and all(len(texts) == 3 for texts in shown)
    assert all(len(set(texts) & set(SEEDS)) == 2 for texts in shown[1:])


def test_the_threshold_is_where_two_are_the_same():
    def ask(messages):
        return "Where did Ben live in the tale?"  # 6 of 7 words: 0.857 from the seed

    assert grow(SEEDS, ask, 1, threshold=0.9).instructions == ("Where did Ben live in the tale?",)
    with pytest.raises(ValueError, match=r"4 answers held no new instruction \(dropped: 4 near-duplicate\)"):
        grow(SEEDS, ask, 1, requests=4)


def test_fewer_than_asked_for_are_given_and_counted():
    grown = grow(SEEDS, lambda messages: "Tell how the fox came home.", 5)
    assert grown.instructions == ("Tell how the fox came home.",) and grown.requests == 50
    assert grown.dropped["near-duplicate"] == 49


@pytest.mark.parametrize("nonsense", ["", "???", "x", "ha " * 200])
def test_nonsense_is_told_of(nonsense):
    with pytest.raises(ValueError, match="30 answers held no new instruction"):
        grow(SEEDS, lambda messages: nonsense, 3)


def test_bad_settings_are_named():
    with pytest.raises(TypeError, match="must return a text, got NoneType"):
        grow(SEEDS, lambda messages: None, 3)
    for seeds in ([], "Why?"):
        with pytest.raises(ValueError, match="seeds is a list of at least one instruction"):
            grow(seeds, writer(), 3)
    with pytest.raises(ValueError, match="count and shown must be at least 1, got 0 and 3"):
        grow(SEEDS, writer(), 0)
    for threshold in (0, 1.5):
        with pytest.raises(ValueError, match="threshold is a ROUGE-L"):
            grow(SEEDS, writer(), 1, threshold=threshold)


def test_questions_of_the_world_grow_too():
    asked = tasks(3, kinds=["problem", "harmless", "rewriting"])
    grown = grow(SEEDS, lambda messages: next(asked).question.text, 6)
    assert len(grown.instructions) == 6
