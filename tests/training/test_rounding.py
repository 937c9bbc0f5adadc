"""Updates of what is stored in bfloat16: small ones are lost to the nearest, and not to chance."""

from __future__ import annotations

import numpy as np
import pytest

from llm_from_scratch.autograd import Tensor, store_bfloat16
from llm_from_scratch.autograd.bfloat16 import BFLOAT16
from llm_from_scratch.training import SGD, Adam, AdamW, Lion
from llm_from_scratch.training.rounding import keys_of, update_in_pieces

KINDS = {"adamw": AdamW, "adam": Adam, "sgd": lambda p, **s: SGD(p, momentum=0.9, **s), "lion": Lion}


def leaf(values):
    return Tensor(np.array(values, np.float32), requires_grad=True)


def test_small_steps_vanish_to_the_nearest_and_arrive_by_chance():
    """1 by 1e-4, a thousand times: the next numbers are 0.0039 below and 0.0078 above."""
    ends = {}
    for seed in (None, 0, 1, 2):
        w = store_bfloat16(leaf(np.ones(1000)))
        optimizer = SGD([w], lr=1e-4)
        optimizer.rounding_seed = seed
        for _ in range(1000):
            w.grad = np.ones(1000, np.float32)
            optimizer.step()
        ends[seed] = w.data.astype(np.float64)
    assert (ends[None] == 1.0).all()
    for seed in (0, 1, 2):
        # Each weight is a sum of coins with steps of at most 0.0039: variance at most 0.1 · 0.0039.
        assert abs(ends[seed].mean() - 0.9) < 4 * np.sqrt(0.1 * 0.0039 / 1000)
        assert 0 < ends[seed].std() < 1.5 * np.sqrt(0.1 * 0.0039)
    assert not np.array_equal(ends[0], ends[1])


def test_a_mean_of_squares_forgets_by_chance_and_not_to_the_nearest():
    """v ← 0.999 v: a thousandth less is nearer to v itself than to the number before it."""
    for seed, ratio in ((None, 1.0), (0, 0.999**500)):
        w = store_bfloat16(leaf(np.zeros(4000)))
        optimizer = AdamW([w], lr=0.0, betas=(0.9, 0.999), weight_decay=0.0)
        optimizer.rounding_seed = seed
        w.grad = np.full(4000, 3.0, np.float32)
        optimizer.step()
        first = optimizer.state_dict()["v.0"].astype(np.float64).mean()
        for _ in range(500):
            w.grad = np.zeros(4000, np.float32)
            optimizer.step()
        last = optimizer.state_dict()["v.0"].astype(np.float64).mean()
        assert last / first == pytest.approx(ratio, rel=0.02)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [None, 7])
def test_the_arithmetic_is_that_of_float32_rounded_once_a_step(kind, seed):
    """Against the same optimiser on plain arrays that the test rounds itself."""
    rng = np.random.default_rng(0)
    w = store_bfloat16(leaf(rng.normal(size=300)))
    optimizer = KINDS[kind]([w], lr=0.01, weight_decay=0.1)
    optimizer.rounding_seed = seed
    for _ in range(5):
        plain = leaf(w.data)
        other = KINDS[kind]([plain], lr=0.01, weight_decay=0.1)
        before = optimizer.state_dict()
        if before:
            wide = {k: a if a.dtype.kind == "i" else a.astype(np.float32) for k, a in before.items()}
            other.load_state_dict(wide)
        grad = rng.normal(size=300).astype(np.float32)
        w.grad, plain.grad = grad, grad
        optimizer.step()
        other.step()
        after, exact = optimizer.state_dict(), other.state_dict()
        pairs = [(w.data, plain.data)] + [
            (after[k].astype(np.float32), exact[k]) for k in exact if not k.startswith("step")
        ]
        assert all(array.dtype == BFLOAT16 for key, array in after.items() if not key.startswith("step"))
        for stored, number in pairs:
            if seed is None:
                assert np.array_equal(stored, number.astype(BFLOAT16).astype(np.float32))
            else:
                gap = np.abs(number) * 2.0**-7
                assert (np.abs(stored - number) <= gap).all() and (stored != number).any()


