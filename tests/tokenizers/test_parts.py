"""A tokenizer of one's own: other parts in the place of those that it came with."""

from __future__ import annotations

import dataclasses

import pytest

from llm_from_scratch.tokenizers import PreTokenizer, SentencePieceTokenizer, Tokenizer
from llm_from_scratch.tokenizers.borders import Borders
from llm_from_scratch.tokenizers.ends import Ends

TEXT = "low lower lowest 12345 " * 9


@pytest.mark.parametrize("kind", ["byte-level", "sentencepiece"])
def test_the_parts_of_a_tokenizer_make_it_again(kind: str) -> None:
    tokenizer = Tokenizer.train(TEXT, 300, kind=kind, special_tokens=["<|end|>"])
    again = Tokenizer.of(tokenizer.parts)
    assert type(again) is type(tokenizer) and again.kind == tokenizer.parts.kind == kind
    assert again.encode(TEXT) == tokenizer.encode(TEXT) and repr(again) == repr(tokenizer)


def test_another_splitter_cuts_for_the_same_encoder(tmp_path) -> None:
    tokenizer = Tokenizer.train(TEXT, 300)
    assert len(tokenizer.encode("12345")) < 5
    single = Tokenizer.of(dataclasses.replace(tokenizer.parts, splitter=PreTokenizer("digits")))
    assert [single.id_to_token(number) for number in single.encode("12345")] == list("12345")
    single.save(tmp_path)
    assert Tokenizer.from_pretrained(tmp_path).encode(TEXT) == single.encode(TEXT) != tokenizer.encode(TEXT)


def test_parts_that_no_file_can_describe_are_not_saved(tmp_path) -> None:
    tokenizer = Tokenizer.train(TEXT, 300)
    strange = Tokenizer.of(dataclasses.replace(tokenizer.parts, splitter=Borders("none", prefix="never")))
    assert strange.decode(strange.encode(TEXT)) == TEXT
    with pytest.raises(TypeError, match="no file can say what a Borders does: to save, use a PreTokenizer"):
        strange.save(tmp_path / "strange")
    assert not (tmp_path / "strange").exists()


def test_other_ends_go_around_a_text() -> None:
    tokenizer = Tokenizer.train(TEXT, 300, kind="sentencepiece")
    ends = Ends(tokenizer.parts.vocabulary, None, {"eos": "<unk>", "bos": "nobody"})
    other = Tokenizer.of(dataclasses.replace(tokenizer.parts, ends=ends))
    assert tokenizer.encode("low", add_special_tokens=True) == [1, *tokenizer.encode("low")]
    assert other.encode("low", add_special_tokens=True) == tokenizer.encode("low")
    assert (tokenizer.bos_id, tokenizer.eos_id) == (1, 2) and (other.bos_id, other.eos_id) == (None, 0)


def test_a_subclass_does_not_take_the_place_of_what_it_inherits_from() -> None:
    class Loud(SentencePieceTokenizer):
        def encode(self, text, **settings):
            return super().encode(text.upper(), **settings)

    tokenizer = Tokenizer.train(TEXT, 300, kind="sentencepiece")
    assert type(tokenizer) is SentencePieceTokenizer and isinstance(Loud(tokenizer.pieces), SentencePieceTokenizer)
    assert Loud(tokenizer.pieces).encode("low") == tokenizer.encode("LOW")
