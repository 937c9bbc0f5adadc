from __future__ import annotations

import numpy as np
import pytest

from llm_from_scratch.data.sources import documents
from llm_from_scratch.data.split import LONG, TRAIN, VALIDATION, split_documents, write_split, write_splits
from llm_from_scratch.data.tales import DELIMITER
from llm_from_scratch.data.token_file import open_tokens
from llm_from_scratch.tokenizers import Tokenizer

TALES = list(documents("tales:1000"))


def sides(texts, fraction=0.1, seed=0):
    train, validation = [], []
    for text, held_out in split_documents(texts, fraction, seed):
        (validation if held_out else train).append(text)
    return train, validation


def test_every_document_is_on_one_side():
    train, validation = sides(TALES)
    assert sorted(train + validation) == sorted(TALES)
    assert not set(train) & set(validation)
    assert 60 <= len(validation) <= 140
    assert train == [text for text in TALES if text not in set(validation)]  # order is kept


def test_the_side_depends_on_text_and_seed_alone():
    _, validation = sides(TALES)
    _, reversed_order = sides(TALES[::-1])
    _, doubled = sides(TALES + TALES)
    _, subset = sides(TALES[:500])
    assert set(reversed_order) == set(doubled) == set(validation)
    assert set(subset) == set(validation) & set(TALES[:500])
    assert set(sides(TALES, seed=1)[1]) != set(validation)


def test_fractions():
    assert sides(TALES, 0.0) == (TALES, [])
    assert len(sides(TALES, 0.5)[1]) == pytest.approx(500, abs=70)
    for fraction in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match="at least 0 and below 1"):
            split_documents(TALES, fraction)


def test_long_and_lone_documents_are_cut_once():
    book = "\n".join(f"line {n}" for n in range(5000))
    assert len(book) > LONG
    for texts in ([book], [book, *TALES[:3]], [TALES[0], book]):
        parts = [(text, held_out) for text, held_out in split_documents(texts, 0.2) if text in book]
        assert [held_out for _, held_out in parts] == [False, True]
        assert parts[0][0] + parts[1][0] == book and parts[0][0].endswith("\n")
        assert len(parts[1][0]) / len(book) == pytest.approx(0.2, abs=0.01)
    assert list(split_documents(["one two three"], 0.4)) == [("one ", False), ("two three", True)]
    assert list(split_documents(["abcdefghij"], 0.3)) == [("abcdefg", False), ("hij", True)]
    assert list(split_documents([], 0.3)) == []


def test_token_files_hold_the_text_of_each_side(tmp_path):
    tokenizer = Tokenizer.train(TALES, vocab_size=400, special_tokens=[DELIMITER])
    train, validation = write_split(TALES, tokenizer, tmp_path, fraction=0.2, seed=4)
    separator = tokenizer.special_tokens[DELIMITER]
    for file, texts in zip((train, validation), sides(TALES, 0.2, 4), strict=True):
        assert file.documents == len(texts) and file.separator == separator
        assert file.text_bytes == sum(len(text.encode()) for text in texts)
        assert file.ids[0] == file.ids[-1] == separator
        borders = np.flatnonzero(file.ids == separator)
        assert len(borders) == len(texts) + 1
        for number in (0, len(texts) - 1):
            inside = file.ids[borders[number] + 1 : borders[number + 1]]
            assert tokenizer.decode(inside) == texts[number]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.tokens", "validation.tokens"]
    again = write_split(TALES, tokenizer, tmp_path / "again", fraction=0.2, seed=4)
    assert again[0].path.read_bytes() == train.path.read_bytes()


def test_text_that_spells_the_separator_makes_no_border(tmp_path):
    tokenizer = Tokenizer.train(TALES, vocab_size=400, special_tokens=[DELIMITER])
    file, _ = write_split([f"a {DELIMITER} b"], tokenizer, tmp_path, fraction=0.0)
    assert np.count_nonzero(file.ids == file.separator) == 2


def test_too_little_text_and_a_missing_separator_leave_nothing(tmp_path):
    plain = Tokenizer.train(TALES[:50], vocab_size=300)
    with pytest.raises(ValueError, match="has no special token '<.endoftext.>'"):
        write_split(TALES, plain, tmp_path)
    with pytest.raises(ValueError, match="of 2 documents none fell on the validation side"):
        write_split(["x", "y"], plain, tmp_path, fraction=0.01, separator=None)
    with pytest.raises(ValueError, match="of 0 documents none fell on the training side"):
        write_split([], plain, tmp_path, separator=None)
    assert list(tmp_path.iterdir()) == []
    train, validation = write_split(TALES[:50], plain, tmp_path, separator=None, fraction=0.3)
    assert train.separator is None and len(validation) > 0


def test_several_sources_in_one_pair_of_files(tmp_path):
    tokenizer = Tokenizer.train(TALES[:50], vocab_size=300, special_tokens=[DELIMITER])
    book = "\n".join(f"line {number}" for number in range(300))
    spans = write_splits({"tales": TALES[:60], "book": [book]}, tokenizer, tmp_path, fraction=0.2)
    both = {name: open_tokens(tmp_path / name) for name in (TRAIN, VALIDATION)}
    for source, texts in (("tales", TALES[:60]), ("book", [book])):
        alone = write_split(texts, tokenizer, tmp_path / source, fraction=0.2)  # each is split as if it were alone
        for (start, stop), file, expected in zip(spans[source], both.values(), alone):
            assert file.part(start, stop).ids.tolist() == expected.ids.tolist(), source
    for file, last in zip(both.values(), spans["book"]):
        assert last[1] == len(file)
    with pytest.raises(ValueError, match="of 0 documents of nothing none fell on the training side"):
        write_splits({"tales": TALES[:60], "nothing": []}, tokenizer, tmp_path / "empty", fraction=0.2)
    assert list((tmp_path / "empty").iterdir()) == []
    halves = {"a": TALES[:20], "b": TALES[20:40]}
    plain = write_splits(halves, tokenizer, tmp_path / "plain", fraction=0.3, separator=None)
    assert plain["b"][0][0] == plain["a"][0][1]  # without separators nothing is shared
