"""A mixture of experts: who is run, on how many rows, and what its balancing loss adds to a model's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.autograd import Tensor
from llm_from_scratch.checkpoints import Decoder
from llm_from_scratch.layers import (
    AttentionSpec,
    Context,
    FeedForward,
    FeedForwardSpec,
    LayerSpec,
    MixtureSpec,
    Normal,
    NormSpec,
    balancing_loss,
)
from llm_from_scratch.layers.mixture import Mixture, Routed
from llm_from_scratch.models import ModelSpec
from llm_from_scratch.training.validation import evaluate

EXPERT = FeedForwardSpec(8, 12, "silu", gated=True, bias=False, init=Normal(0.5), output_init=Normal(0.5))
HERE = Context(np.zeros((1, 1), np.int64))


def mixture(**settings: Any) -> Mixture:
    settings = {"experts": 4, "chosen": 2, "router_init": Normal(0.5), **settings}
    return MixtureSpec(EXPERT, **settings).build(np.random.default_rng(0)).astype(np.float64)


def model(balance: float = 0.5, layers: int = 2, **settings: Any) -> Decoder:
    mix = MixtureSpec(EXPERT, 4, 2, balance=balance, router_init=Normal(0.5))
    attention = AttentionSpec(8, 2, 2, 4, init=Normal(0.3), output_init=Normal(0.3))
    layer = LayerSpec.sequential(attention, mix, NormSpec(8, "rms"), **settings)
    spec = ModelSpec(13, 8, (layer,) * layers, NormSpec(8, "rms"), 32, embedding_init=Normal(0.5))
    return Decoder(spec, np.random.default_rng(4)).astype(np.float64)


def batch(rows: int = 4, length: int = 7, **more: Any) -> dict[str, np.ndarray]:
    ids = np.random.default_rng(8).integers(0, 13, (rows, length))
    return {"ids": ids, "targets": np.roll(ids, -1, axis=1), **more}


def test_the_layer_is_the_weighted_sum_of_the_chosen_experts() -> None:
    layer, x = mixture(), np.random.default_rng(1).normal(size=(3, 5, 8))
    y = layer(Tensor(x), None, HERE).data
    assert y.shape == x.shape and np.abs(y).max() > 0.1
    for place in np.ndindex(3, 5):
        scores = np.exp(x[place] @ layer.router.weight.data)
        best = np.argsort(-scores)[:2]
        expected = sum(scores[e] * layer.experts[e](Tensor(x[place][None]), None, HERE).data[0] for e in best)
        np.testing.assert_allclose(y[place], expected / scores[best].sum(), rtol=0, atol=1e-13)


def test_experts_see_their_own_rows_only_and_idle_ones_are_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = mixture(), Tensor(np.abs(np.random.default_rng(1).normal(size=(2, 6, 8))))
    layer.router.weight.data[:] = [4.0, 3.0, -3.0, -4.0]  # positive inputs: experts 0 and 1 for everybody
    rows: list[tuple[int, int]] = []
    call = FeedForward.__call__

    def counted(self: FeedForward, x: Tensor, memory: Any, context: Context) -> Tensor:
        rows.append((layer.experts.index(self), len(x)))
        return call(self, x, memory, context)

    monkeypatch.setattr(FeedForward, "__call__", counted)
    y = layer(x, None, HERE)
    assert rows == [(0, 12), (1, 12)]
    y.sum().backward()
    assert all(parameter.grad is not None for parameter in layer.experts[1].parameters())
    assert all(parameter.grad is None for parameter in layer.experts[2].parameters())
    rows.clear()
    layer.router.weight.data = np.random.default_rng(2).normal(size=(8, 4))
    layer(x, None, HERE)
    assert sum(count for _, count in rows) == 24 and len(rows) > 2  # two rows of work a token, whoever does it


def test_every_gradient_of_a_model_with_its_balancing_loss() -> None:
    decoder, data = model(), batch(2, 4)
    names, parameters = zip(*decoder.named_parameters())
    assert lfs.gradcheck(lambda *_: decoder.loss(data, auxiliary=True), *parameters, names=names) < 1e-6
    assert sum("router" in name for name in names) == 2


def test_the_balancing_loss_counts_in_training_and_not_in_measuring() -> None:
    decoder, data = model(), batch()
    with lfs.no_grad():
        bare = decoder.loss(data).item()
        asked = decoder.loss(data, auxiliary=True).item()
    assert decoder.loss(data).item() == asked > bare + 0.5 * 1.5  # the loss of an even load is 2, times 0.5
    assert decoder.loss(data, auxiliary=False).item() == bare
    assert model(balance=0.0).loss(data).item() == bare
    assert evaluate(decoder, [data])["loss"] == pytest.approx(bare, rel=1e-12)


def test_all_layers_are_balanced_as_one() -> None:
    decoder, data = model(layers=3), batch()
    with decoder.record() as seen:
        decoder(data["ids"])
    assert [p.shape for p in seen["router"]] == [(4, 7, 4)] * 3 and [e.shape for e in seen["experts"]] == [
        (4, 7, 2)
    ] * 3
    probabilities = np.concatenate([p.reshape(-1, 4) for p in seen["router"]])
    chosen = np.concatenate([e.reshape(-1, 2) for e in seen["experts"]])
    share = np.bincount(chosen.ravel(), minlength=4) / len(chosen)
    expected = 4 * share @ probabilities.mean(axis=0)
    found = decoder.loss(data, auxiliary=True).item() - decoder.loss(data, auxiliary=False).item()
    assert found == pytest.approx(0.5 * expected, rel=1e-10)


def test_padding_has_no_load() -> None:
    decoder, data = model(), batch()
    mask = np.ones((4, 7), np.int64)
    mask[1, :3] = mask[3, 4:] = 0
    targets = np.where(mask, data["targets"], -100)

    def balance(ids: np.ndarray) -> float:
        padded = {"ids": ids, "targets": targets, "mask": mask}
        return decoder.loss(padded, auxiliary=True).item() - decoder.loss(padded, auxiliary=False).item()

    other = np.where(mask, data["ids"], (data["ids"] + 5) % 13)  # other tokens under the mask
    assert balance(data["ids"]) == pytest.approx(balance(other), rel=1e-12)
    whole = batch()
    assert balance(data["ids"]) != pytest.approx(
        decoder.loss(whole, auxiliary=True).item() - decoder.loss(whole, auxiliary=False).item(), rel=1e-3
    )


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_shards_add_their_own_balance_by_their_share_of_the_targets(threads: int) -> None:
    decoder, data = model(), batch(3, 9)
    data["targets"][0, 4:] = -100
    data["targets"][:, -1] = -100  # 4, 8 and 8 targets
    borders = {1: [0, 3], 2: [0, 1, 3], 3: [0, 1, 2, 3]}[threads]
    parts = [{name: array[a:b] for name, array in data.items()} for a, b in zip(borders, borders[1:])]
    with lfs.no_grad():
        expected = decoder.loss(data).item()
        for part in parts:
            own = decoder.loss(part, auxiliary=True).item() - decoder.loss(part).item()
            expected += own * (part["targets"] != -100).sum() / 20
    assert lfs.accumulate_gradients(decoder, data["ids"], data["targets"], threads=threads) == pytest.approx(expected)
    gradients = {name: parameter.grad for name, parameter in decoder.named_parameters()}
    decoder.zero_grad()
    for part in parts:
        decoder.loss(part, normaliser=20).backward()
    for name, parameter in decoder.named_parameters():
        np.testing.assert_allclose(gradients[name], parameter.grad, rtol=0, atol=1e-14)


def test_equal_shards_give_the_loss_of_the_whole() -> None:
    decoder, data = model(), batch(2, 6)
    for array in data.values():
        array[1] = array[0]
    whole = decoder.loss(data).item()
    assert lfs.accumulate_gradients(decoder, data["ids"], data["targets"], threads=2) == pytest.approx(whole, rel=1e-12)


def test_layers_of_different_designs_are_balanced_apart() -> None:
    rng = np.random.default_rng(0)

    def report(experts: int, chosen: int, weight: float) -> Routed:
        logits = rng.normal(size=(6, experts))
        return Routed(Tensor(logits), np.argsort(-logits, axis=1)[:, :chosen], weight)

    a, b, c = report(4, 2, 0.1), report(3, 1, 0.1), report(4, 2, 0.1)
    apart = balancing_loss([a, c]).item() + balancing_loss([b]).item()
    assert balancing_loss([a, b, c]).item() == pytest.approx(apart)
    with pytest.raises(ValueError, match="nothing to balance"):
        balancing_loss([])


def test_together_a_layer_can_make_up_for_another_and_apart_it_cannot() -> None:
    logits = np.full((6, 2), -50.0)
    first, second = logits.copy(), logits.copy()
    first[:, 0] = second[:, 1] = 50.0  # one layer uses its expert 0 only, the other its expert 1
    for apart, expected in ((False, 1.0), (True, 2.0 + 2.0)):
        routed = [Routed(Tensor(x), x.argmax(axis=1)[:, None], 1.0, apart) for x in (first, second)]
        assert balancing_loss(routed).item() == pytest.approx(expected)
        real = [layer._replace(real=np.ones(6, bool)) for layer in routed]
        assert balancing_loss(real).item() == pytest.approx(expected)


def test_one_expert_is_a_feed_forward_part() -> None:
    layer, x = mixture(experts=1, chosen=1), np.random.default_rng(1).normal(size=(2, 3, 8))
    alone = layer.experts[0](Tensor(x), None, HERE).data
    np.testing.assert_allclose(layer(Tensor(x), None, HERE).data, alone, rtol=0, atol=1e-14)


def test_the_design_is_checked() -> None:
    for wrong in ({"experts": 0}, {"experts": 2.0}, {"chosen": True}, {"chosen": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be a positive integer"):
            MixtureSpec(EXPERT, **wrong)
    with pytest.raises(ValueError, match="5 experts are to be chosen for a token, but there are only 4"):
        MixtureSpec(EXPERT, 4, 5)
    with pytest.raises(ValueError, match="number >= 0, not -0.1"):
        MixtureSpec(EXPERT, balance=-0.1)


def test_idle_parameters_are_counted() -> None:
    assert mixture(experts=8).idle_parameter_count == 6 * 3 * 8 * 12
