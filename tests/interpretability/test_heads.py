"""Which functions have heads."""

from __future__ import annotations

from llm_from_scratch.interpretability.heads import head_count, with_heads

from .test_stream import small


def test_attention_of_every_kind_has_heads_and_nothing_else():
    for family, kinds in (("llama", 3), ("gopher", 3), ("mamba", 0), ("glm", 3)):
        model = small(family)
        found = with_heads(model)
        assert len(found) == kinds and all(head_count(part) == 4 for part in found.values()), family
    assert list(with_heads(small("gpt2"))) == ["layers.0.mixer", "layers.1.mixer", "layers.2.mixer"]
