"""Preferences from the files that people have, and to one: pairs of answers of which one was chosen."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from .shapes import TIED, Shape, read_shapes, write_rows
from .turns import Message, marked_text, message, turns, with_system

PROMPTS = ("prompt", "instruction", "question", "input", "query", "conversations")
_NAMES = (("chosen", "rejected"), ("chosen_response", "rejected_response"))


def read_preferences(path: str | os.PathLike[str], *, bad_rows: str = "error") -> list[dict[str, list[Message]]]:
    """The pairs of a JSON, JSON lines or Parquet file -> {"prompt", "chosen", "rejected"}, each a list of messages.

    "chosen" and "rejected" are what follows the prompt: mostly one message of the assistant. Known are HH-RLHF's texts
    (what both have in common is the prompt), chosen and rejected answers or conversations with or without a prompt
    (UltraFeedback, Orca pairs), completions with scores (the best against the worst), WebGPT's comparisons and
    Summarize from Feedback; ties are left out. See `PREFERENCE_SHAPES`.

    bad_rows: "error", or "skip" for rows in which something is wrong, such as two equal answers.

    Raises ValueError with file, line and reason for a row that does not fit.

    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder) / "pairs.jsonl"
    ...     _ = file.write_text('{"prompt": "2 + 2?", "chosen": "4", "rejected": "5"}', encoding="utf-8")
    ...     read_preferences(file)[0]["chosen"]
    [{'role': 'assistant', 'content': '4'}]
    """
    return [found for _, _, found in preference_rows(path, bad_rows)]


def preference_rows(path: str | os.PathLike[str], bad_rows: str = "error") -> Iterable[tuple[str, str, dict[str, Any]]]:
    """(place, shape, pair) of each row that prefers one answer."""
    return read_shapes(path, PREFERENCE_SHAPES, "preference", bad_rows)


def write_preferences(path: str | os.PathLike[str], pairs: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON lines {"prompt", "chosen", "rejected"}, each a list of messages.

    ValueError, and no file, for a pair that lacks one, is equal, or whose answers are empty.
    """
    write_rows(path, pairs, "pair", check_preference)


def check_preference(pair: Mapping[str, Any]) -> dict[str, Any]:
    """The three lists of messages of a pair. ValueError for what is none."""
    made = {}
    for name in ("prompt", "chosen", "rejected"):
        found = turns(pair.get(name)) if isinstance(pair, Mapping) else None
        if found is None:
            raise ValueError(f"{name!r} must be a list of messages, got {pair!r:.80}")
        made[name] = found
    return _pair(made["prompt"], made["chosen"], made["rejected"])


def _pair(prompt: list[Message], chosen: list[Message], rejected: list[Message]) -> dict[str, list[Message]]:
    for name, said in (("chosen", chosen), ("rejected", rejected)):
        if not said or said[-1]["role"] != "assistant":
            raise ValueError(f"{name} does not end with an answer of the assistant")
    if chosen == rejected:
        raise ValueError(f"chosen and rejected are equal: {chosen[-1]['content'][:40]!r}")
    if not any(turn["role"] == "user" for turn in prompt):
        raise ValueError("there is no question: chosen and rejected have no beginning in common that asks one")
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def _split(chosen: list[Message], rejected: list[Message]) -> dict[str, list[Message]]:
    """Two conversations: what they have in common, up to the last answer, is the prompt."""
    if chosen == rejected:
        raise ValueError(f"chosen and rejected are equal: {chosen[-1]['content'][:40]!r}")
    common = 0
    while common < min(len(chosen), len(rejected)) and chosen[common] == rejected[common]:
        common += 1
    while common and chosen[common - 1]["role"] == "assistant":  # nobody has asked since: an answer begins here
        common -= 1
    return _pair(chosen[:common], chosen[common:], rejected[common:])


def prompt_of(row: Mapping[str, Any]) -> list[Message] | None:
    """The prompt of a row: a text, a text with HH-RLHF's marks, or messages; a system message beside it counts."""
    for key in PROMPTS:
        value = row.get(key)
        if isinstance(value, dict) and isinstance(value.get("full_text"), str):  # WebGPT's question
            value = value["full_text"]
        if isinstance(value, list):
            found = turns(value)
            if found is None:
                raise ValueError(f"{key!r} must be a text or a list of messages, got {value!r:.60}")
        elif isinstance(value, str):
            asked = value.rstrip()
            asked = asked.removesuffix("Assistant:") if asked.endswith("\n\nAssistant:") else value
            found = (turns(value) if value.startswith("[{") else None) or marked_text(asked) or [message("user", value)]
        else:
            continue
        return with_system(row, found)
    return None


def answer(value: Any) -> list[Message]:
    """One answer: a text, one message, or messages."""
    if isinstance(value, str) or value is None:
        return [message("assistant", value)]
    found = turns([value] if isinstance(value, dict) else value)
    if found is None:
        raise ValueError(f"an answer must be a text or a list of messages, got {value!r:.60}")
    return found