@pytest.mark.parametrize("kind", KINDS)
def test_neither_threads_nor_a_pause_change_a_byte(kind):
    """More numbers than one thread is given, and than one piece holds; one tensor of one's own in between."""
    rng = np.random.default_rng(0)
    sizes = ((300_000,), (7,), (500, 400))
    grads = [[rng.normal(size=s).astype(np.float32) for s in sizes] for _ in range(3)]
    start = [rng.normal(size=s).astype(np.float32) for s in sizes]

    def run(threads, pause):
        params = [leaf(a) for a in start]
        for p in (params[0], params[2]):
            store_bfloat16(p)

        def make():
            made = KINDS[kind](params, lr=0.01, threads=threads)
            made.rounding_seed = 3
            return made

        optimizer = make()
        for number, step in enumerate(grads):
            if pause and number == 2:
                state = {name: array.copy() for name, array in optimizer.state_dict().items()}
                optimizer = make()
                optimizer.load_state_dict(state)
            for p, g in zip(params, step):
                p.grad = g
            optimizer.step()
        return [p.stored for p in params] + list(optimizer.state_dict().values())

    wanted = run(1, False)
    for found in (run(2, False), run(3, True)):
        for a, b in zip(wanted, found, strict=True):
            assert a.dtype == b.dtype and a.tobytes() == b.tobytes()


def test_what_is_kept_follows_how_its_parameter_is_stored():
    w = leaf(np.ones(5))
    optimizer = AdamW([w])
    for dtype in (np.float32, BFLOAT16):
        w.grad = np.ones(5, np.float32)
        optimizer.step()
        assert optimizer.state_dict()["m.0"].dtype == dtype
        store_bfloat16(w)
    with pytest.raises(ValueError, match=r"m\.0 is float32\(5,\), the parameter bfloat16\(5,\)"):
        optimizer.load_state_dict(
            {"m.0": np.ones(5, np.float32), "v.0": np.ones(5, np.float32), "step.0": np.array([1])}
        )


def test_pieces_come_in_order_with_their_places():
    seen = []
    array = np.zeros(150_000, BFLOAT16)

    def update(pieces, grad, first):
        seen.append((first, len(grad)))
        pieces[0] += grad

    update_in_pieces(update, [array], np.ones(150_000, np.float32), 10, None)
    assert seen == [(10, 65536), (65546, 65536), (131082, 18928)] and (array == 1).all()


def test_keys_of_updates_share_nothing():
    keys = [key for step in range(50) for slot in range(5) for key in keys_of(0, step, slot, count=3)]
    assert len(set(keys)) == 750 and all(0 <= key < 2**64 for key in keys) and keys[0] != keys_of(1, 0, 0, count=1)[0]


def test_each_array_of_a_parameter_has_chances_of_its_own():
    """A weight and a mean that stand equally far between two numbers do not go up and down together."""
    weight, mean = (np.ones(10_000, BFLOAT16) for _ in range(2))

    def update(pieces, grad, first):
        for piece in pieces:
            piece += np.float32(2.0**-8)  # half of the distance to the next

    update_in_pieces(update, [weight, mean], np.zeros(10_000, np.float32), 0, keys_of(0, 1, 2, count=2))
    assert 0.45 < np.mean((weight > 1) == (mean > 1)) < 0.55


def test_each_parameter_has_chances_of_its_own():
    first, second = (store_bfloat16(leaf(np.ones(10_000))) for _ in range(2))
    optimizer = SGD([first, second], lr=2.0**-8)
    optimizer.rounding_seed = 0
    for tensor in (first, second):
        tensor.grad = np.full(10_000, -1.0, np.float32)
    optimizer.step()
    assert 0.45 < np.mean((first.data > 1) == (second.data > 1)) < 0.55
