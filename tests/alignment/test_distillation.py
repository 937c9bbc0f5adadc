"""Distillation: closed forms, trl and torch, gradients, ends of beta, logits of -inf, and the objective on families."""

import math
from pathlib import Path

import numpy as np
import pytest
from families_in_small import FAMILIES, VOCABULARY, answers, slopes, tiny
from safetensors.numpy import load_file

import llm_from_scratch as lfs
from llm_from_scratch import alignment as A
from llm_from_scratch import functional as F
from llm_from_scratch.alignment.distillation import pair_layers
from llm_from_scratch.autograd import Tensor

FROZEN = load_file(Path(__file__).with_name("fixtures") / "distillation.safetensors")
STUDENT, TEACHER, MASK = (FROZEN[name] for name in ("student", "teacher", "mask"))


def by_formula(student, teacher, mask=None, *, kind="forward", temperature=1.0, beta=0.5, rescaled=False):
    """As the definition says it, in probabilities."""
    total, count = 0.0, 0
    for place in np.ndindex(student.shape[:-1]):
        if mask is not None and not mask[place]:
            continue
        s, t = (np.exp(x[place] / temperature) for x in (student, teacher))
        s, t = s / s.sum(), t / t.sum()
        m = beta * t + (1 - beta) * s
        total += {
            "forward": (t * np.log(t / s)).sum(),
            "reverse": (s * np.log(s / t)).sum(),
            "jensen-shannon": beta * (t * np.log(t / m)).sum() + (1 - beta) * (s * np.log(s / m)).sum(),
        }[kind]
        count += 1
    return temperature**2 * total / count / (beta * (1 - beta) if rescaled else 1)


SETTINGS = [
    {"kind": "forward"},
    {"kind": "reverse", "temperature": 3.0},
    {"kind": "jensen-shannon", "beta": 0.2},
    {"kind": "jensen-shannon", "beta": 0.7, "temperature": 0.5},
    {"kind": "jensen-shannon", "beta": 0.2, "rescaled": True},
]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("mask", [None, MASK])
def test_the_loss_is_its_definition(settings, mask):
    wanted = by_formula(STUDENT, TEACHER, mask, **settings)
    assert A.distillation_loss(STUDENT, TEACHER, mask, **settings).item() == pytest.approx(wanted, rel=1e-12)
    single = A.distillation_loss(STUDENT.astype(np.float32), TEACHER.astype(np.float32), mask, **settings)
    assert single.dtype == np.float32 and single.shape == ()
    assert single.item() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_gradient_is_the_slope(settings):
    lfs.gradcheck(lambda s: A.distillation_loss(s, TEACHER, MASK, **settings), STUDENT)
    lfs.gradcheck(lambda s, t: A.distillation_loss(s, t, **settings), STUDENT[0, 0], TEACHER[0, 0])


