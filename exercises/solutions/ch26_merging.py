"""Chapter 26 exercises: one model out of several.

A task vector is what a fine-tune learnt: its weights less those of the base. Several of them, or several models, are
stacked along the first axis: (N, ...), and each may be of any shape. float32 goes in, float32 comes out, and no array
that was handed in is changed.
"""

from __future__ import annotations

import math

import numpy as np

from llm_from_scratch.grading import task


@task(
    points=3,
    difficulty="medium",
    minutes=20,
    hints={
        "by_hand_trimmed: the largest values were kept, not the largest magnitudes": "Compare np.abs(tau), not tau.",
        "by_hand_trimmed: the smallest entries were kept": "Noise is what is small: the large entries stay.",
        "equal_entries": "A threshold keeps all entries that equal it. Sort, and take exactly as many as asked for.",
        "never_nothing": "Of a short vector the share may round down to no entry at all: keep one at least.",
        "any_shape: IndexError": "np.argsort(…, axis=None) sorts the flattened array; kept.flat[…] writes into it.",
    },
    why="""Most entries of a task vector are small and matter little. Trimmed, two of them meet in fewer places. In half
    precision many entries are exactly equal, which is why the rule says what becomes of them; the authors keep all that
    equal the last one, and so a little more than the share.""",
)
def trim(tau: np.ndarray, density: float) -> np.ndarray:
    """Keep the largest entries of a task vector, and set the others to zero.

    tau: any shape, n entries in all; density: in (0, 1], the share kept: int(density * n) entries, at least 1
    returns: as tau; the largest by magnitude, of equal ones those that come first in tau.reshape(-1)

    >>> trim(np.array([1.0, -5.0, 2.0, -2.0]), 0.5)
    array([ 0., -5.,  2.,  0.])
    """
    count = max(1, int(density * tau.size))
    places = np.argsort(-np.abs(tau), axis=None, kind="stable")[:count]
    kept = np.zeros_like(tau)
    kept.flat[places] = tau.flat[places]
    return kept


@task(
    points=2,
    difficulty="easy",
    minutes=10,
    hints={
        "by_hand_elected: the signs were counted, not the mass": "Add the entries themselves, not their signs.",
        "ties: a tie is elected 0": "np.sign(0) is 0: where the sum is not negative the answer is +1.",
        "by_hand_elected: the wrong axis": "Models stand along the first axis: sum over axis 0.",
    },
    why="""Two models that want a weight slightly larger are outvoted by one that wants it much smaller: a vote by mass,
    not by heads. Where nothing is left, or both sides weigh the same, some sign must come out; zero would agree with
    nobody, and the entry would be lost.""",
)
def elect(taus: np.ndarray) -> np.ndarray:
    """The sign that wins in each entry: that of the sum over the task vectors; where the sum is 0, +1.

    taus: (N, ...); returns: (...), 1.0 or -1.0, of the dtype of taus

    >>> elect(np.array([[3.0, 1.0, 0.0], [-1.0, -4.0, 0.0]]))
    array([ 1., -1.,  1.])
    """
    return np.where(taus.sum(axis=0) >= 0, 1, -1).astype(taus.dtype)


@task(
    points=3,
    difficulty="medium",
    minutes=20,
    hints={
        "by_hand_merged: divided by all models": "Who disagrees does not count, in the divisor either.",
        "by_hand_merged: those who disagree were added, too": "Set entries of the other sign to 0 before adding.",
        "trimmed_entries": "A trimmed entry, 0, agrees with nobody: it must not count in the divisor.",
        "nobody_agrees: RuntimeWarning": "Where nobody agrees the count is 0: divide by np.maximum(count, 1).",
        "keeps_float32_merged": "A count of integers makes the quotient float64: .astype(taus.dtype).",
    },
    why="""The mean is over those that agree: a weight which only one model changed keeps its whole change, where the
    plain mean would halve it. This is also why TIES is not linear: merge three, and the result is not what you get
    from merging two and then the third.""",
)
def merge_agreeing(taus: np.ndarray, sign: np.ndarray) -> np.ndarray:
    """In each entry the mean of those task vectors that have the elected sign; 0 where none has.

    taus: (N, ...), trimmed, so that many entries are 0; sign: (...), 1.0 or -1.0; returns: (...)

    >>> merge_agreeing(np.array([[3.0, 1.0, 0.0], [1.0, -4.0, 0.0], [-2.0, -2.0, 5.0]]), np.array([1.0, -1.0, 1.0]))
    array([ 2., -3.,  5.])
    """
    agrees = np.sign(taus) == sign
    count = np.maximum(agrees.sum(axis=0), 1).astype(taus.dtype)
    return (taus * agrees).sum(axis=0) / count


