"""BitFit: all biases learn, nothing else; a model without biases is refused."""

from __future__ import annotations

import pytest

from llm_from_scratch import adapters as A

from .conftest import check_gradients, small, state


def test_biases_and_nothing_else():
    model = small("gpt2")
    names = A.train_biases(model)
    assert names == [name for name, p in model.named_parameters() if p.requires_grad]
    assert all(name.endswith("bias") for name in names) and len(names) == 2 * (2 + 4 + 2) + 1
    check_gradients(model)
    model.check_saving()  # nothing was added
    assert state(model).keys() == state(small("gpt2")).keys()


def test_a_llama_has_none():
    model = small("llama")
    with pytest.raises(ValueError, match="this model has none: neither its Attention, FeedForward"):
        A.train_biases(model)
    assert all(p.requires_grad for p in model.parameters())
