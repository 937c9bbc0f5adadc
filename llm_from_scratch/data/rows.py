"""The rows of a data file, whatever it is called: JSON, JSON lines (gzipped too) or Parquet, known by their content.

Every row comes with its place, "line 7" or "item 3" (both from 1), so that what does not fit can be named.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_OF_A_ROW = {"prompt", "instruction", "question", "chosen", "output", "conversation", "choice"}
_ENCODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\x28\xb5": "zstd", b"PK": "zip"}


def read_rows(path: str | os.PathLike[str]) -> Iterator[tuple[str, Any]]:
    """Yield (place, row) of a file.

    One JSON value that is a list: its items. One object: the list in it, if there is exactly one and nothing else says
    that the object is a row itself (it is then yielded whole). Several lines that are each a JSON value: these.

    ValueError, naming the file and the line, for what is neither; ImportError for Parquet without pyarrow.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "a.txt"
    ...     _ = file.write_text('{"version": 2, "data": [{"a": 1}, {"a": 2}]}', encoding="utf-8")
    ...     list(read_rows(file))
    [('item 1', {'a': 1}), ('item 2', {'a': 2})]
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a directory: name a file of JSON, JSON lines or Parquet in it")
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path} is a damaged gzip file ({error})") from None
    if data[:4] == b"PAR1":
        yield from _parquet(path, data)
        return
    if data[:2] in _ENCODINGS:
        kind = _ENCODINGS[data[:2]]
        advice = "convert it with iconv -f UTF-16 -t UTF-8" if kind == "UTF-16" else "unpack it first"
        raise ValueError(f"{path} is {kind}, not JSON in UTF-8: {advice}")
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not data.strip():
        raise ValueError(f"{path} is empty: expected JSON, JSON lines or Parquet")
    lines = [(number, line) for number, line in enumerate(data.split(b"\n"), start=1) if line.strip()]
    if _begins_lines(lines):
        for number, line in lines:
            yield f"line {number}", _value(line, path, number)
        return
    whole = _value(data, path, None)
    items = whole
    if isinstance(whole, dict):
        lists = [key for key, value in whole.items() if isinstance(value, list) and value and _are_rows(value)]
        if len(lists) != 1 or _is_row(whole):
            yield "item 1", whole
            return
        items = whole[lists[0]]
    if not isinstance(items, list):
        raise ValueError(f"{path} holds a JSON {type(whole).__name__}: expected a list of rows, or an object with one")
    if items and all(isinstance(item, dict) and _is_message(item) for item in items):
        yield "item 1", items  # one conversation, by itself
        return
    for number, item in enumerate(items, start=1):
        yield f"item {number}", item


def _begins_lines(lines: list[tuple[int, bytes]]) -> bool:
    """Is the first line a value by itself, with more to come?"""
    if len(lines) < 2:
        return False
    try:
        json.loads(lines[0][1])
    except (ValueError, RecursionError):
        # A comma at the end of a line that is an object by itself: meant as lines, and said to be wrong in its place.
        return lines[0][1].rstrip().endswith(b"},") and lines[0][1].lstrip().startswith(b"{")
    return True


def _value(data: bytes, path: Path, number: int | None) -> Any:
    where = f"{path}, line {number}" if number else str(path)
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_refuse)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{where}: byte {error.start} is not UTF-8: convert the file, for example with iconv -f LATIN1 -t UTF-8"
        ) from None
    except json.JSONDecodeError as error:
        hint, before, rest = "", error.doc[: error.pos].rstrip(), error.doc[error.pos :].strip()
        if not rest or error.msg.startswith("Unterminated"):
            hint = ": it ends too early, as where a file was cut off"
        elif number and rest == ",":
            hint = ": take away the comma at its end, or put all lines between [ and ]"
        elif "," in (before[-1:], rest[0]) and (closing := rest.lstrip(", \t\r\n")[:1]) in ("]", "}"):
            hint = f": take away the comma before the {closing!r}"
        elif not number:
            hint = " (nor are its lines JSON one by one)"
        at = f"column {error.colno}" if number else f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"{where}: not JSON, {at}: {error.msg}{hint}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: not JSON ({error})") from None


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no number in JSON: write null, or leave the entry out")


def _are_rows(value: list[Any]) -> bool:
    return all(isinstance(item, dict) for item in value) or all(isinstance(item, list) for item in value)


def _is_message(item: dict[str, Any]) -> bool:
    return ("role" in item and "content" in item) or ("from" in item and "value" in item)


def _is_row(whole: dict[str, Any]) -> bool:
    """Is this object a conversation, or a prompt with answers, rather than the wrapping of many?"""
    lists = [value for value in whole.values() if isinstance(value, list)]
    messages = any(isinstance(item, dict) and _is_message(item) for value in lists for item in value)
    return messages or bool(_OF_A_ROW & set(whole))


def _parquet(path: Path, data: bytes) -> Iterator[tuple[str, Any]]:
    try:
        import pyarrow.parquet as parquet  # here, for nothing else needs it
    except ImportError:
        raise ImportError(f"{path} is a Parquet file: to read it, pip install pyarrow, or convert it to JSON") from None
    try:
        file = parquet.ParquetFile(io.BytesIO(data))
        number = 0
        for batch in file.iter_batches(batch_size=1024):
            for row in batch.to_pylist():
                number += 1
                yield f"row {number}", row
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is a damaged Parquet file ({str(error).splitlines()[0]})") from None
