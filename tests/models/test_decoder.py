"""What must hold for any decoder: chunks, packing, padding, memory, recording, and clear errors."""

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.layers import AttentionSpec, FeedForwardSpec, LayerSpec, NormSpec, Rotary
from llm_from_scratch.models.decoder import Decoder
from llm_from_scratch.models.spec import ModelSpec, PositionTable
from llm_from_scratch.zoo import choices, costs, details

V, CONTEXT = 13, 12


def learned(**attention):
    norm = NormSpec(12)
    mixer = AttentionSpec(12, 3, 3, 4, bias=True, output_bias=True, **attention)
    layer = LayerSpec.sequential(mixer, FeedForwardSpec(12, 20), norm)
    return ModelSpec(V, 12, (layer,) * 2, norm, CONTEXT, positions=PositionTable(CONTEXT))


def rotary(**attention):
    norm = NormSpec(12, "rms", 1e-6)
    mixer = AttentionSpec(12, 6, 2, 4, rotary=Rotary(4), **attention)
    layer = LayerSpec.sequential(mixer, FeedForwardSpec(12, 20, "silu", True, False), norm)
    return ModelSpec(V, 12, (layer,) * 2, norm, CONTEXT, tied=False)


def slopes():
    norm = NormSpec(12)
    layer = LayerSpec.parallel(AttentionSpec(12, 4, 1, 4, slopes=(0.5, 0.25, 0.1, 0.05)), FeedForwardSpec(12, 20), norm)
    return ModelSpec(V, 12, (layer,) * 2, norm, CONTEXT, embedding_norm=norm)


def later():
    """What came after 2023: norms on the branches, by 1 + w, of the heads of queries and keys, or of all together."""
    norm, head, whole = (NormSpec(size, "rms", 1e-6, plus_one=True) for size in (12, 4, 8))
    mixer = AttentionSpec(12, 6, 2, 4, rotary=Rotary(4), query_norm=head, key_norm=whole)
    feed_forward = FeedForwardSpec(12, 20, "gelu_tanh", True, False)
    layers = (
        LayerSpec.sequential(mixer, feed_forward, norm_branch=norm),
        LayerSpec.sequential(mixer, feed_forward, norm, norm_branch=norm),
        LayerSpec.parallel(mixer, feed_forward, norm, norm_branch=norm),
    )
    return ModelSpec(V, 12, layers, norm, CONTEXT, embedding_scale=12**0.5, head_bias=True)


SPECS = {
    "learned": learned(),
    "scaled": rotary().replace(head_bias=True, embedding_scale=3.0),
    "later": later(),
    "rotary": rotary(),
    "window": rotary(window=3),
    "slopes": slopes(),
}


@pytest.fixture(params=SPECS, ids=str)
def model(request):
    model = Decoder(SPECS[request.param]).astype(np.float64)
    rng = np.random.default_rng(4)
    for p in model.parameters():
        p.data = rng.normal(size=p.shape) * 0.4
    return model


IDS = np.random.default_rng(5).integers(0, V, (2, 9))


@pytest.mark.parametrize("splits", [[1] * 9, [4, 5], [2, 6, 1]], ids=str)
def test_any_split_into_chunks_gives_the_same_logits(model, splits):
    memory = model.new_memory(2)
    borders = np.cumsum([0, *splits])
    with lfs.no_grad():
        parts = [model(IDS[:, a:b], memory=memory).data for a, b in zip(borders, borders[1:])]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), model(IDS).data, atol=1e-12)
    assert memory.length == 9 and memory.nbytes > 0


def test_step_is_the_last_row_of_the_logits(model):
    memory = model.new_memory(2)
    np.testing.assert_allclose(model.step(IDS[:, :5], memory), model(IDS[:, :5]).data[:, -1], atol=1e-12)
    np.testing.assert_allclose(model.step(IDS[:, 5:], memory), model(IDS).data[:, -1], atol=1e-12)


def test_memory_can_be_cropped_and_its_rows_chosen(model):
    memory = model.new_memory(2)
    model.step(IDS, memory)
    memory.crop(4)
    memory.select([1, 0, 1])
    other = np.array([[1, 2], [3, 4], [5, 6]])
    expected = model(np.concatenate([IDS[[1, 0, 1], :4], other], axis=1)).data[:, -1]
    np.testing.assert_allclose(model.step(other, memory), expected, atol=1e-12)
    with pytest.raises(ValueError, match="cannot crop a memory of 6"):
        memory.crop(7)
    with pytest.raises(ValueError, match=r"rows must lie in 0\.\.2"):
        memory.select([3])


