"""Building blocks and gradients against numbers from PyTorch (fixtures/make_torch_reference.py)."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from llm_from_scratch import functional as F
from llm_from_scratch.autograd import Tensor

FROZEN = load_file(Path(__file__).with_name("fixtures") / "torch_reference.safetensors")
CASES = {
    "relu": F.relu,
    "sigmoid": F.sigmoid,
    "tanh": F.tanh,
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": F.gelu_tanh,
    "swiglu": F.swiglu,
    "geglu": F.geglu,
    "rms_norm": lambda x, weight: F.rms_norm(x, weight, eps=1e-5),
    "layer_norm": F.layer_norm,
    "softmax": F.softmax,
    "log_softmax": F.log_softmax,
    "cross_entropy": lambda x: F.cross_entropy(x, FROZEN["cross_entropy.targets"]),
    "embedding": lambda weight: F.embedding(weight, FROZEN["embedding.ids"]),
}


def test_every_frozen_case_is_compared():
    assert {name.split(".")[0] for name in FROZEN} == set(CASES)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 2e-6), (np.float64, 1e-13)])
def test_output_and_gradients_equal_pytorchs(name, dtype, tolerance):
    inputs = [FROZEN[key] for key in sorted(FROZEN) if key.startswith(f"{name}.input.")]
    leaves = [Tensor(x.astype(dtype), requires_grad=True) for x in inputs]
    output = CASES[name](*leaves)
    wanted = FROZEN[f"{name}.output"]
    assert output.dtype == dtype and output.shape == wanted.shape
    np.testing.assert_allclose(output.data, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())
    output.backward(FROZEN[f"{name}.cotangent"].astype(dtype))
    for i, leaf in enumerate(leaves):
        wanted = FROZEN[f"{name}.gradient.{i}"]
        assert leaf.grad.dtype == dtype
        np.testing.assert_allclose(leaf.grad, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())
