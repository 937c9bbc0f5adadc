import numpy as np
import pytest

from llm_from_scratch.autograd import Tensor
from llm_from_scratch.layers import AttentionSpec, FeedForwardSpec, Linear, Module, NormSpec, Rotary


class Two(Module):
    def __init__(self):
        rng = np.random.default_rng(0)
        self.parts = [Linear(2, 3, rng=rng), Linear(3, 2, bias=False, rng=rng)]
        self.tied = self.parts[0].weight


def test_names_follow_the_attributes_and_a_tied_tensor_counts_once():
    module = Two()
    assert [n for n, _ in module.named_parameters()] == ["parts.0.weight", "parts.0.bias", "parts.1.weight"]
    assert module.parameter_count == 6 + 3 + 6
    assert [n for n, _ in module.named_modules()] == ["", "parts.0", "parts.1"]


def test_state_dict_round_trip_and_its_errors():
    one, other = Two(), Two()
    for p in one.parameters():
        p.data = p.data + 1
    other.load_state_dict(one.state_dict())
    for name, array in other.state_dict().items():
        np.testing.assert_array_equal(array, one.state_dict()[name])
        assert not np.shares_memory(array, one.state_dict()[name])
    state = one.state_dict()
    before = other.state_dict()["parts.0.bias"].copy()
    with pytest.raises(ValueError, match=r"missing parts.1.weight, unexpected nothing"):
        other.load_state_dict({n: a * 0 for n, a in state.items() if n != "parts.1.weight"})
    with pytest.raises(ValueError, match=r"unexpected extra"):
        other.load_state_dict({**state, "extra": np.zeros(1)})
    with pytest.raises(ValueError, match=r"parts.1.weight has shape \(3, 2\), the state holds \(2, 2\)"):
        other.load_state_dict({**{n: a * 0 for n, a in state.items()}, "parts.1.weight": np.zeros((2, 2))})
    np.testing.assert_array_equal(other.state_dict()["parts.0.bias"], before)


def test_astype_converts_everything_or_says_what_it_can():
    module = Two().astype(np.float64)
    assert all(p.dtype == np.float64 for p in module.parameters()) and module.dtype == np.float64
    with pytest.raises(TypeError, match="float16"):
        module.astype(np.float16)


def test_placeholders_take_no_memory():
    layer = Linear(1_000_000, 1_000_000, rng=None)
    assert layer.parameter_count == 10**12 + 10**6
    assert isinstance(layer.weight, Tensor) and layer.weight.data.strides == (0, 0)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: AttentionSpec(8, 3, 2, 4), "3 query heads cannot be shared out among 2"),
        (lambda: AttentionSpec(8, 0, 1, 4), "heads must be a positive integer"),
        (lambda: AttentionSpec(8, 2, 2, 4.0), "head_dim must be a positive integer"),
        (lambda: AttentionSpec(8, 2, 2, 4, rotary=Rotary(6)), "exceed the head's 4"),
        (lambda: AttentionSpec(8, 2, 2, 4, slopes=(1.0,)), "1 slopes for 2 heads"),
        (lambda: FeedForwardSpec(8, -1), "intermediate_size must be a positive integer"),
        (lambda: FeedForwardSpec(8, 8, "swish"), "unknown activation 'swish'"),
        (lambda: NormSpec(8, "batch"), "'layer' or 'rms'"),
        (lambda: NormSpec(8, eps=float("nan")), "eps"),
        (lambda: Rotary(3), "even and positive"),
        (lambda: Rotary(4, base=float("inf")), "base"),
        (lambda: Rotary(4, factor=0.0), "factor"),
    ],
)
def test_impossible_specs_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
