"""Learning from a teacher that explains: with the instruction it was given (Orca), or with that erased (Orca-2).

A teacher answers better when a system message tells it how to go about a task. Orca's student sees the same message;
Orca-2's sees a general one instead, so that it has to find out for itself which way suits which task. Sources:
Mukherjee et al. 2023, arXiv:2306.02707; Mitra et al. 2023, arXiv:2311.11045, section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

Message = dict[str, str]


def explained_dialogues(
    prompts: Sequence[Sequence[Message]],
    strategies: Sequence[str],
    respond: Callable[[list[list[Message]]], list[str]],
    *,
    erased: bool = False,
    general: str | None = None,
) -> list[list[Message]]:
    """A teacher's answers under strategies, as dialogues for a student.

    strategies: the system message that the teacher is given, one a prompt. respond: prompts -> texts, by the teacher.
    erased: the student's prompt has the `general` system message in the strategy's place (None: no system message), as
    in Orca-2; otherwise the strategy itself, as in Orca. ValueError for a prompt that has a system message already or
    ends with an answer, for an empty strategy, and for a `general` message that would not be used.

    >>> prompts = [[{"role": "user", "content": "2 + 3?"}]]
    >>> teacher = lambda prompts: ["2, 3, 4, 5: it is 5." if "count" in p[0]["content"] else "5" for p in prompts]
    >>> explained_dialogues(prompts, ["Think: count up."], teacher, erased=True)
    [[{'role': 'user', 'content': '2 + 3?'}, {'role': 'assistant', 'content': '2, 3, 4, 5: it is 5.'}]]
    >>> explained_dialogues(prompts, ["Think: count up."], teacher)[0][0]
    {'role': 'system', 'content': 'Think: count up.'}
    """
    if len(prompts) != len(strategies):
        raise ValueError(f"got {len(prompts)} prompts and {len(strategies)} strategies: one for each")
    if general is not None and not erased:
        raise ValueError("a general message stands where a strategy is erased: give erased=True with it")
    for number, (prompt, strategy) in enumerate(zip(prompts, strategies)):
        if not len(prompt) or prompt[-1]["role"] != "user":
            raise ValueError(f"prompt {number} must end with a message of the user")
        if prompt[0]["role"] == "system":
            raise ValueError(f"prompt {number} has a system message already, where the strategy belongs")
        if not strategy.strip():
            raise ValueError(f"strategy {number} is empty")
    told = [[_system(strategy), *prompt] for prompt, strategy in zip(prompts, strategies)]
    kept: list[list[Message]] = told
    if erased:
        kept = [[*([] if general is None else [_system(general)]), *prompt] for prompt in prompts]
    answers = respond(told)
    return [[*prompt, {"role": "assistant", "content": text}] for prompt, text in zip(kept, answers, strict=True)]


def _system(text: str) -> Message:
    return {"role": "system", "content": text}
