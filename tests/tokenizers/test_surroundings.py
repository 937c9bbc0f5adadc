"""The files beside a tokenizer's own, beside every format, as checkpoints of 2019 to 2024 have them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from llm_from_scratch.tokenizers import SentencePieceTokenizer, Tokenizer
from llm_from_scratch.tokenizers.pieces import Kind, Piece

FIXTURES = Path(__file__).parent / "fixtures"
PLAIN = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True}


@pytest.fixture
def make(tmp_path):
    """A checkpoint directory: `make(kind, tokenizer_config={...}, ...)` -> the tokenizer."""

    def made(kind: str, **files: Any) -> Tokenizer:
        if kind == "json":
            content = json.loads((FIXTURES / "styles.json").read_text(encoding="utf-8"))["styles"]["smollm"]["file"]
            (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
        elif kind == "pair":
            for part in ("vocab.json", "merges.txt"):
                shutil.copy(FIXTURES / "gpt2_pair" / part, tmp_path)
        elif kind == "model":
            shutil.copy(FIXTURES / "sentencepiece" / "llama.model", tmp_path / "tokenizer.model")
        else:
            shutil.copy(FIXTURES / "ranks" / "qwen.tiktoken", tmp_path)
        for name, content in files.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
        return Tokenizer.from_pretrained(tmp_path)

    return made


KINDS = ["json", "pair", "model", "ranks"]


@pytest.mark.parametrize("kind", KINDS)
def test_chatml_tokens_are_added_beside_every_format(make, kind, tmp_path):
    size = make(kind).vocab_size
    tokenizer = make(
        kind,
        added_tokens={"<|begin|>": size, "<|stop|>": size + 1},
        special_tokens_map={"eos_token": "<|stop|>", "pad_token": {"content": "<pad>", **PLAIN}},
    )
    assert tokenizer.eos_id == size + 1 and tokenizer.pad_id == size + 2 == tokenizer.vocab_size - 1
    assert not tokenizer.added_tokens.by_content["<|begin|>"].special  # no role: anybody may write it
    ids = tokenizer.encode("<|begin|>a<|stop|>")
    assert ids[-1] != size + 1 and size in ids
    assert tokenizer.encode("<|stop|>", allowed_special="all")[-1] == size + 1
    tokenizer.save(tmp_path / "saved")
    again = Tokenizer.from_pretrained(tmp_path / "saved")
    assert again.roles == tokenizer.roles and again.added_tokens.by_id == tokenizer.added_tokens.by_id
    for text in ("<|begin|>a <pad> b<|stop|> c", "a  b"):
        for settings in ({}, {"allowed_special": "all"}, {"add_special_tokens": True}):
            assert again.encode(text, **settings) == tokenizer.encode(text, **settings)


@pytest.mark.parametrize("kind", KINDS)
def test_everything_in_one_place_goes_before_older_files(make, kind):
    size = make(kind).vocab_size
    token = {"content": "<mask>", **PLAIN, "normalized": False, "lstrip": True, "special": True}
    tokenizer = make(
        kind,
        tokenizer_config={"added_tokens_decoder": {str(size): token}, "eos_token": "<mask>", "bos_token": None},
        special_tokens_map={"eos_token": "<other>", "pad_token": "<mask>", "bos_token": "<other>"},
        added_tokens={"<other>": size + 5},
    )
    assert tokenizer.eos_id == tokenizer.pad_id == size and tokenizer.bos_id is None
    assert "<other>" not in tokenizer.special_tokens and tokenizer.vocab_size == size + 1
    assert tokenizer.encode("a  <mask>", allowed_special="all") == [*tokenizer.encode("a"), size]


@pytest.mark.parametrize("kind", KINDS)
def test_begin_and_end_of_a_text_as_the_checkpoint_says(make, kind):
    roles = {"bos_token": "<b>", "eos_token": "<e>"}
    for begin in (True, False):
        for end in (True, False):
            tokenizer = make(kind, tokenizer_config={**roles, "add_bos_token": begin, "add_eos_token": end})
            plain = tokenizer.encode("hi")
            want = [tokenizer.bos_id] * begin + plain + [tokenizer.eos_id] * end
            assert tokenizer.encode("hi", add_special_tokens=True) == want and tokenizer.bos_id != tokenizer.eos_id


def test_add_bos_false_takes_the_token_out_of_a_template(make, tmp_path):
    make("model").save(tmp_path)  # its template begins with <s>
    (tmp_path / "tokenizer.model").unlink()
    assert Tokenizer.from_pretrained(tmp_path).encode("a", add_special_tokens=True)[0] == 1
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**settings, "add_bos_token": False}), encoding="utf-8")
    assert Tokenizer.from_pretrained(tmp_path).encode("a", add_special_tokens=True)[0] != 1


def test_sentencepiece_defaults_without_any_other_file(make):
    tokenizer = make("model")
    assert (tokenizer.bos_id, tokenizer.eos_id) == (1, 2) and tokenizer.encode("", add_special_tokens=True) == [1]


def test_legacy_says_whether_a_space_stands_behind_special_tokens(make):
    old, new = (make("model", tokenizer_config={"legacy": legacy}).encode("hi</s>hi", allowed_special="all")
                for legacy in (True, False))  # fmt: skip
    place = old.index(2)
    assert old[:place] == old[place + 1 :] and new[:place] == old[:place] and new[place + 1 :] != old[place + 1 :]


def test_opt_phi_and_qwen2_beside_vocabulary_and_merges(make):
    size = make("pair").vocab_size
    phi = make("pair", added_tokens={" " * n: size + 31 - n for n in range(31, 1, -1)})
    assert phi.encode("a" + " " * 33 + "b")[1:3] == [size, size + 29] and phi.decode(phi.encode("x     y")) == "x     y"
    prefixed = make("pair", tokenizer_config={"add_prefix_space": True}, added_tokens={})
    assert prefixed.encode("hi") == prefixed.encode(" hi")
    qwen = make("pair", tokenizer_config={"tokenizer_class": "Qwen2TokenizerFast", "bos_token": None})
    assert qwen.pre_tokenizer.name == "qwen2" and qwen.encode("e\u0301") == qwen.encode("é") and qwen.bos_id is None
    with pytest.raises(ValueError, match="tokenizer_class 'RobertaTokenizer' is not supported"):
        make("pair", tokenizer_config={"tokenizer_class": "RobertaTokenizer"})


def test_roles_move_to_tokens_of_the_vocabulary(make, tmp_path):
    tokens = {"</s>": "bos_token", "<pad>": "pad_token"}
    vocabulary = json.loads((FIXTURES / "gpt2_pair" / "vocab.json").read_text(encoding="utf-8"))
    shutil.copy(FIXTURES / "gpt2_pair" / "merges.txt", tmp_path)
    new = {**vocabulary, **{token: len(vocabulary) + n for n, token in enumerate(tokens)}}
    (tmp_path / "vocab.json").write_text(json.dumps(new), encoding="utf-8")
    roles = {"eos_token": "</s>", "unk_token": "</s>", **{role: token for token, role in tokens.items()}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(roles), encoding="utf-8")
    tokenizer = Tokenizer.from_pretrained(tmp_path)
    assert list(tokenizer.special_tokens) == ["</s>", "<pad>"]  # GPT-2's own has no role left
    assert tokenizer.bos_id == tokenizer.eos_id == new["</s>"] and tokenizer.vocab_size == len(new)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"added_tokens": {"<x>": 5}}, r"added_tokens.json gives '<x>' the id 5, which is"),
        ({"added_tokens": {"<s>": 9}}, r"added_tokens.json gives '<s>' the id 9, but it has 1 already"),
        ({"added_tokens": {"<x>": -1}}, "added_tokens.json: token '<x>' has the impossible id -1"),
        ({"tokenizer_config": {"eos_token": 5}}, "tokenizer_config.json: eos_token must be a token"),
        ({"tokenizer_config": {"add_bos_token": "yes"}}, "add_bos_token must be true or false, got 'yes'"),
        ({"special_tokens_map": {"additional_special_tokens": "x"}}, "special_tokens_map.json: additional_special"),
        ({"tokenizer_config": {"added_tokens_decoder": {"x": {}}}}, "added_tokens_decoder has the impossible id 'x'"),
    ],
)
def test_contradictions_are_refused_by_name(make, files, message):
    with pytest.raises(ValueError, match=message):
        make("model", **files)


def test_a_placeholder_piece_may_be_renamed():
    from llm_from_scratch.tokenizers.formats import assemble
    from llm_from_scratch.tokenizers.formats.surroundings import Surroundings, surround

    pieces = [Piece("<unk>", 0.0, Kind.UNKNOWN), Piece("<spare>", 0.0, Kind.CONTROL), Piece("▁"), Piece("a")]
    around = Surroundings(Path("nowhere"))
    from llm_from_scratch.tokenizers.formats.surroundings import Wish

    around.tokens.append(Wish("<|im_end|>", 1, True, None, "here"))
    vocabulary = {piece.text: number for number, piece in enumerate(pieces)}
    made = surround({"kind": "sentencepiece", "pieces": pieces, "vocabulary": vocabulary, "byte_fallback": False,
                     "begin_end": (False, False)}, around)  # fmt: skip
    tokenizer = Tokenizer.of(assemble(made))
    assert tokenizer.encode("<|im_end|>", allowed_special="all") == [1] and tokenizer.id_to_token(1) == "<|im_end|>"


def test_a_user_defined_token_is_a_border_unless_it_is_inline():
    pieces = [
        Piece("<unk>", 0.0, Kind.UNKNOWN),
        Piece("▁"),
        Piece("h"),
        Piece("▁h", 1.0),
        Piece("<x>", 0.0, Kind.USER_DEFINED),
    ]
    border = SentencePieceTokenizer(pieces, byte_fallback=False, inline=())
    inline = SentencePieceTokenizer(pieces, byte_fallback=False)
    assert border.encode("<x>h") == [4, 3] and inline.encode("<x>h") == [1, 4, 2]
    assert border.decode([4, 3]) == inline.decode([1, 4, 2]) == "<x>h"


def test_tens_of_thousands_of_added_tokens(tmp_path):
    """Bounded work: what is looked at once for each pair of them never ends."""
    Tokenizer.train("hello " * 20, 260).save(tmp_path)
    extra = [f"<mask_{number}>" for number in range(30_000)]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"additional_special_tokens": extra}), encoding="utf-8")
    tokenizer = Tokenizer.from_pretrained(tmp_path)
    tokenizer.save(tmp_path / "again")
    again = Tokenizer.from_pretrained(tmp_path / "again")
    assert again.special_tokens == tokenizer.special_tokens and len(again.special_tokens) == 30_000
