"""A model that is small enough to be trained in a test, with the tales' tokenizer."""

import pytest

import llm_from_scratch as lfs
from llm_from_scratch.recipes.presets import opening
from llm_from_scratch.recipes.stages import Start

SETTINGS = dict.fromkeys(("tokens", "lr", "batch", "template", "threads", "checkpoint_every"))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Its directory."""
    folder = tmp_path_factory.mktemp("tiny")
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    lfs.build("llama", **sizes, vocab_size=2048, max_position_embeddings=512, seed=3).save_pretrained(folder)
    lfs.Tokenizer.from_pretrained("chapters/tales_model").save(folder)
    return folder


@pytest.fixture
def start(tiny, monkeypatch):
    """A start from it, for two steps, measured on four tasks."""
    monkeypatch.setattr(opening, "ASKED", 4)

    def made(done=None, **settings):
        return Start({**SETTINGS, "steps": 2, "batch": 4, "threads": 1, "seed": 0, **settings}, done or {}, str(tiny))

    return made
