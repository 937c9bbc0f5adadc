"""tokenizer.json in all its ways, against the library tokenizers, frozen by make_pipeline_fixtures.py."""

from __future__ import annotations

import copy
import json
import pickle
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_from_scratch.tokenizers import AddedToken, AddedTokens, PipelineTokenizer, Tokenizer, streams
from llm_from_scratch.tokenizers.normalizers import Normalizer

FIXTURES = Path(__file__).parent / "fixtures"
FROZEN = json.loads((FIXTURES / "pipelines.json").read_text(encoding="utf-8"))
NAMES = list(FROZEN["cases"])


def document(case: dict[str, Any]) -> dict[str, Any]:
    """As `document` in make_pipeline_fixtures.py."""
    content = copy.deepcopy(FROZEN["bases"][case["model"]])
    for name in ("normalizer", "pre_tokenizer", "decoder"):
        content[name] = case.get(name)
    model = content["model"]
    if case.get("flag"):
        model[case["flag"]] = True
    if case.get("flag") == "byte_fallback":
        for byte in range(256):
            name = f"<0x{byte:02X}>"
            if isinstance(model["vocab"], dict):
                model["vocab"][name] = len(model["vocab"])
            else:
                model["vocab"].append([name, -30.0])
    texts = (
        model["vocab"] if isinstance(model["vocab"], dict) else {text: n for n, (text, _) in enumerate(model["vocab"])}
    )
    new = len(texts)
    for entry in FROZEN["added"][case["added"]]:
        number = texts.get(entry["content"], new)
        new += number == new
        content["added_tokens"].append({"id": number, **entry})
    return content


def write(directory: Path, content: dict[str, Any]) -> Tokenizer:
    directory.mkdir(exist_ok=True)
    (directory / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    return Tokenizer.from_pretrained(directory)


def ids_or_missing(tokenizer: Tokenizer, text: str, **settings: Any) -> list[int] | None:
    try:
        return tokenizer.encode(text, **settings)
    except ValueError as error:  # what the library drops without a word
        assert "for which this vocabulary has" in str(error)
        return None


@pytest.mark.parametrize("name", NAMES)
def test_ids_and_texts_are_those_of_tokenizers(tmp_path, name):
    case = FROZEN["cases"][name]
    tokenizer = write(tmp_path, document(case))
    tokenizer.save(tmp_path / "again")
    again = Tokenizer.from_pretrained(tmp_path / "again")
    assert type(again) is type(tokenizer) and again.roles == tokenizer.roles
    assert again.added_tokens.by_id == tokenizer.added_tokens.by_id
    # Here a normalised token keeps its name when it is decoded; the library shows what it looks for.
    renamed = {token.id for token in tokenizer.added_tokens.by_id.values() if token.normalized}
    met = 0
    for text, ids, decoded in zip(case["texts"], case["ids"], case["decoded"], strict=True):
        for reader in (tokenizer, again, pickle.loads(pickle.dumps(tokenizer)), copy.deepcopy(tokenizer)):
            got = ids_or_missing(reader, text, allowed_special="all")
            if got is None:
                continue
            met += 1
            assert got == ids, text
            if isinstance(tokenizer, PipelineTokenizer) and not renamed & set(ids):
                assert reader.decode(ids) == decoded, text
            stream = reader.stream_decoder()
            assert "".join(stream.push(number) for number in ids) + stream.flush() == reader.decode(ids)
    assert met >= 4 * 6


def test_streams_give_the_ids_of_the_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "SMALL", 4)
    chosen = [name for name in NAMES if FROZEN["cases"][name]["model"] == "byte" or "added" in name]
    made = [write(tmp_path / str(n), document(FROZEN["cases"][name])) for n, name in enumerate(chosen)]
    pieces = st.lists(
        st.sampled_from(["low", " ", "  ", "<|x|>", "e\u0301", "é", "caf", "the ", "LOW", "\n", "<s>", "ß"])
    )

    @given(pieces, st.sampled_from(made))
    def check(chunks, tokenizer):
        whole = ids_or_missing(tokenizer, "".join(chunks), allowed_special="all")
        if whole is not None:
            assert list(tokenizer.encode_iter(chunks, allowed_special="all")) == whole

    check()


