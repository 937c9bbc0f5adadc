"""What the grader looks at in chapter 20. Nothing is hidden: read on if a message leaves you wondering.

Divergences are added up word by word with Python's own mathematics; gradients are central differences of these sums;
what a data set must hold is written out.
"""

from __future__ import annotations

import math

import numpy as np

from llm_from_scratch.grading import check, check_close, check_equal, check_that, inputs_stay_unchanged


def shares(row, temperature=1.0):
    """The softmax of one row, number by number."""
    largest = max(row)
    e = [math.exp((float(a) - largest) / temperature) for a in row]
    return [a / sum(e) for a in e]


def divergence(p, q):
    """KL(p | q)."""
    return sum(a * math.log(a / b) for a, b in zip(p, q) if a > 0)


def softened(student, teacher, temperature):
    rows = [divergence(shares(t, temperature), shares(s, temperature)) for s, t in zip(student, teacher)]
    return temperature**2 * sum(rows) / len(rows)


def slopes(student, teacher, temperature):
    """By central differences, one logit after the other."""
    gradient = np.zeros(student.shape)
    for place in np.ndindex(student.shape):
        there, back = student.astype(float), student.astype(float)
        there[place] += 1e-5
        back[place] -= 1e-5
        gradient[place] = (softened(there, teacher, temperature) - softened(back, teacher, temperature)) / 2e-5
    return gradient


def logits(rng, rows=3, words=5):
    return rng.normal(size=(rows, words)) * 2, rng.normal(size=(rows, words)) * 2


# --- softened_divergence ---


@check("softened_divergence")
def two_words_by_hand(softened_divergence):
    """S = (1/2, 1/2) and T = (1/4, 3/4) at temperature 1: 3/4 log 3 - log 2, and S - T"""
    student, teacher = np.log([[0.5, 0.5]]), np.log([[0.25, 0.75]])
    loss, gradient = softened_divergence(student, teacher, 1.0)
    causes = {
        "this is KL(S | T): the teacher's probabilities weigh": math.log(2) - math.log(3) / 2,
        "this is a cross-entropy: what the teacher cannot help is still in it": math.log(2),
        "the divergence has the other sign": math.log(2) - 0.75 * math.log(3),
    }
    check_close("the loss", loss, 0.75 * math.log(3) - math.log(2), 1e-9, causes)
    turned = {"the gradient has the other sign": np.array([[-0.25, 0.25]])}
    check_close("the gradient", gradient, np.array([[0.25, -0.25]]), 1e-9, turned)


@check("softened_divergence")
def loss_at_a_temperature(softened_divergence, rng):
    """one row of five words at temperature 3"""
    student, teacher = logits(rng, rows=1)
    exact = softened(student, teacher, 3.0)
    half = divergence(shares(teacher[0]), shares(student[0], 3.0))
    causes = {
        "the square of the temperature is missing": exact / 9,
        "the temperature is there once, not squared": exact / 3,
        "the teacher was not softened": 9 * half,
        "the logits were multiplied by the temperature": 9 * softened(9 * student, 9 * teacher, 3.0) / 9,
    }
    check_close("the loss", softened_divergence(student, teacher, 3.0)[0], exact, 1e-9, causes)


@check("softened_divergence")
def gradient_at_a_temperature(softened_divergence, rng):
    """the slope of the loss, one logit after the other, at temperatures 3 and 0.5"""
    for temperature in (3.0, 0.5):
        student, teacher = logits(rng, rows=1)
        exact = slopes(student, teacher, temperature)
        causes = {
            "the gradient has 1/temperature or no temperature where it has the temperature itself": exact / temperature,
            "the gradient has temperature², of which the chain rule takes one": exact * temperature,
        }
        name = f"the gradient at temperature {temperature}"
        check_close(name, softened_divergence(student, teacher, temperature)[1], exact, 1e-7, causes)


@check("softened_divergence")
def several_rows(softened_divergence, rng):
    """a mean over four rows, the gradient with it"""
    student, teacher = logits(rng, rows=4, words=3)
    exact, slope = softened(student, teacher, 2.0), slopes(student, teacher, 2.0)
    loss, gradient = softened_divergence(student, teacher, 2.0)
    causes = {"the rows were added up: a mean was asked for": 4 * exact, "the mean is over words, too": exact / 3}
    check_close("the loss", loss, exact, 1e-9, causes)
    summed = {"the gradient is that of the sum over rows: divide by their number": 4 * slope}
    check_close("the gradient", gradient, slope, 1e-7, summed)


