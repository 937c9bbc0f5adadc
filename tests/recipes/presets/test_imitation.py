"""What is particular to the recipes that are supervised tuning alone: whom they listen to, what they learn of it."""

import itertools
import json
import re
import types

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.adapters.adapted import adapted_places
from llm_from_scratch.data.assistant import SYSTEMS
from llm_from_scratch.data.assistant.harm import refuses
from llm_from_scratch.data.assistant.rouge import rouge_l
from llm_from_scratch.data.encoding import find_template
from llm_from_scratch.quantization.nf4_linear import NF4Linear
from llm_from_scratch.recipes.presets import (
    alpaca,
    capybara,
    dolly,
    guanaco,
    guanaco_qlora,
    hermes,
    koala,
    openhermes,
    orca,
    orca_2,
    ultralm,
    vicuna,
)
from llm_from_scratch.recipes.presets.corpora import asked, prompt_of, talks
from llm_from_scratch.recipes.stages import Start

TALES = "chapters/tales_model"
EOS = "<|endoftext|>"
BEGIN = Start({}, {})


@pytest.fixture(scope="module")
def tokenizer():
    return lfs.Tokenizer.from_pretrained(TALES)


@pytest.fixture(scope="module", autouse=True)
def grown(tmp_path_factory):
    """What Alpaca's first stage wrote."""
    opened = types.SimpleNamespace(start=Start({"seed": 0}), some=lambda count: 40)
    rows = alpaca.instructions(opened)
    folder = tmp_path_factory.mktemp("grown")
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    BEGIN.done["grown"] = folder
    return rows


@pytest.fixture
def read(tokenizer):
    """The first examples of a stage as texts: (everything, what is trained)."""

    def texts(preset, stage=-1, count=12):
        stage = preset.stages[stage]
        dialogues = itertools.islice(stage.data(BEGIN, 0), count)
        found = []
        for example in stage.examples(dialogues, tokenizer, find_template(tokenizer, stage.template)):
            assert example["ids"].shape == example["targets"].shape
            trained = example["targets"][example["targets"] != -100]
            last = [token for token in example["targets"][-1:] if token != -100]
            found.append((tokenizer.decode([*example["ids"], *last]), tokenizer.decode(trained)))
        return found

    return texts


def first(preset, count=12, stage=-1):
    return list(itertools.islice(preset.stages[stage].data(BEGIN, 0), count))


def said(dialogue):
    return [message["content"] for message in dialogue if message["role"] == "assistant"]


def test_alpaca_learns_the_response_and_nothing_of_the_prompt(read):
    for dialogue, (text, trained) in zip(first(alpaca.PRESET), read(alpaca.PRESET)):
        assert text.startswith("Below is an instruction that describes a task. Write a response")
        assert f"### Instruction:\n{dialogue[0]['content']}\n\n### Response:{dialogue[1]['content']}" in text
        assert len(dialogue) == 2 and trained == dialogue[1]["content"] + EOS


def test_alpaca_s_instructions_are_grown_and_none_is_nearly_another(grown):
    texts = [row["messages"][0]["content"] for row in grown]
    assert len(texts) == 20 + 40
    new = texts[20:]
    assert max(rouge_l(text, other) for k, text in enumerate(new) for other in (*texts[:20], *new[:k])) < 0.7
    offered = {prompt_of(task)[0]["content"]: task for task in itertools.islice(asked(1, kinds=alpaca.ALONE), 2000)}
    assert all(offered[row["messages"][0]["content"]].right(row["messages"][1]["content"]) for row in grown)
    entries = first(alpaca.PRESET, 20)
    with_tale = ["\n\n" in entry[0]["content"] for entry in entries]
    assert with_tale == [False, False, False, True, True] * 4  # about 40 % of Alpaca's had an input
    assert [entry for entry, tale in zip(entries, with_tale) if not tale] == [row["messages"] for row in grown[:12]]


def test_vicuna_learns_every_answer_and_nothing_of_the_user(read):
    for dialogue, (text, trained) in zip(first(vicuna.PRESET), read(vicuna.PRESET)):
        assert len(said(dialogue)) == 3 and text.startswith("A chat between a curious user")
        assert trained == "".join(f" {answer}{EOS}" for answer in said(dialogue))


