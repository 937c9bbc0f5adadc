"""Chapter 5 exercises: the optimiser that trains every model of this book.

Everything here is a pure function: state goes in, new state comes out, and no array that was handed in is
changed. Steps of the optimiser are counted from 1, as in the paper; steps of the schedule from 0, as in a
training loop. float32 goes in, float32 comes out.

Symbols (Kingma & Ba 2014, arXiv:1412.6980): theta is `parameter`, g `gradient`, alpha `lr`, t `step`.
"""

from __future__ import annotations

import math

import numpy as np

from llm_from_scratch.grading import task


@task(
    points=3,
    difficulty="medium",
    minutes=25,
    hints={
        "first_step_is_the_learning_rate: m or v or both are not corrected": (
            "m and v start at zero, so after the first step they hold only 0.1 g and 0.001 g^2. Divide them "
            "by 1 - beta1**step and 1 - beta2**step before use."
        ),
        "averages: the first step is right, m and v are not": (
            "Return m and v as they are, without the correction. The correction is made anew from the plain "
            "averages at every step."
        ),
        "RuntimeWarning: divide by zero": (
            "`step` is 1 at the first update, so that 1 - beta**step is not zero. Add no 1 to it, take none away."
        ),
        "tiny_gradients_show_eps: wrong for tiny gradients only": (
            "eps stands beside the root, sqrt(v_hat) + eps, not under it."
        ),
        "keeps_float32: must have dtype float32, got float64": (
            "Python floats such as 0.9 leave float32 arrays alone; NumPy's float64 scalars do not. Does "
            "np.sqrt or np.power of a plain number occur? Use ** instead."
        ),
    },
    why="""Dividing by sqrt(v) makes the step independent of the gradient's scale: each parameter moves by
    about lr, whether its gradients are large or small. Without the correction the first steps would be lr *
    0.1 / sqrt(0.001), three times too large, exactly when the averages know least. The sequence matters, too:
    v sees only past and present, so one enormous gradient is divided by its own size.""",
)
def adam_step(
    parameter: np.ndarray,
    gradient: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    step: int,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One update by Adam, with bias correction.

    parameter, gradient, m, v: (...), all of one shape and dtype; m and v are zeros before the first step
    step: 1 for the first update
    returns: the new parameter, m and v, as new arrays

    m and v are running averages of the gradient and of its square. Both start at zero and are therefore too
    small at first; what the parameter moves by uses them divided by 1 - beta**step. eps is added to the root
    of the corrected v.

    >>> zero = np.zeros(2)
    >>> parameter, m, v = adam_step(np.array([1.0, 1.0]), np.array([4.0, -0.01]), zero, zero, step=1, lr=0.1)
    >>> parameter.round(4), m.round(4), v.round(7)     # the first step is lr everywhere, whatever the scale
    (array([0.9, 1.1]), array([ 0.4  , -0.001]), array([1.6e-02, 1.0e-07]))
    """
    m = beta1 * m + (1 - beta1) * gradient
    v = beta2 * v + (1 - beta2) * gradient**2
    m_hat = m / (1 - beta1**step)
    v_hat = v / (1 - beta2**step)
    return parameter - lr * m_hat / (np.sqrt(v_hat) + eps), m, v


@task(
    points=2,
    difficulty="easy",
    minutes=15,
    uses=("adam_step",),
    hints={
        "decay_beside_the_step: the decay was added to the gradient": (
            "Adding weight_decay * parameter to the gradient is L2 regularisation. The decay of AdamW never "
            "touches the gradient: it is subtracted from the parameter beside the step."
        ),
        "decay_alone: the decay is not multiplied by lr": (
            "The decay is scaled by the learning rate, as the step is: lr * weight_decay * parameter."
        ),
        "decay_beside_the_step: the parameter was decayed after Adam had moved it": (
            "Decay the parameter that came in, not the one Adam has already moved."
        ),
    },
    why="""In Adam an L2 term inside the gradient is divided by sqrt(v) like everything else, so parameters
    with large gradients are hardly decayed and rarely used ones strongly: the opposite of what was meant.
    Outside, the decay shrinks all weights at the same rate, and lr and weight_decay can be tuned almost
    independently (Loshchilov & Hutter 2017, arXiv:1711.05101).""",
)
def adamw_step(
    parameter: np.ndarray,
    gradient: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    step: int,
    lr: float,
    weight_decay: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One update by AdamW: Adam's step, and beside it a decay of lr * weight_decay * parameter.

    Shapes, dtypes and results as in `adam_step`, which does most of the work. The parameter that decays is
    the one that was handed in. m and v know nothing of the decay.

    >>> zero = np.zeros(1)
    >>> adamw_step(np.array([2.0]), zero, zero, zero, step=1, lr=0.1, weight_decay=0.5)[0]  # 2 - 0.1*0.5*2
    array([1.9])
    """
    moved, m, v = adam_step(parameter, gradient, m, v, step, lr, beta1, beta2, eps)
    return moved - lr * weight_decay * parameter, m, v


@task(
    points=3,
    difficulty="medium",
    minutes=25,
    hints={
        "below_the_limit: small gradients are scaled up to the limit": (
            "Scale only if the norm is above the limit. limit / norm is larger than 1 below it."
        ),
        "above_the_limit: each array was clipped by its own norm": (
            "There is one norm for all arrays together: the root of the sum of all squares. Only then the "
            "direction of the whole step is kept."
        ),
        "zero_gradients: expected 0, got nan": "0 / 0 is not a number. Below the limit no division is needed at all.",
        "large_float32: a norm of inf although every value is finite": (
            "1e25 squared does not fit into float32. Sum the squares in float64: np.square(g, dtype=np.float64)."
        ),
        "rejects_non_finite: a gradient with nan must raise ValueError": (
            "Comparisons with nan are false, so `if norm > limit` lets nan through. Ask math.isfinite(norm)."
        ),
        "keeps_float32_in_clip: must have dtype float32, got float64": (
            "np.sqrt returns a NumPy float64, which turns a float32 array into float64 when multiplied. "
            "math.sqrt returns a Python float, which does not."
        ),
    },
    why="""A single bad batch can have gradients a hundred times the usual size. Clipping the norm shortens
    the step and keeps its direction; clipping each value or each array would bend it. Reporting the norm
    before clipping costs nothing, and its curve is the first place where a diverging run shows. A non-finite
    gradient must stop the run here: scaled by limit / inf it would become zeros and nans, and the moments of
    Adam would never get rid of them.""",
)
def clip_by_global_norm(gradients: list[np.ndarray], limit: float) -> tuple[list[np.ndarray], float]:
    """Scale all gradients by one factor so that their joint norm is at most `limit`.

    gradients: arrays of any shapes; limit: positive
    returns: new arrays of the same shapes and dtypes, and the norm before clipping as a Python float

    The joint norm is the root of the sum of the squares of all numbers in all arrays, summed in float64. At
    or below the limit the values stay exactly as they are. If the norm is inf or nan, raises ValueError.

    >>> clipped, norm = clip_by_global_norm([np.array([3.0]), np.array([[0.0, 4.0]])], limit=1.0)
    >>> [g.tolist() for g in clipped], norm
    ([[0.6000000000000001], [[0.0, 0.8]]], 5.0)
    """
    norm = math.sqrt(sum(float(np.sum(np.square(g, dtype=np.float64))) for g in gradients))
    if not math.isfinite(norm):
        raise ValueError(f"the gradients must be finite, but their norm is {norm}")
    factor = limit / norm if norm > limit else 1.0
    return [g * factor for g in gradients], norm


@task(
    points=2,
    difficulty="easy",
    minutes=20,
    hints={
        "warmup: step 0 has a rate of 0": (
            "That would waste a batch. Step 0 already gets 1 / warmup_steps of the peak: (step + 1) / warmup_steps."
        ),
        "ZeroDivisionError": (
            "warmup_steps may be 0, and total_steps may equal warmup_steps. Divide only in the branch where "
            "the divisor is known to be positive."
        ),
        "stays_at_the_floor: the rate rises again after total_steps": (
            "The cosine goes on for ever; the schedule does not. From total_steps on, return the floor."
        ),
        "decay: the cosine begins at step 0 instead of after the warmup": (
            "The cosine begins where the warmup ends: progress = (step - warmup_steps) / (total_steps - warmup_steps)."
        ),
        "decay: right at the peak, wrong on the way down": (
            "(1 + cos(pi * progress)) / 2 falls from 1 to 0. Let it scale peak - floor, and add the floor."
        ),
    },
    why="""Early gradients are large and Adam's averages are still young, so the first steps are kept small:
    without warmup, the first hundred steps can do damage that takes thousands to repair. At the end a small
    rate lets the noise of the batches average out, and the loss falls once more. The cosine has no deeper
    reason than being smooth at both ends.""",
)
def cosine_schedule(step: int, peak: float, warmup_steps: int, total_steps: int, floor: float = 0.0) -> float:
    """The learning rate at a step: a linear warmup, then half a cosine down to the floor.

    step: 0 for the first step of training; 0 <= warmup_steps <= total_steps
    returns: (step + 1) / warmup_steps of the peak while step < warmup_steps; then a cosine that is at the
        peak when step == warmup_steps and reaches the floor at total_steps; from there on the floor

    >>> [round(cosine_schedule(step, 1.0, 2, 6, floor=0.2), 3) for step in range(8)]
    [0.5, 1.0, 1.0, 0.883, 0.6, 0.317, 0.2, 0.2]
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    if step >= total_steps:
        return floor
    progress = (step - warmup_steps) / (total_steps - warmup_steps)
    return floor + (peak - floor) * (1 + math.cos(math.pi * progress)) / 2
