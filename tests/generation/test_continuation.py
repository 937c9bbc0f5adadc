from __future__ import annotations

import io
import json

import numpy as np
import pytest

from llm_from_scratch.generation import (
    StopStrings,
    TextStream,
    continue_rows,
    generate,
    generate_text,
    print_stream,
)
from llm_from_scratch.tokenizers import Tokenizer

from .conftest import ByteTokenizer, PieceTokenizer, Scripted, Stepping


def test_every_new_token_is_fed_once_and_the_prompt_once():
    model = Stepping()
    out = generate(model, [[1, 2, 3]], max_new_tokens=4)
    assert out.shape == (1, 7) and out.dtype == np.int64 and out[0, :3].tolist() == [1, 2, 3]
    assert model.calls == [(1, 3), (1, 1), (1, 1), (1, 1)]  # the last token is never fed back
    assert generate(Stepping(), [[1, 2]], max_new_tokens=0).tolist() == [[1, 2]]


@pytest.mark.parametrize(
    "settings", [{"temperature": 0.0}, {"temperature": 0.9, "top_k": 20, "repetition_penalty": 1.2}]
)
def test_a_row_of_a_batch_equals_the_prompt_alone(settings):
    prompts = [[5, 6, 7, 8, 9], [3], [11, 12, 13]]
    width = max(map(len, prompts))
    ids = np.array([[0] * (width - len(p)) + p for p in prompts])
    mask = np.array([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    stops = [17, 4, 30]
    together = generate(Stepping(), ids, mask=mask, max_new_tokens=30, seed=100, stop_tokens=stops, **settings)
    lengths = set()
    for row, prompt in enumerate(prompts):
        alone = generate(Stepping(), [prompt], max_new_tokens=30, seed=100 + row, stop_tokens=stops, **settings)
        new = alone[0, len(prompt) :].tolist()
        lengths.add(len(new))
        rest = together[row, width:].tolist()
        assert rest[: len(new)] == new and set(rest[len(new) :]) <= {17}  # padded with the first stop token
    assert len(lengths) > 1 or "top_k" not in settings  # the rows did end at different places


def test_stop_tokens_end_a_row_and_are_part_of_it():
    out = generate(Scripted(5, 6, 9, 7), [[1]], max_new_tokens=10, stop_tokens=9)
    assert out.tolist() == [[1, 5, 6, 9]]


def test_stop_strings_across_tokens_leave_nothing_behind():
    tokenizer = PieceTokenizer("Once", " more", ".", " The", " E", "nd", " and", ". T")
    shown = []
    settings = {"max_new_tokens": 10, "stop_strings": ["The End"], "tokenizer": tokenizer}
    out = generate(Scripted(1, 3, 4, 5, 6, vocabulary=8), [[0]], stream=shown.append, **settings)
    assert "".join(shown) == " more "  # the blank before "The" is no part of the stop string …
    assert out.tolist() == [[0, 1]]  # … but its token is
    assert generate_text(Scripted(1, 3, 4, 5, 6, vocabulary=8), tokenizer, "Once", max_new_tokens=9,
                         stop_strings=["The End"]) == " more "  # fmt: skip
    almost = []
    generate(Scripted(1, 3, 4, 6, vocabulary=8), [[0]], stream=almost.append, **{**settings, "max_new_tokens": 4})
    assert "".join(almost) == " more The E and" and almost[0] == " more"  # held back only while it could still be one


def test_never_half_a_character():
    text = "né 🦊 漢字!"
    tokens = list(text.encode("utf-8"))
    shown = []
    settings = {"tokenizer": ByteTokenizer(), "stream": shown.append, "stop_tokens": [256]}
    generate(Scripted(*tokens, 256), [[65]], max_new_tokens=100, **settings)
    assert "".join(shown) == text and all("\ufffd" not in piece for piece in shown)
    assert len(shown) == len(text)
    shown.clear()
    generate(Scripted(*tokens), [[65]], max_new_tokens=5, **settings)  # cut in the middle of the fox
    assert "".join(shown) == "né \ufffd"


def test_bytes_that_are_no_text_come_through_as_replacement_characters():
    data = b"a\xff\xfe\xfd\xfc\xfb\xc3\xa9\xe6\xbc"
    stream = TextStream(ByteTokenizer())
    pieces = [stream.push(byte) for byte in data] + [stream.finish()]
    assert "".join(pieces) == data.decode("utf-8", errors="replace")


@pytest.mark.parametrize("seed", range(20))
def test_streams_do_not_depend_on_how_the_text_is_cut(seed):
    rng = np.random.default_rng(seed)
    text = "".join(rng.choice(list("abc"), size=60))
    strings = ["".join(rng.choice(list("abc"), size=rng.integers(2, 6))) for _ in range(3)]
    ends = [(text.find(s) + len(s), text.find(s)) for s in strings if s in text]
    # of all places where a stop string is complete the first; there, the longest string
    expected = text if not ends else text[: min((end, start) for end, start in ends)[1]]
    for _ in range(5):
        stop, out, position = StopStrings(strings), "", 0
        while position < len(text):
            size = int(rng.integers(1, 9))
            out += stop.push(text[position : position + size])
            position += size
        assert out + stop.finish() == expected == stop.text
        assert stop.stopped == bool(ends)


def test_text_is_held_back_no_longer_than_needed():
    stop = StopStrings(["User:"])
    assert stop.push("Hello Us") == "Hello " and stop.push("a") == "Usa" and stop.push("\nUser") == "\n"
    assert stop.finish() == "User"


def test_printing_survives_a_terminal_without_the_character():
    raw = io.BytesIO()
    write = print_stream(io.TextIOWrapper(raw, encoding="ascii"))
    write("fox 🦊")
    assert raw.getvalue() == b"fox ?"


def test_streaming_tokens_without_a_tokenizer():
    shown = []
    generate(Scripted(5, 6, 9), [[1]], max_new_tokens=5, stop_tokens=[9], stream=shown.append)
    assert shown == [5, 6]


def test_an_empty_text_is_an_error():
    with pytest.raises(ValueError, match="empty"):
        generate_text(Stepping(), ByteTokenizer(), "", max_new_tokens=3)


def test_a_setting_that_there_is_not_is_named():
    with pytest.raises(TypeError, match="generation has no setting 'beams'"):
        generate(Stepping(), [[1, 2]], max_new_tokens=3, beams=2)


@pytest.mark.parametrize("kind", ["byte-level", "sentencepiece"])
def test_rows_that_a_model_has_to_spare_spell_nothing(kind):
    """Many published models have more rows than their tokenizer has tokens, so that a matrix is of a round size."""
    tokenizer = Tokenizer.train("the red fox saw the red kite in the forest", 280, kind=kind)
    spare, (first, *rest) = len(tokenizer), tokenizer.encode("the red kite")
    said, settings = [first, spare, *rest, spare + 7], {"temperature": 0.0, "stop_tokens": (), "tokenizer": tokenizer}
    start = tokenizer.encode("x")
    plain = continue_rows(Scripted(first, *rest), [start], max_new_tokens=1 + len(rest), **settings)[0].text
    for prompt in (start, [*start, spare + 1]):
        shown: list[str] = []
        (row,) = continue_rows(Scripted(*said), [prompt], stream=shown.append, max_new_tokens=len(said), **settings)
        assert row.new == row.kept == said and row.text == "".join(shown) == plain and "red kite" in plain
        (row,) = continue_rows(Scripted(*said), [prompt], stop_strings=["kite"], max_new_tokens=len(said), **settings)
        assert row.text == plain[: plain.index("kite")] and row.kept == said[: len(row.kept)]


def test_gaps_of_a_vocabulary_spell_nothing(tmp_path):
    Tokenizer.train("the red kite", 264, special_tokens=["<end>"]).save_pretrained(tmp_path)
    path = tmp_path / "tokenizer.json"
    parts = json.loads(path.read_text(encoding="utf-8"))
    parts["added_tokens"].append({**parts["added_tokens"][0], "id": 300, "content": "<later>"})
    path.write_text(json.dumps(parts), encoding="utf-8")
    tokenizer = Tokenizer.from_pretrained(tmp_path)
    said = [*tokenizer.encode("red"), 280, *tokenizer.encode(" kite")]
    settings = {"max_new_tokens": len(said), "temperature": 0.0, "stop_tokens": ()}
    assert len(tokenizer) == 301 and generate_text(Scripted(*said), tokenizer, "x", **settings) == "red kite"
