"""Fisher merging, and the Fisher information of a model against its definition, label by label."""

import numpy as np
import pytest

import llm_from_scratch as lfs
import llm_from_scratch.merging as M

RNG = np.random.default_rng(4)


def test_entries_count_by_what_depends_on_them():
    a, b, c = RNG.normal(size=(3, 6))
    f, g, h = RNG.gamma(1.0, size=(3, 6))
    found = M.fisher([a, b, c], [f, g, h], [1, 2, 0.5])
    np.testing.assert_allclose(found, (f * a + 2 * g * b + 0.5 * h * c) / (f + 2 * g + 0.5 * h), rtol=1e-12)
    np.testing.assert_allclose(M.fisher([a, b], [f, f], [1, 3]), (a + 3 * b) / 4, rtol=1e-12)


def test_where_nothing_depends_on_an_entry_the_mean_is_left():
    zeros = np.zeros(2)
    np.testing.assert_allclose(M.fisher([zeros, zeros + 4], [zeros, zeros], [1, 1]), [2, 2])
    np.testing.assert_allclose(M.fisher([zeros, zeros + 4], [zeros, zeros + 1e-20], [1, 1]), [4, 4])


def test_small_squares_do_not_get_lost_in_float32():
    a, b = np.float32([1e-9]), np.float32([3e-9])
    tiny = np.float32([1e-33])
    np.testing.assert_allclose(M.fisher([a, b], [tiny, 3 * tiny], [1, 1], floor=1e-45), [2.5e-9], rtol=1e-3)
    np.testing.assert_allclose(M.fisher([a, b], [tiny * 1e6, 3e6 * tiny], [1, 1]), [2.5e-9], rtol=1e-3)


@pytest.mark.parametrize(
    ("fishers", "weights", "words"),
    [
        ([np.ones(2), -np.ones(2)], [1, 1], "negative"),
        ([np.ones(2)], [1, 1], "1 Fisher informations for 2"),
        ([np.ones(2)] * 2, [1, -1], "not negative"),
        ([np.ones(2)] * 2, [0, 0], "not all 0"),
        ([np.ones(3)] * 2, [1, 1], "shape"),
    ],
)
def test_what_is_no_fisher_information_is_refused(fishers, weights, words):
    with pytest.raises(ValueError, match=words):
        M.fisher([np.ones(2)] * 2, fishers, weights)


@pytest.fixture(scope="module")
def model():
    return lfs.build("gpt2", n_layer=1, n_head=1, n_embd=4, vocab_size=5, n_positions=4, seed=3, dtype=np.float64)


def _by_definition(model, ids):
    """E over the model's own labels of the squared score, place by place: all labels by their probability."""
    total = {name: np.zeros(parameter.shape) for name, parameter in model.named_parameters()}
    for row in ids:
        for place in range(len(row)):
            logits = model(row[None]).data[0, place]
            chances = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
            for label, chance in enumerate(chances):
                for parameter in model.parameters():
                    parameter.grad = None
                targets = np.full((1, len(row)), -100)
                targets[0, place] = label
                lfs.cross_entropy(model(row[None]), targets).backward()
                for name, parameter in model.named_parameters():
                    if parameter.grad is not None:
                        total[name] += chance * parameter.grad**2
    for parameter in model.parameters():
        parameter.grad = None
    return {name: array / ids.size for name, array in total.items()}


def test_sampled_labels_give_the_definition_on_average(model):
    """Also that the squared gradient of a whole text is, on average, the sum over its places."""
    ids = np.array([[1, 2, 4], [0, 3, 3]])
    expected = _by_definition(model, ids)
    parts = [M.fisher_information(model, ids, rng=seed, samples=20) for seed in range(25)]
    largest = max(float(exact.max()) for exact in expected.values())
    for name, exact in expected.items():
        drawn = np.stack([part[name] for part in parts])
        error = drawn.std(0) / np.sqrt(len(parts))
        size = max(float(exact.max()), 1e-12 * largest)  # a key's bias has no gradient: rounding is left, squared
        assert not (np.abs(drawn.mean(0) - exact) > 5 * error + 1e-3 * size).any(), name
        assert np.abs(drawn.mean(0) - exact).max() < 0.2 * size, name
    assert all(parameter.grad is None for parameter in model.parameters())


def test_labels_of_the_text_would_give_something_else(model):
    ids = np.array([[1, 2, 4, 1]])
    sampled = M.fisher_information(model, ids, rng=0, samples=300)
    lfs.cross_entropy(model(ids[:, :-1]), ids[:, 1:]).backward()
    observed = {name: 3 * parameter.grad**2 for name, parameter in model.named_parameters()}
    ratio = observed["norm.bias"] / sampled["norm.bias"]
    assert ratio.max() / ratio.min() > 2
    for parameter in model.parameters():
        parameter.grad = None


def test_it_repeats_by_seed_keeps_the_format_and_leaves_the_model(model):
    ids = np.array([[1, 2, 4]])
    before = {name: array.copy() for name, array in model.state_dict().items()}
    one, same, other = (M.fisher_information(model, ids, rng=seed) for seed in (0, 0, 1))
    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert any((one[name] != other[name]).any() for name in one)
    assert one.keys() == {name for name, _ in model.named_parameters()}
    assert all(np.array_equal(before[name], array) for name, array in model.state_dict().items())
    single = model.astype(np.float32)
    assert all(array.dtype == np.float32 for array in M.fisher_information(single, ids, rng=0).values())


def test_two_models_are_merged_by_their_own_information():
    one, two = (lfs.build("llama", hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
                          vocab_size=7, seed=seed) for seed in (0, 1))  # fmt: skip
    ids = np.array([[1, 2, 4, 5]])
    found = [M.fisher_information(model, ids, rng=0, samples=2) for model in (one, two)]
    merged = M.fisher([one.state_dict(), two.state_dict()], found, [1, 1])
    assert merged.keys() == one.state_dict().keys()
    used = merged["embedding.weight"][4]
    assert (np.minimum(one.embedding.weight.data[4], two.embedding.weight.data[4]) <= used + 1e-6).all()


@pytest.mark.parametrize(("ids", "samples"), [(np.array([1, 2]), 1), (np.zeros((0, 3), int), 1), (np.ones((1, 2)), 1)])
def test_ids_are_texts(model, ids, samples):
    with pytest.raises(ValueError, match="ids are texts"):
        M.fisher_information(model, ids, rng=0, samples=samples)
    with pytest.raises(ValueError, match="samples"):
        M.fisher_information(model, np.array([[1]]), rng=0, samples=0)
