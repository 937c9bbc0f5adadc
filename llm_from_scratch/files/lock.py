"""One writer a directory: a lock that the system itself lets go when its holder ends, however that happens.

The holder keeps `DIRECTORY/writer.lock` open and locked (flock, on Windows a locked byte); its text says who that is.
A process that was killed holds nothing any more, so that there are no stale locks to be detected and removed. Readers
ask for no lock: what they read is replaced whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

LOCK = "writer.lock"
_held: dict[tuple[int, int], int] = {}  # (device, inode) of a directory -> the thread of this process that writes it
_FAR = 1 << 30  # the locked byte on Windows, where a locked byte cannot be read: behind the text


class Locked(ValueError):
    """Somebody else writes to the directory."""


@contextlib.contextmanager
def sole_writer(directory: str | os.PathLike[str]) -> Iterator[None]:
    """Hold the directory's lock during the block; `Locked`, at once, when another process or thread has it.

    The same thread may enter again. The directory is made if it is missing, and goes again if nothing came into it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with sole_writer(folder), sole_writer(folder):
    ...         print(sorted(os.listdir(folder)))
    ...     print(os.listdir(folder))
    ['writer.lock']
    []
    """
    directory = Path(directory)
    made = not directory.exists()
    directory.mkdir(parents=True, exist_ok=True)
    status = directory.stat()
    key = status.st_dev, status.st_ino
    if _held.get(key) == threading.get_ident():
        yield
        return
    path = directory / LOCK
    handle = _open_locked(path)
    try:
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        os.truncate(handle, 0)
        os.write(handle, json.dumps({"process": os.getpid(), "host": socket.gethostname(), "since": since}).encode())
        _held[key] = threading.get_ident()
        try:
            yield
        finally:
            del _held[key]
            # Removed while it is still locked: who opened it meanwhile sees in _open_locked that it is gone.
            with contextlib.suppress(OSError):  # Windows removes no open file: it stays, unlocked
                path.unlink()
    finally:
        os.close(handle)
        if made:
            with contextlib.suppress(OSError):  # something stands in it
                directory.rmdir()


def _open_locked(path: Path) -> int:
    """A handle of the locked file that stands at `path`."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if not _try_lock(handle):
                raise Locked(
                    f"{path.parent} is being written by {_holder(path)}: wait for it, or choose another directory"
                )
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), os.stat(path)):
                    return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # its holder removed it between our opening and our locking


def _holder(path: Path) -> str:
    """In words, who wrote the lock file; it may be so new that nothing stands in it yet."""
    try:
        found = json.loads(path.read_bytes())
        return f"process {int(found['process'])} on {found['host']} since {found['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


if sys.platform == "win32":
    import msvcrt

    def _try_lock(handle: int) -> bool:
        os.lseek(handle, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        finally:
            os.lseek(handle, 0, os.SEEK_SET)
        return True
else:
    import fcntl

    def _try_lock(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
