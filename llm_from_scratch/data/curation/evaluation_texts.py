"""The texts of evaluation sets as they lie in files, for `decontamination`: of a row of JSON all that is text in it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from typing import Any

from .reading import Inputs
from .records import JSON, Record, decoded


def read_evaluation_texts(names: Iterable[str | os.PathLike[str]]) -> dict[str, str]:
    """{place: text} of files or folders as `Inputs` reads them; question, choices and answer of a row are one text.

    ValueError, naming the place, for what is not text: of an evaluation set nothing is to be missed.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
    ...     _ = file.write('{"question": "Which?", "choices": ["this", "that"], "label": 1}\\n')
    ...     file.flush()
    ...     list(read_evaluation_texts([file.name]).values())
    ['Which?\\nthis\\nthat']
    """
    found: dict[str, str] = {}
    for item in Inputs(list(names)).read():
        if not isinstance(item, Record):
            raise ValueError(f"{item.place}: {item.reason} ({item.detail})")
        if item.kind == JSON:
            try:
                found[item.place] = "\n".join(_texts(json.loads(item.data)))
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{item.place}: not JSON ({error})") from None
            continue
        text = decoded(item)
        if isinstance(text, tuple):
            raise ValueError(f"{item.place}: {': '.join(text)}")
        found[item.place] = text.text
    return found


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
