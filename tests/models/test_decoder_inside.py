"""Recording with gradients, patches, embeddings in place of ids, log-probabilities of targets, a learned prefix."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.autograd import Tensor

IDS = np.array([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]])
BATCH = {"ids": IDS[:, :-1], "targets": np.array([[1, 4, -100, 5], [2, -100, 5, 3]])}
SIZES = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=3, num_attention_heads=4, vocab_size=11)
FAMILIES = {
    "grouped": ("llama", {"num_key_value_heads": 2}),
    "tied": ("llama", {"tie_word_embeddings": True}),
    "window": ("mistral", {"sliding_window": 3, "num_key_value_heads": 2}),
}


def make(name: str = "grouped", **more):
    family, settings = FAMILIES[name]
    model = lfs.build(family, **SIZES, **settings, max_position_embeddings=32, dtype=np.float64, **more)
    for parameter in model.parameters():  # far from the even output that small initial weights give
        parameter.data = parameter.data * 8 if parameter.ndim > 1 else parameter.data
    return model


def central(f, x: np.ndarray, places, step: float = 1e-6) -> np.ndarray:
    found = []
    for place in places:
        values = []
        for sign in (1, -1):
            moved = x.copy()
            moved[place] += sign * step
            values.append(f(moved))
        found.append((values[0] - values[1]) / (2 * step))
    return np.array(found)


PLACES = [(0, 0, 0), (0, 2, 5), (1, 3, 11), (1, 1, 7)]


@pytest.mark.parametrize("name", FAMILIES)
def test_gradients_of_hidden_states_are_those_of_moving_them(name):
    model = make(name)
    with model.record(gradients=True) as seen:
        loss = model.loss(BATCH)
        loss.backward()
    assert len(seen.steps) == 1 and len(seen["hidden"]) == 4 and seen.steps[0]["hidden"][2] is seen["hidden"][2]
    assert loss.item() == pytest.approx(model.loss(BATCH).item(), abs=1e-14)
    for layer in range(3):  # moving what layer `layer` reads is moving what the part before it puts out
        path = "embedding" if layer == 0 else f"layers.{layer - 1}"

        def moved(x, path=path):
            with model.patch(path, lambda _: Tensor(x)):
                return model.loss(BATCH).item()

        hidden = seen["hidden"][layer]
        np.testing.assert_allclose(
            hidden.grad[tuple(zip(*PLACES))], central(moved, hidden.data, PLACES), rtol=1e-5, atol=1e-8
        )


def test_recording_changes_no_gradient_and_keeps_attention_s():
    model, plain = make(), make()
    with model.record(gradients=True) as seen:
        model.loss(BATCH).backward()
    plain.loss(BATCH).backward()
    for mine, theirs in zip(model.parameters(), plain.parameters()):
        np.testing.assert_allclose(mine.grad, theirs.grad, rtol=1e-10, atol=1e-14)
    for weights in seen["attention"]:
        assert weights.grad.shape == weights.shape == (2, 4, 4, 4) and np.abs(weights.grad).max() > 0
    # Scaling all weights of a layer by 1 + e scales what the heads read: compare with its derivative.
    mixer, e = model.layers[1].mixer, 1e-6
    read = (seen["attention"][1].data * seen["attention"][1].grad).sum()
    values = []
    for sign in (1, -1):
        with model.patch("layers.1.mixer.value", lambda v, sign=sign: v * (1 + sign * e)):
            values.append(model.loss(BATCH).item())
    assert mixer is model.layers[1].mixer
    assert read == pytest.approx((values[0] - values[1]) / (2 * e), rel=1e-4, abs=1e-9)


def test_steps_are_apart_by_pass():
    model = make()
    with model.record() as seen:
        model.generate(IDS[:1], max_new_tokens=3, temperature=0.0)
    assert [step["hidden"][0].shape[1] for step in seen.steps] == [5, 1, 1]
    assert isinstance(seen["hidden"][0], np.ndarray) and len(seen["hidden"]) == 3 * 4
    assert model._record is None


def test_a_patch_reaches_loss_and_generation_and_ends_with_its_block():
    model = make("tied")
    before = model(IDS).data
    with model.patch("layers.1.mixer", lambda out: out * 0.0):
        changed = model(IDS).data
        assert (
            type(model.layers[1].mixer).__name__ == "Attention" and "layers.1.mixer.query.weight" in model.state_dict()
        )
    twin = make("tied")
    twin.layers[1].mixer.output.weight.data[:] = 0
    np.testing.assert_allclose(changed, twin(IDS).data, atol=1e-13)
    np.testing.assert_array_equal(model(IDS).data, before)
    with model.patch("head", lambda logits: logits * 0.0):  # the fused loss does not slip past it
        assert model.loss(BATCH).item() == pytest.approx(np.log(11), abs=1e-12)
    with model.patch("layers.0", lambda out: Tensor(np.zeros(out.shape))):
        one, other = (model(np.full((1, 2), token)).data for token in (3, 4))
    np.testing.assert_array_equal(one, other)


def test_patches_nest_and_bad_ones_are_named():
    model = make()
    with model.patch("layers.0.mixer", lambda out: out * 2.0), model.patch("layers.0.mixer", lambda out: out * 0.5):
        np.testing.assert_allclose(model(IDS).data, make()(IDS).data, atol=1e-12)
    with pytest.raises(ValueError, match="no part 'layers.9.mixer'"), model.patch("layers.9.mixer", lambda out: out):
        pass
    with pytest.raises(ValueError, match="keep shape and dtype"), model.patch("layers.0", lambda out: out[:, :1]):
        model(IDS)
    np.testing.assert_array_equal(model(IDS).data, make()(IDS).data)


@pytest.mark.parametrize("name", FAMILIES)
def test_embeddings_stand_in_for_ids_and_receive_a_gradient(name):
    model = make(name)
    rows = Tensor(model.embedding.weight.data[IDS], requires_grad=True)
    np.testing.assert_array_equal(model(embeddings=rows).data, model(IDS).data)
    weights = np.random.default_rng(1).normal(size=(2, 5, 11))
    (model(embeddings=rows) * weights).sum().backward()
    expected = central(lambda x: float((model(embeddings=x).data * weights).sum()), rows.data, PLACES)
    np.testing.assert_allclose(rows.grad[tuple(zip(*PLACES))], expected, rtol=1e-5, atol=1e-7)
    memory = model.new_memory(2)  # and a sequence may begin with embeddings and go on with ids
    first = model(embeddings=rows.data[:, :2], memory=memory).data
    rest = model(IDS[:, 2:], memory=memory).data
    np.testing.assert_allclose(np.concatenate([first, rest], 1), model(IDS).data, atol=1e-12)


@pytest.mark.parametrize(
    "about, error, words",
    [
        ({"ids": IDS, "embeddings": np.zeros((2, 5, 16))}, TypeError, "give one of them"),
        ({}, TypeError, "give one of them"),
        ({"embeddings": np.zeros((2, 5, 7))}, ValueError, "tokens, 16"),
        ({"embeddings": np.zeros((2, 16))}, ValueError, "tokens, 16"),
        ({"embeddings": np.zeros((2, 5, 16), np.int64)}, TypeError, "floating-point"),
    ],
)
def test_bad_embeddings_are_named(about, error, words):
    with pytest.raises(error, match=words):
        make()(**about)


@pytest.mark.parametrize("name", FAMILIES)
def test_log_probabilities_of_targets(name):
    model = make(name)
    found = model.token_log_probabilities(BATCH)
    logits = model(BATCH["ids"]).data
    normed = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    targets = BATCH["targets"]
    expected = np.where(targets == -100, 0, np.take_along_axis(normed, np.maximum(targets, 0)[..., None], 2)[..., 0])
    np.testing.assert_allclose(found.data, expected, atol=1e-12)
    assert -found.data.sum() / 6 == pytest.approx(model.loss(BATCH).item(), abs=1e-12)
    other = make(name)
    (-found.sum() / 6).backward()
    other.loss(BATCH).backward()
    for mine, theirs in zip(model.parameters(), other.parameters()):
        np.testing.assert_allclose(mine.grad, theirs.grad, atol=1e-12)


@pytest.mark.parametrize("split", [[5], [1, 1, 1, 1, 1], [2, 3]])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_memory_begins_with_a_prefix_as_with_the_tokens_it_came_from(name, split):
    model, prefix_ids = make(name), np.array([[7, 8, 2], [1, 1, 6]])
    whole = model.new_memory(2)
    model(prefix_ids, memory=whole)
    caches = [parts["mixer"] for parts in whole.layers]
    pairs = [(Tensor(c._keys[:, :, : c.length].copy()), Tensor(c._values[:, :, : c.length].copy())) for c in caches]
    memory = model.new_memory(2)
    memory.begin(pairs)
    pieces = [model(ids, memory=memory).data for ids in np.split(IDS, np.cumsum(split)[:-1], axis=1)]
    np.testing.assert_allclose(np.concatenate(pieces, 1), model(IDS, memory=whole).data, atol=1e-12)
    memory.select([1, 1, 0])
    if name != "window":
        memory.crop(4)
        assert model(IDS[[1, 1, 0], 1:], memory=memory).shape == (3, 4, 11)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("seen", [0, 1])
def test_gradients_flow_into_a_prefix_at_the_first_step_and_later(name, seen):
    model, rng = make(name), np.random.default_rng(3)
    heads = model.layers[0].spec.branches[0].functions["mixer"].key_value_heads
    model.freeze()
    values = [rng.normal(size=(2, 2, heads, 2, 4)) for _ in range(3)]  # (keys or values, B, K, P, D) a layer

    def loss(moved, grad):
        """After `seen` tokens that are constants, whatever is moved: they came before."""
        memory = model.new_memory(2)
        memory.begin([tuple(Tensor(part, requires_grad=grad) for part in layer) for layer in values])
        if seen:
            with lfs.no_grad():
                model(IDS[:, :seen], memory=memory)
        caches = [parts["mixer"] for parts in memory.layers]
        if not grad:
            for cache, (keys, rows) in zip(caches, moved):
                cache._keys[:, :, :2], cache._values[:, :, :2] = keys, rows
        x = model(IDS[:, seen:], memory=memory)
        return (x * x).sum(), [cache._prefix for cache in caches]

    total, pairs = loss(values, True)
    total.backward()
    flowing = 0
    for layer, which, place in itertools.product(range(3), range(2), [(0, 0, 0, 0), (1, heads - 1, 1, 2)]):

        def at(x, layer=layer, which=which):
            arrays = [a.copy() for a in values]
            arrays[layer][which] = x
            return loss(arrays, False)[0].item()

        expected = central(at, values[layer][which], [place])[0]
        grad = pairs[layer][which].grad
        got = 0.0 if grad is None else grad[place]
        flowing += got != 0
        assert got == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert flowing >= 6


def test_prefixes_that_do_not_fit_are_refused():
    model = make()
    pair = (Tensor(np.zeros((2, 2, 3, 4))), Tensor(np.zeros((2, 2, 3, 4))))
    memory = model.new_memory(2)
    for pairs in ([pair], [pair] * 2 + [(pair[0][:, :, :2], pair[1][:, :, :2])]):
        with pytest.raises(ValueError, match="3 layers that keep them"):
            memory.begin(pairs)
    with pytest.raises(ValueError, match="holds 2 rows"):
        memory.begin([(pair[0][:1], pair[1][:1])] * 3)
    with pytest.raises(ValueError, match="keys and values of one shape"):  # found in the last layer: none has begun
        memory.begin([pair, pair, (pair[0], pair[1][:, :1])])
    assert memory.length == 0 and all(parts["mixer"].length == 0 for parts in memory.layers)
    narrow = make("window")  # one head would be repeated for two in silence
    for refusing, heads in ((model, 3), (make("tied"), 1), (narrow, 1)):
        begun = refusing.new_memory(2)
        begun.begin([(Tensor(np.zeros((2, heads, 3, 4))), Tensor(np.zeros((2, heads, 3, 4))))] * 3)
        with pytest.raises(ValueError, match=f"the prefix has {heads} key-value heads of width 4"):
            refusing(IDS, memory=begun)
    model(IDS, memory=memory)
    with pytest.raises(ValueError, match="already"):
        memory.begin([pair] * 3)


@pytest.mark.parametrize("begins", ["prefix", "embeddings"])
def test_a_rising_rotary_base_says_that_it_cannot_run_unknown_tokens_again(begins):
    scaling = {"type": "dynamic", "factor": 2.0}
    model = lfs.build("llama", **SIZES, max_position_embeddings=6, rope_scaling=scaling, dtype=np.float64)
    memory = model.new_memory(2)
    if begins == "prefix":
        memory.begin([(Tensor(np.ones((2, 4, 3, 4))), Tensor(np.ones((2, 4, 3, 4))))] * 3)
    else:
        model(embeddings=model.embedding(IDS[:, :3]), memory=memory)
    model(IDS[:, :2], memory=memory)  # within the trained length
    with pytest.raises(ValueError, match="rises with the length"):
        model(IDS[:, 2:], memory=memory)
    memory.crop(0)
    np.testing.assert_allclose(model(IDS, memory=memory).data, model(IDS).data, atol=1e-12)


@pytest.mark.parametrize("name", FAMILIES)
def test_padding_may_come_after_chunks_without_any(name):
    model, mask = make(name), np.array([[True, True, True], [True, True, False]])
    memory = model.new_memory(2)
    first = model(IDS[:, :2], memory=memory).data
    rest = model(IDS[:, 2:], memory=memory, mask=mask).data
    expected = model(IDS).data
    np.testing.assert_allclose(np.concatenate([first, rest], 1)[0], expected[0], atol=1e-12)
    np.testing.assert_allclose(np.concatenate([first, rest], 1)[1, :4], expected[1, :4], atol=1e-12)
    if name == "window":  # a window counts places in the row: padding between tokens takes one of them
        return
    later = model(np.array([[7], [7]]), memory=memory).data  # the padding stays hidden, and takes no position
    np.testing.assert_allclose(later[1], model(np.append(IDS[1, :4], 7)[None]).data[0, -1:], atol=1e-12)
