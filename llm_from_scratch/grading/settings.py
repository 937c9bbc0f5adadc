"""The settings of the process that a learner's code can change without replacing anything, and their way back."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

import numpy as np

_geterr, _seterr = np.geterr, np.seterr
_get_print, _set_print = np.get_printoptions, np.set_printoptions
_getcwd, _chdir, _makedirs = os.getcwd, os.chdir, os.makedirs
_resetwarnings = warnings.resetwarnings
_getlimit, _setlimit = sys.getrecursionlimit, sys.setrecursionlimit
_gettrace, _settrace, _getprofile, _setprofile = sys.gettrace, sys.settrace, sys.getprofile, sys.setprofile

NO_WARNINGS = (
    "your code switches warnings off for the rest of the program ({what}).",
    "a warning says where a number went wrong: find the place. Where it is meant, write `with np.errstate(...)` there.",
)
RECURSION = ("the recursion limit was raised, which only moves the wall: use a loop.", "")


class Settings:
    """What was set when it was made; `restore` sets it again and says if a change hides something.

    >>> settings = Settings()
    >>> _ = np.seterr(all="ignore")
    >>> settings.restore()[0], settings.restore()
    ('your code switches warnings off for the rest of the program (np.seterr).', ())
    """

    def __init__(self) -> None:
        self._errors = _geterr()
        self._print = _get_print()
        self._limit = _getlimit()
        self._filters = list(warnings.filters)
        self._streams = sys.stdout, sys.stderr
        self._trace, self._profile = _gettrace(), _getprofile()
        self._environment = dict(os.environ)
        self._folder = _folder()

    def restore(self) -> tuple[str, str] | tuple[()]:
        """Set everything as it was. Message and cause if warnings or the recursion limit were changed, else ()."""
        hidden: tuple[str, str] | tuple[()] = ()
        if _getlimit() != self._limit:
            _setlimit(self._limit)
            hidden = RECURSION
        if list(warnings.filters) != self._filters:
            if any(_silences(entry) for entry in warnings.filters if entry not in self._filters):
                hidden = NO_WARNINGS[0].format(what="warnings.simplefilter or filterwarnings"), NO_WARNINGS[1]
            _resetwarnings()  # empties the list, and Python's memory of what it decided
            warnings.filters.extend(self._filters)  # type: ignore[attr-defined]
        if _geterr() != self._errors:
            _seterr(**self._errors)
            hidden = NO_WARNINGS[0].format(what="np.seterr"), NO_WARNINGS[1]
        if _get_print() != self._print:
            _set_print(**self._print)
        sys.stdout, sys.stderr = self._streams
        if (_gettrace(), _getprofile()) != (self._trace, self._profile):
            _settrace(self._trace)
            _setprofile(self._profile)
        if dict(os.environ) != self._environment:
            os.environ.clear()
            os.environ.update(self._environment)
        if self._folder and _folder() != self._folder:
            _makedirs(self._folder, exist_ok=True)
            _chdir(self._folder)
        return hidden


def _folder() -> str:
    """The current folder; empty if it was deleted."""
    try:
        return _getcwd()
    except OSError:
        return ""


def _silences(entry: Any) -> bool:
    """Whether a filter hides NumPy's warnings of overflow and the like."""
    action, message, category, module, line = entry
    return action in ("ignore", "once", "module") and issubclass(RuntimeWarning, category)
