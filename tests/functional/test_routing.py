"""Routing against plain loops that run every expert on every token; the balancing loss against its formula."""

from __future__ import annotations

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.autograd import GradientMismatch, Tensor
from llm_from_scratch.functional import combine, dispatch, load_balancing_loss, routing_weights, top_k
from llm_from_scratch.functional.routing import Assignment


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def dense(x: np.ndarray, logits: np.ndarray, matrices: np.ndarray, k: int) -> np.ndarray:
    """Every expert computes every token; all but the k most probable are then multiplied by zero."""
    y = np.zeros((len(x), matrices.shape[2]))
    for n, probabilities in enumerate(softmax(logits)):
        kept = sorted(range(len(probabilities)), key=lambda e: (-probabilities[e], e))[:k]
        for e in kept:
            y[n] += probabilities[e] / probabilities[kept].sum() * np.tanh(x[n] @ matrices[e])
    return y


def routed(x: Tensor, router: Tensor, matrices: list[Tensor], k: int) -> Tensor:
    logits = x @ router
    experts = top_k(logits.data, k)
    plan = Assignment.of(experts, len(matrices))
    answers = [lfs.functional.tanh(rows @ matrix) for rows, matrix in zip(dispatch(x, plan=plan), matrices)]
    return combine(routing_weights(logits, experts), *answers, plan=plan)


@pytest.mark.parametrize("tokens, experts, k", [(7, 4, 2), (5, 3, 1), (6, 3, 3), (1, 8, 2), (40, 2, 1), (4, 1, 1)])
def test_only_the_chosen_experts_and_all_of_their_answers(tokens: int, experts: int, k: int) -> None:
    rng = np.random.default_rng(tokens)
    x, router, matrices = (rng.normal(size=s) for s in ((tokens, 5), (5, experts), (experts, 5, 3)))
    y = routed(Tensor(x), Tensor(router), [Tensor(m) for m in matrices], k)
    np.testing.assert_allclose(y.data, dense(x, x @ router, matrices, k), rtol=0, atol=1e-14)


def test_gradients_through_choice_weights_experts_and_router() -> None:
    rng = np.random.default_rng(3)
    x, router, matrices = rng.normal(size=(5, 4)), rng.normal(size=(4, 4)), rng.normal(size=(4, 4, 3))
    ranked = np.sort(x @ router, axis=1)[:, ::-1]
    assert (
        ranked[:, 1] - ranked[:, 2]
    ).min() > 1e-3  # away from ties, or a step of central differences changes choices
    error = lfs.gradcheck(lambda x, router, *m: routed(x, router, list(m), 2), x, router, *matrices)
    assert error < 1e-6
    y = routed(Tensor(x), router := Tensor(router, requires_grad=True), [Tensor(m) for m in matrices], 2)
    (y * rng.normal(size=y.shape)).sum().backward()
    assert np.abs(router.grad).max() > 1e-2


def test_a_forgotten_weight_in_the_backward_is_caught() -> None:
    plan, rng = Assignment.of(np.array([[0, 1], [1, 0], [1, 0]]), 2), np.random.default_rng(0)
    inputs = rng.normal(size=(3, 2)), rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
    right, backward = combine._backward, combine.call_backward
    assert right is not None

    def unweighted(cotangents, saved, needs):
        return [backward(cotangents, saved, needs)[0], *plan.split(cotangents[0][plan.tokens])]

    assert lfs.gradcheck(lambda *x: combine(*x, plan=plan), *inputs) < 1e-6
    combine.call_backward = unweighted  # type: ignore[method-assign]
    try:
        with pytest.raises(GradientMismatch):
            lfs.gradcheck(lambda *x: combine(*x, plan=plan), *inputs)
    finally:
        del combine.call_backward


def test_rows_are_dealt_out_exactly_once_and_in_order() -> None:
    experts = top_k(np.random.default_rng(1).normal(size=(50, 6)), 3)
    plan = Assignment.of(experts, 6)
    parts = dispatch(np.arange(50.0)[:, None], plan=plan)
    for e, part in enumerate(parts):
        np.testing.assert_array_equal(part.data[:, 0], np.flatnonzero((experts == e).any(axis=1)))
    assert plan.counts.sum() == 150 and sorted(plan.slots.ravel()) == list(range(150))


def test_nobody_comes_to_an_expert() -> None:
    plan = Assignment.of(np.array([[1], [1]]), 3)
    parts = dispatch(Tensor(np.ones((2, 4)), requires_grad=True), plan=plan)
    assert [part.shape for part in parts] == [(0, 4), (2, 4), (0, 4)]
    y = combine(np.ones((2, 1)), *parts, plan=plan)
    np.testing.assert_array_equal(y.data, np.ones((2, 4)))


