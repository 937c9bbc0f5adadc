"""Measures what chapter 24 shows of SmolLM2 in many formats: `python chapters/results/24_quantisation.py`.

Every matrix of a linear layer is rounded to a format and back; embedding and head, which are one, and norms stay. The
text is 24_prose.txt, paragraphs of this book, in windows of 512 tokens. Writes 24_quantisation.json after each format,
goes on where it was stopped, and takes about a minute a format on one core.
"""

import json
from pathlib import Path

import numpy as np

import llm_from_scratch as lfs
from llm_from_scratch import quantization as Q
from llm_from_scratch.files.download import fetch
from llm_from_scratch.layers import Linear
from llm_from_scratch.quantization.grid import round_to_grid
from llm_from_scratch.scoring.windows import perplexity

TOKENS, CONTEXT, BLOCK = 2049, 512, 64
HERE = Path(__file__).parent


# --- What a format makes of a matrix (outputs, inputs): the numbers again, and the bits they took


def floats(name, group=None):
    """A cast; with a group, after division by its largest magnitude, which is kept in 16 bits."""

    def make(w):
        kind = Q.FORMATS[name]
        if group is None:
            return kind.round(w, saturate=True).astype(np.float32), kind.bits * w.size
        parts = w.reshape(-1, group)
        scale = (np.abs(parts).max(axis=1, keepdims=True) / kind.largest).astype(np.float16).astype(np.float32)
        values = kind.round(parts / np.where(scale > 0, scale, 1), saturate=True).astype(np.float32) * scale
        return values.reshape(w.shape), (kind.bits + 16 / group) * w.size

    return make


def table(module, block, double=False):
    """NF4 or FP4, a float32 magnitude a block, or double quantisation's byte and what it needs."""

    def make(w):
        packed, absmax = module.quantize(w, block)
        extra = 32.0 * absmax.size
        if double:
            codes, scales, offset = Q.nf4.double_quantize(absmax)
            absmax, extra = Q.nf4.double_dequantize(codes, scales, offset), 8.0 * codes.size + 32 * scales.size
        return module.dequantize(packed, absmax, w.shape, block), 4 * w.size + extra

    return make


def blocks(kind):
    def make(w):
        data = Q.quantize(w, kind)
        return Q.dequantize(data, kind), 8 * data.nbytes

    return make


def rounding(bits, group=None):
    """Zero-point: a scale of 16 bits and a zero of `bits` a group."""

    def make(w):
        grid = round_to_grid(w, bits=bits, group_size=group)
        return grid.values(), bits * w.size + (16 + bits) * grid.scale.size

    return make


def absmax(bits, group):
    def make(w):
        made = Q.absmax_quantize(w, bits=bits, per=group)
        return made.values(), bits * w.size + 16 * made.scale.size

    return make


def int8_rows(w):
    codes, largest = Q.int8.quantize_rows(w)
    return Q.int8.dequantize_rows(codes, largest), 8 * w.size + 32 * largest.size


FORMATS = {
    "float32": ("floats", floats("float32")),
    "Q4_0": ("GGUF blocks of 32", blocks("Q4_0")),
    "Q8_0": ("GGUF blocks of 32", blocks("Q8_0")),
    "NF4, 64": ("NF4", table(Q.nf4, 64)),
    "rounded 4, 64": ("rounding", rounding(4, 64)),
    "rounded 3, 64": ("rounding", rounding(3, 64)),
    "int8 weights": ("int8", int8_rows),
    "int8, outliers split off": ("int8", 6.0),
    "int8, nothing split off": ("int8", np.inf),
    "float8_e4m3fn": ("floats", floats("float8_e4m3fn")),
    "float8_e5m2": ("floats", floats("float8_e5m2")),
    "rounded 2, 32": ("rounding", rounding(2, 32)),
    "rounded 4, 192": ("rounding", rounding(4, 192)),
    "rounded 4, a row": ("rounding", rounding(4)),
    "rounded 4, 32": ("rounding", rounding(4, 32)),
    "rounded 3, 32": ("rounding", rounding(3, 32)),
    "rounded 3, 192": ("rounding", rounding(3, 192)),
    "rounded 2, 64": ("rounding", rounding(2, 64)),
    "NF4, 64, double": ("NF4", table(Q.nf4, 64, double=True)),
    "NF4, 32": ("NF4", table(Q.nf4, 32)),
    "FP4, 64": ("FP4", table(Q.fp4, 64)),
    "absmax 4, 64": ("absmax", absmax(4, 64)),
    "absmax 4, 32": ("absmax", absmax(4, 32)),
    "float4_e2m1fn, 32": ("floats", floats("float4_e2m1fn", 32)),
    "Q5_0": ("GGUF blocks of 32", blocks("Q5_0")),
    "Q5_1": ("GGUF blocks of 32", blocks("Q5_1")),
    "Q4_1": ("GGUF blocks of 32", blocks("Q4_1")),
    "bfloat16": ("floats", floats("bfloat16")),
}


def measured(model, ids, size, bits):
    found = perplexity(model, ids, context=CONTEXT)
    sums = -found.log_probabilities.reshape(-1, BLOCK).sum(axis=1)
    return {"bits": round(bits / size, 4), "perplexity": round(found.value, 4), "blocks": [round(x, 4) for x in sums]}


def main():
    out = HERE / "24_quantisation.json"
    kept = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    path = fetch("smollm2")
    text = (HERE / "24_prose.txt").read_text(encoding="utf-8")
    ids = np.array(lfs.Tokenizer.from_pretrained(path).encode(text))[:TOKENS]
    model = lfs.from_pretrained(path)
    layers = {name: m for name, m in model.named_modules() if type(m) is Linear}
    weights = {name: layer.weight.data for name, layer in layers.items()}
    size = sum(w.size for w in weights.values())
    kept |= {"command": "python chapters/results/24_quantisation.py", "model": path.name, "tokens": TOKENS - 1}
    kept |= {"context": CONTEXT, "block": BLOCK, "weights": size, "of": model.parameter_count}
    for name, (family, make) in FORMATS.items():
        if name in kept.setdefault("formats", {}):
            continue
        bits = 0.0
        if callable(make):
            for at, layer in layers.items():
                values, took = make(np.ascontiguousarray(weights[at].T))
                layer.weight.data, bits = np.ascontiguousarray(values.T), bits + took
            kept["formats"][name] = {"family": family, **measured(model, ids, size, bits)}
        else:  # activations are rounded as well: another kind of layer, in a model of its own
            other = lfs.from_pretrained(path)
            Q.to_int8(other, threshold=make)
            bits = 8.0 * sum(w.nbytes for _, w in other.named_weights() if isinstance(w, Q.Int8Weight))
            kept["formats"][name] = {"family": family, **measured(other, ids, size, bits)}
            del other
        out.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        print(name, kept["formats"][name]["bits"], kept["formats"][name]["perplexity"], flush=True)


if __name__ == "__main__":
    main()