CASES = sorted(name.removesuffix(".loss") for name in FROZEN if name.endswith(".loss"))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_loss_and_gradient_equal_trls_and_torchs(case, dtype, tolerance):
    student, teacher = Tensor(STUDENT.astype(dtype), requires_grad=True), TEACHER.astype(dtype)
    if case == "cosine":
        loss = A.cosine_loss(student, teacher, MASK)
    else:
        kind, beta, temperature = case.split()
        loss = A.distillation_loss(student, teacher, MASK, kind=kind, beta=float(beta), temperature=float(temperature))
    loss.backward()
    assert loss.dtype == student.grad.dtype == dtype
    assert loss.item() == pytest.approx(float(FROZEN[f"{case}.loss"]), rel=tolerance)
    wanted = FROZEN[f"{case}.gradient"]
    np.testing.assert_allclose(student.grad, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


def test_the_frozen_numbers_see_every_kind():
    assert {case.split()[0] for case in CASES} == {"forward", "reverse", "jensen-shannon", "cosine"} and len(
        CASES
    ) == 11


# --- Faults that others had


def test_the_mixture_is_one_of_probabilities():
    """Not of their logarithms, whose mixture is no distribution: where one is nearly certain, that shows."""
    student, teacher = np.log([[0.999, 0.001]]), np.log([[0.001, 0.999]])
    loss = A.distillation_loss(student, teacher, kind="jensen-shannon", beta=0.5).item()
    exact = 0.999 * math.log(0.999 / 0.5) + 0.001 * math.log(0.001 / 0.5)
    assert loss == pytest.approx(exact, rel=1e-12)
    assert loss <= math.log(2)  # which it never exceeds


def test_beta_is_the_teachers_share():
    """A student that leaves out half of the teacher: forward is infinite, so beta towards 0 costs more, not less."""
    teacher, student = np.log([[0.5, 0.5]]), np.log([[1 - 1e-12, 1e-12]])

    def rescaled(beta):
        settings = {"kind": "jensen-shannon", "beta": beta, "rescaled": True}
        return A.distillation_loss(student, teacher, **settings).item()

    assert rescaled(0.0) > rescaled(0.1) > rescaled(0.5) > rescaled(0.9) > rescaled(1.0)
    assert rescaled(0.0) == pytest.approx(A.distillation_loss(student, teacher, kind="forward").item())
    assert rescaled(1.0) == pytest.approx(A.distillation_loss(student, teacher, kind="reverse").item())


@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-9), (np.float32, 2e-6)])
@pytest.mark.parametrize("distance", [1e-6, 1e-8, 1e-10, 1e-12])
@pytest.mark.parametrize("end", [0, 1])
def test_the_rescaled_form_is_continuous_at_both_ends(end, distance, dtype, tolerance):
    kind = ("forward", "reverse")[end]
    found = []
    for settings in (
        {"kind": kind},
        {"kind": "jensen-shannon", "rescaled": True, "beta": float(end)},
        {"kind": "jensen-shannon", "rescaled": True, "beta": abs(end - distance)},
    ):
        student = Tensor(STUDENT.astype(dtype), requires_grad=True)
        loss = A.distillation_loss(student, TEACHER.astype(dtype), MASK, temperature=2.0, **settings)
        loss.backward()
        found.append((loss.item(), student.grad))
    (there, gradient), (exact, at_end), (near, close) = found
    assert exact == there and (at_end == gradient).all()
    # What is left at a distance d is d times the second moment of the ratios.
    allowed = tolerance + 100 * distance
    assert near == pytest.approx(there, rel=allowed)
    np.testing.assert_allclose(close, gradient, rtol=0, atol=allowed * np.abs(gradient).max())


def test_the_form_that_is_not_rescaled_tends_to_nothing():
    for beta in (1e-9, 1 - 1e-9):
        assert 0 < A.distillation_loss(STUDENT, TEACHER, kind="jensen-shannon", beta=beta).item() < 1e-7


@pytest.mark.parametrize("kind", A.distillation.KINDS)
def test_the_size_of_the_gradient_does_not_follow_the_temperature(kind):
    """Without its square, the gradient at temperature 100 would be 10,000 times smaller than at 1."""
    sizes = []
    for temperature in (30.0, 100.0, 1000.0):
        student = Tensor(STUDENT, requires_grad=True)
        A.distillation_loss(student, TEACHER, kind=kind, temperature=temperature).backward()
        sizes.append(np.abs(student.grad).max())
    assert sizes[1] == pytest.approx(sizes[2], rel=0.2) and sizes[0] == pytest.approx(sizes[2], rel=0.6)


# --- Extreme inputs


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("settings", SETTINGS)
def test_what_neither_may_choose_costs_nothing(settings, dtype):
    banned = np.full((2, 5, 3), -np.inf)
    student = Tensor(np.concatenate([STUDENT, banned], -1).astype(dtype), requires_grad=True)
    teacher = np.concatenate([TEACHER, banned], -1).astype(dtype)
    loss = A.distillation_loss(student, teacher, MASK, **settings)
    loss.backward()
    assert loss.item() == pytest.approx(by_formula(STUDENT, TEACHER, MASK, **settings), rel=1e-5)
    assert np.isfinite(student.grad).all() and (student.grad[..., -3:] == 0).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_what_only_one_may_choose(dtype):
    inf = np.inf
    student = np.array([[math.log(0.5), math.log(0.5), -inf]], dtype)
    teacher = student[:, ::-1].copy()  # half on what the student excludes, none on its first
    for settings, wanted in (
        ({"kind": "forward"}, inf),
        ({"kind": "reverse"}, inf),
        ({"kind": "jensen-shannon", "beta": 0.5}, 0.5 * math.log(2)),
        ({"kind": "jensen-shannon", "beta": 0.25}, 0.25 * 0.5 * math.log(4) + 0.75 * 0.5 * math.log(4 / 3)),
    ):
        logits = Tensor(student, requires_grad=True)
        loss = A.distillation_loss(logits, teacher, **settings)
        assert loss.item() == pytest.approx(wanted, rel=3e-6)
        if wanted < inf:
            loss.backward()
            assert np.isfinite(logits.grad).all()
    # The teacher's exclusions cost nothing in the forward direction, the student's nothing in the reverse one.
    both = np.log(np.array([[0.25, 0.25, 0.5]], dtype))
    assert A.distillation_loss(both, student).item() == pytest.approx(math.log(2), rel=3e-6)
    assert A.distillation_loss(student, both, kind="reverse").item() == pytest.approx(math.log(2), rel=3e-6)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("settings", SETTINGS)
