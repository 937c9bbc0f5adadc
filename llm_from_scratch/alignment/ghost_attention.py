"""Ghost Attention: dialogues that teach a model to keep to an instruction which stood in the first turn only.

No attention is changed: only data. While an answer is sampled, the instruction stands in every turn of the user; in
what is trained on, it stands in the first alone. The turns between were not written under it, so that no loss is taken
on them. Source: Touvron et al. 2023, arXiv:2307.09288, section 3.3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

Message = dict[str, str]
TRAIN_ON = "last"  # for `encode_dialogue`: the sampled answer, and none of the turns before it


def in_every_turn(messages: Sequence[Message], instruction: str) -> list[Message]:
    """The instruction before each message of the user: what the answer is sampled with.

    >>> chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    >>> in_every_turn([*chat, {"role": "user", "content": "Who are you?"}], "Speak as a bear.")[2]
    {'role': 'user', 'content': 'Speak as a bear. Who are you?'}
    """
    return [_led(message, instruction) if message["role"] == "user" else dict(message) for message in messages]


def in_first_turn(messages: Sequence[Message], instruction: str) -> list[Message]:
    """The instruction before the first message of the user alone: what is trained on.

    >>> [m["content"] for m in in_first_turn([{"role": "user", "content": text} for text in "ab"], "Rhyme.")]
    ['Rhyme. a', 'b']
    """
    first = next((k for k, message in enumerate(messages) if message["role"] == "user"), None)
    return [_led(message, instruction) if k == first else dict(message) for k, message in enumerate(messages)]


def ghost_dialogues(
    dialogues: Sequence[Sequence[Message]],
    instructions: Sequence[str],
    respond: Callable[[list[list[Message]]], list[str]],
) -> list[list[Message]]:
    """Dialogues to train the last answer of (`TRAIN_ON`): sampled under the instruction, which the first turn has.

    dialogues: conversations of at least two turns of the user; a last answer, if there is one, is written anew.
    instructions: one for each. respond: prompts -> texts, by the model as it is. ValueError, with its number, for a
    dialogue of a single turn (there is nothing to be kept to) and for an empty instruction.

    >>> chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."},
    ...         {"role": "user", "content": "A story?"}, {"role": "assistant", "content": "No."}]
    >>> [made] = ghost_dialogues([chat], ["Rhyme."], lambda prompts: [f"({p[-1]['content']})" for p in prompts])
    >>> [message["content"] for message in made]
    ['Rhyme. Hi', 'Hello.', 'A story?', '(Rhyme. A story?)']
    """
    if len(dialogues) != len(instructions):
        raise ValueError(f"got {len(dialogues)} dialogues and {len(instructions)} instructions: one for each")
    prompts = []
    for number, (messages, instruction) in enumerate(zip(dialogues, instructions)):
        prompt = list(messages[:-1] if len(messages) and messages[-1]["role"] == "assistant" else messages)
        turns = sum(message["role"] == "user" for message in prompt)
        if turns < 2 or prompt[-1]["role"] != "user":
            raise ValueError(f"dialogue {number} has {turns} turns of the user: it takes two, to forget in between")
        if not instruction.strip():
            raise ValueError(f"instruction {number} is empty")
        prompts.append(prompt)
    answers = respond([in_every_turn(prompt, instruction) for prompt, instruction in zip(prompts, instructions)])
    return [
        [*in_first_turn(prompt, instruction), {"role": "assistant", "content": answer}]
        for prompt, instruction, answer in zip(prompts, instructions, answers, strict=True)
    ]


def _led(message: Message, instruction: str) -> Message:
    return {**message, "content": f"{instruction} {message['content']}"}
