"""Chinchilla's third approach: the five constants of L(N, D) from the losses of many runs.

With a = log A, b = log B, e = log E the law is a logarithm of a sum of exponentials,

    log L = LSE(a - α log N, b - β log D, e),

and what is made small is the *sum* over runs of the Huber loss of log L minus the logarithm of the measured loss: a
square near zero, a line beyond δ, so that a run that went wrong counts once and not by its square. (The mean has its
minimum at the same place, but its gradients are n times smaller, and L-BFGS, which stops at a fixed size of them, stops
early. That happened to the published constants.)

Source: Hoffmann et al. 2022, arXiv:2203.15556, section 3.3 and appendix D.2.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

from ..training.workers import one_blas_thread
from .checking import number, series
from .laws import Law

_POWERS, _LOGARITHMS = np.arange(0, 2.1, 0.5), np.arange(0, 26, 5)
GRID = (_POWERS, _POWERS, np.arange(-1, 1.1, 0.5), _LOGARITHMS, _LOGARITHMS)  # the published starts: α, β, e, a, b
CONSTANTS = 5


def huber_objective(
    theta: np.ndarray, log_parameters: np.ndarray, log_tokens: np.ndarray, log_losses: np.ndarray, *, delta: float
) -> tuple[float, np.ndarray]:
    """The sum of Huber losses at theta = (a, b, e, α, β), and its gradient (5,).

    With r = LSE - log L and p the softmax of the three terms, dr/d(a, b, e, α, β) = (p₁, p₂, p₃, -p₁ log N, -p₂ log D),
    and the Huber loss has the derivative clip(r, -δ, δ).
    """
    residual, slopes = _residuals(theta, log_parameters, log_tokens, log_losses)
    clipped = np.clip(residual, -delta, delta)
    value = float((clipped * (residual - clipped / 2)).sum())  # r²/2 inside, δ(|r| - δ/2) outside
    return value, clipped @ slopes


def _residuals(
    theta: np.ndarray, log_parameters: np.ndarray, log_tokens: np.ndarray, log_losses: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """LSE - log L of each run (n,), and its slopes (n, 5)."""
    a, b, e, alpha, beta = theta
    terms = np.stack([a - alpha * log_parameters, b - beta * log_tokens, np.full_like(log_losses, e)])
    top = terms.max(axis=0)
    shares = np.exp(terms - top)
    total = shares.sum(axis=0)
    shares /= total
    slopes = np.stack([*shares, -shares[0] * log_parameters, -shares[1] * log_tokens], axis=1)
    return top + np.log(total) - log_losses, slopes


def fit_parametric(
    parameters: Any, tokens: Any, losses: Any, *, huber_delta: float = 1e-3, starts: int | None = 60
) -> Law:
    """The law that fits runs of `parameters` (n,), `tokens` (n,), `losses` (n,), by the published objective.

    L-BFGS goes from those `starts` of the published grid of 4,500 that have the smallest objective to begin with (None:
    from all of them, which takes minutes). The best is then brought to the bottom of its valley by Gauss-Newton steps.
    Raises ValueError for fewer runs than constants, for fewer than three different sizes or amounts of data (then a
    term cannot be told from a constant), and for numbers that are not positive and finite.

    >>> from llm_from_scratch.scaling import CHINCHILLA
    >>> n, d = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e8, 1e10, 4), np.geomspace(1e9, 1e12, 5)))
    >>> fit = fit_parametric(n, d, CHINCHILLA.loss(n, d))
    >>> print(f"E {fit.E:.4f}, A {fit.A:.1f}, B {fit.B:.1f}, alpha {fit.alpha:.4f}, beta {fit.beta:.4f}")
    E 1.6900, A 406.4, B 410.7, alpha 0.3400, beta 0.2800
    """
    data = _checked(parameters, tokens, losses)
    return _law(_best(data, number("huber_delta", huber_delta), _grid_starts(data, huber_delta, starts)))


@dataclass(frozen=True)
class Bootstrap:
    """The fit of all runs, and the fits of as many runs drawn from them with replacement, again and again."""

    law: Law
    draws: tuple[Law, ...]

    def interval(self, of: Any, share: float = 0.95) -> tuple[float, float]:
        """Between which values the middle `share` of draws has `of`: a name such as "alpha", or a function of a law."""
        ask = of if callable(of) else lambda law: getattr(law, of)
        values = [ask(law) for law in self.draws]
        low, high = np.quantile(values, [(1 - share) / 2, (1 + share) / 2])
        return float(low), float(high)


def bootstrap(
    parameters: Any,
    tokens: Any,
    losses: Any,
    rng: np.random.Generator,
    *,
    draws: int = 100,
    huber_delta: float = 1e-3,
) -> Bootstrap:
    """How far the constants move when other runs of the same kind had been made.

    A draw begins at the fit of all runs. One that holds too few different sizes to be fitted is drawn again. Raises
    ValueError as `fit_parametric` does, and where all runs together have a falling law but some of the draws have none:
    to leave those out would make the intervals narrower than what is known.
    """
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng must be a numpy.random.Generator, such as np.random.default_rng(0); got {rng!r}")
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < 2:
        raise ValueError(f"draws must be a whole number of at least 2, got {draws!r}")
    data = _checked(parameters, tokens, losses)
    whole = _best(data, number("huber_delta", huber_delta), _grid_starts(data, huber_delta, 60))
    law = _law(whole)
    found: list[Law] = []
    while len(found) < draws:
        drawn = data[:, rng.integers(data.shape[1], size=data.shape[1])]
        if min(len(np.unique(row)) for row in drawn[:2]) >= 3:
            try:
                found.append(_law(_best(drawn, huber_delta, [whole])))
            except ValueError as error:
                raise ValueError(
                    f"all {data.shape[1]} runs together have a falling law (alpha = {law.alpha:.3g}, beta = "
                    f"{law.beta:.3g}), but draw {len(found) + 1} of them has none, so that no interval can be told: "
                    f"more runs are needed, over more sizes and amounts of data. Of the draw: {error}"
                ) from None
    return Bootstrap(law, tuple(found))


def _checked(parameters: Any, tokens: Any, losses: Any) -> np.ndarray:
    data = series(parameters=parameters, tokens=tokens, losses=losses)
    count = len(data[0])
    if count < CONSTANTS:
        raise ValueError(f"{CONSTANTS} constants need at least {CONSTANTS} runs, got {count}")
    for name, values in zip(("parameters", "tokens"), data):
        if (different := len(np.unique(values))) < 3:
            raise ValueError(
                f"the runs have {different} different number{'s' * (different > 1)} of {name}: "
                "from fewer than 3 the power cannot be told from a constant"
            )
    return np.log(np.stack(data))


def _grid_starts(data: np.ndarray, delta: float, count: int | None) -> list[np.ndarray]:
    starts = [np.array([a, b, e, alpha, beta]) for alpha, beta, e, a, b in itertools.product(*GRID)]
    if count is None:
        return starts
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"starts must be a whole number of at least 1, or None for all; got {count!r}")
    return sorted(starts, key=lambda theta: huber_objective(theta, *data, delta=delta)[0])[:count]


def _best(data: np.ndarray, delta: float, starts: list[np.ndarray]) -> np.ndarray:
    """theta at the smallest minimum that L-BFGS finds. Divided by δ² the objective is of the size of the number of
    runs, and the bounds of the search are what stops it.
    """
    scale = delta**-2

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = huber_objective(theta, *data, delta=delta)
        return scale * value, scale * gradient

    options = {"maxiter": 1000, "maxfun": 2000, "ftol": 1e-12, "gtol": 1e-8, "maxcor": 20}
    with one_blas_thread():  # products of five numbers: a second thread waits more than it works, twenty times as long
        found = [minimize(objective, start, jac=True, method="L-BFGS-B", options=options) for start in starts]
        return _descend(min(found, key=lambda result: result.fun).x, data, delta)


def _descend(theta: np.ndarray, data: np.ndarray, delta: float, steps: int = 200) -> np.ndarray:
    """Gauss-Newton on the reweighted squares, damped as Levenberg and Marquardt do: quick where L-BFGS creeps."""
    value, damping = huber_objective(theta, *data, delta=delta)[0], 1e-3
    for _ in range(steps):
        residual, slopes = _residuals(theta, *data)
        weights = np.minimum(1.0, delta / np.maximum(np.abs(residual), 1e-300))
        curvature = slopes.T @ (weights[:, None] * slopes)
        gradient = slopes.T @ (weights * residual)
        step = np.linalg.lstsq(curvature + damping * np.diag(np.diag(curvature) + 1e-300), -gradient, rcond=None)[0]
        lower = huber_objective(theta + step, *data, delta=delta)[0]
        if lower < value:
            small = value - lower <= 1e-15 * value
            theta, value, damping = theta + step, lower, max(damping / 10, 1e-15)
            if small:
                break
        elif damping > 1e6:
            break
        else:
            damping *= 10
    return theta


def _law(theta: np.ndarray) -> Law:
    a, b, e, alpha, beta = map(float, theta)
    if not (alpha > 0 and beta > 0):
        raise ValueError(
            f"the best fit has alpha = {alpha:.3g} and beta = {beta:.3g}: the losses do not fall with "
            f"{'size' if alpha <= 0 else 'data'}, and no power law of this form describes them"
        )
    if max(a, b, e) > np.log(np.finfo(np.float64).max):
        raise ValueError(
            f"the best fit has A = exp({a:.0f}) and alpha = {alpha:.3g}, B = exp({b:.0f}) and beta = {beta:.3g}: "
            "a term so steep is a step between two sizes or amounts of data, and no power law; add runs"
        )
    return Law(E=float(np.exp(e)), A=float(np.exp(a)), B=float(np.exp(b)), alpha=alpha, beta=beta)