def test_far_and_equal_logits(settings, dtype):
    far = np.array([[0.0, 500.0, -500.0], [-1e4, 0.0, 1e4]], dtype)
    student = Tensor(far, requires_grad=True)
    loss = A.distillation_loss(student, far[:, ::-1].copy(), **settings)
    loss.backward()
    assert np.isfinite(loss.item()) and loss.item() > 0 and np.isfinite(student.grad).all()
    same = Tensor(STUDENT.astype(dtype), requires_grad=True)
    loss = A.distillation_loss(same, same.data + dtype(3.0), MASK, **settings)
    loss.backward()
    small = 1e-12 if dtype == np.float64 else 1e-6
    assert abs(loss.item()) < small and np.abs(same.grad).max() < small


def test_close_distributions_keep_their_digits_in_float32():
    """Half the chi-square distance; sums of positive and negative terms in float32 would be all noise."""
    rng = np.random.default_rng(3)
    teacher = rng.normal(size=(2, 20_000))
    student = teacher + 1e-3 * rng.normal(size=teacher.shape)
    for settings in ({"kind": "forward"}, {"kind": "reverse"}, {"kind": "jensen-shannon", "rescaled": True}):
        exact = A.distillation_loss(student, teacher, **settings).item()
        found = A.distillation_loss(student.astype(np.float32), teacher.astype(np.float32), **settings).item()
        assert exact < 1e-6 and found == pytest.approx(exact, rel=2e-2)


def test_masked_positions_are_not_looked_at():
    student, teacher = STUDENT.copy(), TEACHER.copy()
    student[~MASK], teacher[~MASK] = np.nan, -np.inf
    logits = Tensor(student, requires_grad=True)
    loss = A.distillation_loss(logits, teacher, MASK.astype(int))
    loss.backward()
    assert loss.item() == A.distillation_loss(STUDENT, TEACHER, MASK).item()
    assert (logits.grad[~MASK] == 0).all() and (logits.grad[MASK] != 0).any()


def test_nothing_is_changed_and_a_frozen_teacher_gets_no_gradient():
    student, teacher = Tensor(STUDENT.copy(), requires_grad=True), Tensor(TEACHER.copy())
    A.distillation_loss(student, teacher, kind="jensen-shannon").backward()
    assert (student.data == STUDENT).all() and (teacher.data == TEACHER).all() and teacher.grad is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "backward"}, "kind must be one of forward, reverse, jensen-shannon"),
        ({"temperature": 0.0}, "temperature must be a finite number above 0, got 0.0"),
        ({"temperature": math.nan}, "temperature must be a finite number above 0, got nan"),
        ({"kind": "jensen-shannon", "beta": 0.0}, "kind='forward'"),
        ({"kind": "jensen-shannon", "beta": 1.0}, "kind='reverse'"),
        ({"kind": "jensen-shannon", "beta": 1.5}, "beta is the teacher's share"),
        ({"kind": "jensen-shannon", "beta": -0.1, "rescaled": True}, "beta is the teacher's share"),
        ({"kind": "jensen-shannon", "beta": math.nan}, "beta is the teacher's share"),
        ({"kind": "forward", "rescaled": True}, "rescaled belongs to"),
        ({"mask": np.zeros((2, 5), bool)}, "mean over 0 positions"),
        ({"mask": np.ones((2, 4), bool)}, r"mask has the shape \(2, 4\), the positions \(2, 5\)"),
        ({"mask": np.full((2, 5), 0.5)}, "True and False"),
        ({"teacher_logits": TEACHER[..., :-1]}, "student chooses among 23 tokens and the teacher among 22"),
        ({"teacher_logits": TEACHER[:1]}, "must be equal"),
        ({"student_logits": np.where(STUDENT > 5, np.nan, STUDENT)}, "student's logits at .* no distribution"),
        ({"teacher_logits": np.full(TEACHER.shape, -np.inf)}, r"teacher's logits at \(0, 0\) are no distribution"),
    ],
)
def test_what_is_refused_is_named(change, message):
    given = {"student_logits": STUDENT, "teacher_logits": TEACHER, **change}
    with pytest.raises(ValueError, match=message):
        A.distillation_loss(**given)


