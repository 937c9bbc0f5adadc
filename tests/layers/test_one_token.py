"""One token as a program gives what the layers give when they are called, for every design and in every situation.

Bound: both ways compute the same sums in float32 in another order. A sum of n products errs by about √n ulp of its
terms' size; a few such sums follow one another in a layer, so that logits agree to some 1e-5 of the largest.
"""

import copy
from pathlib import Path

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.families import all_families
from llm_from_scratch.layers import FeedForwardSpec, HyenaSpec, LayerSpec, NormSpec
from llm_from_scratch.layers.implicit_filter import ImplicitFilterSpec
from llm_from_scratch.layers.one_token import Link
from llm_from_scratch.recipes.miniature import miniature

FIXTURES = Path(__file__).parents[1] / "families" / "fixtures"
PACKED = FIXTURES / "gguf" / "tied.gguf"
SAVED = sorted(path.name for path in FIXTURES.iterdir() if (path / "config.json").exists())
TOKENS = 40
CLOSE = 2e-5


def small(family):
    """A miniature of a family's first release, with noise on every weight."""
    release = next(iter(all_families()[family].sizes), all_families()[family].model_types[0])
    config = miniature(release, layers=2, width=32, heads=4, context=64, vocabulary=30)
    model, rng = lfs.build(config.pop("model_type"), **config), np.random.default_rng(1)
    for _, parameter in model.named_parameters():
        parameter.data = (parameter.data + 0.2 * rng.normal(size=parameter.shape)).astype(np.float32)
    return model


def ids_for(model, count=TOKENS):
    return np.random.default_rng(0).integers(0, model.spec.vocab_size, (1, min(count, model.position_limit or count)))


def plan(model):
    """What is called, and how many programs there are, of the chain that ran last."""
    chain = model._one_token._free[-1]
    return [item for item in chain._plan if isinstance(item, Link)], [i for i in chain._plan if not isinstance(i, Link)]


def called(model, ids, memory=None):
    """The logits after each token, by calling layers: a chain that nothing can be told to."""
    memory, found = memory or model.new_memory(1), []
    model._one_token.run = lambda *args: None
    try:
        found = [model.step(ids[:, i : i + 1], memory)[0] for i in range(ids.shape[1])]
    finally:
        del model._one_token.run
    return np.array(found)


def one_by_one(model, ids, memory=None):
    memory = memory or model.new_memory(1)
    return np.array([model.step(ids[:, i : i + 1], memory)[0] for i in range(ids.shape[1])])


def assert_agree(found, wanted, bound=CLOSE):
    assert found.dtype == wanted.dtype == np.float32
    assert np.abs(found - wanted).max() <= bound * np.abs(wanted).max()


@pytest.mark.parametrize("family", sorted(all_families()))
def test_every_family_takes_the_fast_way_whole(family):
    model = small(family)
    ids = ids_for(model)
    assert_agree(one_by_one(model, ids), called(model, ids))
    calls, programs = plan(model)
    assert not calls and len(programs) == 1


@pytest.mark.parametrize("name", SAVED)
def test_so_does_every_published_layout(name):
    model = lfs.from_pretrained(FIXTURES / name, dtype=np.float32)
    ids = ids_for(model, 24)
    assert_agree(one_by_one(model, ids), called(model, ids), 5e-5)
    assert plan(model)[1] and not plan(model)[0]


def test_packed_matrices_too():
    model = lfs.from_pretrained(PACKED, packed=True)
    ids = ids_for(model)
    assert_agree(one_by_one(model, ids), called(model, ids), 1e-3)
    assert not plan(model)[0]


# --- Situations: whatever happened to the memory or the model before, a token gives what calling the layers gives.


def assert_both_ways_agree(model, ids, before, bound=CLOSE):
    """What `before(model)` -> a memory leads to, by programs and by calls; handed back, for more to be said of it."""
    fast, slow = one_by_one(model, ids, before(model)), called(model, ids, before(model))
    assert_agree(fast, slow, bound)
    return fast


WAYS = ["llama", "mistral_window", "mamba", "stripedhyena", "gopher", "llama_dynamic", "gpt2"]


