"""Tokenizers to GGUF metadata and back: the same ids on hard strings, and what no file can hold is refused by name.

Where `llama-cpp-python` is installed, it reads the files and gives the same ids, too.
"""

import unicodedata

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.files.gguf_writing import write_gguf
from llm_from_scratch.tokenizers import AddedToken, PreTokenizer, SentencePieceTokenizer, Tokenizer
from llm_from_scratch.tokenizers.ends import template_of
from llm_from_scratch.tokenizers.formats.gguf_writing import tokenizer_metadata
from llm_from_scratch.tokenizers.gguf import tokenizer_from_gguf_metadata
from llm_from_scratch.tokenizers.pieces import Kind, Piece

TEXT = (
    "the cat sat on the mat. the dog said: it's 2023, isn't it? They'll SAY we've seen 12345 lower lowest lows; über, "
    "naïve Ελλάδα 漢字 \n\n  indented  code\t(x + y) == z!!! été "
) * 4
HARD = [
    "", " ", "  ", "\n", "\t\n \r\n", "the cat", " the cat", "the  cat ", "Isn't IT'S we'Ve", "1234567890 12,345.67",
    "über naïve Ελλάδα 漢字かな 한국어",
    "👩‍👩‍👧 emoji 🏳️‍🌈", "e\u0301te\u0301 combining", "a\u00a0b\u2003c\u200bd", "\x00\x01\x7f",
    "<|im_start|>user\nhi<|im_end|>", "<s>[INST] x [/INST]</s>", "▁▁the▁cat", "(x+y)==z!!!...", "аaAА Ⅷ ½ ²", "…،。，",
]  # fmt: skip


BEGINS = template_of({"bos": "<|im_start|>"}, True, False)


