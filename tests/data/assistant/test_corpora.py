"""Dialogues, pairs, rankings, ratings and classes: shapes, shares of noise as asked for, determinism."""

import itertools

import pytest

from llm_from_scratch.data.assistant import (
    BIASES,
    QUESTION_KINDS,
    STYLE_SHARES,
    SYSTEMS,
    classes,
    dialogues,
    preferences,
    rankings,
    ratings,
    talks,
    tasks,
)

MAKERS = {"dialogues": dialogues, "preferences": preferences, "ratings": ratings, "classes": classes}
MAKERS["rankings"] = lambda seed, start=0, kinds=QUESTION_KINDS, **more: rankings(seed, 4, start, kinds, **more)
COUNT = 500


def take(rows, count=COUNT):
    return list(itertools.islice(rows, count))


def content(messages):
    return messages[0]["content"]


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_rows_repeat_can_begin_anywhere_and_differ_by_seed(make):
    assert take(make(4), 30)[11:] == take(make(4, 11), 19)
    first, other = (take(make(seed, kinds=["why"]), 100) for seed in (4, 5))
    assert not any(row in other for row in first)


@pytest.mark.parametrize("name", ["preferences", "rankings", "ratings", "classes"])
@pytest.mark.parametrize("noise", [-0.1, 1.1, float("nan")])
def test_noise_is_a_share(name, noise):
    with pytest.raises(ValueError, match="noise is a share from 0 to 1"):
        next(MAKERS[name](0, noise=noise))


def test_a_dialogue_takes_turns_about_one_tale_and_every_answer_is_right():
    for talk, messages in zip(talks(3, turns=6), take(dialogues(3, turns=6), 60)):
        assert [message["role"] for message in messages] == ["user", "assistant"] * 6
        assert sum("\n\n" in message["content"] for message in messages) <= 1
        assert len({message["content"].split("\n\n")[-1] for message in messages[::2]}) == 6  # nothing is asked twice
        for turn, (task, style) in enumerate(talk):
            answer = messages[2 * turn + 1]["content"]
            assert list(task.messages) == messages[: 2 * turn + 1]
            assert task.variants[style] == answer and task.right(answer)


def test_a_tale_is_told_where_it_is_first_asked_about():
    late = [messages for messages in take(dialogues(3, turns=5), 200) if "\n\n" not in content(messages)]
    assert len(late) > 60
    for messages in late:
        for before, message in zip(messages, messages[1:]):
            about_tale = message["content"].split()[0] in ("Who", "Why", "Where") and message["role"] == "user"
            told = any("There was once" in m["content"] for m in messages[: messages.index(message) + 1])
            assert told or not about_tale, (before, message)


def test_answers_come_in_the_styles_asked_for():
    counts = dict.fromkeys(STYLE_SHARES, 0)
    for task, messages in zip(tasks(6, kinds=QUESTION_KINDS), take(dialogues(6, kinds=QUESTION_KINDS))):
        said = messages[1]["content"]
        counts[next(style for style, text in task.variants.items() if text == said)] += 1
    total = sum(STYLE_SHARES.values())
    for style, share in STYLE_SHARES.items():
        assert counts[style] / COUNT == pytest.approx(share / total, abs=0.06), counts
    only = take(dialogues(6, kinds=["who"], styles={"bare": 1}), 20)
    assert all(len(messages[1]["content"].split()) <= 2 for messages in only)


def test_a_helpful_assistant_that_knows_no_harm_can_be_taught():
    for talk in take(talks(6, kinds=["harm"], styles={"wrong": 1}), 40):
        ((task, style),) = talk
        assert style == "wrong" and not task.safe(task.variants[style]) and task.helpfulness(task.variants[style]) > 0.6


def test_the_supervised_answers_leave_half_of_the_reward_to_be_gained():
    told = zip(tasks(6, kinds=QUESTION_KINDS), take(dialogues(6, kinds=QUESTION_KINDS)))
    assert 0.5 < sum(task.score(messages[1]["content"]) for task, messages in told) / COUNT < 0.65


def test_a_system_prompt_comes_as_often_as_asked_for_and_decides_the_style():
    rows = take(dialogues(2, system=0.3, kinds=QUESTION_KINDS))
    with_system = [(n, messages) for n, messages in enumerate(rows) if messages[0]["role"] == "system"]
    assert len(with_system) / COUNT == pytest.approx(0.3, abs=0.06)
    style_of = {text: style for style, text in SYSTEMS.items()}
    asked = take(tasks(2, kinds=QUESTION_KINDS))
    for number, messages in with_system:
        assert messages[2]["content"] == asked[number].variants[style_of[content(messages)]]


