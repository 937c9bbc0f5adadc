"""Every optimiser beside its formula written as a loop, and what they have in common: groups, state, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from standin import StandIn, sampler

from llm_from_scratch.autograd import Tensor
from llm_from_scratch.training import SGD, Adam, AdamW, Lion, TrainingSettings, train


def sgd_loop(w, gradients, *, lr, momentum=0.0, weight_decay=0.0, nesterov=False):
    velocity = None
    for t, g in enumerate(gradients):
        g = g + weight_decay * w
        velocity = g if velocity is None else momentum * velocity + g
        w = w - lr(t) * (g + momentum * velocity if nesterov else velocity)
    return w


def adam_loop(w, gradients, *, lr, betas, eps, weight_decay, decoupled=False):
    m = v = 0.0
    for t, g in enumerate(gradients):
        g = g if decoupled else g + weight_decay * w
        m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g**2
        step = (m / (1 - betas[0] ** (t + 1))) / (np.sqrt(v / (1 - betas[1] ** (t + 1))) + eps)
        w = w - lr(t) * (step + (weight_decay * w if decoupled else 0.0))
    return w


def adamw_loop(w, gradients, **settings):
    return adam_loop(w, gradients, decoupled=True, **settings)


def lion_loop(w, gradients, *, lr, betas, weight_decay):
    m = 0.0
    for t, g in enumerate(gradients):
        update = np.sign(betas[0] * m + (1 - betas[0]) * g)
        w = w - lr(t) * (update + weight_decay * w)
        m = betas[1] * m + (1 - betas[1]) * g
    return w


ADAM = {"betas": (0.9, 0.95), "eps": 1e-6, "weight_decay": 0.1}
KINDS = {
    "sgd": (SGD, sgd_loop, {}),
    "sgd with decay": (SGD, sgd_loop, {"weight_decay": 0.3}),
    "momentum": (SGD, sgd_loop, {"momentum": 0.9, "weight_decay": 0.1}),
    "nesterov": (SGD, sgd_loop, {"momentum": 0.8, "weight_decay": 0.1, "nesterov": True}),
    "adam": (Adam, adam_loop, ADAM),
    "adamw": (AdamW, adamw_loop, ADAM),
    "lion": (Lion, lion_loop, {"betas": (0.9, 0.99), "weight_decay": 0.3}),
}
kinds = pytest.mark.parametrize("kind", KINDS)
STEPS = 20


@kinds
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size", [7, 250_000])  # the larger one is shared out over threads
def test_follows_the_published_algorithm(kind, threads, size):
    """Two groups, a rate that changes, a parameter that is frozen, one whose gradient is missing at times."""
    make, loop, settings = KINDS[kind]
    steps = STEPS if size == 7 else 3
    rng = np.random.default_rng(0)
    names = ("plain", "own", "seldom", "frozen")
    start = {name: rng.normal(size=size) for name in names}
    gradients = {name: [rng.normal(size=size) for _ in range(steps)] for name in names[:3]}
    params = {name: Tensor(start[name].copy(), requires_grad=name != "frozen") for name in names}
    own = {"weight_decay": 0.05}
    optimizer = make(
        [
            {"params": [(name, params[name]) for name in ("plain", "seldom", "frozen")]},
            {"params": [("own", params["own"])], "lr": 0.02, **own},
        ],
        lr=0.01, threads=threads, **settings,
    )  # fmt: skip
    for t in range(steps):
        for name in gradients:
            absent = name == "seldom" and t % 3 == 1
            params[name].grad = None if absent else gradients[name][t] * 4.0
        if t == 2:
            optimizer.lr = 0.005
        optimizer.step(0.25)
    present = [g for t, g in enumerate(gradients["seldom"]) if t % 3 != 1]
    expected = {
        "plain": loop(start["plain"], gradients["plain"], lr=lambda t: 0.01 if t < 2 else 0.005, **settings),
        "own": loop(start["own"], gradients["own"], lr=lambda t: 0.02 if t < 2 else 0.01, **{**settings, **own}),
        "seldom": loop(start["seldom"], present, lr=lambda t: 0.01 if t < 1 else 0.005, **settings),
        "frozen": start["frozen"],
    }
    for name in names:
        np.testing.assert_allclose(params[name].data, expected[name], rtol=1e-12, atol=1e-13, err_msg=name)


@kinds
def test_float32_stays_float32(kind):
    make, _, settings = KINDS[kind]
    w = Tensor(np.ones(3, np.float32), requires_grad=True)
    optimizer = make([("w", w)], lr=0.1, **settings)
    w.grad = np.ones(3, np.float32)
    optimizer.step()
    assert w.data.dtype == np.float32 and (w.data < 1).all()
    assert {str(a.dtype) for name, a in optimizer.state_dict().items() if name != "step.w"} <= {"float32"}


# --- Groups


def test_groups_are_read_and_changed_as_in_pytorch():
    a, b, c = (Tensor(np.zeros(2), requires_grad=True) for _ in range(3))
    optimizer = SGD([{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.1)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.5]
    assert [group["params"] for group in optimizer.param_groups] == [[a], [b]] and optimizer.lr == 0.1
    for group in optimizer.param_groups:
        group["lr"] = 0.25
    assert optimizer.lr == 0.25
    optimizer.add_param_group({"params": [c], "momentum": 0.5})
    for p in (a, b, c):
        p.grad = np.ones(2)
    optimizer.step()
    assert [p.data[0] for p in (a, b, c)] == [-0.25, -0.25, -0.1]
    assert sorted(optimizer.state_dict()) == ["step.0", "step.1", "step.2", "velocity.2"]  # plain SGD keeps nothing
    optimizer.lr = 0.2  # what a schedule does
    assert [group["lr"] for group in optimizer.param_groups] == [0.2, 1.0, 0.2]
    optimizer.param_groups[2]["momentum"] = 0.0
    optimizer.param_groups[0]["momentum"] = 0.9
    optimizer.step()
    assert "velocity.0" in optimizer.state_dict()


def test_what_a_group_was_changed_to_is_checked_before_anything_moves():
    a, b = (Tensor(np.zeros(2), requires_grad=True) for _ in range(2))
    optimizer = SGD([{"params": [a]}, {"params": [b]}], lr=0.1)
    a.grad, b.grad = np.ones(2), np.ones(2)
    for name, value, error in (("lr", np.nan, ValueError), ("lr", "fast", TypeError), ("nesterov", True, ValueError)):
        optimizer.param_groups[1][name], before = value, optimizer.param_groups[1][name]
        with pytest.raises(error, match=name):
            optimizer.step()
        optimizer.param_groups[1][name] = before
    optimizer.param_groups[1]["params"].append(Tensor(np.zeros(2), requires_grad=True))
    optimizer.param_groups[1]["params"][-1].grad = np.ones(2)
    with pytest.raises(ValueError, match="use add_param_group"):
        optimizer.step()
    assert (a.data == 0).all()
    refused = [
        ({"params": [a]}, "same tensor"),
        ({"lr": 1}, "has 'params'"),
        ({"params": [("0", Tensor([1.0]))]}, "named '0'"),
    ]
    for group, message in refused:
        with pytest.raises(ValueError, match=message):
            optimizer.add_param_group(group)
    assert len(optimizer.param_groups) == 2


@pytest.mark.parametrize(
    ("make", "settings", "error"),
    [
        (SGD, {"momentum": -0.1}, ValueError),
        (SGD, {"nesterov": True}, ValueError),
        (SGD, {"nesterov": 1, "momentum": 0.9}, TypeError),
        (Lion, {"betas": (0.9, 1.0)}, ValueError),
        (Lion, {"eps": 1e-8}, TypeError),
        (Adam, {"eps": -1.0}, ValueError),
    ],
)
def test_impossible_settings_are_refused(make, settings, error):
    with pytest.raises(error):
        make([Tensor(np.zeros(2), requires_grad=True)], **settings)


# --- State


@kinds
def test_state_goes_round_and_continues_to_the_byte(kind):
    make, _, settings = KINDS[kind]

    def run(steps, state=None, start=None):
        w = Tensor(np.array([1.0, -2.0, 3.0]) if start is None else start.copy(), requires_grad=True)
        optimizer = make([("w", w)], lr=0.05, **settings)
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


# --- Gradients that must not be used


@pytest.mark.parametrize("make", [SGD, Lion])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_by_name_and_what_is_large_is_not(make, bad):
    first, second = (Tensor(np.ones(4, np.float32), requires_grad=True) for _ in range(2))
    optimizer = make([("first", first), ("second", second)], lr=0.0)
    first.grad, second.grad = np.ones(4, np.float32), np.full(4, 1e30, np.float32)
    optimizer.step()
    second.grad[3] = bad
    before = {name: array.copy() for name, array in optimizer.state_dict().items()}
    with pytest.raises(ValueError, match="gradient of second is not finite"):
        optimizer.step()
    assert all(before[name].tobytes() == array.tobytes() for name, array in optimizer.state_dict().items())


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("place", [0, 149_999, 150_000, 299_999])
def test_one_bad_number_in_any_threads_share_changes_nothing(threads, place):
    first, second = (Tensor(np.ones(n, np.float32), requires_grad=True) for n in (100_000, 200_000))
    optimizer = AdamW([("first", first), ("second", second)], threads=threads)
    whole = np.full(300_000, 0.5, np.float32)
    first.grad, second.grad = whole[:100_000], whole[100_000:]
    optimizer.step()
    before = {name: array.copy() for name, array in optimizer.state_dict().items()}
    weights = first.data.copy(), second.data.copy()
    whole[place] = np.nan
    with pytest.raises(ValueError, match=f"gradient of {'first' if place < 100_000 else 'second'} is not finite"):
        optimizer.step()
    for name, array in optimizer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    np.testing.assert_array_equal(first.data, weights[0])
    np.testing.assert_array_equal(second.data, weights[1])


def test_what_is_kept_stands_in_one_block_and_overlaps_nowhere():
    params = [Tensor(np.ones(n), requires_grad=True) for n in (1, 33, 7)]
    late = Tensor(np.ones(5), requires_grad=True)
    optimizer = AdamW([*params, late])
    for param in params:
        param.grad = np.ones(param.shape)
    optimizer.step()
    assert not any(name.endswith(".3") for name in optimizer.state_dict())  # nothing for one without a gradient
    late.grad = np.ones(5)
    optimizer.step()
    kept = [array for name, array in optimizer.state_dict().items() if not name.startswith("step")]
    assert len({id(array.base if array.base.base is None else array.base.base) for array in kept}) == 2
    for number, array in enumerate(kept):
        array[:] = number
    assert all((array == number).all() for number, array in enumerate(kept))


@pytest.mark.parametrize("make", [AdamW, SGD])
def test_gradients_whose_length_is_known_are_not_read_again(make, monkeypatch):
    from llm_from_scratch.kernels import optimizers

    asked = []
    real = optimizers.each_within
    noted = lambda arrays, limits: asked.extend(x.size for x in arrays) or real(arrays, limits)  # noqa: E731
    monkeypatch.setattr(optimizers, "each_within", noted)
    a, b = Tensor(np.ones(3), requires_grad=True), Tensor(np.ones(5), requires_grad=True)
    optimizer = make([("a", a), ("b", b)])
    a.grad, b.grad = np.ones(3), np.ones(5)
    optimizer.step(norm=8**0.5)
    assert asked == []
    optimizer.step()
    assert sorted(asked) == [3, 5]
    b.grad[0] = np.nan
    for norm in (np.nan, np.inf, None):  # then they are, and the culprit is named
        with pytest.raises(ValueError, match="gradient of b is not finite"):
            optimizer.step(norm=norm)


# --- In the loop


@pytest.mark.parametrize("name", ["adamw", "adam", "lion", "sgd"])
def test_the_settings_name_an_optimiser_and_a_run_keeps_it(tmp_path, name):
    settings = TrainingSettings(steps=8, learning_rate=0.02, optimizer=name, checkpoint_every=3, threads=1)

    class Killed(Exception):
        pass

    def stop(step, loss, model):
        if step == 5:
            raise Killed

    whole = StandIn(seed=1)
    train(whole, sampler(), settings, progress=False)
    options = {"directory": tmp_path, "progress": False, "resume": True}
    with pytest.raises(Killed):
        train(StandIn(seed=1), sampler(), settings, on_step=stop, **options)
    other = TrainingSettings(**{**settings.to_json(), "optimizer": "lion" if name == "adam" else "adam"})
    with pytest.raises(ValueError, match=f"optimizer: {name}, now"):
        train(StandIn(seed=1), sampler(), other, **options)
    resumed = StandIn(seed=1)
    train(resumed, sampler(), settings, **options)
    assert all(a.data.tobytes() == b.data.tobytes() for a, b in zip(whole.parameters(), resumed.parameters()))


def test_the_loop_takes_an_optimiser_of_one_s_own(tmp_path):
    seen = []

    def make(groups):
        seen.append([[name for name, _ in group["params"]] for group in groups])
        return SGD(groups, lr=0.1)

    settings = TrainingSettings(steps=4, learning_rate=0.1, schedule="constant", clip=0.0, threads=1, weight_decay=0.0)
    model = StandIn(seed=1)
    train(model, sampler(), settings, optimizer=make, directory=tmp_path, progress=False)
    assert seen == [[["embedding", "hidden", "head"], ["scale"]]]
    plain = StandIn(seed=1)
    batches = sampler()
    for _ in range(4):
        plain.zero_grad()
        plain.loss(next(batches)).backward()
        for p in plain.parameters():
            p.data = p.data - 0.1 * p.grad
    for a, b in zip(model.parameters(), plain.parameters()):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-12)
    with pytest.raises(ValueError, match='optimizer: "SGD", now "AdamW"'):
        train(StandIn(seed=1), sampler(), settings, directory=tmp_path, progress=False, resume=True)
