"""Where AWQ's scale is folded, in every family: the function stays what it was, and what stands in the way is left."""

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.compression.folding import fold, places
from llm_from_scratch.families import all_families
from llm_from_scratch.layers import Context, FeedForwardSpec, LayerSpec, Linear, Norm, NormSpec
from llm_from_scratch.quantization import NF4Linear
from llm_from_scratch.recipes.miniature import miniature

IDS = np.random.default_rng(7).integers(0, 30, (2, 6))
CONTEXT = Context(np.arange(3)[None])
ATTENTION = "mixer_norm > mixer.query mixer.key mixer.value > mixer"
VALUES = "mixer.value > mixer.output > mixer.output"
GATED = "feed_forward_norm > feed_forward.gate feed_forward.up > feed_forward"
UNGATED = "feed_forward_norm > feed_forward.up > feed_forward"
DOWN = "feed_forward.up > feed_forward.down > feed_forward.down"


def small(family, **changes):
    """A miniature of a family's first release, with weights that are all different, and biases that are not zero."""
    release = next(iter(all_families()[family].sizes), all_families()[family].model_types[0])
    sizes = {"layers": 2, "width": 32, "heads": 4, "context": 32, "vocabulary": 30, "parameters": 12_000}
    config = miniature(release, **sizes, changes=changes)
    model = lfs.build(config.pop("model_type"), dtype=np.float64, **config)
    rng = np.random.default_rng(0)
    for parameter in model.parameters():
        parameter.data = parameter.data + 0.1 * rng.normal(size=parameter.shape)
    return model


def told(block):
    return [f"{place.before} > {' '.join(place.readers)} > {place.inspected}" for place in places(block)]


@pytest.mark.parametrize("family", all_families())
def test_the_function_stays_what_it_was(family):
    model, rng = small(family), np.random.default_rng(1)
    with lfs.no_grad():
        before = model(IDS).data
        for block in model.layers:
            modules = dict(block.named_modules())
            for place in places(block):
                assert set(place.clipped) <= set(place.readers) and place.inspected in modules
                kept = {name: (array, array.copy()) for name, array in block.state_dict().items()}
                fold(block, place, np.exp(rng.normal(size=modules[place.readers[0]].weight.shape[0])))
                assert all(np.array_equal(array, copy) for array, copy in kept.values()), "an array was changed"
                moved = {name for name, (array, _) in kept.items() if block.state_dict()[name] is not array}
                layers = {name.rpartition(".")[0] for name in moved}
                assert layers == {place.before, *place.readers}
                after = model(IDS).data
                np.testing.assert_allclose(after, before, atol=1e-9 * np.abs(before).max(), err_msg=str(place))


@pytest.mark.parametrize(
    "family, changes, expected",
    [
        ("llama", {"num_key_value_heads": 4}, [ATTENTION, VALUES, GATED, DOWN]),
        ("llama", {"num_key_value_heads": 2}, [ATTENTION, GATED, DOWN]),  # a value that several heads read
        ("gpt2", {}, [ATTENTION, VALUES, UNGATED]),  # GELU is no multiplication
        ("opt", {"do_layer_norm_before": True}, [ATTENTION, VALUES, UNGATED, DOWN]),  # ReLU lets a positive number by
        ("opt", {"do_layer_norm_before": False}, [VALUES, DOWN]),  # what the norm gives is the residual as well
        ("mamba", {}, ["mixer_norm > mixer.input mixer.gate > mixer"]),
    ],
)
def test_places(family, changes, expected):
    assert told(small(family, **changes).layers[0]) == expected


def test_a_parallel_block_with_one_norm_is_inspected_whole():
    one = told(small("falcon", new_decoder_architecture=False, multi_query=True, parallel_attn=True).layers[0])
    assert one == ["mixer_norm > mixer.query mixer.key mixer.value feed_forward.up > "]
    two = told(small("gpt_neox", use_parallel_residual=True).layers[0])
    assert two == [ATTENTION, UNGATED, VALUES]


