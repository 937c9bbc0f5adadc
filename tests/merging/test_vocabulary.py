"""Tokenizers of models that are merged."""

import json

import pytest

from llm_from_scratch.merging.vocabulary import check_vocabularies, tokenizer_files
from llm_from_scratch.tokenizers import Tokenizer


@pytest.fixture
def folders(tmp_path):
    tokenizer = Tokenizer.train(["low lower lowest", "new newer newest"], vocab_size=262)
    for name in "abc":
        (tmp_path / name).mkdir()
        tokenizer.save(tmp_path / name)
    return [tmp_path / name for name in "abc"]


def test_equal_ones_pass_also_when_written_otherwise(folders):
    path = folders[1] / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")), indent=3), encoding="utf-8")
    assert check_vocabularies(folders) == []
    assert {path.name for path in tokenizer_files(folders[0])} >= {"tokenizer.json", "tokenizer_config.json"}


def test_the_first_token_that_differs_is_named(folders):
    other = Tokenizer.train(["slow slower slowest", "old older oldest"], vocab_size=270)
    other.save(folders[2])
    with pytest.raises(ValueError, match=r"vocabularies of .*a and .*c differ: token \d+ is '.*' and '.*'"):
        check_vocabularies(folders)


def test_a_longer_one_differs_at_its_end(folders):
    Tokenizer.train(["low lower lowest", "new newer newest"], vocab_size=264).save(folders[1])
    with pytest.raises(ValueError, match="differ: token"):
        check_vocabularies(folders)


def test_a_model_without_one_is_told(folders, tmp_path):
    (tmp_path / "d").mkdir()
    (note,) = check_vocabularies([*folders, tmp_path / "d"])
    assert "d has no tokenizer" in note
    assert len(check_vocabularies([tmp_path / "d"])) == 1
