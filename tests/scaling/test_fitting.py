"""The fit: its gradient, planted constants, SciPy's own Huber loss, noise, outliers, and what cannot be fitted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import least_squares

from llm_from_scratch.scaling.fitting import GRID, bootstrap, fit_parametric, huber_objective
from llm_from_scratch.scaling.laws import CHINCHILLA, REPLICATION, Law, optimal_allocation

NAMES = ("E", "A", "B", "alpha", "beta")
TINY = Law(0.9, 60.0, 3000.0, 0.42, 0.71)  # like that of the runs of chapter 14


def runs(law: Law, budgets: int = 4, sizes: int = 6, low: float = 1e18, noise: float = 0.0) -> tuple[np.ndarray, ...]:
    """Iso-FLOP runs: budgets by a factor of 4, sizes from a fifth to five times the optimum."""
    rng = np.random.default_rng(3)
    flops = low * 4.0 ** np.arange(budgets)[:, None]
    n = optimal_allocation(flops, law)[0] * np.geomspace(0.2, 5, sizes)
    d = flops / (6 * n)
    losses = law.loss(n, d) * np.exp(noise * rng.normal(size=n.shape))
    return n.ravel(), d.ravel(), losses.ravel()


def constants(law: Law) -> np.ndarray:
    return np.array([getattr(law, name) for name in NAMES])


def theta(law: Law) -> np.ndarray:
    return np.array([math.log(law.A), math.log(law.B), math.log(law.E), law.alpha, law.beta])


def test_the_gradient_is_that_of_central_differences() -> None:
    rng = np.random.default_rng(0)
    n, d, losses = runs(CHINCHILLA)
    data = np.log(np.stack([n, d, losses]))
    for delta in (1e-3, 0.1, 100.0):  # nearly all beyond it, a mixture, all within
        for _ in range(5):
            at = theta(CHINCHILLA) + rng.normal(size=5) * [0.3, 0.3, 0.1, 0.02, 0.02]
            gradient = huber_objective(at, *data, delta=delta)[1]
            step = 1e-6
            moved = [
                [huber_objective(at + s * step * row, *data, delta=delta)[0] for s in (1, -1)] for row in np.eye(5)
            ]
            numeric = np.array([(up - down) / (2 * step) for up, down in moved])
            np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-6 * np.abs(numeric).max())


def test_the_objective_is_a_sum_of_hubers() -> None:
    n, d, losses = runs(CHINCHILLA, noise=0.01)
    at = theta(REPLICATION)
    total = 0.0
    for size, tokens, loss in zip(n, d, losses):
        r = abs(math.log(REPLICATION.loss(size, tokens)) - math.log(loss))
        total += r * r / 2 if r <= 1e-3 else 1e-3 * (r - 0.5e-3)
    assert huber_objective(at, *np.log(np.stack([n, d, losses])), delta=1e-3)[0] == pytest.approx(total, rel=1e-9)


@pytest.mark.parametrize("law, low", [(CHINCHILLA, 1e18), (REPLICATION, 1e18), (TINY, 1e10)])
def test_planted_constants_come_back(law: Law, low: float) -> None:
    found = fit_parametric(*runs(law, low=low))
    np.testing.assert_allclose(constants(found), constants(law), rtol=1e-5)


def test_the_smallest_number_of_runs_that_can_do() -> None:
    n, d = np.array([1e8, 1e9, 1e10, 1e8, 1e9]), np.array([1e9, 1e10, 1e11, 1e11, 1e9])
    assert fit_parametric(n, d, CHINCHILLA.loss(n, d)).loss(3e9, 3e10) == pytest.approx(
        CHINCHILLA.loss(3e9, 3e10), abs=0.01
    )


def test_with_noise_it_is_the_minimum_that_scipy_finds_with_its_own_huber() -> None:
    n, d, losses = runs(TINY, low=1e10, noise=0.01)
    found = fit_parametric(n, d, losses)

    def residuals(at: np.ndarray) -> np.ndarray:
        a, b, e, alpha, beta = at
        return np.log(np.exp(e) + np.exp(a) / n**alpha + np.exp(b) / d**beta) - np.log(losses)

    peer = least_squares(residuals, theta(TINY), loss="huber", f_scale=1e-3, xtol=1e-15, ftol=1e-15, gtol=1e-15)
    ours = huber_objective(theta(found), *np.log(np.stack([n, d, losses])), delta=1e-3)[0]
    assert ours <= peer.cost * (1 + 1e-6)
    near = found.loss(n, d) / TINY.loss(n, d)
    assert np.abs(near - 1).max() < 0.02


def test_one_run_that_went_wrong_is_outvoted() -> None:
    n, d, losses = runs(CHINCHILLA)
    losses[7] *= 1.5
    huber = fit_parametric(n, d, losses)
    squares = fit_parametric(n, d, losses, huber_delta=10.0)  # nothing lies beyond: ordinary least squares
    off = [abs(law.A / CHINCHILLA.A - 1) for law in (huber, squares)]
    assert off[0] < 0.01 and off[1] > 20 * off[0]


def test_more_starts_find_nothing_lower() -> None:
    n, d, losses = runs(TINY, low=1e10, noise=0.02)
    few, many = (fit_parametric(n, d, losses, starts=count) for count in (60, 200))
    data = np.log(np.stack([n, d, losses]))
    assert huber_objective(theta(few), *data, delta=1e-3)[0] <= huber_objective(theta(many), *data, delta=1e-3)[0] * (
        1 + 1e-6
    )


def test_the_grid_is_the_published_one() -> None:
    assert [list(axis) for axis in GRID] == [
        [0, 0.5, 1, 1.5, 2], [0, 0.5, 1, 1.5, 2], [-1, -0.5, 0, 0.5, 1], [0, 5, 10, 15, 20, 25], [0, 5, 10, 15, 20, 25]
    ]  # fmt: skip


def test_the_bootstrap_is_as_wide_as_the_noise() -> None:
    widths = []
    for noise in (0.001, 0.01):
        found = bootstrap(*runs(TINY, low=1e10, noise=noise), np.random.default_rng(0), draws=20)
        low, high = found.interval("alpha")
        assert low <= found.law.alpha <= high and len(found.draws) == 20
        widths.append(high - low)
    assert widths[0] < widths[1] / 2
    share = found.interval(lambda law: law.exponents[0])
    assert 0 < share[0] < TINY.exponents[0] + 0.1 and share[1] < 1


GOOD = runs(CHINCHILLA)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda n, d, x: (n[:4], d[:4], x[:4]), "at least 5 runs, got 4"),
        (lambda n, d, x: (np.full_like(n, 1e9), d, x), "1 different number of parameters"),
        (lambda n, d, x: (n, np.where(d > 1e10, 1e11, 1e9), x), "2 different numbers of tokens"),
        (lambda n, d, x: (n, d, np.where(x == x.max(), np.nan, x)), "losses must be finite"),
        (lambda n, d, x: (n, d, -x), "losses must be more than 0"),
        (lambda n, d, x: (n, d * 0, x), "tokens must be more than 0"),
        (lambda n, d, x: (n, d[1:], x), "lists of one length"),
        (lambda n, d, x: (n[:, None], d[:, None], x[:, None]), "lists of one length"),
        (lambda n, d, x: ([], [], []), "at least one number"),
        (lambda n, d, x: (n, d, 1 + (n * d) ** 0.01), "do not fall with"),
    ],
)
def test_runs_that_cannot_be_fitted(change: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_parametric(*change(*GOOD))  # type: ignore[operator]


def test_settings_that_make_no_sense() -> None:
    for delta in (0, -1e-3, float("nan")):
        with pytest.raises(ValueError, match="huber_delta"):
            fit_parametric(*GOOD, huber_delta=delta)
    with pytest.raises(TypeError, match="huber_delta"):
        fit_parametric(*GOOD, huber_delta=None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="starts"):
        fit_parametric(*GOOD, starts=0)
    with pytest.raises(TypeError, match="losses"):
        fit_parametric(GOOD[0], GOOD[1], ["low"] * len(GOOD[0]))
    with pytest.raises(TypeError, match="Generator"):
        bootstrap(*GOOD, 0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="draws"):
        bootstrap(*GOOD, np.random.default_rng(0), draws=1)


def scattered(seed: int) -> tuple[np.ndarray, ...]:
    """Ten runs of one decade whose losses are off by a tenth: too few to say where a law lies."""
    rng = np.random.default_rng(seed)
    sizes, tokens = (np.exp(rng.uniform(np.log(low), np.log(30 * low), 10)) for low in (1e7, 2e8))
    return sizes, tokens, CHINCHILLA.loss(sizes, tokens) * np.exp(0.1 * rng.normal(size=10))


def test_draws_without_a_law_are_told_as_such() -> None:
    """That the losses do not fall is not true of the runs, only of some that were drawn from them."""
    runs = scattered(5)
    assert fit_parametric(*runs).alpha > 0
    with pytest.raises(ValueError, match="all 10 runs together have a falling law .* but draw . of them has none"):
        bootstrap(*runs, np.random.default_rng(0), draws=15)


@pytest.mark.filterwarnings("error")
def test_a_step_is_no_power_law() -> None:
    """A term so steep that its constant is beyond any float is told, without a warning."""
    n, d = (grid.ravel() for grid in np.meshgrid([1e9, 1.1e9, 1.2e9], np.geomspace(1e9, 1e12, 5)))
    with pytest.raises(ValueError, match=r"A = exp\(\d+\) and alpha = .* a term so steep is a step"):
        fit_parametric(n, d, 2 + 1000 / d**0.3 + (n == 1e9))