def model_named(name):
    return small(name) if name in all_families() else lfs.from_pretrained(FIXTURES / name, dtype=np.float32)


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("how", ["prompt", "cropped", "forked", "selected", "emptied", "from calls"])
def test_memories_of_every_past(name, how):
    model = model_named(name)
    ids = ids_for(model, 30)
    rest = ids[:, 12:]

    def before(model):
        memory = model.new_memory(3 if how == "selected" else 1)
        if how == "selected":
            rows = np.concatenate([ids[:, 5:17], ids[:, :12], ids[:, 3:15]])
            model.step(rows, memory)
            memory.select([1])
            return memory
        if how == "from calls":  # as layers left it, token by token
            called(model, ids[:, :12], memory)
            return memory
        model.step(ids[:, :9], memory)
        one_by_one(model, ids[:, 9:12], memory)
        if how == "cropped" and memory.shortest <= 11:
            model.step(ids[:, :1], memory)
            memory.crop(12)
        elif how == "emptied":
            memory.crop(0)
            model.step(ids[:, :12], memory)
        return copy.deepcopy(memory) if how == "forked" else memory

    found = assert_both_ways_agree(model, rest, before)
    if name != "llama_dynamic":  # whose angles depend on where the text ends
        assert_agree(found, model(ids).data[0, 12:], 1e-4)


def test_a_factor_of_the_scores_ends_with_the_text_that_had_it():
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 30}
    model = lfs.build("qwen", kv_channels=8, intermediate_size=64, seq_length=8, **sizes)
    assert model.layers[0].mixer.spec.log_n == 8
    ids = ids_for(model, 24)
    for count in (24, 5):
        assert_agree(one_by_one(model, ids[:, :count]), called(model, ids[:, :count]))


def test_a_fork_goes_its_own_way():
    model = small("mamba")
    ids, memory = ids_for(model, 20), model.new_memory(1)
    one_by_one(model, ids[:, :6], memory)
    fork = copy.deepcopy(memory)
    other = ids[:, :6]
    assert_agree(one_by_one(model, other, fork), model(np.hstack([other, other])).data[0, 6:], 1e-4)
    assert_agree(one_by_one(model, ids[:, 6:], memory), model(ids).data[0, 6:], 1e-4)


@pytest.mark.parametrize("kind", ["prefix", "prompt"])
def test_learned_beginnings(kind):
    model = small("llama")
    getattr(lfs.adapters, f"add_{kind}")(model, 3)
    for parameter in model.prefix.parameters():
        parameter.data = np.random.default_rng(2).normal(size=parameter.shape).astype(np.float32)
    ids = ids_for(model, 20)
    assert_agree(one_by_one(model, ids), model(ids).data[0], 1e-4)
    assert not plan(model)[0]


def test_weights_changed_in_place_are_seen_and_so_are_new_ones():
    model = small("llama")
    ids = ids_for(model, 8)
    first = one_by_one(model, ids)
    model.layers[0].feed_forward.up.weight.data *= 1.5
    second = one_by_one(model, ids)
    assert_agree(second, called(model, ids))
    model.layers[1].mixer.query.weight.data = model.layers[1].mixer.query.weight.data + np.float32(0.3)
    third = one_by_one(model, ids)
    assert_agree(third, called(model, ids))
    optimizer = lfs.AdamW(model.parameters(), lr=1e-2)
    lfs.accumulate_gradients(model, ids[:, :-1], ids[:, 1:])
    optimizer.step()
    fourth = one_by_one(model, ids)
    assert_agree(fourth, called(model, ids))
    model.load_state_dict({name: 1.1 * array for name, array in model.state_dict().items()})
    assert_agree(one_by_one(model, ids), called(model, ids))
    for a, b in ((first, second), (second, third), (third, fourth)):
        assert np.abs(a - b).max() > 1e-3


def test_what_was_put_in_place_of_a_part_is_called():
    model = small("llama")
    ids = ids_for(model, 8)
    before = one_by_one(model, ids)
    lfs.adapters.add_lora(model, rank=2, targets=("query",))
    for name, parameter in model.named_parameters():
        if "lora" in name or ".up" in name or ".down" in name:
            parameter.data = parameter.data + np.float32(0.1)
    adapted = one_by_one(model, ids)
    assert_agree(adapted, model(ids).data[0], 1e-4)
    assert np.abs(adapted - before).max() > 1e-3 and len(plan(model)[0]) == 2
    lfs.merge_adapter(model)
    assert_agree(one_by_one(model, ids), adapted, 1e-4)


