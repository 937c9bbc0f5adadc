"""Merged is unmerged, unmerged is the base, and what cannot be merged says so."""

from __future__ import annotations

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch import adapters as A
from llm_from_scratch.adapters.adapted import attach
from llm_from_scratch.adapters.whole import Whole
from llm_from_scratch.quantization import to_nf4

from .conftest import FAMILIES, IDS, small, state, stir

MERGEABLE = {
    "lora": lambda m: A.add_lora(m, 2, targets="all-linear"),
    "rslora": lambda m: A.add_lora(m, 2, targets="all-linear", stabilized=True),
    "dora": lambda m: A.add_lora(m, 2, targets="all-linear", decomposed=True),
    "ia3": lambda m: A.add_ia3(m, targets="all-linear", of_inputs=("down", "output")),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("technique", MERGEABLE)
def test_merged_is_unmerged_and_the_way_back_is_exact(family, technique, tmp_path):
    model = small(family)
    base = state(model)
    MERGEABLE[technique](model)
    stir(model)
    beside, acting = model(IDS).data, state(model)
    assert lfs.merge_adapter(model) == ["default"] and A.names(model) == []
    np.testing.assert_allclose(model(IDS).data, beside, atol=1e-10)
    model.save_pretrained(tmp_path)
    again = lfs.from_pretrained(tmp_path)
    np.testing.assert_allclose(again(IDS).data, beside, atol=1e-10)
    assert [step["relation"] for step in again.lineage.steps][-1] == "adapted from"
    assert lfs.unmerge_adapter(model) == ["default"]
    assert all((acting[name] == array).all() for name, array in state(model).items())
    A.remove(model, "default")
    assert all((base[name] == array).all() for name, array in state(model).items())


@pytest.mark.parametrize("targets", ["embedding", "head", ("embedding", "head", "query")])
def test_a_tied_head_is_not_changed_in_silence(targets):
    model = small("llama", tie_word_embeddings=True)
    alone = model(IDS).data
    A.add_lora(model, 2, targets=targets)
    stir(model)
    beside = model(IDS).data
    with pytest.raises(ValueError, match="embedding and head are one matrix.*untie=True"):
        lfs.merge_adapter(model)
    assert (model(IDS).data == beside).all() and A.names(model) == ["default"]
    lfs.merge_adapter(model, untie=True)
    np.testing.assert_allclose(model(IDS).data, beside, atol=1e-10)
    assert not model.spec.tied
    model.check_saving()
    lfs.unmerge_adapter(model)
    assert model.spec.tied and (model(IDS).data == beside).all()
    A.remove(model, "default")
    assert (model(IDS).data == alone).all()
    model.check_saving()


def test_modules_of_their_own_are_merged_and_taken_back_even_after_more_training():
    for tied in (True, False):
        model = small("llama", tie_word_embeddings=tied)
        modules = dict(model.named_modules())
        attach(model, "default", {path: Whole(path, modules[path]) for path in ("embedding", "norm")})
        stir(model)
        beside, acting = model(IDS).data, state(model)
        lfs.merge_adapter(model, untie=tied)
        np.testing.assert_allclose(model(IDS).data, beside, atol=1e-12)
        for parameter in model.parameters():
            parameter.data += 1.0  # as an optimiser moves them: in place
        assert lfs.unmerge_adapter(model) == ["default"]
        for name in ("embedding.adapters.default.module.weight", "norm.adapters.default.module.weight"):
            assert (state(model)[name] == acting[name]).all()


def test_packed_matrices_are_not_written_into_but_may_be_made_plain():
    model = small("llama", np.float32)
    to_nf4(model)
    A.add_lora(model, 2, targets="all-linear")
    stir(model)
    beside = model(IDS).data
    with pytest.raises(ValueError, match="keeps its matrix packed.*dequantize=True"):
        lfs.merge_adapter(model)
    assert (model(IDS).data == beside).all()
    lfs.merge_adapter(model, dequantize=True)
    np.testing.assert_allclose(model(IDS).data, beside, atol=2e-5)
    lfs.unmerge_adapter(model)
    assert (model(IDS).data == beside).all()


def test_gradients_pass_through_packed_matrices():
    model = small("llama", np.float32)
    to_nf4(model)
    A.add_lora(model, 2, targets="all-linear")
    stir(model)
    lfs.accumulate_gradients(model, IDS, IDS)
    grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert len(grads) == 2 * 7 * 2 and all(np.abs(grad).max() > 0 for grad in grads.values())


def test_what_is_no_part_of_a_matrix():
    for add, what in (
        (A.add_prefix, "learned prefix"),
        (A.add_prompt, "learned prompt"),
        (A.add_bottleneck, "bottleneck"),
    ):
        model = small("gpt2")
        add(model)
        with pytest.raises(ValueError, match=f"a {what} .*cannot be merged"):
            lfs.merge_adapter(model)
        assert A.names(model) == ["default"]


def test_the_way_back_is_there_or_says_that_it_is_not():
    model = small("gpt2")
    with pytest.raises(ValueError, match="nothing to merge"):
        lfs.merge_adapter(model)
    with pytest.raises(ValueError, match="nothing to take back"):
        lfs.unmerge_adapter(model)
    A.add_lora(model, 2)
    stir(model)
    lfs.merge_adapter(model, keep=False)
    with pytest.raises(ValueError, match="were not kept.*load the base again"):
        lfs.unmerge_adapter(model)
    model = small("gpt2")
    A.add_lora(model, 2)
    lfs.merge_adapter(model)
    A.add_lora(model, 2, name="more")
    stir(model)
    with pytest.raises(ValueError, match="replaced since the merge: remove the adapters"):
        lfs.unmerge_adapter(model)
    A.remove(model, "more")
    assert lfs.unmerge_adapter(model) == ["default"]


def test_only_what_acts_is_merged():
    model = small("gpt2")
    A.add_lora(model, 2, name="a")
    stir(model, 1)
    with_a = model(IDS).data
    A.add_lora(model, 2, targets="all-linear", name="b")
    stir(model, 2)
    A.add_bottleneck(model, 2, name="c")
    A.activate(model, "a")
    lfs.merge_adapter(model)
    np.testing.assert_allclose(model(IDS).data, with_a, atol=1e-12)
    model.check_saving()
    lfs.unmerge_adapter(model)
    assert A.names(model) == ["a", "b", "c"] and (model(IDS).data == with_a).all()
