"""One token through a model as a short list of steps, which compiled code runs without returning to Python in between.

Decoding a small model is a few hundred small products a token; in calls of their own, Python around them takes longer
than they. A `Program` is a list of steps; the parts of a step depend on no other part of it and can be shared out among
threads. Each part is a few arrays and a formula (`token_steps`, `token_attention`). Weights are not copied: a program
sees what training changes in place. Parts write into vectors that the program owns, and what a layer remembers into the
memory that the part is bound to before each token.
"""

from __future__ import annotations

import numpy as np

from .allocation import on_large_pages
from .dispatch import backend, compiled_module
from .team import team
from .threads import threads_for_a_token
from .token_attention import Attend
from .token_matrices import Lowering, Matrix, address, vector
from .token_steps import Channels, Part, Product

__all__ = ["Matrix", "Product", "Program", "vector"]
WIDTH, NUMBERS = 32, 4
_WORTH_HELP = 400_000  # weights a token, from which a second thread gains more than it costs to be told
_WORTH_MOVING = 32 << 20  # bytes of weights, more than caches hold, from which pages of 2 MiB are faster
_MOVES = 16  # tokens during which they are moved there: all at once, a large model would seem to stand still
_LATE = 300_000  # nanoseconds beyond what the largest share may take, after which a thread is waited for too long


class Program:
    """Steps in order, each a list of parts; `run` runs them all.

    >>> x, y = vector(2), vector(1)
    >>> program = Program([[Product(x, [Matrix(2, 1, np.array([[1.0], [10.0]], np.float32))], y)]])
    >>> x[:] = 3, 4
    >>> program.run()
    >>> float(y[0])
    43.0
    """

    def __init__(self, steps: list[list[Part]]) -> None:
        self.steps = steps
        self.parts = [part for step in steps for part in step]
        self._attends = [part for part in self.parts if isinstance(part, Attend)]
        self._at = [i for i, part in enumerate(self.parts) if isinstance(part, Attend)]
        self._remembered = max((2 * part.q.size // part.heads for part in self._attends), default=0)  # for one head
        self._remembers = [(i, part) for i, part in enumerate(self.parts) if isinstance(part, Channels)]
        products = [part for part in self.parts if isinstance(part, Product)]
        met = [matrix for part in products for matrix in (*part.weights[:1], *part.gates[:1])]
        self.work = sum(matrix.inputs * matrix.outputs for matrix in met)  # weights that a token meets
        arrays = [array for part in products for matrix in (*part.weights, *part.gates) for array in matrix.arrays()]
        self._to_move = arrays if sum(array.nbytes for array in arrays) >= _WORTH_MOVING else []
        self._moved_at_once = -(-len(self._to_move) // _MOVES)
        if backend() == "numba":
            self._lower()

    def _lower(self) -> None:
        lowering, count = Lowering(), len(self.parts)
        self._rows, self._numbers = np.zeros((count, WIDTH), np.int64), np.zeros((count, NUMBERS))
        prepared: dict[tuple[int, int], int] = {}  # parts that read one vector through one norm compute it once
        for i, part in enumerate(self.parts):
            words, numbers = part.row(lowering)
            key = (id(part.norm), address(part.x)) if isinstance(part, Product) else (i, 0)
            self._rows[i, :3] = part.code, part.shares, prepared.setdefault(key, i)
            self._rows[i, 3 : 3 + len(words)] = words
            self._numbers[i, : len(numbers)] = numbers
        self._begins = np.cumsum([0, *map(len, self.steps)], dtype=np.int64)
        self._shares = np.array([sum(part.shares for part in step) for step in self.steps], np.int64)
        self._matrices = np.zeros((max(1, len(lowering.matrix_words)), 9), np.int64)
        if lowering.matrix_words:
            self._matrices[:, :8] = lowering.matrix_words
            self._matrices[:-1, 8] = self._matrices[1:, 3]  # where the next one lies that is read
        self._norms, self._eps = np.array(lowering.norm_words or [[0] * 6], np.int64), np.array(lowering.eps or [0.0])
        widest = max((part.x.size for part in self.parts if isinstance(part, Product)), default=0)
        tables = self._rows, self._numbers, self._begins, self._shares, self._matrices
        described = [len(self.steps), count, *map(address, tables), len(self._matrices)]
        described += [address(self._norms), len(self._eps), address(self._eps), widest]
        sizes = [
            part.columns * part.x.size * (1 + bool(part.gates)) for part in self.parts if isinstance(part, Product)
        ]
        self._patience = _LATE + max(sizes, default=0)  # a weight is read in a nanosecond, whatever it is
        self._job = np.array([*described, self._patience], np.int64)

    def run(self) -> None:
        """Compute every part, with as many threads as `token_threads` says."""
        if backend() == "numpy":
            for part in self.parts:
                part.formula()
            return
        if self._attends:
            self._rows[self._at, 12:14] = spans = [(part.start, part.stop) for part in self._attends]
            self._job[12] = self._patience + max(stop - start for start, stop in spans) * self._remembered
            for i, part in zip(self._at, self._attends):
                part.bind(self._rows[i], self._numbers[i])
        for i, part in self._remembers:
            self._rows[i, 9] = address(part.memory)
        if self._to_move:
            now, self._to_move = self._to_move[: self._moved_at_once], self._to_move[self._moved_at_once :]
            on_large_pages(now)
        threads = threads_for_a_token() if self.work >= _WORTH_HELP else 1
        team().run(compiled_module("token"), self._job, threads, self)
        for part in self._attends:
            part.keys = part.values = None
