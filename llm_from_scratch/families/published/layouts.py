"""How one of their tensors holds our parameters: turned, fused, or with rotary pairs in another order.

A layout pairs views, it moves nothing: `pairs(theirs, ours)` gives (view of theirs, view of ours) of equal
shapes, which a reader copies one way and a writer the other. Ours are matrices (in, out) and biases (out,);
theirs usually (out, in).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

Shape = tuple[int, ...]
Pairs = list[tuple[np.ndarray, np.ndarray]]


class Layout(Protocol):
    """One way in which a stored tensor holds parameters."""

    def stored_shape(self, ours: Sequence[Shape]) -> Shape:
        """The shape of the stored tensor, given our parameters' shapes."""

    def pairs(self, theirs: np.ndarray, ours: Sequence[np.ndarray]) -> Pairs:
        """Corresponding views of the stored tensor and of our (contiguous) arrays."""


@dataclass(frozen=True)
class AsIs:
    """The same layout: embeddings, norms, biases, and GPT-2's matrices, which are stored (in, out)."""

    def stored_shape(self, ours: Sequence[Shape]) -> Shape:
        """Our shape."""
        return ours[0]

    def pairs(self, theirs: np.ndarray, ours: Sequence[np.ndarray]) -> Pairs:
        """The arrays themselves."""
        return [(theirs, ours[0])]


@dataclass(frozen=True)
class Transposed:
    """Stored (out, in), as by torch's Linear; a bias is the same both ways.

    >>> stored = np.array([[1, 2, 3], [4, 5, 6]])
    >>> [(theirs, _)] = TRANSPOSED.pairs(stored, [np.zeros((3, 2))])
    >>> theirs.tolist()
    [[1, 4], [2, 5], [3, 6]]
    """

    def stored_shape(self, ours: Sequence[Shape]) -> Shape:
        """Our shape, turned."""
        return ours[0][::-1]

    def pairs(self, theirs: np.ndarray, ours: Sequence[np.ndarray]) -> Pairs:
        """Their tensor, turned, and ours."""
        return [(theirs.T, ours[0])]


@dataclass(frozen=True)
class Depthwise:
    """Stored (channels, 1, width), as by torch's Conv1d with one group a channel; ours is (channels, width).

    >>> Depthwise().stored_shape([(6, 4)])
    (6, 1, 4)
    """

    def stored_shape(self, ours: Sequence[Shape]) -> Shape:
        """Our shape, with the axis for the one input of each channel."""
        return (ours[0][0], 1, *ours[0][1:])

    def pairs(self, theirs: np.ndarray, ours: Sequence[np.ndarray]) -> Pairs:
        """Their tensor without that axis, and ours."""
        return [(theirs[:, 0], ours[0])]


@dataclass(frozen=True)
class Fused:
    """Several of our parameters in one tensor, side by side along the output axis.

    groups=1: one after the other, [Q | K | V] (GPT-2, MPT, Qwen) or [gate | up]. groups=g: the outputs come
    in g groups, each with its share of every part: with g = heads [q k v][q k v]… per head (BLOOM, GPT-NeoX),
    with g = key-value heads [q q q q k v]… (Falcon). outputs_first: stored (out, in); GPT-2's are (in, out).

    >>> stored = np.arange(6)                                # a bias of two heads of width 1, per head [q, k, v]
    >>> q, k, v = np.zeros(2), np.zeros(2), np.zeros(2)
    >>> for theirs, ours in Fused(groups=2).pairs(stored, [q, k, v]):
    ...     ours[...] = theirs
    >>> q, k, v
    (array([0., 3.]), array([1., 4.]), array([2., 5.]))
    """

    groups: int = 1
    outputs_first: bool = True

    def stored_shape(self, ours: Sequence[Shape]) -> Shape:
        """Outputs of all parts together, inputs as ours."""
        outputs = sum(shape[-1] for shape in ours)
        if len({shape[:-1] for shape in ours}) > 1 or any(shape[-1] % self.groups for shape in ours):
            raise ValueError(f"parameters of shapes {list(ours)} cannot be fused in {self.groups} groups")
        inputs = ours[0][:-1]
        return (outputs, *inputs) if self.outputs_first else (*inputs, outputs)

    def pairs(self, theirs: np.ndarray, ours: Sequence[np.ndarray]) -> Pairs:
        """For each part its rows of every group, (groups, rows, in)."""
        rows = theirs if self.outputs_first else theirs.T  # (out, in) or (out,)
        grouped = rows.reshape(self.groups, -1, *rows.shape[1:])
        found: Pairs = []
        start = 0
        for part in ours:
            turned = part.T
            share = len(turned) // self.groups
            found.append((grouped[:, start : start + share], turned.reshape(self.groups, share, *turned.shape[1:])))
            start += share
        return found