def test_packed_documents_equal_separate_ones(model):
    segments = np.array([[0] * 4 + [1] * 5, [7] * 6 + [2] * 3])
    packed = model(IDS, segments=segments).data
    for row, border in ((0, 4), (1, 6)):
        np.testing.assert_allclose(packed[row, :border], model(IDS[row : row + 1, :border]).data[0], atol=1e-12)
        np.testing.assert_allclose(packed[row, border:], model(IDS[row : row + 1, border:]).data[0], atol=1e-12)


def test_a_memory_of_packed_documents_is_not_continued_by_attention(model):
    ids = np.arange(8)[None] % V
    memory = model.new_memory()
    model(ids, segments=np.array([[0, 0, 0, 0, 0, 1, 1, 1]]), memory=memory)
    with pytest.raises(ValueError, match="packed documents"):  # it would see both of them
        model.step(ids[:, :1], memory)
    memory.crop(0)
    model(ids, segments=np.full((1, 8), 4), memory=memory)  # one document is nothing special
    with lfs.no_grad():
        wanted = model(np.append(ids, [[3]], axis=1)).data[:, -1]
    np.testing.assert_allclose(model.step(np.array([[3]]), memory), wanted, atol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing_for_the_real_tokens(model, side):
    real = slice(3, 9) if side == "left" else slice(0, 6)
    mask = np.zeros((2, 9), int)
    mask[0, real] = mask[1] = 1
    padded = model(IDS, mask=mask).data
    np.testing.assert_allclose(padded[0, real], model(IDS[:1, real]).data[0], atol=1e-12)
    np.testing.assert_allclose(padded[1], model(IDS).data[1], atol=1e-12)


def test_padding_is_remembered_between_steps(model):
    mask = np.array([[0, 0, 1, 1], [1, 1, 1, 1]])
    memory = model.new_memory(2)
    model.step(IDS[:, :4], memory, mask=mask)
    got = model.step(IDS[:, 4:6], memory)
    np.testing.assert_allclose(got[0], model(IDS[:1, 2:6]).data[0, -1], atol=1e-12)
    np.testing.assert_allclose(got[1], model(IDS[1:, :6]).data[0, -1], atol=1e-12)


def test_a_prefix_sees_itself_in_both_directions():
    model = Decoder(SPECS["rotary"], np.random.default_rng(0)).astype(np.float64)
    changed = IDS.copy()
    changed[:, 3] = (changed[:, 3] + 1) % V
    plain = model(changed).data - model(IDS).data
    prefix = model(changed, prefix_length=4).data - model(IDS, prefix_length=4).data
    assert (plain[:, 0] == 0).all() and (prefix[:, 0] != 0).any()


def test_gradients_flow_through_a_step_with_memory(model):
    memory = model.new_memory(2)
    model.step(IDS[:, :4], memory)
    loss = lfs.cross_entropy(model(IDS[:, 4:8], memory=memory), IDS[:, 5:9])
    loss.backward()
    assert all(p.grad is not None and np.isfinite(p.grad).all() for p in model.parameters())


def test_loss_equals_the_mean_over_targets_that_count(model):
    targets = IDS[:, 1:].copy()
    targets[0, :3] = -100
    fused = model.loss({"ids": IDS[:, :-1], "targets": targets})
    plain = lfs.cross_entropy(model(IDS[:, :-1]), targets)
    assert abs(fused.item() - plain.item()) < 1e-12
    halved = model.loss({"ids": IDS[:, :-1], "targets": targets}, normaliser=26)
    assert abs(halved.item() - fused.item() / 2) < 1e-12


def test_gradients_of_the_loss_are_its_slopes(model):
    batch = {"ids": IDS, "targets": np.where(IDS == 3, -100, np.roll(IDS, -1, axis=1))}
    model.loss(batch).backward()
    rng, step = np.random.default_rng(6), 1e-5
    for name, p in model.named_parameters():  # the slope in one random direction a parameter
        direction, start = rng.normal(size=p.shape), p.data
        losses = []
        for side in (1, -1):
            p.data = start + side * step * direction
            losses.append(model.loss(batch).item())
        p.data = start
        slope, expected = (losses[0] - losses[1]) / (2 * step), float((p.grad * direction).sum())
        assert abs(slope - expected) < 1e-6 * max(1.0, abs(expected)), name


def test_a_head_bias_is_added_to_the_logits_and_an_embedding_scale_multiplies_what_is_looked_up():
    plain = Decoder(SPECS["rotary"], np.random.default_rng(0)).astype(np.float64)
    model = Decoder(SPECS["scaled"]).astype(np.float64)
    weights = {name: array.copy() for name, array in plain.state_dict().items()}
    model.load_state_dict({**weights, "head.bias": np.arange(V, dtype=np.float64)})
    scaled = model(IDS).data
    assert np.abs(scaled - plain(IDS).data - np.arange(V)).max() > 0.01  # the scale
    plain.embedding.weight.data *= 3.0
    np.testing.assert_allclose(scaled, plain(IDS).data + np.arange(V), atol=1e-12)
    assert model.parameter_count == plain.parameter_count + V
    assert choices(model.spec)["head"] == "untied, with a bias"
    assert choices(learned().replace(head_bias=True))["head"] == "tied, with a bias"
    assert details(model.spec)["embedding scale"] == "3" and "embedding scale" not in details(plain.spec)
    assert costs(model.spec).parts["head"] == costs(plain.spec).parts["head"] + V
    assert (
        model.summary(IDS).parameters == model.parameter_count and model.summary(IDS).flops == plain.summary(IDS).flops
    )


def test_norms_of_branches_and_of_heads_are_told_and_counted():
    spec = later()
    found = choices(spec)
    assert found["norm"] == "RMSNorm by 1 + w" and found["mixer"] == "grouped-query, query-key norm per head"
    places = ["on the branch", "pre and on the branch", "pre and on the branch, parallel (1 norm)"]
    assert found["placement"] == " + ".join(places)
    model = Decoder(spec, np.random.default_rng(0))
    norms = [p for name, p in model.named_parameters() if "_norm" in name and "mixer.q" not in name]
    norms = [p for p in norms if p.size == 12] + [model.norm.weight]
    assert costs(spec).parts["norms"] == sum(p.size for p in norms) == 12 * 10
    assert all((p.data == 0).all() for p in norms)  # they start as scales of 1
    assert model.summary(IDS).parameters == model.parameter_count == costs(spec).parameters
    assert "feed forward norm branch" in str(model.summary(IDS))
    rng = np.random.default_rng(1)
    state = {name: rng.normal(size=p.shape).astype(np.float32) for name, p in model.named_parameters()}
    model.load_state_dict(state)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, state[name])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"embedding_scale": 0.0}, "embedding_scale must be a positive number, not 0.0"),
        ({"embedding_scale": float("nan")}, "embedding_scale must be a positive number"),
    ],
)
def test_impossible_specs_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        SPECS["rotary"].replace(**changes)


