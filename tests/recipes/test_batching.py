from __future__ import annotations

import numpy as np
import pytest

from llm_from_scratch.recipes.batching import batches, validation_batches
from llm_from_scratch.recipes.recipe import Recipe, prepare_corpus


def test_batches_of_a_recipe(tmp_path):
    recipe = Recipe(data="tales:60", validation_fraction=0.2, vocabulary=400, context=32, batch_size=4)
    corpus = prepare_corpus(recipe, tmp_path)
    batch = next(batches(recipe, corpus))
    assert batch["ids"].shape == (4, 32) and "segments" in batch
    held_out = validation_batches(recipe, corpus)
    first, second = list(held_out()), list(held_out())
    assert all(np.array_equal(a["ids"], b["ids"]) for a, b in zip(first, second))
    assert 0 < sum((b["targets"] >= 0).sum() for b in first) <= 50_000 + 4 * 32
    with pytest.raises(ValueError, match="takes"):
        batches(Recipe(data="tales:60", validation_fraction=0.2, vocabulary=400, context=32, batch_size=10_000), corpus)
