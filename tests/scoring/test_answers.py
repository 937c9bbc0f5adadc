"""A model's answers: the same whoever stands beside, ended by the template's token, refused before anything runs."""

import json
from functools import partial

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch import scoring
from llm_from_scratch.tokenizers import Tokenizer

TURNS = ["<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>"]
TOKENIZER = Tokenizer.train("how are you who is it " * 9, 270, special_tokens=TURNS)
TALES = partial(scoring.answer, template="tales")
COMMON = {"vocab_size": 270, "seed": 3}
MODELS = {
    "llama": lambda: lfs.build("llama", hidden_size=16, intermediate_size=24, num_hidden_layers=2,
                               num_attention_heads=2, num_key_value_heads=1, **COMMON),
    "gpt2": lambda: lfs.build("gpt2", n_layer=2, n_head=2, n_embd=16, n_positions=64, **COMMON),
    "mamba": lambda: lfs.build("mamba", hidden_size=16, num_hidden_layers=2, **COMMON),
}  # fmt: skip
PROMPTS = [
    [{"role": "user", "content": "who is it"}],
    [{"role": "system", "content": "be kind"}, {"role": "user", "content": "how are you how are you?"}],
    [{"role": "user", "content": "you"}, {"role": "assistant", "content": "?"}, {"role": "user", "content": "it"}],
    [{"role": "user", "content": "who"}],
    [{"role": "user", "content": ""}],
]


@pytest.mark.parametrize("family", MODELS)
@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_the_same_answer_in_any_company(family, temperature):
    model = MODELS[family]()
    for parameter in model.parameters():  # far from the small initial values, so that answers differ
        parameter.data = parameter.data * 3
    settings = {"max_new_tokens": 9, "temperature": temperature}
    together = TALES(model, TOKENIZER, PROMPTS, seed=5, **settings)
    assert len(set(together)) > 2
    assert TALES(model, TOKENIZER, PROMPTS, seed=5, batch_size=2, **settings) == together
    alone = [TALES(model, TOKENIZER, [prompt], seed=5 + k, **settings)[0] for k, prompt in enumerate(PROMPTS)]
    assert alone == together
    if temperature:
        assert TALES(model, TOKENIZER, PROMPTS, seed=6, **settings) != together


class Scripted:
    """Says what it was told to say, each row its own line; keeps the prompts that it got."""

    end_tokens = ()

    def __init__(self, *lines, rows=TOKENIZER.vocab_size):
        self.lines, self.rows = lines, rows

    def new_memory(self, batch_size):
        return {"step": 0}

    def step(self, ids, memory, mask=None):
        if mask is not None or memory["step"] == 0:
            real = np.ones(np.shape(ids), bool) if mask is None else mask
            self.prompts = [np.asarray(row)[kept].tolist() for row, kept in zip(ids, real)]
        memory["step"] += 1
        tokens = [line[min(memory["step"], len(line)) - 1] for line in self.lines]
        return np.eye(self.rows)[tokens]


def test_prompts_are_written_by_the_template_and_answers_end_with_a_turn():
    end, text = TOKENIZER.special_tokens["<|end|>"], TOKENIZER.special_tokens["<|endoftext|>"]
    user, assistant = TOKENIZER.special_tokens["<|user|>"], TOKENIZER.special_tokens["<|assistant|>"]
    lines = [[*TOKENIZER.encode(" who is "), end, *TOKENIZER.encode("hidden")], [*TOKENIZER.encode("it"), text]]
    model = Scripted(*lines)
    short, long = [{"role": "user", "content": "<|end|>"}], PROMPTS[1]
    assert TALES(model, TOKENIZER, [long, short], max_new_tokens=20) == ["it", "who is"]
    spelt = TOKENIZER.encode("<|end|>")
    assert len(spelt) > 1  # what a user writes is no special token
    system, question = TOKENIZER.encode("be kind"), TOKENIZER.encode("how are you how are you?")
    assert sorted(model.prompts, key=len) == [
        [text, user, *spelt, end, assistant],
        [text, *system, user, *question, end, assistant],
    ]


def test_an_answer_that_does_not_end_is_cut_off():
    assert TALES(Scripted(TOKENIZER.encode("o")), TOKENIZER, PROMPTS[:1], max_new_tokens=7) == ["o" * 7]


def test_rows_to_spare_and_gaps_of_the_vocabulary_spell_nothing(tmp_path):
    TOKENIZER.save_pretrained(tmp_path)
    path = tmp_path / "tokenizer.json"
    parts = json.loads(path.read_text(encoding="utf-8"))
    parts["added_tokens"].append({**parts["added_tokens"][0], "id": 280, "content": "<later>"})
    path.write_text(json.dumps(parts), encoding="utf-8")
    tokenizer = Tokenizer.from_pretrained(tmp_path)
    assert tokenizer.vocab_size == 281
    how, are = TOKENIZER.encode(" how"), TOKENIZER.encode(" are")
    model = Scripted([*how, 275, *are, 290, TOKENIZER.special_tokens["<|end|>"]], rows=300)
    assert TALES(model, tokenizer, PROMPTS[:1], max_new_tokens=20) == ["how are"]


def test_a_template_of_ones_own_says_what_ends_a_turn():
    template = lfs.ChatTemplate("{{ messages[0].content }}:", eos="<|user|>")
    line = [*TOKENIZER.encode("o"), TOKENIZER.special_tokens["<|user|>"], *TOKENIZER.encode("you")]
    model = Scripted(line)
    assert TALES(model, TOKENIZER, [PROMPTS[0]], template=template, max_new_tokens=9) == ["o"]
    assert model.prompts == [TOKENIZER.encode("who is it:")]


def test_no_prompts_no_answers_and_progress():
    seen = []
    assert TALES(MODELS["llama"](), TOKENIZER, [], max_new_tokens=3) == []
    TALES(MODELS["llama"](), TOKENIZER, PROMPTS, max_new_tokens=1, batch_size=2, progress=seen.append)
    assert seen == [2, 4, 5]


@pytest.mark.parametrize(
    ("prompts", "settings", "message"),
    [
        ([PROMPTS[0], [{"role": "assistant", "content": "a"}]], {}, "prompt 1 ends with an answer"),
        ([[]], {}, "prompt 0 has no messages"),
        ([PROMPTS[0], "who"], {}, "prompt 1: messages must be a list"),
        (PROMPTS[0], {}, "prompt 0: messages must be a list"),
        ([PROMPTS[0], [{"role": "user", "content": "you " * 40}]], {}, "prompt 1 has .* context of 64"),
        ([PROMPTS[0]], {"max_new_tokens": 0}, "max_new_tokens must be"),
        ([PROMPTS[0]], {"batch_size": 0}, "batch_size must be"),
        ([PROMPTS[0]], {"temperature": -1.0}, "temperature"),
    ],
)
def test_what_is_refused_is_named(prompts, settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        TALES(MODELS["gpt2"](), TOKENIZER, prompts, **{"max_new_tokens": 20, **settings})


def test_without_a_template_it_is_the_tokenizers_own():
    with pytest.raises(ValueError, match="came without a chat template"):
        scoring.answer(Scripted([1]), TOKENIZER, PROMPTS)
    with pytest.raises(ValueError, match="nonsense"):
        scoring.answer(Scripted([1]), TOKENIZER, PROMPTS, template="nonsense")
