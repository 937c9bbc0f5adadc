"""A prompt made of tokens is those tokens; its own outputs are dropped; balance counts it."""

from __future__ import annotations

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch import adapters as A

from .conftest import FAMILIES, IDS, small
from .test_prefix import FRONT


@pytest.mark.parametrize("family", FAMILIES)
def test_made_of_tokens_it_is_those_tokens_in_front(family):
    model = small(family)
    front = np.broadcast_to(FRONT, (2, 3))
    joined = np.concatenate([front, IDS], axis=1)
    whole = model(joined).data[:, 3:]
    targets = np.concatenate([np.full((2, 3), -100), np.roll(IDS, -1, 1)], axis=1)
    loss = model.loss({"ids": joined, "targets": targets}).item()
    A.add_prompt(model, tokens=FRONT)
    np.testing.assert_allclose(model(IDS).data, whole, atol=1e-10)
    assert model.loss({"ids": IDS, "targets": np.roll(IDS, -1, 1)}).item() == pytest.approx(loss, rel=1e-10)
    np.testing.assert_allclose(model(embeddings=model.embed(IDS).data).data, whole, atol=1e-10)
    assert model.states({"ids": IDS}).shape[:2] == IDS.shape
    positions = np.broadcast_to(np.arange(IDS.shape[1]), IDS.shape)
    np.testing.assert_allclose(model(IDS, positions=positions).data, whole, atol=1e-10)


def test_padding_in_a_mixture_of_experts():
    model = small("mixtral", router_aux_loss_coef=0.1)
    A.add_prompt(model, 2)
    mask = np.array([[1] * 6, [1] * 4 + [0] * 2])
    batch = {"ids": IDS, "targets": np.where(mask == 1, IDS, -100), "mask": mask}
    lfs.accumulate_gradients(model, batch)
    assert np.isfinite(model.prefix.adapters["default"].rows.grad).all()


def test_what_is_recorded_has_the_prompt():
    model = small("llama")
    A.add_prompt(model, 2)
    with model.record() as seen:
        model(IDS)
    assert seen["hidden"][0].shape == (2, 8, 32) and seen["attention"][0].shape[-2:] == (8, 8)