def test_guanaco_is_alpaca_s_data_and_ten_times_as_much_in_other_languages(read):
    entries = first(guanaco.PRESET, 33)
    assert entries[::11] == first(alpaca.PRESET, 3)
    others = [entry for k, entry in enumerate(entries) if k % 11]
    assert len({re.sub(r"[\d+\- ]", "", entry[0]["content"]) for entry in others}) == len(guanaco.LANGUAGES)
    for question, answer in others:
        assert "What" not in question["content"]
        a, sign, b = re.search(r"(\d+) ([+-]) (\d+)", question["content"]).groups()
        assert answer["content"] == f"{a} {sign} {b} = {int(a) + int(b) * (1 if sign == '+' else -1)}."
    assert read(guanaco.PRESET)[0] == read(alpaca.PRESET)[0]  # in the same format
    with pytest.raises(ValueError, match="only sums"):
        guanaco.translated("Who is it?", "Wer?")


def test_koala_learns_bad_answers_too_announced_by_the_prompt(read):
    entries, tasks = first(koala.PRESET, 30), asked(0)
    for (best, worst, unjudged), task in zip(zip(*[iter(entries)] * 3), tasks):
        question = prompt_of(task)[-1]["content"]
        assert best[0]["content"] == f"{question}\na helpful answer"
        assert worst[0]["content"] == f"{question}\nan unhelpful answer"
        assert task.score(best[1]["content"]) == 1 > task.score(worst[1]["content"])
        assert unjudged[0]["content"].endswith("\na helpful answer")
    for text, trained in read(koala.PRESET):
        assert "helpful answer GPT:" in text and "helpful" not in trained
    assert koala.PRESET.asks([{"role": "user", "content": "Who?"}])[0]["content"] == "Who?\na helpful answer"
    assert koala.PRESET.stages[0].asks == koala.PRESET.asks  # what is measured is what one would ask


def test_dolly_has_eight_kinds_of_plain_answers_and_learns_where_a_response_ends(read):
    kinds = [task.kind for task in itertools.islice(asked(0, kinds=dolly.CATEGORIES), 16)]
    assert len(set(kinds)) == 8 and kinds[:8] == kinds[8:]
    for dialogue, (text, trained) in zip(first(dolly.PRESET), read(dolly.PRESET)):
        assert trained == dialogue[1]["content"] + "\n\n### End" + EOS and "### Response:\n" in text
        assert not any(word in trained for word in ("!", "clever"))  # people do not gush


def test_ultralm_cuts_dialogues_between_rounds_and_learns_every_answer_of_a_piece(read):
    pieces = first(ultralm.PRESET, 8)
    for number, whole in enumerate(itertools.islice(talks(0, turns=ultralm.TURNS), 4)):
        mine = pieces[2 * number : 2 * number + 2]
        assert [answer for piece in mine for answer in said(piece)] == said(whole)
        assert [len(said(piece)) for piece in mine] == [3, 3]
        tale = whole[0]["content"].rpartition("\n\n")[0]
        assert mine[1][0]["content"] == f"{tale}\n\n{whole[6]['content']}".lstrip()
    for piece, (text, trained) in zip(pieces, read(ultralm.PRESET)):
        assert trained == "".join(f" {answer}{EOS}" for answer in said(piece))
        assert text.count(EOS) == 6  # the user's turns end with one too, which is not learned


def test_orca_sees_the_message_that_made_the_teacher_explain_and_has_a_lesser_teacher_first(read):
    wishes = {wish: style for style, wish in SYSTEMS.items()}
    for stage, styles in enumerate((orca.LESSER, orca.BEST)):
        tasks = list(itertools.islice(asked(0), 12))
        used = set()
        for task, dialogue, (text, trained) in zip(tasks, first(orca.PRESET, stage=stage), read(orca.PRESET, stage)):
            style = wishes[dialogue[0]["content"]]
            used.add(style)
            assert dialogue[1:-1] == prompt_of(task) and dialogue[-1]["content"] == task.variants[style]
            assert dialogue[0]["content"] in text and dialogue[0]["content"] not in trained
            assert trained == dialogue[-1]["content"] + "<|end|>"
        assert used == set(styles)
    assert [stage.name for stage in orca.PRESET.stages] == ["lesser", "best"]