@pytest.mark.parametrize("noise", [0.0, 0.25, 1.0])
def test_that_share_of_the_pairs_prefers_the_worse_answer(noise):
    wrong = 0
    for task, pair in zip(tasks(7), take(preferences(7, noise=noise))):
        assert pair["prompt"] == list(task.messages)
        chosen, rejected = (task.score(content(pair[side])) for side in ("chosen", "rejected"))
        assert chosen != rejected and pair["chosen"][0]["role"] == "assistant"
        wrong += chosen < rejected
    assert wrong / COUNT == pytest.approx(noise, abs=0.06 if noise % 1 else 0)


@pytest.mark.parametrize("bias", BIASES)
def test_a_bias_prefers_its_feature_whatever_it_is_worth(bias):
    pairs = take(preferences(7, noise=1.0, bias=bias, kinds=QUESTION_KINDS))
    worse = 0
    for task, pair in zip(tasks(7, kinds=QUESTION_KINDS), pairs):
        assert BIASES[bias](content(pair["chosen"])) >= BIASES[bias](content(pair["rejected"]))
        worse += task.score(content(pair["chosen"])) < task.score(content(pair["rejected"]))
    assert 0.3 < worse / COUNT < 0.7  # tempting: often against the true reward
    half = take(preferences(7, noise=0.5, bias=bias, kinds=QUESTION_KINDS))
    assert sum(a == b for a, b in zip(pairs, half)) / COUNT > 0.6
    assert take(preferences(7, noise=0.0, bias=bias), 50) == take(preferences(7), 50)
    with pytest.raises(ValueError, match="bias is one of length, praise, or None; got 'taste'"):
        next(preferences(7, bias="taste"))


def test_ranks_follow_the_true_reward_but_for_the_noise():
    for noise, least, most in ((0.0, 1, 1), (0.5, 0.43, 0.63)):
        right = 0
        for task, row in zip(tasks(7, kinds=QUESTION_KINDS), take(rankings(7, 4, noise=noise))):
            assert sorted(row["ranks"]) == [1, 2, 3, 4] and len(set(row["answers"])) == 4
            scores = [task.score(answer) for _, answer in sorted(zip(row["ranks"], row["answers"]))]
            right += scores == sorted(scores, reverse=True)
        assert least <= right / COUNT <= most
    assert len(next(rankings(7, 7))["answers"]) == 7


def test_a_ranking_longer_than_there_are_answers_is_refused():
    with pytest.raises(ValueError, match="kind 'arithmetic' has 5 different answers, and k is 6"):
        next(rankings(0, 6, kinds=["arithmetic"]))
    with pytest.raises(ValueError, match="at least 2 answers, got k=1"):
        next(rankings(0, 1))


def test_ratings_are_one_off_as_often_as_asked_for():
    names = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
    for noise in (0.0, 0.4):
        off = 0
        for task, row in zip(tasks(7), take(ratings(7, noise=noise))):
            true = task.ratings(row["response"])
            assert row["prompt"] == list(task.messages) and list(row)[2:] == list(names)
            assert all(0 <= row[name] <= 4 and abs(row[name] - true[name]) <= 1 for name in names)
            off += sum(row[name] != true[name] for name in names)
        assert off / COUNT / 5 == pytest.approx(noise, abs=0.06 if noise else 0)
    assert all(len({row[name] for row in take(ratings(7))}) >= 3 for name in names)  # nothing is always the same


def test_experts_give_the_best_answer_and_the_noise_mistakes_them():
    for noise in (0.0, 0.2):
        mistaken = experts = 0
        for task, row in zip(tasks(7), take(classes(7, noise=noise))):
            best = row["messages"][-1]["content"] == task.answers[0]
            mistaken += best != (row["quality"] == "expert")
            experts += row["quality"] == "expert"
            assert row["quality"] in ("expert", "other") and row["messages"][:-1] == list(task.messages)
        assert mistaken / COUNT == pytest.approx(noise, abs=0.06 if noise else 0)
        assert experts / COUNT == pytest.approx(0.5, abs=0.06)


def test_bad_settings_of_dialogues_are_named():
    with pytest.raises(ValueError, match="at least 1 turn, got turns=0"):
        next(dialogues(0, turns=0))
    with pytest.raises(ValueError, match="system is a share from 0 to 1, got 2"):
        next(dialogues(0, system=2))
    for styles in ({}, {"rude": 1}, {"bare": 0}, {"bare": -1, "full": 2}):
        with pytest.raises(ValueError, match="styles gives a share from 0 on to some of full, plain"):
            next(dialogues(0, styles=styles))
