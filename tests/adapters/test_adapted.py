"""Names, switching, removing; and what every technique keeps on every family."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load_file

import llm_from_scratch as lfs
from llm_from_scratch import adapters as A
from llm_from_scratch.quantization import to_nf4
from llm_from_scratch.training import TrainingSettings, train

from .conftest import FAMILIES, IDS, check_gradients, small, state, stir

TECHNIQUES = {
    "lora": lambda m: A.add_lora(m, 2, targets="all-linear"),
    "rslora": lambda m: A.add_lora(m, 2, targets=("output", "embedding", "head"), stabilized=True),
    "ia3": A.add_ia3,
    "prefix": lambda m: A.add_prefix(m, 3),
    "reparametrised prefix": lambda m: A.add_prefix(m, 3, reparametrized=True, hidden=5),
    "prompt": lambda m: A.add_prompt(m, 3),
    "bottleneck": lambda m: A.add_bottleneck(m, 4),
}
COUNT_PLACES = {"bloom", "gopher", "gpt_neo", "mistral", "mpt", "stripedhyena"}
REFUSED = {("mamba", "ia3"), ("mamba", "prefix"), ("mamba", "reparametrised prefix")}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("technique", TECHNIQUES)
def test_every_technique_on_every_family(family, technique):
    model = small(family)
    before, alone = state(model), model(IDS).data
    if (family, technique) in REFUSED:
        with pytest.raises(ValueError, match="Mamba"):
            TECHNIQUES[technique](model)
        assert A.names(model) == [] and all(p.requires_grad for p in model.parameters())
        return
    TECHNIQUES[technique](model)
    added = [name for name, p in model.named_parameters() if p.requires_grad]
    assert added and all(".default." in name for name in added)
    stir(model)
    acting = model(IDS).data
    assert acting.shape == alone.shape and np.abs(acting - alone).max() > 1e-5
    # in pieces, with padding on the left, and generated: the same
    memory = model.new_memory(2)
    pieces = [model(IDS[:, :2], memory=memory).data, model(IDS[:, 2:3], memory=memory).data]
    pieces.append(model(IDS[:, 3:], memory=memory).data)
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), acting, atol=1e-10)
    padded = np.concatenate([np.zeros((2, 2), int), IDS], axis=1)
    mask = np.arange(8)[None] >= np.array([[2], [2]])
    if technique.endswith("prefix") and family in COUNT_PLACES:  # never a wrong number instead
        with pytest.raises(ValueError, match="in places of the row|skip padding"):
            model(padded, mask=mask)
    else:
        np.testing.assert_allclose(model(padded, mask=mask).data[:, 2:], acting, atol=1e-10)
    generated = model.generate(IDS, max_new_tokens=3, temperature=0.0, stop_tokens=())
    assert generated.shape == (2, 9) and (generated[:, 6] == acting[:, -1].argmax(-1)).all()
    check_gradients(model)
    A.activate(model, None)
    assert (model(IDS).data == alone).all() and not any(p.requires_grad for p in model.parameters())
    A.activate(model, "default")
    assert (model(IDS).data == acting).all()
    A.remove(model, "default")
    after = state(model)
    assert before.keys() == after.keys() and all((before[name] == after[name]).all() for name in before)
    model.check_saving()


def test_several_are_there_and_one_some_or_none_act():
    model = small("llama")
    alone = model(IDS).data
    A.add_lora(model, 2, name="a")
    stir(model, 1)
    only_a = model(IDS).data
    A.add_lora(model, 3, targets="all-linear", name="b")
    assert not any(p.requires_grad for n, p in model.named_parameters() if ".b." not in n)
    stir(model, 2)
    only_b = model(IDS).data
    A.add_prompt(model, 2, name="c")
    stir(model, 3)
    assert A.names(model) == ["a", "b", "c"] and A.active_names(model) == ["c"]
    A.activate(model, ["a", "b"])
    both = model(IDS).data
    A.activate(model, ("b", "a"))
    np.testing.assert_allclose(model(IDS).data, both, atol=1e-12)
    assert np.abs(both - only_a).max() > 1e-4 and np.abs(both - only_b).max() > 1e-4
    A.activate(model, "a")
    assert (model(IDS).data == only_a).all()
    A.activate(model, ["c", "a"])
    assert A.active_names(model) == ["a", "c"] and np.abs(model(IDS).data - only_a).max() > 1e-5
    A.remove(model, "b")
    A.activate(model, "a")
    assert (model(IDS).data == only_a).all() and A.names(model) == ["a", "c"]
    A.activate(model, None)
    assert (model(IDS).data == alone).all()


def test_adapters_inside_of_what_a_bottleneck_stands_around():
    for first, second in ((A.add_bottleneck, A.add_lora), (A.add_lora, A.add_bottleneck)):
        model = small("gpt2")
        alone = model(IDS).data
        first(model, 2, name="first")
        second(model, 2, name="second")
        A.activate(model, ["first", "second"])
        stir(model)
        check_gradients(model)
        for name in ("first", "second"):
            A.remove(model, name)
        assert (model(IDS).data == alone).all()
        model.check_saving()


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_the_base_stands_beside_the_adapted_model_and_shares_its_weights(technique):
    model = small("llama", np.float32)
    if technique == "lora":
        to_nf4(model)
    alone, weights = model(IDS).data, model.weights()
    TECHNIQUES[technique](model)
    A.add_lora(model, 2, name="second")
    A.activate(model, ["default", "second"])
    stir(model)
    acting, trains = model(IDS).data, {name for name, p in model.named_parameters() if p.requires_grad}
    base = A.base_of(model)
    assert A.names(base) == [] and A.names(model) == A.active_names(model) == ["default", "second"]
    assert (base(IDS).data == alone).all() and (model(IDS).data == acting).all() and np.abs(acting - alone).max() > 1e-5
    assert base.weights().keys() == weights.keys() and all(base.weights()[name] is w for name, w in weights.items())
    assert {name for name, p in model.named_parameters() if p.requires_grad} == trains
    assert not any(p.requires_grad for p in base.parameters())
    A.remove(model, "second")
    A.remove(model, "default")
    assert (base(IDS).data == alone).all()


def test_wrong_names():
    model = small("gpt2")
    with pytest.raises(ValueError, match="this model has no adapters"):
        A.activate(model, "a")
    A.add_lora(model, 2, name="a")
    for call in (A.add_lora, A.add_ia3, A.add_prefix, A.add_prompt, A.add_bottleneck):
        with pytest.raises(ValueError, match="has an adapter 'a' already"):
            call(model, name="a")
    with pytest.raises(ValueError, match="there is no adapter 'b': this model has 'a'"):
        A.activate(model, ["a", "b"])
    with pytest.raises(ValueError, match="names one twice"):
        A.activate(model, ["a", "a"])
    with pytest.raises(ValueError, match="without dots"):
        A.add_lora(model, 2, name="x.y")
    assert A.active_names(model) == ["a"]


class Stop(Exception):
    """What ends a run early."""


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_training_moves_the_adapter_alone_and_resumes_to_the_byte(tmp_path, technique):
    def fresh():
        spec = small("gpt2", np.float32).spec
        model = lfs.models.Decoder(spec, np.random.default_rng(0))
        TECHNIQUES[technique](model)
        return model

    def run(directory, stop=None, resume=False):
        def on_step(step, loss, model):
            if step == stop:
                raise Stop

        model = fresh()
        sampler = lfs.data.BatchSampler(np.arange(400) % 29, batch_size=2, context=8)
        settings = TrainingSettings(steps=4, learning_rate=1e-2, checkpoint_every=2, threads=1)
        quiet = {"progress": False, "report": lambda text: None}
        train(model, sampler, settings, directory=directory, resume=resume, on_step=on_step, **quiet)
        return state(model)

    whole = run(tmp_path / "whole")
    with pytest.raises(Stop):
        run(tmp_path / "broken", stop=3)
    resumed = run(tmp_path / "broken", resume=True)
    assert all((whole[name] == resumed[name]).all() for name in whole)
    moved = {name for name, array in state(fresh()).items() if (array != whole[name]).any()}
    assert moved and all(".default." in name for name in moved)
    held = [load_file(path) for path in (tmp_path / "whole").rglob("*.safetensors")]
    assert held and not any("embedding.weight" in name for tensors in held for name in tensors)