@pytest.mark.parametrize("name", ["bpe added plain", "unigram added plain", "byte Lowercase plain"])
def test_plain_text_never_becomes_a_special_token(tmp_path, name):
    content = document(FROZEN["cases"][name])
    model = content["model"]
    number = len(model["vocab"])
    content["added_tokens"] = [t for t in content["added_tokens"] if t["content"] != "low"]
    if isinstance(model["vocab"], dict):
        model["vocab"].setdefault("lo", number)
        model["vocab"].setdefault("low", len(model["vocab"]))
        model["merges"] = [["l", "o"], ["lo", "w"], *(m for m in model["merges"] if m not in (["l", "o"], ["lo", "w"]))]
        number = model["vocab"]["low"]
    else:
        model["vocab"].append(["low", 0.0])
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    content["added_tokens"] = [t for t in content["added_tokens"] if t["id"] < 3]
    content["added_tokens"].append({"id": number, "content": "low", **flags})
    tokenizer = write(tmp_path, content)
    assert number in tokenizer.encode("slow", allowed_special="all")
    assert number not in tokenizer.encode("slow low")


# --- Post-processors -----------------------------------------------------------------------------------------

A, S = {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "<s>", "type_id": 0}}
B = {"Sequence": {"id": "B", "type_id": 0}}


def template(*single: Any, ids: Any = (1,)) -> dict[str, Any]:
    listed = {"<s>": {"id": "<s>", "ids": list(ids), "tokens": ["<s>"] * len(ids)}}
    return {"type": "TemplateProcessing", "single": list(single), "pair": [A, B], "special_tokens": listed}


@pytest.mark.parametrize(
    ("described", "around"),
    [
        (template(S, A), ([1], [])),
        (template(S, S, A, S, ids=(1, 2)), ([1, 2, 1, 2], [1, 2])),
        ({"type": "Sequence", "processors": [{"type": "ByteLevel"}, template(A, S, ids=(2,))]}, ([], [2])),
        (None, ([], [])),
    ],
)
def test_templates_put_their_ids_around_a_text(tmp_path, described, around):
    content = {**document(FROZEN["cases"]["byte NFC plain"]), "post_processor": described}
    tokenizer = write(tmp_path, content)
    tokenizer.save(tmp_path / "again")
    for reader in (tokenizer, Tokenizer.from_pretrained(tmp_path / "again")):
        assert reader.encode("low", add_special_tokens=True) == [*around[0], *reader.encode("low"), *around[1]]


