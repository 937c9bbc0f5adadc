"""What the grader looks at in chapter 5. Nothing is hidden: read on if a message leaves you wondering.

The expected optimiser is written without running averages: as explicit weighted sums over all gradients since
the start, one number at a time. Expected schedules use cos(x/2)^2 instead of (1 + cos x) / 2, and values
known by heart.
"""

from __future__ import annotations

import math

import numpy as np

from llm_from_scratch.grading import (
    CheckFailed,
    check,
    check_close,
    check_equal,
    check_raises,
    check_separate,
    check_that,
    inputs_stay_unchanged,
)


def averages_of(history, beta):
    """The bias-free average with weights beta^age, and the plain one: both as sums over the whole history."""
    weights = [beta ** (len(history) - 1 - i) for i in range(len(history))]
    total = sum(w * g for w, g in zip(weights, history, strict=True))
    return total / sum(weights), total * (1 - beta)


def adam_by_sums(start, gradients, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
    """All parameters on the way, and the plain averages at the end."""
    path = [np.array(start, dtype=np.float64)]
    for t in range(1, len(gradients) + 1):
        m_hat, m = averages_of([g.astype(np.float64) for g in gradients[:t]], beta1)
        v_hat, v = averages_of([g.astype(np.float64) ** 2 for g in gradients[:t]], beta2)
        path.append((1 - lr * weight_decay) * path[-1] - lr * m_hat / (v_hat**0.5 + eps))
    return path[1:], m, v


def three(result, names=("parameter", "m", "v")):
    if type(result) is not tuple or len(result) != 3:
        raise CheckFailed(
            f"the result must be three arrays ({', '.join(names)}), got {type(result).__name__}.",
            "return parameter, m, v",
        )
    return result


def run(step_function, start, gradients, *settings, **more):
    """The learner's parameters on the way, and the last m and v."""
    parameter, m, v = start, np.zeros_like(start), np.zeros_like(start)
    path = []
    for step, gradient in enumerate(gradients, 1):
        parameter, m, v = three(step_function(parameter, gradient, m, v, step, *settings, **more))
        path.append(parameter)
    return path, m, v


# --- adam_step ---


@check("adam_step")
def first_step_is_the_learning_rate(adam_step, rng):
    """with bias correction the first step is lr in every direction, whatever the size of the gradient"""
    start, zero = rng.normal(size=6), np.zeros(6)
    gradient = rng.choice([-1.0, 1.0], size=6) * 10.0 ** rng.integers(-3, 4, size=6)
    got, _, _ = three(adam_step(start, gradient, zero, zero, 1, 0.25))
    causes = {
        "the parameter does not move": start,
        "the parameter moves uphill": start + 0.25 * np.sign(gradient),
        "m is not corrected (divided by 1 - beta1**step)": start - 0.025 * np.sign(gradient),
        "v is not corrected (divided by 1 - beta2**step)": start - 0.25 * math.sqrt(0.001) ** -1 * np.sign(gradient),
        "neither m nor v is corrected": start - 0.025 / math.sqrt(0.001) * np.sign(gradient),
    }
    check_close("the parameter after one step", got, start - 0.25 * np.sign(gradient), 1e-5, causes)


@check("adam_step")
def tiny_gradients_show_eps(adam_step):
    """a gradient as small as eps halves the step: eps stands beside the corrected root"""
    start, zero = np.array([1.0, -1.0]), np.zeros(2)
    got, _, _ = three(adam_step(start, np.array([1e-8, -1e-8]), zero, zero, 1, 0.5))
    causes = {
        "eps stands under the root": start - 0.5 * np.array([1e-8, -1e-8]) / np.sqrt(1e-16 + 1e-8),
        "eps is missing": start - np.array([0.5, -0.5]),
        "eps is added before the correction of v": start - np.array([0.5, -0.5]) / (1 + 1 / math.sqrt(0.001)),
    }
    check_close("the parameter", got, np.array([0.75, -0.75]), 1e-9, causes)


@check("adam_step")
def averages(adam_step, rng):
    """m and v come back as plain running averages"""
    gradients = [rng.normal(size=(2, 3)) + 2 for _ in range(4)]
    _, m, v = run(adam_step, rng.normal(size=(2, 3)), gradients, 0.1)
    _, expected_m, expected_v = adam_by_sums(np.zeros((2, 3)), gradients, 0.1)
    corrected_m, corrected_v = expected_m / (1 - 0.9**4), expected_v / (1 - 0.999**4)
    check_close("m after four steps", m, expected_m, 1e-9, {"m is returned with its correction": corrected_m})
    check_close("v after four steps", v, expected_v, 1e-9, {"v is returned with its correction": corrected_v})


@check("adam_step")
def several_steps(adam_step, rng):
    """five steps, with other betas than usual: agrees with explicit sums over all gradients"""
    start, gradients = rng.normal(size=(3, 2)), [rng.normal(size=(3, 2)) for _ in range(5)]
    settings = {"lr": 0.05, "beta1": 0.8, "beta2": 0.95, "eps": 1e-3}
    path, _, _ = run(adam_step, start, gradients, **settings)
    expected, _, _ = adam_by_sums(start, gradients, **settings)
    usual, _, _ = adam_by_sums(start, gradients, 0.05)
    for step, (got, want, built_in) in enumerate(zip(path, expected, usual, strict=True), 1):
        causes = {"beta1, beta2 and eps are built in: those handed in are not used": built_in}
        check_close(f"the parameter after step {step}", got, want, 1e-9, causes)


@check("adam_step")
def keeps_float32(adam_step, rng):
    """float32 in, float32 out: parameter, m and v"""
    start, gradients = (
        rng.normal(size=4).astype(np.float32),
        [rng.normal(size=4).astype(np.float32) for _ in range(3)],
    )
    path, m, v = run(adam_step, start, gradients, 0.1)
    expected, expected_m, expected_v = adam_by_sums(start, gradients, 0.1)
    check_close("the parameter", path[-1], expected[-1].astype(np.float32), 1e-4)
    check_close("m", m, expected_m.astype(np.float32), 1e-6)
    check_close("v", v, expected_v.astype(np.float32), 1e-7)


# --- adamw_step ---


@check("adamw_step")
def decay_alone(adamw_step):
    """without gradients the parameter shrinks by the factor 1 - lr * weight_decay"""
    start, zero = np.array([2.0, -3.0]), np.zeros(2)
    got, m, v = three(adamw_step(start, zero, zero, zero, 1, 0.1, 0.5))
    causes = {
        "the decay is not multiplied by lr": 0.5 * start,
        "there is no decay": start,
        "the decay goes through the gradient as well": 0.95 * start - 0.1 * np.sign(start),
        "the parameter grows": 1.05 * start,
        "the decay goes through the gradient and is divided by its own size": start - 0.1 * np.sign(start),
    }
    check_close("the parameter", got, 0.95 * start, 1e-9, causes)
    check_equal("m", m, zero)
    check_equal("v", v, zero)


@check("adamw_step")
def decay_beside_the_step(adamw_step, rng):
    """four steps with gradients and a strong decay"""
    start, gradients = rng.normal(size=5) + 2, [rng.normal(size=5) for _ in range(4)]
    path, _, _ = run(adamw_step, start, gradients, 0.3, 0.5)
    expected, _, _ = adam_by_sums(start, gradients, 0.3, weight_decay=0.5)
    l2, _, _ = adam_by_sums(start, [gradients[0] + 0.5 * start], 0.3)
    moved, _, _ = adam_by_sums(start, gradients[:1], 0.3)
    causes = {
        "the decay was added to the gradient (L2), so that Adam divides it by sqrt(v)": l2[0],
        "the parameter was decayed after Adam had moved it": moved[0] * (1 - 0.15),
    }
    for step, (got, want) in enumerate(zip(path, expected, strict=True), 1):
        check_close(f"the parameter after step {step}", got, want, 1e-9, causes if step == 1 else None)


@check("adamw_step")
def averages_know_nothing_of_decay(adamw_step, rng):
    """m and v are those of the gradients alone"""
    start, gradients = rng.normal(size=5) + 2, [rng.normal(size=5) + 1 for _ in range(3)]
    _, m, v = run(adamw_step, start, gradients, 0.3, 0.5)
    _, expected_m, expected_v = adam_by_sums(start, gradients, 0.3)
    check_close("m after three steps", m, expected_m, 1e-9)
    check_close("v after three steps", v, expected_v, 1e-9)


@check("adamw_step")
def settings_are_used(adamw_step, rng):
    """beta1, beta2 and eps reach Adam"""
    start, gradients = rng.normal(size=5), [rng.normal(size=5) for _ in range(3)]
    settings = {"lr": 0.1, "weight_decay": 0.2, "beta1": 0.5, "beta2": 0.8, "eps": 0.01}
    path, _, _ = run(adamw_step, start, gradients, **settings)
    check_close("the parameter after three steps", path[-1], adam_by_sums(start, gradients, **settings)[0][-1], 1e-9)


@check("adamw_step")
def keeps_float32_in_adamw(adamw_step, rng):
    """float32 in, float32 out"""
    start, gradient = rng.normal(size=4).astype(np.float32), rng.normal(size=4).astype(np.float32)
    path, _, _ = run(adamw_step, start, [gradient], 0.1, 0.5)
    expected = adam_by_sums(start, [gradient], 0.1, weight_decay=0.5)[0][0]
    check_close("the parameter", path[0], expected.astype(np.float32), 1e-4)


# --- clip_by_global_norm ---


def some_gradients(rng, norm, dtype=np.float64):
    """Three arrays of different shapes and sizes whose joint norm is `norm`."""
    arrays = [rng.normal(size=(2, 3)), 5 * rng.normal(size=4), 0.1 * rng.normal(size=(1, 2, 2))]
    length = math.sqrt(math.fsum(x * x for a in arrays for x in a.ravel().tolist()))
    return [(a * (norm / length)).astype(dtype) for a in arrays]


def pair(result):
    if type(result) is not tuple or len(result) != 2:
        raise CheckFailed(
            f"the result must be a pair (arrays, norm), got {type(result).__name__}.", "return clipped, norm"
        )
    check_that(
        type(result[0]) is list,
        f"the arrays must come back in a list, got {type(result[0]).__name__}.",
        "wrap it in list(...)",
    )
    check_that(len(result[0]) == 3, f"three arrays went in, {len(result[0])} came back.")
    return result


def compare_clipped(got, gradients, factor, within=1e-9):
    for i, (g, array) in enumerate(zip(got, gradients, strict=True)):
        causes = {
            "nothing was clipped": array,
            "each value was clipped by itself": np.clip(array, -2, 2),
            "each array was clipped by its own norm": array * min(1.0, 2.0 / np.linalg.norm(array)),
        }
        check_close(f"clipped[{i}]", g, array * factor, within * float(np.abs(array * factor).max()), causes)


@check("clip_by_global_norm")
def above_the_limit(clip_by_global_norm, rng):
    """a joint norm of 10 with limit 2: everything is multiplied by 0.2"""
    gradients = some_gradients(rng, 10.0)
    clipped, _ = pair(clip_by_global_norm(gradients, 2.0))
    compare_clipped(clipped, gradients, 0.2)


@check("clip_by_global_norm")
def just_above_the_limit(clip_by_global_norm, rng):
    """a joint norm of 2.5 with limit 2, though each single array is below it or near"""
    gradients = some_gradients(rng, 2.5)
    clipped, _ = pair(clip_by_global_norm(gradients, 2.0))
    compare_clipped(clipped, gradients, 0.8)


@check("clip_by_global_norm")
def below_the_limit(clip_by_global_norm, rng):
    """joint norms of 0.5 and 1.9 with limit 2: every value stays exactly as it is"""
    for norm in (0.5, 1.9):
        gradients = some_gradients(rng, norm)
        clipped, _ = pair(clip_by_global_norm(gradients, 2.0))
        for i, gradient in enumerate(gradients):
            causes = {"small gradients are scaled up to the limit": gradient * (2.0 / norm)}
            check_close(f"clipped[{i}] for a norm of {norm}", clipped[i], gradient, 1e-9, causes)
            check_equal(f"clipped[{i}] for a norm of {norm}", clipped[i], gradient)


@check("clip_by_global_norm")
def exactly_at_the_limit(clip_by_global_norm):
    """a joint norm of exactly 5 with limit 5: every value stays exactly as it is, to the last digit"""
    gradients = [np.array([3.0, 0.0]), np.array([[4.0]]), np.zeros(1)]
    clipped, norm = pair(clip_by_global_norm(gradients, 5.0))
    check_equal("the norm", norm, 5.0)
    for i, gradient in enumerate(gradients):
        causes = {"something was added to the norm: limit / (norm + 1e-6)": gradient * (5.0 / (5.0 + 1e-6))}
        check_equal(f"clipped[{i}]", clipped[i], gradient, causes)


@check("clip_by_global_norm")
def reports_the_norm_before_clipping(clip_by_global_norm, rng):
    """the second result is the joint norm before clipping, a Python float"""
    for norm in (10.0, 0.5):
        _, got = pair(clip_by_global_norm(some_gradients(rng, norm), 2.0))
        check_that(type(got) is float, f"the norm must be a Python float, got {type(got).__name__}.", "float(...)")
        check_close(
            "the norm",
            got,
            norm,
            1e-12,
            {
                "this is the square of the norm: the root is missing": norm**2,
                "this is the norm after clipping": min(norm, 2.0),
            },
        )


@check("clip_by_global_norm")
def zero_gradients(clip_by_global_norm):
    """all zeros stay zeros, with norm 0"""
    gradients = [np.zeros((2, 2)), np.zeros(3), np.zeros((1, 1))]
    clipped, norm = pair(clip_by_global_norm(gradients, 1.0))
    for i in range(3):
        check_equal(f"clipped[{i}]", clipped[i], gradients[i])
    check_that(norm == 0, f"the norm of zeros must be 0, got {norm}.")


@check("clip_by_global_norm")
def rejects_non_finite(clip_by_global_norm):
    """nan and inf raise ValueError, wherever they stand"""
    for bad in (math.nan, math.inf, -math.inf):
        for where in range(3):
            gradients = [np.ones(2), np.ones(2), np.ones(2)]
            gradients[where][1] = bad
            check_raises(
                f"a gradient with {bad}",
                ValueError,
                clip_by_global_norm,
                gradients,
                1.0,
                cause="every comparison with nan is false; ask math.isfinite(norm).",
            )


@check("clip_by_global_norm")
def large_float32(clip_by_global_norm):
    """values whose squares do not fit into float32 are clipped all the same"""
    gradients = [np.array([3e25, 0.0], np.float32), np.array([[4e25]], np.float32), np.zeros(1, np.float32)]
    clipped, norm = pair(clip_by_global_norm(gradients, 10.0))
    check_close("the norm", norm, 5e25, 1e20)
    check_close("clipped[0]", clipped[0], np.array([6.0, 0.0], np.float32), 1e-5)
    check_close("clipped[1]", clipped[1], np.array([[8.0]], np.float32), 1e-5)


@check("clip_by_global_norm")
def keeps_float32_in_clip(clip_by_global_norm, rng):
    """float32 in, float32 out, above the limit and below"""
    for norm, factor in ((10.0, 0.2), (0.5, 1.0)):
        gradients = some_gradients(rng, norm, np.float32)
        clipped, _ = pair(clip_by_global_norm(gradients, 2.0))
        compare_clipped(clipped, gradients, np.float32(factor), within=1e-5)


@check("clip_by_global_norm")
def returns_new_arrays(clip_by_global_norm):
    """even below the limit, the arrays that come back are new ones"""
    gradients = [np.full(2, 0.1), np.full(2, 0.1), np.full(2, 0.1)]
    clipped, _ = pair(clip_by_global_norm.raw(gradients, 1.0))
    check_that(clipped is not gradients, "the list is the very one that was handed in.", "make a new list.")
    for i in range(3):
        check_separate(f"clipped[{i}]", clipped[i], gradients[i])


# --- cosine_schedule ---


def compare_schedule(cosine_schedule, step, expected, peak, warmup, total, floor, causes=None):
    got = cosine_schedule(step, peak, warmup, total, floor)
    check_close(
        f"the rate at step {step} of {total} (peak {peak}, warmup {warmup}, floor {floor})",
        got,
        expected,
        1e-12 * peak,
        causes,
    )


@check("cosine_schedule")
def warmup(cosine_schedule):
    """steps 0, 1, 2, 3 of a warmup of 4: a quarter, half, three quarters, all of the peak"""
    for step in range(4):
        compare_schedule(
            cosine_schedule,
            step,
            2.0 * (step + 1) / 4,
            2.0,
            4,
            100,
            0.5,
            {"step 0 should already get its share: step + 1": 2.0 * step / 4},
        )
    for step in range(7):
        compare_schedule(cosine_schedule, step, 0.3 / 7 * (step + 1), 0.3, 7, 100, 0.05)


@check("cosine_schedule")
def decay(cosine_schedule, rng):
    """after the warmup half a cosine from peak to floor"""
    known = {4: 2.0, 7: 1.25 + 0.75 * math.sqrt(0.5), 8: 1.625, 10: 1.25, 12: 0.875}  # cos: 1, sqrt(1/2), 1/2, 0, -1/2
    for step, expected in known.items():
        way = (step - 4) / 12
        causes = {
            "the rate does not fall": 2.0,
            "this is a straight line": 2.0 - 1.5 * way,
            "this is a quarter of a cosine: half of one is (1 + cos(pi * progress)) / 2": 0.5
            + 1.5 * math.cos(math.pi * way / 2),
            "the cosine begins at step 0 instead of after the warmup": 1.25 + 0.75 * math.cos(math.pi * step / 16),
            "the cosine falls to 0 instead of to the floor": 1.0 + math.cos(math.pi * way),
            "the floor is added to the whole peak: the cosine spans peak - floor": 1.5 + math.cos(math.pi * way),
        }
        compare_schedule(cosine_schedule, step, expected, 2.0, 4, 16, 0.5, causes)
    for _ in range(10):
        warmup_steps, length = (int(n) for n in rng.integers(1, 50, size=2))
        peak, share = float(rng.uniform(0.1, 3)), float(rng.uniform(0.01, 0.5))
        step = warmup_steps + int(rng.integers(0, length))
        angle = math.pi * (step - warmup_steps) / length
        expected = share * peak * math.sin(angle / 2) ** 2 + peak * math.cos(angle / 2) ** 2
        compare_schedule(cosine_schedule, step, expected, peak, warmup_steps, warmup_steps + length, share * peak)


@check("cosine_schedule")
def stays_at_the_floor(cosine_schedule):
    """at total_steps and ever after: the floor"""
    for step in (16, 17, 22, 28, 1000):
        compare_schedule(
            cosine_schedule, step, 0.5, 2.0, 4, 16, 0.5, {"the cosine rises again": 2.0, "it falls to 0": 0.0}
        )


@check("cosine_schedule")
def no_warmup(cosine_schedule):
    """warmup_steps = 0 begins at the peak"""
    compare_schedule(cosine_schedule, 0, 2.0, 2.0, 0, 10, 0.5)
    compare_schedule(cosine_schedule, 5, 1.25, 2.0, 0, 10, 0.5)


@check("cosine_schedule")
def warmup_only(cosine_schedule):
    """warmup_steps = total_steps rises to the peak and drops to the floor"""
    compare_schedule(cosine_schedule, 4, 2.0, 2.0, 5, 5, 0.5)
    compare_schedule(cosine_schedule, 5, 0.5, 2.0, 5, 5, 0.5)


@check("cosine_schedule")
def floor_is_zero_by_default(cosine_schedule):
    """without a floor the rate falls to 0"""
    got = cosine_schedule(10, 2.0, 4, 16)
    check_close("the rate halfway, without a floor", got, 1.0, 1e-12)
    end = cosine_schedule(16, 2.0, 4, 16)
    check_that(isinstance(end, (int, float)) and end == 0, f"the rate at the end must be 0, got {end!r}.")


inputs_stay_unchanged("adam_step", "adamw_step", "clip_by_global_norm")
