"""Stand-ins for models and tokenizers, whose every answer is known."""

from __future__ import annotations

import codecs
from pathlib import Path

import numpy as np

import llm_from_scratch as lfs
from llm_from_scratch.families import all_families
from llm_from_scratch.layers import FeedForwardSpec, HyenaSpec, LayerSpec, Normal, NormSpec
from llm_from_scratch.layers.implicit_filter import ImplicitFilterSpec
from llm_from_scratch.recipes.miniature import miniature

FIXTURES = Path(__file__).parents[1] / "families" / "fixtures"
# One of each way to remember, and to say where a token stands.
MODELS = (
    "gpt2_tied", "gpt_neo_local", "llama_gqa", "llama_dynamic", "mistral_window", "mixtral_window", "mamba_biased",
    "mpt_4_heads", "falcon_rw", "bloom_6_heads", "opt_pre", "phi_half", "qwen2_window",
    "decilm", "gopher", "qwen", "stripedhyena", "implicit hyena", "learned prefix", "learned prompt", "packed",
)  # fmt: skip


def model_of(name):
    """A tiny model that is not sure of anything, in float64; packed ones know float32 only."""
    if (FIXTURES / name).exists():
        return lfs.from_pretrained(FIXTURES / name, dtype=np.float64)
    if name == "implicit hyena":
        hyena = HyenaSpec(16, ImplicitFilterSpec(length=64, width=8), init=Normal(0.3), output_init=Normal(0.3))
        layer = LayerSpec.sequential(hyena, FeedForwardSpec(16, 32), NormSpec(16))
        spec = lfs.ModelSpec(vocab_size=30, hidden_size=16, layers=(layer,) * 2, norm=NormSpec(16), context_length=64)
        return lfs.Decoder(spec, np.random.default_rng(0)).astype(np.float64)
    if name in ("learned prefix", "learned prompt", "packed"):
        model = model_of("llama_gqa")
        if name == "packed":
            return lfs.compression.quantize_model(model.astype(np.float32), "rtn", bits=4, group_size=4)
        add = lfs.adapters.add_prefix if name == "learned prefix" else lfs.adapters.add_prompt
        add(model, 3)
        return model
    release = next(iter(all_families()[name].sizes), all_families()[name].model_types[0])
    sizes = {"layers": 2, "width": 32, "heads": 4, "context": 64, "vocabulary": 30, "parameters": 12_000}
    config = miniature(release, **sizes)
    model, rng = lfs.build(config.pop("model_type"), dtype=np.float64, **config), np.random.default_rng(1)
    for _, parameter in model.named_parameters():
        parameter.data = parameter.data + 0.3 * rng.normal(size=parameter.shape)
    return model


V = 40


class Stepping:
    """A stand-in for a model: logits that depend on every real token so far, by a hash. Counts what it is asked."""

    position_limit = None

    def __init__(self, vocabulary=V):
        self.vocabulary, self.calls = vocabulary, []

    def new_memory(self, batch_size):
        return [[] for _ in range(batch_size)]

    def step(self, ids, memory, mask=None):
        ids = np.asarray(ids)
        self.calls.append(ids.shape)
        mask = np.ones(ids.shape, bool) if mask is None else mask
        for row, seen in enumerate(memory):
            seen += ids[row][mask[row]].tolist()
        return np.stack([np.random.default_rng(seen).normal(size=self.vocabulary) * 2 for seen in memory])


class Scripted:
    """Says given tokens, whatever the prompt."""

    def __init__(self, *tokens, vocabulary=300):
        self.tokens, self.vocabulary = tokens, vocabulary

    def new_memory(self, batch_size):
        return [0]

    def step(self, ids, memory, mask=None):
        logits = np.zeros((len(ids), self.vocabulary))
        logits[:, self.tokens[min(memory[0], len(self.tokens) - 1)]] = 1000.0
        memory[0] += 1
        return logits


class ByteTokenizer:
    """One token a byte, and 256 for "<end>": characters come in parts."""

    def encode(self, text):
        return list(text.encode("utf-8"))

    def stream_decoder(self):
        return IncrementalDecoder()


class IncrementalDecoder:
    def __init__(self):
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token):
        return self.decoder.decode(b"<end>" if token == 256 else bytes([token]))

    def flush(self):
        return self.decoder.decode(b"", final=True)


class Letters:
    """One token a letter: "abc…"."""

    def encode(self, text):
        return [ord(letter) - ord("a") for letter in text]

    def stream_decoder(self):
        return self

    def push(self, token):
        return chr(ord("a") + token)

    def flush(self):
        return ""


class PieceTokenizer:
    """Tokens that are whole strings."""

    def __init__(self, *pieces):
        self.pieces = pieces

    def encode(self, text):
        return [self.pieces.index(text)]

    def stream_decoder(self):
        return self

    def push(self, token):
        return self.pieces[token]

    def flush(self):
        return ""


class Table:
    """What comes next depends on the last `order` tokens; its memory is those, row by row."""

    position_limit = None

    def __init__(self, table):
        self.table = np.asarray(table)
        self.order = self.table.ndim - 1
        self.calls = []

    def new_memory(self, batch_size):
        return Last(np.zeros((batch_size, self.order), int))

    def step(self, ids, memory, mask=None):
        self.calls.append(ids.shape)
        memory.tokens = np.concatenate([memory.tokens, ids], axis=1)[:, -self.order :]
        return self.table[tuple(memory.tokens.T)]


class Last:
    def __init__(self, tokens):
        self.tokens = tokens

    def select(self, rows):
        self.tokens = self.tokens[np.asarray(rows)]


def random_table(seed, vocabulary=5, order=2, spread=1.5):
    return np.random.default_rng(seed).normal(size=(vocabulary,) * (order + 1)) * spread
