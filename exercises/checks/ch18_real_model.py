"""What the grader looks at in chapter 18. Nothing is hidden: read on if a message leaves you wondering.

Blocks are unpacked one number at a time with Python's own integers and struct; permutations are followed row by row;
the lens is computed in float64 with logarithms; expected conversations are written out.
"""

from __future__ import annotations

import struct

import numpy as np

from llm_from_scratch.grading import check, check_close, check_equal, check_separate, inputs_stay_unchanged


def random_blocks(rng, count):
    blocks = rng.integers(0, 256, (count, 20)).astype(np.uint8)
    for row in blocks:
        row[:4] = np.frombuffer(struct.pack("<ee", *rng.normal(size=2) * (1.0, 8.0)), np.uint8)
    return blocks


def one_by_one(blocks):
    """Every number by itself."""
    rows = []
    for raw in (bytes(row) for row in blocks):
        d, m = struct.unpack("<ee", raw[:4])
        rows.append([d * (raw[4 + k % 16] >> (0 if k < 16 else 4) & 15) + m for k in range(32)])
    return np.array(rows)


# --- dequantize_q4_1 ---


@check("dequantize_q4_1")
def one_block_by_hand(dequantize_q4_1):
    """d = 0.5, m = -2, and every byte with equal halves: no order to get wrong"""
    block = np.array([list(struct.pack("<ee", 0.5, -2.0)) + [17 * j for j in range(16)]], np.uint8)
    expected = np.array([[0.5 * (k % 16) - 2 for k in range(32)]], np.float32)
    codes = (expected + 2) * 2
    causes = {
        "scale and minimum are exchanged": -2 * codes + np.float32(0.5),
        "the minimum is subtracted": 0.5 * codes + np.float32(2),
        "the minimum is multiplied by the scale": np.float32(0.5) * (codes - 2),
        "the codes are taken for -8 … 7, as in Q4_0": 0.5 * (codes - 8) - np.float32(2),
        "the minimum is missing": np.float32(0.5) * codes,
    }
    check_close("the numbers", dequantize_q4_1(block), expected, 1e-6, causes)


@check("dequantize_q4_1")
def order_of_the_nibbles(dequantize_q4_1):
    """low halves first, then high halves"""
    block = np.array([[0, 60, 0, 0] + [16 * (15 - j) + j for j in range(16)]], np.uint8)
    expected = np.array([[*range(16), *range(15, -1, -1)]], np.float32)
    causes = {
        "the high halves come first": np.roll(expected, 16, axis=1),
        "neighbours come from one byte": expected.reshape(2, 16).T.reshape(1, 32),
    }
    check_close("the numbers", dequantize_q4_1(block), expected, 1e-6, causes)


@check("dequantize_q4_1")
def many_blocks(dequantize_q4_1, rng):
    """each block with a scale and a minimum of its own"""
    blocks = random_blocks(rng, 7)
    check_close("the numbers", dequantize_q4_1(blocks), one_by_one(blocks).astype(np.float32), 1e-5)
    check_equal("the shape for no blocks", dequantize_q4_1(blocks[:0]).shape, (0, 32))


@check("dequantize_q4_1")
def keeps_float32_of_blocks(dequantize_q4_1, rng):
    """float32, and computed in it: float16 would round 3.0 * 15 + 1000.5 once more"""
    block = np.array([list(struct.pack("<ee", 3.004, 1000.5)) + 16 * [255]], np.uint8)
    check_close("the numbers", dequantize_q4_1(block), one_by_one(block).astype(np.float32), 1e-3)


# --- halves_from_interleaved ---


@check("halves_from_interleaved")
def rows_go_home(halves_from_interleaved):
    """one head of width 8: pairs (0, 1), (2, 3) … become (0, 4), (1, 5) …"""
    weight = np.arange(8.0)[:, None] * np.ones(3)
    expected = np.array([0.0, 2, 4, 6, 1, 3, 5, 7])[:, None] * np.ones(3)
    causes = {
        "the rows went the other way": np.array([0.0, 4, 1, 5, 2, 6, 3, 7])[:, None] * np.ones(3),
        "nothing was moved": weight,
    }
    check_close("the rows", halves_from_interleaved(weight, 1), expected, 1e-9, causes)


