"""What is opened elsewhere: small models of every family, and tokenizers, as we save them.

Shared by test_exports.py and by fixtures/make_exports.py, which freezes what other libraries said of them.
"""

import json
from pathlib import Path

import numpy as np

import llm_from_scratch as lfs
from llm_from_scratch.families import find_release
from llm_from_scratch.recipes.miniature import miniature

# A release of each family that the transformers library knows, and relatives with options of their own.
RELEASES = (
    "gpt2", "gpt-neo-125m", "pythia-70m", "gpt-neox-20b", "opt-125m", "opt-350m", "galactica-125m", "bloom-560m",
    "mpt-7b", "falcon-rw-1b", "falcon-7b", "falcon-40b", "llama-7b", "llama-2-70b", "yi-6b", "xgen-7b-8k",
    "solar-10.7b", "mistral-7b", "mixtral-8x7b", "qwen2-0.5b", "phi-2", "mamba-130m",
)  # fmt: skip
# The others, with what opens what is saved of them.
NOT_IN_TRANSFORMERS = {
    "decilm": "the authors' code, which is loaded with the weights",
    "glm": "GLM-130B's own code (SwissArmyTransformer)",
    "gopher": "nothing: neither code nor weights were published",
    "qwen": "the authors' code, which is loaded with the weights; as GGUF, llama.cpp",
    "stripedhyena": "the authors' code",
}
KINDS = ("F32", "F16", "Q8_0", "Q4_0")  # of the GGUF files that are opened
ROWS = 64
TEXTS = (
    "", " ", "\n\n \t", "Hello, world!", "  two  spaces ", "naïve café ﬁ ① İ", "日本語と한국어", "a\u0301 e\u0301",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea", "x" * 60, "1234567 3.14 1,000",
    "<s> </s> <unk>", "\ufeffBOM", "\u200bzero\u00a0width", "don't we'll I'D", "a\r\nb\rc",
)  # fmt: skip


def random_model(release):
    """A miniature of a release, all its parameters random: zeros and ones would hide what is exchanged."""
    config = miniature(release, width=64, layers=2, context=32, vocabulary=ROWS)
    model = lfs.build(config.pop("model_type"), **config)
    rng = np.random.default_rng(sum(map(ord, release)))
    for name, parameter in model.named_parameters():
        scale = 0.02 if name.rsplit(".")[-1] in ("log_a", "A_log") else 0.1
        parameter.data += (scale * rng.normal(size=parameter.shape)).astype(np.float32)
    return model


def family_of(release):
    """The family's name."""
    return find_release(release)[0].name


def ids():
    """Two rows of tokens."""
    return np.random.default_rng(3).integers(0, ROWS, (2, 12))


def described(directory):
    """What stands in a saved directory: the config, and of each tensor its format, shape and a number of its values."""
    content = (Path(directory) / "model.safetensors").read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    tensors = {}
    for name, entry in sorted(header.items()):
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            values = np.frombuffer(content[8 + size + begin : 8 + size + end], "<f4").astype(np.float64)
            weights = 1.5 + np.cos(np.arange(values.size))  # so that every entry counts, by its place
            tensors[name] = [entry["dtype"], *entry["shape"], round(float(values @ weights), 4)]
    return {"config": json.loads((Path(directory) / "config.json").read_text("utf-8")), "tensors": tensors}


def tokenizers():
    """Ours, by name: trained here, and read from the files of others."""
    text = " ".join(TEXTS) * 3 + " the quick brown fox jumps over the lazy dog " * 20
    fixtures = Path(__file__).parents[1] / "tokenizers" / "fixtures"
    return {
        "byte-level BPE, trained here": lfs.Tokenizer.train([text], vocab_size=400),
        "byte-level BPE, GPT-2's two files": lfs.Tokenizer.from_pretrained(fixtures / "gpt2_pair"),
        "SentencePiece, LLaMA's options": lfs.Tokenizer.from_pretrained(fixtures / "sentencepiece" / "llama.model"),
        "SentencePiece, its defaults": lfs.Tokenizer.from_pretrained(fixtures / "sentencepiece" / "default.model"),
    }
