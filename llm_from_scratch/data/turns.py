"""Messages out of what people store: lists of turns under many names, and texts with marks such as "\\n\\nHuman:".

A message here is {"role", "content"} with the roles system, user, assistant and tool; what a caller of tools needs
("tool_calls", "name", "tool_call_id") is kept beside them. Everything else that rows hold is left behind.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import regex

Message = dict[str, Any]

ROLES = {
    "system": "system", "developer": "system", "context": "system",
    "user": "user", "human": "user", "prompter": "user", "instruction": "user", "question": "user",
    "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant", "bard": "assistant",
    "bot": "assistant", "model": "assistant", "ai": "assistant", "function_call": "assistant",
    "tool": "tool", "function": "tool", "observation": "tool", "ipython": "tool", "function_response": "tool",
}  # fmt: skip
"""What a role is called elsewhere, and here."""

MESSAGE_KEYS = ("messages", "conversations", "conversation", "items", "dialogue", "dialog", "turns", "chat", "data")
"""Where rows keep their messages, the first of them first."""

_HALF = regex.compile("[\ud800-\udfff]")  # JSON may spell one half of a pair alone; no text can hold it
_ROLE, _PAIR = {"role", "from", "speaker"}, {"input", "output"}
_KEPT = ("tool_calls", "tool_call_id", "name")
_TEXT_MARKS = (
    regex.compile(r"(?:\A|\n\n)(Human|Assistant):"),  # HH-RLHF
    regex.compile(r"(?:\A|\n)[ \t]*<(human|bot)>:"),  # OIG
    regex.compile(r"(?<!#)### (Human|Assistant):"),  # QLoRA's Guanaco, which has them in the middle of a line
)


def message(role: Any, content: Any, **more: Any) -> Message:
    """One message, its role in our words. ValueError for a role that is none, or a content that is no text."""
    name = ROLES.get(role.strip().lower()) if isinstance(role, str) else None
    if name is None:
        raise ValueError(f"the role {role!r} is unknown: expected one of {', '.join(ROLES)}")
    if isinstance(content, (list, tuple)):
        parts = [part.get("text") if isinstance(part, Mapping) else part for part in content]
        texts = [part for part in parts if isinstance(part, str)]
        if len(texts) < len(parts):
            raise ValueError(f"what the {name} says holds something that is no text: {str(content)[:60]}")
        content = "".join(texts)
    kept = {key: more[key] for key in _KEPT if more.get(key)}
    if content is None and ("tool_calls" in kept or name == "system"):  # files write null where there is none
        content = ""
    if not isinstance(content, str):
        raise ValueError(f"what the {name} says must be a text, got {content!r:.60}")
    if half := _HALF.search(content):
        raise ValueError(f"what the {name} says holds half a character: {half[0]!r} at place {half.start()}")
    if not content.strip() and "tool_calls" not in kept and name != "tool":
        if name == "system":
            return {"role": "system", "content": ""}
        raise ValueError(f"what the {name} says is empty")
    return {"role": name, "content": content, **kept}


def turns(value: Any) -> list[Message] | None:
    """The messages of a list of turns, or None if it is none.

    Turns are objects with a role ("role", "from", "speaker") and a text ("content", "value", "text"); pairs
    {"input", "output"}, as Capybara has them; or texts alone, the user's first, as UltraChat has them. A JSON text of
    such a list is read. An empty system message is left out. ValueError with its number for a turn that is none.

    >>> turns([{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello", "weight": 1}])
    [{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'Hello'}]
    """
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    if not isinstance(value, (list, tuple)) or not value:
        return None
    if all(isinstance(turn, str) for turn in value):
        return [message(("user", "assistant")[k % 2], turn) for k, turn in enumerate(value)]
    if not any(isinstance(turn, Mapping) and (_ROLE & turn.keys() or _PAIR <= turn.keys()) for turn in value):
        return None
    made: list[Message] = []
    for number, turn in enumerate(value, start=1):
        try:
            if not isinstance(turn, Mapping):
                raise ValueError(f"expected an object with a role and a text, got {turn!r:.60}")
            if _PAIR <= turn.keys() and "role" not in turn:
                made += [message("user", turn["input"]), message("assistant", turn["output"])]
                continue
            role = next((turn[key] for key in ("role", "from", "speaker") if turn.get(key) is not None), None)
            content = next((turn[key] for key in ("content", "value", "text") if turn.get(key) is not None), None)
            kept = {key: turn.get(key) for key in _KEPT}
            if isinstance(turn.get("function_call"), Mapping):  # as it was called before there could be several
                kept["tool_calls"] = [{"type": "function", "function": turn["function_call"]}]
            made.append(message(role, content, **kept))
        except ValueError as error:
            raise ValueError(f"turn {number}: {error}") from None
    return [turn for turn in made if turn["role"] != "system" or turn["content"].strip()]


def marked_text(text: Any) -> list[Message] | None:
    """The messages of a text with marks of who speaks, or None if it has none of those known.

    What stands before the first mark is a system message (OIG's "Background: …").

    >>> marked_text("\\n\\nHuman: Hi!\\n\\nAssistant: Hello.")
    [{'role': 'user', 'content': 'Hi!'}, {'role': 'assistant', 'content': 'Hello.'}]
    """
    if not isinstance(text, str):
        return None
    for pattern in _TEXT_MARKS:
        found = list(pattern.finditer(text))
        if not found:
            continue
        before = text[: found[0].start()].strip()
        made = [{"role": "system", "content": before}] if before else []
        ends = [*(match.start() for match in found[1:]), len(text)]
        for number, (match, end) in enumerate(zip(found, ends), start=1):
            try:
                made.append(message(match[1], text[match.end() : end].strip()))
            except ValueError as error:
                raise ValueError(f"turn {number}: {error}") from None
        return made
    return None


def with_system(row: Mapping[str, Any], messages: Sequence[Message]) -> list[Message]:
    """The messages with a system message in front, if the row has one beside them."""
    beside = message("system", row.get("system") or row.get("system_prompt"))["content"]
    said = messages[0]["content"] if messages and messages[0]["role"] == "system" else ""
    if not beside or beside.strip() == said.strip():
        return list(messages)
    if said:
        raise ValueError(f"there are two system messages: {beside[:40]!r} beside the others, {said[:40]!r} among them")
    return [{"role": "system", "content": beside}, *messages]