def _both(row: Any) -> tuple[Any, Any] | None:
    if isinstance(row, dict):
        for chosen, rejected in _NAMES:
            if chosen in row and rejected in row:
                return row[chosen], row[rejected]
    return None


def _hh(row: Any) -> dict[str, list[Message]] | None:
    both = _both(row)
    if both is None or not all(isinstance(text, str) and "\n\nAssistant:" in text for text in both):
        return None
    texts = [marked_text(text) for text in both]
    if None in texts or (prompt_of(row) is not None and not str(both[0]).startswith("\n\nHuman:")):
        return None
    return _split(*texts)  # type: ignore[arg-type]


def _chosen(row: Any) -> dict[str, list[Message]] | None:
    both = _both(row)
    if both is None:
        return None
    prompt = prompt_of(row)
    chosen, rejected = map(answer, both)
    if all(len(said) > 1 or said[0]["role"] != "assistant" for said in (chosen, rejected)):
        whole = _split(chosen, rejected)  # both are whole conversations, with the prompt in them
        return _pair(with_system(row, whole["prompt"]), whole["chosen"], whole["rejected"])
    return None if prompt is None else _pair(prompt, chosen, rejected)


def scored_answers(row: Any) -> tuple[list[str], list[float]] | None:
    """The texts and scores of UltraFeedback's completions, or None."""
    if not isinstance(row, dict) or not isinstance(row.get("completions"), list):
        return None
    if not row["completions"]:
        raise ValueError("'completions' is an empty list")
    texts, scores = [], []
    for number, completion in enumerate(row["completions"], start=1):
        if not isinstance(completion, dict) or "response" not in completion:
            return None
        names = ("overall_score", "score", "fine-grained_score")
        score = next((completion[name] for name in names if completion.get(name) is not None), None)
        try:
            number_ = float(score)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise ValueError(f"completion {number} has no score: expected a number as one of {names}") from None
        if number_ != number_ or abs(number_) == float("inf"):
            raise ValueError(f"completion {number} has the score {score!r}, which is no finite number")
        texts.append(message("assistant", completion["response"])["content"])
        scores.append(number_)
    return texts, scores


def _completions(row: Any) -> Any:
    scored = scored_answers(row)
    if scored is None:
        return None
    texts, scores = scored
    if max(scores) == min(scores):
        return TIED
    best, worst = scores.index(max(scores)), scores.index(min(scores))
    return _pair(_prompt(row), answer(texts[best]), answer(texts[worst]))


def _webgpt(row: Any) -> Any:
    if not isinstance(row, dict) or not {"question", "answer_0", "answer_1", "score_0", "score_1"} <= row.keys():
        return None
    scores = [row["score_0"], row["score_1"]]
    if not all(isinstance(score, (int, float)) and abs(score) < float("inf") for score in scores):
        raise ValueError(f"score_0 and score_1 must be numbers, got {scores}")
    if scores[0] == scores[1]:
        return TIED
    texts = [row["answer_0"], row["answer_1"]][:: 1 if scores[0] > scores[1] else -1]
    return _pair(_prompt(row), *map(answer, texts))


def _summaries(row: Any) -> Any:
    if not isinstance(row, dict) or not {"info", "summaries", "choice"} <= row.keys():
        return None
    info, summaries, choice = row["info"], row["summaries"], row["choice"]
    if not isinstance(info, dict):
        raise ValueError(f"info must have the post or the article, got {info!r:.60}")
    texts = [one.get("text") for one in summaries if isinstance(one, dict)] if isinstance(summaries, list) else []
    if len(texts) != 2 or len(summaries) != 2 or not isinstance(choice, int) or choice not in (0, 1):
        raise ValueError(f"expected two summaries and the choice 0 or 1, got {summaries!r:.60} and {choice!r}")
    post = message("user", info.get("post") or info.get("article"))
    return _pair([post], answer(texts[choice]), answer(texts[1 - choice]))


def _prompt(row: Mapping[str, Any]) -> list[Message]:
    prompt = prompt_of(row)
    if prompt is None:
        raise ValueError(f"there is no prompt: expected a text or messages under one of {', '.join(PROMPTS)}")
    return prompt


PREFERENCE_SHAPES = (
    Shape("HH-RLHF", "chosen, rejected: texts with \\n\\nHuman: and \\n\\nAssistant:", _hh),
    Shape("chosen and rejected", "prompt or question, chosen, rejected: texts or lists of messages", _chosen),
    Shape("UltraFeedback", "instruction, completions with response and overall_score", _completions),
    Shape("WebGPT comparisons", "question, answer_0, answer_1, score_0, score_1", _webgpt),
    Shape("Summarize from Feedback", "info, summaries, choice", _summaries),
)
"""Every shape that `read_preferences` knows, in the order in which they are tried."""