# --- States


def test_cosine_loss():
    lfs.gradcheck(lambda s, t: A.cosine_loss(s, t, MASK), STUDENT, TEACHER)
    assert A.cosine_loss(STUDENT, STUDENT * 7).item() == pytest.approx(0.0, abs=1e-12)
    assert A.cosine_loss(STUDENT, -STUDENT).item() == pytest.approx(2.0)
    for dtype in (np.float32, np.float64):
        nothing = Tensor(np.zeros((2, 3), dtype), requires_grad=True)
        loss = A.cosine_loss(nothing, np.ones((2, 3), dtype))
        loss.backward()
        assert loss.item() == 1.0 and loss.dtype == dtype and np.isfinite(nothing.grad).all()
    with pytest.raises(ValueError, match="must be equal"):
        A.cosine_loss(np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(ValueError, match="mean over 0 positions"):
        A.cosine_loss(STUDENT, TEACHER, MASK & False)


def test_which_states_are_compared():
    student, teacher = tiny("gpt2", layers=2), tiny("llama-2-70b", layers=6)
    assert pair_layers(student, teacher, "last") == [(2, 6)]
    assert pair_layers(student, teacher, "even") == [(1, 3), (2, 6)]
    assert pair_layers(student, teacher, {0: 0, -1: -1}) == [(0, 0), (2, 6)]
    for layers, message in (({3: 1}, "student has the states 0 to 2"), ({1: 7}, "teacher has the"), ({}, "empty")):
        with pytest.raises(ValueError, match=message):
            pair_layers(student, teacher, layers)
    with pytest.raises(ValueError, match="states have 16 entries and the teacher's 32"):
        pair_layers(student, tiny("gpt2", width=32), "last")


# --- The objective


def test_an_objective_is_the_sum_of_its_parts():
    student, teacher, batch = tiny("gpt2", seed=2), tiny("llama-2-70b"), answers()
    counts = batch["targets"] != -100
    logits, wanted = student(batch["ids"]), teacher(batch["ids"])
    soft = A.distillation_loss(logits, wanted, counts, kind="jensen-shannon", beta=0.3, temperature=2.0).item()
    hard = F.cross_entropy(logits, batch["targets"]).item()
    with student.record() as ours, teacher.record() as theirs:
        student(batch["ids"]), teacher(batch["ids"])
    cosine = [A.cosine_loss(ours["hidden"][k], theirs["hidden"][k], counts).item() for k in (1, 2)]
    settings = {"kind": "jensen-shannon", "beta": 0.3, "temperature": 2.0}
    for weights, layers, wanted in (
        ((1.0, 0.0, 0.0), "last", soft),
        ((0.0, 1.0, 0.0), "last", hard),
        ((0.0, 0.0, 1.0), "last", cosine[1]),
        ((5.0, 2.0, 1.0), "even", 5 * soft + 2 * hard + (cosine[0] + cosine[1]) / 2),
    ):
        aim = A.distil(teacher, soft=weights[0], hard=weights[1], states=weights[2], layers=layers, **settings)
        assert aim(student, batch, normaliser=counts.sum()).item() == pytest.approx(wanted, rel=1e-12)
    assert student.token_log_probabilities(batch).data.sum() / -counts.sum() == pytest.approx(hard, rel=1e-12)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_objective_learns_on_every_family(name):
    student, teacher, batch = tiny(name, seed=2), tiny(name, seed=3), answers()
    aim = A.distil(teacher, temperature=2.0, hard=0.3, states=0.5, layers="even")
    numeric, analytic = slopes(aim, student, batch)
    assert abs(analytic) > 1e-3
    assert numeric == pytest.approx(analytic, rel=2e-6)
    assert all(parameter.grad is None for parameter in teacher.parameters())


@pytest.mark.parametrize("weights", [{"soft": 1.0}, {"soft": 0.0, "states": 1.0}, {"soft": 0.5, "hard": 0.5}])
def test_a_student_with_experts_is_balanced_as_it_asks(weights):
    def mixture(seed, balance):
        asks = {"output_router_logits": True, "router_aux_loss_coef": balance}
        return tiny("mixtral-8x7b", seed=seed, changes=asks)

    teacher, batch = mixture(3, 0.5), answers()  # whose own balance is nobody's business
    aim, count = A.distil(teacher, **weights), float((batch["targets"] != -100).sum())
    asking, silent = mixture(2, 0.5), mixture(2, 0.0)
    balance = asking.loss(batch) - asking.loss(batch, auxiliary=False)
    assert balance.item() > 0.5  # of 2 experts each token takes
    plain = aim(silent, batch, normaliser=count)
    for share in (1.0, 0.25):  # of a batch of which these rows are a part
        both = aim(asking, batch, normaliser=count / share).item()
        assert both == pytest.approx(share * (plain + balance).item(), rel=1e-12)
    with lfs.no_grad():  # an evaluation stays comparable
        assert aim(asking, batch, normaliser=count).item() == pytest.approx(plain.item(), rel=1e-12)
    numeric, analytic = slopes(aim, asking, batch)
    assert numeric == pytest.approx(analytic, rel=2e-6)
    alone = A.distil(None, soft=0.0, hard=1.0)(asking, batch, normaliser=count).item()
    assert alone == pytest.approx(asking.loss(batch).item(), rel=1e-12)


@pytest.mark.parametrize("threads", [2, 3])
def test_shards_and_micro_batches_add_up(threads):
    teacher, batch = tiny("gpt2"), answers(rows=5)
    aim = A.distil(teacher, temperature=2.0, hard=0.3, states=0.5)

    def gradients(parts, **settings):
        student = tiny("mamba-2.8b", seed=2)
        loss = sum(
            lfs.accumulate_gradients(
                student, {n: a[rows] for n, a in batch.items()}, objective=aim, normaliser=aim.count(batch), **settings
            )
            for rows in parts
        )
        return loss, [p.grad for p in student.parameters()]

    whole, wanted = gradients([slice(None)], threads=1)
    for parts in ([slice(None)], [slice(0, 1), slice(1, 5)]):
        loss, found = gradients(parts, threads=threads)
        assert loss == pytest.approx(whole, rel=1e-12)
        for ours, theirs in zip(found, wanted):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-11 * np.abs(theirs).max())


