"""Those who look on while a run trains: called around what a step does, they change nothing of it.

An observer is a place for what would otherwise be one more branch of the loop: a log of statistics, a search for the
beginning of a spike, whatever an experimenter wants to see of gradients before they are gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any


class Observer:
    """Two places to look at in a step; without an override nothing happens there. Steps count from 1.

    passing: around the forward and backward passes of all micro-batches; when they are over, each parameter's `.grad`
    is the gradient of the step. updating: around the optimiser's update.
    """

    def passing(self, step: int, model: Any) -> AbstractContextManager[Any]:
        """A context for the passes of this step."""
        return nullcontext()

    def updating(self, step: int, model: Any) -> AbstractContextManager[Any]:
        """A context for the update of this step. There is none where the step diverged."""
        return nullcontext()


@contextmanager
def together(contexts: Iterable[AbstractContextManager[Any]]) -> Iterator[None]:
    """All of them, one inside the other."""
    with ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context)
        yield
