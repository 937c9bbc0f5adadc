"""Beam search against the transformers library, against trying everything, and against itself in a batch."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from llm_from_scratch.checkpoints import from_pretrained
from llm_from_scratch.generation import Row, Sampling, generate, generate_text
from llm_from_scratch.generation.beams import BeamSearch, best_entries, log_probabilities

from .conftest import Letters, Table, random_table

HERE = Path(__file__).parent
REFERENCE = json.loads((HERE / "reference" / "beams.json").read_text(encoding="utf-8"))
FIXTURES = HERE.parent / "families" / "fixtures"


def settings_of(case):
    settings = dict(case["settings"])
    return settings | {"stop_tokens": settings.pop("stops")}


def score(model, prompt, new, penalty):
    """Of one continuation, by the definition."""
    total, seen = 0.0, list(prompt)
    for token in new:
        logits = model.step(np.array([seen]), model.new_memory(1))[0]
        total += log_probabilities(logits)[token]
        seen.append(token)
    return total / len(new) ** penalty


@pytest.mark.parametrize("case", REFERENCE["tables"], ids=lambda case: str(case["settings"]))
def test_the_same_as_transformers_on_tables(case):
    settings, model = settings_of(case), Table(case["table"])
    out = generate(model, case["prompt"], pad_token=0, **settings)
    for row, prompt, new, value in zip(out, case["prompt"], case["new"], case["scores"]):
        found = row[len(prompt) :].tolist()
        assert found[: len(new)] == new and set(found[len(new) :]) <= {0}
        if not {"repetition_penalty", "no_repeat_ngram_size"} & set(settings):
            assert score(model, prompt, new, settings["length_penalty"]) == pytest.approx(value, abs=1e-4)


@pytest.mark.parametrize("case", REFERENCE["models"], ids=lambda case: f"{case['model']} {case['settings']}")
def test_the_same_as_transformers_on_models_with_padding(case):
    model, settings = from_pretrained(FIXTURES / case["model"]), settings_of(case)
    out = model.generate(case["prompt"], mask=case["mask"], pad_token=0, **settings)
    for row, prompt, mask, new, value in zip(out, case["prompt"], case["mask"], case["new"], case["scores"]):
        found = row[len(prompt) :].tolist()
        assert found[: len(new)] == new and set(found[len(new) :]) <= {0}
        real = [token for token, seen in zip(prompt, mask) if seen]
        assert score(model, real, new, settings["length_penalty"]) == pytest.approx(value, abs=1e-3)


@pytest.mark.parametrize("penalty", [-1.0, 0.0, 1.0, 2.0])
@pytest.mark.parametrize("stops", [(), (1,), (1, 3)])
def test_with_enough_beams_it_finds_the_best_of_all(penalty, stops):
    """V beams to the power of the length leave nothing out, and nothing is finished early."""
    for seed in range(6):
        model = Table(random_table(seed, vocabulary=4))
        everything = []
        for length in range(1, 5):
            for new in itertools.product(range(4), repeat=length):
                early = any(token in stops for token in new[:-1])
                if not early and (length == 4 or new[-1] in stops):
                    everything.append((score(model, [2, 3], new, penalty), new))
        best = max(everything)[1]
        out = generate(
            model, [[2, 3]], max_new_tokens=4, num_beams=4**4, length_penalty=penalty, stop_tokens=stops
        )  # fmt: skip
        assert tuple(out[0, 2:].tolist()) == best


def test_more_beams_find_what_greedy_misses():
    """Worked out by hand: 0 looks best (0.6), but all that follows it has at most 0.3; after 1 comes 2 with 0.9."""
    follow = {0: [0.3, 0.25, 0.25, 0.2], 1: [0.04, 0.03, 0.9, 0.03], 2: [0.25] * 4, 3: [0.6, 0.4, 1e-9, 1e-9]}
    model = Table(np.log([follow[token] for token in range(4)]))
    assert generate(model, [[3]], max_new_tokens=2, temperature=0.0).tolist() == [[3, 0, 0]]  # 0.6 * 0.3 = 0.18
    assert generate(model, [[3]], max_new_tokens=2, num_beams=2).tolist() == [[3, 1, 2]]  # 0.4 * 0.9 = 0.36


def test_the_sign_of_the_length_penalty():
    """One token to the end, with 0.3, or two others, with 0.5 * 0.5: by the sum the short one is better."""
    chances = np.full((4, 4), 1e-9)
    chances[0], chances[2], chances[3] = [1e-9, 0.3, 0.5, 0.2], [1e-9, 0.5, 1e-9, 0.5], [1e-9, 1.0, 1e-9, 1e-9]
    model = Table(np.log(chances))
    found = {
        penalty: generate(model, [[0]], max_new_tokens=3, num_beams=4, length_penalty=penalty, stop_tokens=[1])
        for penalty in (-1.0, 0.0, 1.0)
    }
    assert found[0.0].tolist() == found[-1.0].tolist() == [[0, 1]]  # log 0.3 = -1.20 against log 0.25 = -1.39
    assert found[1.0].tolist() == [[0, 2, 3, 1]]  # -1.20 / 1 against log(0.5 * 0.5 * 1) / 3 = -0.46


def test_one_beam_is_greedy_and_so_is_a_sure_model():
    model = Table(random_table(1, vocabulary=6, spread=60.0))
    greedy = generate(model, [[2, 3]], max_new_tokens=8, temperature=0.0).tolist()
    for beams in (1, 2, 7):
        assert generate(model, [[2, 3]], max_new_tokens=8, temperature=0.0, num_beams=beams).tolist() == greedy
    assert greedy == generate(model, [[2, 3]], max_new_tokens=8, temperature=1.0, num_beams=2).tolist()


@pytest.mark.parametrize("beams", [2, 3, 10])
def test_a_row_of_a_batch_equals_the_row_alone(beams):
    model = Table(random_table(2, vocabulary=6))
    prompts, stops = [[5, 4, 3, 2], [4], [3, 5], [2, 2]], [1, 3]
    ids = np.array([[0] * (4 - len(prompt)) + prompt for prompt in prompts])
    settings = {"max_new_tokens": 12, "num_beams": beams, "stop_tokens": stops, "length_penalty": 0.5}
    together = generate(model, ids, mask=ids > 0, **settings)
    lengths = set()
    for row, prompt in zip(together, prompts):
        alone = generate(model, [[0, 0, 0, *prompt][-4:]], **settings)[0, 4:].tolist()
        lengths.add(len(alone))
        assert row[4:][: len(alone)].tolist() == alone and set(row[4:][len(alone) :]) <= {1}
    assert len(lengths) > 1
    assert max(batch for batch, _ in model.calls) <= 4 * beams


def test_more_beams_than_words():
    """With two words there are two beams after one token, and four after two; no more are ever made up."""
    model = Table(random_table(3, vocabulary=2, order=1))
    generate(model, [[0]], max_new_tokens=4, num_beams=8, stop_tokens=[])
    assert [batch for batch, _ in model.calls] == [1, 2, 4, 8]
    alone = generate(Table(np.zeros((1, 1))), [[0]], max_new_tokens=3, num_beams=5)
    assert alone.tolist() == [[0, 0, 0, 0]]
    assert generate(Table(np.zeros((1, 1))), [[0]], max_new_tokens=3, num_beams=5, stop_tokens=[0]).tolist() == [[0, 0]]


def test_of_equal_ones_the_first():
    assert best_entries(np.zeros((2, 3)), 4) == [(0, 0), (0, 1), (0, 2), (1, 0)]
    assert best_entries(np.array([[0.0, 2.0], [2.0, 1.0]]), 3) == [(0, 1), (1, 0), (1, 1)]
    assert best_entries(np.full((1, 3), -np.inf), 2) == []
    table = np.random.default_rng(0).integers(0, 4, (5, 40)).astype(float)
    expected = sorted(((-value, place) for place, value in enumerate(table.ravel())))[:50]
    assert best_entries(table, 50) == [(place // 40, place % 40) for _, place in expected]
    out = generate(Table(np.zeros((4, 4))), [[2]], max_new_tokens=3, num_beams=3)
    assert out.tolist() == [[2, 0, 0, 0]]


def test_a_search_ends_when_no_open_beam_can_win():
    """The default of the transformers library: enough have ended, and the best open one is no better as it stands."""
    chances = np.log(np.array([[0.02, 0.9, 0.08], [0.3, 0.3, 0.4], [0.45, 0.45, 0.1]]))
    model = Table(chances)
    generate(model, [[0]], max_new_tokens=50, num_beams=2, stop_tokens=[1], length_penalty=0.0)
    assert len(model.calls) == 2  # 1 (0.9), then 2 1 (0.036); what is open, 2 0, has 0.036 too
    model.calls.clear()
    generate(model, [[0]], max_new_tokens=50, num_beams=2, stop_tokens=[], length_penalty=0.0)
    assert len(model.calls) == 50


def test_an_end_token_inside_the_prompt_ends_nothing():
    model = Table(random_table(4, vocabulary=5))
    prompt = [1, 2, 1, 3]
    with_it = generate(model, [prompt], max_new_tokens=6, num_beams=3, stop_tokens=[1])
    assert with_it[0, :4].tolist() == prompt and with_it.shape[1] > 4
    assert (
        with_it[0, 4:].tolist()
        == generate(model, [[1, 3]], max_new_tokens=6, num_beams=3, stop_tokens=[1])[0, 2:].tolist()
    )


def test_ended_beams_are_kept_by_rank_and_value():
    row = Row([0], max_new_tokens=9, stop_tokens=[3])
    search = BeamSearch(row, Sampling(), 2, 1.0)
    search.advance(np.log(np.array([[0.5, 0.3, 0.05, 0.15]])))  # the end is third: beyond the two beams, dropped
    assert search.ended == [] and [beam.tokens for beam in search.open] == [(0,), (1,)]
    search.advance(np.log(np.array([[0.1, 0.1, 0.1, 0.7], [0.6, 0.1, 0.1, 0.2]])))
    assert [beam.tokens for beam in search.ended] == [(0, 3)] and search.ended[0].score == pytest.approx(np.log(0.35))
    assert [(beam.tokens, beam.parent) for beam in search.open] == [((1, 0), 1), ((0, 0), 0)]
    assert not search.done


def test_stop_strings_end_beams():
    model = Table(random_table(5, vocabulary=5))
    settings = {"max_new_tokens": 12, "num_beams": 3}
    text = generate_text(model, Letters(), "cd", **settings)
    assert len(text) == 12
    stop = text[3:5]
    cut = generate_text(model, Letters(), "cd", stop_strings=[stop], **settings)
    assert stop not in cut and len(cut) < 12
    ids = generate(model, [Letters().encode("cd")], tokenizer=Letters(), stop_strings=[stop], **settings)
    assert "".join(map(Letters().push, ids[0, 2:])) == cut
    # A text that ends at a stop string is as good as one that ends at a stop token.
    one = generate(model, [[2, 3]], tokenizer=Letters(), stop_strings=["b"], **settings)[0].tolist()
    assert [*one, 1] == generate(model, [[2, 3]], stop_tokens=[1], **settings)[0].tolist()


def test_n_grams_that_leave_nothing_end_a_beam_or_say_so():
    model = Table(np.zeros((3, 3)))
    out = generate(model, [[0]], max_new_tokens=2, num_beams=2, no_repeat_ngram_size=1)
    assert sorted(out[0].tolist()) == [0, 1, 2]
    with pytest.raises(ValueError, match="after 3 tokens no next one is left"):
        generate(model, [[0]], max_new_tokens=3, num_beams=2, no_repeat_ngram_size=1)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"num_beams": 0}, ValueError, "num_beams must be at least 1"),
        ({"num_beams": -2}, ValueError, "num_beams"),
        ({"num_beams": True}, TypeError, "num_beams"),
        ({"num_beams": 2.0}, TypeError, "num_beams"),
        ({"num_beams": None}, TypeError, "num_beams"),
        ({"num_beams": 2, "length_penalty": float("nan")}, ValueError, "length_penalty"),
        ({"num_beams": 2, "length_penalty": float("inf")}, ValueError, "length_penalty"),
        ({"num_beams": 2, "length_penalty": True}, TypeError, "length_penalty"),
        ({"num_beams": 2, "length_penalty": "long"}, TypeError, "length_penalty"),
        ({"length_penalty": 2.0}, ValueError, "needs num_beams of 2 or more"),
        ({"num_beams": 2, "temperature": 0.7}, ValueError, "temperature=0.7 would do nothing"),
        ({"num_beams": 2, "top_k": 5, "top_p": 0.9}, ValueError, "top_k=5 and top_p=0.9 would do nothing"),
        ({"num_beams": 2, "min_p": 0.1}, ValueError, "min_p=0.1"),
        ({"num_beams": 2, "typical_p": 0.5}, ValueError, "typical_p=0.5"),
        ({"num_beams": 2, "stream": print}, ValueError, "nothing to stream"),
    ],
)
def test_bad_requests_are_refused_before_the_first_step(settings, error, message):
    model = Table(random_table(0))
    with pytest.raises(error, match=message):
        generate(model, [[1, 2]], max_new_tokens=3, **settings)
    assert model.calls == []


def test_extreme_length_penalties_are_no_crash():
    model = Table(random_table(6))
    for penalty in (1e300, -1e300):
        assert generate(model, [[1, 2]], max_new_tokens=4, num_beams=3, length_penalty=penalty).shape == (1, 6)


def test_a_memory_without_select_is_refused_by_name():
    class Stubborn(Table):
        def new_memory(self, batch_size):
            return type("Stone", (), {"tokens": np.zeros((batch_size, self.order), int)})()

    with pytest.raises(TypeError, match=r"Stone needs select\(rows\)"):
        generate(Stubborn(random_table(0)), [[1, 2]], max_new_tokens=3, num_beams=2)


def test_logits_that_are_no_numbers_are_an_error():
    with pytest.raises(ValueError, match="cannot be sampled from"):
        generate(Table(np.full((3, 3), np.nan)), [[1]], max_new_tokens=2, num_beams=2)
