from __future__ import annotations

import numpy as np
import pytest

from llm_from_scratch.autograd import Tensor
from llm_from_scratch.training import AdamW, decay_groups


def reference_adamw(w, gradients, lr, betas, eps, decay):
    """Loshchilov & Hutter's algorithm 2, line by line."""
    w, m, v = w.copy(), 0.0, 0.0
    for t, g in enumerate(gradients, start=1):
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        corrected_m, corrected_v = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
        w = w - lr * decay * w - lr * corrected_m / (np.sqrt(corrected_v) + eps)
    return w


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 3e-6)])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", [(3, 4), (700, 400)])  # the larger one is shared out over threads
def test_follows_the_published_algorithm(dtype, tolerance, threads, shape):
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=shape), [rng.normal(size=shape) for _ in range(4)]
    settings = {"lr": 0.03, "betas": (0.9, 0.95), "eps": 1e-6}
    w = Tensor(start.astype(dtype), requires_grad=True)
    b = Tensor(np.ones(5, dtype), requires_grad=True)
    optimizer = AdamW([w, b], weight_decay=0.1, threads=threads, **settings)
    for g in gradients:
        w.grad, b.grad = g.astype(dtype), np.full(5, 0.5, dtype)
        optimizer.step()
    expected = reference_adamw(start, gradients, decay=0.1, **settings)
    assert w.data.dtype == dtype
    np.testing.assert_allclose(w.data, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(
        b.data, reference_adamw(np.ones(5), [np.full(5, 0.5)] * 4, decay=0.1, **settings), rtol=1e-5
    )


def test_gradient_scale_is_as_scaling_the_gradient():
    results = []
    for scale, factor in ((0.25, 1.0), (1.0, 0.25)):
        w = Tensor(np.array([1.0, 2.0]), requires_grad=True)
        optimizer = AdamW([w], lr=0.1, eps=0.1)
        w.grad = np.array([0.4, -3.0]) * factor
        optimizer.step(grad_scale=scale)
        results.append(w.data)
    np.testing.assert_allclose(*results, rtol=1e-14)


def test_parameters_without_a_gradient_are_left_alone():
    used, unused = (Tensor(np.ones(2), requires_grad=True) for _ in range(2))
    optimizer = AdamW([("used", used), ("unused", unused)], weight_decay=0.5)
    used.grad = np.ones(2)
    optimizer.step()
    assert (unused.data == 1).all() and (used.data < 1).all()
    assert sorted(optimizer.state_dict()) == ["m.used", "step.used", "v.used"]
    optimizer.zero_grad()
    assert used.grad is None


def test_groups_have_their_own_settings_and_follow_the_common_rate():
    slow, fast = (Tensor(np.zeros(2), requires_grad=True) for _ in range(2))
    optimizer = AdamW([{"params": [slow], "lr": 0.01}, {"params": [fast]}], lr=0.1, weight_decay=0.0)
    optimizer.lr = 0.2
    slow.grad, fast.grad = np.ones(2), np.ones(2)
    optimizer.step()
    np.testing.assert_allclose(slow.data, -0.02, rtol=1e-6)
    np.testing.assert_allclose(fast.data, -0.2, rtol=1e-6)


def test_matrices_decay_and_vectors_do_not():
    from standin import StandIn

    model = StandIn()
    decaying, others = decay_groups(model, 0.3)
    assert [n for n, _ in decaying["params"]] == ["embedding", "hidden", "head"] and decaying["weight_decay"] == 0.3
    assert [n for n, _ in others["params"]] == ["scale"] and others["weight_decay"] == 0.0


def test_state_goes_round_and_continues_to_the_byte():
    def run(steps, state=None, start=None):
        w = Tensor(np.array([1.0, -2.0, 3.0]) if start is None else start.copy(), requires_grad=True)
        optimizer = AdamW([("w", w)], lr=0.05)
        if state:
            optimizer.load_state_dict(state)
        for step in steps:
            w.grad = np.random.default_rng(step).normal(size=3)
            optimizer.step()
        return w.data, optimizer.state_dict()

    whole, _ = run(range(6))
    half, state = run(range(3))
    resumed, _ = run(range(3, 6), state, half)
    assert whole.tobytes() == resumed.tobytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("v.w"), "incomplete"),
        (lambda s: s.update({"m.w": np.zeros(4)}), r"\(4,\)"),
        (lambda s: s.update({"m.w": np.zeros(3, np.float32)}), "float32"),
        (lambda s: s.update({"m.x": np.zeros(3)}), "m.x"),
        (lambda s: s.update({"step.w": np.array([-1])}), "step.w"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(change, message):
    w = Tensor(np.zeros(3), requires_grad=True)
    optimizer = AdamW([("w", w)])
    w.grad = np.ones(3)
    optimizer.step()
    before = {name: array.copy() for name, array in optimizer.state_dict().items()}
    state = {name: array.copy() for name, array in before.items()}
    change(state)
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(state)
    assert all(np.array_equal(before[name], array) for name, array in optimizer.state_dict().items())


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"lr": -1.0}, ValueError),
        ({"lr": float("nan")}, ValueError),
        ({"lr": "fast"}, TypeError),
        ({"betas": (0.9, 1.0)}, ValueError),
        ({"betas": 0.9}, TypeError),
        ({"eps": -1e-8}, ValueError),
        ({"weight_decay": float("inf")}, ValueError),
        ({"threads": 0}, ValueError),
    ],
)
def test_impossible_settings_are_refused(settings, error):
    with pytest.raises(error):
        AdamW([Tensor(np.zeros(2), requires_grad=True)], **settings)


def test_impossible_parameters_are_refused():
    w = Tensor(np.zeros(2), requires_grad=True)
    with pytest.raises(ValueError, match="empty"):
        AdamW([])
    with pytest.raises(TypeError, match="Tensors"):
        AdamW([np.zeros(3)])
    with pytest.raises(ValueError, match="same tensor"):
        AdamW([w, w])
    with pytest.raises(ValueError, match="named 'a'"):
        AdamW([("a", w), ("a", Tensor(np.zeros(2), requires_grad=True))])
    with pytest.raises(TypeError, match="not both"):
        AdamW([w, {"params": [w]}])
    with pytest.raises(ValueError, match="momentum"):
        AdamW([{"params": [w], "momentum": 1}])
    optimizer = AdamW([w])
    w.grad = np.zeros(3)
    with pytest.raises(ValueError, match=r"\(3,\)"):
        optimizer.step()
    w.grad = np.zeros(2)
    with pytest.raises(ValueError, match="grad_scale"):
        optimizer.step(grad_scale=float("nan"))


@pytest.mark.parametrize("dtype, large", [(np.float32, 1e30), (np.float64, 1e200)])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, "large"])
def test_a_gradient_that_is_not_finite_is_refused_by_name(dtype, large, bad):
    good, other = (Tensor(np.ones((3, 4), dtype), requires_grad=True) for _ in range(2))
    optimizer = AdamW([("first", good), ("second", other)])
    good.grad, other.grad = np.ones((3, 4), dtype), np.ones((3, 4), dtype)
    optimizer.step()
    before = [good.data.copy(), *(array.copy() for array in optimizer.state_dict().values())]
    other.grad[1, 2] = large if bad == "large" else bad
    with pytest.raises(ValueError, match="gradient of second is not finite"):
        optimizer.step()
    for was, now in zip(before, [good.data, *optimizer.state_dict().values()]):
        assert was.tobytes() == now.tobytes()
    if bad == "large":  # scaled down it can be used
        optimizer.step(1 / large)
        assert np.isfinite(other.data).all()
