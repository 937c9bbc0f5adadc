"""Where tokens stand: against the library tokenizers (frozen by make_places.py), and what must always hold."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from llm_from_scratch.tokenizers import Tokenizer
from llm_from_scratch.tokenizers.places import encode_with_places

FIXTURES = Path(__file__).parent / "fixtures"
FROZEN = json.loads((FIXTURES / "places.json").read_text(encoding="utf-8"))
_SPEC = importlib.util.spec_from_file_location("pipelines", Path(__file__).with_name("test_pipeline.py"))
pipelines = importlib.util.module_from_spec(_SPEC)  # whose fixtures the frozen tokenizers are
_SPEC.loader.exec_module(pipelines)
TEXTS = [*FROZEN["texts"], "", " ", "naïve 🙂🙂 e\u0301", "\u2581under", "<|end|>", "x<|end|> <|end|>y", "\n\n"]


def core(text, start, end):
    """A place without the white space at its ends, which libraries count as they like."""
    white = " \u2581\t\n\r"
    while start < end and text[start] in white:
        start += 1
    while end > start and text[end - 1] in white:
        end -= 1
    return start, end


def assert_places(tokenizer, text):
    """What must hold: the ids are those of encode, places do not go back, and no sign that is not white is left out."""
    ids, starts, ends = encode_with_places(tokenizer, text)
    assert ids.tolist() == tokenizer.encode(text, allowed_special="all")
    assert (np.diff(starts) >= 0).all() and (np.diff(ends) >= 0).all() and (starts <= ends).all()
    held = {place for start, end in zip(starts, ends) for place in range(start, end)}
    missing = {text[place] for place in set(range(len(text))) - held}
    assert all(character.isspace() or character == "\u2581" for character in missing), missing
    for token, start, end in zip(ids, starts, ends):
        if int(token) in tokenizer.added_tokens.by_id:
            assert text[start:end].strip() == tokenizer.added_tokens.by_id[int(token)].content.strip()


@pytest.mark.parametrize("name", FROZEN["cases"])
def test_places_hold_the_librarys_offsets(tmp_path, name):
    """Where a normaliser makes one thing of several characters, ours is all of them and theirs the last one."""
    tokenizer = pipelines.write(tmp_path, pipelines.document(pipelines.FROZEN["cases"][name]))
    seen = equal = 0
    for text, frozen in zip(FROZEN["texts"], FROZEN["cases"][name]):
        if frozen is None:
            continue
        ids, starts, ends = encode_with_places(tokenizer, text)
        assert ids.tolist() == frozen["ids"]
        for start, end, (a, b) in zip(starts, ends, frozen["offsets"]):
            a, b = core(text, a, b)
            end = max(end, start + 1)  # a space put in front: ours is before what follows, theirs on it
            if a < b:
                assert start <= a and b <= end, (text, text[start:end], text[a:b])
                seen += 1
                equal += core(text, start, end) == (a, b)
    assert seen > 8 and equal > 0.8 * seen


@pytest.mark.parametrize(
    "settings",
    [dict(), dict(pattern="cl100k"), dict(kind="sentencepiece"), dict(kind="sentencepiece", split_digits=False)],
    ids=str,
)
def test_every_token_has_a_place_and_every_character_a_token(settings):
    tokenizer = Tokenizer.train(
        "hello world, two spaces and café, né " * 9, 330, special_tokens=["<|end|>"], **settings
    )
    for text in TEXTS:
        assert_places(tokenizer, text)


def test_saved_kinds_keep_their_places(tmp_path):
    for kind in ("byte-level", "sentencepiece"):
        trained = Tokenizer.train("hello world and so on " * 9, 330, special_tokens=["<|end|>"], kind=kind)
        trained.save(tmp_path / kind)
        read = Tokenizer.from_pretrained(tmp_path / kind)
        for text in TEXTS:
            for ours, theirs in zip(encode_with_places(read, text), encode_with_places(trained, text)):
                assert np.array_equal(ours, theirs)


def test_a_space_in_front_goes_with_what_follows():
    tokenizer = Tokenizer.train("ab ab ab", 264, kind="sentencepiece", special_tokens=["<|end|>"])
    ids, starts, ends = encode_with_places(tokenizer, "ab<|end|>é")
    assert tokenizer.decode(ids) == "ab<|end|>é"
    assert list(zip(starts.tolist(), ends.tolist()))[-3:] == [(9, 9), (9, 10), (9, 10)]  # "▁", and the two bytes of é


def test_special_tokens_that_are_not_accepted_are_text():
    tokenizer = Tokenizer.train("ab", 262, special_tokens=["<|end|>"])
    ids, starts, _ = encode_with_places(tokenizer, "a<|end|>b<|end|>", lambda start, end: start > 5)
    assert ids.tolist().count(0) == 1 and starts[ids.tolist().index(0)] == 9
