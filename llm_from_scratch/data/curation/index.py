"""Near-duplicates in a stream: texts come one after the other, as signatures, and the first of alike ones stays.

Only texts that stay are remembered, in 16 bits a permutation (b-bit minwise hashing, Li & König 2010, arXiv:0910.3349):
with 128 of them and 21 bands some 500 bytes a text. A candidate is verified by the share of equal entries, as its text
is gone: at an index of 0.8 that estimate has a standard error of 0.035. `duplicates` has all texts at hand and verifies
exactly.
"""

from __future__ import annotations

from array import array

import numpy as np

from ...kernels.signatures import equal_entries
from .bands import band_keys, check_threshold, choose_bands
from .signatures import positive

_END = -1
_FEW = 100  # entries of buckets, which are always looked at one by one


class DuplicateIndex:
    """Says of each signature which earlier text it repeats, if any; otherwise remembers it.

    No two remembered texts are a candidate pair whose estimate reaches the threshold. bands: (bands, rows), chosen for
    the threshold when None (`bands.choose_bands`).

    >>> from llm_from_scratch.data.curation.signatures import minhash
    >>> index = DuplicateIndex(threshold=0.8)
    >>> texts = [" ".join(map(str, range(first, first + 100))) for first in (0, 500, 5)]
    >>> [index.place(number, minhash(text)) for number, text in enumerate(texts)]    # 91 of 101 shingles are shared
    [None, None, 0]
    """

    def __init__(self, *, threshold: float = 0.8, permutations: int = 128, bands: tuple[int, int] | None = None):
        self.threshold, self.permutations = check_threshold(threshold), positive("permutations", permutations)
        if bands is None:
            bands = choose_bands(threshold, permutations)
        self.bands, self.rows = positive("bands", bands[0]), positive("rows", bands[1])
        if self.bands * self.rows > permutations:
            raise ValueError(f"{self.bands} bands of {self.rows} rows need more than {permutations} permutations")
        self._signatures = array("H")  # texts x permutations
        self._numbers = array("q")
        # A bucket is a chain of entries, and an entry is text * bands + band:
        self._last = array("i", [_END]) * 1024  # of each bucket the last entry
        self._before = array("i")  # of each entry the one before it in its bucket

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def nbytes(self) -> int:
        """The memory in use for what is remembered."""
        return sum(a.itemsize * len(a) for a in (self._signatures, self._numbers, self._last, self._before))

    def place(self, number: int, signature: np.ndarray) -> int | None:
        """The number of the remembered text most like this one, the earliest of equals; None: it is remembered."""
        short = self._short(signature)
        keys = band_keys(short[None], self.bands, self.rows)[0].tolist()
        texts, estimates = self._candidates(short, keys, self.threshold)
        if len(texts) and estimates.max() >= self.threshold:
            return self._numbers[texts[estimates.argmax()]]
        self._remember(number, short, keys)
        return None

    def candidates(self, signature: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of the remembered texts that share a band, in the order of their coming, and estimated indices."""
        short = self._short(signature)
        texts, estimates = self._candidates(short, band_keys(short[None], self.bands, self.rows)[0].tolist())
        return np.array([self._numbers[text] for text in texts], np.int64), estimates

    def state(self) -> dict[str, np.ndarray]:
        """What is remembered, for a snapshot: signatures (n, permutations) uint16 and numbers (n,) int64."""
        return {"signatures": self._rows(self._signatures).copy(), "numbers": np.array(self._numbers, np.int64)}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Go on from a snapshot of an index with the same settings, in place of what is remembered."""
        signatures, numbers = state["signatures"], state["numbers"]
        if signatures.dtype != np.uint16 or signatures.shape != (len(numbers), self.permutations):
            raise ValueError(
                f"expected {len(numbers)} signatures of {self.permutations} uint16, got {signatures.dtype} "
                f"{signatures.shape}: the snapshot is of an index with other settings"
            )
        self._signatures, self._numbers = array("H", signatures.tobytes()), array("q", numbers.astype("q").tobytes())
        self._link_all(1 << max(10, (len(numbers) * self.bands).bit_length()))

    def _short(self, signature: np.ndarray) -> np.ndarray:
        signature = np.asarray(signature)
        if signature.shape != (self.permutations,) or signature.dtype.kind != "u":
            raise ValueError(
                f"expected the signature of one text, {self.permutations} unsigned integers as minhash gives them, "
                f"got {signature.dtype} {signature.shape}"
            )
        return signature.astype(np.uint16)  # the low bits

    def _candidates(self, short: np.ndarray, keys: list[int], least: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Texts that share a band, and estimates; where buckets are full, only those that reach `least`."""
        texts = self._chained(keys)
        if texts is None:
            shares = equal_entries(self._rows(self._signatures), short) / self.permutations
            texts = np.flatnonzero(shares >= least)
        same = self._rows(self._signatures)[texts] == short
        inside = same[:, : self.bands * self.rows].reshape(-1, self.bands, self.rows)
        real = inside.all(-1).any(-1)  # a bucket may hold other keys as well
        return texts[real], same[real].mean(-1)

    def _chained(self, keys: list[int]) -> np.ndarray | None:
        """The texts in the buckets of these keys, in order; None where looking at all texts is quicker.

        As with pages of one template, most of which share a band with most others.
        """
        found: set[int] = set()
        left = _FEW + len(self) // 20
        for band, key in enumerate(keys):
            entry = self._last[key % len(self._last)]
            while entry != _END:
                if entry % self.bands == band:
                    found.add(entry // self.bands)
                entry = self._before[entry]
                left -= 1
                if not left:
                    return None
        return np.array(sorted(found), np.int64)

    def _remember(self, number: int, short: np.ndarray, keys: list[int]) -> None:
        self._numbers.append(number)
        self._signatures.frombytes(short.tobytes())
        self._link(keys)
        if len(self._before) > len(self._last):
            self._link_all(2 * len(self._last))

    def _link(self, keys: list[int]) -> None:
        for key in keys:
            slot = key % len(self._last)
            self._before.append(self._last[slot])
            self._last[slot] = len(self._before) - 1

    def _link_all(self, buckets: int) -> None:
        """Make the buckets anew, so many of them."""
        self._last, self._before = array("i", [_END]) * buckets, array("i")
        for first in range(0, len(self), 1024):
            part = self._signatures[first * self.permutations : (first + 1024) * self.permutations]
            for keys in band_keys(self._rows(part), self.bands, self.rows).tolist():
                self._link(keys)

    def _rows(self, signatures: array) -> np.ndarray:
        return np.frombuffer(signatures, np.uint16).reshape(-1, self.permutations)
