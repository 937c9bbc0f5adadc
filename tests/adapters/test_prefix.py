"""A prefix is what a cache holds: made of tokens it is those tokens; where it stands, and where it cannot."""

from __future__ import annotations

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch import adapters as A

from .conftest import FAMILIES, IDS, small, stir

FRONT = np.array([5, 7, 2])


@pytest.mark.parametrize("family", [f for f in FAMILIES if f not in ("mamba", "stripedhyena")])
def test_made_of_tokens_it_is_those_tokens_in_front(family):
    model = small(family)
    front = np.broadcast_to(FRONT, (2, 3))
    whole = model(np.concatenate([front, IDS], axis=1)).data[:, 3:]
    A.add_prefix(model, tokens=FRONT)
    np.testing.assert_allclose(model(IDS).data, whole, atol=1e-10)
    memory = model.new_memory(2)
    model.step(IDS, memory)
    assert memory.length == 3 + IDS.shape[1] and memory.virtual == 3
    memory.crop(5)
    np.testing.assert_allclose(model(IDS[:, 2:], memory=memory).data, whole[:, 2:], atol=1e-10)
    memory.crop(0)
    np.testing.assert_allclose(model(IDS, memory=memory).data, whole, atol=1e-10)
    positions = np.arange(IDS.shape[1])
    np.testing.assert_allclose(model(IDS, positions=positions).data, whole, atol=1e-10)


def test_the_reparametrised_one_begins_small_and_is_folded(tmp_path):
    model, again = small("llama"), small("llama")
    part = A.add_prefix(model, 4, reparametrized=True, hidden=7)
    stir(model, size=0.5)
    assert {name.split(".")[-2] for name, _ in part.named_parameters() if name != "rows"} == {"inner", "outer"}
    A.save_adapter(model, tmp_path)
    A.load_adapter(again, tmp_path)
    np.testing.assert_allclose(again(IDS).data, model(IDS).data, atol=1e-12)


def test_a_bidirectional_context_counts_its_own_tokens():
    model = small("glm")
    whole = model(np.concatenate([np.broadcast_to(FRONT, (2, 3)), IDS], axis=1), prefix_length=3 + 4).data[:, 3:]
    A.add_prompt(model, tokens=FRONT)
    np.testing.assert_allclose(model(IDS, prefix_length=4).data, whole, atol=1e-10)
    A.add_prefix(model, 2, name="p")
    stir(model)
    once = model(IDS, prefix_length=np.array([0, 4])).data
    plain = model(IDS).data
    np.testing.assert_allclose(once[0], plain[0], atol=1e-10)
    assert np.abs(once[1] - plain[1]).max() > 1e-5


def test_where_it_cannot_stand():
    with pytest.raises(ValueError, match="Mamba layers keep no keys and values"):
        A.add_prefix(small("mamba"))
    model = small("gpt2")
    for length, message in ((0, "1 or more"), (32, "leave none of the 32"), (2.5, "a whole number")):
        with pytest.raises(ValueError, match=message):
            A.add_prefix(model, length)
    A.add_prefix(model, 10)
    assert model.position_limit == 22
    with pytest.raises(ValueError, match="position 32 is beyond the 32 positions"):
        model(np.zeros((1, 23), int))
    with pytest.raises(ValueError, match="this model has 22"):
        model.generate(np.zeros((1, 20), int), max_new_tokens=5)
    with pytest.raises(ValueError, match=r"packs? several \(segments\)|pack several"):
        model(IDS, segments=np.array([[0, 0, 0, 1, 1, 1]] * 2))
    A.add_prompt(model, 2, name="q")
    A.activate(model, ["default", "q"])
    with pytest.raises(ValueError, match="one thing at a time"):
        model(IDS)


def test_rows_of_unequal_length_and_threads():
    model = small("llama", np.float32)
    for add in (A.add_prefix, A.add_prompt):
        add(model, 3, name=add.__name__)
        stir(model)
        ids = np.concatenate([np.zeros((2, 2), int), IDS], axis=1)
        mask = np.arange(8)[None] >= np.array([[2], [0]])
        mixed = model.generate(ids, max_new_tokens=4, mask=mask, temperature=0.0, stop_tokens=())
        alone = model.generate(IDS[:1], max_new_tokens=4, temperature=0.0, stop_tokens=())
        assert (mixed[0, 8:] == alone[0, 6:]).all()
        losses = [lfs.accumulate_gradients(model, IDS, IDS, threads=n) for n in (1, 2)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
