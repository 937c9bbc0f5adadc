"""Sending each token to a few of many experts, and putting the answers together again.

`top_k` chooses, `routing_weights` says how much each choice counts, `dispatch` hands every expert the rows it was
chosen for (and only those), `combine` adds the answers up. `load_balancing_loss` is what keeps a router from sending
everything to one expert. What an expert computes is not known here: `layers.mixture` puts feed-forward parts between.

Glossary: N tokens, E experts, k of them chosen for each token, R = N k rows of work.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..autograd import primitive
from ..checks import floating
from ..kernels import softmax as kernels


def top_k(scores: np.ndarray, k: int) -> np.ndarray:
    """The k best columns of each row, best first: scores (N, E) -> (N, k) integers. Ties go to the lower number.

    >>> top_k(np.array([[0.1, 0.7, 0.2], [0.5, 0.5, 0.5]]), 2)
    array([[1, 2],
           [0, 1]])
    """
    floating("top_k", scores)
    if scores.ndim != 2 or not 1 <= k <= scores.shape[1]:
        raise ValueError(f"top_k chooses 1 <= k <= E columns of scores (N, E), got k = {k} and scores {scores.shape}")
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


@primitive
def routing_weights(logits, experts, /):
    """How much each chosen expert counts: logits (N, E), experts (N, k) different integers in a row -> (N, k).

    A softmax over all experts, of which the chosen are kept and divided by their sum. That is the softmax over the
    chosen logits alone, since e^a / (e^a + e^b) does not know what was left out. Each row sums to 1; with k = 1 the
    weight is always 1, and no gradient reaches the router by this way.

    >>> routing_weights(np.log([[1.0, 6.0, 2.0]]), np.array([[1, 2]]))
    Tensor([[0.75, 0.25]])

    Source: Jiang et al. 2024, arXiv:2401.04088, section 2.1.
    """
    floating("routing_weights", logits)
    check_experts(experts, logits.shape)
    weights = kernels.softmax(np.take_along_axis(logits, experts, axis=1))
    return weights, (weights, experts, logits.shape)


@routing_weights.backward
def _(dy, saved, needs):
    weights, experts, shape = saved
    dlogits = np.zeros(shape, dy.dtype)
    dchosen = weights * (dy - (dy * weights).sum(axis=1, keepdims=True))
    np.put_along_axis(dlogits, experts, dchosen, axis=1)  # the experts of a row differ, so nothing is overwritten
    return dlogits, None


@routing_weights.example
def _(rng):
    return (rng.normal(size=(3, 4)), np.array([[1, 3], [0, 2], [3, 0]])), {}


@routing_weights.example
def _(rng):
    return (rng.normal(size=(2, 3)), np.array([[2, 1, 0], [0, 1, 2]])), {}


@dataclass(frozen=True)
class Assignment:
    """Who works on what. The R rows of work lie expert by expert, each expert's tokens in order.

    tokens (R,): the token of each row. slots (N, k): the row of each token's j-th choice. counts (E,): rows an expert.
    """

    tokens: np.ndarray
    slots: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, experts: np.ndarray, count: int) -> Assignment:
        """The assignment of experts (N, k) among `count` experts.

        >>> plan = Assignment.of(np.array([[2, 0], [2, 1], [0, 2]]), 3)
        >>> plan.counts, plan.tokens                     # expert 0: tokens 0, 2; expert 1: token 1; expert 2: all
        (array([2, 1, 3]), array([0, 2, 1, 0, 1, 2]))
        >>> plan.slots[1].tolist()                       # token 1: its first choice is row 4, its second row 2
        [4, 2]
        """
        check_experts(experts, (len(experts), count))
        flat = experts.reshape(-1)
        order = np.argsort(flat, kind="stable")
        slots = np.empty_like(order)
        slots[order] = np.arange(len(order))
        counts = np.bincount(flat, minlength=count)
        made = cls(order // experts.shape[1], slots.reshape(experts.shape), counts)
        for array in (made.tokens, made.slots, made.counts):
            array.flags.writeable = False  # forward and backward follow one plan
        return made

    def split(self, rows: np.ndarray) -> tuple[np.ndarray, ...]:
        """Rows (R, …) as one view an expert."""
        ends = np.cumsum(self.counts)
        return tuple(rows[end - size : end] for end, size in zip(ends, self.counts))


@primitive
def dispatch(x, /, *, plan):
    """Each expert's rows: x (N, D) -> a tuple of E arrays (rows of that expert, D), some perhaps empty.

    >>> plan = Assignment.of(np.array([[1], [0], [1]]), 3)
    >>> for rows in dispatch([[1.0], [2.0], [3.0]], plan=plan):
    ...     print(rows.data.ravel())
    [2.]
    [1. 3.]
    []
    """
    floating("dispatch", x)
    if x.ndim != 2 or len(x) != len(plan.slots):
        raise ValueError(f"dispatch: the plan is for {len(plan.slots)} tokens, the input has shape {x.shape}")
    return plan.split(x[plan.tokens]), plan


@dispatch.backward
def _(dys, plan, needs):
    # A token was copied to k experts, so its gradient is the sum over its k rows: looked up, not scattered.
    return (_sum_of_rows(_joined(dys), plan.slots),)


def _example_plan() -> Assignment:
    return Assignment.of(np.array([[0, 3], [3, 0], [0, 1], [1, 3]]), 4)  # nobody comes to expert 2


dispatch.example(lambda rng: ((rng.normal(size=(4, 3)),), {"plan": _example_plan()}))
dispatch.example(lambda rng: ((rng.normal(size=(3, 2)),), {"plan": Assignment.of(np.zeros((3, 1), np.int64), 1)}))


@primitive
def combine(weights, /, *outputs, plan):
    """y[n] = Σ_j weights[n, j] · (what token n's j-th expert said): weights (N, k), E outputs (rows, D) -> (N, D).

    >>> plan = Assignment.of(np.array([[1, 0], [0, 1]]), 2)
    >>> combine([[0.75, 0.25], [0.5, 0.5]], [[10.0], [20.0]], [[1.0], [2.0]], plan=plan)
    Tensor([[ 3.25],
            [11.  ]])
    """
    floating("combine", weights, *outputs)
    shapes = [(int(size), outputs[0].shape[-1]) for size in plan.counts] if outputs else []
    if weights.shape != plan.slots.shape or [output.shape for output in outputs] != shapes:
        raise ValueError(
            f"combine: weights {plan.slots.shape} and outputs of {plan.counts.tolist()} rows belong to this plan, "
            f"got weights {weights.shape} and outputs {[output.shape for output in outputs]}"
        )
    rows = _joined(outputs)
    y = weights[:, :1] * rows[plan.slots[:, 0]]
    for j in range(1, weights.shape[1]):
        y += weights[:, j : j + 1] * rows[plan.slots[:, j]]
    return y, (weights, rows, plan)


@combine.backward
def _(dy, saved, needs):
    weights, rows, plan = saved
    dweights = None
    if needs[0]:
        chosen = (rows[plan.slots[:, j]] for j in range(weights.shape[1]))
        dweights = np.stack([np.einsum("nd,nd->n", dy, said) for said in chosen], axis=1)
    if not any(needs[1:]):
        return dweights, *(None for _ in needs[1:])
    counted = np.empty(len(rows), weights.dtype)
    counted[plan.slots] = weights  # the weight of each row of work
    drows = dy[plan.tokens]
    drows *= counted[:, None]
    return dweights, *(part if need else None for part, need in zip(plan.split(drows), needs[1:]))


@combine.example
def _(rng):
    plan = _example_plan()
    return (rng.normal(size=(4, 2)), *(rng.normal(size=(int(size), 3)) for size in plan.counts)), {"plan": plan}


@primitive
def load_balancing_loss(logits, experts, mask=None, /):
    """E · Σ_e f_e P_e: k where the load is even, up to E where everything goes to the same experts.

    logits (M, E) of the router, experts (M, k) chosen by it, mask (M,) True where a token counts (None: all) -> one
    number. f_e: assignments to expert e per token (they sum to k). P_e: the mean probability the router gave it. The
    gradient flows through P alone, for f is a count: it lowers the probability of whoever has too much to do.

    >>> logits = np.log([[3.0, 1.0], [3.0, 1.0]])        # both tokens to expert 0, with probability 3/4
    >>> load_balancing_loss(logits, np.array([[0], [0]]))
    Tensor(1.5)

    Source: Fedus et al. 2021, arXiv:2101.03961, eq. 4 to 6; with k > 1 as in the transformers library.
    """
    floating("load_balancing_loss", logits)
    check_experts(experts, logits.shape)
    counted = np.ones(len(logits), bool) if mask is None else mask
    if counted.shape != logits.shape[:1] or counted.dtype != bool:
        raise ValueError(
            f"load_balancing_loss: a mask of {len(logits)} booleans was expected, got {counted.dtype}{counted.shape}"
        )
    tokens = int(counted.sum())
    if tokens == 0:
        raise ValueError("load_balancing_loss: no token counts, and the load of nothing is undefined")
    probabilities = kernels.softmax(logits)
    share = np.bincount(experts[counted].reshape(-1), minlength=logits.shape[1]) / tokens
    mean = probabilities[counted].sum(axis=0, dtype=np.float64) / tokens
    loss = np.asarray(logits.shape[1] * (share @ mean), dtype=logits.dtype)
    return loss, (probabilities, share.astype(logits.dtype), counted, tokens)


@load_balancing_loss.backward
def _(dy, saved, needs):
    # d(Σ_e f_e p_e)/dz_j = p_j (f_j - Σ_e f_e p_e), for the softmax p of one token's logits z
    probabilities, share, counted, tokens = saved
    dlogits = probabilities * (share - (probabilities @ share)[:, None])
    dlogits *= (counted * (dy * len(share) / tokens))[:, None].astype(dlogits.dtype)
    return dlogits, None, None


@load_balancing_loss.example
def _(rng):
    # The choice is given, so that moving a logit cannot change it: central differences then see P alone.
    return (rng.normal(size=(4, 3)), np.array([[0, 1], [2, 0], [0, 2], [1, 0]])), {}


@load_balancing_loss.example
def _(rng):
    return (rng.normal(size=(3, 3)), np.array([[0], [2], [0]]), np.array([True, False, True])), {}


def check_experts(experts: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raise unless `experts` are integers (N, k), in each row k different ones in [0, E), for a shape (N, E).

    >>> check_experts(np.array([[0, 4]]), (1, 4))
    Traceback (most recent call last):
    ValueError: expert 4 was chosen, but the experts are 0..3
    """
    if not isinstance(experts, np.ndarray) or experts.dtype.kind not in "iu":
        raise TypeError(
            f"chosen experts are an array of integers, got {getattr(experts, 'dtype', type(experts).__name__)}"
        )
    if len(shape) != 2 or experts.ndim != 2 or len(experts) != shape[0] or not 1 <= experts.shape[1] <= shape[1]:
        raise ValueError(f"chosen experts {experts.shape} do not belong to router logits {shape}: (N, k) and (N, E)")
    if experts.size == 0:
        return
    wrong = experts.max() if experts.max() >= shape[1] else experts.min()
    if not 0 <= wrong < shape[1]:
        raise ValueError(f"expert {int(wrong)} was chosen, but the experts are 0..{shape[1] - 1}")
    ordered = np.sort(experts, axis=1)
    if (ordered[:, 1:] == ordered[:, :-1]).any():
        raise ValueError("an expert was chosen twice for one token")


def _joined(parts: tuple[np.ndarray, ...] | np.ndarray) -> np.ndarray:
    return np.concatenate(parts) if isinstance(parts, tuple) else parts


def _sum_of_rows(rows: np.ndarray, slots: np.ndarray) -> np.ndarray:
    """y[n] = Σ_j rows[slots[n, j]], added in the order of j: (R, D), (N, k) -> (N, D)."""
    y = rows[slots[:, 0]]
    for j in range(1, slots.shape[1]):
        y += rows[slots[:, j]]
    return y
