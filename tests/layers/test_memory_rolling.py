"""A window's memory: bounded, equal to a run over the whole however tokens arrive, clear about what it forgot."""

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.autograd import Tensor, no_grad
from llm_from_scratch.checkpoints import Decoder
from llm_from_scratch.layers import AttentionSpec, FeedForwardSpec, LayerSpec, NormSpec, RollingCache, Rotary
from llm_from_scratch.models import ModelSpec

VOCABULARY, WINDOW = 19, 5
IDS = np.random.default_rng(0).integers(0, VOCABULARY, (2, 150))


def layer(window):
    attention = AttentionSpec(8, 2, 1, 4, rotary=Rotary(4), window=window)
    return LayerSpec.sequential(attention, FeedForwardSpec(8, 12, "silu", gated=True), NormSpec(8, "rms"))


def model_of(*windows):
    spec = ModelSpec(VOCABULARY, 8, tuple(map(layer, windows)), NormSpec(8, "rms"), 512)
    model = Decoder(spec, np.random.default_rng(1)).astype(np.float64)
    for parameter in model.parameters():
        parameter.data = parameter.data * 20
    return model


MODELS = {"windows": (WINDOW, WINDOW), "mixed": (None, WINDOW), "one key": (1, 2)}


@pytest.fixture(params=MODELS, ids=str)
def model(request):
    return model_of(*MODELS[request.param])


def test_the_window_changes_the_output_from_its_first_token_on():
    seen, all_seen = model_of(WINDOW).__call__(IDS).data, model_of(None)(IDS).data
    np.testing.assert_allclose(seen[:, :WINDOW], all_seen[:, :WINDOW], atol=1e-12)
    assert np.abs(seen[:, WINDOW] - all_seen[:, WINDOW]).max() > 1e-3


@pytest.mark.parametrize(
    "splits", [[1] * 150, [150], [4, 1, 4, 1, 140], [40, 33, 32, 31, 14], [5] * 30, [149, 1]], ids=len
)
def test_any_split_gives_the_same_outputs(model, splits):
    whole = model(IDS).data
    memory = model.new_memory(2)
    with no_grad():
        parts, start = [], 0
        for size in splits:
            parts.append(model(IDS[:, start : start + size], memory=memory).data)
            start += size
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-10)


def test_padding_on_the_left_is_remembered():
    model, mask = model_of(WINDOW, WINDOW), np.ones((2, 12), bool)
    mask[1, :7] = False
    memory = model.new_memory(2)
    model.step(IDS[:, :12], memory, mask=mask)
    got = model.step(IDS[:, 12:14], memory)
    np.testing.assert_allclose(got[0], model(IDS[:1, :14]).data[0, -1], atol=1e-10)
    np.testing.assert_allclose(got[1], model(IDS[1:, 7:14]).data[0, -1], atol=1e-10)


def test_bytes_stay_bounded_and_so_does_the_buffer():
    model = model_of(WINDOW, WINDOW)
    one = 2 * 2 * 2 * 4 * 8  # layers · (key and value) · rows · width · float64
    memory = model.new_memory(2)
    for t in range(150):
        model.step(IDS[:, t : t + 1], memory)
        assert memory.nbytes <= one * min(t + 1, WINDOW - 1 + 1)
    assert memory.nbytes == one * WINDOW and memory.length == 150
    for part in memory._parts():
        assert part._keys.shape[2] <= 2 * (WINDOW + RollingCache.UNDO)
    memory = model.new_memory(2)
    model.step(IDS, memory)
    assert memory.nbytes == one * (WINDOW - 1 + RollingCache.UNDO)


def test_the_latest_step_can_be_taken_back_but_not_more(model):
    whole = model(IDS).data
    memory = model.new_memory(2)
    model.step(IDS[:, :100], memory)
    model.step(IDS[:, 100:105], memory)  # say, five drafted tokens, of which one is kept
    memory.crop(101)
    assert memory.length == 101
    np.testing.assert_allclose(model.step(IDS[:, 101:103], memory), whole[:, 102], atol=1e-10)
    model.step(IDS[:, 103:104], memory)
    before = memory.nbytes
    with pytest.raises(ValueError, match=r"cannot crop a memory of 104 tokens to 50: a layer has forgotten"):
        memory.crop(50)
    assert memory.length == 104 and memory.nbytes == before
    np.testing.assert_allclose(model.step(IDS[:, 104:105], memory), whole[:, 104], atol=1e-10)
    memory.crop(0)
    np.testing.assert_allclose(model.step(IDS[:, :9], memory), whole[:, 8], atol=1e-10)
    memory.crop(2)  # nothing was forgotten yet
    np.testing.assert_allclose(model.step(IDS[:, 2:3], memory), whole[:, 2], atol=1e-10)


def test_a_cache_alone_says_how_far_back_it_goes():
    cache = RollingCache(4)
    tokens = Tensor(np.arange(90.0).reshape(1, 1, 90, 1))
    cache.extend(tokens, tokens)
    keys, _ = cache.extend(tokens[:, :, :2], tokens[:, :, :2])
    np.testing.assert_array_equal(keys.data.ravel(), [87, 88, 89, 0, 1])
    assert cache.shortest == 90
    with pytest.raises(
        ValueError, match="holds the last 5 of 92 tokens.* go back to 90 tokens or more, or to 0; not to 89"
    ):
        cache.crop(89)
    cache.crop(90)
    assert cache.length == 90 and cache.nbytes == 3 * 2 * 8


def test_rows_can_be_selected(model):
    memory = model.new_memory(2)
    model.step(IDS[:, :60], memory)
    memory.select([1, 1, 0])
    got = model.step(IDS[[1, 1, 0], 60:61], memory)
    np.testing.assert_allclose(got, model(IDS[[1, 1, 0], :61]).data[:, -1], atol=1e-10)


def test_gradients_flow_into_the_new_tokens():
    model = model_of(WINDOW, WINDOW)
    memory = model.new_memory(2)
    model.step(IDS[:, :10], memory)
    y = model(IDS[:, 10:14], memory=memory)
    lfs.cross_entropy(y, IDS[:, 11:15]).backward()
    assert all(p.grad is not None and np.isfinite(p.grad).all() and p.grad.any() for p in model.parameters())
    np.testing.assert_allclose(y.data, model(IDS[:, :14]).data[:, 10:], atol=1e-10)
    np.testing.assert_allclose(model.step(IDS[:, 14:15], memory), model(IDS[:, :15]).data[:, -1], atol=1e-10)
