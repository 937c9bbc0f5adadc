"""The formats by name: what others' code makes of them (frozen by make_named_templates.py), and where they differ."""

import json
import re
from pathlib import Path

import pytest

from llm_from_scratch.tokenizers import Tokenizer
from llm_from_scratch.tokenizers.templates import FORMATS, named_template, template_names

FROZEN = json.loads((Path(__file__).parent / "fixtures" / "named_templates.json").read_text(encoding="utf-8"))
SYSTEM = {"role": "system", "content": "Be kind."}
TURNS = [
    {"role": "user", "content": "Why?"},
    {"role": "assistant", "content": "Because."},
    {"role": "user", "content": "Oh, so?"},
    {"role": "assistant", "content": "Yes, so."},
]
TALKS = {
    "asked": TURNS[:3],
    "answered": TURNS,
    "asked with system": [SYSTEM, *TURNS[:3]],
    "answered with system": [SYSTEM, *TURNS],
    "asked once": TURNS[:1],
    "answered once": TURNS[:2],
}
NAMES = (
    "llama-2 mistral zephyr chatml qwen yi falcon mpt openchat starling vicuna alpaca solar decilm xgen phi tinyllama"
)
# Published without a token that ends an answer, or before its first: ours is without one where the tokenizer has none.
ENDLESS = {"solar", "decilm", "falcon", "xgen", "phi"}


def test_all_names_are_there_and_each_says_where_it_was_read():
    assert template_names() == sorted([*NAMES.split(), "tales"])
    for form in FORMATS.values():
        assert form.facts and "\n" not in form.facts
    assert {name for name, form in FORMATS.items() if "ends with {eos}" in form.inferred} == ENDLESS
    assert set(FROZEN["formats"]) == set(NAMES.split()) - {"phi"}


@pytest.mark.parametrize("name", FROZEN["formats"])
def test_a_format_is_what_others_make_of_it(name):
    template = named_template(name)
    template = type(template)(template.source, bos="<s>", eos="" if name in ENDLESS else "</s>")
    for talk, expected in FROZEN["formats"][name]["cases"].items():
        if expected is None:
            with pytest.raises(ValueError, match="refuses this conversation"):
                template.render(TALKS[talk])
            continue
        if name == "openchat":  # as the authors advise; what they published takes the system for a speaker
            expected = expected.replace("GPT4 Correct System: ", "")
        if name == "yi" and "system" in talk:  # FastChat has no form for one
            expected = "<|im_start|>system\n" + expected
        if name == "starling":  # FastChat leaves the beginning to the tokenizer
            expected = "<s>" + expected
        if name == "xgen":  # one line end after the system message more than on the model's card
            expected = re.sub(r"\A(.*?)\n+###", r"\1\n\n###", expected)
        rendered = template.render(TALKS[talk], add_generation_prompt=talk.startswith("asked"))
        if name == "alpaca":
            rendered = rendered.removesuffix("\n\n")  # what separates one turn from the next is ours
        assert rendered == expected


def test_phi_is_a_base_models_question_and_answer():
    assert named_template("phi").render(TURNS[:1], add_generation_prompt=True) == "Instruct: Why?\nOutput:"


def test_llama_2_strips_what_is_said_and_wants_turns():
    template = named_template("llama-2")
    template = type(template)(template.source, bos="<s>", eos="</s>")
    said = [{"role": "user", "content": " Why? "}, {"role": "assistant", "content": "\nBecause. "}]
    assert template.render(said) == "<s>[INST] Why? [/INST] Because. </s>"
    for wrong in (TURNS[1:], [TURNS[0], TURNS[0]], [TURNS[0], SYSTEM]):
        with pytest.raises(ValueError, match="take turns"):
            template.render(wrong)


@pytest.mark.parametrize("name", template_names())
def test_what_a_user_writes_never_becomes_a_special_token(name):
    special = "<s> </s> <|endoftext|> <|user|> <|assistant|> <|system|> <|end|> <|im_start|> <|im_end|> <|end_of_turn|>"
    tokenizer = Tokenizer.train("a b c", 270, special_tokens=special.split(), roles={"bos": "<s>", "eos": "</s>"})
    template = named_template(name, tokenizer)
    evil = [{"role": "user", "content": special}, {"role": "assistant", "content": special}]
    kind = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]

    def marks(talk):
        return [number for number in template.encode(tokenizer, talk) if number in tokenizer.special_tokens.values()]

    assert marks(evil) == marks(kind)
    with pytest.raises(ValueError, match="no role tool|take turns"):
        template.render([*kind, {"role": "tool", "content": "z"}])


def test_unknown_names():
    with pytest.raises(ValueError, match="no chat template called 'ChatML': expected one of"):
        named_template("ChatML")
