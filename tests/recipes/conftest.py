"""What the tests of recipes share: a tiny model to begin from, and a cache of their own."""

import os
import sys
from pathlib import Path

import pytest

import llm_from_scratch as lfs
from llm_from_scratch.files import download

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "training"))  # for standin.py
TALES_MODEL = Path(__file__).parents[2] / "chapters" / "tales_model"


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A tiny model with the tales' tokenizer, as a directory."""
    directory = tmp_path_factory.mktemp("start")
    tokenizer = lfs.Tokenizer.from_pretrained(TALES_MODEL)
    lfs.build(
        "llama", num_hidden_layers=1, num_attention_heads=2, hidden_size=16, intermediate_size=24,
        max_position_embeddings=512, vocab_size=len(tokenizer),
    ).save_pretrained(directory)  # fmt: skip
    tokenizer.save(directory)
    return directory


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Nothing is kept from one test to the next."""
    monkeypatch.setenv(download.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"