@check("halves_from_interleaved")
def each_head_by_itself(halves_from_interleaved, rng):
    """three heads of width 6, row by row"""
    weight = rng.normal(size=(18, 5)) * 10
    expected = np.zeros_like(weight)
    whole = np.zeros_like(weight)
    for row in range(18):
        head, place = divmod(row, 6)
        expected[6 * head + (place % 2) * 3 + place // 2] = weight[row]
        whole[(row % 2) * 9 + row // 2] = weight[row]
    causes = {"rows crossed from one head to another": whole}
    check_close("the rows", halves_from_interleaved(weight, 3), expected, 1e-9, causes)


@check("halves_from_interleaved")
def scores_agree(halves_from_interleaved, rng):
    """permuting query and key alike leaves their products alone; a permutation and nothing else"""
    q, k, x = rng.normal(size=(8, 6)), rng.normal(size=(8, 6)), 10 * rng.normal(size=6)
    before = (q[:4] @ x) @ (k[:4] @ x)
    after = (halves_from_interleaved(q, 2)[:4] @ x) @ (halves_from_interleaved(k, 2)[:4] @ x)
    check_close("q·k of the first head", after, before, 1e-9)


@check("halves_from_interleaved")
def smallest_heads(halves_from_interleaved, rng):
    """heads of one pair stay as they are; one input; four heads of width 4"""
    for heads, width, inputs in ((3, 2, 2), (1, 2, 1), (2, 6, 1), (4, 4, 16)):
        weight = rng.normal(size=(heads * width, inputs)) * 10
        rows = [h * width + r for h in range(heads) for r in [*range(0, width, 2), *range(1, width, 2)]]
        name = f"the rows of {heads} heads of width {width}, {inputs} inputs"
        check_close(name, halves_from_interleaved(weight, heads), weight[rows], 1e-12)


@check("halves_from_interleaved")
def returns_new_rows(halves_from_interleaved, rng):
    """a new array, of the dtype that came in"""
    weight = rng.normal(size=(8, 4)).astype(np.float32)
    result = halves_from_interleaved.raw(weight, 2)
    check_separate("the result", result, weight)
    expected = weight[[0, 2, 1, 3, 4, 6, 5, 7]]
    check_close("the rows", result, expected, 1e-6)


# --- logit_lens ---


def lens(states, norm_weight, head, eps):
    """In float64, through the logarithm of each probability."""
    states = states.astype(np.float64)
    normed = states / np.sqrt((states**2).mean(-1, keepdims=True) + eps) * norm_weight
    logits = np.einsum("ltd,vd->ltv", normed, head.astype(np.float64))
    return np.exp(logits - np.logaddexp.reduce(logits, axis=-1)[..., None])


def without(logits):
    """The softmax alone."""
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


def eps_beside(states, weight, head, eps):
    return without(states / (np.sqrt((states**2).mean(-1, keepdims=True)) + eps) * weight @ head.T)


def a_model(rng, layers=3, tokens=4, hidden=6, vocabulary=9):
    growth = 4.0 ** np.arange(layers)[:, None, None]
    states = rng.normal(size=(layers, tokens, hidden)) * growth + 0.3
    return states, rng.uniform(0.5, 2.0, hidden), rng.normal(size=(vocabulary, hidden))


@check("logit_lens")
def reads_a_state_by_hand(logit_lens, rng):
    """states that grow from layer to layer, as real ones do"""
    states, weight, head = a_model(rng)
    centred = states - states.mean(-1, keepdims=True)
    causes = {
        "the final norm is missing": without(states @ head.T),
        "the weight of the norm is missing": lens(states, np.ones_like(weight), head, 1e-5),
        "the sum of squares stands where their mean should: scaled by the width": lens(
            states / 6**0.5, weight / 6**0.5, head, 1e-5 / 6
        ),
        "eps is missing": lens(states, weight, head, 0.0),
        "eps stands beside the root": eps_beside(states, weight, head, 1e-5),
        "the mean was subtracted": lens(centred, weight, head, 1e-5),
        "these are logits, not probabilities": np.log(lens(states, weight, head, 1e-5)),
    }
    check_close("the probabilities", logit_lens(states, weight, head), lens(states, weight, head, 1e-5), 1e-10, causes)


@check("logit_lens")
def eps_is_used(logit_lens, rng):
    """tiny states with an eps of their own size, which stands under the root"""
    states, weight, head = a_model(rng)
    states *= 0.1
    expected = lens(states, weight, head, 0.04)
    causes = {
        "eps is built in": lens(states, weight, head, 1e-5),
        "eps stands beside the root": eps_beside(states, weight, head, 0.04),
        "eps is missing": lens(states, weight, head, 0.0),
    }
    check_close("the probabilities", logit_lens(states, weight, head, 0.04), expected, 1e-10, causes)


@check("logit_lens")
def large_logits(logit_lens, rng):
    """logits of several thousands, in some rows near each other, in others not: no overflow, and still right"""
    states, weight, head = a_model(rng)
    expected = lens(states, weight, 1000 * head, 1e-5)
    check_close("the probabilities", logit_lens(states, weight, 1000 * head), expected, 1e-8)
    states[0, :, 0], states[1, :, 0] = 1e6, -1e6  # so that all logits of a row are large, up or down
    head[:, 0], weight[0] = 2000.0, 1.0
    expected = lens(states, weight, head, 1e-5)
    check_close("the probabilities near 2000 and -2000", logit_lens(states, weight, head), expected, 1e-8)


@check("logit_lens")
def smallest_lens(logit_lens, rng):
    """one layer, one token, one number a state, one word"""
    for layers, tokens, hidden, vocabulary in ((1, 1, 6, 5), (1, 4, 1, 3), (2, 1, 3, 1), (4, 4, 4, 4)):
        states, weight, head = a_model(rng, layers, tokens, hidden, vocabulary)
        name = f"the probabilities for {layers} layers, {tokens} tokens, hidden {hidden}, {vocabulary} words"
        check_close(name, logit_lens(states, weight, head), lens(states, weight, head, 1e-5), 1e-10)


@check("logit_lens")
def keeps_float32_of_states(logit_lens, rng):
    """float32 in, float32 out"""
    states, weight, head = (part.astype(np.float32) for part in a_model(rng))
    expected = lens(states, weight, head, 1e-5).astype(np.float32)
    check_close("the probabilities", logit_lens(states, weight, head), expected, 1e-4)


# --- chatml ---

TALK = [
    {"role": "user", "content": " Why?\n"},
    {"role": "assistant", "content": "Because."},
    {"role": "user", "content": "Oh."},
]
WRITTEN = (
    "<|im_start|>user\n Why?\n<|im_end|>\n<|im_start|>assistant\nBecause.<|im_end|>\n<|im_start|>user\nOh.<|im_end|>\n"
)


@check("chatml")
def a_conversation(chatml):
    """four messages with a system message of their own, contents as they are"""
    system = {"role": "system", "content": "Be brief."}
    expected = "<|im_start|>system\nBe brief.<|im_end|>\n" + WRITTEN
    causes = {
        "there is no line end after <|im_end|>": expected.replace("<|im_end|>\n", "<|im_end|>"),
        "contents are to be left as they are, spaces and line ends included": expected.replace(" Why?\n<", "Why?<"),
        "the default stands beside the conversation's own": "<|im_start|>system\nD<|im_end|>\n" + expected,
        "the text must not end with the beginning of an answer": expected + "<|im_start|>assistant\n",
    }
    check_equal("the text", chatml([system, *TALK], "D", False), expected, causes)


@check("chatml")
def default_system(chatml):
    """a conversation that begins with the user"""
    expected = "<|im_start|>system\nBe kind.<|im_end|>\n" + WRITTEN
    causes = {
        "the default system message is missing": WRITTEN,
        "the default system message comes first, not last": WRITTEN + "<|im_start|>system\nBe kind.<|im_end|>\n",
    }
    check_equal("the text", chatml(TALK, "Be kind.", False), expected, causes)


@check("chatml")
def the_answer_begins(chatml):
    """with add_generation_prompt the text ends where the model shall go on"""
    expected = "<|im_start|>system\nD<|im_end|>\n" + WRITTEN + "<|im_start|>assistant\n"
    causes = {
        "the line end after 'assistant' is missing": expected[:-1],
        "the text must end where the model shall go on, without <|im_end|>": expected + "<|im_end|>\n",
        "the beginning of the answer is missing": expected.removesuffix("<|im_start|>assistant\n"),
    }
    check_equal("the text", chatml(TALK, "D", True), expected, causes)


@check("chatml")
def a_late_system_message(chatml):
    """only the first message counts for the default; one from the system may also come later"""
    late = [TALK[0], {"role": "system", "content": "Now rhyme."}]
    expected = (
        "<|im_start|>system\nD<|im_end|>\n<|im_start|>user\n Why?\n<|im_end|>\n"
        "<|im_start|>system\nNow rhyme.<|im_end|>\n"
    )
    check_equal("the text", chatml(late, "D", False), expected)


@check("chatml")
def nothing_said(chatml):
    """an empty conversation is an empty text, or only the beginning of an answer"""
    check_equal("the text", chatml([], "D", False), "")
    check_equal("the text", chatml([], "D", True), "<|im_start|>assistant\n")


inputs_stay_unchanged("dequantize_q4_1", "halves_from_interleaved", "logit_lens", "chatml")
