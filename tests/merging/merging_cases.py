"""What the tests of merging share: random models, checkpoints with given weights, recipes written and carried out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import llm_from_scratch as lfs
from llm_from_scratch.files.safetensors import write_safetensors
from llm_from_scratch.files.sharded import read_safetensors


def of(frozen, case):
    """The tensors of one case, or of one model."""
    return {name.removeprefix(case + "/"): array for name, array in frozen.items() if name.startswith(case + "/")}


def save(folder, model, arrays):
    """A checkpoint of that model's config with other weights."""
    model.save_pretrained(folder)
    write_safetensors(folder / "model.safetensors", arrays, {"format": "pt"})


def run(recipe, out="out", **settings):
    """Write the recipe and carry it out; the result's tensors."""
    Path("recipe.yaml").write_text(recipe, encoding="utf-8")
    lfs.merging.run_recipe("recipe.yaml", out, **settings)
    return read_safetensors(out)


def random_model(rng, shapes=(("w", (3, 4)), ("b", (5,))), dtype=np.float32):
    """{name: array} of random numbers."""
    return {name: np.asarray(rng.normal(size=shape)).astype(dtype) for name, shape in shapes}