@task(
    points=3,
    difficulty="medium",
    minutes=20,
    hints={
        "by_hand_arc: the vectors were made unit vectors": "The formula acts on the tensors as they are.",
        "by_hand_arc: it is the line": "That is the mean. Weigh with sines of the angle.",
        "lengths: the dot product was taken for the cosine": "Divide the dot product by both lengths.",
        "tensors_of_two_axes": "A tensor is one long vector here: flatten it for the dot product and the lengths.",
        "parallel: RuntimeWarning": "Where the angle is 0 its sine is 0: take the line above |cos| = 0.9995.",
    },
    why="""The arc keeps the length that the line loses: at right angles the mean of two unit vectors is 0.71 long.
    Fine-tunes of one base hardly differ in direction, and the arc is then a line to many digits.""",
)
def slerp(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    """On the arc from tensor a (t = 0) to tensor b (t = 1), both taken as one flattened vector, neither of length 0.

    sin((1 - t) θ) / sin θ · a + sin(t θ) / sin θ · b, where θ is the angle between them; where |cos θ| > 0.9995 it is
    the line, (1 - t) · a + t · b. a, b: the same shape; returns: that shape.

    >>> slerp(np.array([2.0, 0.0]), np.array([0.0, 2.0]), 0.5).round(4)
    array([1.4142, 1.4142])
    """
    x, y = a.astype(np.float64).reshape(-1), b.astype(np.float64).reshape(-1)
    cos = float(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)))
    if abs(cos) > 0.9995:
        return (1 - t) * a + t * b
    angle = math.acos(cos)
    return (math.sin((1 - t) * angle) * a + math.sin(t * angle) * b) / math.sin(angle)


@task(
    points=3,
    difficulty="medium",
    minutes=15,
    hints={
        "by_hand_fisher: not divided by the sum of the Fisher informations": "A weighted mean divides by its weights.",
        "by_hand_fisher: the weights were normalised over the whole model": "Each entry has its own weights: axis 0.",
        "nobody_cares: 0 where nobody cares": "Where all are 0 it is 0/0: put the plain mean there, divide elsewhere.",
        "tiny_informations": "Squares of gradients are tiny. Adding 1e-8 to them drowns them: treat only exact 0.",
    },
    why="""A weight on which a model's predictions do not depend has no say. The Fisher information is a mean of squared
    gradients of log-probabilities, with labels drawn from the model; numbers like 1e-10 are usual, which is why a
    constant that is added against dividing by zero must be far smaller than what one is used to.""",
)
def fisher_average(models: np.ndarray, fishers: np.ndarray) -> np.ndarray:
    """The mean of models, weighted entry by entry with their Fisher informations; the plain mean where all are 0.

    models, fishers: (N, ...), no entry of fishers negative; returns: (...)

    >>> fisher_average(np.array([[0.0, 0.0], [4.0, 4.0]]), np.array([[1.0, 0.0], [3.0, 0.0]]))
    array([3., 2.])
    """
    total = fishers.sum(axis=0)
    weighted = (fishers * models).sum(axis=0) / np.where(total > 0, total, 1)
    return np.where(total > 0, weighted, models.mean(axis=0))


@task(
    points=2,
    difficulty="easy",
    minutes=10,
    hints={
        "by_hand_dropped: what is left was not made larger": "Divide by the density: on average it must be tau.",
        "by_hand_dropped: the other entries were dropped": "An entry stays where its number lies below the density.",
        "by_hand_dropped: divided by the share that was dropped": "By the share that is kept, not by 1 - density.",
    },
    why="""With probability d an entry is divided by d, else it is 0: on average it is what it was. mergekit's `rescale`
    divides so that the sum of magnitudes stays, tensor by tensor, which is nearly the same for large tensors and
    something else for small ones.""",
)
def drop_and_rescale(tau: np.ndarray, density: float, uniform: np.ndarray) -> np.ndarray:
    """DARE's thinning of a task vector: drop entries at random and enlarge the rest, so that its mean stays.

    density: in (0, 1], the share that is kept; uniform: as tau, drawn evenly from [0, 1): an entry stays where
    its number is below density; returns: as tau

    >>> drop_and_rescale(np.array([1.0, 2.0, 3.0]), 0.5, np.array([0.1, 0.9, 0.4]))
    array([2., 0., 6.])
    """
    return np.where(uniform < density, tau / density, 0)
