"""Public benchmarks from their files, each known by what its rows look like: JSON, JSON lines, Parquet, or MMLU's CSV.

The prompts are those that became customary: "Question: …\\nAnswer:" for ARC and GSM8K, lettered choices for MMLU,
"Q: …\\nA:" for TruthfulQA (without its six examples), activity and sentence for HellaSwag. A row without a right
answer, as test sets without labels have them, is an error that names its line.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data.shapes import Shape, read_shapes
from .generating import last_number
from .items import check_choices, check_questions
from .task import Task

LETTERS = "ABCDEFGHIJ"


def read_task(path: str | os.PathLike[str]) -> Task:
    """The task in a file: one of the shapes below, or items as `Task` has them.

    ValueError, naming file and line, for rows of no known shape, of several shapes, and without a right answer.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "a.jsonl"
    ...     _ = file.write_text('{"question": "Is ice hot?", "choices": ["yes", "no"], "answer": 1}', encoding="utf-8")
    ...     print(read_task(file).items[0]["context"])
    Is ice hot?
    A. yes
    B. no
    Answer:
    """
    path = Path(path)
    rows = _csv(path) if path.suffix.lower() == ".csv" else read_shapes(path, SHAPES, "item of a task", "error")
    items, first = [], ""
    for place, shape, item in rows:
        if shape == "items":
            shape = f"items with {'choices' if 'choices' in item else 'endings' if 'ending' in item else 'answers'}"
        first = first or shape
        if shape != first:
            raise ValueError(f"{path}, {place}: an item of {shape}, after items of {first}: put them into files apart")
        items.append(item)
    if not items:
        raise ValueError(f"{path} has no rows")
    kind, about, settings = _SETTINGS[first]
    return Task(path.stem, kind, tuple(items), about, **settings)


def _row(row: Any, *names: str) -> bool:
    return isinstance(row, Mapping) and set(names) <= row.keys()


def _place(what: str, value: Any, choices: Sequence[Any]) -> int:
    """The place of the right choice, by number or by letter."""
    if isinstance(value, str) and re.fullmatch(r"\d+", value.strip()):
        value = int(value)
    if isinstance(value, str) and value.strip() in LETTERS and value.strip():
        value = LETTERS.index(value.strip())
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{what} is {value!r:.40}: there is no right answer (test sets keep theirs secret)")
    if not 0 <= value < len(choices):
        raise ValueError(
            f"{what} is {value}, but there are {len(choices)} choices, counted from 0: which one is right?"
        )
    return value


def _checked(item: dict[str, Any]) -> dict[str, Any]:
    """The item itself, if it can be asked; ValueError without the number it has in a list of one."""
    try:
        check_choices([item]) if "choices" in item else check_questions([item])
    except (TypeError, ValueError) as error:
        raise ValueError(str(error).removeprefix("item 0: ").removeprefix("item 0 ")) from None
    return item


def _texts(name: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ValueError(f"{name} must be a list of texts, got {value!r:.60}")
    if not all(text.strip() for text in value):
        raise ValueError(f"{name}: number {[bool(text.strip()) for text in value].index(False)} is empty")
    return value


def _text(row: Mapping[str, Any], name: str) -> str:
    if not isinstance(row[name], str) or not row[name].strip():
        raise ValueError(f"{name} must be a text that is not empty, got {row[name]!r:.60}")
    return str(row[name])


def _own(row: Any) -> dict[str, Any] | None:
    if not _row(row, "context"):
        return None
    if "ending" in row:
        _checked({"context": row["context"], "answer": row["ending"]})
        return dict(row)
    return _checked(dict(row))


def _hellaswag(row: Any) -> dict[str, Any] | None:
    if not _row(row, "endings", "label") or not {"ctx", "ctx_a"} & set(row):
        return None
    if "ctx_a" in row:
        second = str(row.get("ctx_b") or "")
        text = f"{_text(row, 'ctx_a')} {second[:1].upper() + second[1:]}"
    else:
        text = _text(row, "ctx")
    label = f"{row['activity_label']}: " if row.get("activity_label") else ""
    choices = [f" {_without_marks(text)}" for text in _texts("endings", row["endings"])]
    return _checked(
        {"context": _without_marks(label + text), "choices": choices, "answer": _place("label", row["label"], choices)}
    )


def _without_marks(text: str) -> str:
    """WikiHow's "[title]", "[step]", "[substeps]" are no part of a text."""
    return " ".join(re.sub(r"\[.*?\]", "", text.replace(" [title]", ". ")).split())


def _arc(row: Any) -> dict[str, Any] | None:
    if not _row(row, "question", "answerKey"):
        return None
    question: Any = row["question"]
    choices: Any = row.get("choices")
    if isinstance(question, Mapping):  # the form of the first release
        question, choices = question.get("stem"), question.get("choices")
    choices = choices or {}
    if isinstance(choices, list) and all(_row(choice, "text", "label") for choice in choices):
        choices = {key: [choice[key] for choice in choices] for key in ("text", "label")}
    if not _row(choices, "text", "label") or not isinstance(question, str):
        raise ValueError("an ARC item needs a question, and choices with text and label")
    labels, key = [str(label) for label in choices["label"]], str(row["answerKey"])
    if key not in labels:
        raise ValueError(f"answerKey is {key!r}, which is none of the labels {labels}: there is no right answer")
    texts = [f" {text}" for text in _texts("choices", choices["text"])]
    return _checked({"context": f"Question: {question}\nAnswer:", "choices": texts, "answer": labels.index(key)})


