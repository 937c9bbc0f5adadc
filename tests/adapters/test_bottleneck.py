"""Bottlenecks stand after every part, of whatever kind, and begin as nothing."""

from __future__ import annotations

import numpy as np
import pytest

from llm_from_scratch import adapters as A

from .conftest import FAMILIES, IDS, small


@pytest.mark.parametrize("family", FAMILIES)
def test_where_they_stand(family):
    model = small(family)
    alone = model(IDS).data
    houlsby = A.add_bottleneck(model, 3)
    assert (model(IDS).data == alone).all()
    parts = [len(branch.functions) for layer in model.spec.layers for branch in layer.branches]
    assert len(houlsby) == sum(parts)
    if family == "mamba":
        with pytest.raises(ValueError, match="no layer of this model has a feed-forward part"):
            A.add_bottleneck(model, 3, "pfeiffer", "p")
    else:
        places = [f"layers.{i}.feed_forward" for i in range(len(model.layers))]
        assert A.add_bottleneck(model, 3, "pfeiffer", "p") == places


def test_wrong_settings():
    model = small("gpt2")
    for settings, message in (
        ({"size": 0}, "the size is a whole number"),
        ({"placement": "middle"}, "one of houlsby, pfeiffer, not 'middle'"),
        ({"activation": "tanh"}, "the activation is one of"),
    ):
        with pytest.raises(ValueError, match=message):
            A.add_bottleneck(model, **settings)
    assert np.isfinite(model(IDS).data).all() and A.names(model) == []
