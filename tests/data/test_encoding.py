"""Dialogues as ids: which tokens are trained, under every template and every kind of tokenizer."""
# ruff: noqa: E501

import json
from pathlib import Path

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.tokenizers import Tokenizer
from llm_from_scratch.tokenizers.chat_template import ChatTemplate
from llm_from_scratch.tokenizers.templates import named_template, template_names

encode_dialogue = lfs.data.encode_dialogue
SPECIAL = (
    "<|endoftext|> <s> </s> <|user|> <|assistant|> <|system|> <|end|> <|im_start|> <|im_end|> <|end_of_turn|>".split()
)
TEXT = "A chat between a curious user and an assistant: Why? Because it is so. ### " * 20
TALK = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Why? é"},
    {"role": "assistant", "content": "Because <|im_end|> é."},
    {"role": "user", "content": "Oh."},
    {"role": "assistant", "content": "So it is."},
]
TURNS = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"


PLAIN_TALK = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Why? é"},
    {"role": "assistant", "content": "Because é it is so."},
    {"role": "user", "content": "Oh."},
    {"role": "assistant", "content": " So  it is."},
]


def byte_level():
    return Tokenizer.train(TEXT, 420, special_tokens=SPECIAL, roles={"bos": "<s>", "eos": "</s>"})


@pytest.fixture(scope="module")
def tokenizers():
    made = {
        "byte-level": byte_level(),
        "sentencepiece": Tokenizer.train(TEXT, 440, kind="sentencepiece", special_tokens=SPECIAL),
    }
    return made


def test_the_answers_and_the_tokens_that_end_them_are_trained(tokenizers):
    tokenizer = tokenizers["byte-level"]
    ids, trained = encode_dialogue(tokenizer, TALK, template="tales")
    assert ids.dtype == np.int64 and trained.dtype == bool and ids.shape == trained.shape
    assert tokenizer.decode(ids[trained]) == "Because <|im_end|> é.<|end|>So it is.<|end|>"
    end = tokenizer.special_tokens["<|end|>"]
    assert (ids[trained] == end).sum() == 2 and (ids == end).sum() == 4
    assert tokenizer.special_tokens["<|im_end|>"] not in ids  # what a message spells is text


@pytest.mark.parametrize("name", template_names())
@pytest.mark.parametrize("kind", ["byte-level", "sentencepiece"])
def test_generation_marks_and_prefixes_agree_under_every_named_template(tokenizers, name, kind):
    tokenizer = tokenizers[kind]
    talk = TALK[1:] if name == "mistral" else TALK
    ids, trained = encode_dialogue(tokenizer, talk, template=name)
    template = named_template(name, tokenizer)
    assert ids.tolist() == template.encode(tokenizer, talk, add_generation_prompt=False)
    said = tokenizer.decode(ids[trained])
    end = {"tales": "<|end|>", "openchat": "<|end_of_turn|>", "starling": "<|end_of_turn|>"}.get(name)
    end = end or ("<|im_end|>" if name in ("chatml", "qwen", "yi", "mpt") else template.eos)
    assert said.replace(" ", "") == f"Because<|im_end|>é.{end}Soitis.{end}"
    last = encode_dialogue(tokenizer, talk, template=name, train_on="last")[1]
    assert tokenizer.decode(ids[last]).replace(" ", "") == f"Soitis.{end}" and not (last & ~trained).any()
    bare = template.source
    for mark in ("\n{%- generation %}", "{% generation %}", "{% endgeneration %}"):
        bare = bare.replace(mark, "")
    bare = ChatTemplate(bare, bos=template.bos, eos=template.eos)
    again, compared = encode_dialogue(tokenizer, talk, template=bare)
    assert np.array_equal(again, ids) and np.array_equal(compared, trained)


FROZEN = json.loads((Path(__file__).parent / "fixtures" / "assistant_masks.json").read_text(encoding="utf-8"))["cases"]


@pytest.mark.parametrize("name", template_names())
def test_masks_are_those_of_the_transformers_library(tokenizers, name):
    """Frozen by make_assistant_masks.py."""
    talk = PLAIN_TALK[1:] if name == "mistral" else PLAIN_TALK
    ids, trained = encode_dialogue(tokenizers["byte-level"], talk, template=name)
    assert ids.tolist() == FROZEN[name]["ids"]
    assert trained.astype(int).tolist() == FROZEN[name]["trained"]