def _byte_level(pattern, **settings):
    made = Tokenizer.train(TEXT, 400, pattern=pattern, special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    if not settings:
        return made
    tokens = {number: token for number, token in enumerate(made.parts.vocabulary.bytes) if number > 2}
    added = list(made.added_tokens.by_id.values())
    roles = {"bos": "<|im_start|>", "eos": "<|endoftext|>"}
    return Tokenizer(tokens, made.merges, added, PreTokenizer(pattern), **{"roles": roles, **settings})


def _chat_pieces():
    made = Tokenizer.train(
        TEXT, 420, kind="sentencepiece", special_tokens=["<|im_end|>"], added_tokens=["<|im_start|>"]
    )
    return SentencePieceTokenizer(
        made.pieces, roles=made.roles, inline=(), post_processor=template_of(made.roles, True, True)
    )


def _from_pairs():
    """What a tokenizer.json of LLaMA holds: pairs in the order of the scores they came from."""
    made = Tokenizer.train(TEXT, 420, kind="sentencepiece")
    return SentencePieceTokenizer(
        [Piece(piece.text, 0.0, piece.kind) for piece in made.pieces],
        made.merges[(made.merges < len(made.pieces)).all(1)],
        roles=made.roles,
        post_processor=template_of(made.roles, True, False),
    )


MADE = {
    **{name: lambda name=name: _byte_level(name) for name in ("gpt2", "digits", "cl100k", "qwen2", "bloom")},
    "llama 3": lambda: _byte_level("cl100k", ignore_merges=True, post_processor=BEGINS),
    "words that are tokens": lambda: _byte_level("qwen2", ignore_merges=True),
    "NFC": lambda: _byte_level("qwen2", normalizer="NFC"),
    "sentencepiece": lambda: Tokenizer.train(TEXT, 420, kind="sentencepiece"),
    "sentencepiece for chats": _chat_pieces,
    "pairs for scores": _from_pairs,
    "no space in front": lambda: SentencePieceTokenizer(_chat_pieces().pieces, prefix="never"),
    "words of its own": lambda: Tokenizer.train(TEXT, 300, special_tokens=["</s>"], added_tokens=["\t\t", "sat"]),
    "nothing learnt": lambda: Tokenizer.train("a", 257, special_tokens=["<|endoftext|>"]),
}  # fmt: skip


@pytest.fixture(scope="module", params=MADE)
def tokenizer(request):
    made = MADE[request.param]()
    made.what = request.param
    return made


def test_a_tokenizer_comes_back_the_same(tokenizer):
    again = tokenizer_from_gguf_metadata(tokenizer_metadata(tokenizer, tokenizer.vocab_size + 5))
    assert again.vocab_size == tokenizer.vocab_size and again.special_tokens == tokenizer.special_tokens
    assert again.eos_id == tokenizer.eos_id and again.pad_id == tokenizer.pad_id
    for text in [*HARD, TEXT]:
        for settings in ({}, {"allowed_special": "all"}, {"add_special_tokens": True}):
            ids = tokenizer.encode(text, **settings)
            assert again.encode(text, **settings) == ids, (text, settings)
            assert again.decode(ids) == tokenizer.decode(ids)


def test_llama_cpp_gives_the_same_ids(tokenizer, tmp_path):
    library = pytest.importorskip("llama_cpp")
    if tokenizer.what == "NFC":
        texts = [unicodedata.normalize("NFC", text) for text in HARD]  # llama.cpp does not compose
    else:
        texts = HARD
    size = tokenizer.vocab_size + 3
    model = lfs.build("llama", vocab_size=size, hidden_size=32, intermediate_size=32, num_hidden_layers=1,
                      num_attention_heads=1, num_key_value_heads=1, max_position_embeddings=16)  # fmt: skip
    lfs.checkpoints.save_gguf(model, tmp_path / "a.gguf", tokenizer=tokenizer)
    theirs = library.Llama(str(tmp_path / "a.gguf"), vocab_only=True, verbose=False)
    for text in texts:
        for special in (False, True):
            found = theirs.tokenize(text.encode(), add_bos=False, special=special)
            assert found == tokenizer.encode(text, allowed_special="all" if special else ()), (text, special)
    around = theirs.tokenize(b"the cat", add_bos=True)
    assert around == tokenizer.encode("the cat", add_special_tokens=True)


def test_metadata_hold_a_gap_and_rows_without_tokens():
    made = _byte_level("gpt2")
    tokens = {n + (n > 100): token for n, token in enumerate(made.parts.vocabulary.bytes) if n > 2}
    last = max(tokens)
    moved = Tokenizer(tokens, np.empty((0, 3)), list(made.added_tokens.by_id.values()))
    metadata = tokenizer_metadata(moved, 410)
    assert metadata["tokenizer.ggml.tokens"][101] == "[PAD101]" and len(metadata["tokenizer.ggml.tokens"]) == 410
    assert metadata["tokenizer.ggml.token_type"][[101, 409, 0, 50]].tolist() == [5, 5, 3, 1]
    again = tokenizer_from_gguf_metadata(metadata)
    assert again.vocab_size == moved.vocab_size == last + 1
    with pytest.raises(ValueError, match="id 101 is a gap"):
        again.decode([101])


def test_ends_of_a_text():
    made = _byte_level("gpt2")
    metadata = tokenizer_metadata(made, 400, end_tokens=(0, 2, 17))
    assert {key: value for key, value in metadata.items() if "_token" in key and "type" not in key} == {
        "tokenizer.ggml.eos_token_id": 0, "tokenizer.ggml.eot_token_id": 17, "tokenizer.ggml.add_eos_token": False,
    }  # fmt: skip
    with pytest.raises(ValueError, match="3 tokens that end a text beside eos"):
        tokenizer_metadata(made, 400, end_tokens=(0, 17, 18, 19))


def test_the_token_in_front_is_bos_where_nothing_has_that_role():
    made = _byte_level("gpt2", post_processor=BEGINS, roles={})
    again = tokenizer_from_gguf_metadata(tokenizer_metadata(made, 400))
    assert made.bos_id is None and again.bos_id == 1
    assert again.encode("a", add_special_tokens=True) == made.encode("a", add_special_tokens=True)


REFUSED = {
    "a regular expression": (lambda: Tokenizer.train(TEXT, 300, pattern=r"\w+|\W"), r"the pre-tokenisation '\\\\w"),
    "o200k": (lambda: _byte_level("o200k"), "the pre-tokenisation 'o200k'; it has for cl100k"),
    "a token that takes spaces with it": (
        lambda: Tokenizer({n: bytes([n]) for n in range(256)}, np.empty((0, 3)), [AddedToken("<m>", 256, lstrip=True)]),
        "the flag lstrip of the added token '<m>'"),
    "LLaMA 2's spaces": (
        lambda: SentencePieceTokenizer(_chat_pieces().pieces, prefix="first", double_prefix=False), "legacy: false"),
    "an end of turns that is text": (
        lambda: Tokenizer.train(TEXT, 300, added_tokens=["<|im_end|>"]), "'<.im_end.>' as ordinary text"),
    "unknown pieces": (
        lambda: SentencePieceTokenizer([Piece("<unk>", 0, Kind.UNKNOWN), Piece("▁", -1), Piece("a", -2)],
                                       byte_fallback=False), "become the unknown piece"),
    "two tokens in front": (
        lambda: _byte_level("gpt2", post_processor={"type": "TemplateProcessing", "single": [
            {"SpecialToken": {"id": name, "type_id": 0}} for name in ("<|im_start|>", "<|im_end|>")
        ] + [{"Sequence": {"id": "A", "type_id": 0}}]}), "what stands around a text"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_file_can_hold_is_refused_by_name(name):
    make, message = REFUSED[name]
    with pytest.raises(ValueError, match=f"a GGUF file cannot hold this tokenizer: .*{message}"):
        tokenizer_metadata(make(), 500)


def test_a_word_that_its_merges_do_not_make_is_refused_where_the_file_cannot_say_so():
    made = _byte_level("qwen2")
    beside = list(made.added_tokens.by_id.values())
    tokens = {n: token for n, token in enumerate(made.parts.vocabulary.bytes) if n > 2} | {len(made): b"unmade"}
    odd = Tokenizer(tokens, made.merges, beside, PreTokenizer("qwen2"), ignore_merges=True)
    with pytest.raises(ValueError, match="is a token though its merges make another of it .b'unmade'"):
        tokenizer_metadata(odd, 500)


def test_a_tokenizer_that_is_larger_than_the_model_is_refused():
    with pytest.raises(ValueError, match="tokens, the model's embedding only 300 rows"):
        tokenizer_metadata(_byte_level("gpt2"), 300)


def test_templates_come_back_by_name(tmp_path):
    made = _byte_level("gpt2")
    made.chat_template = lfs.ChatTemplate({"default": "{{ messages[0].content }}!", "tool_use": "{{ eos_token }}"})
    write_gguf(tmp_path / "a.gguf", tokenizer_metadata(made, 400), {})
    read = Tokenizer.from_pretrained(tmp_path / "a.gguf").chat_template
    assert read.sources == made.chat_template.sources
    assert read.render([{"role": "user", "content": "x"}], template="tool_use") == "<|endoftext|>"
