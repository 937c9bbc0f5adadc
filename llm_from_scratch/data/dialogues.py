"""Dialogues from the files that people have, and to one: each row's shape is known by its content, not by a name.

One function a shape; a file may mix them. `read_dialogues` gives lists of {"role", "content"}.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

from .encoding import Messages, check_dialogue
from .shapes import Shape, read_shapes, write_rows
from .turns import MESSAGE_KEYS, Message, marked_text, message, turns, with_system

QUESTIONS = ("instruction", "prompt", "question", "query", "input")
ANSWERS = ("output", "response", "completion", "answer")
_NO_INPUT = {"", "<noinput>"}


def read_dialogues(path: str | os.PathLike[str], *, bad_rows: str = "error") -> list[list[Message]]:
    """The dialogues of a JSON, JSON lines or Parquet file -> lists of {"role", "content"}.

    Known are Alpaca, ShareGPT, messages as OpenAI has them (bare or under a key), Dolly, OpenOrca, OIG, Camel,
    UltraChat, and plain questions with answers; `DIALOGUE_SHAPES` lists them. Turns of an assistant before anybody has
    asked are left out, as in Vicuna's own preparation.

    bad_rows: "error", or "skip" for rows in which something is wrong, such as an empty answer.

    Raises ValueError with file, line and reason for a row that does not fit.

    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder) / "alpaca.json"
    ...     _ = file.write_text('[{"instruction": "Add.", "input": "1, 2", "output": "3"}]', encoding="utf-8")
    ...     read_dialogues(file)
    [[{'role': 'user', 'content': 'Add.\\n\\n1, 2'}, {'role': 'assistant', 'content': '3'}]]
    """
    return [found for _, _, found in dialogue_rows(path, bad_rows)]


def dialogue_rows(path: str | os.PathLike[str], bad_rows: str = "error") -> Iterable[tuple[str, str, list[Message]]]:
    """(place, shape, dialogue) of each row."""
    return read_shapes(path, DIALOGUE_SHAPES, "dialogue", bad_rows)


def write_dialogues(path: str | os.PathLike[str], dialogues: Iterable[Messages]) -> None:
    """Write JSON lines {"messages": [...]}, as OpenAI has them. ValueError, and no file, for what is no dialogue."""

    def row(dialogue: Messages) -> dict[str, Any]:
        check_dialogue(dialogue)
        return {"messages": [dict(turn) for turn in dialogue]}

    write_rows(path, dialogues, "dialogue", row)


# --- The shapes -----------------------------------------------------------------------------------------------


def _dialogue(messages: Sequence[Message], row: dict[str, Any] | None = None) -> list[Message]:
    """The messages as a dialogue: begun by somebody who asks, with an answer in it."""
    made = with_system(row or {}, messages)
    first = next((k for k, turn in enumerate(made) if turn["role"] != "system"), 0)
    asked = next((k for k, turn in enumerate(made) if turn["role"] == "user"), len(made))
    made = made[:first] + made[asked:]
    if not any(turn["role"] == "assistant" for turn in made):
        raise ValueError("the assistant never answers a question")
    return made


def _bare(row: Any) -> list[Message] | None:
    found = turns(row) if isinstance(row, list) else None
    return None if found is None else _dialogue(found)


def _conversation(row: Any) -> list[Message] | None:
    if not isinstance(row, dict):
        return None
    for key in MESSAGE_KEYS:
        found = turns(row.get(key))
        if found is not None:
            return _dialogue(found, row)
        if key in row and isinstance(row[key], list) and not row[key] and key != "data":
            raise ValueError(f"{key!r} is an empty list")
    return None


def _camel(row: Any) -> list[Message] | None:
    if not isinstance(row, dict) or "message_1" not in row or "message_2" not in row:
        return None
    made, number = [], 1
    while row.get(f"message_{number}") is not None:
        said = row[f"message_{number}"]
        role = "user" if number % 2 else "assistant"
        if isinstance(said, dict):
            kind = str(said.get("role_type", "")).rpartition(".")[2].lower()
            role, said = {"user": "user", "assistant": "assistant"}.get(kind, role), said.get("content")
        try:
            made.append(message(role, said))
        except ValueError as error:
            raise ValueError(f"message_{number}: {error}") from None
        number += 1
    return _dialogue(made)


def _dolly(row: Any) -> list[Message] | None:
    if not isinstance(row, dict) or not {"instruction", "context", "response"} <= row.keys():
        return None
    return _asked(row, "instruction", "response", row["context"])


def _open_orca(row: Any) -> list[Message] | None:
    if not isinstance(row, dict) or not {"system_prompt", "question", "response"} <= row.keys():
        return None
    return _asked(row, "question", "response")


def _alpaca(row: Any) -> list[Message] | None:
    if not isinstance(row, dict) or not {"instruction", "output"} <= row.keys():
        return None
    return _asked(row, "instruction", "output", row.get("input"))


def _plain(row: Any) -> list[Message] | None:
    if not isinstance(row, dict):
        return None
    question = next((key for key in QUESTIONS if isinstance(row.get(key), (str, list))), None)
    answer = next((key for key in ANSWERS if key in row and key != question), None)
    return None if question is None or answer is None else _asked(row, question, answer)


def _asked(row: dict[str, Any], question: str, answer: str, more: Any = None) -> list[Message]:
    """One question and its answer, with what was said before."""
    before: list[Message] = []
    for number, pair in enumerate(row.get("history") or [], start=1):
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise ValueError(f"'history' must hold pairs of question and answer, its entry {number} is {pair!r:.60}")
        before += [message("user", pair[0]), message("assistant", pair[1])]
    said = row[question]
    if isinstance(said, list):
        asked = turns(said)
        if asked is None:
            raise ValueError(f"{question!r} must be a text or a list of messages, got {said!r:.60}")
    else:
        if more is not None and not isinstance(more, str):
            raise ValueError(f"what goes with {question!r} must be a text, got {more!r:.60}")
        parts = [part for part in (said, more) if part is not None and str(part).strip().lower() not in _NO_INPUT]
        asked = [message("user", "\n\n".join(parts) if parts and isinstance(parts[0], str) else said)]
    return _dialogue([*before, *asked, message("assistant", row[answer])], row)


def _text(row: Any) -> list[Message] | None:
    found = marked_text(row.get("text")) if isinstance(row, dict) else None
    return None if found is None else _dialogue(found)


DIALOGUE_SHAPES = (
    Shape("messages alone", "a list of role and content", _bare),
    Shape(
        "messages or ShareGPT", f"{', '.join(MESSAGE_KEYS)}: lists of role/content, from/value or texts", _conversation
    ),
    Shape("Camel", "message_1, message_2, …", _camel),
    Shape("Dolly", "instruction, context, response", _dolly),
    Shape("OpenOrca", "system_prompt, question, response", _open_orca),
    Shape("Alpaca", "instruction, output, and input if there is one", _alpaca),
    Shape("question and answer", f"one of {', '.join(QUESTIONS)} and one of {', '.join(ANSWERS)}", _plain),
    Shape("OIG", "text with <human>: and <bot>:, or ### Human: and ### Assistant:", _text),
)
"""Every shape that `read_dialogues` knows, in the order in which they are tried."""
