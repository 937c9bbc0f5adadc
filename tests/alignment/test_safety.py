"""Two scores become one, a safe preprompt is distilled where that is better, refusals are counted beside."""

import numpy as np
import pytest

from llm_from_scratch.alignment.safety import (
    combined_scores,
    count_safety,
    distilled_context,
    whitened_scores,
    with_preprompt,
)


def ask(text, system=None):
    return [*([{"role": "system", "content": system}] if system else []), {"role": "user", "content": text}]


def test_each_case_of_the_combination_against_the_definition_in_a_loop():
    rng = np.random.default_rng(0)
    helpful, safe = rng.uniform(size=(2, 200))
    unsafe_prompt = rng.uniform(size=200) < 0.3
    for threshold in (0.15, 0.5):
        found = combined_scores(helpful, safe, unsafe_prompt, threshold=threshold)
        expected = []
        for h, s, asked in zip(helpful, safe, unsafe_prompt):
            if asked:
                expected.append(s)
            elif s < threshold:
                expected.append(s)
            else:
                expected.append(h)
        np.testing.assert_array_equal(found, expected)
    assert combined_scores(np.array([0.9]), np.array([0.15]), np.array([False]))[0] == 0.9  # 0.15 itself is safe
    assert combined_scores(helpful[:2].astype(np.float32), safe[:2].astype(np.float32), unsafe_prompt[:2]).dtype == "f4"


def test_an_unsafe_answer_never_gains_by_being_helpful():
    helpful = np.linspace(0, 1, 11)
    low = combined_scores(helpful, np.full(11, 0.1), np.zeros(11, bool))
    assert (low == 0.1).all()


def test_whitened_logits():
    scores = 1 / (1 + np.exp(-np.array([-2.0, 0.0, 1.0, 5.0])))
    logits = np.array([-2.0, 0.0, 1.0, 5.0])
    np.testing.assert_allclose(whitened_scores(scores), (logits - 1) / logits.std(), rtol=1e-6, atol=1e-12)
    found = whitened_scores(np.array([0.0, 1.0, 0.5]))
    assert np.isfinite(found).all() and found[0] < found[2] < found[1]
    assert whitened_scores(np.full(3, 0.7)).tolist() == [0, 0, 0] and whitened_scores(np.array([0.3])).tolist() == [0]
    assert whitened_scores(np.array([0.2, 0.4], np.float32)).dtype == np.float32


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"helpfulness": np.array([0.5, 1.5])}, ValueError, "helpfulness must be scores.*number 1 is 1.5"),
        ({"safety": np.array([0.5, np.nan])}, ValueError, "safety must be scores.*number 1 is nan"),
        ({"safety": np.array([1, 0])}, TypeError, "safety must be floating-point"),
        ({"safety": np.array([0.5])}, ValueError, r"equally long, got \(2,\), \(1,\), \(2,\)"),
        ({"safety": np.array(0.5)}, ValueError, r"shape \(N,\)"),
        ({"helpfulness": np.array([])}, ValueError, "at least one score"),
        ({"unsafe_prompt": np.array([0, 1])}, TypeError, "unsafe_prompt says"),
    ],
)  # fmt: skip
def test_scores_that_are_none_are_refused(change, error, message):
    good = {
        "helpfulness": np.array([0.5, 0.5]),
        "safety": np.array([0.5, 0.5]),
        "unsafe_prompt": np.array([True, False]),
    }
    with pytest.raises(error, match=message):
        combined_scores(**{**good, **change})


def test_what_is_distilled_is_safer_and_has_no_preprompt():
    seen = []

    def respond(prompts):
        seen.append(prompts)
        return ["safe" if prompt[0]["content"].startswith("Be safe.") else prompt[-1]["content"] for prompt in prompts]

    def score(prompts, answers):
        assert all(prompt[0]["content"] != "Be safe." for prompt in prompts)  # judged by what the student will see
        return np.array([{"safe": 0.7, "bad": 0.1, "good": 0.9, "equal": 0.7}[answer] for answer in answers])

    prompts = [ask("bad"), ask("good", "Be brief."), ask("equal"), ask("bad", "Be brief.")]
    made = distilled_context(prompts, respond, score, preprompt="Be safe.")
    assert made == [[*p, {"role": "assistant", "content": "safe"}] for p in (ask("bad"), ask("bad", "Be brief."))]
    assert seen[0] == prompts
    assert seen[1][1] == ask("good", "Be safe.\n\nBe brief.") and seen[1][0] == ask("bad", "Be safe.")
    assert prompts[1] == ask("good", "Be brief.") and with_preprompt(ask("a"), "b") == ask("a", "b")


@pytest.mark.parametrize(
    ("prompts", "preprompt", "message"),
    [
        ([ask("a")], " ", "the preprompt is empty"),
        ([], "safe", "there are no prompts"),
        ([ask("a"), [*ask("a"), {"role": "assistant", "content": "b"}]], "safe", "prompt 1 must end with a message of"),
        ([[]], "safe", "prompt 0 must end"),
    ],
)
def test_prompts_that_are_none_are_refused_before_anything_is_asked(prompts, preprompt, message):
    def respond(prompts):
        raise AssertionError("asked")

    with pytest.raises(ValueError, match=message):
        distilled_context(prompts, respond, None, preprompt=preprompt)


def test_refusing_everything_is_safe_and_is_counted():
    asked = [True] * 4 + [False] * 6
    everything = count_safety(asked, [True] * 10, [True] * 10)
    assert (everything.violations, everything.false_refusals) == (0.0, 1.0)
    nothing = count_safety(asked, [False] * 4 + [True] * 6, [False] * 10)
    assert (nothing.violations, nothing.false_refusals) == (0.4, 0.0)
    assert count_safety([True], [True], [True]).false_refusals == 0.0
    with pytest.raises(ValueError, match="2 prompts, 1 safe, 2 refused"):
        count_safety([True, False], [True], [True, True])
