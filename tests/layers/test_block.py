"""The one equation of a block, in the forms that the models of 2023 give it."""

from dataclasses import dataclass

import numpy as np
import pytest

from llm_from_scratch.autograd import Tensor, gradcheck
from llm_from_scratch.layers import BranchSpec, Context, LayerSpec, Linear, Module, NormSpec

RNG = np.random.default_rng(0)
X = Tensor(RNG.normal(size=(2, 3, 4)))
CONTEXT = Context(positions=np.arange(3)[None])
NORM = NormSpec(4)


@dataclass(frozen=True)
class Scale:
    """An experimenter's own function: needs no registry, only `build`."""

    factor: float

    def build(self, rng):
        return Scaled(self.factor, rng)


class Scaled(Module):
    def __init__(self, factor, rng):
        self.factor = factor
        self.linear = Linear(4, 4, rng=rng)

    def new_memory(self):
        return None

    def __call__(self, x, memory, context):
        return self.linear(x) * self.factor


def built(*branches):
    block = LayerSpec(branches).build(np.random.default_rng(1)).astype(np.float64)
    for p in block.parameters():
        p.data = np.random.default_rng(p.size).normal(size=p.shape)
    return block


def norm(x, module):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * module.weight.data + module.bias.data


def f(h, module):
    return (h @ module.linear.weight.data + module.linear.bias.data) * module.factor


def test_pre_norm():
    block = built(BranchSpec({"mixer": Scale(2.0)}, norms_before=(NORM,)))
    expected = X.data + f(norm(X.data, block.mixer_norm), block.mixer)
    np.testing.assert_allclose(block(X, None, CONTEXT).data, expected, atol=1e-12)
    assert [n for n, _ in block.named_parameters()] == [
        "mixer_norm.weight",
        "mixer_norm.bias",
        "mixer.linear.weight",
        "mixer.linear.bias",
    ]


def test_post_norm_with_a_weighted_residual_as_in_deepnorm():
    block = built(BranchSpec({"mixer": Scale(2.0)}, norm_after=NORM, alpha=3.0))
    expected = norm(3 * X.data + f(X.data, block.mixer), block.mixer_norm_after)
    np.testing.assert_allclose(block(X, None, CONTEXT).data, expected, atol=1e-12)


def test_the_residual_may_be_the_normed_value_as_in_glm():
    block = built(BranchSpec({"mixer": Scale(2.0)}, norms_before=(NORM,), alpha=3.0, residual_is_normed=True))
    h = norm(X.data, block.mixer_norm)
    np.testing.assert_allclose(block(X, None, CONTEXT).data, 3 * h + f(h, block.mixer), atol=1e-12)


@pytest.mark.parametrize("before", [(), (NORM,)], ids=["alone", "beside a norm before"])
def test_a_norm_on_the_branch_acts_before_the_sum_as_in_olmo_2_and_gemma_2(before):
    settings = {"norm_branch": NORM, "alpha": 3.0}
    block = built(*LayerSpec.sequential(Scale(2.0), Scale(-1.0), *before, **settings).branches)
    x = X.data
    for name in ("mixer", "feed_forward"):
        h = norm(x, getattr(block, f"{name}_norm")) if before else x
        x = 3 * x + norm(f(h, getattr(block, name)), getattr(block, f"{name}_norm_branch"))
    np.testing.assert_allclose(block(X, None, CONTEXT).data, x, atol=1e-12)


def test_in_parallel_each_function_has_a_norm_of_its_own_on_its_branch():
    block = built(*LayerSpec.parallel(Scale(2.0), Scale(-1.0), NORM, norm_branch=NORM).branches)
    block.feed_forward_norm_branch.weight.data *= 2
    h = norm(X.data, block.mixer_norm)
    expected = X.data + norm(f(h, block.mixer), block.mixer_norm_branch)
    expected = expected + norm(f(h, block.feed_forward), block.feed_forward_norm_branch)
    np.testing.assert_allclose(block(X, None, CONTEXT).data, expected, atol=1e-12)


@pytest.mark.parametrize("norms", [0, 1, 2])
def test_parallel_with_no_norm_a_shared_one_and_one_each(norms):
    spec = LayerSpec.parallel(Scale(2.0), Scale(-1.0), *[NORM] * norms)
    block = built(*spec.branches)
    first = second = X.data
    if norms:
        first = second = norm(X.data, block.mixer_norm)
    if norms == 2:
        second = norm(X.data, block.feed_forward_norm)
    expected = X.data + f(first, block.mixer) + f(second, block.feed_forward)
    np.testing.assert_allclose(block(X, None, CONTEXT).data, expected, atol=1e-12)


def test_gradients_reach_every_parameter():
    spec = LayerSpec.parallel(Scale(2.0), Scale(-1.0), NORM, NORM, norm_branch=NORM, norm_after=NORM, alpha=0.7)
    block = built(*spec.branches)
    names, parameters = zip(*block.named_parameters())
    x = Tensor(X.data.copy(), requires_grad=True)
    assert gradcheck(lambda *_: block(x, None, CONTEXT), x, *parameters, names=["x", *names]) < 1e-6


def test_dropout_acts_on_the_update_only_when_randomness_is_given():
    block = built(BranchSpec({"mixer": Scale(2.0)}, norms_before=(NORM,), dropout=0.5))
    quiet = block(X, None, CONTEXT).data
    context = Context(positions=CONTEXT.positions, rng=np.random.default_rng(3))
    update = block(X, None, context).data - X.data
    dropped = np.isclose(update, 0, atol=1e-12)
    assert 0 < dropped.sum() < update.size
    np.testing.assert_allclose(update[~dropped], 2 * (quiet - X.data)[~dropped], atol=1e-12)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"functions": {}}, "at least one function"),
        ({"functions": {"a": Scale(1.0)}, "norms_before": (NORM, NORM)}, "2 norms for 1 functions"),
        ({"functions": {"a": Scale(1.0)}, "residual_is_normed": True}, "exactly one norm"),
        ({"functions": {"a": Scale(1.0)}, "dropout": 1.0}, "dropout"),
    ],
)
def test_impossible_branches_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        BranchSpec(**settings)


def test_two_functions_cannot_share_a_name():
    branch = BranchSpec({"mixer": Scale(1.0)})
    with pytest.raises(ValueError, match="two parts named 'mixer'"):
        LayerSpec((branch, branch)).build(None)
