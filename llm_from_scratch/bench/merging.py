"""Merging as contenders: TIES of three models of 135M parameters and their base, from files to a file.

The models are drawn, since speed does not depend on them: written once by a process of its own, so that its memory does
not count. The peer is mergekit.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from ..checkpoints import build
from ..merging import run_recipe
from .case import Work

RECIPE = """
merge_method: ties
base_model: {folder}/base
models:
  - {{model: {folder}/a, parameters: {{weight: 1.0, density: 0.2}}}}
  - {{model: {folder}/b, parameters: {{weight: 1.0, density: 0.2}}}}
  - {{model: {folder}/c, parameters: {{weight: 1.0, density: 0.2}}}}
dtype: float32
"""


def write_models(folder: str) -> None:
    """A base, and three models beside it, each 540 MB."""
    model = build("smollm2-135m")
    model.save_pretrained(Path(folder, "base"))
    for seed, name in enumerate("abc"):
        rng = np.random.default_rng(seed)
        noise = [rng.standard_normal(weight.shape, np.float32) * np.float32(1e-3) for weight in model.parameters()]
        for weight, change in zip(model.parameters(), noise):
            weight.data += change
        model.save_pretrained(Path(folder, name))
        for weight, change in zip(model.parameters(), noise):
            weight.data -= change


def _prepared() -> tuple[tempfile.TemporaryDirectory[str], str]:
    folder = tempfile.TemporaryDirectory(prefix="merging-")
    code = f"from {__name__} import write_models; write_models({folder.name!r})"
    subprocess.run([sys.executable, "-c", code], check=True)
    return folder, RECIPE.format(folder=folder.name)


def ties() -> Work:
    """TIES in mergekit's dialect."""
    folder, recipe = _prepared()
    path = Path(folder.name, "recipe.yaml")
    path.write_text(recipe, encoding="utf-8")
    return lambda: run_recipe(path, _fresh(folder))


def their_ties(threads: int) -> Work:
    """mergekit by the same recipe, with the option that saves memory."""
    import torch
    import yaml
    from mergekit.config import MergeConfiguration
    from mergekit.merge import MergeOptions, run_merge

    torch.set_num_threads(threads)
    folder, recipe = _prepared()
    config = MergeConfiguration.model_validate(yaml.safe_load(recipe))
    options = MergeOptions(copy_tokenizer=False, quiet=True, low_cpu_memory=True, write_model_card=False)
    return lambda: run_merge(config.model_copy(deep=True), _fresh(folder), options)


def _fresh(folder: tempfile.TemporaryDirectory[str]) -> str:
    """A directory that is new: the one before it goes."""
    out = os.path.join(folder.name, "out")
    if os.path.isdir(out):
        for name in os.listdir(out):
            os.unlink(os.path.join(out, name))
        os.rmdir(out)
    return out
