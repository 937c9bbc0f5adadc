"""This folder's own modules can be imported, by whichever tests are run; the models that mergekit merged."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import merging_cases
from mergekit_cases import MODELS, SMALL

import llm_from_scratch as lfs
from llm_from_scratch.files.sharded import read_safetensors


@pytest.fixture(scope="session")
def frozen():
    """{"case/tensor": array}, models among the cases."""
    return read_safetensors(Path(__file__).parent / "fixtures" / "mergekit.safetensors")


@pytest.fixture
def models(frozen, tmp_path, monkeypatch):
    """The folder with the four models that were frozen, which is where the test stands."""
    model = lfs.build("llama", **SMALL)
    for name in MODELS:
        merging_cases.save(tmp_path / name, model, merging_cases.of(frozen, name))
    monkeypatch.chdir(tmp_path)
    return tmp_path