def test_all_and_unknown_words(tokenizers):
    tokenizer = tokenizers["byte-level"]
    assert encode_dialogue(tokenizer, TALK, template="tales", train_on="all")[1].all()
    with pytest.raises(ValueError, match="train_on must be one of .'assistant', 'last', 'all'., got 'user'"):
        encode_dialogue(tokenizer, TALK, template="tales", train_on="user")
    with pytest.raises(ValueError, match="no chat template called 'lama': expected one of .'alpaca'"):
        encode_dialogue(tokenizer, TALK, template="lama")
    with pytest.raises(ValueError, match="came without a chat template: name one of"):
        encode_dialogue(tokenizer, TALK)
    with pytest.raises(TypeError, match="template must be a name"):
        encode_dialogue(tokenizer, TALK, template=3)


def test_the_checkpoints_own_template(tokenizers, tmp_path):
    tokenizer = tokenizers["byte-level"]
    tokenizer.save(tmp_path)
    (tmp_path / "chat_template.jinja").write_text(TURNS, encoding="utf-8")
    read = Tokenizer.from_pretrained(tmp_path)
    ids, trained = encode_dialogue(read, TALK)
    assert read.decode(ids[trained]) == "Because <|im_end|> é.<|end|>So it is.<|end|>"
    read.save(tmp_path / "again")  # and it stays with the tokenizer
    again = Tokenizer.from_pretrained(tmp_path / "again" / "tokenizer.json")
    assert again.chat_template.source == TURNS
    assert np.array_equal(encode_dialogue(again, TALK)[1], trained)
    read.chat_template = named_template("chatml")
    read.save(tmp_path / "third")
    assert "<|im_start|>" in (tmp_path / "third" / "chat_template.jinja").read_text(encoding="utf-8")


def test_a_border_inside_a_token(tokenizers):
    """The prompt ends in a space, the answer begins with a word, and one token holds both."""
    tokenizer = Tokenizer.train("A: yes. A: yes. A: yes.", 300, special_tokens=["</s>"])
    source = "{% for m in messages %}{% if m.role == 'user' %}Q: {{ m.content }} {% else %}A: {{ m.content }}.{% endif %}{% endfor %}{% if add_generation_prompt %}A: {% endif %}"
    talk = [{"role": "user", "content": "so?"}, {"role": "assistant", "content": "yes"}]
    ids, trained = encode_dialogue(tokenizer, talk, template=source)
    assert [tokenizer.decode([k]) for k in ids[trained]][0] == " yes"
    assert ids.tolist() == tokenizer.encode("Q: so? A: yes.")
    # Two tokens may share a character: both belong to whoever said it.
    talk[1]["content"] = "é"
    ids, trained = encode_dialogue(tokenizer, talk, template=source)
    assert trained.tolist() == [False] * (len(ids) - 3) + [True] * 3


def test_a_special_token_that_takes_the_white_space_beside_it(tmp_path, tokenizers):
    tokenizers["byte-level"].save(tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    for token in content["added_tokens"]:
        token["rstrip"] = token["content"] == "<|assistant|>"
        token["lstrip"] = token["content"] == "<|end|>"
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    tokenizer = Tokenizer.from_pretrained(tmp_path)
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "  b  "}]
    for template in ("tales", TURNS):
        ids, trained = encode_dialogue(tokenizer, talk, template=template)
        assert tokenizer.decode(ids[trained]) == "b<|end|>"


def test_runs_of_spaces_that_are_tokens():
    """As GPT-NeoX and MPT have them; nothing special, and trained like any other part of an answer."""
    tokenizer = Tokenizer.train("a b", 270, special_tokens=SPECIAL, added_tokens=["    ", "  "])
    talk = [{"role": "user", "content": "a    a"}, {"role": "assistant", "content": "b    b  "}]
    for template in ("tales", TURNS):
        ids, trained = encode_dialogue(tokenizer, talk, template=template)
        assert tokenizer.decode(ids[trained]) == "b    b  <|end|>"
        assert tokenizer.token_to_id("    ") in ids[trained]


def test_a_template_that_marks_the_words_but_not_the_end(tokenizers):
    source = "{% for m in messages %}<|{{ m.role }}|>{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}<|end|>{% endfor %}"
    tokenizer = tokenizers["byte-level"]
    ids, trained = encode_dialogue(tokenizer, TALK, template=source)
    assert tokenizer.decode(ids[trained]) == "Because <|im_end|> é.<|end|>So it is.<|end|>"


