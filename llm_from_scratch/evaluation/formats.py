"""One question, asked in many ways: how far does a score move with the form of the prompt?

    python -m llm_from_scratch.evaluation.formats --model smollm2 --model chapters/tales_model \\
        --out chapters/results/27_formats.json

Every format asks the same questions about the same short tales, with the same four answers to choose from; only the
words around them differ. Each seed has tales of its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..checkpoints import from_pretrained
from ..data.assistant.passages import passage, with_article
from ..data.tales import words
from ..data.tales.dice import Dice
from ..files.atomic import write_json
from ..files.download import find_model
from ..tokenizers import Tokenizer
from .choices import NORMALIZATIONS, multiple_choice

Item = dict[str, Any]
LETTERS = "ABCD"


class Asked(NamedTuple):
    """A short tale, a question about it with four answers, and the beginning of a sentence that an answer ends."""

    tale: str
    question: str
    sentence: str
    choices: tuple[str, ...]
    answer: int


def questions(seed: int) -> Iterator[Asked]:
    """Questions about the tales of a seed, one a tale.

    >>> asked = next(questions(2023))
    >>> asked.question, asked.choices[asked.answer]
    ('Who lived in the cabin near the church?', 'Ella')
    """
    number = 0
    while True:
        told, dice = passage(seed, number), Dice(seed, number)
        f = told.facts
        places = [f"{preposition} the {place}" for place, (preposition, _) in words.PLACES.items()]
        names = words.HE_NAMES if f.pronoun == "he" else words.SHE_NAMES
        question, sentence, right, others = dice.choice(
            (
                (f"What colour was the {f.noun}?", f"The {f.noun} was", f.colour, list(words.COLOURS)),
                (f"Who lived {told.home}?", f"The one who lived {told.home} was", f.hero, list(names)),
                (
                    f"What was {f.hero}?",
                    f"{f.hero} was",
                    with_article(f.kind),
                    [*map(with_article, words.HERO_ANIMALS)],
                ),
                (f"Where was the {f.noun}?", f"The {f.noun} was", f.where, places),
            )
        )
        left = [option for option in others if option != right]
        choices = [left.pop(dice.below(len(left))) for _ in range(3)]
        place = dice.below(4)
        choices.insert(place, right)
        yield Asked(told.text(), question, sentence, tuple(choices), place)
        number += 1


def _spaced(context: str, asked: Asked) -> Item:
    return {"context": context, "choices": [f" {choice}" for choice in asked.choices], "answer": asked.answer}


def _lettered(asked: Asked) -> str:
    return "\n".join(f"{letter}. {choice}" for letter, choice in zip(LETTERS, asked.choices))


def _chat(asked: Asked) -> Item:
    context = [{"role": "user", "content": f"{asked.tale}\n\n{asked.question} Answer in a word or two."}]
    return {"context": context, "choices": list(asked.choices), "answer": asked.answer}


FORMATS: dict[str, Callable[[Asked], Item]] = {
    "sentence": lambda a: _spaced(f"{a.tale} {a.sentence}", a),
    "question": lambda a: _spaced(f"{a.tale}\n\n{a.question}", a),
    "Q: A:": lambda a: _spaced(f"{a.tale}\n\nQ: {a.question}\nA:", a),
    "Question: Answer:": lambda a: _spaced(f"{a.tale}\n\nQuestion: {a.question}\nAnswer:", a),
    "QUESTION ANSWER": lambda a: _spaced(f"TALE\n{a.tale}\nQUESTION\n{a.question}\nANSWER\n", a),
    "question first": lambda a: _spaced(f"Question: {a.question}\n\n{a.tale}\n\nAnswer:", a),
    "choices shown": lambda a: _spaced(f"{a.tale}\n\nQuestion: {a.question}\n{_lettered(a)}\nAnswer:", a),
    "letters": lambda a: {
        **_spaced(f"{a.tale}\n\nQuestion: {a.question}\n{_lettered(a)}\nAnswer:", a),
        "choices": [f" {letter}" for letter in LETTERS],
    },
    "chat template": _chat,
}


def format_scores(
    model: Any, tokenizer: Tokenizer, names: Sequence[str], *, seed: int, count: int, threads: int | None = None
) -> dict[str, dict[str, str]]:
    """{format: {normalisation: which items are right, a 1 or a 0 each}}, without a chat where there is no template."""
    asked = [one for one, _ in zip(questions(27_000 + seed), range(count))]
    found: dict[str, dict[str, str]] = {}
    for name in names:
        if name == "chat template" and tokenizer.chat_template is None:
            continue
        items = [FORMATS[name](one) for one in asked]
        result = multiple_choice(model, tokenizer, items, threads=threads)
        found[name] = {}
        for unit in NORMALIZATIONS:
            lengths = [_lengths(item["choices"], tokens, unit) for item, tokens in zip(items, result.tokens)]
            picked = [int(np.argmax(sums / by)) for sums, by in zip(result.log_likelihoods, lengths)]
            found[name][unit] = "".join(str(int(p == item["answer"])) for p, item in zip(picked, items))
    return found


def _lengths(choices: Sequence[str], tokens: np.ndarray, unit: str) -> np.ndarray:
    if unit == "tokens":
        return tokens
    return np.array([{"none": 1, "characters": len(c), "bytes": len(c.encode())}[unit] for c in choices])


def main(arguments: Sequence[str] | None = None) -> None:
    """Ask every model in every format, with three seeds, and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", action="append", required=True, help="may be given several times")
    parser.add_argument("--out", type=Path, required=True, help="a JSON file")
    parser.add_argument("--items", type=int, default=40, help="questions a seed (default 40)")
    parser.add_argument("--threads", type=int, help="default: all cores")
    args = parser.parse_args(arguments)
    runs = []
    for name in args.model:
        model, tokenizer = from_pretrained(find_model(name)), Tokenizer.from_pretrained(find_model(name))
        for seed in range(3):
            scores = format_scores(model, tokenizer, list(FORMATS), seed=seed, count=args.items, threads=args.threads)
            runs.append({"model": Path(name).name, "seed": seed, "items": args.items, "right": scores})
            write_json(args.out, {"runs": runs})  # after every seed: what was done is kept
            print(f"{name}, seed {seed}: { ({k: v['none'].count('1') for k, v in scores.items()}) }", flush=True)


if __name__ == "__main__":
    main()