def _mmlu(row: Any) -> dict[str, Any] | None:
    if not _row(row, "question", "choices", "answer"):
        return None
    texts = _texts("choices", row["choices"])
    lines = [_text(row, "question").strip(), *(f"{letter}. {text}" for letter, text in zip(LETTERS, texts)), "Answer:"]
    item = {"context": "\n".join(lines), "choices": [f" {letter}" for letter in LETTERS[: len(texts)]]}
    return _checked({**item, "answer": _place("answer", row["answer"], texts), "about": row.get("subject", "")})


def _truthful(row: Any) -> dict[str, Any] | None:
    if not _row(row, "question", "mc1_targets"):
        return None
    told = {}
    for name in ("mc1_targets", "mc2_targets"):
        targets = row.get(name)
        if name == "mc2_targets" and targets is None:
            continue
        if _row(targets, "choices", "labels"):
            texts, labels = targets["choices"], targets["labels"]
        elif isinstance(targets, Mapping):  # the form of the first release: {text: 0 or 1}
            texts, labels = list(targets), list(targets.values())
        else:
            raise ValueError(f"{name} must be an object of choices, got {targets!r:.60}")
        if len(labels) != len(_texts(name, texts)) or not set(labels) <= {0, 1} or 1 not in labels:
            raise ValueError(
                f"{name} needs a label 0 or 1 for each of {len(texts)} choices, one of them 1: {labels!r:.60}"
            )
        told[name] = [f" {text}" for text in texts], [int(label) for label in labels]
    texts, labels = told["mc1_targets"]
    if sum(labels) != 1:
        raise ValueError(f"mc1_targets has {sum(labels)} right answers: exactly one was expected")
    item: dict[str, Any] = {"context": f"Q: {_text(row, 'question')}\nA:", "choices": texts, "answer": labels.index(1)}
    if "mc2_targets" in told:
        item["truths"] = {"choices": told["mc2_targets"][0], "labels": told["mc2_targets"][1]}
    return _checked(item)


def _gsm8k(row: Any) -> dict[str, Any] | None:
    if not _row(row, "question", "answer") or "choices" in row:
        return None
    answer = _text(row, "answer")
    result = re.search(r"####\s*(\S.*)$", answer)
    if result is None or not last_number(result[1]):
        raise ValueError("answer has no '#### number' at its end: there is no right answer")
    return _checked(
        {"context": f"Question: {_text(row, 'question')}\nAnswer:", "answer": result[1].strip(), "solution": answer}
    )


def _prompts(row: Any) -> dict[str, Any] | None:
    if not _row(row, "turns"):
        return None
    turns = _texts("turns", row["turns"])
    if not turns:
        raise ValueError("turns must be at least one text")
    return {"turns": turns, "about": row.get("category", "")}


def _lambada(row: Any) -> dict[str, Any] | None:
    if not _row(row, "text"):
        return None
    context, _, word = _text(row, "text").rstrip().rpartition(" ")
    if not context.strip():
        raise ValueError(f"text is a single word, {word!r:.40}: there is nothing before its last word")
    return {"context": context, "ending": f" {word}"}


SHAPES = (
    Shape("items", "context with choices and answer, ending, or answer", _own),
    Shape("HellaSwag", "ctx, endings, label", _hellaswag),
    Shape("ARC", "question, choices, answerKey", _arc),
    Shape("MMLU", "question, choices, answer", _mmlu),
    Shape("TruthfulQA", "question, mc1_targets", _truthful),
    Shape("GSM8K", "question, answer", _gsm8k),
    Shape("MT-Bench", "turns", _prompts),
    Shape("LAMBADA", "text", _lambada),
)
_SETTINGS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "HellaSwag": ("choices", "which ending is likeliest?", {"normalize": "bytes"}),
    "ARC": ("choices", "questions of science tests", {"normalize": "bytes"}),
    "MMLU": ("choices", "questions of exams, answered by a letter", {}),
    "TruthfulQA": ("choices", "questions that many people answer wrongly", {}),
    "GSM8K": (
        "answers",
        "word problems of primary school",
        {"max_new_tokens": 200, "stop": ("Question:", "\n\n"), "extract": last_number},
    ),
    "MT-Bench": ("prompts", "conversations for a judge", {}),
    "LAMBADA": ("endings", "the last word of a passage", {}),
    "items with choices": ("choices", "items of your own", {}),
    "items with endings": ("endings", "items of your own", {}),
    "items with answers": ("answers", "items of your own", {}),
}


def _csv(path: Path) -> Iterator[tuple[str, str, Any]]:
    """MMLU as it was first published: question, choices and letter, without a header."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        for row in reader:
            if not row:
                continue
            try:
                if len(row) < 4:
                    raise ValueError(
                        f"{len(row)} columns; expected a question, its choices and the letter of the right one"
                    )
                yield (
                    f"line {reader.line_num}",
                    "MMLU",
                    _mmlu({"question": row[0], "choices": row[1:-1], "answer": row[-1]}),
                )
            except ValueError as error:
                raise ValueError(f"{path}, line {reader.line_num}: {error}") from None
