"""Cases that are no goal: more lengths, techniques beside each other, what quantised products cost."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from . import merging, models, ours, peers, products, quantizing, tuning
from .case import BOTH, Case, Prepare
from .workloads import convolution_arrays


def convolutions(threads: int) -> Iterator[tuple[str, Case]]:
    """Long convolutions, each way of ours beside PyTorch's."""
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
        yield (
            f"convolution-{length}{'-backward' if backward else ''}",
            Case(
                f"long convolution (1, {length}, 256) with two modes a channel, "
                f"forward{' and backward' if backward else ''}",
                contenders,
            ),
        )


def machine(threads: int) -> Iterator[tuple[str, Case]]:
    """What this machine can do at all: the measures that others are held against."""
    read, product = partial(products.reading, products.READ, threads), partial(products.large_product, threads)
    work = 2 * threads * products.LARGE**3 / 1e9
    yield (
        "read-bandwidth",
        Case("memory read, a sum of squares", {"NumPy": read}, products.READ / 1e9, "GB/s", threads=BOTH),
    )
    yield "product-peak", Case("large matrix products, float32", {"NumPy": product}, work, "GFLOP/s", threads=BOTH)


def cases(threads: int) -> dict[str, Case]:
    """Every one of them by its short name."""
    we = "llm_from_scratch"
    found = dict(machine(threads))
    drafted = {f"{we}, {k} guessed at once": partial(models.tales, k) for k in (5, 3, 8)}
    drafted |= {f"{we}, without a draft": partial(models.tales, 0)}
    title = "the larger tales model tells, with and without its draft"
    found["speculative"] = Case(title, drafted, 4 * models.TALE, "tokens/s")
    tuned = {f"{we}, QLoRA": tuning.qlora, f"{we}, LoRA": tuning.lora, f"{we}, full": tuning.full}
    steps: dict[str, Prepare] = {who: partial(step, threads) for who, step in tuned.items()}
    about = f"SmolLM2-135M, a step on 1 x {tuning.TOKENS} tokens: QLoRA on all linear layers, and what others need"
    found["smollm2-qlora"] = Case(about, steps, tuning.TOKENS, "tokens/s")
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
    return found
