"""What the grader looks at in chapter 1. Nothing is hidden: read on if a message leaves you wondering.

Counts are compared with models that are really built, bits and bytes with exact fractions.
"""

from __future__ import annotations

import math

import numpy as np

import llm_from_scratch as lfs
from llm_from_scratch.grading import CheckFailed, check, check_close, check_raises, check_that, inputs_stay_unchanged

# --- count_parameters ---


def an_int(value):
    check_that(type(value) is int, f"the result must be a Python int, got {type(value).__name__}.")
    return value


def expect(what, got, expected, causes):
    """Equal, or the cause that explains the difference."""
    if got != expected:
        cause = next((name for name, value in causes.items() if value == got), "")
        raise CheckFailed(f"{what}: expected {expected!r}, got {got!r}.", cause)


def built(config):
    return lfs.build("llama", **config, max_position_embeddings=32).parameter_count


def a_config(rng, **more):
    heads = int(rng.integers(2, 5))
    sizes = {"vocab_size": int(rng.integers(30, 90)), "hidden_size": heads * 8, "num_attention_heads": heads}
    rest = {"intermediate_size": int(rng.integers(20, 60)), "num_hidden_layers": int(rng.integers(3, 6))}
    return sizes | rest | more


@check("count_parameters")
def by_hand(count_parameters, rng):
    """as many as a model that is built has"""
    config = a_config(rng, tie_word_embeddings=True)
    n, d, f, layers = built(config), config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
    causes = {
        "the norms were forgotten": n - (2 * layers + 1) * d,
        "the last norm was forgotten": n - d,
        "the feed-forward part has three matrices, not two": n - layers * d * f,
        "attention has four matrices, not three": n - layers * d * d,
        "a head was counted, but it is tied": n + config["vocab_size"] * d,
        "the layers were counted once": n - (layers - 1) * (4 * d * d + 3 * d * f + 2 * d),
        "biases were counted, and there are none": n + layers * (4 * d + 2 * f + d),
    }
    expect("parameters", an_int(count_parameters(config)), n, causes)


@check("count_parameters")
def untied(count_parameters, rng):
    """a head of its own, and what it means if the config does not say"""
    config = a_config(rng, tie_word_embeddings=False)
    n, table = built(config), config["vocab_size"] * config["hidden_size"]
    expect("parameters", an_int(count_parameters(config)), n, {"the head was forgotten": n - table})
    silent = {key: value for key, value in config.items() if key != "tie_word_embeddings"}
    try:
        got = count_parameters(silent)
    except KeyError as error:
        raise CheckFailed(f"KeyError: {error}", "a missing tie_word_embeddings means False") from None
    expect("without the entry", got, n, {"a missing tie_word_embeddings means False": n - table})


@check("count_parameters")
def grouped(count_parameters, rng):
    """keys and values for fewer heads"""
    config = a_config(rng) | {"num_attention_heads": 6, "hidden_size": 48, "num_key_value_heads": 2}
    n, layers = built(config), config["num_hidden_layers"]
    causes = {
        "keys and values are as wide as the queries here": n + layers * 2 * 48 * 4 * 8,
        "only one of keys and values was shared": n + layers * 48 * 4 * 8,
        "the output matrix reads all heads": n - layers * 48 * 4 * 8,
    }
    expect("parameters", an_int(count_parameters(config)), n, causes)
    one = config | {"num_key_value_heads": 1}
    expect("with one key-value head", count_parameters(one), built(one), {})
    expect(
        "with None",
        count_parameters(config | {"num_key_value_heads": None}),
        built(config | {"num_key_value_heads": 6}),
        {},
    )


@check("count_parameters")
def wide_heads(count_parameters, rng):
    """a head wider than its share"""
    config = a_config(rng) | {"num_attention_heads": 4, "hidden_size": 32, "num_key_value_heads": 2, "head_dim": 16}
    n = built(config)
    causes = {
        "the width of a head is hidden_size // num_attention_heads only if head_dim is not given": built(
            config | {"head_dim": 8}
        )
    }
    expect("parameters", an_int(count_parameters(config)), n, causes)
    silent = config | {"head_dim": None}  # as many a published config has it
    expect("with head_dim None", an_int(count_parameters(silent)), built(config | {"head_dim": 8}), {})


