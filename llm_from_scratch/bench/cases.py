"""What is measured. A case is a name and, for each contender, a function that prepares one run.

`prepare()` returns a function without arguments: calling it is the work that is timed. Importing a contender's library
happens inside `prepare`, in the child process; a missing library is an ImportError there, reported as absent. The cases
here are those of the table of goals (`goals.py`); others stand in `more_cases.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from . import llamacpp, models, more_cases, ours, peers, peers_training, products, starting, tokenizing, tuning
from .case import BOTH, Case, Prepare, Work
from .goals import BYTES, PRODUCTS, THEIR_PRODUCTS
from .workloads import (
    SIZES,
    attention_arrays,
    head_arrays,
    scan_arrays,
    synthetic_text,
    weight_shapes,
)

WE = "llm_from_scratch"
Rivals = dict[str, Prepare]


def cases(threads: int, text: str | None = None) -> dict[str, Case]:
    """Every case by its short name. text: what the tokenizers are timed on (default: synthetic)."""
    parts = (_training, _smollm2, _decoding, _invariant, _layers, _rest, _starting)
    found = {name: case for part in parts for name, case in part(threads)}
    return found | dict(_tokenizers(text)) | more_cases.cases(threads)


def _training(threads: int) -> Iterator[tuple[str, Case]]:
    for name, size in SIZES.items():
        rivals: Rivals = {WE: partial(ours.training_step, size, threads)}
        rivals["torch"] = partial(peers_training.training_step, size, threads)
        rivals["torch, compiled"] = partial(peers_training.training_step, size, threads, compiled=True)
        rows = size.batch * size.context
        beside = {
            PRODUCTS: partial(products.ours, weight_shapes(size), rows, threads),
            THEIR_PRODUCTS: partial(products.theirs, weight_shapes(size), rows, threads),
        }
        yield name, Case(size.title, rivals, rows, "tokens/s", beside)


def _smollm2(threads: int) -> Iterator[tuple[str, Case]]:
    about = f"SmolLM2-135M, a step on 1 x {tuning.TOKENS} tokens:"
    full = {WE: partial(tuning.full, threads), "transformers": partial(tuning.their_full, threads)}
    lora = {WE: partial(tuning.lora, threads), "peft": partial(tuning.their_lora, threads)}
    yield "smollm2-full", Case(f"{about} full fine-tuning", full, tuning.TOKENS, "tokens/s", rounds=3)
    yield "smollm2-lora", Case(f"{about} LoRA of rank 8 on query and value", lora, tuning.TOKENS, "tokens/s", rounds=3)
    rivals: Rivals = {
        WE: partial(models.prompt, packed=True),
        "llama.cpp": partial(llamacpp.prompt, threads),
        f"{WE}, expanded": partial(models.prompt, packed=False),
        "transformers": partial(models.their_prompt, threads),
    }
    title = f"SmolLM2-135M Q4_1, prompt of {models.PROMPT} tokens"
    yield "smollm2-prompt", Case(title, rivals, models.PROMPT, "tokens/s", threads=BOTH)


def _decoding(threads: int) -> Iterator[tuple[str, Case]]:
    for after in (16, 512):
        rivals: Rivals = {
            WE: partial(_with, partial(models.real_model, packed=True), models.decoding, after),
            "llama.cpp": partial(llamacpp.decoding, threads, after),
        }
        beside = {BYTES: partial(_with, partial(models.real_model, packed=True), models.reading, after, threads)}
        title = f"SmolLM2-135M Q4_1, decoding after {after} tokens"
        yield f"smollm2-decode-{after}", Case(title, rivals, models.ANSWER, "tokens/s", beside, BOTH)
    for name, title, model, sizes in (
        ("tiny", "a LLaMA of 4 x 128", models.tiny_model, models.TINY),
        ("smollm2", "SmolLM2-135M", partial(models.real_model, packed=False), models.REAL),
    ):
        rivals = {
            WE: partial(_with, model, models.decoding, 16),
            "transformers": partial(models.their_decoding, threads, 16, sizes),
        }
        beside = {BYTES: partial(_with, model, models.reading, 16, threads)}
        case = Case(f"{title} in float32, decoding after 16 tokens", rivals, models.ANSWER, "tokens/s", beside, BOTH)
        yield f"{name}-decode-float32", case


def _invariant(threads: int) -> Iterator[tuple[str, Case]]:
    for rows in (64, 1):
        for suffix, title, packed in (("", "in float32", False), ("-packed", "Q4_1", True)):
            model = partial(models.real_model, packed=packed)
            contenders: Rivals = {
                f"{WE}, batch-invariant": partial(_with, model, models.side_by_side, rows, True),
                "without the switch": partial(_with, model, models.side_by_side, rows, False),
            }
            case = Case(f"SmolLM2-135M {title}, a token of {rows} rows, batch-invariant", contenders, threads=BOTH)
            yield f"batch-invariant-{rows}{suffix}", case


def _layers(threads: int) -> Iterator[tuple[str, Case]]:
    for length in (256, 1024, 4096):
        rivals: Rivals = {
            WE: partial(_with, partial(attention_arrays, length), ours.attention, threads),
            "torch": partial(_with, partial(attention_arrays, length), peers.attention, threads),
        }
        title = f"causal attention, 8 heads x 64, T = {length}, forward and backward"
        yield f"attention-{length}", Case(title, rivals, threads=BOTH)
    for name, backward in (("scan", False), ("scan-backward", True)):
        rivals = {
            WE: partial(_with, scan_arrays, ours.selective_scan, backward),
            "torch (loop over time)": partial(_with, scan_arrays, peers.selective_scan, backward, threads),
        }
        title = f"selective scan (1, 256, 1536, 16), forward{' and backward' if backward else ''}"
        yield name, Case(title, rivals)
    yield from more_cases.convolutions(threads)
    rivals = {
        WE: partial(models.experts, "routed", threads),
        "transformers": partial(models.their_experts, threads),
        f"{WE}, dense, as wide as 2": partial(models.experts, "dense", threads),
    }
    title = "mixture of experts, 2 of 8, over 1,024 tokens, 512 wide, forward and backward"
    yield "experts", Case(title, rivals, threads=BOTH)


def _with(given: Callable[[], Any], contender: Callable[..., Work], *settings: Any) -> Work:
    return contender(given(), *settings)


def _rest(threads: int) -> Iterator[tuple[str, Case]]:
    adamw = {
        WE: partial(ours.adamw, 10_000_000, threads),
        "torch (fused)": partial(peers.adamw, 10_000_000, threads, fused=True),
        "torch (foreach)": partial(peers.adamw, 10_000_000, threads, fused=False),
    }
    known = {"without a look at every gradient first": partial(ours.adamw, 10_000_000, threads, looks=False)}
    yield "adamw", Case("AdamW, 10M parameters", adamw, beside=known)
    losses = {
        WE: partial(_with, head_arrays, ours.cross_entropy),
        "torch": partial(_with, head_arrays, peers.cross_entropy, threads),
    }
    title = "cross-entropy through a head of 49,152 words, 512 tokens, forward and backward"
    yield "cross-entropy", Case(title, losses)


def _starting(threads: int) -> Iterator[tuple[str, Case]]:
    everything = "[getattr(package, name) for name in package.__all__]"
    imports = {
        WE: partial(starting.importing, WE),
        f"{WE}, and every public name": partial(starting.importing, WE, everything),
        "torch": partial(starting.importing, "torch"),
    }
    yield "import", Case("import (names are loaded when first used)", imports)
    title = "a new process to the end of its first training step (LLaMA-style 4 x 128)"
    yield "first-step-warm", Case(f"{title}, kernels compiled before", {WE: partial(starting.first_step, True)})
    cold = {WE: partial(starting.first_step, False)}
    yield "first-step-cold", Case(f"{title}, nothing compiled before", cold, rounds=1, warm=0, long=True)


def _tokenizers(text: str | None) -> Iterator[tuple[str, Case]]:
    def corpus(megabytes: int) -> str:
        return text if text is not None else synthetic_text(megabytes * 1_000_000)

    for name, megabytes, vocabulary in (("bpe-train", 5, 8192), ("bpe-train-100", 100, 32768)):
        rivals: Rivals = {
            WE: partial(_with, partial(corpus, megabytes), tokenizing.training, vocabulary),
            "tokenizers": partial(_with, partial(corpus, megabytes), tokenizing.their_training, vocabulary),
        }
        large: dict[str, Any] = {"rounds": 1, "warm": 0, "long": True} if megabytes > 5 else {}
        title = f"BPE training to {vocabulary:,} entries, {'the text given' if text else f'{megabytes} MB'}"
        yield name, Case(title, rivals, threads=(1,), **large)
    size = len(text.encode()) / 1e6 if text is not None else 5
    rivals = {
        WE: partial(_with, partial(corpus, 5), tokenizing.encoding, 8192),
        "tiktoken": partial(_with, partial(corpus, 5), tokenizing.tiktoken_encoding, 8192),
        "tokenizers": partial(_with, partial(corpus, 5), tokenizing.tokenizers_encoding, 8192),
    }
    yield "bpe-encode", Case("BPE encoding, vocabulary 8,192", rivals, size, "MB/s", threads=(1,))
