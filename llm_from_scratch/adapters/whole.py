"""A module trained in full beside the one that stays: a head for new words, say. peft calls these `modules_to_save`."""

from __future__ import annotations

import copy
from typing import Any

from .adapted import Adapted, Adapter
from .merged import dense


class Whole(Adapter):
    """A copy of a module, with plain numbers of its own, that acts in its place."""

    technique = "module of its own"

    def __init__(self, path: str, module: Any) -> None:
        base = module.base if isinstance(module, Adapted) else module
        self.module = copy.deepcopy(dense(path, base, dequantize=True))
        self.module.unfreeze()

    def __call__(self, inner: Any, *inputs: Any) -> Any:
        return self.module(*inputs)

    def merged(self, base: Any) -> Any:
        """A copy of the copy: what was merged may be trained on, and taken back all the same."""
        return copy.deepcopy(self.module)