def test_orca_2_learns_answers_under_a_strategy_that_its_prompt_does_not_show(read):
    assert orca_2.PRESET.stages[:2] == orca.PRESET.stages
    tasks = list(itertools.islice(asked(0), 13))
    wishes = {wish: style for style, wish in SYSTEMS.items()}
    strategies = set()
    for task, dialogue, (text, _) in zip(tasks, first(orca_2.PRESET, 13, 2), read(orca_2.PRESET, 2, 13)):
        strategies.add(orca_2.strategy(task))
        assert dialogue[-1]["content"] == task.variants[wishes[orca_2.strategy(task)]]  # the teacher was told
        assert dialogue[0]["content"] == orca_2.GENERAL and not any(wish in text for wish in SYSTEMS.values())
    assert len(strategies) == 2


def test_hermes_draws_from_its_collections_by_weight_and_takes_the_longest_right_answers(read):
    cycle = sum(weight for _, weight in hermes.COLLECTIONS)
    sources = [asked(k, kinds=kinds) for k, (kinds, _) in enumerate(hermes.COLLECTIONS)]
    expected = [next(source) for source, (_, weight) in zip(sources, hermes.COLLECTIONS) for _ in range(weight)]
    for task, dialogue in zip(expected, first(hermes.PRESET, cycle)):
        assert dialogue[:-1] == prompt_of(task)
        right = [text for text in task.variants.values() if task.right(text) and "!" not in text]
        assert dialogue[-1]["content"] == max(right, key=len)
    assert all("### Instruction:" in text for text, _ in read(hermes.PRESET))


def test_capybara_has_a_fifteenth_of_hermes_s_examples_each_grown_and_read_three_times(read, tokenizer):
    few, many = capybara.PRESET.stages[0], hermes.PRESET.stages[0]
    lengths = [
        np.mean([len(tokenizer.encode(text)) for text, _ in read(preset, count=24)])
        for preset in (capybara.PRESET, hermes.PRESET)
    ]
    assert many.tokens / lengths[1] / 20 < few.tokens / few.epochs / lengths[0] < many.tokens / lengths[1] / 12
    assert few.epochs == 3 and all(len(said(dialogue)) == 3 for dialogue in first(capybara.PRESET))
    seeds = itertools.islice(talks(0, turns=1), 12)
    assert [dialogue[0] for dialogue in first(capybara.PRESET)] == [seed[0] for seed in seeds]  # grown from these


def test_openhermes_filters_refusals_out_and_packs_dialogues_that_have_a_system_prompt():
    unfiltered = list(itertools.islice(talks(0, turns=1, system=1.0), 60))
    assert any(refuses(said(dialogue)[0]) for dialogue in unfiltered)
    kept = [dialogue for dialogue in unfiltered if not refuses(said(dialogue)[0])]
    assert first(openhermes.PRESET, len(kept)) == kept
    assert all(dialogue[0]["role"] == "system" for dialogue in kept)
    settings = dict.fromkeys(("tokens", "lr", "batch", "template", "threads", "checkpoint_every"))
    tuning = openhermes.PRESET.stages[0].tuning(Start({**settings, "steps": 8, "seed": 0}, {}, TALES))
    rows = next(tuning.sampler)
    assert rows["segments"].shape == (2, 512) and (rows["segments"].max(axis=1) >= 2).all()


def test_guanaco_qlora_trains_lora_on_every_linear_layer_of_an_nf4_base_and_whole_conversations(read, start, tmp_path):
    for text, trained in read(guanaco_qlora.PRESET, count=3):
        assert text.endswith(trained) and len(text) - len(trained) < 4  # all but the first token
    tuning = guanaco_qlora.PRESET.stages[0].tuning(start())
    model = tuning.model
    linear = [path for path, module in model.named_modules() if isinstance(module, NF4Linear)]
    assert len(linear) == 7 and all(module.weight.scales is not None for _, module in model.named_modules()
                                    if isinstance(module, NF4Linear))  # fmt: skip
    assert len(adapted_places(model)) == 7  # query, key, value, output, gate, up, down
    training = [name for name, p in model.named_parameters() if p.requires_grad]
    assert len(training) == 14 and all(".adapters." in name for name in training)
    batch = next(tuning.sampler)
    for name, parameter in model.named_parameters():
        if name in training:
            parameter.data = parameter.data + np.float32(0.01)
    before = model(batch["ids"]).data
    tuning.save(tmp_path)
    again = lfs.from_pretrained(tmp_path)
    np.testing.assert_allclose(again(batch["ids"]).data, before, atol=1e-4)
    assert again.parameter_count == lfs.from_pretrained(start().model).parameter_count
