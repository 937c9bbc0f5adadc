"""A dialogue as ids, and which of them are trained: by default what the assistant says, and the end of its turn.

A template writes the whole conversation, and the tokenizer encodes it in one piece, as it will when the model is used.
What belongs to an answer is found in the text: between the template's {% generation %} and {% endgeneration %} where it
has them, else by rendering the conversation up to an answer and up to its end, and comparing. Both give characters; a
token is trained if any of its characters is. A template that gives no exact borders, or loses text, is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..tokenizers import Tokenizer
from ..tokenizers.chat_template import ROLES, ChatTemplate, message_number, written_by_template
from ..tokenizers.ends import end_ids
from ..tokenizers.places import encode_with_places
from ..tokenizers.template_text import BLOCK, SOME, WHOSE, origin
from ..tokenizers.templates import named_template, template_names

Messages = Sequence[Mapping[str, Any]]
TRAIN_ON = ("assistant", "last", "all")


def encode_dialogue(
    tokenizer: Tokenizer,
    messages: Messages,
    *,
    template: str | ChatTemplate | None = None,
    train_on: str = "assistant",
    variables: Mapping[str, Any] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Messages {"role", "content"} -> ids (T,) int64, trained (T,) bool.

    template: a name (`lfs.data.template_names()`), a text in Jinja, a ChatTemplate, or None for the tokenizer's own
    variables: what else the template reads, such as {"tools": [...]}
    train_on: "assistant" every answer, "last" the last one, "all" everything. What is trained is predicted by the
    token before it: targets are the ids shifted by one (`dialogue_example`).

    Raises ValueError for an unknown role, an empty answer, a conversation without any, a template that refuses it,
    loses text of it, gives no exact borders or no trained token; TypeError for what are no messages.

    >>> special = ["<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>"]
    >>> tokenizer = Tokenizer.train("one two", 270, special_tokens=special)
    >>> talk = [{"role": "user", "content": "one?"}, {"role": "assistant", "content": "two"}]
    >>> ids, trained = encode_dialogue(tokenizer, talk, template="tales")
    >>> tokenizer.decode(ids), tokenizer.decode(ids[trained])
    ('<|endoftext|><|user|>one?<|end|><|assistant|>two<|end|>', 'two<|end|>')
    """
    if train_on not in TRAIN_ON:
        raise ValueError(f"train_on must be one of {list(TRAIN_ON)}, got {train_on!r}")
    answers = check_dialogue(messages)
    chosen = find_template(tokenizer, template)
    settings = dict(variables or {})
    text = chosen.rendered(messages, **settings)
    _check_complete(text, messages)
    _check_calls(chosen, text, messages, settings)
    ids, starts, ends = encode_with_places(tokenizer, str(text), written_by_template(text))
    if train_on == "all":
        return ids, np.ones(len(ids), bool)
    blocks = any(byte >= BLOCK for byte in origin(text))
    spans = _marked(text, answers) if blocks else _compared(chosen, text, messages, answers, tokenizer, settings)
    _check_whose(text, spans, messages)
    if train_on == "last":
        spans = spans[-1:]
    for k in np.flatnonzero(np.isin(ids, list(tokenizer.added_tokens.by_id))):  # which may take white space beside them
        taken = str(text)[starts[k] : ends[k]]
        if taken.strip():  # some are white space themselves
            starts[k] += len(taken) - len(taken.lstrip())
            ends[k] -= len(taken) - len(taken.rstrip())
    inside = np.zeros(len(text) + 1, np.int64)
    for start, end in spans:
        inside[start:end] = 1
    count = np.concatenate([[0], np.cumsum(inside)])
    trained = count[np.maximum(ends, starts + 1)] > count[starts]  # a token without a character goes with the next one
    if blocks:  # a template may leave out the token that ends a turn, and a model that never sees it never stops
        for _, end in spans:
            after = int(np.searchsorted(starts, end))
            if after < len(ids) and starts[after] == end and ids[after] in end_ids(tokenizer):
                trained[after] = True
    if not trained.any():
        raise ValueError("the template yields no token of the assistant to train on: its answers are empty in it")
    return ids, trained


def find_template(tokenizer: Tokenizer, template: str | ChatTemplate | None) -> ChatTemplate:
    """The template that is meant by a name, a text in Jinja, or None for the tokenizer's own."""
    if isinstance(template, ChatTemplate):
        return template
    if template is None:
        if tokenizer.chat_template is None:
            raise ValueError(
                f"this tokenizer came without a chat template: name one of {template_names()}, or give a text in Jinja"
            )
        return tokenizer.chat_template
    if not isinstance(template, str):
        raise TypeError(f"template must be a name, a text in Jinja or None, not {type(template).__name__}")
    if "{{" not in template and "{%" not in template:
        return named_template(template, tokenizer)
    return ChatTemplate(template, **_tokens(tokenizer))


def _tokens(tokenizer: Tokenizer) -> dict[str, Any]:
    roles = dict(tokenizer.roles)
    return {"bos": roles.pop("bos", ""), "eos": roles.pop("eos", ""), "tokens": roles}


