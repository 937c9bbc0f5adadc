"""Chapter 18 exercises: what stands between a file of weights and a conversation.

Everything here is a pure function of arrays or text; nothing needs the real model. float32 goes in, float32 comes out,
and no array that was handed in is changed.

Replace each `raise NotImplementedError(...)` by your code, in any order, and run as often as you like:

    python -m llm_from_scratch grade ch18              # add --dir FOLDER if this file stands elsewhere
    python -m llm_from_scratch grade ch18 --hint       # one more step of advice for each --hint
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


# Task 1 of 4: medium, about 25 minutes, 3 points
def dequantize_q4_1(blocks: np.ndarray) -> np.ndarray:
    """The numbers in GGUF's Q4_1 blocks.

    blocks: (n, 20) uint8, one block of 32 numbers a row
    returns: (n, 32) float32

    Bytes 0 and 1 of a block are the scale d, bytes 2 and 3 the minimum m, both float16, little-endian. Byte 4 + j holds
    code j in its low four bits and code j + 16 in its high four bits. Each number is d * code + m.

    >>> block = np.array([[0, 60, 0, 188, 0x70, 0x21] + 14 * [0]], np.uint8)        # d = 1.0, m = -1.0
    >>> dequantize_q4_1(block)[0, [0, 1, 2, 16, 17]]
    array([-1.,  0., -1.,  6.,  1.], dtype=float32)
    """
    raise NotImplementedError("dequantize_q4_1")


# Task 2 of 4: medium, about 15 minutes, 2 points
def halves_from_interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """Put the rows of a query or key matrix into the order of half-split rotary pairs.

    weight: (heads * width, inputs); inside each head the rows of pair i are neighbours, 2i and 2i + 1
    returns: a new array of the same shape; inside each head the rows of pair i are i and i + width/2

    >>> halves_from_interleaved(np.array([[0], [10], [1], [11]]), heads=1).ravel()
    array([ 0,  1, 10, 11])
    """
    raise NotImplementedError("halves_from_interleaved")


# Task 3 of 4: medium, about 25 minutes, 3 points
def logit_lens(states: np.ndarray, norm_weight: np.ndarray, head: np.ndarray, eps: float = 1e-5) -> np.ndarray:
    """What each layer's state would predict if it were the last: final norm, head, softmax.

    states: (layers, tokens, hidden), the residual stream before each layer
    norm_weight: (hidden,), of the final RMS norm: x / sqrt(mean(x^2) + eps) * norm_weight
    head: (vocabulary, hidden), one row a token
    returns: probabilities (layers, tokens, vocabulary); must not overflow, however large the logits

    >>> states = np.array([[[0.0, 0.1]], [[3.0, 0.0]]])
    >>> logit_lens(states, np.ones(2), np.eye(2), eps=0.0).round(3).tolist()
    [[[0.196, 0.804]], [[0.804, 0.196]]]
    """
    raise NotImplementedError("logit_lens")


# Task 4 of 4: easy, about 15 minutes, 2 points
def chatml(messages: Sequence[dict[str, str]], default_system: str, add_generation_prompt: bool) -> str:
    r"""A conversation as SmolLM2 was trained on it (ChatML).

    messages: each with "role" (system, user or assistant) and "content"; may be empty. Not changed.
    default_system: the content of a system message that comes first unless the conversation begins with one of its
        own; not for an empty conversation
    add_generation_prompt: end with the beginning of an answer

    A message is "<|im_start|>", its role, a line end, its content as it is, "<|im_end|>" and a line end.

    >>> chatml([{"role": "system", "content": "Hm."}, {"role": "user", "content": "Why?"}], "Be kind.", True)
    '<|im_start|>system\nHm.<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n'
    """
    raise NotImplementedError("chatml")