def test_long_conversations_and_two_answers_in_a_row(tokenizers):
    tokenizer = tokenizers["byte-level"]
    talk = [{"role": role, "content": f"{role[0]}{k}"} for k in range(70) for role in ("user", "assistant")]
    talk.insert(2, {"role": "assistant", "content": "more"})
    for template in ("tales", TURNS):
        ids, trained = encode_dialogue(tokenizer, talk, template=template)
        expected = "".join(m["content"] + "<|end|>" for m in talk if m["role"] == "assistant")
        assert tokenizer.decode(ids[trained]) == expected
        last = encode_dialogue(tokenizer, talk[:3], template=template, train_on="last")
        assert tokenizer.decode(last[0][last[1]]) == "more<|end|>"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}", "loses text: nothing of message 0 .system, 'Be kind"),
        ("{% for m in messages %}{{ m.content[:8] }}|{% endfor %}", "loses text: only a part of message 2 .assistant"),
        ("{% for m in messages %}{{ loop.revindex }}{{ m.content }}|{% endfor %}", "no exact borders: .*where message 2 .assistant. begins"),
        ("{% for m in messages %}{{ m.content }}{{ '.' if loop.last }}{% endfor %}", "no exact borders: .*where message 2"),
        ("{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}|{% endfor %}", "no exact borders: 5 stretches for 2 answers"),
        ("{% for m in messages %}{% if loop.first %}{% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}", "1 stretches for 2 answers"),
        ("{% for m in messages %}{% if m.role != 'user' or loop.first %}{{ m.content }}{% else %}{% generation %}{{ m.content }}{% endgeneration %}{% endif %}{% endfor %}", "takes words of others for the assistant's: 'Why"),
        ("{% for m in messages %}{{ m.content }}{{ raise_exception('no') if loop.length < 5 }}{% endfor %}", "cannot say where answer 2 begins: .*no"),
    ],
)  # fmt: skip
def test_templates_that_are_refused(tokenizers, source, message):
    with pytest.raises(ValueError, match=message) as error:
        encode_dialogue(tokenizers["byte-level"], TALK, template=source)
    assert "\n" not in str(error.value)


def test_calls_of_tools_that_a_template_does_not_write_are_lost_text(tokenizers):
    def encode(template, **changes):
        return encode_dialogue(tokenizer, [TALK[1], {**called, **changes}, TALK[3], TALK[4]], template=template)

    tokenizer, called = tokenizers["byte-level"], {"role": "assistant", "content": "", "tool_calls": [{"name": "look"}]}
    writes = TURNS.replace(
        "{{ m.content }}", "{{ m.content }}{% if m.tool_calls %}{{ m.tool_calls[0].name }}{% endif %}"
    )
    for content in ({"content": "So: "}, {}, {"content": None}):
        ids, trained = encode(writes.replace("{{ m.content }}", "{{ m.content or '' }}"), **content)
        assert "look<|end|>" in tokenizer.decode(ids[trained])
        with pytest.raises(ValueError, match="loses text: it writes nothing of the tool_calls of message 1"):
            encode(TURNS.replace("{{ m.content }}", "{{ m.content or '' }}"), **content)
    with pytest.raises(ValueError, match="it writes nothing of the tool_calls of message 1"):
        encode("chatml")  # it would learn to end a turn in which nothing was said
    greeted = [TALK[1], called, TALK[4]]
    with pytest.raises(ValueError, match="it writes nothing of the tool_calls of message 1"):
        encode_dialogue(tokenizer, greeted, template="{{ hello }}" + TURNS, variables={"hello": "Hi."})
    del called["content"]
    with pytest.raises(ValueError, match="it writes nothing of the tool_calls of message 1"):
        encode(TURNS)


def test_dialogues_that_are_refused(tokenizers):
    tokenizer = tokenizers["byte-level"]
    said = {"role": "user", "content": "Hi"}
    for talk, kind, message in (
        ([said, {"role": "bot", "content": "x"}], ValueError, "message 1 has the unknown role 'bot'"),
        ([said, {"role": "assistant", "content": " \n"}], ValueError, "message 1 is an empty answer"),
        ([said, {"role": "assistant", "content": None}], ValueError, "message 1 is an empty answer"),
        ([said], ValueError, "none of the 1 messages is the assistant's"),
        ([], ValueError, "none of the 0 messages"),
        ("Hi", TypeError, "a dialogue is a list"),
        ([said, "x"], TypeError, "message 1 must be"),
        ([said, {"role": "assistant", "content": 5}], ValueError, "message 1 is an empty answer"),
    ):
        with pytest.raises(kind, match=message):
            encode_dialogue(tokenizer, talk, template="tales")
    with pytest.raises(ValueError, match="this format has no role tool"):
        encode_dialogue(tokenizer, [*TALK, {"role": "tool", "content": "x"}], template="tales")


def test_a_template_that_changes_words(tokenizers):
    """Escaped words are still all there, though nobody can say character by character whose they are."""
    tokenizer = tokenizers["byte-level"]
    source = "{% for m in messages %}{{ m.role }}: {{ m.content | tojson }};{% endfor %}{{ 'assistant:' if add_generation_prompt }}"
    ids, trained = encode_dialogue(
        tokenizer, [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], template=source
    )
    assert tokenizer.decode(ids[trained]) == ' "b";'
