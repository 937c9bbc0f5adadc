"""How results travel from the child to its parent: one signed and numbered line each, through a pipe.

A pipe cannot be emptied or deleted as a file can, and what was written into it once cannot be changed. The key never
travels back, so a line that does not come from the checks is told from one that does.
"""

from __future__ import annotations

import hmac
import json
import os
from typing import Any

LONGEST_LINE = 1 << 20
CLOSED = 70  # the child's exit code when its end of the pipe is gone
_digest, _dumps, _getpid, _write, _leave = hmac.digest, json.dumps, os.getpid, os.write, os._exit


def _sign(key: bytes, number: int, text: bytes) -> bytes:
    return _digest(key, b"%d " % number + text, "sha256").hex().encode()


class Writer:
    """The child's end. A copy of the process made by `os.fork` ends at its first word: it has nothing to report."""

    def __init__(self, descriptor: int, key: bytes) -> None:
        self._descriptor, self._key = descriptor, key
        self._number = 0
        self._process = _getpid()

    def send(self, event: str, **more: Any) -> None:
        """Write one message, whole."""
        if _getpid() != self._process:
            _leave(0)
        text = _dumps({"event": event, **more}).encode()
        line = _sign(self._key, self._number, text) + b" " + text + b"\n"
        self._number += 1
        try:
            while line:
                line = line[_write(self._descriptor, line) :]
        except OSError:
            _leave(CLOSED)


class Reader:
    """The parent's end.

    >>> ends = os.pipe()
    >>> writer, reader = Writer(ends[1], b"key"), Reader(b"key")
    >>> writer.send("end")
    >>> line = os.read(ends[0], 1000)
    >>> reader.read(line), reader.read(line), reader.read(b"noise")
    ({'event': 'end'}, None, None)
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._number = 0

    def read(self, line: bytes) -> dict[str, Any] | None:
        """The message of a line; None if it was not signed by the child's writer, or was seen before."""
        signature, _, text = line.rstrip(b"\n").partition(b" ")
        if not hmac.compare_digest(signature, _sign(self._key, self._number, text)):
            return None
        self._number += 1
        message: dict[str, Any] = json.loads(text)
        return message
