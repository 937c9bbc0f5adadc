from __future__ import annotations

import json
import warnings
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from llm_from_scratch.generation import Sampling, sample


def rng(seed=0):
    return np.random.default_rng(seed)


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def test_sampling_follows_the_distribution():
    logits = np.array([0.5, -1.0, 2.0, -np.inf, 1.0])
    generator = rng()
    draws = np.bincount([sample(logits, generator) for _ in range(20_000)], minlength=5) / 20_000
    assert draws[3] == 0
    np.testing.assert_allclose(draws, softmax(logits), atol=0.012)


def test_temperature_sharpens_and_zero_is_greedy():
    logits = rng(1).normal(size=50).astype(np.float32)
    generator = rng()
    state = generator.bit_generator.state["state"]["state"]
    assert {Sampling(temperature=0.0).choose(logits, [], generator) for _ in range(20)} == {int(logits.argmax())}
    assert generator.bit_generator.state["state"]["state"] == state  # greedy takes nothing from the generator
    assert {Sampling(temperature=1e-30).choose(logits, [], rng(k)) for k in range(20)} == {int(logits.argmax())}
    hot = [Sampling(temperature=3.0).choose(logits, [], rng(k)) for k in range(200)]
    cold = [Sampling(temperature=0.3).choose(logits, [], rng(k)) for k in range(200)]
    assert len(set(cold)) < len(set(hot))


def test_the_order_is_penalty_temperature_top_k_top_p():
    """Worked out by hand: after a temperature of 0.5 the first token alone holds 0.67, before it 0.51."""
    logits = np.log(np.array([0.5, 0.3, 0.2])) + 3.0
    cold = Sampling(temperature=0.5, top_p=0.6)
    assert {cold.choose(logits, [], rng(k)) for k in range(50)} == {0}
    warm = Sampling(temperature=1.0, top_p=0.6)
    assert {warm.choose(logits, [], rng(k)) for k in range(50)} == {0, 1}
    # top-k first: of two tokens the larger holds 0.625 of what is left, so top-p of 0.6 keeps it alone.
    both = Sampling(top_k=2, top_p=0.6)
    assert {both.choose(logits, [], rng(k)) for k in range(50)} == {0}
    # the penalty before the temperature and also when greedy
    assert Sampling(temperature=0.0, repetition_penalty=2.0).choose(logits, [0], rng()) == 1


REFERENCE = json.loads((Path(__file__).parent / "reference" / "warpers.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", REFERENCE["cases"], ids=lambda case: str(case["settings"]))
def test_the_same_probabilities_as_transformers(case):
    adjusted = Sampling(**case["settings"]).adjust(np.array(case["logits"]), case["seen"])
    expected = np.array(case["probabilities"])
    np.testing.assert_allclose(softmax(adjusted), expected, atol=1e-9)
    assert ((adjusted > -np.inf) == (expected > 0)).all()


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"temperature": -0.1}, ValueError),
        ({"temperature": float("nan")}, ValueError),
        ({"temperature": float("inf")}, ValueError),
        ({"temperature": "hot"}, TypeError),
        ({"top_k": 0}, ValueError),
        ({"top_k": 2.5}, TypeError),
        ({"top_k": True}, TypeError),
        ({"top_p": 0.0}, ValueError),
        ({"top_p": 1.5}, ValueError),
        ({"top_p": float("nan")}, ValueError),
        ({"min_p": -0.1}, ValueError),
        ({"min_p": 1.1}, ValueError),
        ({"min_p": True}, TypeError),
        ({"min_p": float("nan")}, ValueError),
        ({"typical_p": 0}, ValueError),
        ({"typical_p": 1.01}, ValueError),
        ({"typical_p": "most"}, TypeError),
        ({"typical_p": float("nan")}, ValueError),
        ({"no_repeat_ngram_size": 0}, ValueError),
        ({"no_repeat_ngram_size": -2}, ValueError),
        ({"no_repeat_ngram_size": 2.0}, TypeError),
        ({"no_repeat_ngram_size": True}, TypeError),
        ({"repetition_penalty": float("nan")}, ValueError),
        ({"repetition_penalty": 0.0}, ValueError),
        ({"repetition_penalty": float("inf")}, ValueError),
    ],
)
def test_impossible_settings_are_refused(settings, error):
    with pytest.raises(error, match=next(iter(settings))):
        Sampling(**settings)


@pytest.mark.parametrize("bad", [[np.nan, 1.0], [np.inf, 1.0], [-np.inf, -np.inf], []])
def test_logits_that_cannot_be_sampled_are_an_error(bad):
    with pytest.raises(ValueError):
        Sampling().choose(np.array(bad), [], rng())


def test_no_token_left_is_an_error_that_says_why():
    logits = np.zeros(3)
    with pytest.raises(ValueError, match="after 3 tokens every next one would repeat 1 in a row"):
        Sampling(temperature=0.0, no_repeat_ngram_size=1).choose(logits, [0, 1, 2], rng())
    assert Sampling(no_repeat_ngram_size=1).choose(logits, [0, 2], rng()) == 1


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
@pytest.mark.parametrize("rule", [{}, {"top_k": 2}, {"top_p": 0.5}, {"min_p": 0.1}, {"typical_p": 0.9}], ids=str)
def test_any_temperature_above_0_and_numbers_of_two_bytes(dtype, rule):
    logits = np.array([60.0, 70.0, -np.inf, 69.0, -70.0]).astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for temperature in (1e-3, 1e-7, 1e-30, 1e-46, 1e-300, 5e-324):
            assert {Sampling(temperature, **rule).choose(logits, [], rng(k)) for k in range(10)} == {1}
        for temperature in (1e3, 1e5, 1e30, 1e39, 1e300):
            drawn = {Sampling(temperature, **rule).choose(logits, [], rng(k)) for k in range(60)}
            assert drawn <= {0, 1, 3, 4} and (rule or drawn == {0, 1, 3, 4})


def test_whole_numbers_are_logits_too():
    logits = np.array([3, 7, 7, 1])
    assert Sampling(temperature=0.0, no_repeat_ngram_size=1, repetition_penalty=1.2).choose(logits, [1], rng()) == 2
    assert Sampling(top_k=1, min_p=0.5, typical_p=0.9).choose(logits, [], rng()) in (1, 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_penalty_that_leaves_no_numbers_is_an_error_that_says_so(dtype, temperature):
    logits = np.array([60.0, 70.0, -np.inf, 69.0, -70.0], dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for penalty, seen in ((1e-320, [1]), (1e-320, [1, 2, 4])):
            with pytest.raises(
                ValueError, match=f"repetition_penalty of {penalty} makes scores infinite: .* nearer to 1"
            ):
                Sampling(temperature, repetition_penalty=penalty).choose(logits, seen, rng())
        with pytest.raises(
            ValueError, match=r"repetition_penalty of 1e\+308 makes every token impossible: .* nearer to 1"
        ):
            Sampling(temperature, repetition_penalty=1e308).choose(np.array([-9, -8, -7], dtype), [0, 1, 2], rng())
        assert Sampling(temperature, repetition_penalty=1e308).choose(logits, [1, 2, 4], rng()) in (0, 3)


def test_inputs_and_dtypes_are_kept():
    logits = rng(4).normal(size=20).astype(np.float32)
    before = logits.copy()
    everything = Sampling(0.7, 15, 0.9, 1.3, 0.01, 0.9, 2)
    assert everything.adjust(logits, [1, 2, 1]).dtype == np.float32
    everything.choose(logits, [1], rng())
    np.testing.assert_array_equal(logits, before)