@dataclass(frozen=True)
class InterleavedRotary:
    """Stored (out, in) with each head's rotary pairs as neighbours (2i, 2i+1); ours are (i, i + width/2).

    Meta's own LLaMA files and GGUF store query and key so. heads: how many lie one after the other.

    >>> [(theirs, ours)] = InterleavedRotary(heads=1).pairs(np.array([0, 10, 1, 11]), [np.zeros(4)])
    >>> ours[...] = theirs
    >>> ours.reshape(-1)
    array([ 0.,  1., 10., 11.])
    """

    heads: int

    def stored_shape(self, ours: Sequence[Shape]) -> Shape:
        """Our shape, turned."""
        if ours[0][-1] % (2 * self.heads):
            raise ValueError(f"{ours[0][-1]} outputs are not {self.heads} heads of rotary pairs")
        return ours[0][::-1]

    def pairs(self, theirs: np.ndarray, ours: Sequence[np.ndarray]) -> Pairs:
        """(heads, 2, width/2, in) of both."""
        turned = ours[0].T
        inputs = turned.shape[1:]
        return [
            (
                theirs.reshape(self.heads, -1, 2, *inputs).swapaxes(1, 2),
                turned.reshape(self.heads, 2, -1, *inputs),
            )
        ]


@dataclass(frozen=True)
class ColumnSplit:
    """Outputs stored by heads, each head's share of every part together: [x2 | x1 | v] per head; ours are the parts.

    >>> ColumnSplit(heads=2, parts=3).pairs(np.arange(6), [np.zeros(6)])[0][0].ravel().tolist()
    [0, 3, 1, 4, 2, 5]
    """

    heads: int
    parts: int
    depthwise: bool = False  # stored (out, 1, width), ours (out, width); else (out, in) and (in, out)

    def stored_shape(self, ours: Sequence[Shape]) -> Shape:
        """As with torch's Conv1d, or its Linear."""
        return (ours[0][0], 1, *ours[0][1:]) if self.depthwise else ours[0][::-1]

    def pairs(self, theirs: np.ndarray, ours: Sequence[np.ndarray]) -> Pairs:
        """Their heads and parts, swapped, and our parts and heads."""
        stored, mine = (theirs[:, 0], ours[0]) if self.depthwise else (theirs, ours[0].T)
        split = stored.reshape(self.heads, self.parts, -1, *stored.shape[1:]).swapaxes(0, 1)
        if self.depthwise or mine.ndim == 1:
            return [(split, mine.reshape(split.shape))]
        # ours is (in, out): its columns are split in place, since a transposed matrix cannot be reshaped as a view
        columns = ours[0].reshape(-1, *split.shape[:3])
        return [(np.moveaxis(split, -1, 0), columns)]


@dataclass(frozen=True)
class Modes:
    """Complex numbers stored (channels, modes, 1, 2); ours are (channels, modes, 2)."""

    def stored_shape(self, ours: Sequence[Shape]) -> Shape:
        """With the axis over which time is broadcast."""
        return (*ours[0][:2], 1, 2)

    def pairs(self, theirs: np.ndarray, ours: Sequence[np.ndarray]) -> Pairs:
        """Theirs without that axis, and ours."""
        return [(theirs[:, :, 0], ours[0])]


@dataclass(frozen=True)
class Stacked:
    """Several matrices of one shape, each stored (out, in), one on the other: the experts of a layer.

    >>> Stacked().stored_shape([(3, 2), (3, 2)])
    (2, 2, 3)
    """

    def stored_shape(self, ours: Sequence[Shape]) -> Shape:
        """How many there are, and our shape, turned."""
        if len(set(ours)) > 1:
            raise ValueError(f"parameters of shapes {list(ours)} cannot be stacked")
        return (len(ours), *ours[0][::-1])

    def pairs(self, theirs: np.ndarray, ours: Sequence[np.ndarray]) -> Pairs:
        """Each of theirs, turned, and ours."""
        return [(theirs[number].T, part) for number, part in enumerate(ours)]


AS_IS = AsIs()
DEPTHWISE = Depthwise()
TRANSPOSED = Transposed()
