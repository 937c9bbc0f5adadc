from __future__ import annotations

import numpy as np
import pytest

from llm_from_scratch.recipes.recipe import Recipe, build_model, prepare_corpus


def test_attention_may_begin_as_a_copier(tmp_path):
    """A head that looks at one token adds a part of this token, so with tied embeddings it is likelier to be said."""
    small = {"data": "tales:20", "vocabulary": 300, "validation_fraction": 0.2, "width": 64, "layers": 2, "context": 32}
    tokenizer = prepare_corpus(Recipe(**small), tmp_path).tokenizer
    usual = build_model(Recipe(**small, embedding_std=0.2), tokenizer)
    model = build_model(Recipe(**small, embedding_std=0.2, copying=0.5), tokenizer)
    for layer, before in zip(model.layers, usual.layers):
        value, output = layer.mixer.value.weight.data, layer.mixer.output.weight.data
        assert np.array_equal(output, value.T) and np.isclose(value.std(), np.sqrt(0.5 / 64), rtol=0.05)
        assert np.array_equal(layer.mixer.query.weight.data, before.mixer.query.weight.data)  # nothing else is touched
    assert not np.array_equal(*(layer.mixer.value.weight.data for layer in model.layers))
    shares = {}
    for name, network in (("as published", usual), ("copying", model)):
        ids = np.random.default_rng(0).integers(0, 300, (64, 32))
        logits = network(ids).numpy()[:, -1]
        read = np.zeros((64, 300), bool)
        np.put_along_axis(read, ids[:, :-1], True, 1)
        np.put_along_axis(read, ids[:, -1:], False, 1)  # its own embedding is in the stream anyway
        shares[name] = logits[read].mean() - logits[~read].mean()
    assert shares["copying"] > 0.5 and abs(shares["as published"]) < 0.1, shares
    grouped = build_model(Recipe(**small, heads=4, key_value_heads=2, copying=0.5), tokenizer).layers[0].mixer
    value, output = grouped.value.weight.data.reshape(64, 2, 16), grouped.output.weight.data.reshape(4, 16, 64)
    for head in range(4):
        assert np.array_equal(output[head], value[:, head // 2].T)
    with pytest.raises(ValueError, match="has none"):
        build_model(Recipe(**small, family="mamba", copying=0.5), tokenizer)
