"""Where preferences come from: a file that people have, or the tales, where what is right can be computed."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Union

import numpy as np

from ... import data as readers
from ...data import assistant
from ..beginning import stepping_over

# Far from the seeds that supervised tuning draws its dialogues with: other tales.
TRAINING_SEED, HELD_OUT_SEED = 22_000, 22_999
Preference = Mapping[str, Any]
# What the tales' preferences are about. Sums are among "all", and a small model cannot do them.
KINDS = {"all": None, "taught": assistant.TAUGHT_KINDS, "questions": assistant.QUESTION_KINDS}


@dataclasses.dataclass
class Tales:
    """Preferences about tales, of which a share `noise` is the wrong way round; held-out ones have none.

    kinds: what they are about, a name in KINDS.
    """

    seed: int
    count: int
    noise: float = 0.0
    kinds: str = "all"

    def __post_init__(self) -> None:
        self._kinds = KINDS[self.kinds]
        self._training = stepping_over(HELD_OUT_SEED, TRAINING_SEED + self.seed)
        self.held_out = list(itertools.islice(assistant.preferences(HELD_OUT_SEED, kinds=self._kinds), self.count))
        self.tasks = list(itertools.islice(assistant.tasks(HELD_OUT_SEED, kinds=self._kinds), self.count))

    def preferences(self) -> Iterator[Preference]:
        """Those to learn from, without end and anew at each call: about other tales than the held-out ones."""
        return assistant.preferences(self._training, kinds=self._kinds, noise=self.noise)

    def asked(self) -> Iterator[assistant.Task]:
        """The tasks that `preferences` are about, in their order."""
        return assistant.tasks(self._training, kinds=self._kinds)

    def score(self, number: int, text: str) -> float:
        """Between 0 and 1."""
        return self.tasks[number].score(text)


class PreferenceFile:
    """The rows of a file, of which some are held out: at most `count`, and no more than every fifth."""

    score = None

    def __init__(self, path: str, seed: int, count: int) -> None:
        rows = list(readers.read_preferences(path))
        if len(rows) < 5:
            raise ValueError(f"{path} has {len(rows)} preferences: at least 5 are needed, some of them to measure on")
        order = np.random.default_rng(seed).permutation(len(rows)).tolist()
        count = min(count, len(rows) // 5)
        self.held_out = [rows[k] for k in order[:count]]
        self._rows = [rows[k] for k in order[count:]]

    def preferences(self) -> Iterator[Preference]:
        """The rows that are not held out, once each and anew at each call."""
        return iter(self._rows)


Source = Union["Tales", "PreferenceFile"]


def open_source(data: str, *, seed: int, held_out: int, noise: float, kinds: str = "all") -> Source:
    """ "tales", or the path of a file; ValueError for noise in a file: it is only the tales that can be made wrong."""
    if data == "tales":
        return Tales(seed, held_out, noise, kinds)
    if noise:
        raise ValueError(f"noise is put into the tales' preferences; those of {data} are what they are")
    return PreferenceFile(data, seed, held_out)