@pytest.mark.parametrize(
    ("described", "message"),
    [
        (template(B), "{'Sequence': {'id': 'B', 'type_id': 0}} is not supported for a single text"),
        (template(S), "holds the text 0 times"),
        (template(A, S, A), "holds the text 2 times"),
        (template(S, A, ids=(9999,)), "adds the id 9999, for which this vocabulary has no token"),
        ({**template(S, A), "special_tokens": {}}, "for which its special_tokens list no ids"),
        ({"type": "Sequence", "processors": [template(S, A), template(S, A)]}, "several templates"),
        ({"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0]}, "'RobertaProcessing' is not supported"),
        ("x", "post_processor 'x' is not supported"),
    ],
)
def test_other_templates_are_refused_by_name(tmp_path, described, message):
    with pytest.raises(ValueError) as caught:
        write(tmp_path, {**document(FROZEN["cases"]["byte NFC plain"]), "post_processor": described})
    assert message in str(caught.value)


# --- Added tokens --------------------------------------------------------------------------------------------


def test_a_place_may_be_refused_to_a_special_token():
    added = AddedTokens([AddedToken("<e>", 0), AddedToken("<", 1, special=False)])
    chosen = added.choose("all")
    assert added.segments("<e>a<e>", chosen) == [("<e>", 0), ("a", -1), ("<e>", 0)]
    asked = []
    found = added.segments("<e>a<e>", chosen, lambda start, end: asked.append((start, end)) or start == 0)
    assert asked == [(0, 3), (4, 7)]  # "<" is no special token: it is found in any plain text
    assert found == [("<e>", 0), ("a", -1), ("<", 1), ("e>", -1)]


@pytest.mark.parametrize(
    "described, text, special, count",
    [
        ({"type": "Prepend", "prepend": "▁"}, "<e>hi<e>", "<e>", 1),
        ({"type": "Replace", "pattern": {"String": " "}, "content": "▁▁"}, "h i<e> h i<e>", "<e>", 1),
        ({"type": "NFC"}, "cafe\u0301<e>e\u0301<e>", "<e>", 1),
        ({"type": "Lowercase"}, "A<E>İ<E>", "<E>", 1),
        ({"type": "Strip"}, "  a<e>a<e>", "<e>", 1),
        ({"type": "StripAccents"}, "a\u0301<e>a<e>", "<e>", 1),
    ],
)
def test_a_normalized_token_is_judged_by_what_it_was_made_of(described, text, special, count):
    """A template's own token beside a message that spells the same: only the first is allowed here."""
    added = AddedTokens([AddedToken(special, 0, normalized=True)], Normalizer(described))
    first = text.index(special)
    found = added.segments(text, added.choose("all"), lambda start, end: (start, end) == (first, first + len(special)))
    assert sum(number == 0 for _, number in found) == count
    assert "".join(part for part, _ in found) == Normalizer(described)(text)


def test_what_is_aligned_is_what_is_normalised():
    rng = random.Random(0)
    letters = "aE <>é\u0301İΣﬁＡ가ㄱ\u1100\u1161\u11a8▁\u200d👨"
    steps = [{"type": kind} for kind in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Strip", "StripAccents")]
    steps += [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"Regex": "a|  +"}, "content": "bb"}]
    for _ in range(2000):
        normalizer = Normalizer({"type": "Sequence", "normalizers": rng.sample(steps, rng.randint(1, 4))})
        text = "".join(rng.choice(letters) for _ in range(rng.randint(0, 12)))
        made, spans = normalizer.aligned(text, 5)
        assert made == normalizer(text) and len(spans) == len(made)
        assert all(5 <= start <= end <= 5 + len(text) for start, end in spans)


def test_saving_survives_added_tokens_that_merges_use(tmp_path):
    trained = Tokenizer.train("low lower lowest slow " * 9, 270)
    low = trained.token_to_id("low")
    vocabulary = dict.fromkeys(trained.vocabulary)
    tokens = {trained.token_to_id(token): token for token in vocabulary}
    for special in (True, False):
        made = Tokenizer(tokens, trained.merges, [AddedToken("low", low, special), AddedToken("<x>", 300)])
        made.save(tmp_path)
        again = Tokenizer.from_pretrained(tmp_path)
        assert again.added_tokens.by_id == made.added_tokens.by_id and again.vocab_size == made.vocab_size == 301
        for text in ("slow lower", "low"):
            for allowed in ((), "all"):
                ids = made.encode(text, allowed_special=allowed)
                assert again.encode(text, allowed_special=allowed) == ids and again.decode(ids) == text
                assert (low in ids) == (not special or allowed == "all")


def test_a_single_byte_stays_ordinary_whatever_role_it_has(tmp_path):
    Tokenizer.train("low lower " * 9, 262).save(tmp_path)
    (tmp_path / "special_tokens_map.json").write_text('{"pad_token": "!"}', encoding="utf-8")
    tokenizer = Tokenizer.from_pretrained(tmp_path)
    assert tokenizer.pad_id == tokenizer.token_to_id("!") and tokenizer.decode(tokenizer.encode("low!")) == "low!"


@pytest.mark.parametrize("name", ["llama", "default", "user", "across"])
def test_sentencepiece_tokenizers_are_pickled(name):
    tokenizer = Tokenizer.from_pretrained(FIXTURES / "sentencepiece" / f"{name}.model")
    assert pickle.loads(pickle.dumps(tokenizer)).encode("low é  x") == tokenizer.encode("low é  x")


@pytest.mark.parametrize("pattern", ["gpt2", "qwen2", r"\w+"])
def test_byte_level_tokenizers_are_pickled(pattern):
    tokenizer = Tokenizer.train("low lower lowest " * 9, 270, pattern=pattern, special_tokens=["<x>"])
    for made in (pickle.loads(pickle.dumps(tokenizer)), copy.deepcopy(tokenizer)):
        assert made.encode("slow<x>", allowed_special="all") == tokenizer.encode("slow<x>", allowed_special="all")
        assert np.array_equal(made.merges, tokenizer.merges)


def test_the_unknown_text_of_both_kinds_of_model(tmp_path):
    shutil.copy(FIXTURES / "sentencepiece" / "default.model", tmp_path / "tokenizer.model")
    tokenizer = Tokenizer.from_pretrained(tmp_path)
    tokenizer.save(tmp_path / "saved")
    again = Tokenizer.from_pretrained(tmp_path / "saved")
    for text in ("a 漢 b", "漢漢 b", "漢 漢"):
        assert again.encode(text) == tokenizer.encode(text), text