def test_experts_share_a_norm_with_their_router_and_have_a_place_each():
    model = small("mixtral", num_local_experts=3)
    first, *inner = [place for place in places(model.layers[0]) if place.before != "mixer_norm"]
    assert first.before == "feed_forward_norm" and first.inspected == "feed_forward"
    assert first.readers[0] == "feed_forward.router" and len(first.readers) == 7
    assert set(first.readers) - set(first.clipped) == {"feed_forward.router"}
    assert [place.before for place in inner if "experts" in place.before] == [
        f"feed_forward.experts.{i}.up" for i in range(3)
    ]


def test_a_limit_on_the_values_stands_in_the_way():
    clipped, free = (told(small("mpt", attn_config={"clip_qkv": limit}).layers[0]) for limit in (2.0, None))
    assert VALUES not in clipped and VALUES in free


def test_queries_and_keys_are_not_clipped():
    assert places(small("llama").layers[0])[0].clipped == ("mixer.value",)


class Unknown(Linear):
    """A function that nothing is known of."""

    def new_memory(self):
        return None

    def __call__(self, x, memory, context):
        return super().__call__(x)


class UnknownSpec:
    def build(self, rng):
        return Unknown(8, 8, rng=rng)


def test_what_is_not_known_or_has_nothing_to_fold_into_is_left():
    feed_forward = FeedForwardSpec(8, 12, "silu", gated=True)
    norms = {True: NormSpec(8, "rms"), False: NormSpec(8, "rms", weight=False)}
    rng = np.random.default_rng(0)
    unknown = LayerSpec.sequential(UnknownSpec(), feed_forward, norms[True]).build(rng)
    assert told(unknown) == [GATED, DOWN]
    together = LayerSpec.parallel(UnknownSpec(), feed_forward, norms[True]).build(rng)
    assert told(together) == [DOWN]
    assert told(LayerSpec.sequential(UnknownSpec(), feed_forward, norms[False]).build(rng)) == [DOWN]


def test_a_scale_that_is_learned_as_a_distance_from_one():
    spec = LayerSpec.sequential(FeedForwardSpec(8, 12), FeedForwardSpec(8, 12), NormSpec(8, "rms", plus_one=True))
    block = LayerSpec(spec.branches[1:]).build(np.random.default_rng(0)).astype(np.float64)
    x, scale = lfs.Tensor(np.random.default_rng(1).normal(size=(1, 3, 8))), np.arange(1.0, 9)
    before = block(x, None, CONTEXT).data
    fold(block, places(block)[0], scale)
    np.testing.assert_allclose(block(x, None, CONTEXT).data, before, atol=1e-12)
    assert isinstance(block.feed_forward_norm, Norm)
    np.testing.assert_allclose(block.feed_forward_norm.weight.data, 1 / scale - 1)


@pytest.mark.parametrize(
    "scale, words",
    [
        (np.ones(31), r"each of 32 inputs, got \(31,\)"),
        (np.append(np.ones(31), 0.0), "above zero for each of 32"),
        (-np.ones(32), "above zero"),
        (np.append(np.ones(31), np.inf), r"the scale at \(0, 31\) is inf"),
        (np.append(np.ones(31), np.nan), "is nan"),
    ],
)
def test_scales_refused(scale, words):
    block = small("llama").layers[0]
    kept = block.state_dict()
    with pytest.raises(ValueError, match=words):
        fold(block, places(block)[0], scale)
    assert all(block.state_dict()[name] is array for name, array in kept.items()), "refused, and half done"


def test_what_is_packed_already_is_refused():
    model = small("llama").astype(np.float32)
    block = model.layers[0]
    found = places(block)[0]
    kept = block.mixer.query.weight.data
    model.replace("*.mixer.value", NF4Linear.of)
    with pytest.raises(TypeError, match="mixer.value is a NF4Linear: a scale is folded into layers in float"):
        fold(block, found, np.ones(32))
    assert block.mixer.query.weight.data is kept
