"""Chapter 18 exercises: what stands between a file of weights and a conversation.

Everything here is a pure function of arrays or text; nothing needs the real model. float32 goes in, float32 comes out,
and no array that was handed in is changed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from llm_from_scratch.grading import task


@task(
    points=3,
    difficulty="medium",
    minutes=25,
    hints={
        "order_of_the_nibbles: neighbours come from one byte": (
            "Byte j holds number j in its low half and number j + 16 in its high half: first all low halves, then all "
            "high halves."
        ),
        "one_block_by_hand: scale and minimum are exchanged": (
            "The first two bytes are the scale, the next two the minimum."
        ),
        "one_block_by_hand: a scale such as 15360": (
            "15360 is 1.0 read as a whole number. Look at the bytes as float16: `.view('<f2')` on a contiguous copy."
        ),
        "keeps_float32_of_blocks: must have dtype float32, got float16": (
            "Convert scale and minimum to float32 before the product: float16 has 11 bits, and rounds again."
        ),
    },
    why="""A block is the smallest compromise that works: 32 numbers share one scale, so a single outlier coarsens only
    its 31 neighbours. Four bits and two float16 make 5 bits a number, a sixth of float32. That the halves of a byte are
    16 numbers apart, not neighbours, lets a processor take 16 bytes and make 16 numbers with one `and`, and the other
    16 with one shift: no shuffling.""",
)
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
    d = blocks[:, 0:2].copy().view("<f2").astype(np.float32)
    m = blocks[:, 2:4].copy().view("<f2").astype(np.float32)
    codes = np.concatenate([blocks[:, 4:] & 15, blocks[:, 4:] >> 4], axis=1)
    return d * codes.astype(np.float32) + m


@task(
    points=2,
    difficulty="medium",
    minutes=15,
    hints={
        "rows_go_home: the rows went the other way": (
            "Row 2i of a head is to become row i, and row 2i + 1 row i + width/2: look at a head as (width/2, 2)."
        ),
        "each_head_by_itself: rows crossed from one head to another": "Split the rows into heads first.",
        "ValueError: cannot reshape array": (
            "The rows are heads * width, so half a head's width is rows // heads // 2; or leave it to NumPy: -1."
        ),
    },
    why="""Rotary positions turn pairs of coordinates, and which two make a pair is a convention: neighbours in Meta's
    files and in GGUF, halves in the Hugging Face layout. Rows of query and key are permuted alike, so q·k without
    rotation is the same in both. A model loaded with the wrong convention is therefore not obviously broken: it still
    writes words, and has lost the sense of where they stand.""",
)
def halves_from_interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """Put the rows of a query or key matrix into the order of half-split rotary pairs.

    weight: (heads * width, inputs); inside each head the rows of pair i are neighbours, 2i and 2i + 1
    returns: a new array of the same shape; inside each head the rows of pair i are i and i + width/2

    >>> halves_from_interleaved(np.array([[0], [10], [1], [11]]), heads=1).ravel()
    array([ 0,  1, 10, 11])
    """
    inputs = weight.shape[1]
    pairs = weight.reshape(heads, -1, 2, inputs)
    return pairs.swapaxes(1, 2).reshape(-1, inputs)


@task(
    points=3,
    difficulty="medium",
    minutes=25,
    hints={
        "reads_a_state_by_hand: the final norm is missing": (
            "The head was trained on normed states. Early states are much smaller than late ones: without the norm "
            "every early layer looks undecided."
        ),
        "reads_a_state_by_hand: the mean was subtracted": (
            "LLaMA's norm is RMSNorm: divide by the root mean square, and subtract nothing."
        ),
        "large_logits: RuntimeWarning: overflow": "Subtract each row's maximum before np.exp: the result is the same.",
        "keeps_float32_of_states: must have dtype float32, got float64": (
            "np.sqrt of a Python number is a float64 scalar. Let all constants be plain Python numbers."
        ),
    },
    why="""The residual stream is one space: every layer adds to it, and the head reads from it after the last. Reading
    it earlier asks what the model would say if it stopped there. Nothing forces an early layer to speak the head's
    language, and in the first layers it does not; that the later ones do is a finding, not a definition.""",
)
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
    scale = (np.mean(states * states, axis=-1, keepdims=True) + eps) ** -0.5
    logits = (states * scale * norm_weight) @ head.T
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


@task(
    points=2,
    difficulty="easy",
    minutes=15,
    hints={
        "a_conversation: there is no line end after <|im_end|>": "Every message ends with <|im_end|> and a line end.",
        "default_system: the model's own system message comes first": (
            "If the first message is not from the system, the default one is put before it (once)."
        ),
        "the_answer_begins: the text must end where the model shall go on": (
            "With add_generation_prompt the text ends with '<|im_start|>assistant' and a line end, and nothing more."
        ),
    },
    why="""A chat model is a language model that has read many texts of this one form. It answers because text goes on
    with an answer there. A space too many or a missing line end makes a text it has never seen; the answer gets
    worse, and nothing says why. This is the commonest mistake with chat models, and the reason that templates travel
    with the weights.""",
)
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
    text = ""
    if messages and messages[0]["role"] != "system":
        text += f"<|im_start|>system\n{default_system}<|im_end|>\n"
    for message in messages:
        text += f"<|im_start|>{message['role']}\n{message['content']}<|im_end|>\n"
    return text + ("<|im_start|>assistant\n" if add_generation_prompt else "")
