"""Public benchmarks from made-up rows in their real shapes; mistakes name the line."""

import json

import pytest

from llm_from_scratch.evaluation import read_task

HELLASWAG = {
    "ind": 1, "activity_label": "Baking", "ctx_a": "A man [title] opens an oven.", "ctx_b": "he", "ctx": "x",
    "label": "0", "endings": ["takes out a loaf [step] and smiles.", "flies away."], "split": "val",
}  # fmt: skip
ARC = {
    "id": "a1", "question": "What melts ice?",
    "choices": {"text": ["heat", "cold", "a song"], "label": ["A", "B", "C"]},
    "answerKey": "A",
}  # fmt: skip
ARC_FIRST = {
    "id": "a2",
    "question": {"stem": "What is wet?", "choices": [{"text": "sand", "label": "1"}, {"text": "rain", "label": "2"}]},
    "answerKey": "2",
}
MMLU = {"question": "What is 2 + 2?", "subject": "sums", "choices": ["3", "4", "5", "6"], "answer": 1}
TRUTHFUL = {
    "question": "What happens if a mirror breaks?",
    "mc1_targets": {"choices": ["Nothing.", "Bad luck."], "labels": [1, 0]},
    "mc2_targets": {"choices": ["Nothing.", "It is broken.", "Bad luck."], "labels": [1, 1, 0]},
}
TRUTHFUL_FIRST = {"question": "Is it?", "mc1_targets": {"Yes.": 0, "No.": 1}, "mc2_targets": {"Yes.": 0, "No.": 1}}
GSM8K = {"question": "Tom has 1,000 nuts and gets 5.", "answer": "1,000 + 5 = <<1000+5=1005>>1,005\n#### 1,005"}
MT_BENCH = {"question_id": 81, "category": "writing", "turns": ["Write a tale.", "Make it shorter."]}
LAMBADA = {"text": "He took the kite and went to the hill to fly the kite"}


def read(tmp_path, *rows, name="task.jsonl"):
    path = tmp_path / name
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return read_task(path)


def test_hellaswag(tmp_path):
    task = read(tmp_path, HELLASWAG, {**HELLASWAG, "label": 1})
    assert task.kind == "choices" and [item["answer"] for item in task.items] == [0, 1]
    assert task.items[0]["context"] == "Baking: A man. opens an oven. He"
    assert task.items[0]["choices"] == [" takes out a loaf and smiles.", " flies away."]
    plain = {"ctx": "A man opens", "endings": ["it.", "that."], "label": 1}
    assert read(tmp_path, plain).items[0]["context"] == "A man opens"


def test_arc_in_both_forms(tmp_path):
    one, other = read(tmp_path, ARC, ARC_FIRST).items
    assert one == {
        "context": "Question: What melts ice?\nAnswer:",
        "choices": [" heat", " cold", " a song"],
        "answer": 0,
    }
    assert other["answer"] == 1 and other["choices"] == [" sand", " rain"]