def check_dialogue(messages: Messages) -> list[int]:
    """The places of the answers in a dialogue; an error that names the message that does not fit."""
    if isinstance(messages, (str, Mapping)) or not isinstance(messages, Sequence):
        raise TypeError(f"a dialogue is a list of {{'role': …, 'content': …}}, not {type(messages).__name__}")
    answers = []
    for number, message in enumerate(messages):
        if not isinstance(message, Mapping) or "role" not in message:
            raise TypeError(f"message {number} must be {{'role': …, 'content': …}}, got {message!r:.80}")
        if message["role"] not in ROLES:
            known = "system, user, assistant, tool, function, developer, observation"
            raise ValueError(f"message {number} has the unknown role {message['role']!r}: expected one of {known}")
        if message["role"] == "assistant":
            if not _texts(message) and not message.get("tool_calls"):
                raise ValueError(f"message {number} is an empty answer of the assistant: leave it out, or the dialogue")
            answers.append(number)
    if not answers:
        raise ValueError(f"none of the {len(messages)} messages is the assistant's: there is nothing to train on")
    return answers


def _texts(message: Mapping[str, Any]) -> str:
    """What a message says, without white space, which templates take away and add."""
    content = message.get("content")
    parts = [content] if isinstance(content, str) else content if isinstance(content, (list, tuple)) else []
    texts = [part.get("text") if isinstance(part, Mapping) else part for part in parts]
    return "".join("".join(text.split()) for text in texts if isinstance(text, str))


def _check_complete(text: str, messages: Messages) -> None:
    """ValueError if some message's words are not all in the text."""
    said: dict[int, list[str]] = {}
    for character, byte in zip(text, origin(text)):
        if byte & WHOSE and not character.isspace():
            said.setdefault(byte & WHOSE, []).append(character)
    wanted: dict[int, str] = {}
    for number, message in enumerate(messages):
        mine = message_number(number)
        wanted[mine] = wanted.get(mine, "") + _texts(message)
    for number, message in enumerate(messages):
        mine = message_number(number)
        found = "".join(said.get(mine, []))
        if wanted[mine] in found:
            continue
        # A template that changes words (escapes them, writes numbers) no longer knows whose they are.
        if SOME in said and _texts(message) in "".join(str(text).split()):
            continue
        raise ValueError(
            f"the template loses text: {'only a part' if found else 'nothing'} of message {number} "
            f"({message['role']}, {str(message.get('content'))[:40]!r}) is left in what it writes"
        )


def _check_calls(template: ChatTemplate, text: str, messages: Messages, variables: dict[str, Any]) -> None:
    """ValueError if calls of tools leave no trace in the text: what would be learned is to say nothing."""
    for number, message in enumerate(messages):
        if message.get("tool_calls"):
            others = {"content": "", **{name: value for name, value in message.items() if name != "tool_calls"}}
            try:
                without = template.render([*messages[:number], others, *messages[number + 1 :]], **variables)
            except (TypeError, ValueError):
                continue
            if without == text:
                raise ValueError(f"the template loses text: it writes nothing of the tool_calls of message {number}")


def _marked(text: str, answers: list[int]) -> list[tuple[int, int]]:
    """The stretches in generation blocks, one an answer."""
    blocks = [byte & ~WHOSE for byte in origin(text)]
    edges = [k for k in range(1, len(blocks)) if blocks[k] != blocks[k - 1]]
    spans = [(a, b) for a, b in zip([0, *edges], [*edges, len(blocks)]) if blocks[a]]
    if len(spans) != len(answers):
        raise ValueError(
            f"the template's {{% generation %}} gives no exact borders: "
            f"{len(spans)} stretches for {len(answers)} answers"
        )
    return spans


def _compared(
    template: ChatTemplate,
    text: str,
    messages: Messages,
    answers: list[int],
    tokenizer: Tokenizer,
    variables: dict[str, Any],
) -> list[tuple[int, int]]:
    """Where an answer begins and ends: what the conversation up to it and with it render to.

    White space behind a special token that ends the turn is no part of it: nobody ever generates that far.
    """
    spans = []
    own = written_by_template(text)
    special = tuple(tokenizer.special_tokens)
    for number in answers:
        try:
            before = template.render(messages[:number], add_generation_prompt=True, **variables)
            after = template.render(messages[: number + 1], **variables)
        except ValueError as error:
            raise ValueError(
                f"the template has no {{% generation %}} and cannot say where answer {number} begins: {error}"
            ) from None
        for part, what in ((before, "begins"), (after, "ends")):
            if not text.startswith(part):
                raise ValueError(
                    f"the template gives no exact borders: it has no {{% generation %}}, and where message {number} "
                    f"(assistant) {what} cannot be seen, for it writes what came before differently once more follows"
                )
        end, last = len(after.rstrip()), len(after)
        ended = bool(special) and after[:end].endswith(special) and own(end, last)
        spans.append((len(before), end if ended else last))
    return spans


def _check_whose(text: str, spans: list[tuple[int, int]], messages: Messages) -> None:
    """ValueError if an answer reaches out of its stretch, or somebody else into one."""
    of_assistant, of_others = (
        {message_number(k) for k, message in enumerate(messages) if (message["role"] == "assistant") == mine}
        for mine in (True, False)
    )
    inside = np.zeros(len(text), bool)
    for start, end in spans:
        inside[start:end] = True
    whose = np.frombuffer(origin(text), np.uint8) & WHOSE
    wrong = (
        (inside & np.isin(whose, list(of_others - of_assistant)), "takes words of others for the assistant's"),
        (~inside & np.isin(whose, list(of_assistant - of_others)), "leaves words of the assistant out of its turn"),
    )
    for places, what in wrong:
        if places.any():
            at = int(np.flatnonzero(places)[0])
            raise ValueError(f"the template gives no exact borders: it {what}: {str(text)[at : at + 40]!r}")