@check("count_parameters")
def llama_7b(count_parameters):
    """the published LLaMA 7B"""
    config = {"vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32}
    expect(
        "LLaMA 7B", an_int(count_parameters(config | {"num_attention_heads": 32, "bos_token_id": 1})), 6738415616, {}
    )


# --- bits_per_byte ---


@check("bits_per_byte")
def a_known_loss(bits_per_byte, rng):
    """a loss of k bits a token"""
    bits, tokens, size = float(rng.uniform(2, 9)), int(rng.integers(50, 99)), int(rng.integers(200, 400))
    expected = bits * tokens / size
    causes = {
        "nats, not bits": expected * math.log(2),
        "bits per token": bits,
        "multiplied by log 2": expected * math.log(2) ** 2,
        "tokens and bytes are exchanged": bits * size / tokens,
        "log base 10": expected * math.log(2) / math.log(10),
        "a perplexity per byte": 2**expected,
    }
    got = bits_per_byte(bits * math.log(2), tokens, size)
    check_that(type(got) is float, f"the result must be a Python float, got {type(got).__name__}.")
    check_close("bits per byte", got, expected, 1e-9, causes)


@check("bits_per_byte")
def any_sizes(bits_per_byte):
    """tokens of many bytes, and bytes of several tokens"""
    for tokens, size in ((1, 9), (9, 1), (7, 7), (2000, 3001)):
        check_close(
            f"tokens: {tokens}, bytes: {size}", bits_per_byte(3 * math.log(2), tokens, size), 3 * tokens / size, 1e-9
        )
    check_that(bits_per_byte(0.0, 5, 10) == 0.0, "a loss of 0 is 0 bits.")


# --- in_words ---


def mistral(**changes):
    config = {"num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 4096, "intermediate_size": 14336}
    config |= {"max_position_embeddings": 32768, "sliding_window": 4096, "tie_word_embeddings": False}
    return {key: value for key, value in (config | changes).items() if value != "away"}


def said(in_words, config, key):
    got = in_words(config)
    keys = {"attention", "head width", "window", "widening", "head"}
    check_that(isinstance(got, dict) and set(got) == keys, f"a dict of {sorted(keys)} was expected, got {got!r}.")
    return got[key]


ONE_FOR_ALL = "multi-query has one key-value head for all"


@check("in_words")
def sharing(in_words):
    """who shares keys and values"""
    for heads, shared, expected, cause in (
        (32, 8, "grouped-query", ""), (32, 32, "multi-head", ""), (71, 1, "multi-query", ONE_FOR_ALL),
        (32, "away", "multi-head", "a config without num_key_value_heads is multi-head"),
        (32, None, "multi-head", "a config without num_key_value_heads is multi-head"), (6, 2, "grouped-query", ""),
    ):  # fmt: skip
        config = mistral(num_attention_heads=heads, num_key_value_heads=shared)
        try:
            got = said(in_words, config, "attention")
        except (KeyError, TypeError) as error:
            raise CheckFailed(f"num_key_value_heads {shared}: {type(error).__name__}: {error}", cause) from None
        check_that(
            got == expected, f"{heads} heads, num_key_value_heads {shared}: expected {expected!r}, got {got!r}.", cause
        )


@check("in_words")
def one_head(in_words):
    """a model with a single head"""
    got = said(in_words, mistral(num_attention_heads=1, num_key_value_heads=1), "attention")
    check_that(
        got == "multi-head",
        f"1 head, 1 key-value head: expected 'multi-head', got {got!r}.",
        "a single head is multi-head",
    )


@check("in_words")
def windows(in_words):
    """a window only where it hides something"""
    hides = "a window at least as long as the context hides nothing"
    for window, expected, cause in ((4096, 4096, ""), (32768, None, hides), (40000, None, hides), (None, None, ""),
                                    ("away", None, ""), (32767, 32767, ""), (1, 1, "")):  # fmt: skip
        try:
            got = said(in_words, mistral(sliding_window=window), "window")
        except (KeyError, TypeError) as error:
            raise CheckFailed(f"sliding_window {window}: {type(error).__name__}: {error}", "") from None
        check_that(got == expected, f"sliding_window {window} of 32768: expected {expected!r}, got {got!r}.", cause)


@check("in_words")
def sizes(in_words, rng):
    """the width of a head, and how much wider the feed-forward part is"""
    heads, width = int(rng.integers(3, 9)), int(rng.integers(40, 90))
    config = mistral(num_attention_heads=heads, hidden_size=heads * width, intermediate_size=heads * width * 8 // 3)
    got = said(in_words, config, "head width")
    check_that(type(got) is int and got == width, f"head width: expected {width}, got {got!r}.", "")
    expected = round(config["intermediate_size"] / (heads * width), 2)
    check_close("widening", said(in_words, config, "widening"), expected, 1e-9, {
        "the other way round": round(heads * width / config["intermediate_size"], 2),
        "rounded down to a whole number": config["intermediate_size"] // (heads * width),
        "cut off after two digits, not rounded": 100 * config["intermediate_size"] // (heads * width) / 100,
    })  # fmt: skip


@check("in_words")
def the_head(in_words):
    """whether the table is used twice"""
    for value, expected in ((True, "tied"), (False, "its own"), (None, "its own"), ("away", "its own")):
        try:
            got = said(in_words, mistral(tie_word_embeddings=value), "head")
        except KeyError as error:
            raise CheckFailed(f"KeyError: {error}", "a missing tie_word_embeddings means False") from None
        check_that(got == expected, f"tie_word_embeddings {value}: expected {expected!r}, got {got!r}.", "")


# --- memory_to_load ---


@check("memory_to_load")
def weights_alone(memory_to_load):
    """no text yet"""
    for parameters, bits in ((7_000_000, 16), (7_000_000, 4.5), (7_000_001, 4.5), (100_000_000_000, 8)):
        expected = parameters * bits / 8
        causes = {"bits were taken for bytes": parameters * bits, "16 bits were taken for all": parameters * 2.0}
        causes["rounded down to whole bytes"] = float(parameters * bits // 8)
        causes = {name: value for name, value in causes.items() if value != expected}
        got = memory_to_load(parameters, bits, 3, 2, 16, 0)
        check_that(type(got) is float, f"the result must be a Python float, got {type(got).__name__}.")
        check_close(f"{parameters:,} parameters in {bits} bits", got, expected, 1e-3, causes)


@check("memory_to_load")
def with_texts(memory_to_load, rng):
    """keys and values of every layer, head, token and text"""
    layers, heads, width, tokens, texts = (int(n) for n in rng.integers(3, 30, 5))
    weights, cache = 1000 * 4 / 8, 4.0 * layers * heads * width * tokens * texts
    causes = {
        "keys were counted, values were not": weights + cache / 2,
        "one text was counted": weights + cache / texts,
        "one layer was counted": weights + cache / layers,
        "one head was counted": weights + cache / heads,
        "one token was counted": weights + cache / tokens,
        "the memory is kept in 16 bits, whatever the weights are kept in": weights + cache / 4,
        "the memory was counted in 32 bits": weights + cache * 2,
        "the weights were forgotten": cache,
        "the memory was forgotten": weights,
        "a tenth was added": 1.1 * (weights + cache),
    }
    check_close("bytes", memory_to_load(1000, 4, layers, heads, width, tokens, texts), weights + cache, 1e-3, causes)
    one = weights + cache / texts
    check_close("bytes of one text", memory_to_load(1000, 4, layers, heads, width, tokens), one, 1e-3)


# --- next_token_batch ---


@check("next_token_batch")
def shifted(next_token_batch, rng):
    """each place predicts the next token of the stream"""
    stream, starts = rng.permutation(500), rng.integers(0, 400, 6)
    ids, targets = next_token_batch(stream, starts, 7)
    expected = np.array([[stream[s + t] for t in range(7)] for s in starts])
    check_close(
        "ids",
        ids,
        expected,
        1e-9,
        {"one token late": np.array([[stream[s + t + 1] for t in range(7)] for s in starts])},
    )
    after = [np.array([[stream[s + t + k] for t in range(7)] for s in starts]) for k in (1, 0, 2, -1)]
    causes = {
        "the targets are the tokens that are read": after[1],
        "two tokens ahead": after[2],
        "the token before, not the next one": after[3],
        "rolled inside the window: the last place predicts the first token": np.roll(expected, -1, axis=1),
        "the rows were exchanged": np.roll(after[0], 1, axis=0),
        "rolled along the rows, not along the text": np.roll(expected, 1, axis=0),
    }
    check_close("targets", targets, after[0], 1e-9, causes)


@check("next_token_batch")
def one_row(next_token_batch):
    """a single window, and a context of one"""
    stream = np.array([3, 1, 4, 1, 5, 9, 2, 6], dtype=np.uint16)
    ids, targets = next_token_batch(stream, np.array([2]), 1)
    check_close("ids", ids, np.array([[4]], np.uint16), 1e-9)
    check_close("targets", targets, np.array([[1]], np.uint16), 1e-9)
    ids, targets = next_token_batch(stream, np.array([2, 2]), 3)
    check_close("targets of equal rows", targets, np.array([[1, 5, 9], [1, 5, 9]], np.uint16), 1e-9)


@check("next_token_batch")
def to_the_end(next_token_batch):
    """the last window that fits, and none beyond"""
    stream = np.arange(10, 20)
    try:
        _, targets = next_token_batch(stream, np.array([0, 5]), 4)
    except ValueError:
        raise CheckFailed(
            "a window from 5 with its target at 9 fits into 10 tokens.", "the last window that fits was refused"
        ) from None
    check_close("targets", targets, np.array([[11, 12, 13, 14], [16, 17, 18, 19]]), 1e-9)
    past = "a window past the end must be a ValueError"
    check_raises(
        "a window whose last target lies outside", ValueError, next_token_batch, stream, np.array([0, 6]), 4, cause=past
    )
    check_raises("a window far outside", ValueError, next_token_batch, stream, np.array([40]), 4, cause=past)
    check_raises(
        "a negative start", ValueError, next_token_batch, stream, np.array([-5, 0]), 4,
        cause="a negative start counts from the end in NumPy",
    )  # fmt: skip
    for starts in ([0, 40, 1], [2, -5, 0]):
        check_raises(
            f"starts {starts}", ValueError, next_token_batch, stream, np.array(starts), 4,
            cause="the starts come in any order",
        )  # fmt: skip


inputs_stay_unchanged("count_parameters", "in_words", "next_token_batch")
