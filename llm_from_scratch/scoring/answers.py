"""What a model answers: conversations in, texts out, as many at once as fit.

Each prompt is rendered by the chat template, up to where an answer begins; prompts of similar length share a batch,
padded on the left. A prompt gets the same answer whichever others stand beside it: it has random numbers of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..data.dialogue_batches import dialogue_example
from ..data.encoding import find_template
from ..generation import TextStream, continue_prompts, end_tokens
from ..tokenizers import Tokenizer
from ..tokenizers.chat_template import ChatTemplate

Prompt = Sequence[Mapping[str, Any]]  # messages, as a chat template takes them


def answer(
    model: Any,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    *,
    template: ChatTemplate | str | None = None,
    max_new_tokens: int = 128,
    temperature: float = 0.0,
    seed: int = 0,
    batch_size: int = 64,
    progress: Callable[[int], object] | None = None,
) -> list[str]:
    """One answer to each prompt, in the order of the prompts, without white space around it.

    prompts: lists of messages, the last of which is not the assistant's. template: as for `encode_dialogue`.
    max_new_tokens: where an answer is cut off that has not ended. temperature: 0 takes the likeliest token each time.
    seed: prompt k draws from `default_rng(seed + k)`. progress: called with the number of answers after each batch.

    Raises TypeError or ValueError, naming the prompt, before anything is computed: for a conversation that is none or
    ends with an answer, and for one that leaves no room for `max_new_tokens` in the model's context.

    >>> class Parrot:                                     # whatever it is asked, it says "no" and stops
    ...     def new_memory(self, batch_size):
    ...         return iter([*tokenizer.encode("no"), tokenizer.eos_id])
    ...     def step(self, ids, memory, mask=None):
    ...         return np.eye(tokenizer.vocab_size)[[next(memory)] * len(ids)]
    >>> tokenizer = Tokenizer.train("a", 260, special_tokens=["<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>"])
    >>> asked = [[{"role": "user", "content": "Is it?"}], [{"role": "user", "content": "Why?"}]]
    >>> answer(Parrot(), tokenizer, asked, template="tales")
    ['no', 'no']
    """
    sampled = sample(
        model, tokenizer, prompts, template=template, max_new_tokens=max_new_tokens, temperature=temperature,
        seed=seed, batch_size=batch_size, progress=progress,
    )  # fmt: skip
    return [one.text for one in sampled]


def answer_example(prompt: Sequence[int] | np.ndarray, answer: Sequence[int] | np.ndarray) -> dict[str, np.ndarray]:
    """A prompt and its answer, ids each, as {"ids", "targets"}: the answer's tokens are targets, and it alone.

    >>> answer_example([5, 6], [7, 8])
    {'ids': array([5, 6, 7]), 'targets': array([-100,    7,    8])}
    """
    whole = np.array([*prompt, *answer], np.int64)
    return dialogue_example(whole, np.arange(len(whole)) >= len(prompt))


class Sampled(NamedTuple):
    """One answer: the ids that were asked with, those that came (with the one that ended it, if it ended), its text."""

    prompt: list[int]
    ids: list[int]
    text: str

    @property
    def example(self) -> dict[str, np.ndarray]:
        """What the model chose, as {"ids", "targets"}: for the log-probability of the very tokens that were drawn."""
        return answer_example(self.prompt, self.ids)


def sample(
    model: Any,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    *,
    template: ChatTemplate | str | None = None,
    max_new_tokens: int = 128,
    temperature: float = 1.0,
    seed: int = 0,
    batch_size: int = 64,
    progress: Callable[[int], object] | None = None,
) -> list[Sampled]:
    """As `answer`, with the tokens themselves; by default from the model's own probabilities."""
    for name, number in (("max_new_tokens", max_new_tokens), ("batch_size", batch_size)):
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, got {number!r}")
    template = find_template(tokenizer, template)
    encoded = _encoded(model, tokenizer, prompts, template, max_new_tokens)
    stops = end_tokens(model, tokenizer)
    if template.eos in tokenizer.special_tokens:
        stops.append(tokenizer.special_tokens[template.eos])
    answers: list[Any] = [None] * len(encoded)
    order = sorted(range(len(encoded)), key=lambda k: len(encoded[k]))
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        written = continue_prompts(
            model, [encoded[k] for k in chosen], stop_tokens=stops, max_new_tokens=max_new_tokens,
            temperature=temperature, seed=[seed + k for k in chosen],
        )  # fmt: skip
        for new, k in zip(map(np.ndarray.tolist, written), chosen):
            said = new[:-1] if new[-1] in stops else new
            stream = TextStream(tokenizer, prompt=encoded[k])  # which spells nothing for rows that a model has to spare
            text = "".join([*map(stream.push, said), stream.finish()])
            answers[k] = Sampled(encoded[k], new, text.strip())
        if progress is not None:
            progress(start + len(chosen))
    return answers


def _encoded(
    model: Any, tokenizer: Tokenizer, prompts: Sequence[Prompt], template: ChatTemplate, room: int
) -> list[list[int]]:
    """The ids of each prompt, up to where the answer begins."""
    context = getattr(getattr(model, "spec", None), "context_length", None)
    encoded = []
    for number, prompt in enumerate(prompts):
        try:
            ids = template.encode(tokenizer, prompt)
        except (TypeError, ValueError) as error:
            raise type(error)(f"prompt {number}: {error}") from None
        if not len(prompt) or prompt[-1]["role"] == "assistant":
            what = "ends with an answer" if len(prompt) else "has no messages"
            raise ValueError(f"prompt {number} {what}: a prompt ends where the assistant is to speak")
        if context is not None and len(ids) + room > context:
            raise ValueError(
                f"prompt {number} has {len(ids)} tokens, and an answer of {room} would exceed the model's context of "
                f"{context}: shorten it, or lower max_new_tokens"
            )
        encoded.append(ids)
    return encoded