def test_mmlu_as_rows_and_as_csv(tmp_path):
    task = read(tmp_path, MMLU, {**MMLU, "answer": "D"})
    assert task.items[0]["context"] == "What is 2 + 2?\nA. 3\nB. 4\nC. 5\nD. 6\nAnswer:"
    assert task.items[0]["choices"] == [" A", " B", " C", " D"] and [i["answer"] for i in task.items] == [1, 3]
    path = tmp_path / "sums_test.csv"
    path.write_text('"What is\n2 + 2?",3,4,5,6,B\nIs it?,a,b,c,d,A\n', encoding="utf-8")
    found = read_task(path)
    assert [item["answer"] for item in found.items] == [1, 0] and found.name == "sums_test"
    path.write_text("Is it?,a,b,c,d,A\nIs it?,a,b,c,d,E\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"sums_test.csv, line 2: answer is 4, but there are 4 choices"):
        read_task(path)


def test_truthful_qa_in_both_forms(tmp_path):
    one, other = read(tmp_path, TRUTHFUL, TRUTHFUL_FIRST).items
    assert one["context"].endswith("breaks?\nA:") and one["choices"] == [" Nothing.", " Bad luck."]
    assert one["truths"] == {"choices": [" Nothing.", " It is broken.", " Bad luck."], "labels": [1, 1, 0]}
    assert other["answer"] == 1


def test_gsm8k(tmp_path):
    task = read(tmp_path, GSM8K)
    item = task.items[0]
    assert task.kind == "answers" and item["answer"] == "1,005" and item["solution"] == GSM8K["answer"]
    assert task.extract("so 1005.") == task.extract(item["answer"]) == "1005"


def test_mt_bench_and_lambada(tmp_path):
    assert read(tmp_path, MT_BENCH).items[0]["turns"] == MT_BENCH["turns"]
    task = read(tmp_path, LAMBADA)
    assert task.kind == "endings"
    assert task.items[0] == {"context": LAMBADA["text"].rpartition(" ")[0], "ending": " kite"}


def test_items_of_your_own(tmp_path):
    own = {"context": "a", "choices": ["b", "c"], "answer": 1}
    assert read(tmp_path, own).items == (own,)
    assert read(tmp_path, {"context": "a", "answer": ["b", "c"]}).kind == "answers"
    assert read(tmp_path, {"context": "a", "ending": " b"}).kind == "endings"


@pytest.mark.parametrize(
    "row, message",
    [
        ({**HELLASWAG, "label": ""}, "label is '': there is no right answer"),
        ({**HELLASWAG, "label": "2"}, "label is 2, but there are 2 choices"),
        ({**HELLASWAG, "endings": ["a", " "]}, "endings: number 1 is empty"),
        ({**HELLASWAG, "endings": "ab"}, "endings must be a list of texts"),
        ({**ARC, "answerKey": "E"}, "answerKey is 'E', which is none of the labels"),
        ({**ARC, "choices": ["a", "b"]}, "an ARC item needs"),
        ({**MMLU, "answer": None}, "answer is None: there is no right answer"),
        ({**MMLU, "answer": 4}, "answer is 4, but there are 4 choices"),
        ({**MMLU, "question": " "}, "question must be a text that is not empty"),
        ({**TRUTHFUL, "mc1_targets": {"choices": ["a", "b"], "labels": [0, 0]}}, "one of them 1"),
        ({**TRUTHFUL, "mc1_targets": {"choices": ["a", "b"], "labels": [1, 1]}}, "exactly one was expected"),
        ({**TRUTHFUL, "mc1_targets": {"choices": ["a", "b"], "labels": [1]}}, "a label 0 or 1 for each"),
        ({**GSM8K, "answer": "It is 5."}, "no '#### number'"),
        ({**MT_BENCH, "turns": []}, "turns must be at least one text"),
        ({"text": "word"}, "text is a single word"),
        ({"context": "a", "choices": ["b", "c"], "answer": None}, "has no right answer"),
        ({"context": "a", "choices": ["b", ""], "answer": 0}, "choice 1 is empty"),
        ({"context": "a", "answer": ""}, "a right answer is empty"),
        ({"context": "a", "ending": ""}, "a right answer is empty"),
        ({"pregunta": "a"}, "is no item of a task of a known shape"),
    ],
)
def test_mistakes_name_file_and_line(tmp_path, row, message):
    good = {"context": "a", "choices": ["b", "c"], "answer": 1}
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path, good, row)
    assert "task.jsonl, line 2: " in str(caught.value)


def test_mixed_and_empty_files(tmp_path):
    with pytest.raises(ValueError, match="line 2: an item of GSM8K, after items of MMLU"):
        read(tmp_path, MMLU, GSM8K)
    empty = tmp_path / "empty.csv"
    empty.write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match="has no rows"):
        read_task(empty)
    with pytest.raises(FileNotFoundError):
        read_task(tmp_path / "none.jsonl")
