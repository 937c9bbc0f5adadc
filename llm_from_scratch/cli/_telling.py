"""What a model of a run has learnt: figures, and texts that it tells, for the terminal and for the report.

Telling draws from random numbers of its own, so that a look at a model in the middle of its training changes nothing
about the training.
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ..checkpoints import from_pretrained
from ..data.sources import documents
from ..data.split import split_documents
from ..data.tales import consistency_score, summary
from ..data.tales.recitation import WINDOW, Recitation
from ..generation import generate
from ..recipes.recipe import Corpus, Recipe
from ..tokenizers import Tokenizer
from ..training import evaluate
from ..training.workers import one_blas_thread

TEMPERATURE = 0.4  # low: a small model's second thoughts are worse than its first
LONGEST = 300  # tokens of a told text
COMPARED = 20_000  # tales at most among which copies are looked for
COUNTED = 200  # tales told to measure consistency: a share is then known to about 3 of 100
MILESTONES = (0.0, 0.1, 0.2, 0.4, 0.7, 1.0)  # shares of the training; early, when the most happens, closer together
GLIMPSE = 60  # tokens that continue a beginning in the middle of training
_WIDTH = 96

Say = Callable[[str], None]


def say_to(file: Any) -> Say:
    """A function that prints a line at once, above a progress bar if there is one."""

    def say(text: str) -> None:
        with tqdm.external_write_mode(file=file):
            print(text, file=file, flush=True)

    return say


def tell(
    model: Any, tokenizer: Any, count: int, *, seed: int, beginning: str = "", tokens: int | None = None
) -> list[str]:
    """So many texts from their first word on, or from `beginning` on; text r draws from seed + r."""
    prompt = [tokenizer.bos_id, *tokenizer.encode(beginning)]
    wanted = LONGEST if tokens is None else tokens
    limit = getattr(model, "position_limit", None)
    wanted = wanted if limit is None else min(wanted, limit - len(prompt) + 1)
    ids = np.tile(np.array(prompt, np.int64), (count, 1))
    with one_blas_thread():  # each step is small: a second thread would wait more than work
        out = generate(
            model, ids, max_new_tokens=wanted, temperature=TEMPERATURE, stop_tokens=[tokenizer.eos_id], seed=seed
        )
    return [tokenizer.decode(row[row != tokenizer.eos_id]).strip() for row in out]


def measure(
    model: Any, corpus: Corpus, recipe: Recipe, validation: Any, lengths: np.ndarray, threads: int | None, *, tales: int
) -> dict[str, Any]:
    """Held-out loss and a sample; of a model of tales also how many of so many it tells hold together, check by check,
    and how much of them is copied.
    """
    figures = evaluate(model, validation(), token_bytes=lengths, threads=threads)
    measured = {key: figures[key] for key in ("loss", "bits_per_byte", "perplexity", "tokens")}
    about_tales = recipe.sources[0].split(":")[0] == "tales" and len(recipe.sources) == 1
    texts = tell(model, corpus.tokenizer, tales if about_tales else 1, seed=0)
    measured["sample"] = texts[0]
    if about_tales:
        measured["tales"] = len(texts)
        measured["consistency"] = consistency_score(texts)
        measured["checks"] = {name: round(share, 3) for name, share in summary(texts).items()}
        measured |= _copied(recipe, texts)
    return measured


def _copied(recipe: Recipe, texts: list[str]) -> dict[str, dict[str, float]]:
    """What of the texts stands in the tales that were read, and the same of as many true tales that were held out."""
    source = itertools.islice(documents(recipe.sources[0], seed=recipe.seed), COMPARED)
    read: list[str] = []
    unread: list[str] = []
    for text, held_out in split_documents(source, recipe.validation_fraction, recipe.seed):
        (unread if held_out else read).append(text)
    recitation = Recitation(read)
    return {"copied": recitation.summary(texts), "copied_held_out": recitation.summary(unread[: len(texts)])}


def glimpses(tokenizer: Tokenizer, beginning: str, steps: int, say: Say) -> Callable[[int, float, Any], None]:
    """What `train(on_step=…)` wants: shows a few times on the way how the model goes on from the same beginning."""
    milestones = {round(share * steps) for share in MILESTONES}

    def show(step: int, loss: float, model: Any) -> None:
        if step not in milestones:
            return
        (text,) = tell(model, tokenizer, 1, seed=0, beginning=beginning, tokens=GLIMPSE)
        say(f"\nafter {step:,} of {steps:,} steps:\n{quoted(text)}")

    return show


def show_report(report: dict[str, Any], say: Say) -> None:
    """The figures, trained beside untrained; of tales, how many are right in what."""
    untrained, trained = report["untrained"], report["trained"]
    say(f"\n{'':24}{'untrained':>12}{'trained':>12}")
    for key, name, form in (
        ("loss", "validation loss", ">12.3f"),
        ("bits_per_byte", "bits per byte", ">12.3f"),
        ("consistency", "consistent tales", ">12.0%"),
    ):
        if key in trained and key in untrained:
            say(f"  {name:22}{untrained[key]:{form}}{trained[key]:{form}}")
    if "checks" in trained:
        shares = [f"{name} {share:.0%}" for name, share in trained["checks"].items() if name != "consistent"]
        say(f"\nright in {trained['tales']} tales it told, check by check:")
        say(indented(", ".join(shares)))
        copied, held_out = trained["copied"], trained["copied_held_out"]
        say(
            f"\ncopied word for word from the tales it read, in runs of {WINDOW} or more: {copied['share']:.0%} "
            f"(longest run {copied['run']:.0f} words on average);\nof true tales that it has not read: "
            f"{held_out['share']:.0%} ({held_out['run']:.0f} words)"
        )
    for name, (first, last) in report.get("measured", {}).items():
        say(f"  {name:22.22}{first:12.3f}{last:12.3f}")
    say(
        f"\n{report['steps']:,} steps, {report['tokens']:,} tokens in {report['training_seconds']:.0f} s; "
        f"{report['seconds']:.0f} s in all"
    )


def show_tales(directory: Path, say: Say, count: int = 3, seed: int = 1000) -> list[str]:
    """Let the finished model of a run tell something (other tales than those that were counted)."""
    model, tokenizer = from_pretrained(directory), Tokenizer.from_pretrained(directory)
    texts = tell(model, tokenizer, count, seed=seed)
    for text in texts:
        say(quoted(text) + "\n")
    return texts


def quoted(text: str, longest: int = 2000) -> str:
    """Indented, wrapped, and without the control characters that an untrained model produces."""
    return indented("".join(c if c.isprintable() or c == "\n" else "·" for c in text[:longest]))


def indented(text: str) -> str:
    """Wrapped to the width of a page and set in from the left, blank lines once."""
    lines: list[str] = []
    for line in text.split("\n"):
        lines += textwrap.wrap(line, _WIDTH) or [""]
    kept = [line for number, line in enumerate(lines) if line or (number and lines[number - 1])]
    return "\n".join("    " + line for line in kept).rstrip()
