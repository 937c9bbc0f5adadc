"""Dialogues from files as people have them: every shape by its content, and what is wrong named with its line."""
# ruff: noqa: E501

import gzip
import json

import pytest

import llm_from_scratch as lfs

read, write = lfs.data.read_dialogues, lfs.data.write_dialogues


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def system(text):
    return {"role": "system", "content": text}


ROWS = {
    "alpaca": (
        {"instruction": "Add.", "input": "", "output": "3", "text": "Below is an instruction"},
        [user("Add."), assistant("3")],
    ),
    "alpaca with an input": (
        {"instruction": "Add.", "input": "1, 2", "output": "3"},
        [user("Add.\n\n1, 2"), assistant("3")],
    ),
    "alpaca without one": ({"instruction": "Add.", "input": None, "output": "3"}, [user("Add."), assistant("3")]),
    "self-instruct's word for none": (
        {"instruction": "Add.", "input": "<noinput>", "output": "3"},
        [user("Add."), assistant("3")],
    ),
    "alpaca with everything in the input": (
        {"instruction": "", "input": "1 + 2", "output": "3"},
        [user("1 + 2"), assistant("3")],
    ),
    "alpaca with a history": (
        {"instruction": "c", "input": "", "output": "d", "system": "S", "history": [["a", "b"]]},
        [system("S"), user("a"), assistant("b"), user("c"), assistant("d")],
    ),
    "sharegpt": (
        {
            "id": "x_0",
            "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello", "markdown": None}],
        },
        [user("Hi"), assistant("Hello")],
    ),
    "sharegpt that begins with the answer": (
        {
            "conversations": [
                {"from": "gpt", "value": "cut"},
                {"from": "human", "value": "Hi"},
                {"from": "chatgpt", "value": "Hello"},
            ]
        },
        [user("Hi"), assistant("Hello")],
    ),
    "sharegpt's items": (
        {"id": "x", "items": [{"from": "user", "value": "Hi"}, {"from": "bing", "value": "Hello"}]},
        [user("Hi"), assistant("Hello")],
    ),
    "sharegpt with a system turn and weights": (
        {
            "conversations": [
                {"from": "system", "value": "S", "weight": 0},
                {"from": "human", "value": "Hi", "weight": 0},
                {"from": "gpt", "value": "Hello", "weight": 1},
            ],
            "system_prompt": None,
        },
        [system("S"), user("Hi"), assistant("Hello")],
    ),
    "openhermes' prompt beside": (
        {
            "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}],
            "system_prompt": "S",
            "custom_instruction": False,
        },
        [system("S"), user("Hi"), assistant("Hello")],
    ),
    "messages": (
        {"messages": [user("Hi"), assistant("Hello")], "prompt": "Hi", "prompt_id": "1"},
        [user("Hi"), assistant("Hello")],
    ),
    "messages with an empty system": (
        {"messages": [system(""), user("Hi"), assistant("Hello")]},
        [user("Hi"), assistant("Hello")],
    ),
    "messages with nulls": (
        {"messages": [system(None), {**user("Hi"), "name": None}, {**assistant("Hello"), "tool_calls": None}]},
        [user("Hi"), assistant("Hello")],
    ),
    "sharegpt with a tool": (
        {
            "conversations": [
                {"from": "human", "value": "Hi"},
                {"from": "function_call", "value": "f()"},
                {"from": "observation", "value": "1"},
                {"from": "gpt", "value": "Hello"},
            ],
            "tools": "[]",
        },
        [user("Hi"), assistant("f()"), {"role": "tool", "content": "1"}, assistant("Hello")],
    ),
    "messages with more beside them": (
        {"messages": [{**user("Hi"), "input": "x", "output": "y"}, {**assistant("Hello"), "weight": 0.5}]},
        [user("Hi"), assistant("Hello")],
    ),
    "a call in the old way": (
        {
            "messages": [
                user("Hi"),
                {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
                {"role": "function", "name": "f", "content": "1"},
                {**assistant("Hello"), "function_call": None},
            ]
        },
        [
            user("Hi"),
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "tool", "content": "1", "name": "f"},
            assistant("Hello"),
        ],
    ),
    "sharegpt with a system prompt beside it": (
        {
            "system": ["Be ", "kind."],
            "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}],
        },
        [system("Be kind."), user("Hi"), assistant("Hello")],
    ),
    "a system prompt that is there twice": (
        {"system_prompt": "Be kind.\n", "messages": [system("Be kind."), user("Hi"), assistant("Hello")]},
        [system("Be kind."), user("Hi"), assistant("Hello")],
    ),
    "bare messages": ([user("Hi"), assistant("Hello")], [user("Hi"), assistant("Hello")]),
    "lmsys": (
        {
            "conversation_id": "1",
            "model": "m",
            "conversation": [{"content": "Hi", "role": "user"}, {"content": "Hello", "role": "assistant"}],
            "turn": 1,
            "language": "English",
            "redacted": False,
        },
        [user("Hi"), assistant("Hello")],
    ),
    "capybara": (
        {"source": "s", "conversation": [{"input": "a", "output": "b"}, {"input": "c", "output": "d"}]},
        [user("a"), assistant("b"), user("c"), assistant("d")],
    ),
    "ultrachat": ({"id": "1", "data": ["a", "b", "c", "d"]}, [user("a"), assistant("b"), user("c"), assistant("d")]),
    "messages as JSON in a text": (
        {"messages": json.dumps([user("Hi"), assistant("Hello")])},
        [user("Hi"), assistant("Hello")],
    ),
    "parts of text": (
        {"messages": [user([{"type": "text", "text": "Hi"}]), assistant("Hello")]},
        [user("Hi"), assistant("Hello")],
    ),
    "tools": (
        {
            "messages": [
                user("Hi"),
                {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
                {"role": "tool", "content": "", "tool_call_id": "1"},
                assistant("Done"),
            ]
        },
        [
            user("Hi"),
            {"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]},
            {"role": "tool", "content": "", "tool_call_id": "1"},
            assistant("Done"),
        ],
    ),
    "dolly": (
        {"instruction": "Who?", "context": "Ann.", "response": "Ann", "category": "qa"},
        [user("Who?\n\nAnn."), assistant("Ann")],
    ),
    "openorca": ({"id": "flan.1", "system_prompt": "", "question": "Q", "response": "A"}, [user("Q"), assistant("A")]),
    "openorca with a system prompt": (
        {"id": "flan.1", "system_prompt": "S", "question": "Q", "response": "A"},
        [system("S"), user("Q"), assistant("A")],
    ),
    "oig": (
        {"text": "<human>: Hi\n<bot>: Hello\n\n<human>: And?\n<bot>: Bye", "metadata": {"source": "x"}},
        [user("Hi"), assistant("Hello"), user("And?"), assistant("Bye")],
    ),
    "oig with a background": (
        {"text": "Background: A text.\n<human>: Hi\n<bot>: Hello"},
        [system("Background: A text."), user("Hi"), assistant("Hello")],
    ),
    "guanaco of QLoRA": (  # as published: the marks stand where the text before them ends
        {"text": "### Human: Hi. 1 #### Human: 2### Assistant: Hello### Human: And?\n### Assistant: Bye"},
        [user("Hi. 1 #### Human: 2"), assistant("Hello"), user("And?"), assistant("Bye")],
    ),
    "camel": (
        {"role_1": "Physicist_RoleType.ASSISTANT", "topic;": "t", "sub_topic": "s", "message_1": "Q", "message_2": "A"},
        [user("Q"), assistant("A")],
    ),
    "camel's society": (
        {
            "id": "1",
            "message_1": {"role_type": "RoleType.USER", "role": "user", "content": "Q"},
            "message_2": {"role_type": "RoleType.ASSISTANT", "content": "A"},
            "message_3": None,
        },
        [user("Q"), assistant("A")],
    ),
    "metamath": ({"query": "Q", "original_question": "O", "response": "A", "type": "T"}, [user("Q"), assistant("A")]),
    "prompt and completion": ({"prompt": "Q", "completion": "A"}, [user("Q"), assistant("A")]),
    "what is written here": ({"prompt": [user("Q")], "response": "A", "helpfulness": 3}, [user("Q"), assistant("A")]),
}


@pytest.mark.parametrize("name", ROWS)
def test_every_shape_is_known_by_its_content(tmp_path, name):
    row, expected = ROWS[name]
    file = tmp_path / "anything.txt"
    file.write_text(json.dumps(row), encoding="utf-8")
    assert read(file) == [expected]
    file.write_text(json.dumps(row) + "\n\n" + json.dumps(row) + "\r\n", encoding="utf-8")  # lines
    assert read(file) == [expected, expected]
    file.write_text(json.dumps([row, row], indent=1), encoding="utf-8")  # a list
    assert read(file) == [expected, expected]
    file.write_text(json.dumps({"version": 1, "rows": [row]}), encoding="utf-8")  # an object around it
    assert read(file) == [expected]


def test_one_file_may_mix_shapes(tmp_path):
    file = tmp_path / "mixed.jsonl"
    file.write_text("\n".join(json.dumps(row) for row, _ in ROWS.values()), encoding="utf-8")
    assert read(file) == [expected for _, expected in ROWS.values()]


def test_byte_order_marks_line_ends_and_gzip(tmp_path):
    row, expected = ROWS["alpaca"]
    line = json.dumps(row).encode()
    for data in (
        b"\xef\xbb\xbf" + line,
        b"\xef\xbb\xbf" + line + b"\r\n" + line + b"\r\n",
        gzip.compress(line + b"\n" + line),
        b"\n\n" + line + b"\n \n",
    ):
        (tmp_path / "x").write_bytes(data)
        assert set(map(str, read(tmp_path / "x"))) == {str(expected)}


def test_a_line_separator_inside_a_text_is_no_line(tmp_path):
    row = {"prompt": "a\u2028b\x85c", "completion": "d"}
    (tmp_path / "x").write_text("\n".join([json.dumps(row, ensure_ascii=False)] * 2), encoding="utf-8")
    assert read(tmp_path / "x")[1][0]["content"] == "a\u2028b\x85c"


GOOD = json.dumps({"prompt": "Q", "completion": "A"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD + "\n" + '{"instruction": "x", "output": ""}', "line 2: what the assistant says is empty"),
        (GOOD + "\n\n" + '{"instruction": "x", "output": null}', "line 3: what the assistant says must be a text, got None"),
        (GOOD + "\n" + '{"instruction": "x", "output": 5}', "line 2: what the assistant says must be a text, got 5"),
        (GOOD + "\n" + '{"title": "x", "body": "y"}', r"line 2: a row with the keys \['body', 'title'\] is no dialogue of a known shape. Known: .*Alpaca \(instruction, output"),
        (GOOD + "\n" + '{"prompt": "x", "chosen": "y", "rejected": "z"}', "line 2: .*read_preferences takes such rows"),
        (GOOD + "\n3", "line 2: a row with a int is no dialogue"),
        (GOOD + "\n" + '{"conversations": [{"from": "human", "value": "x"}, {"from": "alien", "value": "y"}]}', "line 2: turn 2: the role 'alien' is unknown: expected one of system"),
        (GOOD + "\n" + '{"messages": [{"role": "user", "content": "x"}]}', "line 2: the assistant never answers"),
        (GOOD + "\n" + '{"conversations": [{"from": "gpt", "value": "x"}]}', "line 2: the assistant never answers"),
        (GOOD + "\n" + '{"conversations": []}', "line 2: 'conversations' is an empty list"),
        (GOOD + "\n" + '{"messages": [{"role": null, "content": "x"}, {"role": "assistant", "content": "y"}]}', "line 2: turn 1: the role None is unknown"),
        (GOOD + "\n" + '{"messages": [{"role": "user", "content": [{"type": "image"}]}]}', "line 2: turn 1: what the user says holds something that is no text"),
        (GOOD + "\n" + '{"conversations": [{}, {"from": "gpt", "value": "x"}]}', "line 2: turn 1: the role None is unknown"),
        (GOOD + "\n" + '{"conversations": [{"from": "human", "value": "x"}, {"value": "y"}]}', "line 2: turn 2: the role None is unknown"),
        (GOOD + "\n" + '{"conversations": [{"from": "human", "value": "x"}, null]}', "line 2: turn 2: expected an object with a role and a text, got None"),
        (GOOD + "\n" + '{"conversations": ["x", {"from": "gpt", "value": "y"}]}', "line 2: turn 1: expected an object with a role and a text, got 'x'"),
        (GOOD + "\n" + '{"conversations": [{"a": "x"}, {"b": "y"}]}', r"line 2: a row with the keys .'conversations'. is no dialogue of a known shape\. Known"),
        (GOOD + "\n" + '{"conversations": [{"from": "human"}, {"from": "gpt", "value": "y"}]}', "line 2: turn 1: what the user says must be a text, got None"),
        (GOOD + "\n" + '{"conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "value": " "}, {"from": "human", "value": "z"}]}', "line 2: turn 2: what the assistant says is empty"),
        (GOOD + "\n" + '{"system": 5, "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}', "line 2: what the system says must be a text, got 5"),
        (GOOD + "\n" + '{"system": "T", "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}', "line 2: there are two system messages: 'T' beside the others, 'S' among them"),
        (GOOD + "\n" + '{"prompt": "Q", "completion": NaN}', "line 2: not JSON .NaN is no number in JSON"),
        (GOOD + "\n" + '{"prompt": "Q", "completion"', "line 2: not JSON, column 29: .*it ends too early, as where a file was cut"),
        (GOOD + "\n" + '{"prompt": "Q", ', "line 2: not JSON, column 1[67]: .*it ends too early"),
        (GOOD + "\n" + '{"prompt": "Q", "completion": "A', "line 2: not JSON, column 31: .*it ends too early"),
        ("[" + GOOD + ",", "not JSON, line 1, column 37: .*it ends too early"),
        (GOOD + "\n" + '{"prompt": "Q", "completion": "\\ud83d"}', "line 2: what the assistant says holds half a character: '.ud83d' at place 0"),
        (GOOD + "\n" + '{"instruction": 5, "input": "x", "output": "A"}', "line 2: what the user says must be a text, got 5"),
        (GOOD + "\n" + '{"messages": [{"role": "user", "content": null}, {"role": "assistant", "content": "y"}]}', "line 2: turn 1: what the user says must be a text, got None"),
        (GOOD + ",\n" + GOOD + ",", "line 1: not JSON, column 35: Extra data: take away the comma at its end"),
        ("[" + GOOD + ",\n" + GOOD + ",\n]", "not JSON, line [23], column [0-9]+: .*take away the comma before the ']'"),
        ("[" + GOOD + ',\n{"prompt": "Q"}]', "item 2: a row with the keys .'prompt'. is no dialogue"),
        ("", "is empty: expected JSON"),
        ("[]", "holds no dialogue: it has 0 rows"),
        ("3", "holds a JSON int: expected a list of rows"),
        ("not json", "not JSON, line 1, column 1: .*nor are its lines JSON one by one"),
        ('{"a": {"b": 1}}', "item 1: a row with the keys .'a'. is no dialogue"),
        (json.dumps({"instruction": "x", "output": "y", "history": ["z"]}), "item 1: 'history' must hold pairs"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_line(tmp_path, content, message):
    file = tmp_path / "rows.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message) as error:
        read(file)
    assert str(file) in str(error.value) and "\n" not in str(error.value)


def test_other_encodings_and_archives_are_named(tmp_path):
    file = tmp_path / "rows"
    for data, message in (
        (GOOD.encode("utf-16"), "is UTF-16, not JSON in UTF-8: convert it with iconv"),
        ('{"prompt": "é"}'.encode("latin-1"), "byte 12 is not UTF-8"),
        (b"PK\x03\x04", "is zip"),
        (gzip.compress(b"x")[:8], "damaged gzip"),
        (gzip.compress(GOOD.encode())[:20] + b"x" * 30, "damaged gzip"),
        (b"PAR1xxxx", "Parquet"),
    ):
        file.write_bytes(data)
        with pytest.raises((ValueError, ImportError), match=message):
            read(file)
    with pytest.raises(ValueError, match="is a directory"):
        read(tmp_path)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "nothing")


def test_wrong_rows_can_be_left_out(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text(GOOD + '\n{"prompt": "x", "completion": ""}\n' + GOOD, encoding="utf-8")
    assert len(read(file, bad_rows="skip")) == 2
    file.write_text(GOOD + '\n{"title": "x"}', encoding="utf-8")  # but not what nobody knows
    with pytest.raises(ValueError, match="line 2"):
        read(file, bad_rows="skip")
    file.write_text('{"prompt": "x", "completion": ""}', encoding="utf-8")
    with pytest.raises(
        ValueError,
        match="holds no dialogue: it has 1 rows, 0 of them ties; the first that is wrong is item 1: what the assistant",
    ):
        read(file, bad_rows="skip")
    with pytest.raises(ValueError, match="bad_rows must be"):
        read(file, bad_rows="ignore")


def test_written_and_read_again(tmp_path):
    file = tmp_path / "out.jsonl"
    dialogues = [expected for _, expected in ROWS.values()]
    write(file, dialogues)
    assert read(file) == dialogues
    assert json.loads(file.read_text(encoding="utf-8").splitlines()[0]) == {"messages": dialogues[0]}
    before = file.read_bytes()
    for wrong, message in (
        ([[user("x")]], "dialogue 0: none of the 1 messages"),
        ([dialogues[0], [user("x"), assistant(" ")]], "dialogue 1: message 1 is an empty answer"),
    ):
        with pytest.raises(ValueError, match=message):
            write(file, wrong)
    assert file.read_bytes() == before


def test_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"messages": [user("Hi"), assistant("Hello")], "prompt_id": "1"}] * 3
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
    assert read(tmp_path / "x.parquet") == [[user("Hi"), assistant("Hello")]] * 3
    pq.write_table(pa.Table.from_pylist([{"a": "b"}]), tmp_path / "y")
    with pytest.raises(ValueError, match="row 1: a row with the keys .'a'."):
        read(tmp_path / "y")


def test_without_pyarrow_parquet_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    (tmp_path / "x").write_bytes(b"PAR1....PAR1")
    with pytest.raises(ImportError, match="is a Parquet file: to read it, pip install pyarrow"):
        read(tmp_path / "x")


def test_what_is_read_can_be_trained_on(tmp_path):
    from llm_from_scratch.tokenizers import Tokenizer

    tokenizer = Tokenizer.train("a b c", 262, special_tokens=["<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>"])
    for name, (row, _) in ROWS.items():
        if "tool" not in name and "call" not in name:  # of which these formats have none
            (tmp_path / "x").write_text(json.dumps(row), encoding="utf-8")
            assert lfs.data.encode_dialogue(tokenizer, read(tmp_path / "x")[0], template="tales")[1].any()
