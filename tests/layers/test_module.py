"""Finding, replacing and freezing what a module owns."""

from __future__ import annotations

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.layers import Embedding, Linear, Module, StoredWeight


def tiny(**more):
    sizes = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, vocab_size=11)
    return lfs.build("llama", **sizes, max_position_embeddings=32, **more)


class Doubled(Module):
    """What an adapter is: a module that wraps another with the same call."""

    def __init__(self, inner):
        self.inner = inner

    def __call__(self, x):
        return self.inner(x) * 2.0


def test_what_is_picked_is_swapped_and_named():
    model = tiny()
    names = [f"layers.{i}.mixer.{part}" for i in range(2) for part in ("query", "value")]
    picked = model.replace(lambda path, m: isinstance(m, Linear) and path.endswith(("query", "value")), Doubled)
    assert picked == names
    assert all(type(dict(model.named_modules())[name]) is Doubled for name in names)
    assert "layers.1.mixer.query.inner.weight" in dict(model.named_parameters())
    # A wrapped linear layer that doubles equals one with doubled weights.
    ids, plain = np.array([[1, 2, 3]]), tiny()
    for layer in plain.layers:
        for part in (layer.mixer.query, layer.mixer.value):
            part.weight.data *= 2
    np.testing.assert_array_equal(model(ids).data, plain(ids).data)


def test_by_type_and_by_pattern():
    assert tiny().replace("layers.*.feed_forward.up", Doubled) == [f"layers.{i}.feed_forward.up" for i in range(2)]
    assert tiny().replace(Linear, Doubled)[0] == "layers.0.mixer.query" and tiny().replace("nothing", Doubled) == []
    with pytest.raises(TypeError, match="what picks"):
        tiny().replace(3, Doubled)


def test_a_module_used_twice_is_made_once_and_swapped_everywhere():
    model, made = tiny(tie_word_embeddings=True), []

    def make(old):
        made.append(Embedding(11, 16, rng=np.random.default_rng(7)))
        return made[-1]

    assert model.replace("embedding", make) == ["embedding"] and len(made) == 1
    assert model.embedding is made[0] and model.head.embedding is made[0]
    rows = made[0].weight.data
    hidden = model._hidden(model._inputs([[1, 2]]), None, None).data
    np.testing.assert_allclose(model([[1, 2]]).data, hidden @ rows.T, rtol=1e-5, atol=1e-6)


def test_modules_in_lists_dicts_and_tuples_and_none_inside_what_was_swapped():
    class Box(Module):
        pass

    box = Box()
    box.list, box.pair, box.named = [Linear(2, 2, rng=None)], (Linear(2, 2, rng=None), 3), {"x": Linear(2, 2, rng=None)}
    assert box.replace(Linear, Doubled) == ["list.0", "pair.0", "named.x"]
    assert type(box.list[0]) is type(box.pair[0]) is type(box.named["x"]) is Doubled and box.pair[1] == 3
    assert box.replace(Module, Doubled) == ["list.0", "pair.0", "named.x"]  # the outer ones only
    assert type(box.list[0].inner) is Doubled


def test_if_making_fails_nothing_is_swapped():
    model, seen = tiny(), []

    def make(old):
        seen.append(old)
        if len(seen) == 3:
            raise RuntimeError("no third")
        return Doubled(old)

    with pytest.raises(RuntimeError, match="no third"):
        model.replace(Linear, make)
    assert not any(isinstance(module, Doubled) for _, module in model.named_modules())


def test_frozen_parameters_get_no_gradient_and_the_others_the_same_one():
    batch = {"ids": np.array([[1, 2, 3, 4]]), "targets": np.array([[2, 3, 4, 5]])}
    model, free = tiny(), tiny()
    frozen = model.freeze(lambda name, _: ".mixer." in name)
    assert frozen and all(".mixer." in name for name in frozen)
    for each in (model, free):
        each.loss(batch).backward()
    for (name, mine), (_, theirs) in zip(model.named_parameters(), free.named_parameters()):
        if name in frozen:
            assert mine.grad is None
        else:
            np.testing.assert_array_equal(mine.grad, theirs.grad)
    assert model.unfreeze("layers.0.*") == [n for n, _ in model.named_parameters() if n.startswith("layers.0.")]
    assert len(model.freeze()) == len(list(model.parameters()))
    with pytest.raises(ValueError, match="requires_grad"):
        model.loss(batch).backward()


def test_modules_say_what_they_hold():
    model = tiny(tie_word_embeddings=True)
    assert model.nbytes == 4 * model.parameter_count == 4 * sum(p.size for p in model.parameters())
    assert repr(model.layers[0].mixer) == "Attention(multi-head, 1,024 parameters)"

    class Half(StoredWeight):
        shape, nbytes = (3, 5), 30

        def expand(self, dtype=np.float32):
            return np.ones(self.shape, dtype)

    model.extra = Half()
    assert model.parameter_count == 15 + sum(p.size for p in model.parameters())
    assert model.nbytes == 30 + 4 * sum(p.size for p in model.parameters())
    assert np.asarray(model.weights()["extra"]).shape == (3, 5)
    with pytest.raises(TypeError, match="extra is packed"):
        model.astype(np.float64)