def test_padding_and_packing_reach_the_teacher():
    """What the batch says beside ids is said to both."""
    teacher = tiny("gpt2")
    ids = np.array([[1, 2, 3, 4, 5, 6]])
    packed = {"ids": ids, "targets": ids + 1, "segments": np.array([[0, 0, 0, 1, 1, 1]])}
    apart = {"ids": ids.reshape(2, 3), "targets": ids.reshape(2, 3) + 1}
    aim = A.distil(teacher, states=1.0)
    for student in (tiny("llama-2-70b", seed=2), tiny("mamba-2.8b", seed=2)):
        losses = [aim(student, batch, normaliser=6).item() for batch in (packed, apart)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-12)


def test_dropout_is_the_students_alone():
    student = tiny("gpt2", seed=2)
    assert student.spec.embedding_dropout > 0
    aim, batch = A.distil(student), answers()
    assert aim(student, batch, normaliser=1.0).item() == pytest.approx(0.0, abs=1e-12)
    assert aim(student, batch, normaliser=1.0, rng=np.random.default_rng(0)).item() > 0.01


def test_a_student_that_does_not_fit_is_refused_before_anything_runs(monkeypatch):
    batch = answers(vocabulary=30)
    for teacher, settings, message in (
        (tiny("gpt2", vocabulary=VOCABULARY + 1), {}, "student chooses among 40 tokens and the teacher among 41"),
        (tiny("gpt2", width=32), {"states": 1.0}, "a cosine compares equal widths"),
        (tiny("gpt2"), {"states": 1.0, "layers": {9: 1}}, "student has the states 0 to 2"),
    ):
        monkeypatch.setattr(type(teacher), "_hidden", lambda *a, **k: pytest.fail("the teacher ran"))
        with pytest.raises(ValueError, match=message):
            A.distil(teacher, **settings)(tiny("llama-2-70b"), batch, normaliser=1.0)
        monkeypatch.undo()
    # Another vocabulary does not matter to who looks at states alone.
    other = tiny("gpt2", vocabulary=VOCABULARY + 1)
    assert A.distil(other, soft=0.0, states=1.0)(tiny("gpt2"), batch, normaliser=1.0).item() > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"soft": -1.0}, "soft is the weight"),
        ({"hard": math.inf}, "hard is the weight"),
        ({"soft": 0.0}, "nothing is left to learn from"),
        ({"layers": "all"}, "layers must be"),
        ({"kind": "jensen-shannon", "beta": 0.0}, "kind='forward'"),
    ],
)
def test_settings_are_checked_when_the_objective_is_made(settings, message):
    with pytest.raises(ValueError, match=message):
        A.distil(None, **settings)
