"""What is measured. A case is a name and, for each contender, a function that prepares one run.

`prepare()` returns a function without arguments: calling it is the work that is timed. Importing a contender's library
happens inside `prepare`, in the child process; a missing library is an ImportError there, reported as absent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import merging, models, ours, peers, quantizing, tuning
from .workloads import SIZES, attention_arrays, convolution_arrays, scan_arrays, synthetic_text

Prepare = Callable[[], Callable[[], Any]]


@dataclass(frozen=True)
class Case:
    """One thing measured: contenders by name, ours first; `work` and `unit` turn seconds into a rate."""

    title: str
    contenders: dict[str, Prepare]
    work: float = 0.0
    unit: str = ""


def cases(threads: int, text: str | None = None) -> dict[str, Case]:
    """Every case by its short name. text: what the tokenizers are timed on (default: synthetic)."""
    found: dict[str, Case] = {}
    for name, size in SIZES.items():
        found[name] = Case(
            size.title,
            {
                "llm_from_scratch": partial(ours.training_step, size, threads),
                "torch": partial(peers.training_step, size, threads),
            },
            size.batch * size.context,
            "tokens/s",
        )
    for length in (1024, 4096):
        found[f"attention-{length}"] = Case(
            f"causal attention, 8 heads x 64, T = {length}, forward and backward",
            {
                "llm_from_scratch": partial(lambda n: ours.attention(attention_arrays(n), threads), length),
                "torch": partial(lambda n: peers.attention(attention_arrays(n), threads), length),
            },
        )
    for name, backward in (("scan", False), ("scan-backward", True)):
        found[name] = Case(
            f"selective scan (1, 256, 1536, 16), here on one thread, forward{' and backward' if backward else ''}",
            {
                "llm_from_scratch": partial(lambda b: ours.selective_scan(scan_arrays(), b), backward),
                "torch (loop over time)": partial(lambda b: peers.selective_scan(scan_arrays(), b, threads), backward),
            },
        )
    for length, backward in ((512, False), (512, True), (2048, False), (2048, True)):
        contenders: dict[str, Prepare] = {
            f"llm_from_scratch{remark}": partial(
                lambda n, b, way: ours.long_convolution(convolution_arrays(n), b, way), length, backward, way
            )
            for way, remark in (("fft", ""), ("recurrence", " (recurrence)"), ("direct", " (direct)"))
        }
        for way in ("rfft", "conv1d"):
            contenders[f"torch ({way})"] = partial(
                lambda n, b, way: peers.long_convolution(convolution_arrays(n), b, way, threads), length, backward, way
            )
        found[f"convolution-{length}{'-backward' if backward else ''}"] = Case(
            f"long convolution (1, {length}, 256) with two modes a channel, here on one thread, "
            f"forward{' and backward' if backward else ''}",
            contenders,
        )
    for name, mine, theirs, tokens in (
        ("smollm2-prompt", models.prompt, models.their_prompt, models.PROMPT),
        ("smollm2-decode", models.decoding, models.their_decoding, models.ANSWER),
    ):
        found[name] = Case(
            f"SmolLM2-135M, {tokens} tokens {'read' if mine is models.prompt else f'written behind {models.PROMPT}'}",
            {
                "llm_from_scratch, packed": partial(mine, packed=True),
                "llm_from_scratch, expanded": partial(mine, packed=False),
                "transformers": partial(theirs, threads),
            },
            tokens,
            "tokens/s",
        )
    we = "llm_from_scratch"
    for name, title, tuned in (
        ("smollm2-full", "full fine-tuning", {we: tuning.full, "transformers": tuning.their_full}),
        ("smollm2-lora", "LoRA of rank 8 on query and value", {we: tuning.lora, "peft": tuning.their_lora}),
        (
            "smollm2-qlora", "QLoRA on all linear layers, and what others need of memory",
            {f"{we}, QLoRA": tuning.qlora, f"{we}, LoRA": tuning.lora, f"{we}, full": tuning.full},
        ),
    ):  # fmt: skip
        steps: dict[str, Prepare] = {who: partial(step, threads) for who, step in tuned.items()}
        about = f"SmolLM2-135M, a step on 1 x {tuning.TOKENS} tokens: {title}"
        found[name] = Case(about, steps, tuning.TOKENS, "tokens/s")
    found["smollm2-dpo"] = Case(
        "SmolLM2-135M, a step of DPO on 2 pairs of 128 tokens",
        {"llm_from_scratch": partial(tuning.dpo, threads), "torch": partial(tuning.their_dpo, threads)},
    )
    found["merge-ties"] = Case(
        "TIES of three models of 135M parameters, from files to a file",
        {"llm_from_scratch": merging.ties, "mergekit": partial(merging.their_ties, threads)},
    )
    for name, title, work, unit, quantized in (
        ("gptq", "576 x 1536 to 4 bits, for GPTQ with the Hessian of 2,048 rows", 0.0, "", quantizing.one_matrix),
        ("smollm2-gptq", "SmolLM2-135M to 4 bits", quantizing.TOKENS, "tokens/s", quantizing.whole_model),
    ):
        methods: dict[str, Prepare] = {f"{we}, {method}": partial(quantized, method) for method in ("gptq", "rtn")}
        found[name] = Case(title, methods, work, unit)
    for form in quantizing.FORMS:
        ways = {we: "codes", "numbers made of the codes": "numbers", "float32": "float32"}
        found[f"product-{form}"] = Case(
            f"one token through SmolLM2's 210 matrices in {form}, one thread",
            {who: partial(quantizing.products, form, way) for who, way in ways.items()},
        )
    found["experts"] = Case(
        "feed-forward over 1,024 tokens, 512 wide, one thread, forward and backward",
        {
            "llm_from_scratch, 2 of 8": lambda: models.experts("routed"),
            "dense, as wide as 2": lambda: models.experts("dense"),
        },
    )
    found["adamw"] = Case(
        "AdamW, 10M parameters",
        {
            "llm_from_scratch": lambda: ours.adamw(10_000_000, threads),
            "torch (fused)": lambda: peers.adamw(10_000_000, threads, fused=True),
            "torch (foreach)": lambda: peers.adamw(10_000_000, threads, fused=False),
        },
    )

    def corpus() -> str:
        return text if text is not None else synthetic_text()

    found["bpe-train"] = Case(
        "BPE training to 8192 entries, 5 MB",
        {
            "llm_from_scratch": lambda: ours.bpe_training(corpus(), 8192),
            "tokenizers": lambda: peers.bpe_training(corpus(), 8192, threads),
        },
    )
    found["bpe-encode"] = Case(
        "BPE encoding, 5 MB, vocabulary 8192, one thread",
        {
            "llm_from_scratch": lambda: ours.bpe_encoding(corpus(), 8192),
            "tiktoken": lambda: peers.bpe_encoding_tiktoken(corpus(), 8192),
            "tokenizers": lambda: peers.bpe_encoding_tokenizers(corpus(), 8192),
        },
        (len(text.encode()) if text is not None else 5_000_000) / 1e6,
        "MB/s",
    )
    return found
