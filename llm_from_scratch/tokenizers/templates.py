"""The chat formats of 2023 by name: what a model was told apart its turns by.

Most are a few texts around what was said, and that is how the table has them: `Format` writes the template in Jinja,
with {% generation %} around what the model is to say itself. "{}" stands for a message, "{bos}" and "{eos}" for the
tokenizer's tokens. Several were published without a token that ends an answer; a model tuned with nothing there never
stops, so ours write {eos}: `inferred` says so, and whatever else the sources leave open.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .chat_template import ChatTemplate

if TYPE_CHECKING:
    from .tokenizer import Tokenizer


@dataclass(frozen=True)
class Format:
    """One format.

    facts:    where it was read
    inferred: what was not, or differs from it
    begin:    in front of the conversation
    system, user: such a message
    prompt:   in front of an answer, which is also what generation begins with
    answer:   an answer, as the model says it
    after:    behind one
    default:  the system message of a conversation without one
    source:   the whole template, where parts cannot say it
    """

    facts: str
    inferred: str = ""
    begin: str = ""
    system: str = "{}"
    user: str = "{}"
    prompt: str = ""
    answer: str = "{}"
    after: str = ""
    default: str | None = None
    source: str | None = None

    def jinja(self) -> str:
        """The template.

        >>> print(Format("", user="Q: {}\\n", prompt="A:", answer=" {}{eos}", after="\\n").jinja())
        {% for message in messages %}
        {%- if message.role == 'system' %}{{ message.content }}
        {%- elif message.role == 'user' %}{{ "Q: " + message.content + "\\n" }}
        {%- elif message.role == 'assistant' %}{{ "A:" }}
        {%- generation %}{{ " " + message.content + eos_token }}{% endgeneration %}{{ "\\n" }}
        {%- else %}{{ raise_exception('this format has no role ' + message.role) }}
        {%- endif %}{% endfor %}{% if add_generation_prompt %}{{ "A:" }}{% endif %}
        """
        if self.source is not None:
            return self.source
        default = ""
        if self.default is not None:
            default = (
                "{% if not messages or messages[0].role != 'system' %}"
                f"{_written(self.system, json.dumps(self.default))}{{% endif %}}"
            )
        return (
            f"{_written(self.begin)}{default}{{% for message in messages %}}\n"
            f"{{%- if message.role == 'system' %}}{_written(self.system)}\n"
            f"{{%- elif message.role == 'user' %}}{_written(self.user)}\n"
            f"{{%- elif message.role == 'assistant' %}}{_written(self.prompt)}\n"
            f"{{%- generation %}}{_written(self.answer)}{{% endgeneration %}}{_written(self.after)}\n"
            "{%- else %}{{ raise_exception('this format has no role ' + message.role) }}\n"
            f"{{%- endif %}}{{% endfor %}}{{% if add_generation_prompt %}}{_written(self.prompt)}{{% endif %}}"
        )


_PLACES = {"{}": "message.content", "{bos}": "bos_token", "{eos}": "eos_token"}


def _written(form: str, message: str = "message.content") -> str:
    """A form as an expression in Jinja: "Q: {}" -> {{ "Q: " + message.content }}."""
    parts, rest = [], form
    while rest:
        at, place = min(((rest.find(p), p) for p in _PLACES if p in rest), default=(len(rest), ""))
        if at:
            parts.append(json.dumps(rest[:at], ensure_ascii=False))
        if place:
            parts.append(message if place == "{}" else _PLACES[place])
        rest = rest[at + len(place) :]
    return f"{{{{ {' + '.join(parts)} }}}}" if parts else ""


_CHATML = dict(
    system="<|im_start|>system\n{}<|im_end|>\n",
    user="<|im_start|>user\n{}<|im_end|>\n",
    prompt="<|im_start|>assistant\n",
    answer="{}<|im_end|>",
    after="\n",
)
_ZEPHYR = dict(
    system="<|system|>\n{}{eos}\n",
    user="<|user|>\n{}{eos}\n",
    prompt="<|assistant|>\n",
    answer="{}{eos}",
    after="\n",
)
_OPENCHAT = dict(
    begin="{bos}",
    system="{}<|end_of_turn|>",
    user="GPT4 Correct User: {}<|end_of_turn|>",
    prompt="GPT4 Correct Assistant:",
    answer=" {}<|end_of_turn|>",
)
_TURNS = (
    "{% if (message.role == 'user') != (ns.turn % 2 == 0) or message.role not in ['user', 'assistant'] %}"
    "{{ raise_exception('user and assistant take turns in this format, the user first') }}{% endif %}"
    "{% set ns.turn = ns.turn + 1 %}"
)
_LLAMA_2 = (
    "{% set ns = namespace(turn=0, system='') %}{% for message in messages %}"
    "{% if loop.first and message.role == 'system' %}"
    "{% set ns.system = '<<SYS>>\\n' + message.content + '\\n<</SYS>>\\n\\n' %}"
    "{% else %}" + _TURNS + "{% if message.role == 'user' %}"
    "{{ bos_token + '[INST] ' + (ns.system + message.content).strip() + ' [/INST]' }}{% set ns.system = '' %}"
    "{% else %}{% generation %}{{ ' ' + message.content.strip() + ' ' + eos_token }}{% endgeneration %}{% endif %}"
    "{% endif %}{% endfor %}"
)
_MISTRAL = (
    "{% set ns = namespace(turn=0) %}{{ bos_token }}{% for message in messages %}" + _TURNS
    + "{% if message.role == 'user' %}{{ '[INST] ' + message.content + ' [/INST]' }}"
    "{% else %}{% generation %}{{ message.content + eos_token }}{% endgeneration %}{{ ' ' }}{% endif %}{% endfor %}"
)  # fmt: skip
_SINGLE = "an answer ends with {eos}; the source shows one turn, or none that ends"

FORMATS: dict[str, Format] = {
    "alpaca": Format(
        "Stanford Alpaca, train.py (PROMPT_DICT, without an input)",
        "a system message takes the place of the first sentences; further turns follow in the same form",
        default=(
            "Below is an instruction that describes a task. "
            "Write a response that appropriately completes the request."
        ),
        system="{}\n\n",
        user="### Instruction:\n{}\n\n",
        prompt="### Response:",
        answer="{}{eos}",
        after="\n\n",
    ),
    "chatml": Format("OpenAI 2023, chatml.md; OpenHermes-2.5, tokenizer_config.json", **_CHATML),
    "decilm": Format(
        "DeciLM-7B-instruct, tokenizer_config.json", _SINGLE,
        system="### System:\n{}\n", user="### User:\n{}\n", prompt="### Assistant:\n", answer="{}{eos}", after="\n",
    ),
    "falcon": Format(
        "Falcon-180B-chat: FastChat, conversation.py (falcon-chat)", _SINGLE,
        system="System: {}\n", user="User: {}\n", prompt="Falcon:", answer=" {}{eos}", after="\n",
    ),
    "llama-2": Format("Llama-2-chat, tokenizer_config.json; Meta's generation.py", source=_LLAMA_2),
    "mistral": Format("Mistral-7B-Instruct-v0.1, tokenizer_config.json", source=_MISTRAL),
    "mpt": Format(
        "MPT-30B-chat: FastChat, conversation.py (mpt-30b-chat)",
        "MPT-7B-chat had a longer system message",
        default=(
            "A conversation between a user and an LLM-based AI assistant. "
            "The assistant gives helpful and honest answers."
        ),
        **_CHATML,
    ),
    "openchat": Format(
        "OpenChat-3.5, tokenizer_config.json",
        "a system message as the authors advise; the published template would call it 'GPT4 Correct System: '",
        **_OPENCHAT,
    ),
    "phi": Format(
        "Phi-2, model card (QA format)",
        "a base model: " + _SINGLE + "; the place of a system message",
        system="{}\n", user="Instruct: {}\n", prompt="Output:", answer=" {}{eos}", after="\n",
    ),
    "qwen": Format(
        "Qwen-7B-Chat: FastChat, conversation.py (qwen-7b-chat)",
        default="You are a helpful assistant.",
        **_CHATML,
    ),
    "solar": Format(
        "SOLAR-10.7B-Instruct-v1.0, tokenizer_config.json", _SINGLE,
        system="### System:\n{}\n\n", user="### User:\n{}\n\n", prompt="### Assistant:\n", answer="{}{eos}",
    ),
    "starling": Format(
        "Starling-LM-7B-alpha, tokenizer_config.json: OpenChat's", "system messages as OpenChat's", **_OPENCHAT
    ),
    "tales": Format(
        "this package: what its models of tales are tuned with",
        begin="<|endoftext|>",
        user="<|user|>{}<|end|>",
        prompt="<|assistant|>",
        answer="{}<|end|>",
    ),
    "tinyllama": Format("TinyLlama-1.1B-Chat-v1.0, tokenizer_config.json: Zephyr's", **_ZEPHYR),
    "vicuna": Format(
        "FastChat, conversation.py (vicuna_v1.1)",
        default=(
            "A chat between a curious user and an artificial intelligence assistant. "
            "The assistant gives helpful, detailed, and polite answers to the user's questions."
        ),
        system="{} ",
        user="USER: {} ",
        prompt="ASSISTANT:",
        answer=" {}{eos}",
    ),
    "xgen": Format(
        "XGen-7B-8K-Inst, model card; FastChat, conversation.py (xgen)", _SINGLE,
        default=(
            "A chat between a curious human and an artificial intelligence assistant. "
            "The assistant gives helpful, detailed, and polite answers to the human's questions."
        ),
        system="{}\n\n", user="### Human: {}\n", prompt="### Assistant:", answer=" {}{eos}", after="\n",
    ),
    "yi": Format("Yi-34B-Chat, tokenizer_config.json", **_CHATML),
    "zephyr": Format("Zephyr-7B-beta, tokenizer_config.json", **_ZEPHYR),
}  # fmt: skip


def template_names() -> list[str]:
    """The names of the formats."""
    return sorted(FORMATS)


def named_template(name: str, tokenizer: Tokenizer | None = None) -> ChatTemplate:
    """The template of a format, with the tokenizer's tokens for {bos} and {eos} (or none). ValueError for another name.

    >>> talk = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]
    >>> named_template("chatml").render(talk, add_generation_prompt=True)
    '<|im_start|>user\\nWhy?<|im_end|>\\n<|im_start|>assistant\\nBecause.<|im_end|>\\n<|im_start|>assistant\\n'
    """
    if name not in FORMATS:
        raise ValueError(f"there is no chat template called {name!r}: expected one of {template_names()}, or Jinja")
    roles = {} if tokenizer is None else dict(tokenizer.roles)
    return ChatTemplate(FORMATS[name].jinja(), bos=roles.pop("bos", ""), eos=roles.pop("eos", ""), tokens=roles)
