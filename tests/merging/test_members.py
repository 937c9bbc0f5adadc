"""What a checkpoint says of itself: groups of tensors for every family, and where two specs compute differently."""

import dataclasses

import numpy as np
import pytest
from family_models import FAMILIES, small

from llm_from_scratch.checkpoints import own_layout
from llm_from_scratch.layers import Normal
from llm_from_scratch.merging.members import AFTER, BEFORE, Member, differing, numbered


@pytest.mark.parametrize("family", FAMILIES)
def test_every_tensor_of_a_family_has_its_place(family, tmp_path):
    model = small(family)
    model.save_pretrained(tmp_path)
    member = Member(tmp_path)
    assert set(member.groups) == {BEFORE, AFTER, *range(len(model.spec.layers))}
    names = [name.format(key) for key, group in member.groups.items() for name in group]
    stored = [name for group in member.groups.values() for name in group.values()]
    assert sorted(names) == sorted(stored) == sorted(member.store) and len(set(names)) == len(names)
    assert all("{}" in name for k in range(member.depth) for name in member.groups[k])
    for group in member.groups.values():
        for name in group.values():
            assert member.shape(name) == member.store[name].shape and member.dtype(name) == np.float32
    assert any("norm" in name or "ln" in name for name in member.groups[AFTER]) or family in ("glm", "opt", "mpt")


def test_a_model_of_our_own_layout(tmp_path):
    model = small("llama")
    model.config.pop("model_type")
    model.save_pretrained(tmp_path)
    assert (tmp_path / own_layout.SPEC).exists()
    member = Member(tmp_path)
    assert member.groups[1]["layers.{}.mixer.query.weight"] == "layers.1.mixer.query.weight"


def test_specs_differ_in_what_they_compute_and_not_in_how_they_were_drawn():
    spec = small("llama").spec
    assert differing(spec, dataclasses.replace(spec, embedding_init=Normal(1.0), context_length=7)) is None
    found = differing(spec, dataclasses.replace(spec, embedding_scale=2.0))
    assert found == "embedding_scale is 1.0 and 2.0"
    assert differing(spec, dataclasses.replace(spec, layers=spec.layers[:1])) == "layers is 2 long and 1 long"
    other = small("llama", rope_theta=500.0).spec
    assert differing(spec, other).endswith(".rotary.base is 10000.0 and 500.0")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_spec_agrees_with_itself_built_again(family):
    assert differing(small(family).spec, small(family).spec) is None


def test_a_gguf_file_is_told_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="save_pretrained it"):
        Member(tmp_path / "model.gguf")


def test_names_that_do_not_say_their_layer():
    assert numbered("h.3.experts.1.w", 3, "{}") == "h.{}.experts.1.w"
    with pytest.raises(ValueError, match="of layer 4"):
        numbered("h.3.w", 4, 5)