def test_ties_go_to_the_lower_number() -> None:
    scores = np.array([[1.0, 1.0, 1.0, 1.0], [0.0, 2.0, 2.0, 2.0], [3.0, 1.0, 3.0, 1.0]])
    np.testing.assert_array_equal(top_k(scores, 2), [[0, 1], [1, 2], [0, 2]])
    many = np.zeros((3, 100))  # more columns than a sort takes in one piece
    np.testing.assert_array_equal(top_k(many, 5), np.tile(np.arange(5), (3, 1)))


def test_weights_are_the_softmax_over_the_chosen() -> None:
    logits = np.random.default_rng(0).normal(size=(9, 5)) * 3
    experts = top_k(logits, 2)
    weights = routing_weights(logits, experts).data
    everything = np.take_along_axis(softmax(logits), experts, axis=1)
    np.testing.assert_allclose(weights, everything / everything.sum(axis=1, keepdims=True), rtol=1e-13)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-14)
    assert (weights[:, 0] >= weights[:, 1]).all()
    np.testing.assert_allclose(routing_weights(logits + 1000.0, experts).data, weights, rtol=1e-10)


def test_with_one_expert_a_token_no_gradient_reaches_the_router() -> None:
    logits = Tensor(np.random.default_rng(0).normal(size=(4, 3)), requires_grad=True)
    weights = routing_weights(logits, top_k(logits.data, 1))
    (weights * np.arange(4.0)[:, None]).sum().backward()
    np.testing.assert_array_equal(weights.data, 1.0)
    np.testing.assert_array_equal(logits.grad, 0.0)


def test_balancing_loss_is_its_formula() -> None:
    rng = np.random.default_rng(5)
    logits, mask = rng.normal(size=(12, 5)) * 2, rng.random(12) < 0.7
    experts = top_k(logits, 2)
    for real in (None, mask):
        rows = range(12) if real is None else np.flatnonzero(real)
        expected = 0.0
        for e in range(5):
            share = sum(e in experts[n] for n in rows) / len(rows)
            expected += 5 * share * sum(softmax(logits[n])[e] for n in rows) / len(rows)
        assert load_balancing_loss(logits, experts, real).item() == pytest.approx(expected, rel=1e-13)


def test_balancing_loss_is_k_when_even_and_up_to_the_number_of_experts_when_not() -> None:
    even = np.array([[0, 1], [2, 3], [0, 1], [2, 3]])
    assert load_balancing_loss(np.zeros((4, 4)), even).item() == pytest.approx(2.0)
    one = np.full((6, 4), -100.0)
    one[:, 2] = 100.0
    assert load_balancing_loss(one, np.full((6, 1), 2)).item() == pytest.approx(4.0)


def test_the_gradient_of_balance_takes_from_whoever_has_too_much() -> None:
    logits = Tensor(np.zeros((4, 3)), requires_grad=True)
    load_balancing_loss(logits, np.array([[0], [0], [0], [1]]), np.array([True, True, True, False])).backward()
    assert (logits.grad[:3, 0] > 0).all() and (logits.grad[:3, 1:] < 0).all()
    np.testing.assert_array_equal(logits.grad[3], 0.0)  # padding


def test_what_does_not_fit_is_named() -> None:
    plan = Assignment.of(np.array([[0, 1]]), 3)
    with pytest.raises(ValueError, match="k = 5 and scores"):
        top_k(np.zeros((2, 4)), 5)
    with pytest.raises(TypeError, match="float32 or float64"):
        top_k(np.zeros((2, 4), int), 1)
    with pytest.raises(ValueError, match=r"expert -1 was chosen, but the experts are 0..3"):
        routing_weights(np.zeros((1, 4)), np.array([[0, -1]]))
    with pytest.raises(ValueError, match="chosen twice for one token"):
        routing_weights(np.zeros((1, 4)), np.array([[2, 2]]))
    with pytest.raises(TypeError, match="array of integers"):
        routing_weights(np.zeros((1, 4)), np.array([[0.0, 1.0]]))
    with pytest.raises(ValueError, match="do not belong to router logits"):
        routing_weights(np.zeros((2, 4)), np.array([[0, 1]]))
    with pytest.raises(ValueError, match="the plan is for 1 tokens"):
        dispatch(np.zeros((2, 3)), plan=plan)
    with pytest.raises(ValueError, match=r"outputs of \[1, 1, 0\] rows belong to this plan"):
        combine(np.zeros((1, 2)), np.zeros((1, 3)), np.zeros((1, 3)), plan=plan)
    with pytest.raises(ValueError, match="a mask of 2 booleans was expected, got int"):
        load_balancing_loss(np.zeros((2, 3)), np.array([[0], [1]]), np.array([1, 0]))
    with pytest.raises(ValueError, match="no token counts"):
        load_balancing_loss(np.zeros((2, 3)), np.array([[0], [1]]), np.array([False, False]))
