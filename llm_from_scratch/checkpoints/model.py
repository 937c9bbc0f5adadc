"""The decoder as people use it: the network of `models`, where it came from, and how it is written to disk."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import models
from ..families.published.config import token_ids
from ..models.spec import ModelSpec
from .lineage import Lineage
from .saving import check_saving, describe, save_pretrained


class Decoder(models.Decoder):
    """A language model that knows its published config and can be saved.

    spec, rng: see `models.Decoder`. config: the published config.json it came from (or would be saved as).
    """

    def __init__(
        self, spec: ModelSpec, rng: np.random.Generator | None = None, config: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(spec, rng)
        self.config = dict(config or {})
        self.generation_config: dict[str, Any] = {}  # the published generation_config.json, where there was one
        self.lineage = Lineage()  # where the weights came from
        self.stored_formats: dict[str, np.dtype] = {}  # {published name: number format in the file it was loaded from}

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """The ids that end a text: `eos_token_id` of generation_config.json or else of config.json, one or several."""
        return self._token_ids("eos_token_id")

    @property
    def begin_token(self) -> int | None:
        """The id that begins a text: `bos_token_id`, found likewise."""
        return next(iter(self._token_ids("bos_token_id")), None)

    def _token_ids(self, key: str) -> tuple[int, ...]:
        told = (settings.get(key) for settings in (self.generation_config, self.config))
        ids = token_ids(key, next((value for value in told if value is not None), None))
        return tuple(id for id in ids if 0 <= id < self.spec.vocab_size)  # others can be neither chosen nor read

    def save_pretrained(self, directory: str | os.PathLike[str], **settings: Any) -> None:
        """Write config.json (or spec.json) and the weights; see `checkpoints.saving`."""
        save_pretrained(self, directory, **settings)

    def check_saving(self) -> None:
        """ValueError if `save_pretrained` would refuse the model as it is; nothing is written."""
        check_saving(self)

    def describe(self) -> dict[str, Any]:
        """What is needed to build the model again, weights aside, as JSON can hold it; see `checkpoints.saving`."""
        return describe(self)
