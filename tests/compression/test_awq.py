"""AWQ against the authors' code (frozen): the scale of each place of a layer, the clip search; and what both keep."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import llm_from_scratch as lfs
from llm_from_scratch import compression as C
from llm_from_scratch.autograd import Tensor, no_grad
from llm_from_scratch.compression.folding import places
from llm_from_scratch.layers import Context, Linear
from llm_from_scratch.quantization.grid import fit, nearest_codes

FROZEN = load_file(Path(__file__).parent / "fixtures" / "awq.safetensors")
GROUPS = {"bits": 3, "group_size": 16}
OURS = {"self_attn": "mixer", "mlp": "feed_forward", "q_proj": "query", "k_proj": "key", "v_proj": "value"}
OURS |= {"o_proj": "output", "gate_proj": "gate", "up_proj": "up", "down_proj": "down"}
OURS |= {"input_layernorm": "mixer_norm", "post_attention_layernorm": "feed_forward_norm"}


@pytest.fixture
def block():
    """The frozen layer as a block of ours."""
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2, "num_key_value_heads": 2}
    block = lfs.build("llama", **sizes, num_hidden_layers=1, vocab_size=8, max_position_embeddings=32, seed=0).layers[0]
    weights = {
        ".".join(OURS.get(part, part) for part in name.split(".")[1:]): array.astype(np.float32).T
        for name, array in FROZEN.items()
        if name.startswith("weights.")
    }
    block.load_state_dict(weights)
    return block


def search(block, place, x, **settings):
    """The scale of a place: x (B, T, inputs) is what its readers read, and what the inspected module is given."""
    modules = dict(block.named_modules())
    readers, inspected = [modules[path] for path in place.readers], modules[place.inspected]
    kept = [reader.weight.data for reader in readers]

    def output(matrices):
        for reader, matrix in zip(readers, matrices):
            reader.weight.data = matrix.T
        with no_grad():
            given = (Tensor(x),) if isinstance(inspected, Linear) else (Tensor(x), None, Context(np.arange(20)[None]))
            found = inspected(*given).data
        for reader, weight in zip(readers, kept):
            reader.weight.data = weight
        return found

    return C.awq_scale([weight.T for weight in kept], x, output, **settings)


@pytest.mark.parametrize("name, number", [("self_attn.q_proj", 0), ("self_attn.o_proj", 1), ("mlp.gate_proj", 2),
                                          ("mlp.down_proj", 3)])  # fmt: skip
def test_the_authors_scales(block, name, number):
    place = places(block)[number]
    assert place.readers[0] == ".".join(OURS[part] for part in name.split("."))
    found = search(block, place, FROZEN[f"inputs.{name}"].astype(np.float32), **GROUPS)
    np.testing.assert_allclose(found.scale, FROZEN[f"scales.{name}"], rtol=1e-5)
    assert found.alpha > 0 and min(found.errors) < 0.7 * found.errors[0]


def test_attention_is_inspected_as_a_whole(block):
    # The best scale for the sum of the three products' errors is another one: the module matters.
    place, x = places(block)[0], FROZEN["inputs.self_attn.q_proj"].astype(np.float32)
    matrices = [dict(block.named_modules())[path].weight.data.T for path in place.readers]
    apart = C.awq_scale(matrices, x, lambda given: np.concatenate([x @ m.T for m in given], -1), **GROUPS)
    assert apart.alpha != search(block, place, x, **GROUPS).alpha


def test_the_authors_clipping_and_rounding():
    weight, x = (FROZEN[f"clip.{name}"].astype(np.float32) for name in ("weight", "inputs"))
    limits = C.awq_clip(weight, C.hessian(x), **GROUPS)
    np.testing.assert_array_equal(limits, FROZEN["clip.limits"])
    grid = C.round_to_nearest(C.clip(weight, limits), **GROUPS)
    np.testing.assert_array_equal(grid.values(), FROZEN["clip.rounded"])
    np.testing.assert_array_equal(grid.scale, FROZEN["clip.scale"].reshape(64, 2))
    assert (limits < np.abs(weight).reshape(64, 2, 16).max(axis=-1)).mean() > 0.3


RNG = np.random.default_rng(3)
WEIGHT, INPUTS = RNG.normal(size=(12, 24)), RNG.normal(size=(50, 24)) * np.exp(1.5 * RNG.normal(size=24))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("settings", [{}, {"group_size": 8}, {"group_size": 4, "symmetric": True}], ids=str)
def test_the_search_by_hand(dtype, settings):
    weight, inputs = WEIGHT.astype(dtype), INPUTS.astype(dtype)
    found = C.awq_scale([weight], inputs.reshape(5, 10, 24), bits=3, **settings)
    errors = []
    for alpha in np.arange(20) / 20:
        scale = np.abs(inputs).mean(axis=0) ** alpha
        scale = scale / np.sqrt(scale.max() * scale.min())
        rounded = C.round_to_nearest(weight * scale.astype(dtype), bits=3, **settings).values() / scale
        errors.append(np.square(inputs @ (rounded - weight).T).mean())
    # On a symmetric grid a group's largest weight lies half way between two numbers: the last digit decides for it.
    loose = 0.1 if "symmetric" in settings else 1e-3 if dtype == np.float32 else 1e-9
    np.testing.assert_allclose(found.errors, errors, rtol=loose)
    assert found.alpha == np.argmin(found.errors) / 20 and found.scale.dtype == dtype
    np.testing.assert_allclose(found.scale, _scale(inputs, found.alpha), rtol=1e-5)
    nearest = C.round_to_nearest(weight, bits=3, **settings).values()
    np.testing.assert_allclose(found.errors[0], np.square(inputs @ (nearest - weight).T).mean(), rtol=1e-4)


def _scale(inputs, alpha):
    scale = np.abs(inputs).mean(axis=0) ** alpha
    return scale / np.sqrt(scale.max() * scale.min())


def test_what_counts_is_the_mean_of_an_input_not_its_largest():
    inputs = np.ones((100, 2))
    inputs[:, 0] = 0.01
    inputs[0, 0] = 50.0  # one spike: the largest by far, the mean is 0.51
    found = C.awq_scale([RNG.normal(size=(30, 2))], inputs, bits=2, group_size=2, steps=2)
    half = C.awq_scale([RNG.normal(size=(30, 2))], inputs, lambda m: np.zeros(3), bits=2, steps=1)
    np.testing.assert_array_equal(half.scale, [1, 1])
    ratios = {0.0: 1.0, 0.5: np.sqrt(0.5099)}
    np.testing.assert_allclose(found.scale[0] / found.scale[1], ratios[found.alpha], rtol=1e-6)
    forced = C.awq_scale([np.ones((1, 2))], inputs, _second_only(), bits=2, steps=2)
    np.testing.assert_allclose(forced.scale[0] / forced.scale[1], np.sqrt(0.5099), rtol=1e-6)


def _second_only():
    """An output that is best at the second scale tried (the first call is the wanted output)."""
    answers = iter([0.0, 1.0, 0.0])
    return lambda matrices: np.array([next(answers)])


@pytest.mark.parametrize("size", [1e-30, 1e-6, 1.0, 1e6, 1e30])
@pytest.mark.parametrize("dead", [[], [0], [0, 5, 6], range(24)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_scale_is_zero_or_infinite(dtype, dead, size):
    inputs = (INPUTS * size).astype(dtype)
    inputs[:, list(dead)] = 0
    answers = iter([0.0] + 19 * [1.0] + [0.0])  # the last, the steepest of all, is taken
    found = C.awq_scale([WEIGHT.astype(dtype)], inputs, lambda m: np.array([next(answers)]), bits=4)
    assert found.alpha == 0.95 and (found.scale > 0).all() and np.isfinite(found.scale).all()
    assert np.isfinite(1 / found.scale).all() and found.scale.dtype == dtype


def test_weights_and_inputs_are_left_as_they_are():
    weight, inputs, hessian = WEIGHT.copy(), INPUTS.copy(), C.hessian(INPUTS)
    kept = hessian.copy()
    C.awq_scale([weight], inputs, bits=2)
    C.clip(weight, C.awq_clip(weight, hessian, bits=2, group_size=8))
    for now, before in ((weight, WEIGHT), (inputs, INPUTS), (hessian, kept)):
        np.testing.assert_array_equal(now, before)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("group_size", [None, 8])
def test_clipping_by_hand(group_size, symmetric):
    weight = WEIGHT.copy()
    weight[:, 3] *= 5
    weight[2, :8] = 0
    hessian, size = C.hessian(INPUTS), group_size or 24
    found = C.awq_clip(weight, hessian, bits=3, group_size=group_size, symmetric=symmetric)
    for row in range(12):
        for group in range(24 // size):
            part = slice(group * size, (group + 1) * size)
            w, best = weight[row, part], (np.inf, None)
            for step in range(10):
                limit = np.abs(w).max() * (1 - step / 20)
                cut = np.clip(w, -limit, limit)
                scale, zero = fit(cut, 3, symmetric=symmetric)
                rounded = (nearest_codes(cut, scale, zero, 3) - zero) * scale
                error = np.square(INPUTS[:, part] @ (rounded - w)).mean()
                best = min(best, (error, limit), key=lambda pair: pair[0])
            np.testing.assert_allclose(found[row, group], best[1])
    assert (found < np.abs(weight).reshape(12, -1, size).max(axis=-1)).any()
    # No worse than plain rounding, group by group, and the groups' errors do not add up to the layer's.
    cut = C.round_to_nearest(C.clip(weight, found), bits=3, group_size=group_size, symmetric=symmetric).values()
    plain = C.round_to_nearest(weight, bits=3, group_size=group_size, symmetric=symmetric).values()
    for group in range(24 // size):
        part = slice(group * size, (group + 1) * size)
        lost = [np.square(INPUTS[:, part] @ (m - weight)[:, part].T).mean(axis=0) for m in (cut, plain)]
        assert (lost[0] <= lost[1] * (1 + 1e-9)).all()


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: C.awq_scale([], INPUTS, bits=4), ValueError, "got none"),
        (lambda: C.awq_scale([WEIGHT, WEIGHT[:, 1:]], INPUTS, bits=4), ValueError, r"share their inputs.*\(12, 23\)"),
        (lambda: C.awq_scale([WEIGHT, np.float32(WEIGHT)], INPUTS, bits=4), ValueError, "inputs and dtype"),
        (lambda: C.awq_scale([WEIGHT, WEIGHT], INPUTS, bits=4), ValueError, "give the output of the module"),
        (lambda: C.awq_scale([WEIGHT], INPUTS[:, 1:], bits=4), ValueError, r"read 24 inputs, got inputs \(50, 23\)"),
        (lambda: C.awq_scale([WEIGHT], INPUTS[0], bits=4), ValueError, r"the input is a matrix.*\(24,\)"),
        (lambda: C.awq_scale([WEIGHT], INPUTS[:0], bits=4), ValueError, r"\(0, 24\)"),
        (lambda: C.awq_scale([WEIGHT], INPUTS / np.zeros(24) * 1, bits=4), ValueError, "the input at .* is -?inf"),
        (lambda: C.awq_scale([WEIGHT * np.nan], INPUTS, bits=4), ValueError, "the weight 0 at .* is nan"),
        (lambda: C.awq_scale([WEIGHT], INPUTS, lambda m: np.nan, bits=4), ValueError, "output is not finite"),
        (lambda: C.awq_scale([WEIGHT], INPUTS, bits=1), ValueError, "2 to 8 bits"),
        (lambda: C.awq_scale([WEIGHT], INPUTS, bits=4, group_size=7), ValueError, "groups of 7 do not divide"),
        (lambda: C.awq_scale([WEIGHT], INPUTS, bits=4, steps=0), ValueError, "steps is a positive"),
        (lambda: C.awq_clip(WEIGHT, np.eye(24), bits=9), ValueError, "2 to 8 bits"),
        (lambda: C.awq_clip(WEIGHT, np.eye(23), bits=4), ValueError, r"Hessian \(24, 24\)"),
        (lambda: C.awq_clip(WEIGHT, np.eye(24), bits=4, group_size=5), ValueError, "groups of 5 do not divide"),
        (lambda: C.awq_clip(WEIGHT, np.eye(24), bits=4, shrink=1.0), ValueError, "shrink between 0 and 1"),
        (lambda: C.clip(WEIGHT, np.ones((12, 5))), ValueError, r"do not fit a weight \(12, 24\): \(12, 5\)"),
        (lambda: C.clip(WEIGHT, np.ones(12)), ValueError, "do not fit"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()
