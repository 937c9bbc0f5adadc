"""What `generate --draft` adds: the draft, whether it belongs to the model, and what it was worth."""

from __future__ import annotations

import time
from typing import Any

from ..checkpoints import from_pretrained
from ..generation import Speculation
from ..generation.draft_speed import DraftSpeed, expected_tokens, seconds_per_token
from ..generation.sampling import NoTokenLeft
from ..tokenizers import Tokenizer

GUESSES = 5
_CALIBRATION = 24  # tokens that are written once more, to measure what they cost


def open_draft(directory: str, tokenizer: Tokenizer) -> Any:
    """The model in a directory; ValueError if it does not have this tokenizer's tokens."""
    theirs = Tokenizer.from_pretrained(directory)
    for id in range(min(len(tokenizer), len(theirs))):
        ours, other = tokenizer.id_to_token(id), theirs.id_to_token(id)
        if ours != other:
            raise ValueError(
                f"the draft in {directory} has another tokenizer: its token {id} is {other!r}, the model's {ours!r}. "
                "A draft guesses in the model's own tokens: train one with --teacher, see quickstart --help"
            )
    if len(tokenizer) != len(theirs):
        raise ValueError(
            f"the draft in {directory} has {len(theirs):,} tokens and the model {len(tokenizer):,}: a draft guesses in "
            "the model's own tokens"
        )
    return from_pretrained(directory)


class Drafting:
    """A draft at work in the command: its settings for `generate`, a clock, and the account at the end."""

    def __init__(self, draft: Any, guesses: int) -> None:
        self.draft, self.guesses, self.went = draft, guesses, Speculation()
        self.seconds = 0.0
        self._begun: float | None = None

    def settings(self, stream: Any) -> dict[str, Any]:
        """What `generate` is told. The clock runs from the first text that is shown, when the prompt has been read."""
        self._begun = None

        def show(piece: Any) -> None:
            self._begun = time.perf_counter() if self._begun is None else self._begun
            if stream is not None:
                stream(piece)

        about = {"draft_model": self.draft, "num_assistant_tokens": self.guesses, "speculation": self.went}
        return {**about, "stream": show}

    def ended(self) -> None:
        """A text has come to its end."""
        self.seconds += 0.0 if self._begun is None else time.perf_counter() - self._begun

    def account(self, model: Any, prompt: list[int], new: list[int], **choice: Any) -> dict[str, Any]:
        """What came of it: counts, and times, measured by writing some tokens without the draft, and by it alone."""
        went = self.went
        if not went.tested or not self.seconds:
            return {"guesses": self.guesses, "passes": went.passes}
        ids = prompt + new[: len(new) // 2]  # about as long as the text was while it was written
        limits = [each.position_limit for each in (model, self.draft) if each.position_limit is not None]
        tokens = min([_CALIBRATION, *limits])
        room = min([len(ids), *(limit - tokens + 1 for limit in limits)])  # the last token is never read
        try:
            token, guess = self._seconds(model, ids[:room], tokens, **choice)
        except NoTokenLeft:  # the text used up what a ban on repeats leaves
            token, guess = self._seconds(model, ids[:room], tokens, **{**choice, "no_repeat_ngram_size": None})
        reading = max(0.0, (self.seconds - went.proposed * guess) / went.passes)
        speed, a = DraftSpeed(token, guess, reading, self.guesses), went.acceptance
        best = speed.best(a)
        return {
            "guesses": self.guesses, "passes": went.passes, "proposed": went.proposed, "accepted": went.accepted,
            "acceptance": a, "tokens_per_pass": went.tokens_per_pass, "expected": expected_tokens(a, self.guesses),
            "seconds": {"token": token, "guess": guess, "reading": reading},
            "speed_up": went.tokens_per_pass * went.passes * token / self.seconds,
            "best_guesses": best, "best_speed_up": speed.speed_up(a, best),
        }  # fmt: skip

    def _seconds(self, model: Any, ids: list[int], tokens: int, **choice: Any) -> tuple[float, float]:
        """What a token takes each of the two models."""
        token, guess = (seconds_per_token(each, ids, tokens, **choice) for each in (model, self.draft))
        return token, guess


def told(account: dict[str, Any], greedy: bool) -> str:
    """The account in words."""
    if "acceptance" not in account:
        return "the draft guessed nothing: the text is too short to tell what it is worth"
    a, k = account["acceptance"], account["guesses"]
    token, guess, reading = (1000 * account["seconds"][name] for name in ("token", "guess", "reading"))
    lines = [
        f"draft: {a:.0%} of the guesses looked at were kept; {account['tokens_per_pass']:.2f} tokens a reading of {k} "
        f"guesses ({account['expected']:.2f} by (1 - a^{k + 1}) / (1 - a))",
        f"a token without the draft {token:.2f} ms, a guess {guess:.2f} ms, a reading {reading:.2f} ms: "
        f"{account['speed_up']:.2f} times as fast as without it",
        "the text is the one that is told without it"
        if greedy
        else "the text is drawn as without it, by other chances",
    ]
    best, at_best = account["best_guesses"], account["best_speed_up"]
    if at_best <= 1:
        lines.append(
            f"it cannot pay here, with any number of guesses ({at_best:.2f} times as fast with {best}): leave --draft "
            "out, or take one that is faster or guesses better"
        )
    elif best != k and at_best > 1.1 * account["speed_up"]:
        lines.append(f"with --guesses {best} it should be {at_best:.2f} times as fast")
    elif account["speed_up"] <= 1:
        lines.append("it did not pay here: without --draft it is faster")
    return "\n".join(lines)