def test_whole_parts_are_replaced():
    model, other = small("llama"), small("llama")
    for parameter in other.parameters():
        parameter.data = parameter.data * np.float32(0.7)
    ids = ids_for(model, 6)
    seen = [one_by_one(model, ids)]
    for change in (
        lambda: model.replace("layers.0", lambda old: other.layers[1]),
        lambda: setattr(model, "head", other.head),
        lambda: setattr(model, "norm", other.norm),
        lambda: setattr(model, "layers", other.layers),
        lambda: setattr(model.layers[0].feed_forward, "down", other.layers[1].feed_forward.down),
    ):
        change()
        seen.append(one_by_one(model, ids))
        assert_agree(seen[-1], called(model, ids))
        assert np.abs(seen[-1] - seen[-2]).max() > 1e-4


def test_a_patched_part_is_called_and_afterwards_told_again():
    model = small("gpt2")
    ids = ids_for(model, 6)
    before = one_by_one(model, ids)
    with model.patch("layers.0.mixer.query", lambda x: x * 0.0):
        inside = one_by_one(model, ids)
        assert_agree(inside, model(ids).data[0], 1e-4)
        assert [link.layer for link in plan(model)[0]] == [0]
    assert np.abs(inside - before).max() > 1e-3
    np.testing.assert_array_equal(one_by_one(model, ids), before)
    assert not plan(model)[0]


def test_what_is_recorded_or_padded_or_needs_gradients_is_called(monkeypatch):
    model = small("llama")
    ids, memory, ran = ids_for(model, 6), model.new_memory(1), []
    run = model._one_token.run
    monkeypatch.setattr(model._one_token, "run", lambda *args: ran.append(1) or run(*args))
    with model.record() as seen:
        model.step(ids[:, :1], memory)
    assert len(seen["attention"]) == 2 and not ran
    model(ids[:, 1:2], memory=memory)[0, 0, 3].backward()
    assert model.layers[0].mixer_norm.weight.grad is not None and not ran
    masked = model.new_memory(1)
    model.step(ids[:, :2], masked, np.array([[False, True]]))
    model.step(ids[:, 2:3], masked)
    assert not ran
    model.step(np.concatenate([ids[:, :1]] * 2), model.new_memory(2))
    assert not ran
    model.step(ids[:, 2:3], memory)
    with lfs.no_grad():
        assert model(ids[:, 3:4], memory=memory).shape == (1, 1, 30)
    assert len(ran) == 2


def test_a_model_in_float64_stays_exact():
    model = small("llama").astype(np.float64)
    ids = ids_for(model, 8)
    found = one_by_one(model, ids)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, model(ids).data[0], atol=1e-10)


def test_a_filter_without_modes_is_called():
    hyena = HyenaSpec(16, ImplicitFilterSpec(length=64, width=8))
    layer = LayerSpec.sequential(hyena, FeedForwardSpec(16, 32), NormSpec(16))
    spec = lfs.ModelSpec(vocab_size=30, hidden_size=16, layers=(layer,) * 2, norm=NormSpec(16), context_length=64)
    model = lfs.Decoder(spec, np.random.default_rng(0))
    ids = ids_for(model, 10)
    assert_agree(one_by_one(model, ids), model(ids).data[0], 1e-4)
    assert len(plan(model)[0]) == 2 and len(plan(model)[1]) == 1  # the head


def test_a_copy_of_a_model_has_weights_of_its_own():
    model = small("llama")
    ids = ids_for(model, 5)
    before = one_by_one(model, ids)
    copied = copy.deepcopy(model)
    for parameter in copied.parameters():
        parameter.data *= 0.5
    assert_agree(one_by_one(copied, ids), called(copied, ids))
    np.testing.assert_array_equal(one_by_one(model, ids), before)


@pytest.mark.parametrize("name", ["llama_gqa", "mistral_window"])
def test_a_memory_of_another_model_is_refused(name):
    model, other = small("llama"), model_named(name)
    memory = other.new_memory(1)
    other.step([[1, 2]], memory)
    untouched = copy.deepcopy(memory)
    with pytest.raises(ValueError, match="this layer.s would be"):
        model.step([[1]], memory)
    np.testing.assert_array_equal(other.step([[3]], memory), other.step([[3]], untouched))


def test_so_is_a_state_of_another_width():
    model = small("mamba")
    memory = model.new_memory(1)
    model.step([[1, 2]], memory)
    for layer in memory.layers:
        layer["mixer"].state = np.zeros((1, 3, 2), np.float32)
    with pytest.raises(ValueError, match=r"holds .* and \(1, 3, 2\), this layer.s would be \(1, 3, "):
        model.step([[1]], memory)