@check("softened_divergence")
def far_logits(softened_divergence):
    """logits of thousands, in some rows up and in others down: no overflow, and still right"""
    student = np.array([[1000.0, 1001.0, 1002.0], [-2000.0, -2003.0, -2001.0]])
    teacher = np.array([[3000.0, 3001.0, 2999.0], [-1000.0, -1001.0, -1003.0]])
    loss, gradient = softened_divergence(student, teacher, 1.0)
    check_close("the loss", loss, softened(student, teacher, 1.0), 1e-9)
    check_close("the gradient", gradient, slopes(student, teacher, 1.0), 1e-6)


@check("softened_divergence")
def keeps_float32_of_logits(softened_divergence, rng):
    """float32 in, a float32 gradient out"""
    student, teacher = (part.astype(np.float32) for part in logits(rng))
    _, gradient = softened_divergence(student, teacher, 2.0)
    check_close("the gradient", gradient, slopes(student, teacher, 2.0).astype(np.float32), 1e-4)


# --- generalised_jensen_shannon ---


def between(student, teacher, beta):
    """In probabilities, row by row."""
    out = []
    for s, t in zip(student, teacher):
        s, t = shares(s), shares(t)
        m = [beta * a + (1 - beta) * b for a, b in zip(t, s)]
        out.append(beta * divergence(t, m) + (1 - beta) * divergence(s, m))
    return np.array(out)


def mixed_logarithms(student, teacher, beta):
    out = []
    for s, t in zip(student, teacher):
        s, t = np.log(shares(s)), np.log(shares(t))
        m = beta * t + (1 - beta) * s
        out.append(beta * (np.exp(t) * (t - m)).sum() + (1 - beta) * (np.exp(s) * (s - m)).sum())
    return np.array(out)


@check("generalised_jensen_shannon")
def opposite_beliefs(generalised_jensen_shannon):
    """(0.99, 0.01) against (0.01, 0.99) at beta = 1/2: no more than log 2"""
    student = np.log([[0.99, 0.01]])
    teacher = student[:, ::-1].copy()
    expected = between(student, teacher, 0.5)
    causes = {
        "the logarithms were mixed": mixed_logarithms(student, teacher, 0.5),
        "the two divergences were added without weights": 2 * expected,
        "divided by beta (1 - beta)": 4 * expected,
    }
    check_close("the divergence", generalised_jensen_shannon(student, teacher, 0.5), expected, 1e-9, causes)


@check("generalised_jensen_shannon")
def beta_is_the_teachers_share(generalised_jensen_shannon, rng):
    """beta = 0.2, three rows of five words"""
    student, teacher = logits(rng)
    weights, mixture = [], []
    for s, t in zip(student, teacher):
        s, t = shares(s), shares(t)
        m = [0.2 * a + 0.8 * b for a, b in zip(t, s)]
        other = [0.8 * a + 0.2 * b for a, b in zip(t, s)]
        weights.append(0.8 * divergence(t, m) + 0.2 * divergence(s, m))
        mixture.append(0.2 * divergence(t, other) + 0.8 * divergence(s, other))
    causes = {
        "the weights of the two divergences are exchanged": np.array(weights),
        "beta is the student's share in the mixture here": np.array(mixture),
        "beta is taken for 1 - beta": between(student, teacher, 0.8),
    }
    found = generalised_jensen_shannon(student, teacher, 0.2)
    check_close("the divergence", found, between(student, teacher, 0.2), 1e-9, causes)


@check("generalised_jensen_shannon")
def what_nobody_says(generalised_jensen_shannon):
    """logits of -inf in both, in the student only, in the teacher only"""
    inf = math.inf
    student = np.array([[1.0, -inf, 0.0, 2.0], [0.0, -inf, -inf, 1.0], [0.0, 1.0, -inf, 0.5]])
    teacher = np.array([[0.0, -inf, 1.0, 0.0], [1.0, 2.0, -inf, 0.0], [-inf, 0.0, 3.0, 0.0]])
    for beta in (0.3, 0.5):
        found = generalised_jensen_shannon(student, teacher, beta)
        check_close(f"the divergence at beta = {beta}", found, between(student, teacher, beta), 1e-9)


