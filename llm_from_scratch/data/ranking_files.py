"""Rankings of several answers, and ratings of one by attributes, from the files that people have."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from typing import Any

from .preference_files import prompt_of, scored_answers
from .shapes import Shape, read_shapes
from .turns import Message, message

ATTRIBUTES = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
"""HelpSteer's, each rated from 0 to 4."""


def read_rankings(path: str | os.PathLike[str], *, bad_rows: str = "error") -> list[dict[str, Any]]:
    """The rankings of a file -> {"prompt": messages, "answers": texts, "ranks": 1 is best}, in the file's order.

    Known are Nectar's (a prompt, answers with a rank), answers beside a list of ranks or of scores, and UltraFeedback's
    completions (ranked by score; equal scores share a rank). See `read_dialogues` for what files may be and `bad_rows`.

    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder) / "ranked.json"
    ...     _ = file.write_text('[{"prompt": "2 + 2?", "answers": ["5", "4"], "scores": [0, 1]}]', encoding="utf-8")
    ...     read_rankings(file)
    [{'prompt': [{'role': 'user', 'content': '2 + 2?'}], 'answers': ['5', '4'], 'ranks': [2, 1]}]
    """
    return [found for _, _, found in ranking_rows(path, bad_rows)]


def ranking_rows(path: str | os.PathLike[str], bad_rows: str = "error") -> Iterable[tuple[str, str, dict[str, Any]]]:
    """(place, shape, ranking) of each row."""
    return read_shapes(path, RANKING_SHAPES, "ranking", bad_rows)


def read_ratings(path: str | os.PathLike[str], *, bad_rows: str = "error") -> list[dict[str, Any]]:
    """HelpSteer's rows -> {"prompt": messages, "response": text, and the five `ATTRIBUTES`: 0 to 4}."""
    return [found for _, _, found in rating_rows(path, bad_rows)]


def rating_rows(path: str | os.PathLike[str], bad_rows: str = "error") -> Iterable[tuple[str, str, dict[str, Any]]]:
    """(place, shape, rating) of each row."""
    return read_shapes(path, RATING_SHAPES, "rating", bad_rows)


def _ranks(scores: list[float]) -> list[int]:
    return [1 + sum(other > score for other in scores) for score in scores]


def _ranking(prompt: list[Message] | None, answers: list[str], ranks: list[Any]) -> dict[str, Any]:
    if prompt is None:
        raise ValueError("there is no prompt: expected a text or messages under 'prompt', 'instruction' or 'question'")
    if len(answers) < 2 or len(answers) != len(ranks):
        raise ValueError(f"a ranking needs at least 2 answers and as many ranks, got {len(answers)} and {len(ranks)}")
    made = []
    for number, rank in enumerate(ranks, start=1):
        if isinstance(rank, bool) or not isinstance(rank, (int, float)) or rank != rank or rank % 1 or rank < 1:
            raise ValueError(f"answer {number} has the rank {rank!r}: expected a whole number from 1, which is best")
        made.append(int(rank))
    return {"prompt": prompt, "answers": answers, "ranks": made}


def _nectar(row: Any) -> dict[str, Any] | None:
    answers = row.get("answers") if isinstance(row, dict) else None
    if not isinstance(answers, list) or not all(isinstance(a, dict) and "rank" in a for a in answers):
        return None
    texts = [
        message("assistant", next((a[k] for k in ("answer", "text", "response") if k in a), None)) for a in answers
    ]
    return _ranking(prompt_of(row), [text["content"] for text in texts], [a["rank"] for a in answers])


def _lists(row: Any) -> dict[str, Any] | None:
    if not isinstance(row, dict):
        return None
    answers = next((row[key] for key in ("answers", "responses") if isinstance(row.get(key), list)), None)
    ranks, scores = row.get("ranks", row.get("rank")), row.get("scores")
    if answers is None or not all(isinstance(a, str) for a in answers):
        return None
    texts = [message("assistant", text)["content"] for text in answers]
    if isinstance(ranks, list):
        return _ranking(prompt_of(row), texts, ranks)
    if isinstance(scores, list):
        for number, score in enumerate(scores, start=1):
            if isinstance(score, bool) or not isinstance(score, (int, float)) or not math.isfinite(score):
                raise ValueError(f"answer {number} has the score {score!r}: expected a finite number")
        return _ranking(prompt_of(row), texts, _ranks(scores))
    return None


def _completions(row: Any) -> dict[str, Any] | None:
    scored = scored_answers(row)
    return None if scored is None else _ranking(prompt_of(row), scored[0], _ranks(scored[1]))


def _helpsteer(row: Any) -> dict[str, Any] | None:
    if not isinstance(row, dict) or "response" not in row or not set(ATTRIBUTES) <= row.keys():
        return None
    prompt = prompt_of(row)
    if prompt is None:
        raise ValueError("there is no prompt: expected a text or messages under 'prompt'")
    rated = {}
    for name in ATTRIBUTES:
        value = row[name]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value % 1 or not 0 <= value <= 4:
            raise ValueError(f"{name} must be a whole number from 0 to 4, got {value!r}")
        rated[name] = int(value)
    return {"prompt": prompt, "response": message("assistant", row["response"])["content"], **rated}


RANKING_SHAPES = (
    Shape("Nectar", "prompt, answers with answer and rank", _nectar),
    Shape("answers with ranks or scores", "prompt, answers, and ranks or scores", _lists),
    Shape("UltraFeedback", "instruction, completions with response and overall_score", _completions),
)
RATING_SHAPES = (Shape("HelpSteer", f"prompt, response, {', '.join(ATTRIBUTES)}", _helpsteer),)
