"""What a spec cannot say about the releases of 2023 and before: when, under which licence, on what, from whom.

Facts only, from papers, model cards and released configs; what is not publicly stated is None and shown as "?".
What was made of these models is told in `assistants.py`.
Architecture is not repeated here: `catalogue.py` derives it from the specs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .assistants import ASSISTANTS


@dataclass(frozen=True)
class Release:
    """One row of the map.

    sizes: what the names of its models begin with ("llama-2-"); empty for one that has no specs here. month: of the
    first release, "2023-07". tokens: seen in training, for all sizes or {name: tokens}. data: how open the training
    text is. parents: (title, "design" or "weights") pairs; the first is its place in the tree. note: a few words.
    """

    sizes: str = ""
    month: str | None = None
    licence: str | None = None
    data: str | None = None
    tokenizer: str | None = None
    tokens: float | Mapping[str, float] | None = None
    parents: tuple[tuple[str, str], ...] = ()
    note: str = ""
    source: str = ""

    def tokens_of(self, name: str) -> float | None:
        """Training tokens of one size, or None."""
        return self.tokens.get(name) if isinstance(self.tokens, Mapping) else self.tokens


APACHE, NEOX_TOKENIZER = "Apache 2.0", "byte-level BPE (GPT-NeoX-20B's)"
LLAMA_TOKENIZER, GPT2_TOKENIZER = "SentencePiece BPE, byte fallback", "byte-level BPE (GPT-2's)"
PILE, CLOSED, DESCRIBED = "public (the Pile)", "closed", "described, not released"
_1_TRILLION = 1e12

RELEASES: dict[str, Release] = {
    "GPT-2": Release(
        "gpt2", "2019-02", "modified MIT", DESCRIBED, GPT2_TOKENIZER, None,
        note="the reference design", source="Radford et al. 2019",
    ),
    "GPT-3": Release(
        "", "2020-05", "not released", DESCRIBED, GPT2_TOKENIZER, 300e9, (("GPT-2", "design"),),
        note="dense and banded layers in turn; never open", source="arXiv:2005.14165",
    ),
    "GPT-Neo": Release(
        "gpt-neo-", "2021-03", "MIT", PILE, GPT2_TOKENIZER, {"gpt-neo-1.3b": 380e9, "gpt-neo-2.7b": 420e9},
        (("GPT-3", "design"),), "first open answer to GPT-3", "EleutherAI",
    ),
    "Gopher": Release(
        "gopher-", "2021-12", "not released", CLOSED, "SentencePiece BPE, byte fallback", 300e9, (("GPT-2", "design"),),
        "RMSNorm, Transformer-XL positions", "arXiv:2112.11446",
    ),
    "GPT-NeoX": Release(
        "gpt-neox-", "2022-02", APACHE, PILE, NEOX_TOKENIZER, 472e9, (("GPT-3", "design"), ("GPT-Neo", "design")),
        "rotary on a quarter, parallel layers", "arXiv:2204.06745",
    ),
    "Chinchilla": Release(
        "chinchilla-", "2022-03", "not released", CLOSED, "SentencePiece BPE, byte fallback", 1.4e12,
        (("Gopher", "design"),), "fewer parameters, more tokens", "arXiv:2203.15556",
    ),
    "OPT": Release(
        "opt-", "2022-05", "OPT licence, non-commercial", DESCRIBED, GPT2_TOKENIZER, 180e9, (("GPT-3", "design"),),
        "dense in every layer as released", "arXiv:2205.01068",
    ),
    "BLOOM": Release(
        "bloom-", "2022-07", "BigScience RAIL 1.0", "partly public (ROOTS)", "byte-level BPE, 250k",
        {"bloom-176b": 366e9} | dict.fromkeys(("bloom-560m", "bloom-1b1", "bloom-1b7", "bloom-3b", "bloom-7b1"), 341e9),
        (("GPT-2", "design"),), "ALiBi, 46 languages", "arXiv:2211.05100",
    ),
    "GLM-130B": Release(
        "glm-", "2022-08", "GLM-130B licence, research only", DESCRIBED, "SentencePiece (icetk), 150k", 400e9,
        note="bidirectional context, blank infilling", source="arXiv:2210.02414",
    ),
    "Galactica": Release(
        "galactica-", "2022-11", "CC BY-NC 4.0", DESCRIBED, "byte-level BPE, 50k, digits split", 450e9,
        (("OPT", "design"),), "106B tokens of science, four times", "arXiv:2211.09085",
    ),
    "LLaMA": Release(
        "llama-", "2023-02", "LLaMA licence, non-commercial", "public sources, described", LLAMA_TOKENIZER,
        {"llama-7b": _1_TRILLION, "llama-13b": _1_TRILLION, "llama-33b": 1.4e12, "llama-65b": 1.4e12},
        (("GPT-3", "design"), ("GPT-NeoX", "design"), ("Chinchilla", "design")),
        "RMSNorm, SwiGLU, rotary: the year's default", "arXiv:2302.13971",
    ),
    "Pythia": Release(
        "pythia-", "2023-04", APACHE, PILE, NEOX_TOKENIZER, 299.9e9, (("GPT-NeoX", "design"),),
        "154 checkpoints of every size", "arXiv:2304.01373",
    ),
    "MPT": Release(
        "mpt-", "2023-05", APACHE, "public sources, described", NEOX_TOKENIZER, _1_TRILLION, (("GPT-3", "design"),),
        "ALiBi, no biases at all", "MosaicML",
    ),
    "Phi": Release(
        "phi-", "2023-06", "MIT (at first: research only)", DESCRIBED, "byte-level BPE (CodeGen's)",
        {"phi-1": 50e9, "phi-1.5": 150e9, "phi-2": 1.4e12}, (("GPT-NeoX", "design"),), "small, on synthetic textbooks",
        "arXiv:2306.11644",
    ),
    "Falcon": Release(
        "falcon-", "2023-05", "Apache 2.0 (180B: TII licence)", "partly public (RefinedWeb)", "byte-level BPE, 65k",
        {"falcon-rw-1b": 350e9, "falcon-7b": 1.5e12, "falcon-40b": 1e12, "falcon-180b": 3.5e12},
        (("GPT-3", "design"),), "multi-query, web data alone", "arXiv:2311.16867",
    ),
    "XGen": Release(
        "xgen-", "2023-06", APACHE, DESCRIBED, "byte-level BPE (GPT-2's and more)",
        {"xgen-7b-4k": 1.2e12, "xgen-7b-8k": 1.5e12}, (("LLaMA", "design"),), "context grown in stages",
        "arXiv:2309.03450",
    ),
    "LLaMA 2": Release(
        "llama-2-", "2023-07", "LLaMA 2 community licence", CLOSED, LLAMA_TOKENIZER, 2e12, (("LLaMA", "design"),),
        "grouped queries from 34B on, chat models", "arXiv:2307.09288",
    ),
    "Qwen": Release(
        "qwen-", "2023-08", "Tongyi Qianwen licence", CLOSED, "byte-level BPE from cl100k, digits split",
        {"qwen-1.8b": 2.2e12, "qwen-7b": 2.4e12, "qwen-14b": 3e12, "qwen-72b": 3e12}, (("LLaMA", "design"),),
        "biases on query, key and value; dynamic NTK", "arXiv:2309.16609",
    ),
    "Mistral": Release(
        "mistral-", "2023-09", APACHE, CLOSED, LLAMA_TOKENIZER, None, (("LLaMA 2", "design"),),
        "sliding window, grouped queries", "arXiv:2310.06825",
    ),
    "DeciLM": Release(
        "decilm-", "2023-09", "Apache 2.0 (6B: LLaMA 2 licence)", None, LLAMA_TOKENIZER, None,
        (("LLaMA 2", "design"),), "key-value heads chosen layer by layer", "Deci",
    ),
    "Yi": Release(
        "yi-", "2023-11", "Yi licence", CLOSED, "SentencePiece BPE, byte fallback, 64k", 3.1e12,
        (("LLaMA 2", "design"),), "English and Chinese, rotary base 5M", "arXiv:2403.04652",
    ),
    "Mamba": Release(
        "mamba-", "2023-12", APACHE, PILE, NEOX_TOKENIZER, 300e9, note="selective state spaces, no attention",
        source="arXiv:2312.00752",
    ),
    "StripedHyena": Release(
        "stripedhyena-", "2023-12", APACHE, None, LLAMA_TOKENIZER, None,
        note="long convolutions and attention in turn", source="Together AI; arXiv:2302.10866",
    ),
    "Mixtral": Release(
        "mixtral-", "2023-12", APACHE, CLOSED, LLAMA_TOKENIZER, None, (("Mistral", "design"),),
        "8 experts in each layer, 2 at work", "arXiv:2401.04088",
    ),
    "SOLAR": Release(
        "solar-", "2023-12", APACHE, None, LLAMA_TOKENIZER, None, (("Mistral", "weights"), ("LLaMA 2", "design")),
        "48 layers from two copies of 32", "arXiv:2312.15166",
    ),
    "Qwen2": Release(
        "qwen2-", "2024-06", "Apache 2.0 (72B: Qianwen licence)", CLOSED, "byte-level BPE from cl100k, digits split",
        {"qwen2-0.5b": 12e12} | dict.fromkeys(("qwen2-1.5b", "qwen2-7b", "qwen2-72b"), 7e12), (("Qwen", "design"),),
        "grouped queries, weights no longer fused", "arXiv:2407.10671",
    ),
    "SmolLM2": Release(
        "smollm2-", "2024-11", APACHE, "partly public", "byte-level BPE, 49k, digits split", 2e12,
        (("LLaMA 2", "design"),), "small enough for a laptop", "Hugging Face",
    ),
    # Dialogue models: their design is that of the model whose weights they began with.
    **{
        title: Release(month=tuned.month, parents=((tuned.base, "weights"),), note=tuned.technique)
        for title, tuned in ASSISTANTS.items()
    },
}  # fmt: skip


def title_of(name: str, releases: Mapping[str, Release] = RELEASES) -> str | None:
    """The release that a size belongs to: the one with the longest beginning in common; None for an unknown one.

    >>> title_of("llama-2-7b"), title_of("llama-7b"), title_of("gpt2-xl"), title_of("mine-1b")
    ('LLaMA 2', 'LLaMA', 'GPT-2', None)
    """
    fitting = [title for title, release in releases.items() if release.sizes and name.startswith(release.sizes)]
    return max(fitting, key=lambda title: len(releases[title].sizes), default=None)