@check("generalised_jensen_shannon")
def far_apart(generalised_jensen_shannon):
    """rows near 2000 and near -2000: no overflow"""
    student = np.array([[2000.0, 2001.0, 1999.0], [-2000.0, -2001.0, -2004.0]])
    teacher = np.array([[-2000.0, -2002.0, -2001.0], [2000.0, 2003.0, 2001.0]])
    expected = between(student, teacher, 0.4)
    check_close("the divergence", generalised_jensen_shannon(student, teacher, 0.4), expected, 1e-9)


@check("generalised_jensen_shannon")
def keeps_float32_of_rows(generalised_jensen_shannon, rng):
    """float32 in, float32 out"""
    student, teacher = (3 * part.astype(np.float32) for part in logits(rng))
    expected = between(student, teacher, 0.3).astype(np.float32)
    check_close("the divergence", generalised_jensen_shannon(student, teacher, 0.3), expected, 1e-5)


# --- sequence_set ---

SAID = {
    "a": ["one", " two ", "one", "bad", "two"],
    "b": ["", "one", "  \n", "one ", "three"],
}


def teacher_of(said, calls):
    def teach(prompt, k):
        calls.append((prompt, k))
        return said[prompt][k]

    return teach


def rows(*pairs):
    return [{"prompt": prompt, "answer": answer} for prompt, answer in pairs]


def anything(prompt, answer):
    return True


@check("sequence_set")
def answers_are_wanted_once(sequence_set):
    """equal answers to one prompt once, and to another prompt again"""
    expected = rows(("a", "one"), ("a", "two"), ("a", "bad"), ("b", "one"), ("b", "three"))
    causes = {
        "the same answer stands there several times": rows(
            ("a", "one"), ("a", "two"), ("a", "one"), ("a", "bad"), ("a", "two"),
            ("b", "one"), ("b", "one"), ("b", "three"),
        ),
        "what one prompt has got is missing at another": rows(("a", "one"), ("a", "two"), ("a", "bad"), ("b", "three")),
        "only one answer a prompt was kept": rows(("a", "one"), ("b", "one")),
    }  # fmt: skip
    check_equal("the set", sequence_set(["a", "b"], teacher_of(SAID, []), anything, 5), expected, causes)


@check("sequence_set")
def what_is_not_kept(sequence_set):
    """a filter that says no to some, and answers that say nothing"""
    expected = rows(("b", "one"), ("b", "three"))
    causes = {
        "silence was kept": rows(("b", ""), ("b", "one"), ("b", "three")),
        "the filter's yes and no are exchanged": [],
    }
    check_equal("the set", sequence_set(["b"], teacher_of(SAID, []), anything, 5), expected, causes)
    asked = []

    def keep(prompt, answer):
        asked.append((prompt, answer))
        return answer == "two"

    everything = rows(("a", "one"), ("a", "two"), ("a", "bad"))
    causes = {
        "the filter was not asked": everything,
        "the filter's yes and no are exchanged": rows(("a", "one"), ("a", "bad")),
    }
    check_equal("the set", sequence_set(["a"], teacher_of(SAID, []), keep, 5), rows(("a", "two")), causes)
    odd = [pair for pair in asked if pair[0] != "a" or pair[1] != pair[1].strip()]
    check_that(not odd, f"keep was asked about {odd[:1]}", "it gets the prompt, then the answer without white space.")


@check("sequence_set")
def every_try_is_its_own(sequence_set):
    """the teacher is asked once for each prompt and try, in order"""
    for tries in (1, 3, 5):
        calls = []
        sequence_set(["b", "a"], teacher_of(SAID, calls), anything, tries)
        expected = [(prompt, k) for prompt in ("b", "a") for k in range(tries)]
        causes = {
            "the teacher was asked for the same try each time": [(p, 0) for p in ("b", "a") for _ in range(tries)],
            "the teacher was asked more than once for a try": [call for call in expected for _ in range(2)],
            "the first try is number 0": [(prompt, k + 1) for prompt, k in expected],
        }
        check_equal(f"what the teacher was asked in {tries} tries", calls, expected, causes)


@check("sequence_set")
def nothing_asked(sequence_set):
    """no prompts, or no tries, make an empty list; prompts stay as they are"""
    check_equal("the set of no prompts", sequence_set([], teacher_of(SAID, []), anything, 3), [])
    check_equal("the set of no tries", sequence_set(["a"], teacher_of(SAID, []), anything, 0), [])
    prompts = ["b", "a"]
    sequence_set.raw(prompts, teacher_of(SAID, []), anything, 2)
    check_equal("the prompts afterwards", prompts, ["b", "a"])


inputs_stay_unchanged("softened_divergence", "generalised_jensen_shannon")
