"""Released sizes: exact parameter counts, published or computed here from the papers' formulas, nothing allocated."""

from __future__ import annotations

import tracemalloc

import pytest

import llm_from_scratch as lfs
from llm_from_scratch.checkpoints import Decoder
from llm_from_scratch.families import all_families

SIZES = {name for family in all_families().values() for name in family.sizes}


def dense(depth: int, width: int, vocabulary: int, *, rows: int = 0, heads: int = 1, embedding: int = 0) -> int:
    """A GPT with biases: attention 4d² + 4d, feed-forward 8d² + 5d, two norms 4d; a final norm, positions, heads."""
    layer = 12 * width**2 + 13 * width
    return heads * vocabulary * (embedding or width) + rows * width + depth * layer + 2 * width


def llama(width: int, depth: int, inner: int, vocabulary: int, queries: int, keys: int) -> int:
    """Pre-RMSNorm, grouped keys and values, three feed-forward matrices, no biases, untied."""
    layer = 2 * width**2 + 2 * width * (width // queries) * keys + 3 * width * inner + 2 * width
    return 2 * vocabulary * width + depth * layer + width


FORMULAS = {
    "gpt2-xl": dense(48, 1600, 50257, rows=1024),
    "opt-125m": dense(12, 768, 50272, rows=2050),
    "opt-350m": dense(24, 1024, 50272, rows=2050, embedding=512) + 2 * 512 * 1024 - 2 * 1024,
    "opt-1.3b": dense(24, 2048, 50272, rows=2050),
    "opt-2.7b": dense(32, 2560, 50272, rows=2050),
    "opt-6.7b": dense(32, 4096, 50272, rows=2050),
    "opt-13b": dense(40, 5120, 50272, rows=2050),
    "opt-30b": dense(48, 7168, 50272, rows=2050),
    "opt-66b": dense(64, 9216, 50272, rows=2050),
    "opt-175b": dense(96, 12288, 50272, rows=2050),
    "galactica-125m": dense(12, 768, 50000, rows=2050),
    "galactica-1.3b": dense(24, 2048, 50000, rows=2050),
    "galactica-6.7b": dense(32, 4096, 50000, rows=2050),
    "galactica-30b": dense(48, 7168, 50000, rows=2050),
    "galactica-120b": dense(96, 10240, 50000, rows=2050),
    "bloom-560m": dense(24, 1024, 250880) + 2 * 1024,
    "bloom-176b": dense(70, 14336, 250880) + 2 * 14336,
    "gpt-neo-125m": dense(12, 768, 50257, rows=2048) - 12 * 3 * 768,
    "gpt-neo-1.3b": dense(24, 2048, 50257, rows=2048) - 24 * 3 * 2048,
    "gpt-neo-2.7b": dense(32, 2560, 50257, rows=2048) - 32 * 3 * 2560,
    "gpt-neox-20b": dense(44, 6144, 50432, heads=2),
    "pythia-70m": dense(6, 512, 50304, heads=2),
    "pythia-12b": dense(36, 5120, 50688, heads=2),
    "llama-7b": llama(4096, 32, 11008, 32000, 32, 32),
    "llama-65b": llama(8192, 80, 22016, 32000, 64, 64),
    "llama-2-70b": llama(8192, 80, 28672, 32000, 64, 8),
    "xgen-7b-4k": llama(4096, 32, 11008, 51200, 32, 32),
    "xgen-7b-8k": llama(4096, 32, 11008, 51200, 32, 32),
    "yi-6b": llama(4096, 32, 11008, 64000, 32, 4),
    "yi-34b": llama(7168, 60, 20480, 64000, 56, 8),
    "solar-10.7b": llama(4096, 48, 14336, 32000, 32, 8),
}
# As published: in the papers, or as the number of weights in the released files.
PUBLISHED = {
    "bloom-560m": 559_214_592,
    "bloom-1b1": 1_065_314_304,
    "bloom-1b7": 1_722_408_960,
    "bloom-3b": 3_002_557_440,
    "bloom-7b1": 7_069_016_064,
    "bloom-176b": 176_247_271_424,
    "gpt-neox-20b": 20_554_567_680,
    "pythia-70m": 70_426_624,
    "pythia-160m": 162_322_944,
    "pythia-410m": 405_334_016,
    "pythia-1b": 1_011_781_632,
    "pythia-1.4b": 1_414_647_808,
    "pythia-2.8b": 2_775_208_960,
    "pythia-6.9b": 6_857_302_016,
    "pythia-12b": 11_846_072_320,
    "opt-125m": 125_239_296,
    "opt-350m": 331_196_416,
    "opt-1.3b": 1_315_758_080,
    "llama-2-7b": 6_738_415_616,
    "llama-2-13b": 13_015_864_320,
    "llama-2-70b": 68_976_648_192,
    "yi-6b": 6_061_035_520,
    "yi-34b": 34_388_917_248,
    "solar-10.7b": 10_731_524_096,
    "smollm2-135m": 134_515_008,
    "mistral-7b": 7_241_732_096,
    "mixtral-8x7b": 46_702_792_704,
    "mpt-7b": 6_649_286_656,
    "falcon-7b": 6_921_720_704,
    "qwen-1.8b": 1_836_828_672,
    "qwen-7b": 7_721_324_544,
    "qwen-14b": 14_167_290_880,
    "decilm-7b": 7_043_551_232,
    "phi-1": 1_418_270_720,
    "phi-1.5": 1_418_270_720,
    "phi-2": 2_779_683_840,
    "mamba-130m": 129_135_360,
    "mamba-2.8b": 2_768_345_600,
}


@pytest.mark.parametrize("name", FORMULAS)
def test_counts_from_the_formulas(name: str) -> None:
    assert Decoder(lfs.spec(name)).parameter_count == FORMULAS[name]


@pytest.mark.parametrize("name", sorted(PUBLISHED.keys() & SIZES))
def test_counts_as_published(name: str) -> None:
    assert Decoder(lfs.spec(name)).parameter_count == PUBLISHED[name]


def test_every_size_is_described_without_memory() -> None:
    assert len(SIZES) >= 45
    tracemalloc.start()
    for name in SIZES:
        assert Decoder(lfs.spec(name)).parameter_count > 10**7, name
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