def test_recording_sees_attention_and_hidden_states_and_changes_nothing(model):
    plain = model(IDS).data
    with model.record() as seen:
        np.testing.assert_array_equal(model(IDS).data, plain)
    assert len(seen["attention"]) == len(model.layers) == len(seen["hidden"]) - 1
    for weights in seen["attention"]:
        np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-12)
        assert np.triu(weights[0, 0], 1).max() == 0
    model(IDS)
    assert len(seen["hidden"]) == len(model.layers) + 1


def test_float32_stays_float32(model):
    model.astype(np.float32)
    memory = model.new_memory(2)
    assert model(IDS, memory=memory, mask=np.ones_like(IDS)).dtype == np.float32
    loss = model.loss({"ids": IDS, "targets": IDS})
    loss.backward()
    assert loss.dtype == np.float32 and all(p.grad.dtype == np.float32 for p in model.parameters())


@pytest.mark.parametrize(
    "ids, settings, error, message",
    [
        ([[0, V]], {}, ValueError, rf"token id {V} at \(0, 1\) is outside the vocabulary 0\.\.{V - 1}"),
        ([[0, -1]], {}, ValueError, "token id -1"),
        ([[0.5]], {}, TypeError, "integers, got float64"),
        ([1, 2], {}, ValueError, r"\(batch, tokens\)"),
        ([[]], {}, ValueError, "empty"),
        ([[1, 2]], {"mask": [[1]]}, ValueError, r"mask has shape \(1, 1\)"),
        ([[1, 2]], {"mask": [[1, 2]]}, ValueError, "0 .padding. and 1"),
        ([[1, 2]], {"positions": [[0, -1]]}, ValueError, "positions start at 0"),
        ([[1, 2]], {"positions": [[0.0, 1.0]]}, TypeError, "positions are integers"),
        ([[1, 2]], {"segments": [[0]]}, ValueError, "segments has shape"),
        ([[1, 2]], {"prefix_length": 3}, ValueError, r"0\.\.2"),
    ],
)
def test_bad_input_is_named(model, ids, settings, error, message):
    with pytest.raises(error, match=message):
        model(np.array(ids), **settings)


