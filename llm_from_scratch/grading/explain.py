"""Says in words what a learner's exception means, and why a file could not be read as Python."""

from __future__ import annotations

import codecs
import io
import linecache
import os
import tokenize
import traceback
from pathlib import Path

EXPLAINED: dict[str, str] = {
    "RecursionError": "the calls are nested deeper than Python allows; a loop with a list is not.",
    "SystemExit": "exit() ends the whole program; a function ends with `return`.",
    "KeyboardInterrupt": "the code raises KeyboardInterrupt itself.",
    "EOFError": "the grader has no keyboard: the values come in as arguments, not through input().",
    "OutputFlood": "it prints without end; a print inside a loop that never stops?",
    "MemoryError": "it asks for far more memory than the task needs: which array is that large?",
    "UnboundLocalError": "the name is assigned further down, or only in a branch that was not taken.",
    "NameError": "a spelling mistake, or a missing import at the top of the file?",
    "IndentationError": "lines of one block start in the same column.",
}
# 32 bits first: their mark begins like that of 16
_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


class OutputFlood(BaseException):
    """The learner's code prints without end."""


def frames_in(error: BaseException, file: str) -> list[traceback.FrameSummary]:
    """The part of an exception's way that lies in `file`: a path, because two files may have one name."""
    place = os.path.realpath(file)
    return [f for f in traceback.extract_tb(error.__traceback__) if os.path.realpath(f.filename) == place]


def explain_error(error: BaseException, file: str) -> tuple[str, str]:
    """A learner's exception, with the line of `file` it comes from, and the likely cause."""
    name = type(error).__name__
    try:
        text = " ".join(str(error).split())[:300]
    except Exception as broken:  # the learner's own exception class
        text = f"(its text fails: {type(broken).__name__})"
    what = text if isinstance(error, OutputFlood) else f"{name}: {text}" if text else name
    frames = frames_in(error, file)
    if frames:
        frame = frames[-1]
        code = (frame.line or linecache.getline(frame.filename, frame.lineno or 0)).strip()
        what += f"\n    at {os.path.basename(file)}, line {frame.lineno}, in {frame.name}:  {code}"
    for kind in type(error).__mro__:
        if kind.__name__ in EXPLAINED:
            return what, EXPLAINED[kind.__name__]
    return what, ""


def explain_syntax_error(error: SyntaxError, file: str) -> str:
    """Where Python stopped understanding the file, with the line and a mark under the place."""
    text = f"{file}, line {error.lineno}: {type(error).__name__}: {error.msg}"
    if error.text:
        line = error.text.rstrip("\n")
        indent = len(line) - len(line.lstrip())
        text += f"\n    {line.strip()}\n    {' ' * max((error.offset or 1) - 1 - indent, 0)}^"
    return text


def explain_loading(error: BaseException, path: Path) -> tuple[str, str]:
    """Why the file could not be loaded, and the likely cause."""
    if isinstance(error, SyntaxError) and error.filename and os.path.realpath(error.filename) == os.path.realpath(path):
        return explain_syntax_error(error, path.name), EXPLAINED.get(type(error).__name__, "")
    return explain_error(error, str(path))


def encoding_problem(path: Path) -> str:
    """Why a file's bytes are not the text of a Python program; empty if they are.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "mine.py"
    >>> _ = file.write_text("x = 1", encoding="utf-16")
    >>> encoding_problem(file)
    'mine.py is saved as UTF-16, not as UTF-8.'
    >>> _ = file.write_bytes(b"x = 1  # caf\\xe9")
    >>> encoding_problem(file)
    "mine.py is not saved as UTF-8: line 1 holds the byte 0xe9 (as Latin-1: 'é')."
    """
    data = path.read_bytes()
    for mark, name in _MARKS:
        if data.startswith(mark):
            return f"{path.name} is saved as {name}, not as UTF-8."
    if b"\0" in data:
        line = data[: data.index(b"\0")].count(b"\n") + 1
        return f"{path.name} holds a null byte in line {line}: it is saved as UTF-16, or is no text."
    encoding = "utf-8"
    try:
        encoding = tokenize.detect_encoding(io.BytesIO(data).readline)[0]
    except SyntaxError as error:  # bytes that are not UTF-8 among the first two lines, or a false `coding:` line there
        if "coding" in str(error) and "invalid or missing" not in str(error):
            return f"{path.name}: {error}."
    try:
        data.decode(encoding)
    except UnicodeDecodeError as error:
        line, byte = data[: error.start].count(b"\n") + 1, data[error.start : error.start + 1]
        shown = f"the byte 0x{byte.hex()} (as Latin-1: {byte.decode('latin-1')!r})"
        return f"{path.name} is not saved as {encoding.upper()}: line {line} holds {shown}."
    return ""
