"""DARE: peft's and mergekit's results on the same masks, the mean over many draws, and what stays."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from mergekit_cases import MASKED
from merging_cases import of
from safetensors.numpy import load_file

import llm_from_scratch.merging as M
from llm_from_scratch.merging import dropping

FROZEN = load_file(Path(__file__).with_name("fixtures") / "ties.safetensors")
RNG = np.random.default_rng(5)
BASE, A, B = RNG.normal(size=(3, 40)).astype(np.float32)


@pytest.fixture
def drawn(monkeypatch):
    """Sets what is drawn next."""

    def give(masks):
        waiting = iter(masks)
        monkeypatch.setattr(dropping, "_drawn", lambda generator, shape, density: next(waiting).reshape(shape))

    return give


@pytest.mark.parametrize("density", [0.2, 0.5])
@pytest.mark.parametrize("kind", ["linear", "ties"])
def test_peft_gives_the_same(drawn, density, kind):
    more = {"then": kind, "dialect": "peft", "normalize": kind == "ties"}
    for name, expected in of(FROZEN, f"peft dare_{kind} {density}").items():
        base, *models = (FROZEN[f"{model}/{name}"] for model in ("base", "0", "1", "2"))
        drawn(FROZEN[f"mask {k} {density}/{name}"].astype(bool) for k in range(3))
        found = M.dare(base, models, (0.5, 1.0, 0.7), density=density, rng=0, **more)
        np.testing.assert_allclose(found - base, expected, rtol=0, atol=3e-6, err_msg=name)


@pytest.mark.parametrize("case", MASKED)
def test_mergekit_gives_the_same(frozen, drawn, case):
    recipe = yaml.safe_load(MASKED[case])
    own = {key: [m["parameters"][key] for m in recipe["models"]] for key in ("weight", "density")}
    shared = recipe["parameters"]
    seen = 0
    for name, expected in of(frozen, case).items():
        if "/mask" in name:
            continue
        masks = [frozen[f"{case}/{name}/mask {k}"].astype(bool) for k in range(3)]
        drawn(masks)
        found = M.dare(
            frozen[f"base/{name}"], [frozen[f"{model}/{name}"] for model in "abc"], own["weight"], rng=0,
            density=own["density"], rescale="mergekit" if shared.get("rescale", True) else None,
            then=case.split()[0].removeprefix("dare_"), scale=shared.get("lambda", 1.0),
            normalize=shared.get("normalize", False),
        )  # fmt: skip
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
        seen += 1
    assert seen == 2


def test_on_average_nothing_is_lost():
    draws = [M.dare(BASE, [A, B], [0.7, 0.5], density=0.3, rng=seed) for seed in range(3000)]
    plain = M.task_arithmetic(BASE, [A, B], [0.7, 0.5])
    error = np.std(draws, axis=0) / np.sqrt(len(draws))
    assert (np.abs(np.mean(draws, axis=0) - plain) < 5 * error + 1e-5).all()
    unscaled = np.mean([M.dare(BASE, [A], [1], density=0.3, rng=s, rescale=None) for s in range(3000)], axis=0)
    np.testing.assert_allclose(unscaled, BASE + 0.3 * (A - BASE), atol=0.1)


def test_so_many_stay_as_the_density_says():
    base, model = np.zeros(200_001, np.float32), np.ones(200_001, np.float32)
    found = M.dare(base, [model], [1], density=0.2, rng=0)
    assert set(np.unique(found)) == {0, 5}
    assert np.count_nonzero(found) / base.size == pytest.approx(0.2, abs=0.005)
    np.testing.assert_array_equal(M.dare(base, [model], [1], density=1, rng=0), model)


def test_mergekits_rescaling_keeps_the_sum_of_magnitudes():
    found = M.dare(BASE, [A], [1], density=0.3, rng=1, rescale="mergekit")
    kept = found != BASE
    assert 0 < kept.sum() < 40
    assert np.abs(found - BASE).sum() == pytest.approx(np.abs(A - BASE).sum(), rel=1e-5)
    paper = M.dare(BASE, [A], [1], density=0.3, rng=1, rescale="paper")
    np.testing.assert_array_equal(paper != BASE, kept)
    np.testing.assert_allclose((paper - BASE)[kept], ((A - BASE) / 0.3)[kept], rtol=1e-4)
    np.testing.assert_array_equal(M.dare(A, [A], [1], density=0.3, rng=1, rescale="mergekit"), A)  # nothing to keep


def test_models_are_drawn_independently_and_seeds_repeat():
    found = M.dare(np.zeros(1000), [np.ones(1000), np.full(1000, 10.0)], [1, 1], density=0.5, rng=7, rescale=None)
    assert set(np.unique(found)) == {0, 1, 10, 11}
    again = M.dare(
        np.zeros(1000), [np.ones(1000), np.full(1000, 10.0)], [1, 1], density=0.5, rescale=None,
        rng=np.random.default_rng(7),
    )  # fmt: skip
    np.testing.assert_array_equal(found, again)
    other = M.dare(np.zeros(1000), [np.ones(1000), np.full(1000, 10.0)], [1, 1], density=0.5, rng=8, rescale=None)
    assert (found != other).any()


def test_ties_after_it_elects_among_what_is_left_and_trims_if_asked():
    base, a, b = np.zeros(6), np.array([1.0, 2, 3, 4, 5, 6]), -np.array([6.0, 5, 4, 3, 2, 1])
    full = M.dare(base, [a, b], [1, 1], density=1, rng=0, then="ties")
    np.testing.assert_array_equal(full, [-6, -5, -4, 4, 5, 6])
    trimmed = M.dare(base, [a, b], [1, 1], density=1, rng=0, then="ties", trim=1 / 3)
    np.testing.assert_array_equal(trimmed, [-6, -5, 0, 0, 5, 6])
    same = M.ties(base, [a, b], [0.5, 1], density=1 / 3, dialect="mergekit")
    both = M.dare(base, [a, b], [0.5, 1], density=1, rng=0, then="ties", trim=1 / 3, normalize=True)
    np.testing.assert_array_equal(both, same)


def test_trimming_counts_all_entries_but_takes_only_what_is_left(drawn):
    drawn([np.array([False, True, True, False])])
    found = M.dare(np.zeros(4), [np.array([9.0, 1, 2, 8])], [1], density=0.5, rng=0, then="ties", trim=0.25)
    np.testing.assert_array_equal(found, [0, 0, 4, 0])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"density": 0}, "density"),
        ({"density": 1.5}, "density"),
        ({"trim": 0.0, "then": "ties"}, "density"),
        ({"trim": 0.5}, "trim belongs"),
        ({"rescale": True}, "rescale must"),
        ({"then": "average"}, "then must"),
        ({"dialect": "authors", "then": "ties"}, "authors"),
        ({"weights": (1, -1), "normalize": True}, "cancel"),
        ({"weights": (1, -1), "normalize": True, "then": "ties"}, "cancel"),
    ],
)
def test_what_cannot_be_meant_is_refused(settings, words):
    settings = {"weights": (1, 1), "density": 0.5, **settings}
    with pytest.raises(ValueError, match=words):
        M.dare(BASE, [A, B], settings.pop("weights"), rng=0, **settings)