def test_positions_beyond_a_learned_table():
    model = Decoder(SPECS["learned"], np.random.default_rng(0))
    with pytest.raises(ValueError, match=f"position {CONTEXT} is beyond the {CONTEXT} positions"):
        model(np.zeros((1, CONTEXT + 1), int))
    memory = model.new_memory(1)
    model.step(np.zeros((1, CONTEXT), int), memory)
    with pytest.raises(ValueError, match="beyond"):
        model.step(np.zeros((1, 1), int), memory)


def test_a_step_that_is_refused_leaves_the_memory_as_it_was(model):
    memory = model.new_memory(2)
    model.step(IDS[:, :4], memory)
    for ids, mask in ((np.full((2, 1), V), None), (IDS[:1, :1], None), (IDS[:, :1], np.full((2, 1), 7))):
        with pytest.raises(ValueError):
            model.step(ids, memory, mask=mask)
    np.testing.assert_allclose(model.step(IDS[:, 4:], memory), model(IDS).data[:, -1], atol=1e-12)


@pytest.mark.parametrize("targets, error", [(np.full((2, 9), V), ValueError), (np.zeros((2, 8), int), ValueError)])
def test_bad_targets_are_named(model, targets, error):
    with pytest.raises(error, match="target"):
        model.loss({"ids": IDS, "targets": targets})
    with pytest.raises(ValueError, match="all are -100"):
        model.loss({"ids": IDS, "targets": np.full((2, 9), -100)})
    with pytest.raises(ValueError, match="a batch has"):
        model.loss({"ids": IDS})


def test_a_70b_model_is_described_without_memory():
    norm = NormSpec(8192, "rms")
    mixer = AttentionSpec(8192, 64, 8, 128, rotary=Rotary(128))
    layer = LayerSpec.sequential(mixer, FeedForwardSpec(8192, 28672, "silu", True, False), norm)
    spec = ModelSpec(32000, 8192, (layer,) * 80, norm, 4096, tied=False)
    assert Decoder(spec).parameter_count == 68_976_648_192  # the published count of LLaMA-2 70B
    assert len(spec.scaled(layers=3).layers) == 3


def test_the_head_reads_the_states_and_embeddings_stand_for_their_ids():
    model = Decoder(rotary(), np.random.default_rng(0))
    ids = np.arange(6).reshape(2, 3)
    batch = {"ids": ids, "targets": ids}
    assert np.array_equal(model.head(model.states({"ids": ids})).data, model(ids).data)
    in_place = {"embeddings": model.embed(ids), "targets": ids}
    assert model.loss(in_place).item() == model.loss(batch).item()
    model.loss(in_place).backward()
    assert np.abs(model.embedding.weight.grad[:6]).min(axis=1).max() > 0
    for wrong in ({**batch, "embeddings": model.embed(ids)}, {"targets": ids}):
        with pytest.raises(ValueError, match="in their place"):
            model.loss(wrong)


@pytest.mark.parametrize("counted, rows", [(2, 2), (5, 5), (6, 6), (0, 6)])
def test_the_head_works_where_there_is_a_target(counted, rows):
    """Where most of a batch is a prompt, and not where nearly all counts; the numbers are those of all rows."""
    model = Decoder(rotary(), np.random.default_rng(0))
    ids = np.arange(6).reshape(2, 3)
    targets = np.where(np.arange(6).reshape(2, 3) % 6 < counted, ids + 1, -100)
    seen = []
    with model.patch("head", lambda out: (seen.append(out.size // V), out)[1]):
        values = model.token_log_probabilities({"ids": ids, "targets": targets})
        if counted:
            loss = model.loss({"ids": ids, "targets": targets})
            loss.backward()
    assert set(seen) == {rows} and values.shape == (2, 3)
    whole = np.log(np.exp(model(ids).data) / np.exp(model(ids).data).sum(-1, keepdims=True))
    expected = np.where(targets == -100, 0, np.take_along_axis(whole, np.maximum(targets, 0)[..., None], 2)[..., 0])
    np.testing.assert_allclose(values.data, expected, atol=1e-5)
    if counted:
        assert loss.item() == pytest.approx(-expected.sum() / counted, rel=1e-5)
