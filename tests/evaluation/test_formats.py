"""Formats ask the same question with the same answers, and the file of results is what the command writes."""

import json
from itertools import islice
from pathlib import Path

import pytest

import llm_from_scratch as lfs
from llm_from_scratch.evaluation import multiple_choice
from llm_from_scratch.evaluation.formats import FORMATS, format_scores, main, questions

TALES_MODEL = Path(__file__).parents[2] / "chapters" / "tales_model"
ASKED = list(islice(questions(27_000), 60))


def test_questions_can_be_answered_from_their_tale():
    assert len({one.question.split()[0] for one in ASKED}) >= 3
    for one in ASKED:
        right = one.choices[one.answer]
        assert right in one.tale and len(set(one.choices)) == 4
    assert ASKED == list(islice(questions(27_000), 60))


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_changes_words_around_the_question_only(name):
    for one in ASKED[:5]:
        item = FORMATS[name](one)
        context = item["context"] if isinstance(item["context"], str) else item["context"][0]["content"]
        assert one.tale in context and item["answer"] == one.answer and len(item["choices"]) == 4
        assert (one.sentence if name == "sentence" else one.question) in context
        if name == "letters":
            assert f"{item['choices'][one.answer].strip()}. {one.choices[one.answer]}\n" in context
        else:
            assert [choice.strip() for choice in item["choices"]] == list(one.choices)
    assert len({json.dumps(FORMATS[other](ASKED[0])) for other in FORMATS}) == len(FORMATS)


def test_scores_are_those_of_multiple_choice_and_are_written(tmp_path, capsys):
    model, tokenizer = lfs.from_pretrained(TALES_MODEL), lfs.Tokenizer.from_pretrained(TALES_MODEL)
    found = format_scores(model, tokenizer, ["Q: A:", "chat template"], seed=0, count=4, threads=1)
    assert list(found) == ["Q: A:"]  # this tokenizer has no chat template
    items = [FORMATS["Q: A:"](one) for one in ASKED[:4]]
    for unit, marks in found["Q: A:"].items():
        right = multiple_choice(model, tokenizer, items, normalize=unit, threads=1).correct
        assert marks == "".join(str(int(flag)) for flag in right)
    out = tmp_path / "formats.json"
    main(["--model", str(TALES_MODEL), "--items", "2", "--threads", "1", "--out", str(out)])
    runs = json.loads(out.read_text(encoding="utf-8"))["runs"]
    assert [run["seed"] for run in runs] == [0, 1, 2] and "seed 2" in capsys.readouterr().out
    assert runs[0]["right"]["Q: A:"]["none"] == found["Q: A:"]["none"][:2]
