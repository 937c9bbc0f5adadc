"""Distillation: a student learns from a teacher's whole distributions, and from its hidden states.

The losses are functions of logits and of states; `distil` puts them together with the cross-entropy into an objective.
How a student learns from texts that a teacher wrote is in `teacher_samples`, from its own texts in `on_policy`.

Glossary: S and T the student's and the teacher's distribution of a token, both flattened by the temperature.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import functional as F
from ..autograd import Tensor, grad_enabled, no_grad
from ..autograd.tensor import as_tensor
from ..layers.mixture import balancing_loss
from ..training import Objective, objective
from ..training.objectives import IGNORE, count_targets
from .checking import mask_like, positive

KINDS = ("forward", "reverse", "jensen-shannon")


def distillation_loss(
    student_logits: Any,
    teacher_logits: Any,
    mask: Any = None,
    *,
    kind: str = "forward",
    temperature: float = 1.0,
    beta: float = 0.5,
    rescaled: bool = False,
    normaliser: float | None = None,
) -> Tensor:
    """The mean divergence of the two over the positions that count, times temperature².

    student_logits, teacher_logits (..., V); mask (...): False or 0 does not count -> a single number. The square of
    the temperature keeps the gradient's size: at temperature t the divergence has about 1 / t² of it.

    kind:        "forward": KL(T | S), under which a student covers all that the teacher may say;
                 "reverse": KL(S | T), under which it keeps to what the teacher is likely to say;
                 "jensen-shannon": beta KL(T | M) + (1 - beta) KL(S | M) with M = beta T + (1 - beta) S, 0 < beta < 1
    rescaled:    divide the last by beta (1 - beta). What it tends to at the ends, beta times the forward and (1 - beta)
                 times the reverse divergence, then becomes the divergence itself, and beta may be 0 ("forward") or 1.
    normaliser:  divide the sum by this instead of the number of positions that count, for shards of one batch

    Raises ValueError for another vocabulary, a mask that lets nothing count, and a beta or temperature out of range.

    >>> student, teacher = np.log([[0.5, 0.5]]), np.log([[0.25, 0.75]])
    >>> distillation_loss(student, teacher)                                  # 3/4 log 3 - log 2
    Tensor(0.1308)
    >>> distillation_loss(student, teacher, kind="jensen-shannon", beta=0.5)
    Tensor(0.0338)

    Source: Hinton, Vinyals & Dean 2015, arXiv:1503.02531; Agarwal et al. 2023, arXiv:2306.13649 (GKD).
    """
    settings = _divergence(kind, temperature, beta, rescaled)
    student, teacher = as_tensor(student_logits), as_tensor(teacher_logits)
    if student.ndim and teacher.ndim and student.shape[-1] != teacher.shape[-1]:
        raise _other_vocabulary(student.shape[-1], teacher.shape[-1])
    counts = mask_like(mask, student.shape[:-1], "the positions")
    normaliser = _normaliser(normaliser, counts)
    scale = temperature**2 / normaliser
    if kind == "jensen-shannon" and not rescaled:
        scale *= beta * (1 - beta)
    return F.skew_divergence(student, teacher, counts, **settings).sum() * scale


def cosine_loss(
    student_states: Any, teacher_states: Any, mask: Any = None, *, normaliser: float | None = None
) -> Tensor:
    """The mean of 1 - cos(student's state, teacher's state) over the positions that count.

    student_states, teacher_states (..., D); mask (...) and normaliser as in `distillation_loss` -> a single number.
    A state of zeros has no direction: its cosine counts as 0.

    >>> cosine_loss([[1.0, 0.0], [3.0, 4.0]], [[1.0, 1.0], [6.0, 8.0]])           # (1 - 0.7071 + 0) / 2
    Tensor(0.1464)

    Source: Sanh et al. 2019, arXiv:1910.01108 (DistilBERT), section 2.
    """
    student, teacher = as_tensor(student_states), as_tensor(teacher_states)
    if student.ndim == 0 or student.shape != teacher.shape:
        raise ValueError(
            f"cosine_loss: states of shapes {student.shape} and {teacher.shape} cannot be compared: "
            "they must be equal, (..., width)"
        )
    counts = mask_like(mask, student.shape[:-1], "the positions")
    normaliser = _normaliser(normaliser, counts)
    tiny = float(np.finfo(student.dtype).tiny) ** 0.5  # below its square a product of lengths is no number any more
    lengths = [F.sqrt((states * states).sum(axis=-1) + tiny) for states in (student, teacher)]
    cosine = (student * teacher).sum(axis=-1) / (lengths[0] * lengths[1])
    return F.where(counts, 1.0 - cosine, np.zeros(counts.shape, student.dtype)).sum() * (1 / normaliser)


def distil(
    teacher: Any,
    *,
    kind: str = "forward",
    temperature: float = 1.0,
    beta: float = 0.5,
    rescaled: bool = False,
    soft: float = 1.0,
    hard: float = 0.0,
    states: float = 0.0,
    layers: str | Mapping[int, int] = "last",
) -> Objective:
    """An objective: soft · divergence from the teacher's logits + hard · cross-entropy + states · cosine.

    Each part is a mean over the targets that count. kind, temperature, beta, rescaled: see `distillation_loss`. The
    teacher reads what the student reads, without dropout; nothing flows into it, and it needs no training memory. A
    student with experts that asks for balance gets it, as in `Decoder.loss`.

    layers: which of the student's states is compared with which of the teacher's. State 0 is what the first layer
    reads, the last is what the final norm gives. "last": the last with the last (DistilBERT); "even": every layer's
    result with that at the same height of the teacher; {student's: teacher's} as one likes (negative: from the end).

    Raises ValueError for weights that are negative or all 0, and when first called with a student that does not fit:
    another vocabulary, other widths (for `states`), layers that are not there.
    """
    settings: dict[str, Any] = {"kind": kind, "temperature": temperature, "beta": beta, "rescaled": rescaled}
    _divergence(**settings)
    weights = {"soft": soft, "hard": hard, "states": states}
    for name, weight in weights.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise ValueError(f"{name} is the weight of a part of the loss, a number of at least 0; got {weight}")
    if not any(weights.values()):
        raise ValueError("soft, hard and states are all 0: nothing is left to learn from")
    if isinstance(layers, str) and layers not in ("last", "even"):
        raise ValueError(f"layers must be 'last', 'even', or {{student's: teacher's}}, got {layers!r}")

    @objective(count=count_targets)
    def distilled(
        student: Any, batch: Mapping[str, Any], *, normaliser: float, rng: np.random.Generator | None = None
    ) -> Tensor:
        if soft:
            check_vocabulary(student, teacher)
        pairs = pair_layers(student, teacher, layers) if states else []
        counts = batch["targets"] != IGNORE
        inputs = {name: array for name, array in batch.items() if name != "targets"}
        ours: list[Tensor] = []
        theirs: list[Tensor] = []
        routed: list[Any] | None = [] if grad_enabled() else None
        read = student.states(inputs, rng=rng, hidden=ours, routed=routed)[counts]
        if soft or states:
            with no_grad():
                shown = teacher.states(inputs, hidden=theirs)[counts]
                wanted = teacher.head(shown) if soft else None
        found = student.head(read) if soft or hard else None
        parts = [balancing_loss(routed) * (float(counts.sum()) / normaliser)] if routed else []
        if soft:
            parts.append(distillation_loss(found, wanted, normaliser=normaliser, **settings) * soft)
        if hard:
            parts.append(F.cross_entropy(found, batch["targets"][counts], normaliser=normaliser) * hard)
        for a, b in pairs:
            parts.append(cosine_loss(ours[a], theirs[b], counts, normaliser=normaliser) * (states / len(pairs)))
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    return distilled


def check_vocabulary(student: Any, teacher: Any) -> None:
    """ValueError unless both choose among equally many tokens: nothing is computed for it."""
    ours, theirs = student.spec.vocab_size, teacher.spec.vocab_size
    if ours != theirs:
        raise _other_vocabulary(ours, theirs)


def pair_layers(student: Any, teacher: Any, layers: str | Mapping[int, int]) -> list[tuple[int, int]]:
    """Which states are compared, as pairs (student's, teacher's) counted from 0; ValueError for what cannot be."""
    ours, theirs = student.spec.hidden_size, teacher.spec.hidden_size
    if ours != theirs:
        raise ValueError(
            f"the student's states have {ours} entries and the teacher's {theirs}: a cosine compares equal widths. "
            "Take a student of the teacher's width, or distil logits alone (states=0)"
        )
    depth = {"student": len(student.spec.layers), "teacher": len(teacher.spec.layers)}
    if layers == "last":
        layers = {depth["student"]: depth["teacher"]}
    elif layers == "even":
        layers = {k: round(k * depth["teacher"] / depth["student"]) for k in range(1, depth["student"] + 1)}
    assert not isinstance(layers, str)
    pairs = []
    for pair in layers.items():
        for (whose, last), k in zip(depth.items(), pair):
            if not -last - 1 <= k <= last:
                raise ValueError(f"layers: the {whose} has the states 0 to {last}, and {k} is none of them")
        pairs.append((pair[0] % (depth["student"] + 1), pair[1] % (depth["teacher"] + 1)))
    if not pairs:
        raise ValueError("layers is empty: name at least one pair of states to compare")
    return pairs


def _divergence(kind: str, temperature: float, beta: float, rescaled: bool) -> dict[str, float]:
    """What `skew_divergence` is called with; ValueError for settings that do not go together."""
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}")
    positive("temperature", temperature)
    if kind != "jensen-shannon":
        if rescaled:
            raise ValueError(f"rescaled belongs to kind='jensen-shannon'; {kind!r} is already what it tends to")
        return {"beta": float(kind == "reverse"), "temperature": temperature}
    if not 0 <= beta <= 1:
        raise ValueError(f"beta is the teacher's share in the mixture and must lie between 0 and 1, got {beta}")
    if beta in (0, 1) and not rescaled:
        raise ValueError(
            f"at beta = {beta:g} the generalised Jensen-Shannon divergence is 0 whatever the student does: "
            f"take kind={'forward' if beta == 0 else 'reverse'!r}, which is what rescaled=True tends to there"
        )
    return {"beta": float(beta), "temperature": temperature}


def _normaliser(normaliser: float | None, counts: np.ndarray) -> float:
    count = int(counts.sum()) if normaliser is None else normaliser
    if not count > 0:
        raise ValueError(
            f"a mean over {count} positions is undefined: the mask lets nothing count, or there is nothing"
        )
    return count


def _other_vocabulary(ours: int, theirs: int) -> ValueError:
    return ValueError(
        f"the student chooses among {ours:,} tokens and the teacher among {theirs:,}: their distributions cannot be "
        "compared. Take a teacher with the same tokenizer, or let the student learn from texts that the teacher wrote"
    )
