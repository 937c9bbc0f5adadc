"""Which tokens end a text or a turn, as far as a tokenizer knows.

A model's own files say it by ids (`Decoder.end_tokens`). Fine-tuned chat models often end their turns with a token that
those files forget; such tokens have had few names, and generation ends there, too.
"""

from __future__ import annotations

from typing import Any

TURN_ENDS = frozenset(
    "</s> <eos> <EOT> _<EOT> <|endoftext|> <|end_of_text|> <|eot_id|> <|eom_id|> <|im_end|> <|end|> <end_of_turn> "
    "<end_of_utterance> <|return|> <|call|> <｜end▁of▁sentence｜>".split()
)
"""Names of tokens that end a text or a turn wherever they occur (the llama.cpp library's habit with GGUF files)."""


def end_ids(tokenizer: Any) -> tuple[int, ...]:
    """The ids that end a text: the tokenizer's token for the end, and added tokens whose names say so.

    >>> from llm_from_scratch.tokenizers import Tokenizer
    >>> end_ids(Tokenizer.train("a", 260, special_tokens=["<s>", "<|im_end|>", "<|im_start|>", "</s>"]))
    (3, 1)
    """
    named = [token.id for text, token in tokenizer.added_tokens.by_content.items() if text in TURN_ENDS]
    return tuple(dict.fromkeys([*([] if tokenizer.eos_id is None else [tokenizer.eos_id]), *named]))
