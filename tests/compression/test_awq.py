"""AWQ against the authors' code (frozen): the scale of each place of a layer, the clip search; and what it must keep."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import llm_from_scratch as lfs
from llm_from_scratch import compression as C
from llm_from_scratch.autograd import Tensor, no_grad
from llm_from_scratch.compression import folding
from llm_from_scratch.layers import Context, Linear
from llm_from_scratch.quantization.grid import round_to_grid

FROZEN = load_file(Path(__file__).parent / "fixtures" / "awq.safetensors")
GROUP = {"bits": 3, "group_size": 16}
OURS = {"self_attn": "mixer", "mlp": "feed_forward", "q_proj": "query", "k_proj": "key", "v_proj": "value"}
OURS |= {"o_proj": "output", "gate_proj": "gate", "up_proj": "up", "down_proj": "down"}
OURS |= {"input_layernorm": "mixer_norm", "post_attention_layernorm": "feed_forward_norm"}


@pytest.fixture
def layer():
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
    readers = [modules[path] for path in place.readers]
    inspected = modules[place.inspected]

    def output(matrices):
        kept = [reader.weight.data for reader in readers]
        for reader, matrix in zip(readers, matrices):
            reader.weight.data = matrix.T
        with no_grad():
            given = (Tensor(x),) if isinstance(inspected, Linear) else (Tensor(x), None, Context(np.arange(x.shape[1])[None]))
            found = inspected(*given).data
        for reader, weight in zip(readers, kept):
            reader.weight.data = weight
        return found

    return C.awq_scale([reader.weight.data.T for reader in readers], x, output, **settings)


def test_the_authors_scales(layer):
    for place in folding.places(layer):
        name = next(f"{a}.{b}" for a in ("self_attn", "mlp") for b in OURS if f"{OURS[a]}.{OURS[b]}" == place.readers[0])
        found = search(layer, place, FROZEN[f"inputs.{name}"].astype(np.float32), **GROUP)
        print(place, found.alpha, np.abs(found.scale / FROZEN[f"scales.{name}"] - 1).max(), found.errors)


def test_clip():
    w, x = FROZEN["clip.weight"].astype(np.float32), FROZEN["clip.inputs"].astype(np.float32)
    limits = C.awq_clip(w, C.hessian(x), **GROUP)
    print((limits!=FROZEN["clip.limits"]).sum(), limits.size, np.abs(limits-FROZEN["clip.limits"]).max())
    grid = C.round_to_nearest(C.clip(w, limits), **GROUP)
    print(np.abs(grid.values()-FROZEN["clip.rounded"]).max(), np.abs(grid.scale.reshape(-1)-FROZEN["clip.scale"].reshape(-1)).max())
