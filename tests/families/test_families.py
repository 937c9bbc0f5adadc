"""Family files: those of a user's own, wherever they lie, and what a file may say wrongly."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch import families
from llm_from_scratch.recipes.miniature import miniature

MINE = '''"""A LLaMA with words of its own."""

from . import llama
from .published.config import Config

MODEL_TYPES = ("mine",)
ARCHITECTURE = "MineForCausalLM"
DEFAULTS = {**llama.DEFAULTS, "depth": 24, "hidden_size": 2048, "num_key_value_heads": 8, "head_dim": 128}
del DEFAULTS["num_hidden_layers"]
SIZE_KEYS = {"layers": "depth"}
SIZES = {"mine-1b": {}}


def spec_from_config(config: Config):
    config.values["num_hidden_layers"] = config.get("depth")
    return llama.spec_from_config(config)


weights_from_config = llama.weights_from_config
'''


@pytest.fixture
def mine(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "mine.py"
    path.write_text(MINE, encoding="utf-8")
    yield path
    families.forget(path)


def test_a_registered_file_is_a_family_like_any_other(mine: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no model is called 'mine-1b'"):
        lfs.spec("mine-1b")
    assert families.register(mine).name == "mine"
    small = miniature("mine-1b", width=64, heads=4, layers=3)
    assert small["depth"] == 3 and small["num_key_value_heads"] == 2  # 8 of 32
    assert small["head_dim"] == 32  # all heads together: twice the width, as before
    model = lfs.build(small.pop("model_type"), **small)
    model.save_pretrained(tmp_path / "saved")
    again = lfs.from_pretrained(tmp_path / "saved")
    assert again.spec == model.spec and len(model.layers) == 3
    ids = np.arange(6)[None]
    np.testing.assert_array_equal(again(ids).data, model(ids).data)


def test_registered_again_a_file_is_read_again_and_a_broken_one_is_forgotten(mine: Path) -> None:
    families.register(mine)
    mine.write_text(MINE.replace("mine-1b", "mine-2b"), encoding="utf-8")
    assert "mine-2b" in families.register(mine).sizes
    mine.write_text(MINE.replace('("mine",)', '("gpt2",)'), encoding="utf-8")
    with pytest.raises(ValueError, match="the families gpt2 and mine both claim the name 'gpt2'"):
        families.register(mine)
    assert "mine" not in families.all_families() and "llama" in families.all_families()


def test_the_commands_find_it_through_the_environment(mine: Path) -> None:
    code = "from llm_from_scratch.families import all_families; print('mine' in all_families())"
    environment = {**os.environ, "PYTHONPATH": str(Path(lfs.__file__).parents[1]), families.VARIABLE: str(mine)}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert found.stdout == "True\n", found.stderr


@pytest.mark.parametrize(
    "change, message",
    [
        (('"layers": "depth"', '"layers": "n_layer"'), "calls layers 'n_layer', which DEFAULTS does not have"),
        (('"layers": "depth"', '"depth": "depth"'), "SIZE_KEYS has 'depth'; sizes are layers, width"),
        (("SIZE_KEYS = ", "SIZE_WORDS = "), "SIZE_KEYS has to say what layers is called"),
        (("weights_from_config = ", "weights = "), "mine.py does not define weights_from_config"),
    ],
)
def test_what_a_family_file_lacks_is_named_when_it_is_loaded(mine: Path, change: Any, message: str) -> None:
    mine.write_text(MINE.replace(*change), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        families.register(mine)
    assert "mine" not in families.all_families()


def test_what_is_no_family_file_is_named(tmp_path: Path, mine: Path) -> None:
    for wrong in (tmp_path, tmp_path / "absent.py", tmp_path / "my-family.py"):
        with pytest.raises(ValueError, match="is not a family file"):
            families.register(wrong)
    with pytest.raises(ValueError, match=r"there is a family file gpt2\.py already"):
        families.register(mine.rename(tmp_path / "gpt2.py"))
